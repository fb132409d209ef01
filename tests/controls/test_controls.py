from __future__ import annotations

import itertools
import json
import math

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networkx.algorithms.threshold import is_threshold_graph

from bogp.controls import CONTROLS, Change, Winner, differing_share, invert
from bogp.controls.draws import (
    erk_random,
    random_like,
    rewire,
    rewire_each,
    shuffle_layers,
    why_not_rewire,
)
from bogp.errors import MaskError, SettingError
from bogp.graphs import RelationalGraph, generate, properties
from bogp.masks import Mask, select

SHUFFLE, REWIRE, REINITIALISE, INVERT, EQUAL, ERK, NO_SUPPORT = CONTROLS


def why_not(name, mask, graph=None, available=None, criterion="magnitude", **known):
    """Why the control says nothing about a winner of this mask; the complete support by default."""
    everything = Mask({layer: torch.ones_like(kept) for layer, kept in mask.items()})
    winner = Winner(mask, graph, available or everything, graph, criterion, **known)
    return CONTROLS[name].why_not(winner)


def problem(name, before, after, **known):
    return CONTROLS[name].change(before, after, **known).problem


def counts(mask: Mask) -> list[int]:
    return [int(layer.sum()) for layer in mask.values()]


def mask_of(shapes, densities, seed=0) -> Mask:
    """A mask whose layers keep exactly these shares of their weights."""
    layers = {}
    for number, (shape, density) in enumerate(zip(shapes, densities, strict=True)):
        size = math.prod(shape)
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed + number))
        layers[f"{number}.weight"] = (order < round(density * size)).view(shape)
    return Mask(layers)


@st.composite
def masks(draw):
    shapes = draw(st.lists(st.sampled_from([(3, 4), (6, 2), (5, 3, 2, 2), (1, 2), (7,)]),
                           min_size=1, max_size=4))  # fmt: skip
    densities = [draw(st.floats(0, 1)) for _ in shapes]
    return mask_of(shapes, densities, draw(st.integers(0, 10_000)))


@st.composite
def graphs(draw):
    nodes = draw(st.integers(1, 14))
    edges = draw(st.integers(0, nodes * (nodes - 1) // 2))
    return generate("uniform", nodes, edges, draw(st.integers(0, 10_000)))


@settings(max_examples=80, deadline=None)
@given(masks(), st.integers(0, 2**63 - 1), st.sampled_from([shuffle_layers, random_like]))
def test_random_layers_keep_their_counts_and_never_the_mask(mask, seed, control) -> None:
    name = SHUFFLE if control is shuffle_layers else EQUAL
    if all(layer.all() or not layer.any() for layer in mask.values()):
        with pytest.raises(SettingError, match="leave this control out"):
            control(mask, seed)
        assert why_not(name, mask) is not None
        return
    before = mask.fingerprint
    after = control(mask, seed)
    assert mask.fingerprint == before
    assert counts(after) == counts(mask)
    assert after != mask
    assert control(mask, seed) == after
    assert why_not(name, mask) is None
    change = CONTROLS[name].change(mask, after)
    assert change.problem is None
    assert change.layers_kept
    assert change.total_kept
    assert change.moved > 0
    json.dumps(change.record(), allow_nan=False)


@pytest.mark.parametrize("control", [shuffle_layers, random_like])
def test_every_place_of_a_layer_is_as_likely(control) -> None:
    mask = mask_of([(4, 5)], [0.3])
    kept = sum(control(mask, seed)["0.weight"].double() for seed in range(2000))
    # 6 of 20 places, 2,000 times: 600 each with an SD of 20.5.
    assert float((kept - 600).abs().max()) < 4.5 * 20.5
    assert len({control(mask, seed) for seed in range(20)}) == 20


def test_a_shuffle_moves_whole_kernels_and_a_random_mask_does_not() -> None:
    kernels = mask_of([(6, 5)], [0.4])["0.weight"]
    mask = Mask({"conv": kernels[..., None, None].expand(6, 5, 3, 3)})
    shuffled = shuffle_layers(mask, 1)["conv"].flatten(2)
    assert torch.equal(shuffled.all(dim=2), shuffled.any(dim=2))
    assert int(shuffled.all(dim=2).sum()) == 12
    loose = random_like(mask, 1)["conv"].flatten(2)
    assert not torch.equal(loose.all(dim=2), loose.any(dim=2))
    assert problem(SHUFFLE, mask, Mask({"conv": shuffled.view(6, 5, 3, 3)})) is None
    torn = Mask({"conv": random_like(mask, 2)["conv"]})
    assert shuffle_layers(torn, 0) != torn


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(0, 2**63 - 1))
def test_rewiring_keeps_degrees_and_moves_edges(graph, seed) -> None:
    if why_not_rewire(graph) is not None:
        with pytest.raises(SettingError, match="no other graph has the degrees"):
            rewire(graph, seed)
        return
    after = rewire(graph, seed)
    assert after != graph
    assert after.edges == graph.edges
    assert after.adjacency.sum(axis=0).tolist() == graph.adjacency.sum(axis=0).tolist()
    assert rewire(graph, seed) == after


def test_exactly_the_graphs_alone_with_their_degrees_are_left_out() -> None:
    # All 1,024 graphs of 5 nodes, by brute force.
    pairs = list(itertools.combinations(range(5), 2))
    by_degrees: dict[tuple[int, ...], list[RelationalGraph]] = {}
    for chosen in itertools.product([0, 1], repeat=len(pairs)):
        adjacency = np.zeros((5, 5), bool)
        for (u, v), joined in zip(pairs, chosen, strict=True):
            adjacency[u, v] = adjacency[v, u] = bool(joined)
        graph = RelationalGraph(adjacency)
        by_degrees.setdefault(tuple(graph.adjacency.sum(axis=0)), []).append(graph)
    for alike in by_degrees.values():
        for graph in alike:
            assert (why_not_rewire(graph) is None) == (len(alike) > 1)
            assert is_threshold_graph(graph.to_networkx()) == (len(alike) == 1)
        if len(alike) > 1:
            assert rewire(alike[0], 0) in alike


@pytest.mark.parametrize("graph", [nx.complete_graph(8), nx.empty_graph(8), nx.star_graph(7)])
def test_the_named_graphs_cannot_be_rewired(graph) -> None:
    reason = why_not_rewire(RelationalGraph.from_networkx(graph))
    assert reason is not None
    assert "8 nodes" in reason


def test_the_only_swap_of_a_large_graph_is_found() -> None:
    # All pairs joined but two, which share no node: 3 graphs have these degrees.
    for sparse in (True, False):
        adjacency = np.zeros((128, 128), bool)
        adjacency[0, 1] = adjacency[1, 0] = adjacency[2, 3] = adjacency[3, 2] = True
        graph = RelationalGraph(adjacency if sparse else ~adjacency)
        found = {rewire(graph, seed) for seed in range(20)}
        assert len(found) == 2
        assert graph not in found


def test_one_swap_alone_is_a_swap() -> None:
    from bogp.controls.draws import _one_swap

    for seed in range(200):
        graph = generate("uniform", 9, 12, seed)
        if why_not_rewire(graph) is None:
            bare = graph.adjacency & ~np.eye(9, dtype=bool)
            after = RelationalGraph(_one_swap(bare, np.random.default_rng(seed)))
            assert after.adjacency.sum(axis=0).tolist() == graph.adjacency.sum(axis=0).tolist()
            assert int((graph.adjacency & ~after.adjacency).sum()) // 2 == 2


def test_rewiring_takes_the_wiring_away() -> None:
    graph = generate("ring_lattice", 64, 320, 0)
    after = rewire(graph, 0)
    moved = 1 - (graph.adjacency & after.adjacency & ~np.eye(64, dtype=bool)).sum() / 640
    assert moved == pytest.approx(1 - graph.density, abs=0.06)
    names = ("clustering",)
    assert properties(after, names)[names[0]] < 0.4 * properties(graph, names)[names[0]]


def test_layers_that_share_a_graph_share_the_rewired_one() -> None:
    ring, uniform = generate("ring_lattice", 16, 40, 0), generate("uniform", 8, 12, 0)
    complete = RelationalGraph(np.ones((4, 4)))
    found = rewire_each({"a": ring, "b": uniform, "c": ring, "d": complete}, 3)
    assert list(found) == ["a", "b", "c", "d"]
    assert found["a"] is found["c"]
    assert found["a"] != ring
    assert found["b"] != uniform
    assert found["d"] is complete  # no other graph has its degrees


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 19), st.sampled_from([torch.float32, torch.uint8]))
def test_inverted_scores_keep_the_lowest(seed: int, kept: int, kind: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = {"w": torch.randperm(20, generator=generator).view(4, 5).to(kind)}
    low = select(invert(scores), kept)["w"]
    assert sorted(scores["w"][low].tolist()) == list(range(kept))
    assert select(invert(invert(scores)), kept) == select(scores, kept)
    high = select(scores, kept)
    assert bool((high["w"] & low).any()) == (kept > 10)


def test_erk_gives_small_layers_more_and_keeps_the_total() -> None:
    mask = mask_of([(300, 784), (100, 300), (10, 100)], [0.1] * 3)
    after = erk_random(mask, 3)
    assert after.kept == mask.kept
    densities = [float(layer.double().mean()) for layer in after.values()]
    # ERK densities are proportional to (in + out) / (in · out), the last layer full.
    assert densities[2] == 1.0
    assert densities[1] / densities[0] == pytest.approx((400 / 30_000) / (1084 / 235_200), rel=2e-3)
    change = CONTROLS[ERK].change(mask, after)
    assert (change.problem, change.layers_kept) == (None, False)
    assert erk_random(mask, 3) == after
    assert erk_random(mask, 4) != after
    assert problem(ERK, mask, random_like(mask, 0)) == "its layers do not have the densities of ERK"


def test_a_control_that_is_none_is_found_out() -> None:
    mask = mask_of([(20, 30), (10, 20)], [0.2, 0.5])
    other = random_like(mask, 0)
    for name in CONTROLS:
        if name != REINITIALISE:
            assert problem(name, mask, mask, weights_changed=1.0) == "it has the winner's mask"
    assert problem(REINITIALISE, mask, mask) == "it starts from the same weights"
    assert problem(REINITIALISE, mask, other, weights_changed=True) == "it has another mask"
    fewer = mask_of([(20, 30), (10, 20)], [0.1, 0.5])
    assert problem(INVERT, mask, fewer) == "it keeps 160 weights and the winner 220"
    moved = mask_of([(20, 30), (10, 20)], [0.25, 0.35])
    for name in (SHUFFLE, EQUAL):
        assert problem(name, mask, moved) == "it keeps another number of weights of some layer"
    assert problem(NO_SUPPORT, mask, moved) is None


def test_a_shuffle_of_one_weight_is_no_shuffle() -> None:
    mask = mask_of([(100, 100)], [0.1])
    layer = mask["0.weight"].clone().flatten()
    kept, pruned = int(layer.nonzero()[0]), int((~layer).nonzero()[0])
    layer[kept], layer[pruned] = False, True
    nudged = Mask({"0.weight": layer.view(100, 100)})
    change = CONTROLS[SHUFFLE].change(mask, nudged)
    assert "too few for a random draw" in change.problem
    assert change.moved == pytest.approx(0.001)
    assert change.jaccard_distance == pytest.approx(2 / 1001)
    half = mask["0.weight"].clone()
    half[:50] = shuffle_layers(Mask({"top": half[:50]}), 0)["top"]
    assert "too few" in problem(SHUFFLE, mask, Mask({"0.weight": half}))


@settings(max_examples=40, deadline=None)
@given(masks(), st.integers(0, 10_000))
def test_no_random_draw_is_taken_for_too_little_a_change(mask, seed) -> None:
    if why_not(SHUFFLE, mask) is None:
        assert problem(SHUFFLE, mask, shuffle_layers(mask, seed)) is None
        assert problem(EQUAL, mask, random_like(mask, seed)) is None


def test_graphs_are_compared_too() -> None:
    graph = generate("ws_flex", 16, 40, 0)
    after = rewire(graph, 0)
    mask = mask_of([(16, 16)], [0.2])
    other = random_like(mask, 0)
    change = CONTROLS[REWIRE].change(mask, other, graphs=(graph, after))
    assert (change.problem, change.degrees_kept) == (None, True)
    assert change.edges_moved == int((graph.adjacency & ~after.adjacency).sum()) // 2 / 40
    others = generate("uniform", 16, 40, 3)
    found = problem(REWIRE, mask, other, graphs=(graph, others))
    assert found == "a node has another number of neighbours"
    assert problem(REWIRE, mask, other, graphs=(graph, graph)) == "it has the winner's graph"
    with pytest.raises(MaskError, match="16 nodes and the control's 8"):
        problem(REWIRE, mask, other, graphs=(graph, generate("uniform", 8, 10, 0)))


def test_the_measures_are_those_of_their_names() -> None:
    before = Mask({"w": torch.tensor([True, True, False, False])})
    after = Mask({"w": torch.tensor([True, False, True, False])})
    assert CONTROLS[INVERT].change(before, after) == Change(
        "inverted scores", 0.5, 1 - 1 / 3, True, True, None, None, 0.0, None
    )
    first = {"w": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    second = {"w": torch.tensor([1.0, 0.0, 0.0, 0.0])}
    assert differing_share(before, first, second) == 0.5
    change = CONTROLS[REINITIALISE].change(before, before, weights_changed=True)
    assert (change.problem, change.moved) == (None, 0.0)
    with pytest.raises(MaskError, match="have no 'w'"):
        differing_share(before, first, {})
    with pytest.raises(MaskError, match="compare masks of one model"):
        problem(ERK, before, Mask({"v": torch.tensor([True])}))


def test_what_a_control_cannot_say_is_said() -> None:
    mask = mask_of([(4, 5), (3, 4)], [0.5, 0.5])
    graph = generate("ws_flex", 8, 12, 0)
    star = RelationalGraph.from_networkx(nx.star_graph(5))
    support = mask_of([(4, 5), (3, 4)], [0.8, 1.0])
    given_all = {"graph": graph, "available": support, "criterion": "magnitude"}
    assert [why_not(name, mask, **given_all) for name in CONTROLS] == [None] * len(CONTROLS)
    assert "there is no graph" in why_not(REWIRE, mask)
    assert "cannot be rewired" in why_not(REWIRE, mask, graph=star)
    assert "scores are random" in why_not(INVERT, mask, criterion="random")
    assert "choose nothing" in why_not(INVERT, mask, available=mask)
    assert "none to take away" in why_not(NO_SUPPORT, mask)
    assert "one layer" in why_not(ERK, mask_of([(4, 5)], [0.5]))
    full = mask_of([(4, 5), (3, 4)], [1.0, 1.0])
    assert "ERK keeps the same" in why_not(ERK, full)
    assert "no weight can move" in why_not(SHUFFLE, full)
    empty = mask_of([(4, 5)], [0.0])
    assert all("keeps no weight" in why_not(name, empty) for name in CONTROLS)
    assert "given with its weights" in why_not(REINITIALISE, mask, fixed_weights=True)


def test_what_is_drawn_is_what_the_control_is_for() -> None:
    graph, mask = generate("ws_flex", 8, 12, 0), mask_of([(8, 8)], [0.3])
    winner = Winner(mask, graph, mask, graph, "magnitude")
    drawn = {name: control.draw(winner, 5) for name, control in CONTROLS.items()}
    assert drawn[SHUFFLE].support == shuffle_layers(mask, 5)
    assert drawn[REWIRE].support == rewire(graph, 5)
    assert drawn[REINITIALISE].support == mask
    assert drawn[INVERT].support == graph
    assert drawn[EQUAL].support == random_like(mask, 5)
    assert drawn[ERK].support == erk_random(mask, 5)
    assert drawn[NO_SUPPORT].support is None
    assert {name for name, found in drawn.items() if found.whole} == {
        SHUFFLE, REINITIALISE, EQUAL, ERK
    }  # fmt: skip
    assert [name for name, found in drawn.items() if found.inverted] == [INVERT]
    assert [name for name, found in drawn.items() if found.other_weights] == [REINITIALISE]
    layers = Winner(mask, {"0.weight": graph}, mask, graph, "magnitude")
    assert CONTROLS[REWIRE].draw(layers, 5).support == rewire_each({"0.weight": graph}, 5)
