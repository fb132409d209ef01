import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bogp.errors import GraphError, SettingError
from bogp.graphs import RelationalGraph, describe, generate
from bogp.graphs.kernels.bits import pack, unpack
from bogp.graphs.mixed import draw_mixed
from bogp.graphs.mixed_kinds import KINDS
from bogp.graphs.pilot import (
    COVERED,
    _golden_step,
    _spatial_order,
    even_weights,
    pilot_size,
    run_pilot,
)


@pytest.fixture(scope="module")
def sparse():
    return run_pilot(64, 403, seed=0, size=1024)


def rows_of(found, nodes, edges):
    return draw_mixed(nodes, edges, found.seeds, found.kinds, found.values)


def fields(found):
    return np.c_[found.seeds.astype(float), found.kinds, found.values]


def test_settings_are_the_graphs_that_generate_draws(sparse):
    found = sparse.settings(0, 60, 60)
    graphs = unpack(rows_of(found, 64, 403), 64)
    for k, adjacency in enumerate(graphs):
        parameters = json.loads(json.dumps(found.parameters(k)))
        assert parameters == found.parameters(k)
        graph = generate("mixed", 64, 403, int(found.seeds[k]), **parameters)
        assert graph == RelationalGraph(adjacency)


def test_settings_do_not_depend_on_how_they_are_split(sparse):
    whole = fields(sparse.settings(0, 300, 300))
    parts = [fields(sparse.settings(k, min(37, 300 - k), 300)) for k in range(0, 300, 37)]
    assert (np.concatenate(parts) == whole).all()
    again = run_pilot(64, 403, seed=0, size=1024)
    assert (fields(again.settings(0, 300, 300)) == whole).all()
    other = run_pilot(64, 403, seed=1, size=1024)
    assert (fields(other.settings(0, 300, 300)) != whole).any()


def test_settings_are_taken_as_often_as_their_weights_say(sparse):
    total = 50_000
    found = sparse.settings(0, total, total)
    assert len(np.unique(found.seeds)) == total
    assert found.seeds.max() < 2**63
    _, place, count = np.unique(
        np.c_[sparse.kinds, sparse.values], axis=0, return_inverse=True, return_counts=True
    )
    expected = np.bincount(place.ravel(), sparse.weights) * total
    keys = {
        tuple(row): k for k, row in enumerate(np.unique(np.c_[sparse.kinds, sparse.values], axis=0))
    }
    taken = np.zeros(len(count))
    for row in np.c_[found.kinds, found.values]:
        taken[keys[tuple(row)]] += 1
    assert np.abs(taken - expected).max() <= 1.0 + count.max()


def test_the_first_graphs_are_spread_as_widely_as_all(sparse):
    found = describe(rows_of(sparse.settings(0, 2000, 2000), 64, 403), COVERED)
    few = describe(rows_of(sparse.settings(0, 60, 2000), 64, 403), COVERED)
    assert (np.ptp(few, axis=0) > 0.7 * np.ptp(found, axis=0)).all()


@pytest.mark.parametrize(("nodes", "edges"), [(64, 202), (64, 504), (64, 1814)])
def test_mixed_covers_far_more_than_uniform(nodes, edges):
    found = run_pilot(nodes, edges, 0, pilot_size(300, nodes)).settings(0, 300, 300)
    uniform = pack(np.stack([generate("uniform", nodes, edges, s).adjacency for s in range(300)]))
    sides = [describe(rows, COVERED) for rows in (rows_of(found, nodes, edges), uniform)]
    every = np.concatenate(sides)
    width = np.maximum(np.ptp(every, axis=0), 1e-12)
    bins = [np.minimum((10 * (s - every.min(axis=0)) / width).astype(int), 9) for s in sides]
    cells = [
        np.mean([len(np.unique(b[:, i] * 10 + b[:, j])) for i, j in combinations(range(7), 2)])
        for b in bins
    ]
    assert cells[0] > 5 * cells[1]
    wanted = [0, 1, 3, 5, 6]  # path lengths are one number, and cuts few, in dense uniform graphs
    ranges = np.ptp(sides[0], axis=0)[wanted] / np.ptp(sides[1], axis=0)[wanted]
    assert (ranges > 3).all()


def entropy(weights, place):
    bins = np.minimum((place * 10).astype(int), 9)
    result = []
    for i, j in combinations(range(place.shape[1]), 2):
        share = np.bincount(bins[:, i] * 10 + bins[:, j], weights, minlength=100)
        result.append(-(share[share > 0] * np.log(share[share > 0])).sum())
    return np.mean(result)


def test_weights_never_lose_entropy_and_even_out_clusters():
    place = np.random.default_rng(0).random((400, 3)) ** 3
    gained = [entropy(even_weights(place, steps), place) for steps in range(12)]
    assert (np.diff(gained) > -1e-12).all()
    assert gained[-1] > gained[0] + 0.2
    weights = even_weights(place)
    assert weights.sum() == pytest.approx(1.0)
    assert np.corrcoef(weights, place.sum(axis=1))[0, 1] > 0.5  # the rare corner counts more


def test_weights_without_a_property_that_varies_are_equal():
    assert even_weights(np.empty((4, 0))).tolist() == [0.25] * 4
    assert even_weights(np.array([[0.0], [0.05], [0.95]])).tolist() == [0.25, 0.25, 0.5]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 80), st.integers(0, 3), st.integers(0, 99))
def test_spatial_order_visits_every_point_once(points, dimensions, seed):
    rng = np.random.default_rng(seed)
    place = np.round(rng.random((points, dimensions)), 1)
    order = _spatial_order(place, rng.random(points) + 0.01)
    assert sorted(order.tolist()) == list(range(points))


def test_spatial_order_puts_near_points_next_to_each_other():
    place = np.random.default_rng(0).random((500, 2))
    order = _spatial_order(place, np.full(500, 1 / 500))
    step = np.linalg.norm(np.diff(place[order], axis=0), axis=1).mean()
    assert step < 0.3 * np.linalg.norm(np.diff(place, axis=0), axis=1).mean()


@given(st.integers(1, 10**7))
def test_golden_steps_visit_every_part(total):
    step = _golden_step(total)
    assert math.gcd(step, total) == 1
    assert 1 <= step <= max(total, 1)


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
def test_small_graphs_of_every_edge_count(nodes):
    for edges in range(nodes * (nodes - 1) // 2 + 1):
        found = run_pilot(nodes, edges, 3, size=30).settings(0, 7, 7)
        assert len(found) == 7
        assert found.parameters(6)["kind"] in KINDS
        rows = rows_of(found, nodes, edges)
        assert (np.bitwise_count(rows).sum(axis=(1, 2)) == 2 * edges).all()


def test_bad_requests_are_refused(sparse):
    with pytest.raises(GraphError, match="29 edges"):
        run_pilot(8, 29, 0)
    with pytest.raises(SettingError, match="pilot of 0"):
        run_pilot(8, 8, 0, size=0)
    for first, count, total in ((0, 11, 10), (-1, 2, 10), (3, -1, 10)):
        with pytest.raises(SettingError, match=f"not among {total}"):
            sparse.settings(first, count, total)
    assert len(sparse.settings(0, 0, 0)) == 0
