"""Every property by networkx, numpy or igraph, for the tests: slow, and written another way."""

import math

import igraph
import networkx as nx
import numpy as np
import scipy.linalg


def mean(values):
    values = list(values)
    return float(np.mean(values)) if values else 0.0


def dense(graph):
    return nx.to_numpy_array(graph, nodelist=sorted(graph))


def components(graph):
    return [graph.subgraph(part) for part in nx.connected_components(graph)]


def eigenvector_mean(graph):
    return eigenvector_of([dense(part) for part in components(graph)])


def eigenvector_of(parts):
    """Mean entry of the all-ones vector projected on the leading eigenspace, by components."""
    spectra = [scipy.linalg.eigh(part, driver="ev") for part in parts]
    top = max(values[-1] for values, _ in spectra)
    leading = []
    for values, vectors in spectra:
        # More than one in a component: two cliques at the ends of a long path, say.
        basis = vectors[:, values > top - 1e-9]
        leading.append(basis @ basis.sum(axis=0))
    whole = np.concatenate(leading)
    return whole.sum() / np.linalg.norm(whole) / len(whole)


def path_mean(graph):
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    return mean(d for reached in lengths.values() for d in reached.values() if d)


def ends(graph):
    """Return the degrees at the two ends of every edge, both ways round."""
    degree = dict(graph.degree)
    pairs = [(degree[u], degree[v]) for u, v in graph.edges]
    return np.array(pairs + [(v, u) for u, v in pairs], dtype=float).reshape(-1, 2)


def assortativity(graph):
    found = ends(graph)
    return nx.degree_assortativity_coefficient(graph) if len(set(found.flat)) > 1 else 0.0


def girth(graph):
    found = nx.girth(graph)
    return 0 if math.isinf(found) else found


def spectrum(matrix):
    """Eigenvalues by QR iteration, where the library divides and conquers."""
    return scipy.linalg.eigvalsh(matrix, driver="ev")


def spectral_gap(matrix):
    return spectrum(matrix)[-1] - spectrum(matrix)[-2] if len(matrix) > 1 else 0.0


def laplacian_gap(matrix):
    if len(matrix) < 2:
        return 0.0
    return spectrum(np.diag(matrix.sum(axis=0)) - matrix)[1]


def ramanujan_gap(matrix):
    """The gap of the bipartite double cover, as a bipartite graph with two sides."""
    if not matrix.any():
        return 0.0
    singular = np.linalg.svd(matrix, compute_uv=False)
    left, right = matrix.sum(axis=1), matrix.sum(axis=0)
    roots = (math.sqrt(max(side.mean(), 1.0) - 1.0) for side in (left, right))
    return sum(roots) - singular[1]


NETWORKX = {
    "degree_centrality": lambda g: mean(nx.degree_centrality(g).values()),
    "clustering": nx.average_clustering,
    "edge_connectivity": lambda g: nx.edge_connectivity(g) if len(g) > 1 else 0,
    "eigenvector_centrality": eigenvector_mean,
    "cycle_rank": lambda g: len(nx.minimum_cycle_basis(g)) if len(g) < 6 else circuit_rank(g),
    "average_shortest_path_length": path_mean,
    "transitivity": nx.transitivity,
    "betweenness_centrality": lambda g: mean(nx.betweenness_centrality(g).values()),
    "closeness_centrality": lambda g: mean(nx.closeness_centrality(g).values()),
    "cycle_length": girth,
    "degree_deviation": lambda g: np.std([degree for _, degree in g.degree]),
    "minimum_degree": lambda g: min(degree for _, degree in g.degree),
    "degree_assortativity": assortativity,
    "triangles": lambda g: sum(nx.triangles(g).values()) / 3,
    "components": nx.number_connected_components,
    "girth": girth,
    "diameter": lambda g: max(nx.diameter(part) for part in components(g)),
    "global_efficiency": nx.global_efficiency,
    "local_efficiency": nx.local_efficiency,
    "algebraic_connectivity": lambda g: laplacian_gap(dense(g)),
    "spectral_gap": lambda g: spectral_gap(dense(g)),
    "spectral_radius": lambda g: spectrum(dense(g))[-1],
    "ramanujan_gap": lambda g: ramanujan_gap(dense(g)),
}
"""Property name → function of a simple networkx graph."""


def circuit_rank(graph):
    return graph.number_of_edges() - len(graph) + nx.number_connected_components(graph)


def table(graph):
    return np.array(graph.get_adjacency().data, dtype=float)


def lengths(graph):
    """Distances of an igraph graph, infinite without a path and from a node to itself."""
    found = np.array(graph.distances(), dtype=float).reshape(graph.vcount(), graph.vcount())
    np.fill_diagonal(found, np.inf)
    return found


def efficiency(graph):
    nodes = graph.vcount()
    return (1.0 / lengths(graph)).sum() / max(nodes * (nodes - 1), 1)


def closeness(graph):
    found = lengths(graph)
    others = np.isfinite(found).sum(axis=1)
    total = np.where(np.isfinite(found), found, 0.0).sum(axis=1)
    return mean(others**2 / np.maximum(total, 1)) / max(graph.vcount() - 1, 1)


def assortativity_degree(graph):
    return graph.assortativity_degree() if len(set(graph.degree()) - {0}) > 1 else 0.0


IGRAPH = {
    "degree_centrality": lambda g: g.density() if g.vcount() > 1 else 1.0,
    "clustering": lambda g: g.transitivity_avglocal_undirected(mode="zero"),
    "edge_connectivity": lambda g: g.edge_connectivity() if g.vcount() > 1 else 0,
    "eigenvector_centrality": lambda g: eigenvector_of([table(part) for part in g.decompose()]),
    "cycle_rank": lambda g: g.ecount() - g.vcount() + len(g.components()),
    "average_shortest_path_length": lambda g: g.average_path_length() if g.ecount() else 0.0,
    "transitivity": lambda g: g.transitivity_undirected(mode="zero"),
    "betweenness_centrality": lambda g: (
        2 * mean(g.betweenness()) / ((g.vcount() - 1) * (g.vcount() - 2)) if g.vcount() > 2 else 0.0
    ),
    "closeness_centrality": closeness,
    "cycle_length": lambda g: 0 if math.isinf(g.girth()) else g.girth(),
    "degree_deviation": lambda g: np.std(g.degree()),
    "minimum_degree": lambda g: min(g.degree()),
    "degree_assortativity": assortativity_degree,
    "triangles": lambda g: len(g.list_triangles()),
    "components": lambda g: len(g.components()),
    "girth": lambda g: 0 if math.isinf(g.girth()) else g.girth(),
    "diameter": lambda g: g.diameter(unconn=True),
    "global_efficiency": efficiency,
    "local_efficiency": lambda g: mean(
        efficiency(g.induced_subgraph(g.neighbors(v))) for v in range(g.vcount())
    ),
    "algebraic_connectivity": lambda g: laplacian_gap(table(g)),
    "spectral_gap": lambda g: spectral_gap(table(g)),
    "spectral_radius": lambda g: spectrum(table(g))[-1],
    "ramanujan_gap": lambda g: ramanujan_gap(table(g)),
}
"""The same of an igraph graph: quick enough for a hundred nodes."""

WHOLE = {
    "edge_connectivity",
    "cycle_rank",
    "cycle_length",
    "minimum_degree",
    "triangles",
    "components",
    "girth",
    "diameter",
}
"""Properties that are whole numbers, which must agree exactly."""


def stack(graphs):
    return np.stack([nx.to_numpy_array(g, nodelist=sorted(g), dtype=bool) for g in graphs])


def to_networkx(adjacency):
    graph = nx.from_numpy_array(adjacency)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


def to_igraph(adjacency):
    rows, columns = np.nonzero(np.triu(adjacency, 1))
    return igraph.Graph(len(adjacency), zip(rows.tolist(), columns.tolist(), strict=True))


def expected(adjacency, names, oracle=None):
    """Return name → values of each matrix of a stack, by networkx unless said otherwise."""
    graphs = [
        to_networkx(matrix) if oracle in (None, NETWORKX) else to_igraph(matrix)
        for matrix in adjacency
    ]
    table = NETWORKX if oracle is None else oracle
    return {name: np.array([float(table[name](g)) for g in graphs]) for name in names}


def assert_agree(found, wanted, tolerance=1e-10):
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        assert found[name].dtype == np.float64
        if name in WHOLE:
            assert found[name].tolist() == values.tolist(), name
        else:
            np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance, err_msg=name)


def union(*graphs):
    return nx.disjoint_union_all(graphs)


def nasty():
    """Return graphs of long paths, narrow cuts, ties and near-ties of eigenvalues, by name."""
    rng = np.random.default_rng(7)
    ring = nx.circulant_graph(40, [1, 2, 3])
    two_ends = union(nx.complete_graph(9), nx.complete_graph(9), nx.path_graph(2))
    two_ends.add_edges_from([(0, 18), (19, 9), (1, 10)])
    shifted = nx.circulant_graph(60, [1, 2])
    nx.double_edge_swap(shifted, 4, seed=3)
    return {
        "path": nx.path_graph(60),
        "cycle": nx.cycle_graph(61),
        "ladder": nx.circular_ladder_graph(25),
        "barbell": nx.barbell_graph(12, 20),
        "uneven barbell": nx.compose(nx.barbell_graph(10, 6), nx.path_graph(30)),
        "lollipop": nx.lollipop_graph(10, 25),
        "grid": nx.convert_node_labels_to_integers(nx.grid_2d_graph(6, 7)),
        "petersen": nx.petersen_graph(),
        "heawood": nx.heawood_graph(),
        "tutte": nx.tutte_graph(),
        "complete bipartite": nx.complete_bipartite_graph(7, 9),
        "star": nx.star_graph(12),
        "hypercube": nx.convert_node_labels_to_integers(nx.hypercube_graph(5)),
        "caveman": nx.connected_caveman_graph(5, 7),
        "ring of cliques": nx.ring_of_cliques(6, 5),
        "ring lattice": ring,
        "rewired ring": shifted,
        "two cliques": two_ends,
        "path and cycle": union(nx.path_graph(30), nx.cycle_graph(20)),
        "two cycles": union(nx.cycle_graph(9), nx.cycle_graph(6)),
        "two equal parts": union(nx.wheel_graph(8), nx.wheel_graph(8), nx.path_graph(3)),
        "nearly equal parts": union(nx.lollipop_graph(8, 4), nx.lollipop_graph(8, 6)),
        "edgeless": nx.empty_graph(5),
        "regular": nx.random_regular_graph(5, 44, seed=1),
        "word wide": nx.gnm_random_graph(64, 200, seed=int(rng.integers(9))),
        "a bit wider": nx.gnm_random_graph(65, 180, seed=int(rng.integers(9))),
        "three words": nx.connected_watts_strogatz_graph(130, 4, 0.1, seed=2),
    }
