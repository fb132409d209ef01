from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bogp.analysis import reliability, seeds_needed, variance_components
from bogp.errors import SettingError

# Shrout and Fleiss (1979), table 2: 6 targets, 4 judges; they print ICC(1, 1) = 0.17.
SHROUT_FLEISS = [
    [9, 2, 5, 8],
    [6, 1, 3, 2],
    [8, 4, 6, 8],
    [7, 1, 2, 6],
    [10, 5, 6, 9],
    [6, 2, 4, 7],
]


def test_the_published_example_of_shrout_and_fleiss() -> None:
    # Their table 3: MSB 11.24, MSW 6.26; ICC(1, 1) 0.17 [-0.13, 0.72], cut off at 0 here.
    parts = variance_components(SHROUT_FLEISS)
    assert parts.icc is not None
    assert parts.icc.estimate == pytest.approx(0.1657, abs=5e-5)
    assert parts.icc.low == 0.0
    assert parts.icc.high == pytest.approx(0.7226, abs=5e-4)
    assert parts.within_sd**2 == pytest.approx(6.264, abs=1e-3)
    assert parts.between_sd**2 == pytest.approx((11.242 - 6.264) / 4, abs=1e-3)
    assert not parts.truncated
    assert (parts.groups, parts.replicated, parts.values) == (6, 6, 24)
    assert parts.method == "mean squares"


def test_the_intervals_have_their_closed_forms() -> None:
    # k = 3, n = 2: MSB 32, MSW 0.5, F = 64 on (2, 3). Quantiles from printed tables:
    # F(0.975; 2, 3) = 16.0441, F(0.975; 3, 2) = 39.1655, chi2(3): 0.215795 and 9.348404.
    parts = variance_components([[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]])
    assert parts.icc is not None
    low, high = 64 / 16.0441, 64 * 39.1655
    assert parts.icc.low == pytest.approx((low - 1) / (low + 1), rel=1e-5)
    assert parts.icc.high == pytest.approx((high - 1) / (high + 1), rel=1e-5)
    assert parts.within_interval.low == pytest.approx(math.sqrt(1.5 / 9.348404), rel=1e-5)
    assert parts.within_interval.high == pytest.approx(math.sqrt(1.5 / 0.215795), rel=1e-5)
    # Williams: (k - 1)(MSB - MSW F) / (n chi2(2)), chi2(2) = 7.377759; lower F(0.025; 2, 3) is
    # 1 / 39.1655 and the lower chi2(2) 0.050636.
    between = parts.between_interval
    assert between.low == pytest.approx(math.sqrt((32 - 0.5 * 16.0441) / 7.377759), rel=1e-5)
    assert between.high == pytest.approx(math.sqrt((32 - 0.5 / 39.1655) / 0.050636), rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 10_000))
def test_f_and_p_are_those_of_scipy_and_its_unit_is_free(k: int, n: int, seed: int) -> None:
    table = np.random.default_rng(seed).normal(0.9, 0.01, (k, n))
    parts, scaled = variance_components(table), variance_components(100 * table + 3)
    expected = stats.f_oneway(*table)
    assert parts.f_statistic == pytest.approx(expected.statistic)
    assert parts.p_value == pytest.approx(expected.pvalue)
    assert parts.icc is not None
    assert scaled.icc is not None
    assert scaled.icc.high == pytest.approx(parts.icc.high)
    assert scaled.between_sd == pytest.approx(100 * parts.between_sd)
    assert scaled.between_interval.high == pytest.approx(100 * parts.between_interval.high)
    for interval in (parts.icc, parts.between_interval, parts.within_interval):
        assert interval.low is not None
        assert interval.high is not None
        assert 0.0 <= interval.low <= interval.estimate <= interval.high
    json.dumps(asdict(parts), allow_nan=False)


def test_a_known_truth_is_recovered_and_covered() -> None:
    between, within, runs = 0.2, 0.3, 400
    rng = np.random.default_rng(0)
    icc = between**2 / (between**2 + within**2)
    tables = rng.normal(0, between, (runs, 20, 1)) + rng.normal(0, within, (runs, 20, 5))
    results = [variance_components(table) for table in tables]
    assert np.mean([r.between_sd**2 for r in results]) == pytest.approx(between**2, rel=0.06)
    assert np.mean([r.within_sd**2 for r in results]) == pytest.approx(within**2, rel=0.03)

    def coverage(name: str, truth: float) -> float:
        return float(np.mean([not getattr(r, name).excludes(truth) for r in results]))

    # The binomial SD of a 95 % share of 400 is 1.1 %.
    assert coverage("icc", icc) == pytest.approx(0.95, abs=0.035)
    assert coverage("within_interval", within) == pytest.approx(0.95, abs=0.035)
    assert coverage("between_interval", between) == pytest.approx(0.95, abs=0.035)


def test_alike_groups_are_rejected_at_the_nominal_rate() -> None:
    tables = np.random.default_rng(1).normal(size=(400, 8, 4))
    results = [variance_components(table) for table in tables]
    assert np.mean([r.p_value < 0.05 for r in results]) == pytest.approx(0.05, abs=0.035)
    truncated = [r for r in results if r.truncated]
    assert 0.3 < len(truncated) / len(results) < 0.8
    assert all(r.between_sd == 0.0 and r.icc.estimate == 0.0 for r in truncated)


def test_no_spread_within_is_no_division_by_zero() -> None:
    parts = variance_components([[0.1] * 3, [0.2] * 3, [0.7] * 3])
    assert parts.within_sd == 0.0
    assert parts.f_statistic is None
    assert parts.p_value == 0.0
    assert parts.icc is not None
    assert (parts.icc.estimate, parts.icc.low, parts.icc.high) == (1.0, 1.0, 1.0)
    json.dumps(asdict(parts), allow_nan=False)


def test_no_spread_at_all_has_no_icc() -> None:
    parts = variance_components(np.full((4, 3), 0.1))
    assert (parts.icc, parts.f_statistic, parts.p_value) == (None, None, None)
    assert (parts.between_sd, parts.within_sd, parts.truncated) == (0.0, 0.0, False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0], [2.0], [3.0]], "none of the 3 groups has a second value"),
        ([[1.0, 2.0]], "1 groups have no spread"),
        ([[1.0, 2.0], []], "group 1 holds 0"),
        ([[1.0, math.nan], [1.0]], "group 0 holds nan"),
        ([1.0, 2.0], r"group 0 has shape \(\)"),
    ],
)
def test_what_has_no_spread_to_split_is_refused(values: list[list[float]], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        variance_components(values)


def test_the_level_is_checked() -> None:
    with pytest.raises(SettingError, match="level"):
        variance_components([[1.0, 2.0], [1.0]], 0.0)


def test_seeds_needed_by_hand() -> None:
    assert seeds_needed(1.0, 1.0) == 4  # 0.8 / 0.2
    assert seeds_needed(1.0, 2.0) == 16
    assert seeds_needed(1.0, 0.0) == 1
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1.0, 1.0, reliability=0.5) == 1


@settings(deadline=None)
@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.floats(0.05, 0.95))
def test_seeds_needed_is_the_least_number_that_is_enough(b: float, w: float, goal: float) -> None:
    seeds = seeds_needed(b, w, goal)
    assert seeds is not None
    assert reliability(b, w, seeds) >= goal - 1e-9
    if seeds > 1:
        assert reliability(b, w, seeds - 1) < goal


def test_reliability_is_the_squared_correlation_with_the_truth() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 0.2, 20_000)
    means = truth + rng.normal(0, 0.3, (5, 20_000)).mean(axis=0)
    r = np.corrcoef(truth, means)[0, 1]
    assert reliability(0.2, 0.3, 5) == pytest.approx(r**2, abs=0.015)
    assert reliability(0.0, 0.0, 1) == 0.0


def test_bad_spreads_are_refused() -> None:
    with pytest.raises(SettingError, match=r"between_sd -0.1"):
        seeds_needed(-0.1, 1.0)
    with pytest.raises(SettingError, match="within_sd nan"):
        reliability(0.1, math.nan, 2)
    with pytest.raises(SettingError, match="0 seeds"):
        reliability(0.1, 0.1, 0)
    with pytest.raises(SettingError, match=r"reliability 1\.0"):
        seeds_needed(0.1, 0.1, 1.0)
