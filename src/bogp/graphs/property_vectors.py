"""Properties by name, and the property vectors of many graphs.

Graphs are described chunk by chunk. A chunk is one batch, whose kernels release the GIL, so threads
take a chunk each; no graph's numbers depend on its chunk or on the threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from bogp.cores import available_cores
from bogp.docstrings import summary
from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs import property_functions as functions
from bogp.graphs.graph_batch import GraphBatch
from bogp.graphs.kernels.bits import Rows, check_stack, unpack, words
from bogp.graphs.relational import RelationalGraph
from bogp.types import BoolArray, Floats

Chunk = TypeVar("Chunk")

_CHUNK = 1 << 14
"""Nodes of a chunk: enough graphs to hide what a call costs, few enough to stay in the cache."""

_CONSTANT = 1e-9  # of a column's largest value: a spread below it is rounding
_NOTHING = 1e-150  # the square of a smaller spread is no number to divide by


@dataclass(frozen=True)
class Property:
    """A property by its name, with the function that gives it for a whole batch, (graphs,)."""

    name: str
    values: Callable[[GraphBatch], Floats]

    @property
    def help(self) -> str:
        """What the property is, in a line."""
        return summary(self.values)


PROPERTIES: dict[str, Property] = {
    function.__name__: Property(function.__name__, function)
    for function in (
        functions.degree_centrality,
        functions.clustering,
        functions.edge_connectivity,
        functions.eigenvector_centrality,
        functions.cycle_rank,
        functions.average_shortest_path_length,
        functions.transitivity,
        functions.betweenness_centrality,
        functions.closeness_centrality,
        functions.cycle_length,
        functions.degree_deviation,
        functions.minimum_degree,
        functions.degree_assortativity,
        functions.triangles,
        functions.components,
        functions.girth,
        functions.diameter,
        functions.global_efficiency,
        functions.local_efficiency,
        functions.algebraic_connectivity,
        functions.spectral_gap,
        functions.spectral_radius,
        functions.ramanujan_gap,
    )
}
"""Name → property. Databases store them in this order, so a new one goes last."""

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

NamedProperty = str | Property | Callable[[RelationalGraph], Any]
"""A key of :data:`PROPERTIES`, or a function of one graph, which goes by its own name."""


def find_property(given: NamedProperty) -> Property:
    """Return the property of a name, or the one that a function of one graph stands for.

    Raises:
        UnknownNameError: no such property.

    >>> find_property(lambda graph: graph.edges).values(GraphBatch.of(np.ones((2, 3, 3)))).tolist()
    [3.0, 3.0]
    """
    if isinstance(given, Property):
        return given
    if isinstance(given, str):
        if given not in PROPERTIES:
            raise UnknownNameError("property", given, PROPERTIES)
        return PROPERTIES[given]

    def values(batch: GraphBatch) -> Floats:
        adjacency = unpack(batch.rows, batch.nodes)
        return np.array([float(given(RelationalGraph(graph))) for graph in adjacency])

    values.__doc__ = given.__doc__
    return Property(getattr(given, "__name__", type(given).__name__), values)


def properties(
    adjacency: Any,
    names: NamedProperty | Iterable[NamedProperty] | None = None,
    threads: int | None = None,
) -> dict[str, Floats]:
    """Return properties of many graphs: name → float64 array (graphs,), in the order of ``names``.

    Args:
        adjacency: bool array or tensor (graphs, nodes, nodes), symmetric; self-loops are ignored.
            Or one :class:`RelationalGraph`, or an iterable of such arrays or graphs, all of one
            number of nodes: it is taken piece by piece, so that it need not fit in memory.
        names: keys of :data:`PROPERTIES`, or one of them; :data:`PAPER_FIVE` by default. A function
            from a :class:`RelationalGraph` to a number may stand for a name, and gives it.
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
    wanted = _find_all(PAPER_FIVE if names is None else names)

    def vectors(chunk: tuple[int, BoolArray]) -> Floats:
        return _vectors(GraphBatch.of(chunk[1], first=chunk[0]), wanted)

    whole = _stacked(vectors, _chunks(_pieces(adjacency)), len(wanted), threads)
    return {entry.name: whole[:, column].copy() for column, entry in enumerate(wanted)}


def describe(rows: Rows, names: Iterable[NamedProperty], threads: int | None = 1) -> Floats:
    """Return the property vectors of bit-packed graphs, float64 (graphs, names).

    Args:
        rows: uint64 (graphs, nodes, words) as ``kernels.bits.pack`` makes it: symmetric, without
            self-loops.
        names: a name or function for each column, as :func:`properties` takes them.
        threads: how many chunks of graphs to work on at once, None for all cores. The result is
            the same for every number.

    Raises:
        GraphError: ``rows`` is no such array.
        UnknownNameError: no such property.
        SettingError: ``threads`` is below 1.

    >>> from bogp.graphs.kernels.bits import pack
    >>> describe(pack(np.ones((1, 3, 3))), ["clustering", "cycle_rank"]).tolist()
    [[1.0, 1.0]]
    """
    wanted = _find_all(names)
    if rows.dtype != np.uint64 or rows.ndim != 3 or rows.shape[2] != words(rows.shape[1]):
        raise GraphError(
            f"rows of shape {rows.shape} and type {rows.dtype} hold no graphs: "
            "give what bogp.graphs.kernels.bits.pack returns, uint64 (graphs, nodes, words)"
        )
    step = _step(rows.shape[1])

    def vectors(start: int) -> Floats:
        # A kernel is compiled for writable, contiguous arrays, once.
        part = np.require(rows[start : start + step], requirements=["C", "W"])
        return _vectors(GraphBatch(part), wanted)

    return _stacked(vectors, range(0, len(rows), step), len(wanted), threads)


def constant_columns(vectors: Floats) -> BoolArray:
    """Return which columns hold one value in every row, but for rounding (one part in 10⁹).

    >>> constant_columns(np.array([[0.1, 1.0], [0.1, 2.0]]))
    array([ True, False])
    """
    if len(vectors) == 0:
        return np.zeros(vectors.shape[1], dtype=np.bool_)
    spread, largest = np.ptp(vectors, axis=0), np.abs(vectors).max(axis=0)
    constant: BoolArray = spread <= np.maximum(_CONSTANT * largest, _NOTHING)
    return constant


def _find_all(names: NamedProperty | Iterable[NamedProperty]) -> tuple[Property, ...]:
    if isinstance(names, str | Property) or callable(names):
        return (find_property(names),)
    return tuple(find_property(name) for name in names)


def _vectors(batch: GraphBatch, wanted: Sequence[Property]) -> Floats:
    """Return the property vectors of one batch, float64 (graphs, properties)."""
    result = np.empty((batch.graphs, len(wanted)))
    for column, entry in enumerate(wanted):
        result[:, column] = entry.values(batch)
    return result


def _stacked(
    function: Callable[[Chunk], Floats], chunks: Iterable[Chunk], columns: int, threads: int | None
) -> Floats:
    """Return what ``function`` gives for all chunks, one below the other, (graphs, columns)."""
    if threads is None:
        # Cores that this process may use, which can be fewer than the machine has.
        threads = available_cores()
    if threads < 1:
        raise SettingError(f"threads {threads} is below 1: give 1 or more, or None for all cores")
    return np.concatenate([np.empty((0, columns)), *_in_order(function, chunks, threads)])


def _step(nodes: int) -> int:
    """Return the number of graphs of a chunk."""
    return max(1, _CHUNK // max(nodes, 1))


def _pieces(adjacency: Any) -> Iterator[BoolArray]:
    """Yield stacks (graphs, nodes, nodes) of what :func:`properties` was given."""
    whole = isinstance(adjacency, np.ndarray | torch.Tensor) or not isinstance(adjacency, Iterable)
    if isinstance(adjacency, Sequence) and adjacency:
        first = adjacency[0]
        # Nested lists and a list of matrices are one stack.
        whole = not isinstance(first, RelationalGraph) and np.ndim(first) != 3
    for piece in [adjacency] if whole or isinstance(adjacency, RelationalGraph) else adjacency:
        yield piece.adjacency[None] if isinstance(piece, RelationalGraph) else check_stack(piece)


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
                yield first, np.concatenate(waiting)
                waiting, first, count = [], first + count, 0
            waiting.append(part)
            count += len(part)
    if count:
        yield first, np.concatenate(waiting)


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
