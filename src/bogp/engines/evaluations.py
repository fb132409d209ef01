"""What was told of a pool's candidates, summed up for the surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bogp.types import Floats

LIMIT = 5.0
"""Robust standard deviations beyond which a low value is drawn in."""

LEAST_VARIANCE = 1e-6
"""Least known variance of a standardised value: below it a factor loses its digits."""

_TWO_PI = 2.0 * np.pi
_TO_SD = 1.4826  # from the median absolute deviation to the standard deviation of a normal


@dataclass(frozen=True)
class Evaluation:
    """One told value of a candidate; variance None means the noise of one evaluation."""

    index: int
    value: float
    variance: float | None = None


@dataclass(frozen=True)
class Scaling:
    """From values to the numbers that the surrogate sees: ``(value - centre) / scale``.

    ``allowance`` is how far below the best a value may lie before it is drawn in to that
    distance; None where nothing ever is.
    """

    centre: float = 0.0
    scale: float = 1.0
    allowance: float | None = None


@dataclass(frozen=True)
class Sums:
    """The evaluations of each candidate, standardised: all that the likelihood needs of them.

    Known variances enter as weights 1 / variance; the others share one variance, which may still
    be unknown.
    """

    rows: npt.NDArray[np.int64]  # (n,) candidates, in the order of their first evaluations
    count: Floats  # (n,) evaluations whose variance is the noise of one
    total: Floats  # (n,) the sum of their values
    square: Floats  # (n,) the sum of their squares
    weight: Floats  # (n,) sum of the weights of those whose variance is known
    weighted: Floats  # (n,) sum of their weighted values
    weighted_square: Floats  # (n,) sum of their weighted squares
    log_variance: Floats  # (n,) sum of their log(2 pi variance)


def scaling(evaluations: Sequence[Evaluation], second: Floats | None = None) -> Scaling:
    """Return centre and scale of the values, and how low one may lie before it is drawn in.

    A network that collapsed says 0.1 among values of 0.95 that differ by 0.002. Standardised as
    they are, all but one would be equal. What lies more than five robust standard deviations (from
    the median absolute deviation) further below the best than the median does is therefore moved
    up to that limit, in the eyes of the surrogate only: that the candidate is bad remains, how bad
    does not. High values are never moved.

    With a known second objective (N,) the best is that of the candidates which are at least as
    high in the second, so that the front is never touched.

    >>> values = [0.95, 0.951, 0.949, 0.952, 0.1]
    >>> found = scaling([Evaluation(index, value) for index, value in enumerate(values)])
    >>> found.allowance is not None and found.allowance < 0.02
    True
    """
    if not evaluations:
        return Scaling()
    allowance = _allowance(_shortfalls(evaluations, second))
    drawn = drawn_in(evaluations, allowance, second)
    means = list(_means(evaluations, drawn).values())
    centre = float(np.mean(means))
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
    equal = spread <= 1e-12 * max(abs(value) for value in drawn)
    return Scaling(centre, 1.0 if equal else spread, allowance)


def drawn_in(
    evaluations: Sequence[Evaluation], allowance: float | None, second: Floats | None = None
) -> list[float]:
    """Return the values, those too far below the best moved up to the allowance."""
    values = [evaluation.value for evaluation in evaluations]
    if allowance is None:
        return values
    short = _shortfalls(evaluations, second)
    return [value + max(0.0, below - allowance) for value, below in zip(values, short, strict=True)]


def sums(evaluations: Sequence[Evaluation], scale: Scaling, second: Floats | None = None) -> Sums:
    """Return the sums over the standardised evaluations of each candidate."""
    values = drawn_in(evaluations, scale.allowance, second)
    place: dict[int, int] = {}
    for evaluation in evaluations:
        place.setdefault(evaluation.index, len(place))
    table = np.zeros((7, len(place)))
    for evaluation, value in zip(evaluations, values, strict=True):
        column, y = place[evaluation.index], (value - scale.centre) / scale.scale
        if evaluation.variance is None:
            table[:3, column] += (1.0, y, y * y)
        else:
            variance = max(evaluation.variance / scale.scale**2, LEAST_VARIANCE)
            table[3:, column] += (
                1 / variance,
                y / variance,
                y * y / variance,
                np.log(_TWO_PI * variance),
            )
    return Sums(np.array(list(place), dtype=np.int64), *table)


def raw_means(evaluations: Sequence[Evaluation]) -> dict[int, float]:
    """Return the plain mean of each candidate's values.

    >>> raw_means([Evaluation(3, 1.0), Evaluation(5, 4.0), Evaluation(3, 2.0)])
    {3: 1.5, 5: 4.0}
    """
    return _means(evaluations, [evaluation.value for evaluation in evaluations])


def _means(evaluations: Sequence[Evaluation], values: Sequence[float]) -> dict[int, float]:
    """Return the mean of the values of each candidate, in the order of first evaluations."""
    found: dict[int, list[float]] = {}
    for evaluation, value in zip(evaluations, values, strict=True):
        found.setdefault(evaluation.index, []).append(value)
    return {index: float(np.mean(own)) for index, own in found.items()}


def _shortfalls(evaluations: Sequence[Evaluation], second: Floats | None) -> Floats:
    """Return how far each value is below the best of those at least as high in the second."""
    means = raw_means(evaluations)
    indices, best = list(means), np.array(list(means.values()))
    if second is None:
        highest = dict.fromkeys(indices, float(best.max()))
    else:
        highest = {i: float(best[second[indices] >= second[i]].max()) for i in indices}
    return np.array([max(0.0, highest[one.index] - one.value) for one in evaluations])


def _allowance(short: Floats) -> float | None:
    if len(short) < 3:
        return None
    middle = float(np.median(short))
    deviations = np.abs(short - middle)
    typical = float(np.median(deviations))
    if typical == 0.0:  # more than half are equal
        others = deviations[deviations > 0]
        typical = float(np.median(others)) if len(others) else 0.0
    return middle + LIMIT * _TO_SD * typical if typical > 0.0 else None
