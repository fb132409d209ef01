"""The mathematics of two objectives, against brute force, simulation, mpmath and BoTorch."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats

from bogp.engines.tradeoff import expected_improvement, front, hypervolume, scalarised
from bogp.errors import SettingError

# Whole numbers, so that ties and duplicates are common, and fractions, so that they are not.
TABLES = st.integers(0, 12).flatmap(
    lambda n: arrays(
        np.float64,
        (n, 2),
        elements=st.one_of(st.integers(-3, 6).map(float), st.floats(-3, 6, width=32)),
    )
)
ORIGIN = (0.0, 0.0)


def dominates(a, b):
    return bool((a >= b).all() and (a > b).any())


def area(points, reference):
    """Return the dominated area cell by cell of the grid that all coordinates span."""
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    x = np.unique(np.append(points[:, 0], reference[0]))
    y = np.unique(np.append(points[:, 1], reference[1]))
    total = 0.0
    for left, right in pairwise(x):
        for low, high in pairwise(y):
            inside = left >= reference[0] and low >= reference[1]
            covered = ((points[:, 0] >= right) & (points[:, 1] >= high)).any()
            total += (right - left) * (high - low) * (inside and covered)
    return total


@given(TABLES)
def test_the_front_is_what_nothing_dominates_each_place_once(points):
    kept = front(points)
    beaten = [any(dominates(other, point) for other in points) for point in points]
    wanted = {tuple(point) for point, bad in zip(points + 0.0, beaten, strict=True) if not bad}
    assert [tuple(points[i] + 0.0) for i in kept] == sorted(wanted, key=lambda point: point[1])
    for index in kept:  # of equal points the first
        assert not (points[:index] == points[index]).all(axis=1).any()
    assert (np.diff(points[kept, 1]) > 0).all()
    assert (np.diff(points[kept, 0]) < 0).all()


@given(TABLES, st.tuples(st.integers(-4, 7), st.integers(-4, 7)))
def test_the_hypervolume_is_the_dominated_area(points, reference):
    assert hypervolume(points, reference) == pytest.approx(area(points, reference), abs=1e-9)


@given(TABLES, st.permutations(range(12)))
def test_no_order_of_the_points_matters(points, order):
    order = [index for index in order if index < len(points)]
    whole = hypervolume(points, ORIGIN)
    assert hypervolume(points[order], ORIGIN) == pytest.approx(whole, rel=1e-12)


def test_botorch_agrees_on_front_and_hypervolume():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gpytorch uses what torch calls old
        import torch
        from botorch.utils.multi_objective.hypervolume import Hypervolume
        from botorch.utils.multi_objective.pareto import is_non_dominated

    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.normal(0.5, 0.4, (40, 2)).round(1)
        tensor = torch.tensor(points, dtype=torch.float64)
        theirs = is_non_dominated(tensor, deduplicate=True).nonzero().ravel().tolist()
        assert sorted(front(points)) == theirs
        whole = Hypervolume(torch.tensor([0.1, -0.2], dtype=torch.float64)).compute(tensor)
        assert hypervolume(points, (0.1, -0.2)) == pytest.approx(whole, rel=1e-12)


def example(seed, candidates=30, size=8):
    """Return candidates around a front, the front, and a reference above some of its points."""
    rng = np.random.default_rng(seed)
    points = np.column_stack([1.0 - np.linspace(0, 1, size) ** 2, np.linspace(0.1, 0.95, size)])
    points += rng.normal(0, 0.05, points.shape)
    mean = rng.uniform(-0.2, 1.2, candidates)
    sd = rng.uniform(0.01, 0.5, candidates)
    second = rng.uniform(0.0, 1.1, candidates)
    return mean, sd, second, points, (0.2, 0.15)


@pytest.mark.parametrize("seed", range(3))
def test_the_expectation_is_the_integral_of_the_improvement(seed):
    """The improvement is measured as a difference of two hypervolumes, over the normal density."""
    mean, sd, second, points, reference = example(seed, candidates=6)
    got = expected_improvement(mean, sd, second, points, reference)
    before = area(points, reference)
    heights = np.sort(points[:, 0])
    for m, d, s, value in zip(mean, sd, second, got, strict=True):

        def gain(v, m=m, d=d, s=s):
            return (area([*points, (v, s)], reference) - before) * stats.norm.pdf(v, m, d)

        kinks = [h for h in [reference[0], *heights] if m - 9 * d < h < m + 9 * d]
        wanted, _ = integrate.quad(gain, m - 9 * d, m + 9 * d, points=kinks, limit=60)
        assert value == pytest.approx(wanted, rel=1e-6, abs=1e-10)


def test_the_expectation_is_what_simulation_gives():
    mean, sd, second, points, reference = example(7, candidates=5)
    got = expected_improvement(mean, sd, second, points, reference)
    rng, before = np.random.default_rng(1), hypervolume(points, reference)
    for m, d, s, value in zip(mean, sd, second, got, strict=True):
        draws = [hypervolume([*points, (v, s)], reference) - before for v in rng.normal(m, d, 2000)]
        assert abs(np.mean(draws) - value) <= 4.5 * np.std(draws) / 2000**0.5 + 1e-12


def test_botorch_agrees_on_the_expectation():
    """Their exact EHVI for independent objectives, with almost no spread in the second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
        from botorch.utils.multi_objective.box_decompositions.non_dominated import (
            NondominatedPartitioning,
        )
        from botorch.utils.testing import MockModel, MockPosterior

        mean, sd, second, points, reference = example(3)
        floor = torch.tensor(reference, dtype=torch.float64)
        split = NondominatedPartitioning(floor, Y=torch.tensor(points, dtype=torch.float64))
        theirs = []
        for m, d, s in zip(mean, sd, second, strict=True):
            posterior = MockPosterior(
                mean=torch.tensor([[[m, s]]], dtype=torch.float64),
                variance=torch.tensor([[[d**2, 1e-18]]], dtype=torch.float64),
            )
            acquisition = ExpectedHypervolumeImprovement(
                MockModel(posterior), list(reference), split
            )
            theirs.append(float(acquisition(torch.zeros(1, 1, 1, dtype=torch.float64))))
    got = expected_improvement(mean, sd, second, points, reference)
    np.testing.assert_allclose(got, theirs, rtol=1e-6, atol=1e-8)


def test_no_uncertainty_is_a_difference_of_hypervolumes():
    mean, _, second, points, reference = example(5, candidates=40)
    got = expected_improvement(mean, 0.0, second, points, reference)
    before = hypervolume(points, reference)
    for m, s, value in zip(mean, second, got, strict=True):
        wanted = hypervolume([*points, (m, s)], reference) - before
        assert value == pytest.approx(wanted, abs=1e-12)


@given(st.integers(0, 10_000), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_better_candidate_never_adds_less_and_a_better_front_leaves_less(seed, value, second):
    mean, sd, seconds, points, reference = example(seed)
    slack = 1e-12
    base = expected_improvement(mean, sd, seconds, points, reference)
    higher = expected_improvement(mean + value, sd, seconds, points, reference)
    wider = expected_improvement(mean, sd + value, seconds, points, reference)
    sparser = expected_improvement(mean, sd, seconds + second, points, reference)
    more = [*points, (0.5 + value, 0.5 + second)]
    left = expected_improvement(mean, sd, seconds, more, reference)
    assert (base >= 0).all()
    for better in (higher, wider, sparser):
        assert (better >= base - slack).all()
    assert (left <= base + slack).all()


def test_dominated_points_and_an_empty_front():
    mean, sd, second, points, reference = example(2)
    more = [*points, *(points - 0.1), (reference[0] - 1, 0.99), (2.0, reference[1])]
    np.testing.assert_array_equal(
        expected_improvement(mean, sd, second, points, reference),
        expected_improvement(mean, sd, second, more, reference),
    )
    alone = expected_improvement(mean, sd, second, [], reference)
    z = (mean - reference[0]) / sd
    one = (mean - reference[0]) * stats.norm.cdf(z) + sd * stats.norm.pdf(z)
    np.testing.assert_allclose(alone, one * np.maximum(second - reference[1], 0), rtol=1e-10)
    assert hypervolume([], ORIGIN) == 0
    assert len(front([])) == 0


ALPHAS = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 80)])


@given(TABLES.filter(len))
def test_the_scalarised_winner_is_the_best_and_on_the_front(points):
    kept = front(points).tolist()
    for alpha in ALPHAS:
        scores, winner = points[:, 0] + alpha * points[:, 1], scalarised(points, alpha)
        assert scores[winner] >= scores.max() - 1e-9 * (1 + alpha)
        assert winner in kept


def test_of_equal_scores_the_higher_value_wins_and_then_the_higher_second():
    line = [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    assert scalarised(line, 1.0) == 0
    assert scalarised([[1.0, 0.2], [1.0, 0.5]], 0.0) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: front([1.0, 2.0, 3.0]), r"points have shape \(3,\)"),
        (lambda: hypervolume([[1.0, np.nan]], ORIGIN), "points hold nan"),
        (lambda: hypervolume([[1.0, 1.0]], (0.0, np.inf)), "reference .* no pair of finite"),
        (lambda: expected_improvement([0, 1], [1, 1, 1], 0.5, [], ORIGIN), r"\(2,\), \(3,\)"),
        (lambda: expected_improvement(0, -0.1, 0.5, [], ORIGIN), "sd holds -0.1"),
        (lambda: expected_improvement(np.inf, 1, 0.5, [], ORIGIN), "mean holds inf"),
        (lambda: scalarised([[1.0, 1.0]], -0.5), "alpha -0.5"),
        (lambda: scalarised([], 0.5), "no point to choose from"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, words):
    with pytest.raises(SettingError, match=words):
        call()
