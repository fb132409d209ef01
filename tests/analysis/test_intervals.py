from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bogp.analysis import (
    Interval,
    bootstrap_interval,
    mean_interval,
    paired_interval,
    paired_test,
)
from bogp.errors import SettingError

FLOATS = st.floats(-1e3, 1e3).map(lambda value: round(value, 6))
VECTORS = st.lists(FLOATS, min_size=2, max_size=10)


def test_mean_interval_has_the_closed_form_of_five_seeds() -> None:
    # Hand computed: mean 3, s = sqrt(2.5), t(0.975; 4) = 2.776445, half = 1.963243.
    interval = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.estimate == 3.0
    assert interval.low == pytest.approx(3.0 - 1.963243, abs=1e-6)
    assert interval.high == pytest.approx(3.0 + 1.963243, abs=1e-6)
    assert (interval.count, interval.level) == (5, 0.95)


@settings(deadline=None)
@given(VECTORS, st.sampled_from([0.8, 0.9, 0.99]))
def test_mean_interval_is_the_t_test_interval_of_scipy(values: list[float], level: float) -> None:
    if np.ptp(values) < 1e-6:
        values = [*values, values[0] + 1.0]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    interval = mean_interval(values, level)
    assert interval.low == pytest.approx(expected.low, rel=1e-9, abs=1e-9)
    assert interval.high == pytest.approx(expected.high, rel=1e-9, abs=1e-9)


def test_one_value_has_no_bounds_and_is_written_as_json() -> None:
    interval = mean_interval([0.97])
    assert interval == Interval(0.97, None, None, 1)
    assert not interval.excludes(0.0)
    assert json.loads(json.dumps(asdict(interval), allow_nan=False))["low"] is None


def test_equal_values_give_an_interval_of_no_width() -> None:
    interval = mean_interval([0.5, 0.5, 0.5])
    assert interval.low == interval.high == 0.5


def test_excludes_says_no_inside_and_at_the_bounds() -> None:
    interval = Interval(0.0, -1.0, 1.0, 3)
    assert [interval.excludes(value) for value in (-1.01, -1.0, 0.0, 1.0, 1.01)] == [
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        ([], 0.95, "at least 1"),
        ([1.0, math.nan], 0.95, "holds nan"),
        ([[1.0, 2.0]], 0.95, r"shape \(1, 2\)"),
        (["high"], 0.95, "not an array of numbers"),
        ([1.0, 2.0], 95, "confidence level 95"),
    ],
)
def test_mean_interval_refuses(values: list[float], level: float, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        mean_interval(values, level)


def test_paired_interval_is_narrower_where_pairs_share_their_seed() -> None:
    seeds = np.array([0.90, 0.92, 0.94, 0.96, 0.98])
    better = seeds + np.array([0.009, 0.011, 0.010, 0.010, 0.010])
    paired = paired_interval(better, seeds)
    assert paired.estimate == pytest.approx(0.01)
    assert paired.excludes(0.0)
    assert mean_interval(better).low < seeds.mean()  # unpaired, the two cannot be told apart


def test_paired_interval_refuses_unequal_lengths() -> None:
    with pytest.raises(SettingError, match=r"a holds 2 numbers and b 3"):
        paired_interval([1, 2], [1, 2, 3])


def test_bootstrap_interval_agrees_with_student_on_many_normal_values() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    boot = bootstrap_interval(values, statistic=np.mean, seed=1, resamples=2000)
    student = mean_interval(values)
    assert boot.estimate == pytest.approx(student.estimate)
    assert boot.low == pytest.approx(student.low, abs=0.03)
    assert boot.high == pytest.approx(student.high, abs=0.03)


def test_bootstrap_interval_depends_on_the_seed_alone() -> None:
    values = [1.0, 3.0, 4.0, 8.0, 9.0, 12.0]
    first, again, other = (
        bootstrap_interval(values, statistic=np.mean, seed=seed, resamples=500)
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_bootstrap_interval_takes_two_samples_and_a_plain_function() -> None:
    def difference(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.median(a) - np.median(b))

    rng = np.random.default_rng(2)
    a, b = rng.normal(1.0, 0.1, 30), rng.normal(0.0, 0.1, 20)
    interval = bootstrap_interval(a, b, statistic=difference, seed=0, resamples=300)
    assert interval.count == 50
    assert interval.low is not None
    assert interval.low < 1.0 < (interval.high or 0.0)


def test_bootstrap_interval_of_pairs_moves_them_together() -> None:
    x = np.linspace(0.0, 1.0, 20)

    def gap(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.mean(a, axis=axis) - np.mean(b, axis=axis)

    together = bootstrap_interval(x + 1, x, statistic=gap, seed=0, resamples=500, paired=True)
    apart = bootstrap_interval(x + 1, x, statistic=gap, seed=0, resamples=500)
    assert together.low == pytest.approx(1.0)
    assert together.high == pytest.approx(1.0)
    assert apart.low is not None
    assert apart.low < 0.95


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], [0.1] * 7, [0.0, 0.0]])
def test_bootstrap_interval_survives_equal_values(values: list[float]) -> None:
    interval = bootstrap_interval(values, statistic=np.mean, seed=0, resamples=100)
    assert interval.low == pytest.approx(values[0])
    assert interval.high == pytest.approx(values[0])


def test_bootstrap_interval_of_one_value_has_no_bounds() -> None:
    interval = bootstrap_interval([1.0], statistic=np.mean, seed=0)
    assert (interval.low, interval.high) == (None, None)


def test_bootstrap_interval_without_a_finite_resample_has_no_bounds() -> None:
    def undefined(a: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.full(np.asarray(a).shape[:-1], np.nan)

    interval = bootstrap_interval([1.0, 2.0], statistic=undefined, seed=0, resamples=100)
    assert (interval.low, interval.high) == (None, None)


def test_bootstrap_interval_refuses_no_sample_and_few_resamples() -> None:
    with pytest.raises(SettingError, match="at least one sample"):
        bootstrap_interval(statistic=np.mean, seed=0)
    with pytest.raises(SettingError, match="10 resamples"):
        bootstrap_interval([1.0, 2.0], statistic=np.mean, seed=0, resamples=10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=8))
def test_paired_test_counts_every_flip(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    differences = a - b
    extreme, flips = 0, list(itertools.product((1, -1), repeat=len(pairs)))
    for flip in flips:
        total = math.fsum(s * d for s, d in zip(flip, differences, strict=True))
        extreme += abs(total) >= abs(math.fsum(differences)) - 1e-9
    result = paired_test(a, b)
    assert result.exact
    assert result.p_value == pytest.approx(extreme / len(flips))
    assert result.p_value == paired_test(b, a).p_value
    assert result.p_value >= result.smallest_p - 1e-15


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_paired_test_agrees_with_scipy(alternative: str) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.5, 1.0, 9), rng.normal(0.0, 1.0, 9)
    expected = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        alternative=alternative,
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    assert paired_test(a, b, alternative=alternative).p_value == pytest.approx(expected)


def test_paired_test_beyond_sixteen_pairs_is_seeded_and_near_the_exact_value() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.4, 1.0, 17)
    zero = np.zeros(17)
    first = paired_test(differences, zero, seed=1, resamples=20_000)
    assert not first.exact
    assert first == paired_test(differences, zero, seed=1, resamples=20_000)
    assert first != paired_test(differences, zero, seed=2, resamples=20_000)
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=17)))
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)
    assert first.p_value == pytest.approx(exact, abs=0.012)  # four SDs of the draw


def test_no_hit_among_random_flips_is_not_a_p_of_zero() -> None:
    result = paired_test(np.arange(40.0) + 100, np.zeros(40), resamples=999)
    assert result.p_value == result.smallest_p == 1 / 1000


def test_paired_test_says_what_five_seeds_can_show() -> None:
    result = paired_test([2, 3, 4, 5, 6], [1, 1, 1, 1, 1])
    assert result.p_value == result.smallest_p == 0.0625
    one_sided = paired_test([2, 3, 4, 5, 6], [1, 1, 1, 1, 1], alternative="greater")
    assert one_sided.p_value == one_sided.smallest_p == 0.03125


def test_paired_test_of_equal_values_is_one() -> None:
    result = paired_test([1.0, 2.0], [1.0, 2.0])
    assert (result.p_value, result.smallest_p) == (1.0, 1.0)
    assert paired_test([3.0], [1.0]).p_value == 1.0


def test_paired_test_refuses_an_unknown_alternative() -> None:
    with pytest.raises(SettingError, match="'above' is unknown"):
        paired_test([1.0], [2.0], alternative="above")  # type: ignore[arg-type]
