"""Which blocks the file of a database has: read and compared with the plan as a whole."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from bogp.database.blocks import BLOCK_GRAPHS, read_state
from bogp.database.connect import damaged, reading
from bogp.database.plan import IMPORTED, Plan
from bogp.database.rows import intact
from bogp.outside import conforming, parsed

_ROW = tuple[int, float, int, int, int, str]


class Entry(NamedTuple):
    """What is known of a block without reading it: its first four values are those of a Span."""

    number: int
    sparsity: float
    graphs: int
    first: int
    last: int
    measured: tuple[str, ...]


def read_directory(connection: sqlite3.Connection, path: Path, plan: Plan) -> tuple[Entry, ...]:
    """Return the entry of each block, by number.

    Raises:
        DatabaseError: one is missing or damaged, or is not of the plan. Of an imported database,
            whose blocks the plan does not decide, it says which sparsities there are.
    """
    with reading(path):
        # Both tables in one query: whoever builds adds to both at once.
        rows = connection.execute(
            "SELECT blocks, block.* FROM state LEFT JOIN block ON 1 ORDER BY block.id"
        ).fetchall()
        counted = rows[0][0] if rows else read_state(connection)
        found = tuple(_entry(row[1:-1], row[-1]) for row in rows if row[1] is not None)
    for entry in found:
        if not _is_of(plan, entry):
            raise damaged(path, f"block {entry.number} is not one of its plan")
    if counted != len(found):
        raise damaged(path, f"{len(found)} of {counted} blocks are there")
    return found


def _entry(row: tuple[object, ...], stored: object) -> Entry:
    number, sparsity, graphs, first, last, names = conforming(_ROW, intact("block", row, stored))
    measured = parsed(tuple[str, ...], names)
    return Entry(number, sparsity, graphs, first, last, measured)


def _is_of(plan: Plan, entry: Entry) -> bool:
    if plan.family == IMPORTED:
        known = entry.sparsity in plan.sparsities and 0 < entry.graphs <= BLOCK_GRAPHS
        return known and entry.first + entry.graphs - 1 <= entry.last
    same = plan.span(entry.number) == entry[:4]
    return same and entry.last == entry.first + entry.graphs - 1 and not entry.measured
