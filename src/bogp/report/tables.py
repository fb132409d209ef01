"""Tables of results, and one way to write them as text, Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.table import Table as RichTable
from rich.text import Text

from bogp.analysis import Interval
from bogp.errors import SettingError

Cell = str | int | float | Interval | None
"""What a table holds: None is a value that does not exist, shown as a dash."""

DASH = "–"


@dataclass(frozen=True)
class Table:
    """A titled table, its cells kept as values so that each format shows them its own way.

    Attributes:
        title: one line.
        columns: the column headings (C,).
        rows: the rows, each (C,); any sequences are accepted and kept as tuples.
        notes: sentences printed below the table, such as the protocol.
        digits: the decimal places of floats and intervals; CSV always has all of them.

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
    """

    title: str
    columns: Sequence[str]
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
                    f"{len(self.columns)} columns: give one cell a column"
                )

    def to_markdown(self) -> str:
        """Return the table as GitHub Markdown, headed by its title and followed by its notes."""
        numeric = _numeric_columns(self)
        lines = [
            _markdown_row(self.columns),
            _markdown_row(["---:" if right else ":---" for right in numeric]),
            *(_markdown_row([format_cell(cell, self.digits) for cell in row]) for row in self.rows),
        ]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"**{self.title}**\n", *lines, *notes])

    def to_csv(self) -> str:
        """Return the table as CSV in full precision, without title and notes.

        A column that holds an interval becomes four: ``name``, ``name low``, ``name high`` and
        ``name n``. A value that does not exist is an empty field.

        >>> print(Table("t", ["s", "ours"], [[0.9, Interval(0.95, 0.9, 1.0, 5)]]).to_csv(), end="")
        s,ours,ours low,ours high,ours n
        0.9,0.95,0.9,1.0,5
        """
        wide = [any(isinstance(cell, Interval) for cell in column) for column in _columns(self)]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        heads = [
            [name, f"{name} low", f"{name} high", f"{name} n"] if expand else [name]
            for name, expand in zip(self.columns, wide, strict=True)
        ]
        writer.writerow([_unix(name) for head in heads for name in head])
        for row in self.rows:
            fields = [_csv_fields(cell, w) for cell, w in zip(row, wide, strict=True)]
            writer.writerow([value for field in fields for value in field])
        return buffer.getvalue()

    def to_rich(self) -> RichTable:
        """Return the table for ``rich.print``; its text is never read as rich's markup."""
        table = RichTable(title=Text(self.title), caption=Text("\n".join(self.notes)) or None)
        for name, right in zip(self.columns, _numeric_columns(self), strict=True):
            table.add_column(Text(name), justify="right" if right else "left")
        for row in self.rows:
            table.add_row(*(Text(format_cell(cell, self.digits)) for cell in row))
        return table

    def to_html(self) -> str:
        """Return the table as an escaped HTML ``<table>`` with a caption; notes follow it."""
        numeric = _numeric_columns(self)
        head = "".join(
            _html_cell("th", name, r) for name, r in zip(self.columns, numeric, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                _html_cell("td", format_cell(cell, self.digits), right)
                for cell, right in zip(row, numeric, strict=True)
            )
            + "</tr>\n"
            for row in self.rows
        )
        notes = "".join(f'<p class="note">{escape(note)}</p>\n' for note in self.notes)
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.title)}">'
            f"<table><caption>{escape(self.title)}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n{notes}"
        )


def format_interval(interval: Interval, scale: float = 1.0, digits: int = 3) -> str:
    """Return an interval as text, multiplied by ``scale`` (100 for per cent).

    >>> format_interval(Interval(0.951, 0.948, 0.954, 5))
    '0.951 [0.948, 0.954] (n=5)'
    >>> format_interval(Interval(0.951, None, None, 1), scale=100, digits=1)
    '95.1 (n=1)'
    """
    value = _number(scale * interval.estimate, digits)
    if interval.low is None or interval.high is None:
        return f"{value} (n={interval.count})"
    bounds = sorted((scale * interval.low, scale * interval.high))
    low, high = (_number(bound, digits) for bound in bounds)
    return f"{value} [{low}, {high}] (n={interval.count})"


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


def _columns(table: Table) -> list[list[Cell]]:
    """Return the cells column by column."""
    return [[row[index] for row in table.rows] for index in range(len(table.columns))]


def _numeric_columns(table: Table) -> list[bool]:
    """Say of each column whether it holds numbers only, and so is set to the right."""
    return [
        any(cell is not None for cell in column)
        and all(cell is None or isinstance(cell, int | float | Interval) for cell in column)
        for column in _columns(table)
    ]


def _markdown_row(cells: Sequence[str]) -> str:
    """Return one row; a bar or a line break in a cell would end it."""
    clean = [cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells]
    return f"| {' | '.join(clean)} |"


def _csv_fields(cell: Cell, expand: bool) -> list[str]:
    """Return the one field, or four of a column with intervals, of a cell."""
    if isinstance(cell, Interval):
        bounds = ("" if bound is None else repr(bound) for bound in (cell.low, cell.high))
        return [repr(cell.estimate), *bounds, str(cell.count)]
    missing = cell is None or (isinstance(cell, float) and math.isnan(cell))
    field = "" if missing else repr(float(cell)) if isinstance(cell, float) else _unix(str(cell))
    return [field, "", "", ""] if expand else [field]


def _unix(text: str) -> str:
    """Return text with plain line breaks: csv leaves a lone carriage return unquoted."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _html_cell(tag: str, text: str, right: bool) -> str:
    """Return one escaped table cell."""
    scope = ' scope="col"' if tag == "th" else ""
    kind = ' class="number"' if right else ""
    return f"<{tag}{scope}{kind}>{escape(text)}</{tag}>"
