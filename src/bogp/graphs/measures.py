"""Properties of graphs that come of their degrees, triangles, paths, cycles and cuts.

Names and values are networkx's for simple undirected graphs; where networkx raises, each function
says what it gives instead. A property of nodes is averaged over the nodes.
"""

from __future__ import annotations

import numpy as np

from bogp.graphs.batch import Batch, node_mean, node_sum, ratio
from bogp.graphs.engine import paths
from bogp.graphs.engine import triangles as kernels
from bogp.graphs.engine.bits import Values


def degree_centrality(batch: Batch) -> Values:
    """Return the mean degree divided by n - 1, the density 2 m / (n (n - 1)) (Freeman 1978).

    Edgeless: 0. One node: 1, as networkx has it.

    >>> degree_centrality(Batch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).round(3).tolist()
    [0.667]
    """
    if batch.nodes == 1:
        return np.ones(batch.graphs)
    return node_mean(batch.degree) / (batch.nodes - 1)


def degree_deviation(batch: Batch) -> Values:
    """Return the standard deviation of the degrees, sqrt(mean d^2 - (mean d)^2) (Snijders 1981).

    Of the nodes at hand, not of a sample. Regular graphs, edgeless ones and one node: 0.

    >>> degree_deviation(Batch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).round(3).tolist()
    [0.471]
    """
    # Whole numbers, exact, up to the last line.
    square = batch.nodes * node_sum(batch.degree * batch.degree) - node_sum(batch.degree) ** 2
    return np.sqrt(square) / batch.nodes


def minimum_degree(batch: Batch) -> Values:
    """Return the least number of neighbours of a node (Diestel 2017, section 1.2).

    An upper bound of the edge connectivity.
    A node without neighbours, so also edgeless graphs and one node: 0.

    >>> minimum_degree(Batch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).tolist()
    [1.0]
    """
    return np.asarray(batch.degree.min(axis=1), dtype=np.float64)


def degree_assortativity(batch: Batch) -> Values:
    """Return Pearson's correlation of the degrees at the two ends of an edge (Newman 2003, eq. 21).

    Over both directions of every edge. Where all edges have ends of one degree (regular graphs)
    networkx has nan; here, as for edgeless graphs and one node: 0.

    >>> degree_assortativity(Batch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).tolist()
    [-1.0]
    """
    return kernels.assortativities(batch.rows)


def clustering(batch: Batch) -> Values:
    """Return the mean over nodes of 2 T / (d (d - 1)), T triangles at a node of degree d.

    The local clustering coefficient of Watts & Strogatz (1998). A node of degree below 2
    counts as 0; so edgeless graphs and one node give 0.

    >>> clustering(Batch.of(np.ones((1, 4, 4)))).tolist()
    [1.0]
    """
    pairs = batch.degree * (batch.degree - 1.0) / 2.0
    return node_mean(ratio(batch.triangles, pairs))


def transitivity(batch: Batch) -> Values:
    """Return the share of triads that are closed, 3 triangles / triads (Luce & Perry 1949).

    Without triads (edgeless, one node): 0.

    >>> transitivity(Batch.of(np.ones((1, 4, 4)))).tolist()
    [1.0]
    """
    triads = node_sum(batch.degree * (batch.degree - 1.0)) / 2.0
    return ratio(node_sum(batch.triangles), triads)


def triangles(batch: Batch) -> Values:
    """Return the number of triangles, a third of the sum over nodes of those through each.

    It is a sixth of the trace of the adjacency matrix cubed (Harary & Manvel 1971).
    Edgeless or one node: 0. Disconnected: the sum over components.

    >>> triangles(Batch.of(np.ones((1, 4, 4)))).tolist()
    [4.0]
    """
    return node_sum(batch.triangles) / 3.0


def average_shortest_path_length(batch: Batch) -> Values:
    """Return the mean distance over ordered pairs of nodes that reach each other.

    Disconnected: pairs without a path are left out, as igraph does (networkx raises). Edgeless or
    one node, where no pair is left: 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> average_shortest_path_length(Batch.of(path)).round(3).tolist()
    [1.333]
    """
    pairs = node_sum(batch.distances.reached - 1.0)
    return ratio(node_sum(batch.distances.total), pairs)


def diameter(batch: Batch) -> Values:
    """Return the largest distance between two nodes that reach each other (Harary 1969).

    Disconnected: the largest over components (networkx raises). Edgeless or one node: 0.

    >>> diameter(Batch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).tolist()
    [2.0]
    """
    return np.asarray(batch.distances.farthest.max(axis=1), dtype=np.float64)


def global_efficiency(batch: Batch) -> Values:
    """Return the mean of 1 / distance over ordered pairs of nodes (Latora & Marchiori 2001, eq. 1).

    Disconnected: pairs without a path add 0. Edgeless or one node: 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> global_efficiency(Batch.of(path)).round(3).tolist()
    [0.833]
    """
    return node_sum(batch.distances.inverse) / max(batch.nodes * (batch.nodes - 1), 1)


def local_efficiency(batch: Batch) -> Values:
    """Return the mean over nodes of the global efficiency among the node's neighbours.

    Paths may use neighbours only (Latora & Marchiori 2001, eq. 3). A node of degree below 2 counts
    as 0; so edgeless graphs and one node give 0.

    >>> local_efficiency(Batch.of(np.ones((1, 4, 4)))).tolist()
    [1.0]
    """
    return node_mean(paths.local_efficiencies(batch.rows))


def betweenness_centrality(batch: Batch) -> Values:
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


def closeness_centrality(batch: Batch) -> Values:
    """Return the mean over nodes of (r / total distance) (r / (n - 1)), r other nodes reached.

    The improved formula of Wasserman & Faust (1994, p. 201), networkx's default, which scales a
    node's closeness by the share of nodes that it reaches. A node that reaches none counts as 0;
    so edgeless graphs and one node give 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> closeness_centrality(Batch.of(path)).round(3).tolist()
    [0.778]
    """
    others = batch.distances.reached - 1.0
    closeness = ratio(others * others, batch.distances.total)
    return node_mean(closeness) / max(batch.nodes - 1, 1)


def components(batch: Batch) -> Values:
    """Return the number of connected components (Diestel 2017, section 1.4).

    Edgeless: n. One node: 1.

    >>> components(Batch.of(np.zeros((1, 4, 4)))).tolist()
    [4.0]
    """
    return batch.components


def cycle_rank(batch: Batch) -> Values:
    """Return the circuit rank m - n + c, c components: the number of independent cycles (Berge).

    Edgeless or one node: 0. Disconnected: the sum over components.

    >>> cycle_rank(Batch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return batch.edges - batch.nodes + batch.components


def girth(batch: Batch) -> Values:
    """Return the length of the shortest cycle, or 0 without one (Itai & Rodeh 1978).

    networkx has infinity where there is none. Edgeless or one node: 0. Disconnected: the shortest
    over components.

    >>> girth(Batch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return batch.girth


def cycle_length(batch: Batch) -> Values:
    """Return the girth under the name of the paper, which reads its "number of cycles" so.

    "The length of the cycle if it exists, otherwise 0" (Rekesh, Kumar, Bansal & Arora). Edgeless or
    one node: 0. Disconnected: the shortest over components.

    >>> cycle_length(Batch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return batch.girth


def edge_connectivity(batch: Batch) -> Values:
    """Return the least number of edges whose removal disconnects the graph (Menger 1927; exact).

    Disconnected or edgeless: 0. One node: 0.

    >>> edge_connectivity(Batch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return batch.edge_connectivity
