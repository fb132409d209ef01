import math
import sys

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bogp.errors import GraphError, UnknownNameError
from bogp.graphs import (
    ALL_PROPERTIES,
    CANDIDATES,
    GENERATORS,
    PAPER_FIVE,
    PROPERTIES,
    connectivity,
    generate,
    properties,
    spectral,
)
from bogp.graphs import batch as batch_module
from bogp.graphs.batch import Batch


def mean(values):
    return float(np.mean(list(values)))


def eigenvector_mean(graph):
    """Mean entry of the all-ones vector projected on the leading eigenspace, by components."""
    parts = []
    for component in nx.connected_components(graph):
        values, vectors = np.linalg.eigh(nx.to_numpy_array(graph, nodelist=sorted(component)))
        parts.append((values, vectors))
    top = max(values[-1] for values, _ in parts)
    leading = []
    for values, vectors in parts:
        # More than one in a component: two cliques at the ends of a long path, say.
        basis = vectors[:, values > top - 1e-9]
        leading.append(basis @ basis.sum(axis=0))
    whole = np.concatenate(leading)
    return whole.sum() / np.linalg.norm(whole) / len(graph)


def path_mean(graph):
    lengths = [
        length
        for source, reached in nx.all_pairs_shortest_path_length(graph)
        for target, length in reached.items()
        if source != target
    ]
    return mean(lengths) if lengths else 0.0


def connectivity_of(graph):
    return nx.edge_connectivity(graph) if len(graph) > 1 else 0


def girth_of(graph):
    found = nx.girth(graph)
    return 0 if math.isinf(found) else found


def rank_of(graph):
    return graph.number_of_edges() - len(graph) + nx.number_connected_components(graph)


REFERENCE = {
    "degree_centrality": lambda g: mean(nx.degree_centrality(g).values()),
    "clustering": lambda g: nx.average_clustering(g),
    "edge_connectivity": connectivity_of,
    "eigenvector_centrality": eigenvector_mean,
    "cycle_rank": rank_of,
    "average_shortest_path_length": path_mean,
    "transitivity": nx.transitivity,
    "betweenness_centrality": lambda g: mean(nx.betweenness_centrality(g).values()),
    "closeness_centrality": lambda g: mean(nx.closeness_centrality(g).values()),
    "cycle_length": girth_of,
}
WHOLE = {"edge_connectivity", "cycle_rank", "cycle_length"}


def stack(graphs):
    return np.stack([nx.to_numpy_array(g, nodelist=sorted(g), dtype=bool) for g in graphs])


def to_networkx(adjacency):
    graph = nx.from_numpy_array(adjacency)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


def check(adjacency, names=ALL_PROPERTIES):
    found = properties(adjacency, names)
    graphs = [to_networkx(matrix) for matrix in adjacency]
    for name in names:
        expected = np.array([REFERENCE[name](graph) for graph in graphs])
        assert found[name].dtype == np.float64
        if name in WHOLE:
            assert found[name].tolist() == expected.tolist(), name
        else:
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-11, err_msg=name)


ATLAS = nx.graph_atlas_g()[1:]


@pytest.mark.parametrize("nodes", range(1, 8))
def test_all_graphs_of_up_to_seven_nodes(nodes):
    check(stack([g for g in ATLAS if len(g) == nodes]))


@pytest.mark.parametrize("family", sorted(GENERATORS))
@pytest.mark.parametrize("nodes", [16, 27, 40])
def test_every_family(family, nodes):
    pairs = nodes * (nodes - 1) // 2
    edges = [nodes // 2, 2 * nodes, pairs // 4, pairs // 2, 9 * pairs // 10]
    check(np.stack([generate(family, nodes, m, seed=m).adjacency for m in edges]))


@pytest.mark.parametrize(
    "graph",
    [
        nx.path_graph(60),
        nx.cycle_graph(61),
        nx.circular_ladder_graph(25),
        nx.barbell_graph(12, 20),
        nx.lollipop_graph(10, 25),
        nx.grid_2d_graph(6, 7),
        nx.petersen_graph(),
        nx.heawood_graph(),
        nx.tutte_graph(),
        nx.complete_bipartite_graph(7, 9),
        nx.star_graph(12),
        nx.hypercube_graph(5),
        nx.connected_caveman_graph(5, 7),
        nx.disjoint_union(nx.path_graph(30), nx.cycle_graph(20)),
        nx.disjoint_union(nx.cycle_graph(9), nx.cycle_graph(6)),
        nx.empty_graph(5),
    ],
    ids=lambda g: f"{len(g)}-{g.number_of_edges()}",
)
def test_graphs_of_long_paths_and_narrow_cuts(graph):
    check(stack([graph]))


@pytest.mark.parametrize("bridges", [2, 4, 7])
def test_edge_connectivity_below_the_minimum_degree(bridges):
    rng = np.random.default_rng(bridges)
    half = [generate("uniform", 20, 150, seed).adjacency for seed in (0, 1)]
    adjacency = np.zeros((40, 40), dtype=bool)
    adjacency[:20, :20], adjacency[20:, 20:] = half
    for u, v in zip(rng.permutation(20)[:bridges], rng.permutation(20)[:bridges], strict=True):
        adjacency[u, 20 + v] = adjacency[20 + v, u] = True
    assert properties(adjacency[None], "edge_connectivity")["edge_connectivity"] == bridges
    check(adjacency[None], ("edge_connectivity",))


@pytest.mark.parametrize("scans", [0, 1, 5])
def test_edge_connectivity_without_the_shortcut(monkeypatch, scans):
    """Scans and flows must give the same numbers where the theorem would have settled it."""
    monkeypatch.setattr(connectivity, "_SCANS", scans)
    monkeypatch.setattr(
        connectivity, "_no_smaller_cut", lambda least, far: np.zeros(len(least), dtype=bool)
    )
    rng = np.random.default_rng(scans)
    for nodes in (7, 18):
        graphs = [
            nx.compose(to_networkx(generate(f, nodes, int(m), 0).adjacency), nx.path_graph(nodes))
            for f in sorted(GENERATORS)
            for m in rng.integers(nodes, 2 * nodes, size=3)
        ]
        expected = [nx.edge_connectivity(g) for g in graphs]
        found = properties(stack(graphs), "edge_connectivity")["edge_connectivity"]
        assert found.tolist() == expected


def test_the_shortcut_settles_nearly_all_graphs_and_is_right():
    settled = 0
    for nodes in range(2, 8):
        graphs = [g for g in ATLAS if len(g) == nodes and nx.is_connected(g)]
        batch = Batch.of(stack(graphs))
        least = batch.degree.min(axis=1)
        sure = connectivity._no_smaller_cut(least, nodes - batch.distances.near)
        true = np.array([nx.edge_connectivity(g) for g in graphs])
        assert (true[sure] == least[sure]).all()
        settled += sure.sum()
    assert settled == 989  # of 995; the rest have a smaller cut


def test_full_decomposition_agrees_with_power_iteration(monkeypatch):
    names = ("eigenvector_centrality",)
    adjacency = np.stack(
        [generate(f, 48, m, 0).adjacency for f in sorted(GENERATORS) for m in (40, 150, 700)]
    )
    check(adjacency, names)
    monkeypatch.setattr(spectral, "_STAGES", 0)
    check(adjacency, names)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_long_distances_by_scipy_agree(monkeypatch, rounds):
    monkeypatch.setattr(batch_module, "_ROUNDS", max(rounds, 2))
    check(np.stack([generate("ring_lattice", 30, m, 0).adjacency for m in (20, 33, 60)]))


ODD = {
    "degree_centrality": (1.0, 0.0),
    "eigenvector_centrality": (1.0, 0.5),
}


@pytest.mark.parametrize("name", ALL_PROPERTIES)
def test_one_node_and_edgeless_graphs(name):
    one, edgeless = ODD.get(name, (0.0, 0.0))
    assert properties(np.zeros((2, 1, 1), dtype=bool), [name])[name].tolist() == [one, one]
    assert properties(np.zeros((1, 4, 4), dtype=bool), [name])[name].tolist() == [edgeless]


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(sorted(GENERATORS)), st.integers(2, 24))
def test_relabelling_and_self_loops_change_nothing(data, family, nodes):
    edges = data.draw(st.integers(0, nodes * (nodes - 1) // 2))
    order = np.array(data.draw(st.permutations(range(nodes))))
    graph = generate(family, nodes, edges, data.draw(st.integers(0, 99))).adjacency
    bare = graph & ~np.eye(nodes, dtype=bool)
    loops = bare | np.diag(data.draw(st.lists(st.booleans(), min_size=nodes, max_size=nodes)))
    found = properties(np.stack([bare, graph, loops, graph[np.ix_(order, order)]]), ALL_PROPERTIES)
    for name, values in found.items():
        assert values == pytest.approx(np.full(4, values[0]), abs=1e-11), name


def test_equal_components_share_the_eigenvector():
    """Any split is a leading eigenvector; only the even one is the same for every labelling."""
    two = nx.disjoint_union(nx.complete_graph(4), nx.complete_graph(4))
    unequal = nx.disjoint_union(nx.complete_graph(4), nx.complete_graph(3))
    found = properties(stack([two]), "eigenvector_centrality")["eigenvector_centrality"]
    assert found == pytest.approx([8**-0.5])
    found = properties(stack([unequal]), "eigenvector_centrality")["eigenvector_centrality"]
    assert found == pytest.approx([4 * 0.5 / 7])


def test_batches_of_any_size_agree(monkeypatch):
    adjacency = np.stack([generate("ws_flex", 20, 60, seed).adjacency for seed in range(11)])
    whole = properties(adjacency, ALL_PROPERTIES)
    # By name: the attribute bogp.graphs.properties is the function.
    monkeypatch.setattr(sys.modules["bogp.graphs.properties"], "_CHUNK", 3 * 20 * 20)
    for name, values in properties(adjacency, ALL_PROPERTIES).items():
        np.testing.assert_allclose(values, whole[name], rtol=0, atol=1e-13)
    wrong = adjacency.copy()
    wrong[7, 0, 1] ^= True
    with pytest.raises(GraphError, match="graph 7 is not symmetric"):
        properties(wrong)


def test_names():
    adjacency = np.zeros((0, 5, 5), dtype=bool)
    assert tuple(properties(adjacency)) == PAPER_FIVE
    assert len(CANDIDATES) == 9
    assert set(ALL_PROPERTIES) == set(PROPERTIES) == set(REFERENCE) == {*CANDIDATES, "cycle_length"}
    assert list(properties(adjacency, ["transitivity", "clustering"])) == [
        "transitivity",
        "clustering",
    ]
    assert properties(adjacency, ()) == {}
    with pytest.raises(UnknownNameError, match="unknown property 'clusterin': did you mean clust"):
        properties(adjacency, ["clusterin"])


@pytest.mark.parametrize("nodes", [0, 1, 6])
def test_an_empty_batch_gives_empty_arrays(nodes):
    found = properties(np.zeros((0, nodes, nodes), dtype=bool), ALL_PROPERTIES)
    assert all(values.shape == (0,) for values in found.values())


def test_input_is_left_alone_and_may_be_a_tensor():
    adjacency = np.ones((2, 5, 5), dtype=bool)
    found = properties(adjacency, ALL_PROPERTIES)
    assert adjacency.all()
    tensor = properties(torch.from_numpy(adjacency), ALL_PROPERTIES)
    assert all((tensor[name] == values).all() for name, values in found.items())


@pytest.mark.parametrize(
    ("adjacency", "message"),
    [
        (np.zeros((4, 4)), r"add one with adjacency\[None\]"),
        (np.zeros((2, 4, 3)), r"\(2, 4, 3\) holds no graphs"),
        (np.zeros(4), "holds no graphs"),
        (np.zeros((2, 0, 0)), "at least 1 node"),
        (np.full((1, 2, 2), 2), "holds 2"),
        (np.triu(np.ones((1, 3, 3))), "graph 0 is not symmetric"),
    ],
)
def test_bad_arrays_are_refused(adjacency, message):
    with pytest.raises(GraphError, match=message):
        properties(adjacency)


def test_only_what_is_asked_for_is_computed():
    batch = Batch.of(np.ones((2, 6, 6), dtype=bool))
    PROPERTIES["degree_centrality"](batch)
    assert {"common", "triangles", "distances"}.isdisjoint(vars(batch))
    PROPERTIES["clustering"](batch)
    assert "distances" not in vars(batch)
