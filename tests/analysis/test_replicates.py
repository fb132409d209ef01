from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from bogp.analysis import COMPONENT_METHODS, replicate_components, seeds_needed, variance_components
from bogp.analysis.likelihood import OneWay, components
from bogp.errors import SettingError, UnknownNameError


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


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 6),
    st.integers(2, 5),
    st.integers(0, 10_000),
    st.sampled_from(COMPONENT_METHODS),
)
def test_a_table_without_gaps_is_analysed_exactly(k, n, seed, method) -> None:
    table = np.random.default_rng(seed).normal(0.9, 0.01, (k, n))
    found, exact = replicate_components(table, method=method), variance_components(table)
    assert (found.candidates, found.replicated, found.values) == (k, k, k * n)
    assert found.method == "balanced"
    for name in ("mean", "between_sd", "within_sd", "between_interval", "within_interval", "icc",
                 "p_value"):  # fmt: skip
        assert getattr(found, name) == getattr(exact, name)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 10_000))
def test_mean_squares_of_a_balanced_table_are_those_of_the_exact_analysis(k, n, seed) -> None:
    from bogp.analysis.replicates import _anova

    rng = np.random.default_rng(seed)
    table = rng.normal(0, 1, (k, 1)) + rng.normal(0, 1, (k, n))
    found, exact = _anova(OneWay.of(list(table)), 0.9), variance_components(table, 0.9)
    for name in ("between_interval", "within_interval", "icc"):
        one, two = getattr(found, name), getattr(exact, name)
        for side in ("estimate", "low", "high"):
            wanted = pytest.approx(getattr(two, side), rel=1e-6, abs=1e-7)
            assert getattr(one, side) == wanted, (name, side)
    assert found.p_value == pytest.approx(exact.p_value)
    assert found.mean == pytest.approx(exact.mean)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 8), st.integers(2, 4), st.integers(0, 10_000))
def test_the_likelihood_of_a_balanced_table_has_its_maximum_at_the_mean_squares(k, n, seed) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(0, 1, (k, 1)) + rng.normal(0, 1, (k, n))
    exact = variance_components(table)
    found = components(OneWay.of(list(table)), 0.95)
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
    found = components(data, 0.95)
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


def test_mean_squares_of_unequal_numbers_have_the_right_expectation() -> None:
    groups = [
        np.array(group) for group in ([1.0], [5.0, 6.0], [9.0], [2.0, 3.0, 2.5, 3.5, 4.0, 3.1])
    ]
    values = np.concatenate(groups)
    owner = np.repeat(np.arange(4), [1, 2, 1, 6])
    joined = (owner[:, None] == owner).astype(float)
    inside = joined / np.array([1, 2, 1, 6])[owner]
    between = inside - 1 / 10
    msb = values @ between @ values / 3
    msw = values @ (np.eye(10) - inside) @ values / 6
    # E(MSB) = within + between tr(between matrix · joined) / 3, whatever the law.
    expected = (msb - msw) / (np.trace(between @ joined) / 3)
    found = replicate_components(groups, method="anova")
    assert found.between_sd**2 == pytest.approx(expected)
    assert found.within_sd**2 == pytest.approx(msw)
    assert found.p_value == pytest.approx(stats.f_oneway(*groups).pvalue)


def test_seeds_given_to_the_best_do_not_mislead_the_likelihood() -> None:
    rng = np.random.default_rng(3)
    parts = {method: [] for method in COMPONENT_METHODS}
    for _ in range(40):
        groups = adaptive(rng, 60, 0.2, 0.3)
        for method in COMPONENT_METHODS:
            found = replicate_components(groups, method=method)
            parts[method].append((found.between_sd**2, found.within_sd**2))
    between, within = np.mean(parts["likelihood"], axis=0)
    assert between == pytest.approx(0.04, abs=0.01)
    assert within == pytest.approx(0.09, abs=0.01)
    # Mean squares see the luck of the first value as noise between seeds.
    between, within = np.mean(parts["anova"], axis=0)
    assert between < 0.03
    assert within > 0.11


@pytest.mark.parametrize(("between", "repeats", "method"), [(0.0, 500, "anova"),
                         (0.3, 500, "anova"), (0.3, 60, "likelihood")])  # fmt: skip
def test_the_intervals_cover(between: float, repeats: int, method: str) -> None:
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(repeats):
        found = replicate_components(draw(rng, 8, between, 0.3), method=method)
        truth = {"between_interval": between, "within_interval": 0.3,
                 "icc": between**2 / (between**2 + 0.09)}  # fmt: skip
        hits.append([getattr(found, name).low <= true <= getattr(found, name).high
                     for name, true in truth.items()])  # fmt: skip
        hits[-1].append(found.p_value < 0.05)
    between_share, within, icc, rejected = np.mean(hits, axis=0)
    low, high = (0.925, 0.975) if method == "anova" else (0.86, 1.0)
    assert low < within < high
    # Where the truth is 0, a lower bound cut off at 0 can only miss on one side.
    assert low < icc < (high if between else 0.995)
    assert low < between_share < 0.995
    if not between:
        assert rejected == pytest.approx(0.05, abs=0.03)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(COMPONENT_METHODS))
def test_the_order_and_the_unit_are_free(seed: int, method: str) -> None:
    groups = draw(np.random.default_rng(seed), 6, 0.5, 0.5)
    one = replicate_components(groups, method=method)
    two = replicate_components([0.01 * group + 0.9 for group in groups[::-1]], method=method)
    assert two.between_sd == pytest.approx(0.01 * one.between_sd, rel=1e-3, abs=1e-6)
    assert two.within_sd == pytest.approx(0.01 * one.within_sd, rel=1e-3)
    assert two.icc.estimate == pytest.approx(one.icc.estimate, abs=1e-4)
    assert two.between_interval.high == pytest.approx(0.01 * one.between_interval.high, rel=1e-3)
    for part in (one.between_interval, one.within_interval, one.icc):
        assert 0.0 <= part.low <= part.estimate + 1e-9 <= part.high + 2e-9
    assert one.seeds_needed(0.9) == seeds_needed(one.between_sd, one.within_sd, 0.9)
    json.dumps(asdict(one), allow_nan=False)


@pytest.mark.parametrize("method", COMPONENT_METHODS)
def test_no_spread_is_no_variance(method: str) -> None:
    flat = replicate_components([[0.9], [0.9, 0.9], [0.9, 0.9, 0.9]], method=method)
    assert (flat.between_sd, flat.within_sd, flat.icc, flat.p_value) == (0.0, 0.0, None, None)
    assert flat.seeds_needed() is None
    sure = replicate_components([[0.9], [0.8, 0.8], [0.7, 0.7, 0.7]], method=method)
    assert sure.within_sd == 0.0
    assert sure.icc is not None
    assert (sure.icc.low, sure.icc.estimate, sure.icc.high) == (1.0, 1.0, 1.0)
    assert 0.0 < sure.between_interval.low < sure.between_sd < sure.between_interval.high
    alike = replicate_components([[0.9], [0.8, 1.0], [0.8, 0.9, 1.0]], method=method)
    assert alike.between_sd == 0.0
    # Means that agree to the last digit leave mean squares no room above 0.
    assert (alike.between_interval.high > 0.0) == (method == "likelihood")
    assert alike.p_value >= 0.5


def test_bad_input_is_refused() -> None:
    with pytest.raises(SettingError, match="none of the 3 candidates has a second seed"):
        replicate_components([[1.0], [2.0], [3.0]])
    with pytest.raises(SettingError, match="1 candidates have no spread"):
        replicate_components([[1.0, 2.0]])
    with pytest.raises(SettingError, match="candidate 1's values holds 0"):
        replicate_components([[1.0, 2.0], []])
    with pytest.raises(SettingError, match="candidate 0's values holds nan"):
        replicate_components([[1.0, math.nan], [1.0]])
    with pytest.raises(UnknownNameError, match="did you mean anova"):
        replicate_components([[1.0, 2.0], [1.0]], method="anvoa")
    with pytest.raises(SettingError, match="level"):
        replicate_components([[1.0, 2.0], [1.0]], 0.0)
