import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bogp.errors import GraphError, SettingError, SparsityError, UnknownNameError
from bogp.graphs import (
    GENERATORS,
    RelationalGraph,
    describe,
    edges_for_sparsity,
    find_property,
    generate,
)
from bogp.graphs.kernels.bits import pack
from bogp.graphs.kernels.random import seed_state
from bogp.graphs.kernels.swap_choice import FEATURES, Goal, add_features, new_workspace
from bogp.graphs.kernels.swap_search import Limits, search, settle, spread
from bogp.graphs.kernels.swap_state import TRACKED, new_state
from bogp.graphs.kernels.swap_values import refine, respond
from bogp.graphs.swapping import STAND_INS, Aim, BestGraph
from bogp.graphs.synthesis import synthesize

THREE = ("clustering", "average_shortest_path_length", "eigenvector_centrality")
ORACLE = {
    "clustering": nx.average_clustering,
    "average_shortest_path_length": nx.average_shortest_path_length,
    "eigenvector_centrality": lambda g: np.mean(list(nx.eigenvector_centrality_numpy(g).values())),
    "transitivity": nx.transitivity,
    "edge_connectivity": nx.edge_connectivity,
    "degree_assortativity": nx.degree_assortativity_coefficient,
    "algebraic_connectivity": lambda g: nx.laplacian_spectrum(g)[1],
}


def vector(graph, names=THREE):
    return dict(zip(names, describe(pack(graph.adjacency[None]), names)[0].tolist(), strict=True))


def degrees(graph):
    return graph.adjacency.sum(axis=0).tolist()


def random_state(seed):
    state = np.zeros(4, np.uint64)
    seed_state(state, np.uint64(seed))
    return state


def goal_for(target, weight=1.0, *, preserve=False, tolerance=-1.0):
    wanted, weights = np.zeros(len(TRACKED)), np.zeros(len(TRACKED))
    for name, value in target.items():
        wanted[TRACKED.index(name)], weights[TRACKED.index(name)] = value, weight
    return Goal(wanted, weights, tolerance, preserve, distant=True, spectral=True)


EVERYTHING = goal_for(dict.fromkeys(TRACKED, 0.5))


@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize(("nodes", "density"), [(30, 0.12), (70, 0.3), (70, 0.8)])
def test_what_is_kept_track_of_equals_what_is_counted_afresh(nodes, density, preserve):
    edges = round(density * nodes * (nodes - 1) / 2)
    rows = pack(generate("uniform", nodes, edges, seed=1).adjacency[None])[0]
    state = new_state(rows)
    goal = EVERYTHING._replace(preserve=preserve)
    counts, best, work = np.zeros(2, np.int64), rows.copy(), new_workspace(nodes)
    work.learned[:] = 1.0
    # So much heat that thousands of swaps are accepted and as many undone.
    limits = Limits(6000, 6000, shaken=6000, heat=0.4)
    search(state, work, goal, limits, random_state(2), best, counts)
    assert counts[0] == 6000
    assert 200 < counts[1] < 5900
    fresh = new_state(state.rows)
    assert (state.rows != rows).any()
    assert int(np.bitwise_count(state.rows).sum()) == 2 * edges
    for name in ("degree", "triangles", "joined"):
        np.testing.assert_array_equal(getattr(state, name), getattr(fresh, name))
    np.testing.assert_array_equal(np.sort(state.pairs[:edges]), np.sort(fresh.pairs[:edges]))
    np.testing.assert_array_equal(state.place[state.pairs], np.arange(len(state.pairs)))
    np.testing.assert_allclose(state.sums[:6], fresh.sums[:6], rtol=1e-10)
    names = [name for name in TRACKED if name != "minimum_degree"]
    tracked = [state.values[TRACKED.index(name)] for name in names]
    exact = describe(state.rows[None], names)[0]
    np.testing.assert_allclose(tracked, exact, rtol=1e-5, atol=1e-9)
    settle(fresh, work, goal)
    np.testing.assert_array_equal(state.around, fresh.around)
    settled = [fresh.values[TRACKED.index(name)] for name in names]
    np.testing.assert_allclose(settled, exact, rtol=1e-9, atol=1e-12)
    if preserve:
        np.testing.assert_array_equal(state.degree, new_state(rows).degree)


@pytest.mark.parametrize("family", sorted(GENERATORS))
@pytest.mark.parametrize("edges", [0, 1, 12, 40, 120, 500, 780])
def test_values_of_a_settled_state(family, edges):
    graph = generate(family, 40, edges, seed=3)
    state = new_state(pack(graph.adjacency[None])[0])._replace(edges=max(edges, 1))
    settle(state, new_workspace(40), EVERYTHING._replace(target=np.zeros(len(TRACKED))))
    # A leading eigenvalue that belongs to several components leaves the vector open.
    names = [name for name in TRACKED if name != "eigenvector_centrality"]
    if edges == 0:
        names.remove("cycle_rank")
    got = [state.values[TRACKED.index(name)] for name in names]
    np.testing.assert_allclose(got, describe(state.rows[None], names)[0], rtol=1e-8, atol=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([8, 20, 60, 150]))
def test_features_of_one_pair(seed, edges):
    graph = generate("uniform", 20, edges, seed)
    state = new_state(pack(graph.adjacency[None])[0])
    settle(state, new_workspace(20), EVERYTHING)
    u, v = np.random.default_rng(seed).choice(20, 2, replace=False)
    change = np.zeros(FEATURES)
    add_features(state, int(u), int(v), change)
    sums = []
    other = graph.adjacency.copy()
    other[u, v] = other[v, u] = not other[u, v]
    for adjacency in (graph.adjacency, other):
        changed = RelationalGraph(adjacency).to_networkx()
        squared = nx.to_numpy_array(changed) @ nx.to_numpy_array(changed)
        within = (squared + nx.to_numpy_array(changed) > 0).sum() - (np.diag(squared) > 0).sum()
        sums.append(
            [
                sum(nx.clustering(changed).values()),
                sum(nx.triangles(changed).values()) / 3,
                sum(d * d for _, d in changed.degree),
                within / 2,
            ]
        )
    np.testing.assert_allclose(change[:4], np.subtract(sums[1], sums[0]), atol=1e-9)


def test_response_is_the_slope_of_the_leading_vector():
    graph = generate("uniform", 40, 200, seed=0)
    state = new_state(pack(graph.adjacency[None])[0])
    value = refine(state.joined, state.vector, 300, 1e-20)
    respond(state.joined, state.vector, value, state.response, 100)
    values, vectors = np.linalg.eigh(state.joined)
    assert value == pytest.approx(values[-1], rel=1e-12)
    np.testing.assert_allclose(state.vector[0], np.abs(vectors[:, -1]), atol=1e-9)
    step = 1e-5 * (1.0 - state.joined[3, 7] * 2.0)
    sums = []
    for sign in (1, -1):
        moved = state.joined.copy()
        moved[3, 7] = moved[7, 3] = moved[3, 7] + sign * step
        sums.append(np.abs(np.linalg.eigh(moved)[1][:, -1].sum()))
    slope = (sums[0] - sums[1]) / (2 * step)
    x, z = state.vector[0], state.response
    assert z[3] * x[7] + z[7] * x[3] == pytest.approx(slope, rel=1e-4)


def test_spread_leaves_the_state_and_counts_swaps():
    rows = pack(generate("uniform", 40, 200, seed=0).adjacency[None])[0]
    for preserve in (False, True):
        state = new_state(rows)
        copies = np.zeros((16, *rows.shape), np.uint64)
        goal = goal_for({"clustering": 0.5}, preserve=preserve)
        work = new_workspace(40)
        work.learned[:] = 1.0
        spread(state, work, goal, random_state(1), copies)
        np.testing.assert_array_equal(state.rows, rows)
        np.testing.assert_array_equal(state.place[state.pairs], np.arange(len(state.pairs)))
        apart = np.bitwise_count(copies ^ rows).sum(axis=(1, 2)) // 2
        most = np.array([2, 4, 8, 16] * 4) * (2 if preserve else 1)
        assert (apart <= most).all()
        assert (apart[:1] == most[:1]).all()
        if preserve:
            counted = np.bitwise_count(copies).sum(axis=2)
            np.testing.assert_array_equal(
                counted, np.bitwise_count(rows).sum(axis=1)[None] + 0 * counted
            )


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_targets_of_other_families_are_met_from_a_uniform_graph(density):
    edges = round(density * 64 * 63 / 2)
    start = generate("uniform", 64, edges, seed=0)
    for family in ("ws_flex", "stochastic_block"):
        wanted = vector(generate(family, 64, edges, seed=5))
        scale = {"clustering": 0.5, "average_shortest_path_length": 1.0}
        scale["eigenvector_centrality"] = 0.05
        found = synthesize(wanted, start=start, scale=scale)
        assert found.met
        assert found.proposals > 0
        assert found.graph.edges == edges
        graph = found.graph.to_networkx()
        for name, value in found.achieved.items():
            assert value == pytest.approx(ORACLE[name](graph), rel=1e-7)
            assert found.errors[name] == pytest.approx((value - wanted[name]) / scale[name])
            assert abs(found.errors[name]) <= 0.01
        assert found.distance == pytest.approx(np.linalg.norm(list(found.errors.values())))


@pytest.mark.parametrize(
    "target",
    [
        {"clustering": 0.35, "algebraic_connectivity": 2.0},
        {"local_efficiency": 0.6},
        {"edge_connectivity": 6, "clustering": 0.3},
        {"minimum_degree": 2, "degree_deviation": 3.0},
        {"degree_assortativity": -0.3, "transitivity": 0.3},
        {"components": 3, "clustering": 0.3},
        {"diameter": 6, "triangles": 150},
        {"spectral_radius": 11.0, "global_efficiency": 0.55},
        {"closeness_centrality": 0.42, "clustering": 0.3},
        {"betweenness_centrality": 0.03, "clustering": 0.1},
    ],
)
def test_every_kind_of_property_can_be_aimed_at(target):
    start = generate("uniform", 48, 180, seed=2)
    scale = dict.fromkeys(target, 0.5)
    scale["betweenness_centrality"] = 0.02
    found = synthesize(target, start=start, scale=scale, budget=20_000, tolerance=0.02)
    assert found.met, found.errors
    assert found.proposals > 0
    graph = found.graph.to_networkx()
    for name in target.keys() & ORACLE.keys():
        assert found.achieved[name] == pytest.approx(ORACLE[name](graph), rel=1e-7)


@pytest.mark.parametrize("target", [{"clustering": 0.5}, {"local_efficiency": 0.7}])
def test_the_same_seed_gives_the_same_graph(target):
    def found(seed):
        return synthesize(target, edges=150, nodes=40, budget=600, tolerance=0.0, seed=seed)

    first, again, other = found(3), found(3), found(4)
    assert first.graph == again.graph
    assert first.achieved == again.achieved
    assert (first.proposals, first.accepted) == (again.proposals, again.accepted)
    assert first.graph != other.graph


@pytest.mark.parametrize("name", ["clustering", "local_efficiency"])
def test_degrees_are_kept_when_asked_for(name):
    start = generate("barabasi_albert", 48, 180, seed=2)
    value = vector(start, [name])[name]
    kept = synthesize({name: 0.6 * value}, start=start, preserve_degrees=True, scale={name: 0.5})
    assert kept.met
    assert kept.graph != start
    assert degrees(kept.graph) == degrees(start)
    free = synthesize({name: 0.6 * value}, start=start, scale={name: 0.5})
    assert degrees(free.graph) != degrees(start)


@settings(max_examples=60)
@given(st.data())
def test_no_result_is_worse_than_the_start(data):
    nodes = data.draw(st.integers(1, 12))
    edges = data.draw(st.integers(0, nodes * (nodes - 1) // 2))
    family = data.draw(st.sampled_from(sorted(GENERATORS)))
    start = generate(family, nodes, edges, data.draw(st.integers(0, 99)))
    known = sorted({*TRACKED, "edge_connectivity", "cycle_length"} - {"cycle_rank"})
    names = data.draw(st.sets(st.sampled_from(known), min_size=1))
    target = {name: data.draw(st.floats(-1.0, 12.0)) for name in sorted(names)}
    preserve = data.draw(st.booleans())
    scale = dict.fromkeys(target, 1.0)
    found = synthesize(
        target, start=start, scale=scale, budget=200, preserve_degrees=preserve, tolerance=0.0
    )
    before = np.array(list(vector(start, list(target)).values())) - list(target.values())
    assert found.distance <= np.linalg.norm(before) + 1e-12
    assert (found.graph.nodes, found.graph.edges) == (nodes, edges)
    assert found.achieved == vector(found.graph, list(target))
    assert found.proposals <= 200
    if preserve:
        assert degrees(found.graph) == degrees(start)


@pytest.mark.parametrize("name", ["diameter", "cycle_length"])
def test_the_best_graph_is_kept_while_the_search_goes_on(name):
    graphs = [generate("ws_flex", 40, 120, seed=k, p=0.3) for k in range(3)]
    # The first graph is best but for a value that none can have, so other starts are tried, too.
    target = {"clustering": vector(graphs[0])["clustering"], name: 1000.0}
    found = synthesize(target, start=graphs, scale={"clustering": 0.01, name: 1e4}, budget=9000)
    assert found.start == graphs[0]
    assert abs(found.errors["clustering"]) < 1e-4
    assert found.proposals > 0


def largest_core(graph):
    """Return the largest core number of a node."""
    return max(nx.core_number(graph.to_networkx()).values())


def test_a_function_of_a_graph_can_be_wanted():
    start = generate("uniform", 20, 60, seed=0)
    assert largest_core(start) < 6
    given = {largest_core: 6, "clustering": 0.5}
    found = synthesize(given, start=start, scale={"largest_core": 1.0}, tolerance=0.2)
    assert found.met
    assert found.target == {"largest_core": 6.0, "clustering": 0.5}
    assert found.achieved["largest_core"] == largest_core(found.graph) == 6
    assert (
        found.graph == synthesize(given, start=start, scale={largest_core: 1}, tolerance=0.2).graph
    )


def test_a_start_that_meets_the_target_is_returned_at_once():
    start = generate("uniform", 32, 100, seed=0)
    found = synthesize(vector(start), start=start)
    assert found.graph == start
    assert found.met
    assert found.proposals == found.accepted == 0
    assert found.distance == 0.0


@pytest.mark.parametrize("edges", [0, 45])
@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize("name", ["clustering", "local_efficiency"])
def test_a_graph_without_edges_or_with_all_stays(edges, preserve, name):
    found = synthesize({name: 0.5}, nodes=10, edges=edges, preserve_degrees=preserve)
    assert found.graph.edges == edges
    assert not found.met
    assert found.proposals == 0


def test_nothing_to_swap_at_these_degrees():
    star = RelationalGraph.from_networkx(nx.star_graph(9))
    found = synthesize({"clustering": 0.5}, start=star, preserve_degrees=True, budget=3000)
    assert found.graph == star
    assert found.accepted == 0


def test_the_nearest_of_several_starts_is_taken():
    graphs = [generate("ws_flex", 48, 180, seed=k, p=p) for k, p in enumerate((1.0, 0.5, 0.2, 0.0))]
    wanted = vector(graphs[2])
    found = synthesize({**wanted, "clustering": wanted["clustering"] + 0.02}, start=graphs)
    assert found.start == graphs[2]
    assert found.met


def test_a_start_is_drawn_at_the_edge_count_of_a_sparsity():
    found = synthesize({"clustering": 0.5}, sparsity=0.8, nodes=32, shape=(64, 100))
    assert found.met
    assert found.graph.edges == found.start.edges == edges_for_sparsity(32, 0.8, 64, 100)
    assert synthesize({"clustering": 0.5}, start=found.graph, sparsity=0.8, shape=(64, 100)).met


def test_progress_is_told():
    told = []
    synthesize(
        {"clustering": 2.0},
        nodes=24,
        edges=60,
        budget=9000,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (9000, 9000)
    assert len(told) > 3
    assert told == sorted(told)


def test_what_cannot_change_is_checked():
    start = generate("uniform", 20, 50, seed=0)
    fixed = vector(start, ["degree_centrality", "cycle_rank"])
    found = synthesize({**fixed, "clustering": 0.5}, start=start)
    assert found.met
    with pytest.raises(
        SettingError, match=r"degree_centrality 0\.5 cannot be met: it is 0\.263158"
    ):
        synthesize({"degree_centrality": 0.5}, start=start)
    with pytest.raises(SettingError, match=r"cycle_rank 90 cannot be met: it is between 31 and 40"):
        synthesize({"cycle_rank": 90}, start=start)


def test_a_cycle_rank_is_met_only_if_it_is():
    """Its scale is what the edges can reach, not all pairs of nodes."""
    start = generate("uniform", 20, 50, seed=0)
    assert vector(start, ["cycle_rank"]) == {"cycle_rank": 31}
    found = synthesize({"cycle_rank": 34}, start=start)
    assert found.met
    assert found.achieved == {"cycle_rank": 34}
    with pytest.raises(SettingError, match="cycle_rank 41 cannot be met: it is between 31 and 40"):
        synthesize({"cycle_rank": 41}, start=start)
    far = synthesize({"cycle_rank": 60}, start=generate("uniform", 128, 160, seed=0), budget=0)
    assert far.achieved["cycle_rank"] < 59
    assert not far.met


@pytest.mark.parametrize("edges", [50, 180])
def test_what_the_edge_count_fixes_costs_nothing(edges, monkeypatch):
    """With 180 edges of 190 the graph cannot fall apart: its cycle rank is fixed, too."""

    def full(*_):
        raise AssertionError

    monkeypatch.setattr("bogp.graphs.synthesis.block_by_block", full)
    start = generate("uniform", 20, edges, seed=0)
    wanted = vector(generate("ws_flex", 20, edges, seed=5), ["clustering"])
    names = ["degree_centrality", "cycle_rank"] if edges == 180 else ["degree_centrality"]
    fixed = vector(start, names)
    plain = synthesize(wanted, start=start, tolerance=0.0, budget=3000)
    found = synthesize({**fixed, **wanted}, start=start, tolerance=0.0, budget=3000)
    assert plain.proposals > 0
    assert (found.graph, found.proposals) == (plain.graph, plain.proposals)
    assert found.achieved == {**fixed, **plain.achieved}
    assert found.errors == {**dict.fromkeys(fixed, 0.0), **plain.errors}
    alone = synthesize(fixed, start=start, tolerance=0.0)
    assert (alone.graph, alone.proposals, alone.met) == (start, 0, True)


def test_the_last_bit_of_a_number_makes_no_choice():
    properties = (find_property("clustering"),)
    aim = Aim(properties, np.array([0.5]), np.array([1.0]), 0.0, False, frozenset())
    rows = pack(START.adjacency[None])[0]
    found = BestGraph(aim, rows, np.array([0.4]), 100, None)
    assert not found.offer(rows, np.array([0.4 + 1e-15]))
    assert found.offer(rows, np.array([0.4 + 1e-6]))
    ranks = aim.ranks(np.array([[0.4], [0.4 + 1e-15], [0.6 - 1e-15]]))
    assert np.argsort(ranks, kind="stable").tolist() == [0, 1, 2]


START = generate("uniform", 16, 30, seed=0)


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        ({}, {"edges": 30}, SettingError, "names no property"),
        ({"clusterin": 0.1}, {"edges": 30}, UnknownNameError, "did you mean clustering"),
        (
            {"clustering": float("nan")},
            {"edges": 30},
            SettingError,
            "clustering is nan, not a",
        ),
        ({"clustering": 0.1}, {}, SettingError, "give start, sparsity or edges"),
        ({"clustering": 0.1}, {"edges": 30, "nodes": 5}, GraphError, "30 edges do not fit"),
        ({"clustering": 0.1}, {"start": []}, GraphError, "no start"),
        ({"clustering": 0.1}, {"start": START, "edges": 31}, GraphError, "30 edges but 31"),
        ({"clustering": 0.1}, {"start": START, "sparsity": 0.2}, GraphError, "30 edges but 95"),
        ({"clustering": 0.1}, {"sparsity": 1.2}, SparsityError, "not in"),
        ({"clustering": 0.1}, {"sparsity": 0.9, "edges": 9}, SparsityError, "only one of the two"),
        (
            {"clustering": 0.1},
            {"start": [START, generate("uniform", 16, 31, seed=0)]},
            GraphError,
            "the starts differ",
        ),
        ({"clustering": 0.1}, {"edges": 30, "budget": -1}, SettingError, "budget -1"),
        ({"clustering": 0.1}, {"edges": 30, "tolerance": -0.1}, SettingError, "tolerance -0.1"),
        ({"clustering": 0.1}, {"edges": 30, "seed": -1}, SettingError, "seed -1"),
        (
            {"clustering": 0.1},
            {"edges": 30, "scale": {"clustering": 0.0}},
            SettingError,
            "scale 0.0 of clustering",
        ),
        ({"clustering": 0.1}, {"edges": 30, "scale": {"x": 1.0}}, UnknownNameError, "property 'x'"),
        ({"clustering": "0.1"}, {"edges": 30}, SettingError, "target of clustering is '0.1', not"),
        ({"clustering": None}, {"edges": 30}, SettingError, "target of clustering is None, not a"),
        ({"clustering": 0.1}, {"edges": 40.5}, SettingError, "edges is 40.5, not a whole number"),
        ({"clustering": 0.1}, {"start": START, "edges": 30.0}, SettingError, "edges is 30.0, not"),
        ({"clustering": 0.1}, {"edges": 30, "nodes": 16.0}, SettingError, "nodes is 16.0, not a"),
        ({"clustering": 0.1}, {"edges": 30, "nodes": 0}, SettingError, "nodes 0 is below 1"),
        ({"clustering": 0.1}, {"edges": 30, "budget": 1e4}, SettingError, "budget is 10000.0, not"),
        ({"clustering": 0.1}, {"edges": 30, "seed": "a"}, SettingError, "seed is 'a', not a whole"),
        ({"clustering": 0.1}, {"edges": 30, "tolerance": "1"}, SettingError, "tolerance is '1'"),
        ({"clustering": 0.1}, {"sparsity": "high"}, SettingError, "sparsity is 'high', not a"),
        (
            {"clustering": 0.1},
            {"edges": 30, "scale": {"clustering": "1"}},
            SettingError,
            "scale of clustering is '1', not",
        ),
        ({"clustering": 0.1}, {"start": START.to_networkx()}, GraphError, "type Graph is no rel"),
        ({"clustering": 0.1}, {"start": START.adjacency}, GraphError, "type ndarray is no rel"),
        ({"clustering": 0.1}, {"start": [START, 3]}, GraphError, "type int is no relational"),
    ],
)
def test_bad_input_is_one_sentence(target, options, error, message):
    with pytest.raises(error, match=message):
        synthesize(target, **options)


def test_stand_ins_are_properties_kept_track_of():
    assert set(STAND_INS.values()) <= set(TRACKED)
    assert not set(STAND_INS) & set(TRACKED)
