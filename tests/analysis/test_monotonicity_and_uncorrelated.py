from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import r2_score

from bogp.analysis import (
    Pair,
    correlation_matrix,
    monotonicity,
    strongest_pairs,
    uncorrelated_subset,
)
from bogp.errors import SettingError, UnknownNameError

NAMES = ("a", "b", "c", "d", "e", "f")


@settings(deadline=None)
@given(st.integers(3, 30), st.integers(2, 8), st.integers(0, 10_000))
def test_the_fits_are_those_of_sklearn_and_hold_one_another(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, k, n) / 7, rng.normal(size=n)
    result = monotonicity(x, y)
    if np.ptp(x) == 0:
        assert result.isotonic_r2 is None
        return
    rising, falling = (
        r2_score(y, IsotonicRegression(increasing=up).fit(x, y).predict(x)) for up in (True, False)
    )
    assert result.isotonic_r2 == pytest.approx(max(rising, falling), abs=1e-9)
    assert result.linear_r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, abs=1e-9)
    assert result.linear_r2 - 1e-9 <= result.isotonic_r2 <= result.ceiling_r2 + 1e-9
    assert result.levels == len(np.unique(x))
    json.dumps(asdict(result), allow_nan=False)


def test_a_saturating_curve_is_monotonic_and_not_linear() -> None:
    x = np.repeat(np.linspace(0, 1, 11), 3)
    result = monotonicity(x, 1 - np.exp(-12 * x))
    assert (result.direction, result.same_way, result.levels) == ("increasing", 1.0, 11)
    assert result.isotonic_r2 == pytest.approx(1.0)
    assert result.linear_r2 is not None
    assert result.linear_r2 < 0.6


def test_a_hump_is_not_monotonic() -> None:
    x = np.linspace(-1, 1, 21)
    result = monotonicity(x, -(x**2))
    assert result.same_way == 0.5
    assert result.ceiling_r2 == pytest.approx(1.0)
    assert result.isotonic_r2 is not None
    assert result.isotonic_r2 < 0.6


def test_the_direction_turns_with_the_sign() -> None:
    x, y = [1, 1, 2, 2, 3, 3], [0.1, 0.2, 0.4, 0.3, 0.6, 0.5]
    up, down = monotonicity(x, y), monotonicity(x, [-value for value in y])
    assert (up.direction, down.direction) == ("increasing", "decreasing")
    assert up.isotonic_r2 == pytest.approx(down.isotonic_r2)


def test_what_does_not_vary_has_no_shape() -> None:
    assert monotonicity([1, 1, 1], [1, 2, 3]).direction is None
    assert monotonicity([1, 2, 3], [1, 1, 1]).isotonic_r2 is None
    assert monotonicity([0.1 + 0.2, 0.3, 0.5], [1, 2, 3]).levels == 2


def _correlated(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return correlation_matrix(rng.normal(size=(6, len(NAMES))))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 0.7]))
def test_the_subset_is_the_largest_with_every_pair_below(seed: int, threshold: float) -> None:
    matrix = _correlated(seed)
    result = uncorrelated_subset(matrix, NAMES, threshold)

    def fits(chosen: tuple[int, ...]) -> bool:
        return all(abs(matrix[i, j]) < threshold for i, j in itertools.combinations(chosen, 2))

    subsets = [c for r in range(7) for c in itertools.combinations(range(6), r) if fits(c)]
    most = max(map(len, subsets))
    expected = {tuple(NAMES[i] for i in c) for c in subsets if len(c) == most}
    assert set(result.largest) == expected
    assert result.names == result.largest[0]
    weakest = [strongest_pairs(matrix, NAMES, chosen) for chosen in result.largest]
    bounds = [abs(pairs[0].correlation) if pairs else 0.0 for pairs in weakest]
    assert bounds == sorted(bounds)
    assert result.strongest == bounds[0] < threshold
    json.dumps(asdict(result), allow_nan=False)


def test_constant_names_are_set_apart() -> None:
    table = np.column_stack([np.arange(6), np.ones(6), [0, 1, 0, 1, 0, 2]])
    result = uncorrelated_subset(correlation_matrix(table), ("x", "degree", "z"), 0.5)
    assert result.constant == ("degree",)
    assert "degree" not in result.names


def test_all_constant_leaves_nothing() -> None:
    result = uncorrelated_subset([[np.nan]], ["degree"], 0.5)
    assert (result.names, result.strongest, result.constant) == ((), 0.0, ("degree",))


def test_of_many_copies_one_of_each_is_chosen() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(50, 4))
    table = np.repeat(shared, 4, axis=1) + 0.1 * rng.normal(size=(50, 16))
    names = [f"p{index}" for index in range(16)]
    result = uncorrelated_subset(correlation_matrix(table), names, 0.7)
    assert len(result.names) == 4  # one of each group of copies
    assert {int(name[1:]) // 4 for name in result.names} == {0, 1, 2, 3}
    assert result.strongest < 0.7


def test_the_strongest_pair_of_a_choice() -> None:
    matrix = [[1.0, 0.2, -0.9], [0.2, 1.0, 0.4], [-0.9, 0.4, 1.0]]
    assert strongest_pairs(matrix, "abc")[0] == Pair("a", "c", -0.9)
    assert strongest_pairs(matrix, "abc", ["a", "b"]) == (Pair("a", "b", 0.2),)
    assert strongest_pairs(matrix, "abc", ["a"]) == ()
    with pytest.raises(UnknownNameError, match="unknown property 'x'"):
        strongest_pairs(matrix, "abc", ["x"])


def test_subset_refuses() -> None:
    with pytest.raises(SettingError, match=r"shape \(1, 1\) does not fit 2 names"):
        uncorrelated_subset([[1.0]], ["a", "b"], 0.5)
    with pytest.raises(SettingError, match="threshold 0 "):
        uncorrelated_subset([[1.0]], ["a"], 0)
