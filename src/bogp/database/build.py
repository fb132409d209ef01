"""Algorithm 1: filling a graph database block by block, on all cores, so that a kill loses little.

Threads draw and describe blocks, each a function of the plan alone; the caller's thread writes
them in order, about two transactions a second. What is in the file therefore depends neither on
the number of threads nor on how often the build was stopped.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import filelock

from bogp.cores import available_cores
from bogp.database.blocks import Block, Origin, write_block, write_origins
from bogp.database.connect import (
    connect,
    empty_database,
    one_sentence,
    remove_leftovers,
    transaction,
)
from bogp.database.plan import Plan, Span, check_blocks, differences, read_plan
from bogp.errors import DatabaseError, SettingError
from bogp.files import output_folder, write_atomic
from bogp.graphs import describe
from bogp.graphs.kernels.bits import pack_triangles
from bogp.types import Progress

COMMIT_SECONDS = 0.5
"""How long blocks are gathered for one transaction: about what a kill can lose."""

COMMIT_BYTES = 1 << 26
"""How much is gathered at most."""


def build_file(
    path: Path, plan: Plan, progress: Progress | None = None, threads: int | None = None
) -> None:
    """Make the database of ``plan`` at ``path``, or whatever blocks of it are still missing.

    ``progress`` is told how many graphs there are at the start and after each transaction.

    Raises:
        DatabaseError: ``path`` holds anything but a database of the same plan, or another process
            is building it.
        OutputError: the folder cannot be written to.
        GraphError: the family has no graph of the edge count that a sparsity needs.
        SettingError: ``threads`` is below 1.
    """
    workers = available_cores() if threads is None else threads
    if workers < 1:
        raise SettingError(
            f"{threads} threads cannot build: give at least 1, or None for all cores"
        )
    output_folder(path.parent)
    with only_writer(path):
        if not path.exists():
            remove_leftovers(path)
            _create(path, plan)
        with one_sentence(path), contextlib.closing(connect(path, older=True)) as connection:
            if different := differences(read_plan(connection, path), plan):
                raise DatabaseError(
                    f"{str(path)!r} was built with {different}: "
                    "repeat its settings to continue it, or give another file"
                )
        with one_sentence(path), contextlib.closing(connect(path, write=True)) as connection:
            check_blocks(connection, path, plan)
            _fill(connection, plan, progress, workers)


def migrate_file(path: Path) -> None:
    """Bring the database at ``path`` to the schema's version, whole or not at all.

    Raises:
        DatabaseError: there is no such file, it is no bogp database or of a version that cannot
            be brought up to date, or another process is building it.
        OutputError: the folder cannot be written to.
    """
    connect(path, older=True).close()  # what is not ours is refused without a lock file
    output_folder(path.parent)
    with (
        only_writer(path),
        one_sentence(path),
        contextlib.closing(connect(path, write=True)) as connection,
    ):
        _one_file(connection)


def _create(path: Path, plan: Plan) -> None:
    """Write a file that has the plan and no graph, whole or not at all."""
    for index in range(len(plan.sparsities)):
        plan.draw(Span(0, index, 0, 1))  # raises now, before there is a file, if it cannot be drawn
    write_atomic(path, planned_database(plan))


def planned_database(plan: Plan, origins: tuple[Origin, ...] | None = None) -> bytes:
    """Return the content of a database file without a graph, by default with the plan's origins."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(empty_database())
        with connection:
            connection.executemany("INSERT INTO plan VALUES (?, ?)", plan.rows())
            write_origins(connection, plan.origins if origins is None else origins)
        return connection.serialize()


def _fill(
    connection: sqlite3.Connection, plan: Plan, progress: Progress | None, threads: int
) -> None:
    """Add the missing blocks in order and leave one file, without a ``-wal``."""
    stored = {number for (number,) in connection.execute("SELECT id FROM block")}
    missing = [span for span in plan.spans if span.number not in stored]
    done = plan.expected - sum(span.graphs for span in missing)
    try:
        if missing:
            # Readers go on while this writes, and a kill leaves what was committed.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        if progress is not None:
            progress(done, plan.expected)
        with contextlib.closing(_made(plan, missing, threads)) as blocks:
            for group in _gathered(blocks):
                with transaction(connection):
                    for block in group:
                        write_block(connection, block)
                done += sum(block.graphs for block in group)
                if progress is not None:
                    progress(done, plan.expected)
    finally:
        _one_file(connection)


def _one_file(connection: sqlite3.Connection) -> None:
    """Move the -wal into the file and remove it.

    A reader in the middle of a query keeps it, which is as good, only not one file.
    """
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = DELETE")


def _made(plan: Plan, spans: list[Span], threads: int) -> Generator[Block]:
    """Yield the blocks of ``spans`` in order, a few of them in the making at any moment."""
    with ThreadPoolExecutor(threads, thread_name_prefix="bogp-build") as pool:
        waiting: deque[Future[Block]] = deque()
        try:
            for span in spans:
                waiting.append(pool.submit(make_block, plan, span))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def make_block(plan: Plan, span: Span) -> Block:
    """Draw and describe the graphs of one block."""
    drawn = plan.draw(span)
    return Block(
        number=span.number,
        sparsity=plan.sparsities[span.index],
        ids=plan.ids(span),
        vectors=describe(drawn.rows, plan.names, threads=1),
        seeds=drawn.seeds,
        edges=drawn.edges,
        origins=drawn.origins,
        numbers=drawn.numbers,
        triangles=pack_triangles(drawn.rows),
        masks=drawn.masks,
    )


def _gathered(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Yield blocks in groups that took about :data:`COMMIT_SECONDS` to make."""
    group: list[Block] = []
    size, since = 0, time.monotonic()
    for block in blocks:
        group.append(block)
        size += sum(0 if part is None else part.nbytes for part in (block.triangles, block.masks))
        if time.monotonic() - since >= COMMIT_SECONDS or size >= COMMIT_BYTES:
            yield group
            group, size, since = [], 0, time.monotonic()
    if group:
        yield group


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock file beside ``path`` for the block, or raise at once if another has it."""
    beside = path.with_name(f".{path.name}.lock")
    try:
        with filelock.FileLock(beside, timeout=0):
            try:
                yield
            finally:
                # While it is held, so that the file is surely ours; whoever waits at it then finds
                # that it has no name and is refused, as FileLock looks for that. Windows lets go of
                # an open file only when it is released, and there FileLock removes it.
                with contextlib.suppress(OSError):
                    beside.unlink()
    except filelock.Timeout as error:
        raise DatabaseError(
            f"{str(path)!r} is being built by another process: wait until that has ended"
        ) from error
