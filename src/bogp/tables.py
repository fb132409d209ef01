"""The one table of this project: values in rows, and how they are shown in each format."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table as RichTable
from rich.text import Text

from bogp.errors import SettingError
from bogp.types import Interval

Cell = str | int | float | Interval | None
"""What a table holds: None is a value that does not exist, shown as a dash."""

Format = Callable[[Any], str]
"""Gives the text of a number or an interval; words stand as they are, None and nan as a dash."""

DASH = "–"


@dataclass(frozen=True)
class Column:
    """A column of a table, where its heading alone does not say enough.

    Attributes:
        heading: the words above it, and its name in CSV and JSON.
        format: gives the text of a number or an interval where people read it, as
            :func:`scaled` does; without one :func:`format_cell` is used.
        align: which side the text is set to; without one, columns of numbers go to the right.
        wrap: whether a long text may take several lines on a page.
        css: gives the CSS classes of a cell's text on a page, such as those of a badge.
    """

    heading: str
    format: Format | None = None
    align: Literal["left", "right"] | None = None
    wrap: bool = False
    css: Callable[[Any], str] | None = None


EPOCHS = Column("epochs a seed", "{:,}".format, "right")
"""How long the network of each row was trained on one seed: what results are compared at."""


@dataclass(frozen=True)
class Table:
    """A titled table whose cells are values, so that each format shows them in its own way.

    Where people read it (:meth:`to_rich`, :meth:`to_markdown`, a page of
    :func:`~bogp.report.write_report`) a cell is the text
    that its column's format makes of it. Where programs read it (:meth:`to_csv`, :meth:`to_json`)
    a cell is the value in full precision. So give numbers and intervals as they are, and say in
    the :class:`Column` how to show them.

    Attributes:
        title: one line.
        columns: a heading or a :class:`Column` for each column (C,).
        rows: the rows, each (C,); any sequences are accepted and kept as tuples.
        notes: sentences printed below the table, such as the protocol.
        digits: the decimal places of floats and intervals in columns without a format.

    Raises:
        SettingError: a row that has not as many cells as there are columns.

    >>> glob = Interval(0.962, 0.96, 0.964, 5)
    >>> table = Table("Accuracy", ["method", "s = 0.9"], [["Glob5", glob]])
    >>> print(table.to_markdown())
    **Accuracy**
    <BLANKLINE>
    | method | s = 0.9 |
    | :--- | ---: |
    | Glob5 | 0.962 [0.960, 0.964] (n=5) |

    >>> percent = Column("s = 0.9, %", scaled(100, 1))
    >>> Table("Accuracy", ["method", percent], [["Glob5", glob], ["BoGP", None]]).texts()
    [['Glob5', '96.2 [96.0, 96.4] (n=5)'], ['BoGP', '–']]
    """

    title: str
    columns: Sequence[str | Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    digits: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        object.__setattr__(self, "notes", tuple(self.notes))
        for index, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise SettingError(
                    f"row {index} of table {self.title!r} has {len(row)} cells for "
                    f"{len(self.columns)} columns: give one cell for each column"
                )

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings of the columns, (C,)."""
        return tuple(column.heading for column in self._columns())

    def layout(self) -> list[tuple[Column, bool]]:
        """Return each column as a :class:`Column`, and whether its text is set to the right."""
        columns = self._columns()
        return [
            (column, _are_numbers(cells) if column.align is None else column.align == "right")
            for column, cells in zip(columns, self._cells(), strict=True)
        ]

    def texts(self) -> list[list[str]]:
        """Return the text of each cell as people read it, a list of rows."""
        columns = self._columns()
        return [
            [self._text(column, cell) for column, cell in zip(columns, row, strict=True)]
            for row in self.rows
        ]

    def select(self, *headings: str) -> Table:
        """Return the table with the columns of these headings only, in this order.

        Raises:
            SettingError: no column has such a heading.

        >>> Table("t", ["a", "b", "c"], [[1, 2, 3]]).select("c", "a").rows
        ((3, 1),)
        """
        missing = [heading for heading in headings if heading not in self.headings]
        if missing:
            raise SettingError(
                f"table {self.title!r} has no column {missing[0]!r}: give one of {self.headings}"
            )
        places = [self.headings.index(heading) for heading in headings]
        return dataclasses.replace(
            self,
            columns=[self.columns[place] for place in places],
            rows=[[row[place] for place in places] for row in self.rows],
        )

    def to_markdown(self) -> str:
        """Return the table as GitHub Markdown, headed by its title and followed by its notes."""
        rulers = ["---:" if right else ":---" for _, right in self.layout()]
        rows = [self.headings, rulers, *self.texts()]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"**{self.title}**\n", *map(_markdown_row, rows), *notes])

    def to_csv(self) -> str:
        """Return the table as CSV in full precision, without title and notes.

        A column that holds an interval becomes four: ``name``, ``name low``, ``name high`` and
        ``name n``. A value that does not exist is an empty field.

        >>> print(Table("t", ["s", "ours"], [[0.9, Interval(0.95, 0.9, 1.0, 5)]]).to_csv(), end="")
        s,ours,ours low,ours high,ours n
        0.9,0.95,0.9,1.0,5
        """
        wide = [any(isinstance(cell, Interval) for cell in cells) for cells in self._cells()]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        heads = [
            [name, f"{name} low", f"{name} high", f"{name} n"] if expand else [name]
            for name, expand in zip(self.headings, wide, strict=True)
        ]
        writer.writerow([_unix(name) for head in heads for name in head])
        for row in self.rows:
            fields = [_csv_fields(cell, w) for cell, w in zip(row, wide, strict=True)]
            writer.writerow([value for field in fields for value in field])
        return buffer.getvalue()

    def to_json(self) -> str:
        """Return the rows as a JSON list of objects, without title and notes.

        An interval is an object of its own; a value that does not exist is null.

        >>> print(Table("t", ["s", "ours"], [[0.9, None]]).to_json(), end="")
        [
         {
          "s": 0.9,
          "ours": null
         }
        ]
        """
        rows = [
            {name: _json_value(cell) for name, cell in zip(self.headings, row, strict=True)}
            for row in self.rows
        ]
        return json.dumps(rows, indent=1) + "\n"

    def to_rich(self) -> RichTable:
        """Return the table for ``rich.print``; its text is never read as rich's markup."""
        table = RichTable(title=Text(self.title), caption=Text("\n".join(self.notes)) or None)
        for column, right in self.layout():
            table.add_column(Text(column.heading), justify="right" if right else "left")
        for row in self.texts():
            table.add_row(*map(Text, row))
        return table

    def _columns(self) -> list[Column]:
        """Return each column as a :class:`Column`."""
        return [Column(each) if isinstance(each, str) else each for each in self.columns]

    def _cells(self) -> list[list[Cell]]:
        """Return the cells column by column."""
        return [[row[index] for row in self.rows] for index in range(len(self.columns))]

    def _text(self, column: Column, cell: Cell) -> str:
        """Return the text of a cell."""
        if column.format is None or isinstance(cell, str) or _is_missing(cell):
            return format_cell(cell, self.digits)
        return column.format(cell)


def decimals(digits: int) -> Format:
    """Return the column format that shows numbers and intervals to so many decimal places.

    >>> decimals(2)(0.9712)
    '0.97'
    """
    return lambda cell: format_cell(cell, digits)


def scaled(scale: float, digits: int) -> Format:
    """Return the column format that shows a multiple: with scale 100 a share is in per cent.

    >>> scaled(100, 1)(0.9712)
    '97.1'
    """

    def show(cell: float | Interval) -> str:
        if isinstance(cell, Interval):
            return format_interval(cell, scale, digits)
        return format_cell(float(scale * cell), digits)

    return show


def format_interval(
    interval: Interval, scale: float = 1.0, digits: int = 3, *, count: bool = True
) -> str:
    """Return an interval as text, multiplied by ``scale`` (100 for per cent).

    Args:
        interval: the interval; its bounds are left out where it has none.
        scale: what estimate and bounds are multiplied by.
        digits: decimal places.
        count: whether to end in the number of values, as "(n=5)".

    >>> format_interval(Interval(0.951, 0.948, 0.954, 5))
    '0.951 [0.948, 0.954] (n=5)'
    >>> format_interval(Interval(0.951, None, None, 1), scale=100, digits=1)
    '95.1 (n=1)'
    """
    text = _number(scale * interval.estimate, digits)
    if interval.low is not None and interval.high is not None:
        bounds = sorted((scale * interval.low, scale * interval.high))
        low, high = (_number(bound, digits) for bound in bounds)
        text += f" [{low}, {high}]"
    return f"{text} (n={interval.count})" if count else text


def format_cell(cell: Cell, digits: int = 3) -> str:
    """Return a cell as text: floats to ``digits`` places, small ones as 1.2e-05, None as a dash.

    >>> [format_cell(cell) for cell in (0.97, 0.00012, 5, True, "Glob5", None, float("nan"))]
    ['0.970', '1.2e-04', '5', 'yes', 'Glob5', '–', '–']
    """
    if cell is None:
        return DASH
    if isinstance(cell, Interval):
        return format_interval(cell, digits=digits)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return _number(cell, digits)
    return str(cell)


def _number(value: float, digits: int) -> str:
    """Return a float to ``digits`` places, in powers of ten where that would show only zeros."""
    if math.isnan(value):
        return DASH
    if value != 0 and abs(value) < 0.5 * 10**-digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


def _is_missing(cell: Cell) -> bool:
    """Say whether a cell holds no value."""
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _are_numbers(cells: Sequence[Cell]) -> bool:
    """Say whether a column holds numbers, and nothing else but values that do not exist."""
    kept = [cell for cell in cells if cell is not None]
    return bool(kept) and all(isinstance(cell, int | float | Interval) for cell in kept)


def _markdown_row(cells: Sequence[str]) -> str:
    """Return one row; a bar or a line break in a cell would end it."""
    clean = [cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells]
    return f"| {' | '.join(clean)} |"


def _csv_fields(cell: Cell, expand: bool) -> list[str]:
    """Return the field of a cell, or the four fields of a column with intervals."""
    if isinstance(cell, Interval):
        bounds = ("" if bound is None else repr(bound) for bound in (cell.low, cell.high))
        return [repr(cell.estimate), *bounds, str(cell.count)]
    if _is_missing(cell):
        field = ""
    else:
        field = repr(float(cell)) if isinstance(cell, float) else _unix(str(cell))
    return [field, "", "", ""] if expand else [field]


def _unix(text: str) -> str:
    """Return text with plain line breaks: csv leaves a lone carriage return unquoted."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _json_value(cell: Cell) -> Any:
    """Return a cell as JSON has it."""
    if isinstance(cell, Interval):
        return dataclasses.asdict(cell)
    return None if _is_missing(cell) else cell
