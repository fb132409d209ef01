"""Algorithm 1: filling a graph database block by block, on all cores, so that a kill loses little.

Threads draw and describe blocks, each a function of the plan alone; the caller's thread writes
them in order, about two transactions a second. What is in the file therefore depends neither on
the number of threads nor on how often the build was stopped.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bogp.cores import available_cores
from bogp.database.blocks import (
    Block,
    Bytes,
    Origin,
    write_blocks,
    write_origins,
    write_state,
)
from bogp.database.connect import (
    connect,
    empty_database,
    one_sentence,
    only_writer,
    remove_leftovers,
)
from bogp.database.directory import read_directory
from bogp.database.plan import MIXED, RANDOM_MASK, Plan, Span, read_plan
from bogp.database.rows import insert
from bogp.errors import DatabaseError, SettingError
from bogp.files import output_folder, write_atomic
from bogp.graphs import describe
from bogp.graphs.generators import generate, random_mask
from bogp.graphs.kernels.bits import Rows, pack, pack_triangles
from bogp.graphs.mixed import draw_mixed
from bogp.graphs.pilot import Pilot, run_pilot
from bogp.graphs.relational import mask_to_graph
from bogp.keys import derive_seed
from bogp.types import Floats, Progress

COMMIT_SECONDS = 0.5
"""How long blocks are gathered for one transaction; a kill loses about as much work."""

COMMIT_BYTES = 1 << 26
"""The most bytes that are gathered for one transaction."""

_ONE_MIXTURE_AT_A_TIME = threading.Lock()


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
            for index, sparsity in enumerate(plan.sparsities):  # raises before there is a file
                draw(plan, Span(0, sparsity, 1, index * plan.graphs))
            write_atomic(path, planned_database(plan, plan.origins))
        with one_sentence(path), contextlib.closing(connect(path, write=True)) as connection:
            if different := read_plan(connection, path).differences(plan):
                raise DatabaseError(
                    f"{str(path)!r} was built with {different}: "
                    "repeat its settings to continue it, or give another file"
                )
            stored = {entry.number for entry in read_directory(connection, path, plan)}
            _fill(connection, plan, stored, progress, workers)


def planned_database(plan: Plan, origins: Iterable[Origin]) -> bytes:
    """Return the content of a database file that has its plan and origins, and no graph yet."""
    with contextlib.closing(empty_database()) as connection:
        with connection:
            insert(connection, "plan", plan.rows())
            write_origins(connection, origins)
            write_state(connection, 0)
        return connection.serialize()


def _fill(
    connection: sqlite3.Connection,
    plan: Plan,
    stored: set[int],
    progress: Progress | None,
    threads: int,
) -> None:
    """Add the blocks that are not ``stored``, in order, and leave one file, without a ``-wal``."""
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
                with connection:
                    write_blocks(connection, group)
                done += sum(block.graphs for block in group)
                if progress is not None:
                    progress(done, plan.expected)
    finally:
        # This moves the -wal into the file and removes it. A reader in the middle of a query keeps
        # it, which is as good, only not one file.
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


@dataclass(frozen=True, eq=False)
class Drawn:
    """The graphs of a block before their properties are known; each array has a row a graph."""

    seeds: npt.NDArray[np.uint64]
    origins: npt.NDArray[np.int32]
    numbers: Floats
    rows: Rows
    masks: Bytes | None  # packed bits, family random_mask only


def make_block(plan: Plan, span: Span) -> Block:
    """Draw and describe the graphs of one block."""
    drawn = draw(plan, span)
    triangles = pack_triangles(drawn.rows)
    return Block(
        number=span.number,
        sparsity=span.sparsity,
        ids=np.arange(span.first, span.first + span.graphs, dtype=np.int64),
        vectors=describe(drawn.rows, plan.names, threads=1),
        seeds=drawn.seeds,
        edges=np.bitwise_count(triangles).sum(axis=1, dtype=np.int32),
        origins=drawn.origins,
        numbers=drawn.numbers,
        triangles=triangles,
        masks=drawn.masks,
    )


def draw(plan: Plan, span: Span) -> Drawn:
    """Return the graphs of a block, each from its own seed and parameters alone."""
    index, start = divmod(span.first, plan.graphs)
    edges = plan.edges[index]
    if plan.family == MIXED:
        settings = mixture_of(plan, index).settings(start, span.graphs, plan.graphs)
        rows = draw_mixed(plan.nodes, edges, settings.seeds, settings.kinds, settings.values)
        kinds = settings.kinds.astype(np.int32)
        return Drawn(settings.seeds, kinds, settings.values, rows, None)
    seeds = [
        derive_seed(plan.seed, plan.family, plan.nodes, span.sparsity, k)
        for k in range(start, start + span.graphs)
    ]
    masks = None
    if plan.family == RANDOM_MASK:
        drawn = [random_mask(*plan.shape, span.sparsity, seed) for seed in seeds]
        graphs = [mask_to_graph(mask, plan.nodes) for mask in drawn]
        masks = np.packbits(np.stack([m.numpy() for m in drawn]).reshape(len(drawn), -1), axis=1)
    else:
        graphs = [
            generate(plan.family, plan.nodes, edges, seed, **plan.parameters) for seed in seeds
        ]
    return Drawn(
        seeds=np.array(seeds, dtype=np.uint64),
        origins=np.zeros(span.graphs, dtype=np.int32),
        numbers=np.empty((span.graphs, 0)),
        rows=pack(np.stack([graph.adjacency for graph in graphs])),
        masks=masks,
    )


def mixture_of(plan: Plan, index: int) -> Pilot:
    """Return what chooses the kinds and parameters of the graphs of one sparsity, family mixed."""
    seed = derive_seed(plan.seed, MIXED, plan.nodes, plan.sparsities[index])
    with _ONE_MIXTURE_AT_A_TIME:  # or each thread that comes to need it would make its own
        return _mixture(plan.nodes, plan.edges[index], seed, plan.parameters["pilot"])


@lru_cache(maxsize=32)
def _mixture(nodes: int, edges: int, seed: int, pilot: int) -> Pilot:
    """Return the mixture of one sparsity, made once for all its blocks."""
    return run_pilot(nodes, edges, seed, pilot)
