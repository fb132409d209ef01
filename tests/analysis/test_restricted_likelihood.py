from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from bogp.analysis import seeds_needed, variance_components
from bogp.analysis.restricted_likelihood import OneWay, restricted_maximum


def draw(rng, candidates, between, within, most=5):
    counts = rng.integers(1, most + 1, candidates)
    counts[0] = 3
    return [rng.normal(0, between) + rng.normal(0, within, count) for count in counts]


def adaptive(rng, candidates, between, within):
    """One value of each, and two more of the best sixth, as a search gives them."""
    truth = rng.normal(0, between, candidates)
    first = truth + rng.normal(0, within, candidates)
    best = set(np.argsort(-first)[: candidates // 6].tolist())
    return [
        np.array([first[k], *(truth[k] + rng.normal(0, within, 2) if k in best else [])])
        for k in range(candidates)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 8), st.integers(2, 4), st.integers(0, 10_000))
def test_the_likelihood_of_a_balanced_table_has_its_maximum_at_the_mean_squares(k, n, seed) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(0, 1, (k, 1)) + rng.normal(0, 1, (k, n))
    exact = variance_components(table)
    found = restricted_maximum(OneWay.of(list(table)), 0.95)
    if exact.truncated:
        # At 0 all values are one sample (Patterson and Thompson 1971).
        assert found.ratio == pytest.approx(0.0, abs=1e-6)
        assert math.sqrt(found.within) == pytest.approx(table.std(ddof=1), rel=1e-5)
    else:
        assert math.sqrt(found.within) == pytest.approx(exact.within_sd, rel=1e-4)
        assert found.ratio * found.within == pytest.approx(exact.between_sd**2, rel=1e-3, abs=1e-5)


def full_loss(groups, between, within):
    """-2 log of the likelihood of all contrasts, from the covariance matrix of all values."""
    values = np.concatenate(groups)
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    covariance = between * (owner[:, None] == owner) + within * np.eye(values.size)
    contrasts = np.linalg.qr(np.column_stack([np.ones(values.size), np.eye(values.size)[:, 1:]]))[0]
    inner = contrasts[:, 1:].T @ covariance @ contrasts[:, 1:]
    seen = contrasts[:, 1:].T @ values
    return float(np.linalg.slogdet(inner)[1] + seen @ np.linalg.solve(inner, seen))


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 7), st.integers(0, 10_000), st.floats(0.0, 2.0))
def test_the_likelihood_and_its_intervals_are_those_of_the_covariance_matrix(k, seed, between):
    groups = draw(np.random.default_rng(seed), k, between, 1.0, most=3)
    data = OneWay.of(groups)
    found = restricted_maximum(data, 0.95)
    points = [(0.0, 1.0), (0.3, 0.7), (2.0, 0.5)]
    # The two differ by a constant only.
    gaps = [
        full_loss(groups, b, w) - float(data.loss(np.array([b / (b + w)]), np.array([w]))[0])
        for b, w in points
    ]
    assert gaps == pytest.approx([gaps[0]] * 3, abs=1e-8)
    best = full_loss(groups, found.ratio * found.within, found.within)
    least = min(
        optimize.minimize(
            lambda p: full_loss(groups, math.exp(p[0]), math.exp(p[1])), start,
            method="Nelder-Mead", options={"maxfev": 300},
        ).fun
        for start in ([-4.0, 0.0], [1.0, 0.0])
    )  # fmt: skip
    assert best <= least + 1e-5
    limit = best + stats.chi2.ppf(0.95, 1)
    for bound in found.within_bounds:
        edge = optimize.minimize_scalar(
            lambda b, bound=bound: full_loss(groups, math.exp(b), bound),
            bounds=(-14, 8),
            method="bounded",
        ).fun
        assert min(edge, full_loss(groups, 0.0, bound)) == pytest.approx(limit, abs=0.01)
    edge = optimize.minimize_scalar(
        lambda w: full_loss(groups, found.between_bounds[1], math.exp(w)), bounds=(-8, 6),
        method="bounded",
    ).fun  # fmt: skip
    assert edge == pytest.approx(limit, abs=0.01)
    assert (found.between_bounds[0] == 0.0) == (found.share_bounds[0] == 0.0)


def test_seeds_given_to_the_best_do_not_mislead_the_likelihood() -> None:
    rng = np.random.default_rng(3)
    found = [variance_components(adaptive(rng, 60, 0.2, 0.3)) for _ in range(40)]
    assert np.mean([parts.between_sd**2 for parts in found]) == pytest.approx(0.04, abs=0.01)
    assert np.mean([parts.within_sd**2 for parts in found]) == pytest.approx(0.09, abs=0.01)


def test_the_intervals_cover() -> None:
    rng = np.random.default_rng(4)
    truths = {"between_interval": 0.3, "within_interval": 0.3, "icc": 0.5}
    hits = []
    for _ in range(60):
        found = variance_components(draw(rng, 8, 0.3, 0.3))
        hits.append([not getattr(found, name).excludes(truth) for name, truth in truths.items()])
    between, within, icc = np.mean(hits, axis=0)
    assert 0.86 < between < 0.995
    assert 0.86 < within < 1.0
    assert 0.86 < icc < 1.0


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_and_the_unit_are_free(seed: int) -> None:
    groups = draw(np.random.default_rng(seed), 6, 0.5, 0.5)
    one = variance_components(groups)
    two = variance_components([0.01 * group + 0.9 for group in groups[::-1]])
    assert two.between_sd == pytest.approx(0.01 * one.between_sd, rel=1e-3, abs=1e-6)
    assert two.within_sd == pytest.approx(0.01 * one.within_sd, rel=1e-3)
    assert two.icc.estimate == pytest.approx(one.icc.estimate, abs=1e-4)
    assert two.between_interval.high == pytest.approx(0.01 * one.between_interval.high, rel=1e-3)
    for part in (one.between_interval, one.within_interval, one.icc):
        assert 0.0 <= part.low <= part.estimate + 1e-9 <= part.high + 2e-9
    assert one.seeds_needed(0.9) == seeds_needed(one.between_sd, one.within_sd, 0.9)
    json.dumps(asdict(one), allow_nan=False)


def test_no_spread_is_no_variance() -> None:
    flat = variance_components([[0.9], [0.9, 0.9], [0.9, 0.9, 0.9]])
    assert (flat.between_sd, flat.within_sd, flat.icc, flat.p_value) == (0.0, 0.0, None, None)
    assert flat.seeds_needed() is None
    assert (flat.groups, flat.replicated, flat.values) == (3, 2, 6)
    sure = variance_components([[0.9], [0.8, 0.8], [0.7, 0.7, 0.7]])
    assert sure.within_sd == 0.0
    assert sure.icc is not None
    assert (sure.icc.low, sure.icc.estimate, sure.icc.high) == (1.0, 1.0, 1.0)
    assert sure.between_sd == pytest.approx(0.1)  # the means are the true ones
    assert 0.0 < sure.between_interval.low < sure.between_sd < sure.between_interval.high
    assert (sure.groups, sure.replicated, sure.values) == (3, 2, 6)
    alike = variance_components([[0.9], [0.8, 1.0], [0.8, 0.9, 1.0]])
    assert (alike.between_sd, alike.truncated) == (0.0, True)
    assert alike.between_interval.high > 0.0
    assert alike.p_value >= 0.5


@pytest.mark.parametrize("noise", [1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10])
def test_hardly_any_spread_over_seeds_is_none(noise: float) -> None:
    """As of a function that is all but exact: the intervals stay those of numbers like these."""
    rng = np.random.default_rng(0)
    sizes = [3, 2, 1, 1, 1, 1]
    true = [0.55, 0.6, 0.7, 0.75, 0.8, 0.9]
    groups = [mean + noise * rng.normal(size=size) for mean, size in zip(true, sizes, strict=True)]
    found = variance_components(groups)
    assert found.between_sd == pytest.approx(np.std(true, ddof=1), rel=0.1)
    assert found.between_interval.high < 5 * found.between_sd
    assert found.icc is not None
    assert found.icc.low > 0.99
    assert found.within_sd == (0.0 if noise < 1e-3 else pytest.approx(noise, rel=0.7))
