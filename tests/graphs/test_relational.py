import itertools
import pickle

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bogp.errors import GraphError, SparsityError
from bogp.graphs import (
    RelationalGraph,
    edges_for_sparsity,
    generate,
    graph_to_mask,
    mask_to_graph,
)
from bogp.nodes import channel_nodes


@st.composite
def graphs(draw, most=12):
    nodes = draw(st.integers(1, most))
    pairs = nodes * (nodes - 1) // 2
    bits = draw(st.lists(st.booleans(), min_size=pairs, max_size=pairs))
    adjacency = np.zeros((nodes, nodes), dtype=bool)
    adjacency[np.triu_indices(nodes, 1)] = bits
    return RelationalGraph(adjacency | adjacency.T)


def slow_node(channel, channels, nodes):
    """The owner of a channel, by dealing the channels out one node after another."""
    first = 0
    for node in range(nodes):
        size = channels // nodes + (1 if node < channels % nodes else 0)
        if first <= channel < first + size:
            return node
        first += size
    raise AssertionError


def test_the_graph_keeps_self_loops_and_counts_none():
    graph = RelationalGraph(np.zeros((4, 4), dtype=bool))
    assert graph.adjacency.diagonal().all()
    assert (graph.nodes, graph.edges, graph.density) == (4, 0, 0.0)
    complete = RelationalGraph(torch.ones(4, 4, dtype=torch.int64))
    assert (complete.edges, complete.density) == (6, 1.0)
    assert RelationalGraph([[0]]).density == 0.0


def test_the_graph_cannot_be_changed():
    source = np.zeros((3, 3), dtype=bool)
    graph = RelationalGraph(source)
    source[0, 1] = source[1, 0] = True
    assert graph.edges == 0
    for same in (graph, pickle.loads(pickle.dumps(graph))):
        with pytest.raises(ValueError, match="read-only"):
            same.adjacency[0, 1] = True


@pytest.mark.parametrize(
    ("adjacency", "message"),
    [
        (np.zeros((2, 3)), r"\(2, 3\) is not square"),
        (np.zeros(4), "not square"),
        (np.zeros((2, 2, 2)), "not square"),
        (np.zeros((0, 0)), "at least 1 node"),
        (np.triu(np.ones((3, 3))), r"\(0, 1\) and \(1, 0\) differ"),
        (np.full((2, 2), 0.5), "holds 0.5"),
        (np.full((2, 2), np.nan), "holds nan"),
    ],
)
def test_no_graph_of_bad_input(adjacency, message):
    with pytest.raises(GraphError, match=message):
        RelationalGraph(adjacency)


@settings(deadline=None)
@given(graphs())
def test_packed_round_trip(graph):
    packed = graph.packed()
    again = RelationalGraph.from_packed(packed, graph.nodes)
    assert again == graph
    assert hash(again) == hash(graph)
    assert len(packed) == (graph.nodes * (graph.nodes - 1) // 2 + 7) // 8


def test_equality_is_by_content():
    one, other = RelationalGraph(np.eye(3)), RelationalGraph(np.ones((3, 3)))
    assert one != other
    assert one != RelationalGraph(np.eye(4))
    assert one != "graph"
    assert len({one, other, RelationalGraph(np.zeros((3, 3)))}) == 2


@pytest.mark.parametrize(("packed", "nodes"), [(b"", 4), (b"\x00\x00", 4), (b"\x01", 4), (b"", 0)])
def test_bytes_of_another_graph_are_refused(packed, nodes):
    with pytest.raises(GraphError):
        RelationalGraph.from_packed(packed, nodes)


@settings(deadline=None)
@given(graphs())
def test_networkx_round_trip(graph):
    other = graph.to_networkx()
    assert other.number_of_edges() == graph.edges
    assert nx.number_of_selfloops(other) == 0
    assert RelationalGraph.from_networkx(other) == graph


def test_from_networkx_numbers_the_nodes():
    shuffled = nx.Graph([(2, 0), (0, 1), (1, 1)])
    assert RelationalGraph.from_networkx(shuffled).adjacency[1].tolist() == [True, True, False]
    named = nx.Graph([("b", "a"), ("a", "c")])
    assert RelationalGraph.from_networkx(named).adjacency[0].tolist() == [True, True, False]
    with pytest.raises(GraphError, match="symmetric"):
        RelationalGraph.from_networkx(nx.DiGraph([(0, 1)]))


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 30))
def test_channels_are_dealt_in_order(nodes, extra):
    channels = nodes + extra
    owners = channel_nodes(channels, nodes)
    assert owners.dtype == np.int64
    assert owners.tolist() == [slow_node(c, channels, nodes) for c in range(channels)]


@settings(deadline=None)
@given(graphs(6), st.integers(0, 9), st.integers(0, 9), st.sampled_from([(), (3,), (2, 3)]))
def test_mask_blocks_match_a_literal_loop(graph, more_out, more_in, kernel):
    n = graph.nodes
    shape = (n + more_out, n + more_in)
    mask = graph_to_mask(graph, *shape, kernel)
    assert mask.dtype == torch.bool
    assert mask.shape == (*shape, *kernel)
    for o, i in itertools.product(range(shape[0]), range(shape[1])):
        u, v = slow_node(o, shape[0], n), slow_node(i, shape[1], n)
        assert (mask[o, i] == bool(graph.adjacency[u, v])).all()


@settings(deadline=None)
@given(
    graphs(),
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from([(), (3, 3)]),
    st.none() | st.floats(0.01, 1.0),
)
def test_graph_to_mask_to_graph_is_the_identity(graph, more_out, more_in, kernel, threshold):
    n = graph.nodes
    mask = graph_to_mask(graph, n + more_out, n + more_in, kernel)
    assert mask_to_graph(mask, n, threshold) == graph
    assert mask_to_graph(mask.numpy(), n, threshold) == graph


def test_mask_to_graph_counts_both_blocks():
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[0, 3] = True  # one weight of the 12 in blocks (0, 1) and (1, 0)
    assert mask_to_graph(mask, 2).edges == 1
    assert mask_to_graph(mask, 2, threshold=1 / 12).edges == 1
    assert mask_to_graph(mask, 2, threshold=0.09).edges == 0
    mask[2, 0] = True  # a second one, in the other block
    assert mask_to_graph(mask, 2, threshold=0.09).edges == 1


def test_a_layer_smaller_than_the_graph_is_refused():
    graph = RelationalGraph(np.eye(8))
    message = "8 nodes do not fit a layer of 10 outputs and 7 inputs: use at most 7 nodes"
    for call in (
        lambda: graph_to_mask(graph, 10, 7),
        lambda: mask_to_graph(torch.ones(10, 7), 8),
        lambda: edges_for_sparsity(8, 0.5, 10, 7),
    ):
        with pytest.raises(GraphError, match=message):
            call()
    with pytest.raises(GraphError, match="use at most 7 nodes"):
        channel_nodes(7, 8)
    with pytest.raises(GraphError, match="no outputs and inputs"):
        mask_to_graph(torch.ones(9), 3)
    for threshold in (0.0, 1.1, -1.0):
        with pytest.raises(GraphError, match="threshold"):
            mask_to_graph(torch.ones(9, 9), 3, threshold)


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (7, 5), (9, 4), (6, 6)])
@pytest.mark.parametrize("sparsity", [0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.99])
def test_edges_for_sparsity_is_enough_and_no_more_than_needed(shape, sparsity):
    nodes = 4
    wanted = round((1 - sparsity) * shape[0] * shape[1])
    fewest = {}
    pairs = list(itertools.combinations(range(nodes), 2))
    for bits in itertools.product([0, 1], repeat=len(pairs)):
        adjacency = np.zeros((nodes, nodes), dtype=bool)
        for (u, v), bit in zip(pairs, bits, strict=True):
            adjacency[u, v] = adjacency[v, u] = bit
        kept = int(graph_to_mask(RelationalGraph(adjacency), *shape).sum())
        fewest[sum(bits)] = min(kept, fewest.get(sum(bits), kept))
    expected = min(m for m, kept in fewest.items() if kept >= wanted)
    assert edges_for_sparsity(nodes, sparsity, *shape) == expected


def test_edges_for_sparsity_on_the_papers_layer():
    for sparsity in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9):
        edges = edges_for_sparsity(128, sparsity, 128, 784)
        wanted = round((1 - sparsity) * 128 * 784)
        for seed in range(3):
            mask = graph_to_mask(generate("uniform", 128, edges, seed), 128, 784)
            assert wanted <= int(mask.sum()) <= wanted * 1.03
    assert edges_for_sparsity(1, 0.5) == 0
    assert edges_for_sparsity(10, 0.0) == 45
    with pytest.raises(SparsityError):
        edges_for_sparsity(10, 1.0)
