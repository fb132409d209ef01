"""Rows of the file's tables: each is written with its checksum and compared when it is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bogp.checksums import checksum


def insert(connection: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Add ``rows`` to ``table``, inside the caller's transaction."""
    whole = [(*row, _checksum(table, row)) for row in rows]
    if whole:
        places = ", ".join("?" * len(whole[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", whole)


def select(
    connection: sqlite3.Connection, table: str, where: str = "", values: Sequence[Any] = ()
) -> Iterator[tuple[Any, ...]]:
    """Yield rows of ``table``, each without its checksum, which was compared.

    Raises:
        ValueError: a row is not what was written.
    """
    for *row, stored in connection.execute(f"SELECT * FROM {table} {where}", values):
        yield intact(table, row, stored)


def intact(table: str, row: Sequence[Any], stored: Any) -> tuple[Any, ...]:
    """Return a row whose checksum is the one that is stored with it.

    Raises:
        ValueError: it is not.
    """
    if stored != _checksum(table, row):
        raise ValueError(f"row {row[0]!r} of table {table} is not what was written there")
    return tuple(row)


def _checksum(table: str, row: Sequence[Any]) -> str:
    blobs = [value for value in row if isinstance(value, bytes)]
    fields = [None if isinstance(value, bytes) else [value] for value in row]
    return checksum([table, fields], *blobs)
