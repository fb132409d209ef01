"""Bipartite graphs of masks, against networkx and closed forms."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bogp.analysis import bipartite_graph as module
from bogp.analysis.bipartite_graph import bipartite, multiplicities, spectrum
from bogp.analysis.paths import beside, chain_order, chain_paths, dead_units, joint
from bogp.errors import GraphError, MaskError
from bogp.graphs import RelationalGraph, graph_to_mask, properties

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def as_networkx(mask):
    graph = nx.Graph()
    outputs, inputs = mask.shape[:2]
    graph.add_nodes_from(("in", i) for i in range(inputs))
    graph.add_nodes_from(("out", o) for o in range(outputs))
    kept = mask.reshape(outputs, inputs, -1).any(axis=2)
    graph.add_edges_from((("in", i), ("out", o)) for o, i in np.argwhere(kept))
    return graph


def biregular(inputs, outputs, degree, seed):
    """Return a random graph whose inputs have ``degree`` edges and outputs as many as each."""
    left = [degree] * inputs
    right = [degree * inputs // outputs] * outputs
    for attempt in range(500):
        multi = nx.bipartite.configuration_model(left, right, seed=seed * 1000 + attempt)
        graph = nx.Graph(multi)
        if graph.number_of_edges() == degree * inputs:
            return nx.bipartite.biadjacency_matrix(graph, range(inputs)).toarray().T > 0
    raise AssertionError


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_counts_and_eigenvalues_are_those_of_networkx(mask):
    graph, found = as_networkx(mask), bipartite(mask)
    assert found.edges == graph.number_of_edges()
    assert found.components == nx.number_connected_components(graph)
    assert found.is_connected == nx.is_connected(graph)
    assert found.isolated_inputs + found.isolated_outputs == nx.number_of_isolates(graph)
    joined = [part for part in nx.connected_components(graph) if len(part) > 1]
    assert found.parts == len(joined)
    degrees = [graph.degree(("out", o)) for o in range(len(mask))]
    drawn = found.output_degrees
    assert (drawn.least, drawn.most) == (min(degrees), max(degrees))
    assert drawn.mean == pytest.approx(np.mean(degrees))
    values = sorted(np.linalg.eigvalsh(nx.to_numpy_array(graph)))
    measured = spectrum(mask)
    if not mask.any():
        assert measured is None
        return
    second = values[-2] if len(values) > 1 and min(mask.shape) > 1 else 0.0
    assert measured.largest == pytest.approx(values[-1])
    assert measured.second == pytest.approx(max(second, 0.0), abs=1e-6)
    assert measured.gap == measured.largest - measured.second
    assert measured.ramanujan_gap == measured.bound - measured.second
    live = [degree for _, degree in graph.degree if degree]
    sides = [
        [graph.degree(n) for n in graph if n[0] == s and graph.degree(n)] for s in ("in", "out")
    ]
    assert measured.bound == pytest.approx(sum(math.sqrt(np.mean(s) - 1) for s in sides))
    assert sum(live) == 2 * found.edges


@settings(max_examples=60, deadline=None)
@given(MASKS, st.randoms(use_true_random=False))
def test_the_order_of_channels_changes_nothing(mask, random):
    rows = random.sample(range(mask.shape[0]), mask.shape[0])
    columns = random.sample(range(mask.shape[1]), mask.shape[1])
    other = mask[rows][:, columns]
    assert bipartite(other) == bipartite(mask)
    assert dead_units(other) == dead_units(mask)
    before, after = spectrum(mask), spectrum(other)
    assert (before is None) == (after is None)
    if before is not None:
        for name, value in vars(before).items():
            assert getattr(after, name) == pytest.approx(value, abs=1e-7)


def test_closed_forms():
    complete = spectrum(np.ones((3, 12)))
    assert (complete.largest, complete.second) == (6.0, 0.0)
    assert complete.ramanujan_gap == math.sqrt(2) + math.sqrt(11)
    n = 7  # a cycle of 14 nodes, inputs and outputs in turn: eigenvalues 2 cos(pi k / 7)
    cycle = spectrum(np.eye(n, dtype=bool) | np.roll(np.eye(n, dtype=bool), 1, axis=1))
    assert cycle.largest == pytest.approx(2)
    assert cycle.second == pytest.approx(2 * math.cos(math.pi / n))
    assert cycle.bound == 2
    matching = spectrum(np.eye(5))
    assert (matching.largest, matching.second, matching.ramanujan_gap) == (1, 1, -1)
    # Two equal blocks tie for the largest; a third, smaller one comes after them.
    blocks = spectrum(np.kron(np.eye(2), np.ones((4, 4))))
    assert (blocks.largest, blocks.second, blocks.gap) == (4, 4, 0)
    star = spectrum(np.ones((1, 10)))
    assert (star.largest, star.second, star.bound) == (math.sqrt(10), 0, 3)
    # The incidence graph of the Fano plane: singular values 3, and sqrt 2 six times.
    fano = [{0, 1, 2}, {0, 3, 4}, {0, 5, 6}, {1, 3, 5}, {1, 4, 6}, {2, 3, 6}, {2, 4, 5}]
    plane = spectrum(np.array([[point in line for point in range(7)] for line in fano]))
    assert (plane.largest, plane.second) == (pytest.approx(3), pytest.approx(math.sqrt(2)))
    assert plane.ramanujan_gap == pytest.approx(2 * math.sqrt(2) - math.sqrt(2))


@pytest.mark.parametrize(("inputs", "outputs", "degree"), [(40, 40, 3), (60, 30, 3), (48, 36, 3)])
def test_a_biregular_graph_has_its_degrees_as_largest_singular_value(inputs, outputs, degree):
    mask = biregular(inputs, outputs, degree, seed=3)
    other = degree * inputs // outputs
    found = spectrum(mask)
    assert bipartite(mask).is_biregular
    assert found.largest == pytest.approx(math.sqrt(degree * other))
    assert found.bound == pytest.approx(math.sqrt(degree - 1) + math.sqrt(other - 1))
    assert found.second == pytest.approx(np.linalg.svd(mask, compute_uv=False)[1])
    # One input degree and both means of at least 3: the only subgraph is the whole.
    assert found.mean_difference == pytest.approx(found.ramanujan_gap)


def test_mean_difference_is_over_the_subgraphs_of_one_input_degree():
    rng = np.random.default_rng(0)
    mask = np.zeros((12, 16), dtype=bool)
    for column, degree in enumerate([5] * 8 + [7] * 6 + [4] * 2):  # too few of degree 4
        mask[rng.choice(12, degree, replace=False), column] = True
    gaps = [spectrum(mask[:, :8]).ramanujan_gap, spectrum(mask[:, 8:14]).ramanujan_gap]
    assert spectrum(mask).mean_difference == pytest.approx(np.mean(gaps))
    assert spectrum(np.eye(8)).mean_difference is None


def test_an_iterative_solver_agrees(monkeypatch):
    mask = np.random.default_rng(1).random((60, 90)) < 0.1
    mask = np.kron(np.eye(2, dtype=bool), mask)  # two components alike
    exact = spectrum(mask)
    monkeypatch.setattr(module, "LARGEST_DENSE", 8)
    again = spectrum(mask)
    assert exact.gap == pytest.approx(0, abs=1e-9)
    assert again.largest == pytest.approx(exact.largest)
    assert again.second == pytest.approx(exact.second)
    alone = mask[:60, :90]
    assert spectrum(alone).second == pytest.approx(np.linalg.svd(alone, compute_uv=False)[1])


def test_the_property_of_that_name_is_of_the_double_cover():
    graph = RelationalGraph.from_networkx(nx.random_regular_graph(4, 12, seed=1))
    cover = graph.adjacency & ~np.eye(12, dtype=bool)
    value = properties(graph, "ramanujan_gap")["ramanujan_gap"][0]
    assert spectrum(cover).ramanujan_gap == pytest.approx(value)
    expanded = spectrum(graph_to_mask(graph, 12, 12))  # with self-loops: degree 5
    assert expanded.bound == 4
    assert expanded.ramanujan_gap != pytest.approx(value)


def test_a_kernel_is_one_edge_and_its_weights_the_multiplicity():
    mask = torch.zeros(3, 2, 3, 3, dtype=torch.bool)
    mask[0, 0] = True
    mask[2, 1, 1, :2] = True
    assert multiplicities(mask).tolist() == [[9, 0], [0, 0], [0, 2]]
    found = bipartite(mask)
    assert (found.edges, found.isolated_inputs, found.isolated_outputs) == (2, 0, 1)
    assert (found.multiplicity.least, found.multiplicity.mean, found.multiplicity.most) == (
        2,
        5.5,
        9,
    )
    assert spectrum(mask) == spectrum(multiplicities(mask) > 0)


@pytest.mark.parametrize("mask", [np.ones(3), np.ones((0, 4)), np.array(True)])
def test_no_mask_of_a_layer(mask):
    with pytest.raises(MaskError, match=r"give \(out, in\)"):
        bipartite(mask)
    with pytest.raises(GraphError, match="holds 2"):
        bipartite(np.full((2, 2), 2))


def fixed_point(masks):
    """Remove the weights of dead units until nothing changes: what chain_paths does at once."""
    left = [mask.copy() for mask in masks]
    while True:
        before = sum(int(mask.sum()) for mask in left)
        for first, second in itertools.pairwise(left):
            first[~second.any(axis=0)] = False
            second[:, ~first.any(axis=1)] = False
        if sum(int(mask.sum()) for mask in left) == before:
            return left


CHAINS = st.lists(st.integers(1, 6), min_size=2, max_size=5).flatmap(
    lambda widths: st.tuples(
        *(arrays.arrays(bool, pair[::-1]) for pair in itertools.pairwise(widths))
    )
)


@settings(max_examples=80, deadline=None)
@given(CHAINS)
def test_weights_on_a_path_are_what_a_fixed_point_leaves(masks):
    found = chain_paths(masks)
    for ours, theirs in zip(found, fixed_point(masks), strict=True):
        assert np.array_equal(ours, theirs)
    graph = nx.DiGraph()
    for depth, mask in enumerate(masks):
        graph.add_nodes_from((depth, i) for i in range(mask.shape[1]))
        graph.add_edges_from(((depth, i), (depth + 1, o)) for o, i in np.argwhere(mask))
    graph.add_nodes_from((len(masks), o) for o in range(len(masks[-1])))
    fed = set().union(*({n} | nx.descendants(graph, n) for n in list(graph) if n[0] == 0))
    read = set().union(*({n} | nx.ancestors(graph, n) for n in list(graph) if n[0] == len(masks)))
    for depth, on_path in enumerate(found):
        edges = {((depth, i), (depth + 1, o)) for o, i in np.argwhere(on_path)}
        live = {e for e in graph.edges if e[0][0] == depth and e[0] in fed and e[1] in read}
        assert edges == live
    for first, second in itertools.pairwise(found):  # a dead unit is so on both sides
        assert dead_units(first)[1] == dead_units(second)[0]


@settings(max_examples=40, deadline=None)
@given(CHAINS, st.randoms(use_true_random=False))
def test_dead_units_do_not_depend_on_the_order_of_hidden_units(masks, random):
    counts = [dead_units(mask) for mask in chain_paths(masks)]
    order = random.sample(range(masks[0].shape[1]), masks[0].shape[1])
    shuffled = []
    for mask in masks:
        rows = random.sample(range(len(mask)), len(mask))
        shuffled.append(mask[rows][:, order])
        order = rows
    assert [dead_units(mask) for mask in chain_paths(shuffled)] == counts


def test_a_flattened_map_feeds_as_many_inputs_as_it_has_places():
    conv = np.zeros((2, 1, 3, 3), dtype=bool)
    conv[0, 0, 1, 1] = True  # the second channel is constant
    linear = np.zeros((3, 8), dtype=bool)
    linear[0, 1] = linear[1, 5] = True  # of the first channel, and of the second
    on_conv, on_linear = chain_paths([conv, linear])
    assert int(on_conv.sum()) == 1
    assert np.argwhere(on_linear).tolist() == [[0, 1]]
    assert dead_units(on_linear) == (7, 2)
    assert dead_units(on_conv) == (0, 1)
    linear[0, 1] = False
    assert not any(on.any() for on in chain_paths([conv, linear]))


def test_layers_that_do_not_follow_one_another():
    with pytest.raises(MaskError, match="layer 1 of the chain has 3 outputs and layer 2 has 6"):
        chain_paths([np.ones((3, 2)), np.ones((1, 6))])
    with pytest.raises(MaskError, match="no layers"):
        chain_paths([])
    assert joint((3, 2, 1), (1, 6)) == 2
    assert joint((3, 2, 1), (1, 6, 1)) is None


def test_order_of_layers_in_a_file():
    # As safetensors sorts the layers of a perceptron with eleven of one width.
    deep = {f"{2 * k}.weight": (8, 8) for k in range(11)}
    found = chain_order({name: deep[name] for name in sorted(deep)})
    assert found == tuple(deep)
    vgg = {"classifier.0.weight": (20, 36), "classifier.3.weight": (10, 20)}
    vgg |= {"features.0.weight": (4, 3, 3, 3), "features.3.weight": (9, 4, 3, 3)}
    assert chain_order(vgg)[0] == "features.0.weight"
    given = {"z.weight": (4, 6), "a.weight": (4, 4)}  # a state dict keeps its own order
    assert chain_order(given) == ("z.weight", "a.weight")
    assert chain_order({"a.weight": (4, 6), "b.weight": (5, 7)}) is None
    assert chain_order({"a.weight": (4, 6), "b.weight": (5, 4), "c.weight": (4, 6)}) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("blocks.0.attention.q.weight", True),
        ("encoder.self_attn.in_proj_weight", True),
        ("h.0.attn.c_proj.weight", True),
        ("layer2.0.shortcut.0.weight", True),
        ("model.layers.3.k_proj.weight", True),
        ("layer1.0.conv1.weight", False),
        ("fc1.weight", False),
        ("vgg.features.0.weight", False),
        ("skipper.weight", False),
    ],
)
def test_names_of_layers_that_others_run_beside(name, found):
    assert (beside([name]) == name) is found
