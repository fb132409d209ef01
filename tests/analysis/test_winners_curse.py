from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bogp.analysis import WINNER_METHODS, winner_interval
from bogp.errors import SettingError, UnknownNameError

REPEATS = 1500


def errors_of(truth, sd, method, level=0.9):
    """Estimate less truth, whether covered, and value less truth, over simulated contests."""
    rng = np.random.default_rng(7)
    truth = np.asarray(truth, float)
    sds = np.broadcast_to(sd, truth.shape)
    error, covered, naive = [], [], []
    for _ in range(REPEATS):
        values = truth + sds * rng.normal(size=truth.size)
        found = winner_interval(values, sds, level, method=method)
        assert found.index == int(np.argmax(values))
        true = truth[found.index]
        error.append(found.corrected.estimate - true)
        covered.append(found.corrected.low <= true <= found.corrected.high)
        naive.append(found.selected - true)
    return np.array(error), np.array(covered), np.array(naive)


# Of 1,500 draws a share of one half has a standard error of 0.013, one of 0.9 of 0.008.
@pytest.mark.parametrize("method", ["hybrid", "conditional"])
@pytest.mark.parametrize(
    ("truth", "sd"),
    [([0.0] * 10, 1.0), (np.linspace(-2, 2, 8), 1.0), ([0.0, 0.0], np.array([1.0, 0.3]))],
)
def test_the_estimate_is_median_unbiased_and_the_interval_covers(method, truth, sd) -> None:
    error, covered, naive = errors_of(truth, sd, method)
    assert (naive > 0).mean() > 0.7
    assert (error > 0).mean() == pytest.approx(0.5, abs=0.045)
    assert 0.87 < covered.mean() < 0.94


def test_where_all_are_alike_no_method_promises_too_much() -> None:
    for method in WINNER_METHODS:
        error, covered, naive = errors_of([0.0] * 20, 1.0, method)
        # The largest of 20 standard normals is 1.87 on average (Tippett 1925).
        assert naive.mean() == pytest.approx(1.867, abs=0.06)
        assert np.median(error) == pytest.approx(0.0, abs=0.12)
        assert covered.mean() > 0.87


def test_the_projection_holds_for_any_choice_and_the_hybrid_is_narrower() -> None:
    error, covered, _ = errors_of(np.linspace(-3, 0, 10), 1.0, "projection")
    assert (error > 0).mean() < 0.5
    assert covered.mean() > 0.9
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(REPEATS):
        values = rng.normal(size=6)
        # The worst choice for an interval of one: the value that is furthest off.
        found = winner_interval(values, np.ones(6), 0.9, winner=int(np.argmax(np.abs(values))))
        hits += found.corrected.low <= 0.0 <= found.corrected.high
    assert hits / REPEATS == pytest.approx(0.9, abs=0.03)
    wide = winner_interval([0.0, -1.5, -2.0], [1.0] * 3, method="projection").corrected
    hybrid = winner_interval([0.0, -1.5, -2.0], [1.0] * 3).corrected
    assert hybrid.high - hybrid.low < wide.high - wide.low


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.01, 6.0),
    st.integers(2, 30),
    st.sampled_from([0.5, 0.8, 0.95, 0.99]),
    st.floats(0.001, 10.0),
)
def test_the_conditional_bounds_are_quantiles_of_scipys_truncated_normal(gap, count, level, sd):
    values = np.array([3.0, *np.full(count - 1, 3.0 - gap * sd)])
    found = winner_interval(values, np.full(count, sd), level, method="conditional").corrected
    tails = {found.estimate: 0.5, found.low: 0.5 + level / 2, found.high: 0.5 - level / 2}
    for place, share in tails.items():
        cut = (values[1] - place) / sd
        if cut < 30:  # further out scipy's own tail is not exact
            law = stats.truncnorm(cut, np.inf, loc=place, scale=sd)
            assert law.cdf(3.0) == pytest.approx(share, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 6.0), st.integers(2, 30), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_the_hybrid_bounds_are_quantiles_of_the_law_cut_on_both_sides(gap, count, level) -> None:
    values = np.array([0.0, *np.full(count - 1, -gap)])
    found = winner_interval(values, np.ones(count), level).corrected
    first = 0.1 * (1 - level)
    reach = float(stats.norm.ppf(0.5 + (1 - first) ** (1 / count) / 2))
    error = (1 - level - first) / (1 - first)
    for place, share in (
        (found.estimate, 0.5),
        (found.low, 1 - error / 2),
        (found.high, error / 2),
    ):
        assert -reach <= place <= reach
        low, high = max(-gap - place, -reach), reach
        if low < 6:  # beyond it scipy's differences of nearly equal tails lose digits
            law = stats.truncnorm(low, high, loc=place)
            assert law.cdf(0.0) == pytest.approx(share, abs=1e-5)
    assert found.low <= found.estimate <= found.high


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10_000), st.sampled_from(WINNER_METHODS))
def test_shift_and_unit_are_free(count: int, seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    values, sds = rng.normal(size=count), rng.uniform(0.5, 2.0, count)
    one = winner_interval(values, sds, method=method)
    two = winner_interval(0.9 + 0.01 * values, 0.01 * sds, method=method)
    assert one.index == two.index
    for name in ("estimate", "low", "high"):
        expected = 0.9 + 0.01 * getattr(one.corrected, name)
        assert getattr(two.corrected, name) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert one.corrected.low <= one.corrected.estimate <= one.corrected.high
    assert one.corrected.estimate <= one.selected + 1e-9
    assert one.optimism == one.selected - one.corrected.estimate


def test_without_rivals_nearby_it_is_the_plain_interval() -> None:
    for values in ([5.0], [5.0, -1e9]):
        found = winner_interval(values, [1.0] * len(values), method="conditional").corrected
        assert found.estimate == pytest.approx(5.0, abs=1e-9)
        assert found.low == pytest.approx(5.0 - 1.959964, abs=1e-6)
        assert found.high == pytest.approx(5.0 + 1.959964, abs=1e-6)


def test_a_tie_is_left_to_the_projection() -> None:
    for method in WINNER_METHODS:
        for tied in ([1.0, 1.0, 0.0], [1.0, 1.0 - 1e-15, 0.0]):
            found = winner_interval(tied, [1.0] * 3, method=method)
            assert found.method == "projection"
            # P(all three below c) = 1/2 at c = norm.ppf(0.5 ** (1/3)) = 0.8193
            assert found.corrected.estimate == pytest.approx(1 - 0.8193, abs=1e-4)
            assert math.isfinite(found.corrected.low)
    assert winner_interval([1.0, 2.0], [1.0, 1.0], winner=0).method == "projection"
    assert winner_interval([1.0, 2.0], [1.0, 1.0], winner=1).method == "hybrid"


def test_many_candidates_and_small_gaps_stay_finite() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    for method in WINNER_METHODS:
        found = winner_interval(values, np.ones(20_000), method=method).corrected
        assert np.isfinite([found.low, found.estimate, found.high]).all()
    near = winner_interval([0.0, -2e-6], [1.0, 1.0], method="conditional").corrected
    assert -1e8 < near.low < near.estimate < near.high < 0.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(SettingError, match=r"sds holds 0\.0"):
        winner_interval([1.0, 2.0], [1.0, 0.0])
    with pytest.raises(SettingError, match="holds 0 numbers"):
        winner_interval([], [])
    with pytest.raises(SettingError, match="no candidate 2: give 0 to 1"):
        winner_interval([1.0, 2.0], [1.0, 1.0], winner=2)
    with pytest.raises(UnknownNameError, match="did you mean hybrid"):
        winner_interval([1.0, 2.0], [1.0, 1.0], method="hybrd")
    with pytest.raises(SettingError, match="level"):
        winner_interval([1.0, 2.0], [1.0, 1.0], 1.0)
