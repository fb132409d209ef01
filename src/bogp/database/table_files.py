"""CSV and Parquet files as pyarrow reads and types them, and their columns as checked arrays."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bogp.database.blocks import EXACT, Bytes
from bogp.errors import DatabaseError, first_line
from bogp.keys import canonical_json
from bogp.outside import check_unfolded, parsed
from bogp.types import Floats

ROWS = 4096
"""The most rows of a table that are turned into arrays at a time."""

CSV_BYTES = 1 << 25
"""How much of a CSV file is held at a time; no row may be longer."""

MOST_COLUMNS = 1000
"""The most columns of a table."""

HEADER_BYTES = 1 << 20
"""How much of the first line of a CSV file is looked at to count them."""

_FIXES = {
    ".csv": "save it as CSV in UTF-8, every row with a cell for each column, or as Parquet",
    ".parquet": "write it as Parquet again",
}


def table_format(path: Path) -> str:
    """Return the suffix of a table's name, ``.csv`` or ``.parquet``, or raise DatabaseError."""
    suffix = path.suffix.lower()
    if suffix not in _FIXES:
        raise DatabaseError(
            f"table {str(path)!r} is neither CSV nor Parquet by its name: let it end in .csv or "
            ".parquet"
        )
    return suffix


def read_table(path: Path) -> tuple[list[str], Generator[Any]]:
    """Return the column names of a table, and its rows as pyarrow record batches.

    The cells of a CSV file stay text; those of a Parquet file have the types that it gives them.

    Raises:
        DatabaseError: there is no such file, it is no table, or two columns have one name; while
            rows are read, a row has another number of cells than the header.
    """
    table_format(path)
    if not path.is_file():
        raise DatabaseError(f"there is no table at {str(path)!r}: give a .csv or .parquet file")
    parts = _read(path)
    header = [name.strip() for name in next(parts)] if path.stat().st_size else []
    if not header:
        raise DatabaseError(f"table {str(path)!r} is empty: its first row must name its columns")
    for name, count in Counter(header).items():
        if count > 1 or not name:
            raise DatabaseError(
                f"table {str(path)!r} has {count} columns named {name!r}: give each a name of its "
                "own"
            )
    return header, parts


def _read(path: Path) -> Generator[Any]:
    """Yield the names of the columns, then record batches."""
    from pyarrow import ArrowException, parquet

    suffix = table_format(path)
    try:
        if suffix == ".csv":
            yield from _read_csv(path)
        else:
            with parquet.ParquetFile(path) as file:
                found = file.metadata
                _check_columns(path, found.num_columns)
                size = 8 * found.num_rows * found.num_columns
                check_unfolded(path.stat().st_size, size)
                yield file.schema_arrow.names
                yield from file.iter_batches(batch_size=ROWS)
    except (ArrowException, OSError, ValueError) as error:
        raise DatabaseError(
            f"table {str(path)!r} cannot be read ({first_line(error)}): {_FIXES[suffix]}"
        ) from error


def _check_columns(path: Path, count: int) -> None:
    if count > MOST_COLUMNS:
        raise DatabaseError(
            f"table {str(path)!r} has {count} columns: leave out what is no property and no "
            f"measured value, so that there are {MOST_COLUMNS} at most"
        )


def _read_csv(path: Path) -> Generator[Any]:
    """Yield the names of the columns, then record batches of text."""
    import pyarrow
    from pyarrow import csv

    def opened(types: dict[str, Any]) -> Any:
        return csv.open_csv(
            path,
            read_options=csv.ReadOptions(block_size=CSV_BYTES, use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=types),
        )

    with path.open("rb") as file:  # before pyarrow makes room for each of them
        _check_columns(path, file.readline(HEADER_BYTES).count(b",") + 1)
    with opened({}) as reader:
        names = reader.schema.names
    yield names
    last = ""
    with opened(dict.fromkeys(names, pyarrow.string())) as reader:
        for batch in reader:
            for start in range(0, len(batch), ROWS):
                yield batch.slice(start, ROWS)
            last = batch.columns[-1][-1].as_py() if len(batch) else last
    # pyarrow takes the end of the file for the end of a cell whose quote is never closed.
    if "\n" in last and not _tail(path).rstrip().endswith(b'"'):
        raise pyarrow.ArrowInvalid("the quote that opens its last cell is never closed")


def _tail(path: Path) -> bytes:
    """Return the last bytes of a file."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 1 << 10), os.SEEK_END)
        return file.read()


@dataclass(frozen=True)
class Column:
    """Some cells of one column of a table, which become an array or an error that names the row.

    ``first`` is the number of their first row in the table, counted from 1. A cell is empty if it
    is null, NaN or nothing but spaces.
    """

    path: Path
    name: str
    first: int
    cells: Any  # pyarrow.Array

    def error(self, row: int, what: str) -> DatabaseError:
        """Return the error of the cell in ``row``, an index of ``cells``."""
        shown = repr(self.cells[row].as_py())
        shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
        return DatabaseError(
            f"row {self.first + row} of {str(self.path)!r}: {self.name} {shown} {what}"
        )

    def floats(self, *, missing: bool = False) -> Floats:
        """Return finite numbers, float64 (rows,); with ``missing``, NaN for an empty cell."""
        import pyarrow

        try:
            numbers = self.cells.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            values = self.cells.to_pylist()  # one of them is empty or no number
            numbers = np.array([self._float(row, value) for row, value in enumerate(values)])
        wrong = np.isinf(numbers) if missing else ~np.isfinite(numbers)
        if wrong.any():
            what = "is not a finite number: give one, or leave the row out"
            raise self.error(int(wrong.argmax()), what)
        return np.asarray(numbers, dtype=np.float64)

    def _float(self, row: int, value: Any) -> float:
        try:
            return np.nan if _empty(value) else float(value)
        except (ValueError, TypeError) as error:
            raise self.error(row, "is not a number: give one") from error

    def whole(self, least: int, most: int, *, empty: int | None = None) -> list[int]:
        """Return whole numbers from ``least`` to ``most``, and ``empty`` for an empty cell.

        12.0 is taken for 12, as many a library writes it so in a column with gaps.
        """
        numbers = []
        for row, value in enumerate(self.cells.to_pylist()):
            if empty is not None and _empty(value):
                numbers.append(empty)
                continue
            number = _whole(value)
            if number is None or not least <= number <= most:
                raise self.error(
                    row, f"is not an exact whole number from {least} to {most}: give one"
                )
            numbers.append(number)
        return numbers

    def texts(self) -> list[str]:
        """Return texts, the empty one for an empty cell."""
        return ["" if _empty(value) else str(value) for value in self.cells.to_pylist()]

    def objects(self) -> list[dict[str, Any]]:
        """Return JSON objects, the empty one for an empty cell."""
        found = []
        for row, text in enumerate(self.texts()):
            try:
                value = parsed(dict[str, Any], text or "{}")
                canonical_json(value)  # raises for numbers that JSON has not
            except ValueError as error:
                raise self.error(row, "is not a JSON object: give one, {} say") from error
            found.append(value)
        return found

    def packed(self, bits: int, what: str) -> Bytes:
        """Return hexadecimal cells as bytes, uint8 (rows, bytes); ``what`` has so many bits."""
        parts, width = [], (bits + 7) // 8
        for row, text in enumerate(self.texts()):
            try:
                part = bytes.fromhex(text)
            except ValueError as error:
                raise self.error(
                    row, "is not hexadecimal: write each byte as two digits"
                ) from error
            if len(part) != width:
                raise self.error(row, f"has {len(part)} bytes: {what} has {width}")
            if bits % 8 and part[-1] & (0xFF >> bits % 8):
                raise self.error(row, f"has bits beyond those of {what}: give the right number")
            parts.append(part)
        return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(parts), width)


def _empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or bool(value != value)


def _whole(value: Any) -> int | None:
    """Return a cell as a whole number, None where it is none or too large a float to be exact."""
    try:
        return int(value if isinstance(value, int) else str(value))
    except ValueError:
        with contextlib.suppress(ValueError, TypeError):
            number = float(value)
            if number.is_integer() and abs(number) < EXACT:
                return int(number)
    return None
