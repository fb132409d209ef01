"""Whether everything in the file of a database is what was written there."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bogp.database.blocks import UNKNOWN_EDGES, Block
from bogp.database.connect import integrity
from bogp.database.store import GraphDatabase
from bogp.errors import DatabaseError
from bogp.types import Progress


@dataclass(frozen=True)
class CheckedDatabase:
    """What was read of a database.

    Attributes:
        blocks: that it says it has.
        graphs: that they hold.
        expected: graphs once it is complete.
        damage: a sentence for each block, or part of the file, that is not what was written.
    """

    blocks: int
    graphs: int
    expected: int
    damage: tuple[str, ...]


def check_database(
    path: str | os.PathLike[str], progress: Progress | None = None
) -> CheckedDatabase:
    """Read all of a database and compare it with its checksums; a block is in memory at a time.

    Args:
        path: of the database, which another process may be building.
        progress: told (blocks read, blocks in all) before each block and at the end.

    Raises:
        DatabaseError: there is no such file, or its plan or the list of its blocks is damaged, so
            that nothing else can be said of it.
    """
    with GraphDatabase.open(path) as opened:
        numbers = opened.block_numbers()
        damage = [*integrity(opened.reader.connection, opened.path)]

        def read(act: Callable[[], object]) -> None:
            try:
                act()
            except DatabaseError as error:
                damage.append(str(error))

        read(lambda: opened.reader.origins)
        for done, number in enumerate(numbers):
            if progress is not None:
                progress(done, len(numbers))
            read(functools.partial(_check_block, opened, number))
        if progress is not None:
            progress(len(numbers), len(numbers))
        return CheckedDatabase(len(numbers), len(opened), opened.expected, tuple(damage))


def _check_block(opened: GraphDatabase, number: int) -> None:
    block = opened.reader.block(number, with_measured=True)
    opened.reader.made(block)
    if not _edges_fit(block):
        raise DatabaseError(
            f"block {number} of {str(opened.path)!r} has other numbers of edges than its graphs: "
            "build it again under another name"
        )


def _edges_fit(block: Block) -> bool:
    if block.triangles is None:
        return True
    counted = np.bitwise_count(block.triangles).sum(axis=1, dtype=np.int64)
    return bool(((block.edges == counted) | (block.edges == UNKNOWN_EDGES)).all())
