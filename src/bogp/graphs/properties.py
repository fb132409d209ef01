"""Properties of many graphs at once: their names, and how they are computed chunk by chunk.

Each property is one function of a :class:`Batch`, in ``measures.py`` or ``spectral.py``. A chunk of
graphs is one batch, whose shared intermediates come from compiled kernels that release the GIL, so
threads take a chunk each; no graph's numbers depend on its chunk or on the threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from bogp.cores import available_cores
from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs import measures, spectral
from bogp.graphs.batch import Batch
from bogp.graphs.engine.bits import Rows, Values, check_stack, words
from bogp.graphs.relational import RelationalGraph
from bogp.types import BoolArray

Chunk = TypeVar("Chunk")

_CHUNK = 1 << 14
"""Nodes of a chunk: enough graphs to hide what a call costs, few enough to stay in the cache."""


def properties(
    adjacency: Any, names: Iterable[str] | None = None, threads: int | None = None
) -> dict[str, Values]:
    """Return properties of many graphs: name → float64 array (graphs,), in the order of ``names``.

    Args:
        adjacency: bool array or tensor (graphs, nodes, nodes), symmetric; self-loops are ignored.
            Or one :class:`RelationalGraph`, or an iterable of such arrays or graphs, all of one
            number of nodes: it is taken piece by piece, so that it need not fit in memory.
        names: keys of :data:`PROPERTIES`, or one of them; :data:`PAPER_FIVE` by default.
        threads: how many chunks of graphs to work on at once; all cores by default. The result is
            the same for every number.

    Raises:
        GraphError: ``adjacency`` is not three-dimensional, square and symmetric, or its pieces
            differ in their number of nodes.
        UnknownNameError: no such property.
        SettingError: ``threads`` is below 1.

    >>> triangle_and_path = np.array([[[0, 1, 1], [1, 0, 1], [1, 1, 0]],
    ...                               [[0, 1, 0], [1, 0, 1], [0, 1, 0]]], dtype=bool)
    >>> found = properties(triangle_and_path, ["clustering", "cycle_rank"])
    >>> {name: values.tolist() for name, values in found.items()}
    {'clustering': [1.0, 0.0], 'cycle_rank': [1.0, 0.0]}
    """
    wanted = _checked_names(PAPER_FIVE if names is None else names)
    workers = _checked_threads(threads)

    def vectors(chunk: tuple[int, BoolArray]) -> Values:
        return _vectors(Batch.of(chunk[1], first=chunk[0]), wanted)

    parts = list(_in_order(vectors, _chunks(_pieces(adjacency)), workers))
    whole = np.concatenate([np.empty((0, len(wanted))), *parts])
    return {name: whole[:, column].copy() for column, name in enumerate(wanted)}


def describe(rows: Rows, names: Sequence[str], threads: int | None = 1) -> Values:
    """Return the property vectors of bit-packed graphs, float64 (graphs, names).

    Args:
        rows: uint64 (graphs, nodes, words) as ``engine.bits.pack`` makes it: symmetric, without
            self-loops.
        names: keys of :data:`PROPERTIES`, one for each column.
        threads: how many chunks of graphs to work on at once, None for all cores. The result is
            the same for every number.

    Raises:
        GraphError: ``rows`` is no such array.
        UnknownNameError: no such property.
        SettingError: ``threads`` is below 1.

    >>> from bogp.graphs.engine.bits import pack
    >>> describe(pack(np.ones((1, 3, 3))), ["clustering", "cycle_rank"]).tolist()
    [[1.0, 1.0]]
    """
    wanted = _checked_names(names)
    workers = _checked_threads(threads)
    if rows.dtype != np.uint64 or rows.ndim != 3 or rows.shape[2] != words(rows.shape[1]):
        raise GraphError(
            f"rows of shape {rows.shape} and type {rows.dtype} hold no graphs: "
            "give what bogp.graphs.engine.bits.pack returns, uint64 (graphs, nodes, words)"
        )
    graphs, nodes = rows.shape[:2]
    result = np.empty((graphs, len(wanted)))
    step = _step(nodes)

    def fill(start: int) -> None:
        # A kernel is compiled for writable, contiguous arrays, once.
        part = np.require(rows[start : start + step], requirements=["C", "W"])
        result[start : start + step] = _vectors(Batch(part), wanted)

    for _ in _in_order(fill, range(0, graphs, step), workers):
        pass
    return result


def _vectors(batch: Batch, names: Sequence[str]) -> Values:
    """Return the property vectors of one batch, float64 (graphs, names)."""
    result = np.empty((batch.graphs, len(names)))
    for column, name in enumerate(names):
        result[:, column] = PROPERTIES[name](batch)
    return result


def _checked_names(names: Iterable[str]) -> tuple[str, ...]:
    wanted = (names,) if isinstance(names, str) else tuple(names)
    for name in wanted:
        if name not in PROPERTIES:
            raise UnknownNameError("property", name, PROPERTIES)
    return wanted


def _checked_threads(threads: int | None) -> int:
    if threads is None:
        # Cores that this process may use, which can be fewer than the machine has.
        return available_cores()
    if threads < 1:
        raise SettingError(f"threads {threads} is below 1: give 1 or more, or None for all cores")
    return threads


def _step(nodes: int) -> int:
    """Return the number of graphs of a chunk."""
    return max(1, _CHUNK // max(nodes, 1))


def _pieces(adjacency: Any) -> Iterator[BoolArray]:
    """Yield stacks (graphs, nodes, nodes) of what :func:`properties` was given."""
    if isinstance(adjacency, RelationalGraph):
        yield adjacency.adjacency[None]
        return
    if isinstance(adjacency, np.ndarray | torch.Tensor) or not isinstance(adjacency, Iterable):
        yield check_stack(adjacency)
        return
    if isinstance(adjacency, Sequence) and adjacency:
        first = adjacency[0]
        several = isinstance(first, np.ndarray | torch.Tensor) and first.ndim == 3
        if not several and not isinstance(first, RelationalGraph):
            yield check_stack(adjacency)  # nested lists, or a list of matrices
            return
    for piece in adjacency:
        if isinstance(piece, RelationalGraph):
            yield piece.adjacency[None]
        else:
            yield check_stack(piece)


def _chunks(pieces: Iterable[BoolArray]) -> Iterator[tuple[int, BoolArray]]:
    """Yield the number of the first graph and the stack of each chunk, pieces cut and joined."""
    waiting: list[BoolArray] = []
    first, count, nodes = 0, 0, -1
    for piece in pieces:
        if nodes not in (-1, piece.shape[1]):
            raise GraphError(
                f"graph {first + count} has {piece.shape[1]} nodes where those before have "
                f"{nodes}: describe graphs of one size at a time"
            )
        nodes = piece.shape[1]
        step = _step(nodes)
        for start in range(0, len(piece), step):
            part = piece[start : start + step]
            if count + len(part) > step:
                yield first, _joined(waiting)
                waiting, first, count = [], first + count, 0
            waiting.append(part)
            count += len(part)
    if count:
        yield first, _joined(waiting)


def _joined(pieces: list[BoolArray]) -> BoolArray:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _in_order(
    function: Callable[[Chunk], Any], chunks: Iterable[Chunk], threads: int
) -> Iterator[Any]:
    """Yield ``function(chunk)`` in the order of the chunks, a few of them ahead on threads."""
    if threads == 1:
        yield from map(function, chunks)
        return
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Any]] = deque()
        for chunk in chunks:
            ahead.append(pool.submit(function, chunk))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


PROPERTIES: dict[str, Callable[[Batch], Values]] = {
    "degree_centrality": measures.degree_centrality,
    "clustering": measures.clustering,
    "edge_connectivity": measures.edge_connectivity,
    "eigenvector_centrality": spectral.eigenvector_centrality,
    "cycle_rank": measures.cycle_rank,
    "average_shortest_path_length": measures.average_shortest_path_length,
    "transitivity": measures.transitivity,
    "betweenness_centrality": measures.betweenness_centrality,
    "closeness_centrality": measures.closeness_centrality,
    "cycle_length": measures.cycle_length,
    "degree_deviation": measures.degree_deviation,
    "minimum_degree": measures.minimum_degree,
    "degree_assortativity": measures.degree_assortativity,
    "triangles": measures.triangles,
    "components": measures.components,
    "girth": measures.girth,
    "diameter": measures.diameter,
    "global_efficiency": measures.global_efficiency,
    "local_efficiency": measures.local_efficiency,
    "algebraic_connectivity": spectral.algebraic_connectivity,
    "spectral_gap": spectral.spectral_gap,
    "spectral_radius": spectral.spectral_radius,
    "ramanujan_gap": spectral.ramanujan_gap,
}
"""Property name → function of a :class:`Batch`, giving float64 (graphs,)."""

PAPER_FIVE = (
    "degree_centrality",
    "clustering",
    "edge_connectivity",
    "eigenvector_centrality",
    "cycle_rank",
)
"""The properties that the paper searches over."""

CANDIDATES = (
    *PAPER_FIVE,
    "average_shortest_path_length",
    "transitivity",
    "betweenness_centrality",
    "closeness_centrality",
)
"""The nine that the paper chose its five from (figure 8)."""

ALL_PROPERTIES = tuple(PROPERTIES)
"""Every property there is."""
