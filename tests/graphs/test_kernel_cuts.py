"""Edge connectivity: the theorem that settles most graphs, and the flows that settle the rest."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property_oracles import stack, to_igraph, to_networkx

from bogp.graphs import GENERATORS, generate
from bogp.graphs.kernels import cuts
from bogp.graphs.kernels.bits import pack
from bogp.graphs.kernels.cycles import component_counts
from bogp.graphs.kernels.paths import NEAR, distances


def found(adjacency, shortcut=True):
    rows = pack(adjacency)
    near = np.ascontiguousarray(distances(rows)[NEAR])
    return cuts.edge_connectivities(rows, component_counts(rows), near, shortcut).tolist()


@pytest.mark.parametrize("bridges", [2, 4, 7])
def test_below_the_minimum_degree(bridges):
    rng = np.random.default_rng(bridges)
    half = [generate("uniform", 20, 150, seed).adjacency for seed in (0, 1)]
    adjacency = np.zeros((40, 40), dtype=bool)
    adjacency[:20, :20], adjacency[20:, 20:] = half
    for u, v in zip(rng.permutation(20)[:bridges], rng.permutation(20)[:bridges], strict=True):
        adjacency[u, 20 + v] = adjacency[20 + v, u] = True
    assert nx.edge_connectivity(to_networkx(adjacency)) == bridges
    assert found(adjacency[None]) == found(adjacency[None], shortcut=False) == [bridges]


def lumps(rng):
    """Return a few dense lumps of at least the joints' degree, joined by few edges in a ring."""
    sizes = rng.integers(5, 20, size=rng.integers(2, 5))
    graph = nx.disjoint_union_all(
        [nx.gnp_random_graph(int(n), 0.8, seed=int(rng.integers(1000))) for n in sizes]
    )
    ends = np.cumsum(sizes)
    for k in range(len(sizes)):
        other = (k + 1) % len(sizes)
        for _ in range(rng.integers(1, 5)):
            graph.add_edge(
                int(ends[k] - 1 - rng.integers(sizes[k])),
                int(ends[other] - 1 - rng.integers(sizes[other])),
            )
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_lumps_joined_by_few_edges(seed):
    graph = lumps(np.random.default_rng(seed))
    wanted = [nx.edge_connectivity(graph)]
    assert found(stack([graph])) == found(stack([graph]), shortcut=False) == wanted


NEAR_REGULAR = {
    "ring lattice": nx.circulant_graph(129, [1, 2, 3, 4]),
    "ring": nx.cycle_graph(70),
    "regular of 4": nx.random_regular_graph(4, 130, seed=1),
    "regular of 9": nx.random_regular_graph(9, 64, seed=2),
    "torus": nx.convert_node_labels_to_integers(nx.grid_2d_graph(8, 9, periodic=True)),
    "hypercube": nx.convert_node_labels_to_integers(nx.hypercube_graph(6)),
    "ring of cliques": nx.ring_of_cliques(9, 8),
    "barbell": nx.barbell_graph(30, 10),
    "prism": nx.circular_ladder_graph(40),
    "two cliques side by side": nx.cartesian_product(nx.complete_graph(20), nx.path_graph(2)),
    "windmill": nx.windmill_graph(5, 9),
    "expander": nx.paley_graph(61).to_undirected(),
}


@pytest.mark.parametrize("name", NEAR_REGULAR)
@pytest.mark.parametrize("shortcut", [True, False])
def test_near_regular_graphs_and_cliques(name, shortcut):
    graph = nx.convert_node_labels_to_integers(NEAR_REGULAR[name])
    adjacency = stack([graph])
    assert found(adjacency, shortcut) == [to_igraph(adjacency[0]).edge_connectivity()]


@pytest.mark.parametrize("nodes", [9, 30, 100])
def test_every_family_without_the_shortcut(nodes):
    rng = np.random.default_rng(nodes)
    adjacency = np.stack(
        [
            generate(family, nodes, int(m), 0).adjacency
            for family in sorted(set(GENERATORS) - {"mixed"})
            for m in rng.integers(nodes, 4 * nodes, size=4)
        ]
    )
    wanted = [to_igraph(matrix).edge_connectivity() for matrix in adjacency]
    assert found(adjacency, shortcut=False) == found(adjacency) == wanted


@pytest.mark.parametrize("nodes", [12, 30, 70])
def test_flows_between_nodes(nodes):
    """Paths that undo a part of earlier ones are needed for many of these pairs."""
    rng = np.random.default_rng(nodes)
    adjacency = generate("uniform", nodes, 2 * nodes, 3).adjacency
    rows, graph = pack(adjacency[None])[0], to_igraph(adjacency)
    room = (np.empty_like(rows), np.empty(nodes, np.int64), np.empty(nodes, np.int64))
    for _ in range(40):
        source, target = (int(node) for node in rng.choice(nodes, 2, replace=False))
        inside = np.zeros(rows.shape[1], np.uint64)
        inside[target // 64] = np.uint64(1 << target % 64)
        wanted = graph.edge_connectivity(source, target)
        assert cuts._flow(rows, source, nodes, inside, *room) == wanted
        assert cuts._flow(rows, source, 2, inside, *room) == min(wanted, 2)


def test_a_unit_sent_back_opens_the_edge_both_ways():
    """Breadth first, an edge is hardly ever wanted a third time; so it is looked at by itself."""
    rows = pack(stack([nx.path_graph(3)]))[0]
    residual, parent = rows.copy(), np.array([1, 0, 1])
    cuts._push(residual, 0, 2, parent)
    assert residual.ravel().tolist() == [0b000, 0b001, 0b010]
    parent[0] = 1
    cuts._push(residual, 1, 0, parent)
    assert residual.ravel().tolist() == [0b010, 0b001, 0b010]


def test_the_shortcut_settles_nearly_all_graphs_and_is_right():
    settled = 0
    for nodes in range(2, 8):
        graphs = [g for g in nx.graph_atlas_g() if len(g) == nodes and nx.is_connected(g)]
        near = distances(pack(stack(graphs)))[NEAR]
        for graph, reached in zip(graphs, near, strict=True):
            least = min(degree for _, degree in graph.degree)
            if cuts._no_smaller_cut(least, (nodes - reached).astype(np.int64)):
                assert nx.edge_connectivity(graph) == least
                settled += 1
    assert settled == 989  # of 995; the rest have a smaller cut
