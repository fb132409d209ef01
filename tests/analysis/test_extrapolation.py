from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bogp.analysis import predict_final
from bogp.errors import SettingError

numbers = st.lists(st.floats(-2, 2), min_size=0, max_size=8)


def halving(count: int, keep: int, repeats: int):
    """Mean error of predictions of the stopped ones, and the share within 95 %, of each repeat.

    Early values are noisy views of a quality that the final value is linear in; the best go on.
    """
    rng = np.random.default_rng(2)
    error, inside = [], []
    for _ in range(repeats):
        quality = rng.normal(size=count)
        early = quality + rng.normal(0, 0.5, count)
        final = 1.0 + 0.8 * quality + rng.normal(0, 0.2, count)
        order = np.argsort(-early)
        on, off = order[:keep], order[keep:]
        means, variances = predict_final(early[off], early[on], final[on])
        error.append((means - final[off]).mean())
        inside.append((np.abs(means - final[off]) <= 1.96 * np.sqrt(variances)).mean())
    return np.array(error), float(np.mean(inside))


@pytest.mark.parametrize(("count", "keep"), [(64, 32), (40, 10)])
def test_that_only_the_best_went_on_does_not_bias_the_line(count: int, keep: int) -> None:
    error, inside = halving(count, keep, 800)
    assert abs(error.mean()) < 4 * error.std() / len(error) ** 0.5
    assert abs(error.mean()) < 0.06
    assert inside == pytest.approx(0.95, abs=0.025)


def test_few_pairs_are_wide_enough() -> None:
    assert halving(20, 4, 400)[1] > 0.92
    assert halving(12, 2, 400)[1] > 0.92


def test_the_variance_is_that_of_a_students_prediction() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=9)
    y = 0.3 + 0.9 * x + rng.normal(0, 0.1, 9)
    new = np.array([-2.0, 0.0, 3.0])
    means, variances = predict_final(new, x, y)
    line = stats.linregress(x, y)
    assert means == pytest.approx(line.intercept + line.slope * new)
    residual = ((y - line.intercept - line.slope * x) ** 2).sum() / 7
    spread = 1 + 1 / 9 + (new - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    half = stats.t.ppf(0.975, 7) * np.sqrt(residual * spread)
    assert 1.959964 * np.sqrt(variances) == pytest.approx(half, rel=1e-6)


def test_the_slope_is_held_between_0_and_2() -> None:
    x = [0.0, 1.0, 2.0, 3.0, 4.0]
    falling, _ = predict_final([-10.0], x, [4.0, 3.0, 2.0, 1.0, 0.0])
    assert falling == pytest.approx([2.0])
    steep, variances = predict_final([-1.0, 2.0], x, [0.0, 5.0, 10.0, 15.0, 20.0])
    assert steep == pytest.approx([10.0 - 2.0 * 3.0, 10.0])
    assert variances[0] > variances[1] > 1.0


def test_fewer_than_four_pairs_add_the_mean_gain() -> None:
    means, variances = predict_final([0.5, 0.1], [0.6, 0.7, 0.8], [0.80, 0.93, 1.00])
    assert means == pytest.approx([0.71, 0.31])
    gains = np.array([0.20, 0.23, 0.20])
    half = stats.t.ppf(0.975, 2) * gains.std(ddof=1) * (1 + 1 / 3) ** 0.5
    assert 1.959964 * np.sqrt(variances) == pytest.approx([half, half], rel=1e-6)
    level, _ = predict_final([0.3], [0.5] * 6, [0.7, 0.8, 0.7, 0.8, 0.7, 0.8])
    assert level == pytest.approx([0.55])


def test_without_anything_to_learn_from_it_is_wide() -> None:
    for early, final, gain in (([], [], 0.0), ([0.6], [0.8], 0.2)):
        means, variances = predict_final([0.5], early, final)
        assert means == pytest.approx([0.5 + gain])
        assert variances == pytest.approx([0.01])
    assert predict_final([0.5], [], [], wide_sd=0.3)[1] == pytest.approx([0.09])


@settings(max_examples=80, deadline=None)
@given(numbers, st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), max_size=10))
def test_it_is_always_finite_rising_and_uncertain(stopped, pairs) -> None:
    early, final = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    means, variances = predict_final(sorted(stopped), early, final)
    assert means.shape == variances.shape == (len(stopped),)
    assert np.isfinite(means).all()
    assert (variances >= 0.99e-8).all()
    assert (np.diff(means) >= -1e-9).all()
    assert np.isfinite(variances).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(SettingError, match="2 numbers and pairs_final 1"):
        predict_final([0.5], [0.1, 0.2], [0.3])
    with pytest.raises(SettingError, match="early holds nan"):
        predict_final([np.nan], [], [])
    with pytest.raises(SettingError, match=r"wide_sd 0\.0"):
        predict_final([], [], [], wide_sd=0.0)
