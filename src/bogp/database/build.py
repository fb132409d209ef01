"""Algorithm 1: filling a graph database, in batches, so that a kill at any moment loses one."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import numpy as np

from bogp.database.connect import connect, empty_database, one_sentence
from bogp.database.plan import Drawn, Plan, differences, read_plan
from bogp.errors import DatabaseError
from bogp.files import output_folder, write_atomic
from bogp.graphs.properties import properties
from bogp.keys import canonical_json

Progress = Callable[[int, int], None]

BATCH = 64
"""Graphs a transaction: the most that a kill can lose."""


def build_file(path: Path, plan: Plan, progress: Progress | None = None) -> None:
    """Make the database of ``plan`` at ``path``, or whatever graphs of it are still missing.

    ``progress`` is told how many graphs there are at the start and after each batch.

    Raises:
        DatabaseError: ``path`` holds anything but a database of the same plan, or another process
            is building it.
        OutputError: the folder cannot be written to.
        GraphError: the family has no graph of the edge count that a sparsity needs.
    """
    output_folder(path.parent)
    with _only_builder(path):
        if not path.exists():
            _create(path, plan)
        with one_sentence(path), contextlib.closing(connect(path, write=True)) as connection:
            if different := differences(read_plan(connection, path), plan):
                raise DatabaseError(
                    f"{str(path)!r} was built with {different}: "
                    "repeat its settings to continue it, or give another file"
                )
            _fill(connection, plan, progress)


def _create(path: Path, plan: Plan) -> None:
    """Write a file that has the plan and no graph, whole or not at all."""
    for index in range(len(plan.sparsities)):
        plan.draw(index * plan.graphs)  # raises now, before there is a file, if it cannot be drawn
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(empty_database())
        with connection:
            connection.executemany("INSERT INTO plan VALUES (?, ?)", plan.rows())
        content = connection.serialize()
    write_atomic(path, content)


def _fill(connection: sqlite3.Connection, plan: Plan, progress: Progress | None) -> None:
    """Add the missing graphs in the order of their ids and leave one file, without a ``-wal``."""
    stored = {graph_id for (graph_id,) in connection.execute("SELECT id FROM graph")}
    missing = [graph_id for graph_id in range(plan.expected) if graph_id not in stored]
    try:
        if missing:
            # Readers go on while this writes, and a kill leaves the batches that were committed.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        if progress is not None:
            progress(plan.expected - len(missing), plan.expected)
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            _insert(connection, plan, [plan.draw(graph_id) for graph_id in batch])
            if progress is not None:
                done = plan.expected - len(missing) + start + len(batch)
                progress(done, plan.expected)
    finally:
        # Moves the -wal into the file and removes it; a reader in the middle of a query keeps it,
        # which is as good, only not one file.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = DELETE")


def _insert(connection: sqlite3.Connection, plan: Plan, drawn: list[Drawn]) -> None:
    """Describe a batch of graphs and add it in one transaction."""
    values = properties(np.stack([d.graph.adjacency for d in drawn]), plan.names)
    vectors = np.column_stack([values[name] for name in plan.names]).astype("<f8")
    parameters = canonical_json(plan.parameters)
    rows = [
        (
            d.id,
            d.sparsity,
            plan.family,
            parameters,
            d.seed,
            d.graph.edges,
            d.graph.packed(),
            None if d.mask is None else np.packbits(d.mask.numpy()).tobytes(),
        )
        for d in drawn
    ]
    with _transaction(connection):
        connection.executemany("INSERT INTO graph VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.executemany(
            "INSERT INTO vector VALUES (?, ?)",
            [(d.id, vector.tobytes()) for d, vector in zip(drawn, vectors, strict=True)],
        )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit the block, or leave nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _only_builder(path: Path) -> Iterator[None]:
    """Hold the lock file beside ``path`` for the block, or raise at once if another has it."""
    beside = path.with_name(f".{path.name}.lock")
    try:
        with filelock.FileLock(beside, timeout=0):
            try:
                yield
            finally:
                beside.unlink(missing_ok=True)
    except filelock.Timeout as error:
        raise DatabaseError(
            f"{str(path)!r} is being built by another process: wait until that has ended"
        ) from error
