"""Tables as files: CSV or Parquet, read and written some rows at a time."""

from __future__ import annotations

import contextlib
import csv
import importlib
import os
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bogp.errors import DatabaseError, OutputError
from bogp.files import output_folder

Columns = dict[str, list[Any]]
"""Some rows of a table: column → cells. A CSV file's cells are text, empty where there is none."""

SUFFIXES = (".csv", ".parquet")

ROWS = 4096
"""Rows held at a time, at most."""

CHARACTERS = 1 << 24
"""Characters of a CSV file held at a time, but for the last row."""

_LONGEST = (1 << 31) - 1  # characters of a cell; more than csv takes on every machine


def check_suffix(path: Path) -> None:
    """Raise DatabaseError unless ``path`` is named as a kind of table that bogp knows."""
    if path.suffix.lower() not in SUFFIXES:
        raise DatabaseError(
            f"table {str(path)!r} is neither CSV nor Parquet by its name: let it end in .csv or "
            ".parquet"
        )
    if path.suffix.lower() == ".parquet":
        _pyarrow(path)


def write_table(path: Path, kinds: Mapping[str, str], batches: Iterable[Columns]) -> None:
    """Write a table to ``path``, whole or not at all.

    Args:
        path: a name that ends in .csv or .parquet.
        kinds: column → ``int``, ``float``, ``seed`` (64 bits) or ``text``, in order.
        batches: the rows.

    Raises:
        DatabaseError: of another name, or pyarrow is missing.
        OutputError: the file cannot be written.
    """
    check_suffix(path)
    with new_file(path) as temporary:
        if path.suffix.lower() == ".csv":
            _write_csv(temporary, kinds, batches)
        else:
            _write_parquet(temporary, kinds, batches)


def read_table(path: Path) -> tuple[list[str], Generator[Columns]]:
    """Return the columns of a table and its rows, a few thousand at a time.

    Raises:
        DatabaseError: there is no such file, or it is no table; also while reading.
    """
    check_suffix(path)
    if not path.is_file():
        raise DatabaseError(f"there is no table at {str(path)!r}: give a .csv or .parquet file")
    batches = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    header = list(next(batches))
    return header, batches


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the name of a new file, which takes the place of ``path`` once the block has ended.

    Raises:
        OutputError: the file cannot be written.
    """
    output_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            yield Path(name)
            with Path(name).open("rb") as file:
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r} ({error.strerror or error})") from error


def _write_csv(path: Path, kinds: Mapping[str, str], batches: Iterable[Columns]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(kinds)
        for batch in batches:
            # None becomes an empty cell, a float the shortest text that reads as the same number.
            writer.writerows(zip(*(batch[name] for name in kinds), strict=True))


def _write_parquet(path: Path, kinds: Mapping[str, str], batches: Iterable[Columns]) -> None:
    arrow, parquet = _pyarrow(path)
    types = {
        "int": arrow.int64(),
        "seed": arrow.uint64(),
        "float": arrow.float64(),
        "text": arrow.string(),
    }
    schema = arrow.schema([(name, types[kind]) for name, kind in kinds.items()])
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in batches:
            cells = {name: batch[name] for name in kinds}
            writer.write_table(arrow.Table.from_pydict(cells, schema=schema))


def _read_csv(path: Path) -> Generator[Columns]:
    """Yield the header with no rows, then the rows."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(header, path)
            yield {name: [] for name in header}
            numbered = enumerate((row for row in reader if row), 1)
            while rows := _some_rows(numbered, len(header), path):
                yield dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatabaseError(
            f"table {str(path)!r} is not CSV in UTF-8 ({error}): save it as that"
        ) from error
    except OSError as error:
        raise DatabaseError(
            f"cannot read table {str(path)!r} ({error.strerror or error})"
        ) from error


def _some_rows(
    numbered: Iterator[tuple[int, list[str]]], cells: int, path: Path
) -> list[list[str]]:
    """Return the next rows of ``numbered``, none at its end, each with as many cells as given."""
    rows: list[list[str]] = []
    size = 0
    before = csv.field_size_limit(_LONGEST)  # of the whole process: a graph is one long cell
    try:
        for number, row in numbered:
            if len(row) != cells:
                raise DatabaseError(
                    f"row {number} of {str(path)!r} has {len(row)} cells and the header "
                    f"{cells}: give every row a cell for each column"
                )
            rows.append(row)
            size += sum(map(len, row))
            if len(rows) == ROWS or size >= CHARACTERS:
                break
    finally:
        csv.field_size_limit(before)
    return rows


def _read_parquet(path: Path) -> Generator[Columns]:
    """Yield the header with no rows, then the rows."""
    arrow, parquet = _pyarrow(path)
    try:
        with parquet.ParquetFile(path) as file:
            header = list(file.schema_arrow.names)
            _check_header(header, path)
            yield {name: [] for name in header}
            for batch in file.iter_batches(batch_size=ROWS):
                yield batch.to_pydict()
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatabaseError(
            f"table {str(path)!r} is not Parquet that can be read ({reason}): write it again"
        ) from error


def _check_header(header: list[str], path: Path) -> None:
    """Raise DatabaseError unless every column has a name of its own."""
    if not header:
        raise DatabaseError(f"table {str(path)!r} is empty: its first row must name its columns")
    for name in header:
        if header.count(name) > 1 or not name:
            raise DatabaseError(
                f"table {str(path)!r} has {header.count(name)} columns named {name!r}: give each a "
                "name of its own"
            )


def _pyarrow(path: Path) -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DatabaseError(
            f"table {str(path)!r} needs pyarrow: install it with `pip install 'bogp[parquet]'`, or "
            "use a .csv file"
        ) from error
