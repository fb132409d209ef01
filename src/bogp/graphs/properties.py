"""Properties of graphs, one function each, over batches of adjacency matrices.

Names and values are networkx's for simple undirected graphs; where networkx raises, each function
says what it gives instead. A property of nodes is averaged over the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bogp.errors import UnknownNameError
from bogp.graphs.batch import Batch, FloatArray, check_stack, girth, node_mean, node_sum
from bogp.graphs.connectivity import edge_connectivities
from bogp.graphs.spectral import leading_eigenvectors

_CHUNK = 1 << 18
"""Matrix entries handled at once: a few float32 copies of them stay in the processor's cache."""


def properties(adjacency: Any, names: Iterable[str] | None = None) -> dict[str, FloatArray]:
    """Return properties of many graphs: name → float64 array (graphs,), in the order of ``names``.

    Args:
        adjacency: bool array or tensor (graphs, nodes, nodes), symmetric. Self-loops are ignored.
        names: keys of :data:`PROPERTIES`, or one of them; :data:`PAPER_FIVE` by default.

    Raises:
        GraphError: ``adjacency`` is not three-dimensional, square and symmetric.
        UnknownNameError: no such property.

    >>> triangle_and_path = np.array([[[0, 1, 1], [1, 0, 1], [1, 1, 0]],
    ...                               [[0, 1, 0], [1, 0, 1], [0, 1, 0]]], dtype=bool)
    >>> found = properties(triangle_and_path, ["clustering", "cycle_rank"])
    >>> {name: values.tolist() for name, values in found.items()}
    {'clustering': [1.0, 0.0], 'cycle_rank': [1.0, 0.0]}
    """
    wanted = PAPER_FIVE if names is None else (names,) if isinstance(names, str) else tuple(names)
    for name in wanted:
        if name not in PROPERTIES:
            raise UnknownNameError("property", name, PROPERTIES)
    array = check_stack(adjacency)
    graphs, nodes = array.shape[:2]
    result = {name: np.empty(graphs) for name in wanted}
    step = max(1, _CHUNK // max(nodes, 1) ** 2)
    for start in range(0, graphs, step):
        batch = Batch.of(array[start : start + step], first=start)
        for name, values in result.items():
            values[start : start + step] = PROPERTIES[name](batch)
    return result


def degree_centrality(batch: Batch) -> FloatArray:
    """Return the mean degree divided by n - 1, the density 2 m / (n (n - 1)) (Freeman 1978).

    Edgeless: 0. One node: 1, as networkx has it.

    >>> degree_centrality(Batch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).round(3).tolist()
    [0.667]
    """
    if batch.nodes == 1:
        return np.ones(batch.graphs)
    return node_mean(batch.degree) / (batch.nodes - 1)


def clustering(batch: Batch) -> FloatArray:
    """Return the mean over nodes of 2 T / (d (d - 1)), T triangles at a node of degree d.

    The local clustering coefficient of Watts & Strogatz (1998). A node of degree below 2
    counts as 0; so edgeless graphs and one node give 0.

    >>> clustering(Batch.of(np.ones((1, 4, 4)))).tolist()
    [1.0]
    """
    pairs = batch.degree * (batch.degree - 1.0) / 2.0
    return node_mean(_ratio(batch.triangles, pairs))


def edge_connectivity(batch: Batch) -> FloatArray:
    """Return the least number of edges whose removal disconnects the graph (Menger 1927; exact).

    Disconnected or edgeless: 0. One node: 0.

    >>> edge_connectivity(Batch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return edge_connectivities(batch)


def eigenvector_centrality(batch: Batch) -> FloatArray:
    """Return the mean entry of the unit, non-negative leading eigenvector (Bonacich 1987).

    It is largest, 1 / sqrt(n), on regular graphs, and falls as degrees spread. Disconnected: the
    component of the largest eigenvalue carries the vector; components that tie share it as the
    all-ones vector projected on their span does. Edgeless: 1 / sqrt(n). One node: 1.

    >>> eigenvector_centrality(Batch.of(np.ones((1, 4, 4)))).tolist()
    [0.5]
    """
    return node_mean(leading_eigenvectors(batch))


def cycle_rank(batch: Batch) -> FloatArray:
    """Return the circuit rank m - n + c, c components: the number of independent cycles (Berge).

    Edgeless or one node: 0. Disconnected: the sum over components.

    >>> cycle_rank(Batch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return batch.edges - batch.nodes + batch.components


def average_shortest_path_length(batch: Batch) -> FloatArray:
    """Return the mean distance over ordered pairs of nodes that reach each other.

    Disconnected: pairs without a path are left out, as igraph does (networkx raises). Edgeless or
    one node, where no pair is left: 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> average_shortest_path_length(Batch.of(path)).round(3).tolist()
    [1.333]
    """
    pairs = node_sum(batch.distances.reached - 1.0)
    return _ratio(node_sum(batch.distances.total), pairs)


def transitivity(batch: Batch) -> FloatArray:
    """Return the share of triads that are closed, 3 triangles / triads (Luce & Perry 1949).

    Without triads (edgeless, one node): 0.

    >>> transitivity(Batch.of(np.ones((1, 4, 4)))).tolist()
    [1.0]
    """
    triads = node_sum(batch.degree * (batch.degree - 1.0)) / 2.0
    return _ratio(node_sum(batch.triangles), triads)


def betweenness_centrality(batch: Batch) -> FloatArray:
    """Return the mean share of shortest paths through a node (Freeman 1977).

    A pair at distance d has d - 1 nodes between, however many shortest paths share them, so the
    mean over nodes is exactly the sum over ordered reachable pairs of (d - 1), divided by
    n (n - 1) (n - 2): no path needs counting. Disconnected: pairs without a path add nothing.
    Edgeless, one or two nodes: 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> betweenness_centrality(Batch.of(path)).round(3).tolist()
    [0.333]
    """
    n = batch.nodes
    if n <= 2:
        return np.zeros(batch.graphs)
    between = node_sum(batch.distances.total - (batch.distances.reached - 1.0))
    return between / (n * (n - 1.0) * (n - 2.0))


def closeness_centrality(batch: Batch) -> FloatArray:
    """Return the mean over nodes of (r / total distance) (r / (n - 1)), r other nodes reached.

    The improved formula of Wasserman & Faust (1994, p. 201), networkx's default, which scales a
    node's closeness by the share of nodes that it reaches. A node that reaches none counts as 0;
    so edgeless graphs and one node give 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> closeness_centrality(Batch.of(path)).round(3).tolist()
    [0.778]
    """
    others = batch.distances.reached - 1.0
    closeness = _ratio(others * others, batch.distances.total)
    return node_mean(closeness) / max(batch.nodes - 1, 1)


def cycle_length(batch: Batch) -> FloatArray:
    """Return the girth, the length of the shortest cycle, or 0 without one.

    The paper's own sentence on its "number of cycles" reads so. Edgeless or one node: 0.
    Disconnected: the shortest over components.

    >>> cycle_length(Batch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return girth(batch)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return ``above / below``, and 0 where ``below`` is 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


PROPERTIES: dict[str, Callable[[Batch], FloatArray]] = {
    "degree_centrality": degree_centrality,
    "clustering": clustering,
    "edge_connectivity": edge_connectivity,
    "eigenvector_centrality": eigenvector_centrality,
    "cycle_rank": cycle_rank,
    "average_shortest_path_length": average_shortest_path_length,
    "transitivity": transitivity,
    "betweenness_centrality": betweenness_centrality,
    "closeness_centrality": closeness_centrality,
    "cycle_length": cycle_length,
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
