"""Kernels that count and search, on graphs of one, two and many words a row."""

import networkx as nx
import numpy as np
import pytest
from property_oracles import stack
from scipy.sparse.csgraph import connected_components, shortest_path

from bogp.graphs.kernels import cycles, paths, triangles
from bogp.graphs.kernels.bits import pack

SIZES = [1, 2, 63, 64, 65, 128, 129, 200]


def drawn(nodes, degree):
    rng = np.random.default_rng(nodes)
    joined = np.triu(rng.random((nodes, nodes)) < degree / nodes, 1)
    return joined | joined.T


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("degree", [0.7, 2.5, 12, 90])
def test_distances_and_components(nodes, degree):
    joined = drawn(nodes, degree)
    length = shortest_path(joined, directed=False, unweighted=True)
    apart = np.where(length == 0, np.inf, length)
    finite = np.where(np.isfinite(length), length, 0.0)
    found = paths.distances(pack(joined[None]))[:, 0]
    assert found[paths.REACHED].tolist() == np.isfinite(length).sum(axis=1).tolist()
    assert found[paths.TOTAL].tolist() == finite.sum(axis=1).tolist()
    np.testing.assert_allclose(found[paths.INVERSE], (1 / apart).sum(axis=1), atol=1e-12)
    assert found[paths.FARTHEST].tolist() == finite.max(axis=1).tolist()
    assert found[paths.NEAR].tolist() == (length <= 2).sum(axis=1).tolist()
    count = connected_components(joined, directed=False)[0]
    assert cycles.component_counts(pack(joined[None])).tolist() == [count]


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("degree", [3, 12, 90])
def test_triangles_and_neighbourhoods(nodes, degree):
    joined = drawn(nodes, degree)
    graph, rows = nx.from_numpy_array(joined), pack(joined[None])
    assert triangles.triangles(rows)[0].tolist() == list(nx.triangles(graph).values())
    assert triangles.degrees(rows)[0].tolist() == [d for _, d in graph.degree]
    found = paths.local_efficiencies(rows)[0]
    for node in range(0, nodes, 7):
        wanted = nx.global_efficiency(graph.subgraph(graph[node]))
        assert found[node] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("graph", "girth"),
    [
        (nx.cycle_graph(200), 200),
        (nx.path_graph(100), 0),
        (nx.heawood_graph(), 6),
        (nx.LCF_graph(70, [-29, -19, -13, 13, 21, -27, 27, 33, -13, 13, 19, -21, -33, 29], 5), 10),
        (nx.disjoint_union(nx.cycle_graph(70), nx.cycle_graph(67)), 67),
        (nx.disjoint_union(nx.balanced_tree(2, 5), nx.cycle_graph(9)), 9),
        (nx.complete_bipartite_graph(50, 50), 4),
        (nx.lollipop_graph(3, 150), 3),
    ],
    ids=str,
)
def test_girths(graph, girth):
    assert cycles.girths(pack(stack([graph]))).tolist() == [girth]


def test_many_graphs_leave_nothing_behind():
    """Room to work in is shared by the graphs of a batch."""
    graphs = [nx.path_graph(70), nx.empty_graph(70), nx.complete_graph(70), nx.cycle_graph(70)]
    together = pack(stack(graphs * 2))
    for kernel in (
        paths.distances,
        paths.local_efficiencies,
        cycles.girths,
        cycles.component_counts,
        triangles.triangles,
        triangles.assortativities,
    ):
        whole = kernel(together)
        axis = 1 if kernel is paths.distances else 0
        for k, graph in enumerate(graphs * 2):
            alone = kernel(pack(stack([graph])))
            assert (whole.take([k], axis=axis) == alone).all(), (kernel, k)
