import hashlib
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs import GENERATORS, RelationalGraph, describe, generate
from bogp.graphs.kernels.bits import pack, pack_triangles, unpack
from bogp.graphs.kernels.mixed import COLUMNS
from bogp.graphs.kernels.pair_keys import (
    BUCKETS,
    NOISE,
    UNIT,
    add_fitness,
    add_noise,
    class_keys,
    join,
    level,
    ring_keys,
    space_keys,
    threshold,
)
from bogp.graphs.kernels.random import seed_state
from bogp.graphs.mixed import draw_mixed, mixed
from bogp.graphs.mixed_kinds import KINDS, NUMBERED

kinds = st.sampled_from(sorted(KINDS))


def bare(graph):
    adjacency = graph.adjacency.copy()
    np.fill_diagonal(adjacency, False)
    return adjacency


def drawn(kind, nodes, edges, graphs=20, **parameters):
    """Return bool (graphs, nodes, nodes)."""
    return np.stack([mixed(nodes, edges, s, kind=kind, **parameters) for s in range(graphs)])


def batch(nodes, edges, graphs, seed=0):
    """Return seeds, kinds and values of graphs of every kind in turn."""
    rng = np.random.default_rng(seed)
    names = [list(KINDS)[g % len(KINDS)] for g in range(graphs)]
    values = [KINDS[name].prior(rng.random((1, COLUMNS)), nodes, edges)[0] for name in names]
    seeds = rng.integers(0, 2**63, graphs, dtype=np.uint64)
    return seeds, np.array([KINDS[name].number for name in names]), np.stack(values)


def state_of(seed):
    state = np.empty(4, np.uint64)
    seed_state(state, np.uint64(seed))
    return state


def test_every_kind_has_a_number():
    assert [kind.number for kind in NUMBERED] == list(range(len(KINDS)))
    for kind in NUMBERED:
        columns = [parameter.column for parameter in kind.parameters]
        assert len(set(columns)) == len(columns)
        assert max(columns, default=0) < COLUMNS


@settings(deadline=None, max_examples=300)
@given(
    data=st.data(), nodes=st.integers(1, 140), seed=st.integers(0, 2**63 - 1), kind=kinds,
    far=st.booleans(),
)  # fmt: skip
def test_every_kind_gives_every_edge_count(data, nodes, seed, kind, far):
    edges = data.draw(st.integers(0, nodes * (nodes - 1) // 2))
    values = np.zeros((2, COLUMNS))
    for parameter in KINDS[kind].parameters:
        low, high = (parameter.least, parameter.most) if far else (parameter.low, parameter.high)
        low = max(low, parameter.least)
        number = (
            st.floats(low, high) if parameter.type is float else st.integers(int(low), int(high))
        )
        values[:, parameter.column] = data.draw(number)
    rows = draw_mixed(
        nodes, edges, np.array([seed, 1], np.uint64), np.full(2, KINDS[kind].number), values
    )
    adjacency = unpack(rows, nodes)
    assert (adjacency.sum(axis=(1, 2)) == 2 * edges).all()
    assert (rows == pack(adjacency)).all()  # symmetric, no self-loop, no bit beyond the last node


def test_every_edge_count_of_small_graphs():
    for nodes in range(1, 8):
        for edges in range(nodes * (nodes - 1) // 2 + 1):
            rows = draw_mixed(nodes, edges, *batch(nodes, edges, 40, seed=edges))
            assert (np.bitwise_count(rows).sum(axis=(1, 2)) == 2 * edges).all()


@pytest.mark.parametrize(("nodes", "edges"), [(24, 100), (64, 1000), (100, 600)])
def test_a_graph_is_its_own_seed_kind_and_values_alone(nodes, edges):
    seeds, numbers, values = batch(nodes, edges, 40)
    rows = draw_mixed(nodes, edges, seeds, numbers, values)
    some = np.random.default_rng(0).permutation(40)[:17]
    assert (draw_mixed(nodes, edges, seeds[some], numbers[some], values[some]) == rows[some]).all()
    for g in some:
        parameters = json.loads(json.dumps(NUMBERED[numbers[g]].named(values[g])))
        graph = generate("mixed", nodes, edges, int(seeds[g]), **parameters)
        assert graph == RelationalGraph(unpack(rows[g : g + 1], nodes)[0])


def test_what_a_seed_draws_stays():
    """Databases keep seeds, not only graphs: a change here makes their seeds mean other graphs."""
    found = {}
    for name in KINDS:
        unit = (np.arange(1, 5)[:, None] * np.linspace(0.31, 0.87, COLUMNS)) % 1.0
        values = KINDS[name].prior(unit, 30, 120)
        seeds = np.arange(4, dtype=np.uint64)
        rows = draw_mixed(30, 120, seeds, np.full(4, KINDS[name].number), values)
        found[name] = hashlib.sha256(pack_triangles(rows).tobytes()).hexdigest()[:8]
    assert found == {
        "uniform": "5349b3ac",
        "small_world": "c16017b5",
        "regular": "0a3f297d",
        "scale_free": "00cf35b9",
        "communities": "c35ea25f",
        "cliques": "fb95a067",
        "layers": "05bc5ec4",
        "core_periphery": "2cd8433a",
        "hubs": "4aae4092",
        "geometric": "e30a3be9",
    }


def test_uniform_draws_every_graph_alike():
    graphs = 6000
    rows = draw_mixed(
        4, 3, np.arange(graphs, dtype=np.uint64), np.zeros(graphs, int), np.zeros((graphs, COLUMNS))
    )
    _, count = np.unique(pack_triangles(rows)[:, 0], return_counts=True)
    assert len(count) == 20  # all choices of 3 of 6 pairs
    assert ((count - 300) ** 2 / 300).sum() < 43.8  # 99.9 % point with 19 degrees of freedom


def test_noise_is_logistic_to_its_tails():
    keys = np.zeros(400_001, np.int32)
    add_noise(keys, NOISE, state_of(3))
    noise = keys / UNIT
    assert stats.kstest(noise[:50_000], "logistic").pvalue > 0.01
    for far in (6.0, 8.0, 9.5):  # 9.5: beyond the table
        expected = len(keys) * stats.logistic.sf(far)
        for count in ((noise > far).sum(), (noise < -far).sum()):
            assert abs(count - expected) < 4.0 * np.sqrt(expected)
    assert abs(np.corrcoef(noise[:-1:2], noise[1::2])[0, 1]) < 0.01


@settings(deadline=None, max_examples=200)
@given(data=st.data(), size=st.integers(1, 400), width=st.sampled_from([0, 1, 5, 1000, 2**30]))
def test_threshold_leaves_the_wanted_number_above_it(data, size, width):
    seed = data.draw(st.integers(0, 999))
    before = np.random.default_rng(seed).integers(-width, width + 1, size).astype(np.int32)
    wanted = data.draw(st.integers(1, size))
    keys, spare = before.copy(), np.empty(size, np.int32)
    least = threshold(keys, wanted, np.empty(BUCKETS, np.int32), spare)
    assert least == np.sort(before)[size - wanted]
    assert (keys >= least).sum() == wanted
    assert (before[keys >= least] >= least).all()
    assert (before > least)[keys < least].sum() == 0


@pytest.mark.parametrize("nodes", [2, 9, 64, 65, 130])
def test_keys_are_laid_out_as_the_triangle_is_read(nodes):
    rng = np.random.default_rng(nodes)
    above = np.triu_indices(nodes, 1)
    keys = np.empty(len(above[0]), np.int32)
    weight = rng.integers(-99, 99, nodes).astype(np.int32)
    ring_keys(keys, weight, nodes)
    assert (keys == weight[above[1] - above[0]]).all()
    labels = rng.integers(0, 3, nodes)
    table = rng.integers(-99, 99, (3, 3)).astype(np.int32)
    class_keys(keys, labels, table, np.empty((3, nodes), np.int32))
    assert (keys == table[labels[above[0]], labels[above[1]]]).all()
    before = keys.copy()
    add_fitness(keys, weight)
    assert (keys == before + weight[above[0]] + weight[above[1]]).all()
    points = rng.random((2, nodes))
    for torus in (False, True):
        space_keys(keys, points, torus, 3.0)
        shifts = itertools.product((-1, 0, 1) if torus else (0,), repeat=2)
        apart = np.min(
            [np.linalg.norm(points[:, above[0]] - points[:, above[1]] + np.array([s]).T, axis=0)
             for s in shifts], axis=0
        )  # fmt: skip
        assert np.abs(keys / UNIT + 3.0 * apart).max() < 2 / UNIT
    rows = np.empty((nodes, (nodes + 63) // 64), np.uint64)
    join(keys, np.median(keys), rows, np.empty(64, np.uint64))
    wanted = np.zeros((nodes, nodes), bool)
    wanted[above] = keys >= np.median(keys)
    assert (unpack(rows[None], nodes)[0] == (wanted | wanted.T)).all()


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 70), st.floats(0, 1), st.floats(0, 1), st.integers(0, 999))
def test_regular_degrees_differ_by_at_most_one(data, nodes, p, start, seed):
    edges = data.draw(st.integers(0, nodes * (nodes - 1) // 2))
    degree = mixed(nodes, edges, seed, kind="regular", p=p, start=start).sum(axis=0)
    assert degree.max() - degree.min() <= 1


def test_levelling_evens_degrees_by_the_share_asked_for():
    adjacency = mixed(40, 200, 0, kind="scale_free", exponent=1.0, evenness=0.0)
    spreads = []
    for share in (0.0, 0.5, 1.0):
        rows = pack(adjacency[None])
        level(rows[0], np.empty(40, np.int64), share, state_of(1))
        after = unpack(rows, 40)[0]
        assert (after == after.T).all()
        assert after.sum() == 400
        assert (rows == pack(after[None])).all()
        spreads.append(np.abs(after.sum(axis=0) - 10).sum())
    assert spreads[0] == np.abs(adjacency.sum(axis=0) - 10).sum()
    assert spreads[1] == pytest.approx(spreads[0] / 2, abs=2)
    assert spreads[2] == 0


def test_small_world_goes_from_the_ring_lattice_to_uniform():
    lattice = bare(generate("ring_lattice", 50, 200, 0))
    sure = {"start": 0.0, "exponent": 0.0, "evenness": 0.0}
    assert (drawn("small_world", 50, 200, 3, p=0.0, **sure) == lattice).all()
    density = 200 / (50 * 49 / 2)
    for p in (0.1, 0.4, 1.0):
        kept = (drawn("small_world", 50, 200, 40, p=p, **sure) & lattice).sum(axis=(1, 2)) / 400
        assert kept.mean() == pytest.approx(1 - p + p * density, abs=0.02)


def test_start_moves_the_ring_outwards():
    apart = np.abs(np.subtract.outer(np.arange(32), np.arange(32)))
    apart = np.minimum(apart, 32 - apart)
    for start, first in ((0.0, 1), (0.2, 4), (0.4, 7)):
        ring = drawn("regular", 32, 96, 1, p=0.0, start=start)[0]
        assert sorted(set(apart[ring].tolist())) == [first, first + 1, first + 2]
    far = drawn("regular", 32, 96, 1, p=0.0, start=0.4)
    assert describe(pack(far), ["transitivity"])[0, 0] == 0.0


def test_communities_have_the_odds_they_are_given():
    block = np.arange(60) * 4 // 60
    same = block[:, None] == block
    np.fill_diagonal(same, False)
    across = block[:, None] != block
    for contrast in (0.2, 1.0, 8.0):
        total = drawn("communities", 60, 500, 60, blocks=4, contrast=contrast, skew=1.0,
                      exponent=0.0, evenness=0.0).mean(axis=0)  # fmt: skip
        within, between = total[same].mean(), total[across].mean()
        odds = within / (1 - within) / (between / (1 - between))
        assert odds == pytest.approx(contrast, rel=0.1)


def test_structured_kinds_have_their_pure_forms():
    pure = {"p": 0.0, "evenness": 0.0}
    blocks = drawn("cliques", 40, 4 * 45, 2, blocks=4, skew=1.0, closed=True, **pure)
    assert (blocks == np.kron(np.eye(4), np.ones((10, 10)) - np.eye(10))).all()
    beside = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    for closed, edges in ((False, 500), (True, 600)):
        next_to = (beside == 1) | (closed & (beside == 5))
        layers = drawn("layers", 60, edges, 2, blocks=6, skew=1.0, closed=closed, **pure)
        assert (layers == np.kron(next_to, np.ones((10, 10)))).all()
    core = drawn("core_periphery", 40, 45, 2, core=0.25, exponent=0.0, **pure)
    assert (np.sort(core.sum(axis=1)) == [0] * 30 + [9] * 10).all()
    hubs = drawn("hubs", 40, 4 * 36, 2, share=0.1, exponent=0.0, **pure)
    assert (np.sort(hubs.sum(axis=1)) == [4] * 36 + [36] * 4).all()
    sizes = drawn("cliques", 30, 200, 1, blocks=3, skew=4.0, closed=False, **pure)[0]
    assert sizes[:17, :17].sum() == 17 * 16  # 30 nodes as 4 : 2 : 1


def test_geometric_joins_near_nodes_and_forgets_with_noise():
    apart = np.abs(np.subtract.outer(np.arange(64), np.arange(64)))
    sure = {"torus": False, "exponent": 0.0, "evenness": 0.0}
    means = [
        apart[drawn("geometric", 64, 300, 8, dimensions=1, noise=noise, **sure).any(axis=0)].mean()
        for noise in (0.01, 1.0, 100.0)
    ]
    assert means[0] < 6 < means[1] < means[2] - 5
    line = drawn("geometric", 64, 300, 8, dimensions=1, noise=0.01, **sure)
    ring = drawn("geometric", 64, 300, 8, dimensions=1, noise=0.01, **(sure | {"torus": True}))
    assert not line[:, :8, -8:].any()
    assert ring[:, :8, -8:].any()


def test_exponent_makes_hubs():
    spread = [
        drawn("scale_free", 64, 300, 10, exponent=e, evenness=0.0).sum(axis=1).std(axis=1).mean()
        for e in (0.0, 0.5, 1.0, 2.0, 4.0)
    ]
    assert spread == sorted(spread)
    assert spread[-1] > 3 * spread[0]


def test_what_is_not_given_is_drawn_from_the_seed():
    assert len({generate("mixed", 20, 60, seed) for seed in range(50)}) > 45
    assert len({generate("mixed", 20, 60, seed, kind="geometric") for seed in range(50)}) > 45
    sure = {"share": 0.1, "p": 0.0, "evenness": 0.0}  # hubs alone takes a share
    some = [generate("mixed", 20, 40, seed, **sure) for seed in range(9)]
    assert all(np.sort(bare(graph).sum(axis=0))[-2] >= 10 for graph in some)


def test_kinds_reach_apart():
    names = ["clustering", "degree_deviation", "average_shortest_path_length"]
    found = {}
    for kind in KINDS:
        rng = np.random.default_rng(0)
        values = KINDS[kind].prior(rng.random((60, COLUMNS)), 64, 400)
        seeds = np.arange(60, dtype=np.uint64)
        found[kind] = describe(
            draw_mixed(64, 400, seeds, np.full(60, KINDS[kind].number), values), names
        )
    low, high = (dict(zip(KINDS, [f(v, axis=0) for v in found.values()], strict=True))
                 for f in (np.min, np.max))  # fmt: skip
    assert high["cliques"][0] > 0.75
    assert high["small_world"][0] > 0.6
    assert low["layers"][0] < 0.05
    assert high["uniform"][0] < 0.3
    assert high["regular"][1] <= 0.5
    assert high["hubs"][1] > 12
    assert high["geometric"][2] > high["uniform"][2] + 1


def test_bad_requests_are_refused():
    with pytest.raises(UnknownNameError, match=r"kind of mixed graph 'smallworld'.*small_world"):
        generate("mixed", 8, 8, 0, kind="smallworld")
    with pytest.raises(UnknownNameError, match=r"cliques parameter 'noise'"):
        generate("mixed", 8, 8, 0, kind="cliques", noise=0.1)
    with pytest.raises(UnknownNameError, match=r"mixed parameter 'block'.*blocks"):
        generate("mixed", 8, 8, 0, block=2)
    with pytest.raises(GraphError, match="'uniform' takes no parameters: leave out 'p'"):
        generate("mixed", 8, 8, 0, kind="uniform", p=0.5)
    with pytest.raises(GraphError, match=r"no kind of mixed graph takes \['core', 'torus'\]"):
        generate("mixed", 8, 8, 0, core=0.5, torus=True)
    with pytest.raises(SettingError, match="seed -1"):
        generate("mixed", 8, 8, -1)
    with pytest.raises(SettingError, match="18446744073709551616"):
        generate("mixed", 8, 8, 2**64)
    assert "mixed" in GENERATORS


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("small_world", "p", 1.5),
        ("small_world", "p", float("nan")),
        ("small_world", "p", "0.5"),
        ("scale_free", "exponent", -1.0),
        ("communities", "contrast", 0.0),
        ("communities", "blocks", 2.5),
        ("communities", "blocks", 0),
        ("geometric", "dimensions", 17),
        ("geometric", "torus", 0.5),
        ("geometric", "noise", float("inf")),
        ("hubs", "share", -0.1),
        ("layers", "skew", 0.5),
    ],
)
def test_parameters_out_of_range_are_refused(kind, name, value):
    with pytest.raises(GraphError, match=rf"{name} {value} is not"):
        generate("mixed", 8, 8, 0, kind=kind, **{name: value})


def test_arrays_that_do_not_belong_together_are_refused():
    seeds, numbers, values = batch(8, 8, 5)
    for nodes, edges in ((8, 29), (8, -1), (0, 0)):
        with pytest.raises(GraphError):
            draw_mixed(nodes, edges, seeds, numbers, values)
    with pytest.raises(GraphError, match="belong together"):
        draw_mixed(8, 8, seeds, numbers, values[:4])
    with pytest.raises(GraphError, match="kind number 10"):
        draw_mixed(8, 8, seeds, numbers + len(KINDS), values)
    for wrong in (np.nan, -1.0, 3.0):
        spoilt = values.copy()
        spoilt[1, 1] = wrong
        with pytest.raises(GraphError, match=r"column 1 of graph 1.*small_world"):
            draw_mixed(8, 8, seeds, numbers, spoilt)
