import itertools

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bogp.errors import GraphError, SettingError, SparsityError, UnknownNameError
from bogp.graphs import (
    GENERATORS,
    RelationalGraph,
    find_generator,
    generate,
    mask_to_graph,
    properties,
    random_mask,
)
from bogp.graphs.rewiring import havel_hakimi, swap_ends

families = pytest.mark.parametrize("family", sorted(GENERATORS))

ODD_PARAMETERS = {
    "ws_flex": {"p": 1.0},
    "barabasi_albert": {"power": 2.0},
    "stochastic_block": {"blocks": 3, "contrast": 0.1},
    "core_periphery": {"core": 0.9},
    "random_geometric": {"dimensions": 1, "torus": True},
    "mixed": {"kind": "geometric", "noise": 0.5},
}


def bare(graph):
    adjacency = graph.adjacency.copy()
    np.fill_diagonal(adjacency, False)
    return adjacency


@families
@settings(deadline=None, max_examples=60)
@given(data=st.data(), nodes=st.integers(1, 20), seed=st.integers(0, 2**63 - 1), odd=st.booleans())
def test_every_family_gives_every_edge_count(family, data, nodes, seed, odd):
    edges = data.draw(st.integers(0, nodes * (nodes - 1) // 2))
    parameters = ODD_PARAMETERS.get(family, {}) if odd else {}
    source = seed if GENERATORS[family].takes_seed else np.random.default_rng(seed)
    adjacency = GENERATORS[family].draw(nodes, edges, source, **parameters)
    assert adjacency.dtype == bool
    assert adjacency.shape == (nodes, nodes)
    assert np.count_nonzero(adjacency) == 2 * edges
    assert (adjacency == adjacency.T).all()
    assert not adjacency.diagonal().any()
    graph = generate(family, nodes, edges, seed, **parameters)
    assert graph == RelationalGraph(adjacency)


@families
def test_every_edge_count_of_small_graphs(family):
    for nodes in range(1, 9):
        for edges in range(nodes * (nodes - 1) // 2 + 1):
            assert generate(family, nodes, edges, seed=edges).edges == edges


def star_and_more(nodes, edges, rng, hubs=1):
    """Return a graph whose first nodes are joined to all before any other pair is."""
    rows, columns = np.triu_indices(nodes, 1)
    order = np.argsort((rows >= hubs) + rng.random(len(rows)), kind="stable")[:edges]
    adjacency = np.zeros((nodes, nodes), bool)
    adjacency[rows[order], columns[order]] = True
    return adjacency | adjacency.T


def test_a_function_stands_for_a_family():
    graph = generate(star_and_more, 9, 12, 3)
    assert graph == generate(star_and_more, 9, 12, 3) != generate(star_and_more, 9, 12, 4)
    assert bare(graph)[0].sum() == 8
    assert bare(generate(star_and_more, 9, 15, 3, hubs=2)).sum(axis=0)[:2].tolist() == [8, 8]
    assert find_generator(star_and_more).parameters == {"hubs": 1}
    with pytest.raises(UnknownNameError, match=r"star_and_more parameter 'hub'.*hubs"):
        generate(star_and_more, 9, 12, 3, hub=2)
    with pytest.raises(GraphError, match=r"'<lambda>' drew RelationalGraph\(nodes=9, edges=36\)"):
        generate(lambda nodes, edges, rng: np.ones((nodes, nodes)), 9, 12, 3)


@families
def test_a_seed_is_a_draw(family):
    drawn = {generate(family, 24, 100, seed) for seed in range(20)}
    assert len(drawn) > (3 if family == "ring_lattice" else 10)
    assert {generate(family, 24, 100, seed) for seed in range(20)} == drawn


@families
def test_every_parameter_changes_the_graph(family):
    for name, value in ODD_PARAMETERS.get(family, {}).items():
        assert generate(family, 24, 100, 0, **{name: value}) != generate(family, 24, 100, 0)


def test_uniform_draws_every_graph_alike():
    count: dict[RelationalGraph, int] = {}
    for seed in range(3000):
        graph = generate("uniform", 4, 3, seed)
        count[graph] = count.get(graph, 0) + 1
    assert len(count) == 20  # all choices of 3 of 6 pairs
    chi_squared = sum((n - 150) ** 2 / 150 for n in count.values())
    assert chi_squared < 43.8  # 99.9 % point with 19 degrees of freedom


@settings(deadline=None, max_examples=80)
@given(st.data(), st.integers(1, 24), st.integers(0, 1000))
def test_random_regular_degrees_differ_by_at_most_one(data, nodes, seed):
    edges = data.draw(st.integers(0, nodes * (nodes - 1) // 2))
    degree = bare(generate("random_regular", nodes, edges, seed)).sum(axis=0)
    assert degree.max() - degree.min() <= 1


def test_random_regular_draws_every_graph_alike():
    """The 70 labelled 2-regular graphs of 6 nodes: 60 hexagons and 10 pairs of triangles."""
    count: dict[RelationalGraph, int] = {}
    for seed in range(700):
        graph = generate("random_regular", 6, 6, seed)
        count[graph] = count.get(graph, 0) + 1
    assert len(count) == 70
    chi_squared = sum((n - 10) ** 2 / 10 for n in count.values())
    assert chi_squared < 111.1  # 99.9 % point with 69 degrees of freedom
    triangles = sum(n for graph, n in count.items() if not nx.is_connected(graph.to_networkx()))
    assert abs(triangles - 100) < 3.3 * 9.3


def test_swaps_keep_degrees_and_forget_the_start():
    rng = np.random.default_rng(0)
    before = bare(generate("ring_lattice", 64, 640, 0))
    start = before.copy()
    after = swap_ends(before, rng)
    assert (before == start).all()
    assert (after.sum(axis=0) == before.sum(axis=0)).all()
    assert (after == after.T).all()
    assert not after.diagonal().any()
    density = 640 / (64 * 63 / 2)
    assert (before & after).sum() / before.sum() == pytest.approx(density, abs=0.06)


def test_havel_hakimi_meets_any_degrees_of_a_graph():
    rng = np.random.default_rng(1)
    for _ in range(30):
        degree = bare(generate("barabasi_albert", 20, 60, int(rng.integers(1000)))).sum(axis=0)
        assert (havel_hakimi(degree, rng).sum(axis=0) == degree).all()


def test_ring_lattice_is_the_circulant_graph_and_spreads_the_rest():
    nodes, offset = 20, np.arange(20)
    apart = np.abs(offset[:, None] - offset)
    apart = np.minimum(apart, nodes - apart)
    assert (bare(generate("ring_lattice", nodes, 60, 5)) == ((apart > 0) & (apart <= 3))).all()
    extra = bare(generate("ring_lattice", nodes, 65, 5)) & (apart > 3)
    assert (apart[extra] == 4).all()
    first = np.flatnonzero([extra[i, (i + 4) % nodes] for i in range(nodes)])
    assert (np.diff(first) == 4).all()  # 5 edges spread over 20 places


def test_ws_flex_goes_from_ring_to_random():
    clustering = [
        properties(
            np.stack([generate("ws_flex", 64, 320, s, p=p).adjacency for s in range(10)]),
            "clustering",
        )["clustering"].mean()
        for p in (0.0, 0.1, 0.3, 1.0)
    ]
    assert clustering == sorted(clustering, reverse=True)
    assert clustering[0] > 0.6
    assert clustering[-1] < 0.25
    degree = bare(generate("ws_flex", 64, 330, 0, p=0.0)).sum(axis=0)
    assert 10 <= degree.min() <= degree.max() <= 12


def test_ws_flex_rewires_the_given_share():
    ring = bare(generate("ring_lattice", 64, 320, 0))
    kept = [(ring & bare(generate("ws_flex", 64, 320, s, p=0.3))).sum() / 640 for s in range(20)]
    assert np.mean(kept) == pytest.approx(0.7, abs=0.03)


def test_barabasi_albert_has_hubs_and_more_with_power():
    def spread(power):
        graphs = [generate("barabasi_albert", 100, 291, s, power=power) for s in range(10)]
        return np.mean([bare(g).sum(axis=0).std() for g in graphs])

    assert spread(0.0) < spread(1.0) < spread(1.5)
    degree = bare(generate("barabasi_albert", 100, 3 * 97 + 3, 0)).sum(axis=0)
    assert degree.min() == 3  # every node but the first few brings 3 edges


def test_stochastic_block_has_the_odds_it_is_given():
    block = np.arange(60) * 4 // 60
    same = block[:, None] == block
    np.fill_diagonal(same, False)
    across = block[:, None] != block
    for contrast in (0.2, 1.0, 8.0):
        total = np.sum(
            [bare(generate("stochastic_block", 60, 500, s, contrast=contrast)) for s in range(40)],
            axis=0,
        )
        within, between = total[same].mean() / 40, total[across].mean() / 40
        odds = within / (1 - within) / (between / (1 - between))
        assert odds == pytest.approx(contrast, rel=0.1)


def test_core_periphery_fills_the_core_first():
    degree = np.sort(bare(generate("core_periphery", 40, 100, 3)).sum(axis=0))
    core = bare(generate("core_periphery", 40, 45, 3))
    assert np.sort(core.sum(axis=0)).tolist() == [0] * 30 + [9] * 10
    assert degree[:30].max() < degree[30:].min()


@pytest.mark.parametrize(("dimensions", "torus"), [(2, False), (3, False), (1, True), (2, True)])
def test_random_geometric_takes_the_closest_pairs(dimensions, torus):
    points = np.random.default_rng(7).random((15, dimensions))
    shifts = itertools.product((-1, 0, 1) if torus else (0,), repeat=dimensions)
    apart = np.min(
        [np.linalg.norm(points[:, None] - points + np.array(s), axis=2) for s in shifts], axis=0
    )
    graph = generate("random_geometric", 15, 30, 7, dimensions=dimensions, torus=torus)
    assert apart[bare(graph)].max() < apart[~graph.adjacency].min()


def test_families_differ_in_their_properties():
    found = properties(
        np.stack([generate(f, 64, 400, 0).adjacency for f in sorted(GENERATORS)]),
        ("clustering", "eigenvector_centrality", "average_shortest_path_length"),
    )
    assert np.ptp(found["clustering"]) > 0.3
    assert np.ptp(found["average_shortest_path_length"]) > 0.5
    assert np.ptp(found["eigenvector_centrality"]) > 0.02


@settings(deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 12), st.floats(0, 1, exclude_max=True), st.integers(0, 99)
)
def test_random_mask_keeps_an_exact_number(out_features, in_features, sparsity, seed):
    mask = random_mask(out_features, in_features, sparsity, seed)
    assert mask.dtype == torch.bool
    assert mask.shape == (out_features, in_features)
    assert int(mask.sum()) == round((1 - sparsity) * out_features * in_features)
    assert torch.equal(mask, random_mask(out_features, in_features, sparsity, seed))


def test_random_mask_draws_every_weight_alike():
    total = torch.stack([random_mask(6, 5, 0.7, s) for s in range(2000)]).float().mean(dim=0)
    assert total.numpy() == pytest.approx(np.full((6, 5), 0.3), abs=0.05)
    assert mask_to_graph(random_mask(32, 64, 0.5, 0), 16).density == 1.0


def test_bad_requests_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean ws_flex"):
        generate("wsflex", 8, 8, 0)
    with pytest.raises(UnknownNameError, match=r"stochastic_block parameter 'block'.*blocks"):
        generate("stochastic_block", 8, 8, 0, block=2)
    with pytest.raises(GraphError, match="takes no parameters"):
        generate("uniform", 8, 8, 0, p=0.5)
    with pytest.raises(SettingError, match="seed -1"):
        generate("uniform", 8, 8, -1)
    with pytest.raises(SparsityError):
        random_mask(4, 4, 1.0, 0)
    with pytest.raises(GraphError):
        random_mask(0, 4, 0.5, 0)


@families
@pytest.mark.parametrize(("nodes", "edges"), [(4, 7), (4, -1), (0, 0), (1, 1)])
def test_impossible_edge_counts_are_refused(family, nodes, edges):
    with pytest.raises(GraphError):
        generate(family, nodes, edges, 0)


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("ws_flex", {"p": 1.5}),
        ("ws_flex", {"p": float("nan")}),
        ("barabasi_albert", {"power": -1.0}),
        ("stochastic_block", {"blocks": 0}),
        ("stochastic_block", {"contrast": 0.0}),
        ("core_periphery", {"core": 2.0}),
        ("random_geometric", {"dimensions": 0}),
    ],
)
def test_parameters_out_of_range_are_refused(family, parameters):
    with pytest.raises(GraphError, match=next(iter(parameters))):
        generate(family, 8, 8, 0, **parameters)
