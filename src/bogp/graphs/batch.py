"""A batch of graphs and the intermediates that several properties share.

Everything is a stack of dense matrices: at the sizes of relational graphs (about a hundred nodes,
often more than half of the pairs joined) a batched float32 product is faster than following lists
of neighbours. Products of 0-1 matrices are exact in float32 up to 2^24 nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from bogp.errors import GraphError
from bogp.graphs.relational import BoolArray, as_bool

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]

_ROUNDS = 16
"""Longest distance found by matrix products; a graph with longer ones is handed to scipy."""


class Distances(NamedTuple):
    """What is needed of the shortest paths from each node, over the nodes it reaches.

    Each is float64 (graphs, nodes).
    """

    reached: FloatArray
    """Number of nodes reached, the node itself included."""
    total: FloatArray
    """Sum of the distances to them."""
    near: FloatArray
    """Number of nodes at distance 2 or less, the node itself included."""


@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """Simple graphs of one size: ``adjacency`` bool (graphs, nodes, nodes), without self-loops.

    Intermediates are computed when first asked for, and kept. Build it with :meth:`of`, which
    checks the array and strips self-loops.

    >>> batch = Batch.of(np.ones((2, 5, 5), dtype=bool))
    >>> batch.degree.tolist() == [[4.0] * 5] * 2
    True
    """

    adjacency: BoolArray

    @classmethod
    def of(cls, adjacency: Any, first: int = 0) -> Batch:
        """Return the batch of a bool array (graphs, nodes, nodes), self-loops stripped.

        Errors count graphs from ``first``.

        Raises:
            GraphError: the array is not three-dimensional, square and symmetric, or holds values
                other than 0 and 1.
        """
        array = check_stack(adjacency)
        uneven = (array != array.transpose(0, 2, 1)).any(axis=(1, 2))
        if uneven.any():
            graph = first + int(np.argmax(uneven))
            raise GraphError(
                f"the adjacency matrix of graph {graph} is not symmetric: give undirected graphs"
            )
        array = array.copy()
        diagonal = np.arange(array.shape[1])
        array[:, diagonal, diagonal] = False
        return cls(array)

    @property
    def graphs(self) -> int:
        """Number of graphs."""
        return int(self.adjacency.shape[0])

    @property
    def nodes(self) -> int:
        """Number of nodes of each graph."""
        return int(self.adjacency.shape[1])

    @cached_property
    def joined(self) -> SingleArray:
        """The adjacency as zeros and ones, float32 (graphs, nodes, nodes)."""
        return self.adjacency.astype(np.float32)

    @cached_property
    def degree(self) -> FloatArray:
        """Number of neighbours of each node, float64 (graphs, nodes)."""
        return _count(self.joined)

    @cached_property
    def edges(self) -> FloatArray:
        """Number of edges, float64 (graphs,)."""
        return node_sum(self.degree) / 2.0

    @cached_property
    def common(self) -> SingleArray:
        """Number of common neighbours of each pair, the squared adjacency, float32."""
        common: SingleArray = self.joined @ self.joined
        return common

    @cached_property
    def triangles(self) -> FloatArray:
        """Number of triangles through each node, float64 (graphs, nodes)."""
        # Each at most n^2, so whole and exact in float32 below 4,096 nodes; float64 above.
        kind = np.float32 if self.nodes < 4096 else np.float64
        ordered: npt.NDArray[Any] = np.einsum("gij,gij->gi", self.common, self.joined, dtype=kind)
        return ordered.astype(np.float64) / 2.0

    @cached_property
    def distances(self) -> Distances:
        """Number of nodes reached, near and far, and the distance sum of each node."""
        return _distances(self)

    @cached_property
    def components(self) -> FloatArray:
        """Number of connected components, float64 (graphs,)."""
        # A component of k nodes adds k times 1 / k.
        return np.rint(node_sum(1.0 / self.distances.reached))

    @cached_property
    def connected(self) -> BoolArray:
        """Whether each graph is connected, bool (graphs,)."""
        connected: BoolArray = self.components == 1
        return connected


def check_stack(adjacency: Any) -> BoolArray:
    """Return ``adjacency`` as a bool array (graphs, nodes, nodes), or raise GraphError."""
    array = as_bool(adjacency, "the adjacency array")
    if array.ndim == 2:
        raise GraphError(
            f"an adjacency array of shape {array.shape} has no batch axis: add one with "
            "adjacency[None], so that it is (graphs, nodes, nodes)"
        )
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise GraphError(
            f"an adjacency array of shape {array.shape} holds no graphs: give (graphs, nodes, "
            "nodes), with one row and one column for each node"
        )
    if array.shape[0] and not array.shape[1]:
        raise GraphError("a graph of 0 nodes has no properties: give at least 1 node")
    return array


def node_sum(values: FloatArray) -> FloatArray:
    """Return the sum over nodes of ``values`` (graphs, nodes)."""
    return np.asarray(values.sum(axis=1), dtype=np.float64)


def node_mean(values: FloatArray) -> FloatArray:
    """Return the mean over nodes of ``values`` (graphs, nodes)."""
    return np.asarray(values.mean(axis=1), dtype=np.float64)


def _count(rows: SingleArray) -> FloatArray:
    """Return the sum of each row of zeros and ones, float64; a product is the quickest way."""
    counts: SingleArray = rows @ np.ones(rows.shape[-1], dtype=np.float32)
    return counts.astype(np.float64)


def _distances(batch: Batch) -> Distances:
    """Grow the ball around every node by one step at a time until no ball grows."""
    total, reached = batch.degree.copy(), batch.degree + 1.0
    near = reached.copy()
    active = np.flatnonzero(batch.edges > 0)
    balls = batch.joined[active]
    diagonal = np.arange(batch.nodes)
    balls[:, diagonal, diagonal] = 1.0
    for step in range(2, _ROUNDS + 1):
        if not len(active):
            break
        # The ball of radius k: what one step leads to from the ball of radius k - 1, and itself.
        grown = batch.common[active] if step == 2 else balls @ batch.joined[active]
        balls = ((grown + balls) > 0).astype(np.float32)
        count = _count(balls)
        new = count - reached[active]
        total[active] += step * new
        reached[active] = count
        if step == 2:
            near[active] = count
        growing = new.any(axis=1) & (count < batch.nodes).any(axis=1)
        active, balls = active[growing], balls[growing]
    for graph in active:
        length = shortest_path(csr_array(batch.joined[graph]), directed=False, unweighted=True)
        finite = np.isfinite(length)
        reached[graph] = finite.sum(axis=1)
        total[graph] = np.where(finite, length, 0.0).sum(axis=1)
    return Distances(reached, total, near)


def girth(batch: Batch) -> FloatArray:
    """Return the length of the shortest cycle of each graph, 0 without one, float64 (graphs,).

    Rings at distance k from every root at once: two joined nodes of ring k close a cycle of at
    most 2k + 1, a node of ring k + 1 with two neighbours in ring k one of at most 2k + 2, and some
    root on the shortest cycle meets it at exactly that k (Itai & Rodeh 1978).
    """
    result = np.zeros(batch.graphs)
    active = np.arange(batch.graphs)
    joined = ring = batch.joined
    seen = ring + np.eye(batch.nodes, dtype=np.float32)
    links = batch.common
    step = 1
    while len(active):
        odd = ((links > 0) & (ring > 0)).any(axis=(1, 2))
        fresh = (links > 0) & (seen == 0)
        even = ((links > 1) & fresh).any(axis=(1, 2))
        result[active] = np.where(odd, 2 * step + 1, np.where(even, 2 * step + 2, 0))
        going = ~(odd | even) & fresh.any(axis=(1, 2))
        active, joined, seen = active[going], joined[going], seen[going]
        ring = fresh[going].astype(np.float32)
        seen = seen + ring
        links = ring @ joined
        step += 1
    return result
