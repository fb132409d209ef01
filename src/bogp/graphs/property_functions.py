"""The properties of graphs: one function each, from a batch to float64 (graphs,).

Names and values are networkx's for simple undirected graphs; where networkx raises, each function
says what it gives instead. A property of nodes is averaged over the nodes.
"""

from __future__ import annotations

import numpy as np

from bogp.graphs.graph_batch import GraphBatch
from bogp.graphs.kernels import cuts, paths, spectra
from bogp.graphs.kernels import triangles as kernels
from bogp.types import Floats


def degree_centrality(batch: GraphBatch) -> Floats:
    """Return the mean degree divided by n - 1, the density 2 m / (n (n - 1)) (Freeman 1978).

    Edgeless: 0. One node: 1, as networkx has it.

    >>> degree_centrality(GraphBatch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).round(3).tolist()
    [0.667]
    """
    if batch.nodes == 1:
        return np.ones(batch.graphs)
    return _mean(batch.degree) / (batch.nodes - 1)


def degree_deviation(batch: GraphBatch) -> Floats:
    """Return the standard deviation of the degrees, sqrt(mean d^2 - (mean d)^2) (Snijders 1981).

    The nodes are all there are, not a sample. Regular graphs, edgeless ones and one node: 0.

    >>> degree_deviation(GraphBatch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).round(3).tolist()
    [0.471]
    """
    # Whole numbers, exact, up to the last line.
    square = batch.nodes * _sum(batch.degree * batch.degree) - _sum(batch.degree) ** 2
    return np.sqrt(square) / batch.nodes


def minimum_degree(batch: GraphBatch) -> Floats:
    """Return the least number of neighbours of a node (Diestel 2017, section 1.2).

    It is an upper bound of the edge connectivity. A node without neighbours, so also edgeless
    graphs and one node: 0.

    >>> minimum_degree(GraphBatch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).tolist()
    [1.0]
    """
    return np.asarray(batch.degree.min(axis=1), dtype=np.float64)


def degree_assortativity(batch: GraphBatch) -> Floats:
    """Return Pearson's correlation of the degrees at the two ends of an edge (Newman 2003, eq. 21).

    Both directions of every edge count. Where all edges have ends of one degree (regular graphs)
    networkx has nan; here, as for edgeless graphs and one node: 0.

    >>> degree_assortativity(GraphBatch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).tolist()
    [-1.0]
    """
    return kernels.assortativities(batch.rows)


def clustering(batch: GraphBatch) -> Floats:
    """Return the mean over nodes of 2 T / (d (d - 1)), T triangles at a node of degree d.

    The local clustering coefficient of Watts & Strogatz (1998). A node of degree below 2
    counts as 0; so edgeless graphs and one node give 0.

    >>> clustering(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [1.0]
    """
    pairs = batch.degree * (batch.degree - 1.0) / 2.0
    return _mean(_ratio(batch.triangles, pairs))


def transitivity(batch: GraphBatch) -> Floats:
    """Return the share of triads that are closed, 3 triangles / triads (Luce & Perry 1949).

    Without triads (edgeless, one node): 0.

    >>> transitivity(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [1.0]
    """
    triads = _sum(batch.degree * (batch.degree - 1.0)) / 2.0
    return _ratio(_sum(batch.triangles), triads)


def triangles(batch: GraphBatch) -> Floats:
    """Return the number of triangles, a third of the sum over nodes of those through each.

    It is a sixth of the trace of the adjacency matrix cubed (Harary & Manvel 1971).
    Edgeless or one node: 0. Disconnected: the sum over components.

    >>> triangles(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [4.0]
    """
    return _sum(batch.triangles) / 3.0


def average_shortest_path_length(batch: GraphBatch) -> Floats:
    """Return the mean distance over ordered pairs of nodes (Watts & Strogatz 1998).

    Disconnected: pairs without a path are left out, as igraph does (networkx raises). Edgeless or
    one node, where no pair is left: 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> average_shortest_path_length(GraphBatch.of(path)).round(3).tolist()
    [1.333]
    """
    pairs = _sum(batch.distances.reached - 1.0)
    return _ratio(_sum(batch.distances.total), pairs)


def diameter(batch: GraphBatch) -> Floats:
    """Return the largest distance between two nodes that reach each other (Harary 1969).

    Disconnected: the largest over components (networkx raises). Edgeless or one node: 0.

    >>> diameter(GraphBatch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])).tolist()
    [2.0]
    """
    return np.asarray(batch.distances.farthest.max(axis=1), dtype=np.float64)


def global_efficiency(batch: GraphBatch) -> Floats:
    """Return the mean of 1 / distance over ordered pairs of nodes (Latora & Marchiori 2001, eq. 1).

    Disconnected: pairs without a path add 0. Edgeless or one node: 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> global_efficiency(GraphBatch.of(path)).round(3).tolist()
    [0.833]
    """
    return _sum(batch.distances.inverse) / max(batch.nodes * (batch.nodes - 1), 1)


def local_efficiency(batch: GraphBatch) -> Floats:
    """Return the mean over nodes of the global efficiency among the node's neighbours.

    Paths may use neighbours only (Latora & Marchiori 2001, eq. 3). A node of degree below 2 counts
    as 0; so edgeless graphs and one node give 0.

    >>> local_efficiency(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [1.0]
    """
    return _mean(paths.local_efficiencies(batch.rows))


def betweenness_centrality(batch: GraphBatch) -> Floats:
    """Return the mean share of shortest paths through a node (Freeman 1977).

    A pair at distance d has d - 1 nodes between, however many shortest paths share them, so the
    mean over nodes is exactly the sum over ordered reachable pairs of (d - 1), divided by
    n (n - 1) (n - 2): no path needs counting. Disconnected: pairs without a path add nothing.
    Edgeless, one or two nodes: 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> betweenness_centrality(GraphBatch.of(path)).round(3).tolist()
    [0.333]
    """
    n = batch.nodes
    if n <= 2:
        return np.zeros(batch.graphs)
    between = _sum(batch.distances.total - (batch.distances.reached - 1.0))
    return between / (n * (n - 1.0) * (n - 2.0))


def closeness_centrality(batch: GraphBatch) -> Floats:
    """Return the mean over nodes of (r / total distance) (r / (n - 1)), r other nodes reached.

    The improved formula of Wasserman & Faust (1994, p. 201), networkx's default, which scales a
    node's closeness by the share of nodes that it reaches. A node that reaches none counts as 0;
    so edgeless graphs and one node give 0.

    >>> path = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    >>> closeness_centrality(GraphBatch.of(path)).round(3).tolist()
    [0.778]
    """
    others = batch.distances.reached - 1.0
    closeness = _ratio(others * others, batch.distances.total)
    return _mean(closeness) / max(batch.nodes - 1, 1)


def components(batch: GraphBatch) -> Floats:
    """Return the number of connected components (Diestel 2017, section 1.4).

    Edgeless: n. One node: 1.

    >>> components(GraphBatch.of(np.zeros((1, 4, 4)))).tolist()
    [4.0]
    """
    return batch.components


def cycle_rank(batch: GraphBatch) -> Floats:
    """Return the circuit rank m - n + c, where c counts the components (Berge 1962).

    It is the number of independent cycles, the paper's "number of cycles". Edgeless or one node: 0.
    Disconnected: the sum over components.

    >>> cycle_rank(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return batch.edges - batch.nodes + batch.components


def girth(batch: GraphBatch) -> Floats:
    """Return the length of the shortest cycle, or 0 without one (Itai & Rodeh 1978).

    networkx has infinity where there is none. Edgeless or one node: 0. Disconnected: the shortest
    over components.

    >>> girth(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return batch.girth


def cycle_length(batch: GraphBatch) -> Floats:
    """Return the girth, which the paper's own sentence on its "number of cycles" means.

    "The length of the cycle if it exists, otherwise 0" (Rekesh, Kumar, Bansal & Arora). Edgeless or
    one node: 0. Disconnected: the shortest over components.

    >>> cycle_length(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return batch.girth


def edge_connectivity(batch: GraphBatch) -> Floats:
    """Return the least number of edges whose removal disconnects the graph (Menger 1927; exact).

    Disconnected or edgeless: 0. One node: 0.

    >>> edge_connectivity(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [3.0]
    """
    return cuts.edge_connectivities(batch.rows, batch.components, batch.distances.near, True)


def eigenvector_centrality(batch: GraphBatch) -> Floats:
    """Return the mean entry of the unit, non-negative leading eigenvector (Bonacich 1987).

    It is largest, 1 / sqrt(n), on regular graphs, and falls as degrees spread. Disconnected: the
    component of the largest eigenvalue carries the vector; components that tie share it as the
    all-ones vector projected on their span does. Edgeless: 1 / sqrt(n). One node: 1.

    >>> eigenvector_centrality(GraphBatch.of(np.ones((1, 4, 4)))).tolist()
    [0.5]
    """
    return np.sqrt(spectra.leading_shares(batch.rows) / batch.nodes)


def spectral_radius(batch: GraphBatch) -> Floats:
    """Return the largest eigenvalue of the adjacency matrix (Collatz & Sinogowitz 1957).

    It lies between the mean and the largest degree. Disconnected: the largest over components.
    Edgeless or one node: 0.

    >>> spectral_radius(GraphBatch.of(np.ones((1, 4, 4)))).round(9).tolist()
    [3.0]
    """
    return np.where(batch.edges > 0, batch.eigenvalues[:, -1], 0.0)


def spectral_gap(batch: GraphBatch) -> Floats:
    """Return the difference of the two largest eigenvalues of the adjacency matrix.

    Of a regular graph it equals the algebraic connectivity (Hoory, Linial & Wigderson 2006).
    Disconnected: 0 where two components tie for the largest eigenvalue, else above 0. Edgeless or
    one node: 0.

    >>> spectral_gap(GraphBatch.of(np.ones((1, 4, 4)))).round(9).tolist()
    [4.0]
    """
    if batch.nodes == 1:
        return np.zeros(batch.graphs)
    gap = batch.eigenvalues[:, -1] - batch.eigenvalues[:, -2]
    return np.where(batch.edges > 0, gap, 0.0)


def ramanujan_gap(batch: GraphBatch) -> Floats:
    """Return 2 sqrt(d - 1) - mu, d the average degree, mu the second largest |eigenvalue|.

    The gap of Hoang et al. (2023), sqrt(d_L - 1) + sqrt(d_R - 1) - mu, of the bipartite double
    cover: node v on the left and w on the right are joined where v and w are, so both average
    degrees are d, the biadjacency matrix is the adjacency matrix without self-loops, and mu its
    second largest singular value. At 0 or above the cover is a Ramanujan graph. An average degree
    below 1 counts as 1 under the root. Disconnected: two components that tie give mu the largest
    eigenvalue. Edgeless or one node: 0.

    >>> ramanujan_gap(GraphBatch.of(np.ones((1, 5, 5)))).round(3).tolist()
    [2.464]
    """
    if batch.nodes == 1:
        return np.zeros(batch.graphs)
    singular = np.sort(np.abs(batch.eigenvalues), axis=1)
    average = np.maximum(2.0 * batch.edges / batch.nodes, 1.0)
    return np.where(batch.edges > 0, 2.0 * np.sqrt(average - 1.0) - singular[:, -2], 0.0)


def algebraic_connectivity(batch: GraphBatch) -> Floats:
    """Return the second smallest eigenvalue of the Laplacian matrix, degrees - A (Fiedler 1973).

    Disconnected or edgeless: 0. One node: 0.

    >>> algebraic_connectivity(GraphBatch.of(np.ones((1, 4, 4)))).round(9).tolist()
    [4.0]
    """
    if batch.nodes == 1:
        return np.zeros(batch.graphs)
    return np.where(batch.components == 1, spectra.laplacian_spectra(batch.rows)[:, 1], 0.0)


def _sum(values: Floats) -> Floats:
    """Return the sum over nodes of ``values`` (graphs, nodes)."""
    return np.asarray(values.sum(axis=1), dtype=np.float64)


def _mean(values: Floats) -> Floats:
    """Return the mean over nodes of ``values`` (graphs, nodes)."""
    return np.asarray(values.mean(axis=1), dtype=np.float64)


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return ``above / below``, and 0 where ``below`` is 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
