from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from bogp.analysis import shrunken
from bogp.analysis.restricted_likelihood import between_variance
from bogp.errors import SettingError

# The trials of BCG vaccine (Colditz et al. 1994): log relative risks and their variances.
BCG = (
    [-0.8893, -1.5854, -1.3481, -1.4416, -0.2175, -0.7861, -1.6209, 0.0120, -0.4694, -1.3713,
     -0.3394, 0.4459, -0.0173],
    [0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230, 0.0040, 0.0564, 0.0730, 0.0124,
     0.5325, 0.0714],
)  # fmt: skip


def test_the_published_baseball_averages() -> None:
    # Efron and Morris (1977), "Stein's Paradox in Statistics": hits of 18 players in 45 at bats;
    # shrinking factor 0.212, and estimates .294, .289 and .242 for those of .400, .378 and .156.
    hits = np.array([18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7])
    averages = hits / 45
    noise = averages.mean() * (1 - averages.mean()) / 45
    found = shrunken(averages, np.full(18, noise))
    assert 1 - found.shrinkage[0] == pytest.approx(0.212, abs=5e-4)
    assert found.estimates[[0, 1, 17]] == pytest.approx([0.294, 0.289, 0.242], abs=5e-4)


def test_the_published_between_variance_of_unequal_studies() -> None:
    # Restricted maximum likelihood: tau^2 = 0.3132, pooled -0.7145 (Viechtbauer 2010, JSS 36(3)).
    values, noise = (np.array(column) for column in BCG)
    assert between_variance(values, noise) == pytest.approx(0.3132, abs=2e-4)
    assert shrunken(values, noise).mean == pytest.approx(-0.7145, abs=2e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_the_between_variance_is_the_global_maximum(count: int, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.05, 3.0, count)
    values = spread * rng.normal(size=count) + np.sqrt(noise) * rng.normal(size=count)
    # The likelihood of contrasts, from the covariance matrix itself.
    contrasts = np.linalg.qr(np.column_stack([np.ones(count), np.eye(count)[:, 1:]]))[0][:, 1:]
    seen = contrasts.T @ values

    def loss(between: float) -> float:
        covariance = contrasts.T @ np.diag(noise + between) @ contrasts
        return float(np.linalg.slogdet(covariance)[1] + seen @ np.linalg.solve(covariance, seen))

    found = between_variance(values, noise)
    brute = optimize.brute(lambda a: loss(float(a[0])), ((0.0, 60.0),), Ns=1000, finish=None)
    assert loss(found) <= loss(float(brute)) + 1e-7


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 20), st.integers(0, 10_000), st.floats(0.1, 3.0))
def test_alike_noise_gives_the_positive_part_of_james_and_stein(count, seed, sd) -> None:
    values = np.random.default_rng(seed).normal(0, 2.0, count)
    found = shrunken(values, np.full(count, sd**2))
    squares = float(((values - values.mean()) ** 2).sum())
    factor = min((count - 3) * sd**2 / squares, (count - 3) / (count - 1))
    expected = values.mean() + (1 - factor) * (values - values.mean())
    assert found.estimates == pytest.approx(expected, rel=1e-5, abs=1e-6)


def simulate(count: int, between: float, repeats: int = 400):
    rng = np.random.default_rng(11)
    error, naive, own, every = [], [], [], []
    for _ in range(repeats):
        noise = 1.0 / rng.integers(1, 5, count)
        truth = between * rng.normal(size=count)
        values = truth + np.sqrt(noise) * rng.normal(size=count)
        found = shrunken(values, noise)
        best, highest = found.corrected(), int(np.argmax(values))
        true = truth[best.index]
        error.append(best.corrected.estimate - true)
        own.append(best.corrected.low <= true <= best.corrected.high)
        naive.append(values[highest] - truth[highest])
        every.append((np.abs(found.estimates - truth) <= 1.96 * found.sds).mean())
    return np.mean(error), np.mean(naive), np.mean(own), np.mean(every)


@pytest.mark.parametrize("between", [0.5, 1.0])
def test_the_winner_is_promised_what_it_delivers(between: float) -> None:
    error, naive, own, every = simulate(20, between)
    assert naive > 0.6
    assert -0.05 < error < 0.15 * naive
    assert 0.915 < own < 0.98
    assert 0.925 < every < 0.98


def test_where_all_are_alike_nearly_all_of_the_lead_is_taken_back() -> None:
    error, naive, own, _ = simulate(60, 0.0)
    assert naive > 1.5
    assert -0.05 < error < 0.15 * naive
    assert own > 0.95


def test_seeds_given_for_a_good_first_value_do_not_mislead() -> None:
    rng = np.random.default_rng(5)
    error, spread = [], []
    for _ in range(300):
        truth = 0.7 * rng.normal(size=40)
        values, noise = truth + rng.normal(size=40), np.ones(40)
        for best in np.argsort(-values)[:8]:
            more = truth[best] + rng.normal(size=3)
            values[best], noise[best] = (values[best] + more.sum()) / 4, 0.25
        found = shrunken(values, noise)
        best = found.corrected()
        error.append(best.corrected.estimate - truth[best.index])
        spread.append(found.between_sd**2)
    assert abs(np.mean(error)) < 0.08
    assert np.mean(spread) == pytest.approx(0.49, abs=0.06)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 15), st.integers(0, 10_000))
def test_estimates_lie_between_value_and_mean_and_units_are_free(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, noise = rng.normal(size=count), rng.uniform(0.1, 2.0, count)
    found = shrunken(values, noise)
    low, high = np.minimum(values, found.mean), np.maximum(values, found.mean)
    assert ((low - 1e-9 <= found.estimates) & (found.estimates <= high + 1e-9)).all()
    assert ((found.shrinkage >= 0) & (found.shrinkage <= 1)).all()
    assert (found.sds > 0).all()
    assert found.corrected().index == int(np.argmax(found.estimates))
    scaled = shrunken(0.9 + 0.01 * values, 1e-4 * noise)
    assert scaled.estimates == pytest.approx(0.9 + 0.01 * found.estimates, abs=1e-7)
    assert scaled.sds == pytest.approx(0.01 * found.sds, rel=1e-4)


def test_three_candidates_say_nothing_of_their_spread() -> None:
    for count in (1, 2, 3):
        values = np.arange(count, dtype=float)
        found = shrunken(values, np.full(count, 0.25))
        assert found.estimates.tolist() == values.tolist()
        assert found.shrinkage.tolist() == [0.0] * count
        assert found.sds.tolist() == [0.5] * count
    assert found.corrected(0).selected == 0.0


def test_equal_values_are_their_mean() -> None:
    found = shrunken([0.9] * 6, [0.01] * 6)
    assert found.estimates == pytest.approx([0.9] * 6)
    assert found.between_sd == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(SettingError, match=r"variances holds 0\.0"):
        shrunken([1.0, 2.0], [1.0, 0.0])
    with pytest.raises(SettingError, match="2 numbers and variances 1"):
        shrunken([1.0, 2.0], [1.0])
