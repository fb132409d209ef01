"""Variance between groups by restricted maximum likelihood (Patterson and Thompson 1971).

Two models: unequal numbers of values whose common noise is estimated too (:class:`OneWay`), and one
value of each group with known noise (:func:`between_variance`). Both likelihoods may have several
maxima, so that a grid is searched first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from bogp.types import Floats

_MOST = 1.0 - 1e-9
"""The largest share of variance between groups that is tried."""

_LEAST = 1e-6
"""The least ratio of within to between variance that is tried."""

_SHARES = np.concatenate(([0.0], 1.0 / (1.0 + np.geomspace(1.0 / _LEAST, _LEAST, 97))))
"""Shares of variance between groups among which the maximum is looked for first."""

Bounds = tuple[float, float]


@dataclass(frozen=True, eq=False)
class OneWay:
    """All that the likelihood needs of the values of K groups.

    Sums are NumPy's own, not BLAS's, whose last digit can depend on the number of threads.

    Attributes:
        counts: the number of values of each group (K,).
        means: their means (K,).
        within_squares: the sum of squares about these means, 0 where that is rounding or too little
            beside the spread of the means for the likelihood's numbers.
    """

    counts: Floats
    means: Floats
    within_squares: float

    @classmethod
    def of(cls, groups: Sequence[Floats]) -> OneWay:
        """Return the sums of the values of each group."""
        means = np.array([group.mean() for group in groups])
        inside = sum(
            float(((group - mean) ** 2).sum()) for group, mean in zip(groups, means, strict=True)
        )
        # Means of equal floats differ in the last digit: such a remainder is no variance.
        noise = (1e-14 * max(float(np.abs(group).max()) for group in groups)) ** 2
        counts = np.array([group.size for group in groups], np.float64)
        between = _LEAST * float(means.var(ddof=1)) * (counts.sum() - means.size)
        return cls(counts, means, inside if inside > max(noise * counts.sum(), between) else 0.0)

    def mean(self, ratio: float) -> float:
        """Return the best linear estimate of the mean at a ratio of between to within variance."""
        weights = self.counts / (1.0 + ratio * self.counts)
        return float((weights * self.means).sum() / weights.sum())

    def spread(self, ratio: float) -> float:
        """Return the weighted sum of squares of the means, in units of within variance."""
        weights = self.counts / (1.0 + ratio * self.counts)
        return float((weights * (self.means - self.mean(ratio)) ** 2).sum())

    def loss(self, share: Floats, within: Floats | None = None) -> Floats:
        """Return -2 log restricted likelihood, up to a constant.

        Args:
            share: the share of variance between groups (P,) in [0, 1), which is the ICC.
            within: the variance over seeds (P,); the best one for each share if None.
        """
        ratio, size = (share / (1.0 - share))[:, None], float(self.counts.sum())
        weights = self.counts / (1.0 + ratio * self.counts)
        totals = weights.sum(axis=1)
        away = self.means - ((weights * self.means).sum(axis=1) / totals)[:, None]
        squares = self.within_squares + (weights * away**2).sum(axis=1)
        within = squares / (size - 1.0) if within is None else within
        shape = np.log1p(ratio * self.counts).sum(axis=1) + np.log(totals)
        return np.asarray((size - 1.0) * np.log(within) + squares / within + shape)


@dataclass(frozen=True)
class RestrictedMaximum:
    """The maximum of the likelihood and its profile intervals, as variances.

    Attributes:
        ratio: between / within variance at the maximum.
        within: the within variance there.
        share_bounds: the interval of the ICC.
        between_bounds: the interval of the variance between groups.
        within_bounds: the interval of the variance within groups.
        gain: twice the log likelihood won over groups that are all alike.
    """

    ratio: float
    within: float
    share_bounds: Bounds
    between_bounds: Bounds
    within_bounds: Bounds
    gain: float


def restricted_maximum(data: OneWay, level: float) -> RestrictedMaximum:
    """Return the maximum and its profile intervals; ``within_squares`` must be above 0."""
    share, least = _minimum(data.loss, _SHARES)
    ratio, size = share / (1.0 - share), float(data.counts.sum())
    within = (data.within_squares + data.spread(ratio)) / (size - 1.0)
    between = ratio * within
    limit = least + float(stats.chi2.ppf(level, 1))
    # Whatever the between variance is, the best within variance is in this range.
    most = (data.within_squares + data.spread(0.0)) / (size - len(data.counts))
    log_withins = np.linspace(math.log(data.within_squares / size) - 1.0, math.log(most) + 1.0, 49)

    def share_excess(share: float) -> float:
        return float(data.loss(np.array([share]))[0]) - limit

    def within_excess(log_within: float) -> float:
        fixed = np.array([math.exp(log_within)])
        return _minimum(lambda shares: data.loss(shares, fixed), _SHARES)[1] - limit

    def between_excess(log_between: float) -> float:
        def loss(log_within: Floats) -> Floats:
            # Up to the largest share: beyond it the numbers overflow.
            share = 1.0 / (1.0 + np.exp(np.minimum(log_within - log_between, 700.0)))
            return data.loss(np.minimum(share, _MOST), np.exp(log_within))

        return _minimum(loss, log_withins)[1] - limit

    high = _MOST if share_excess(_MOST) < 0.0 else _cross(share_excess, share, _MOST)
    low = 0.0 if share_excess(0.0) <= 0.0 else _cross(share_excess, 0.0, share)
    start = math.log(within)
    within_bounds = (_walk(within_excess, start, -0.5), _walk(within_excess, start, 0.5))
    # From the maximum, or, where that is at 0, from a spread too small to matter.
    centre = math.log(between) if between > 0.0 else math.log(within) - 16.0
    smallest = 0.0 if low == 0.0 else math.exp(_walk(between_excess, centre, -0.5))
    largest = math.exp(_walk(between_excess, centre, 0.5))
    return RestrictedMaximum(
        ratio=ratio,
        within=within,
        share_bounds=(low, high),
        between_bounds=(smallest, largest),
        within_bounds=(math.exp(within_bounds[0]), math.exp(within_bounds[1])),
        gain=max(0.0, share_excess(0.0) + limit - least),
    )


def between_variance(values: Floats, noise: Floats) -> float:
    """Return the variance of the true values behind ``values`` (K,), at least 0.

    The maximum over A >= 0 of the likelihood of all contrasts of ``values``, which are normal with
    variances ``noise`` + A.

    >>> round(between_variance(np.array([3.0, 1.0, 0.0, -1.0, -3.0]), np.ones(5)), 6)
    4.0
    """
    # No maximum is above the spread of the values, at which every term of the slope is positive.
    most = values.size * float(np.var(values)) + 1e-300

    def loss(between: float) -> float:
        weights = 1.0 / (noise + between)
        total = float(weights.sum())
        mean = float((weights * values).sum()) / total
        squares = float((weights * (values - mean) ** 2).sum())
        return squares - float(np.log(weights).sum()) + math.log(total)

    def losses(points: Floats) -> Floats:
        return np.array([loss(float(point)) for point in points])

    grid = np.concatenate(([0.0], np.geomspace(1e-6, 1.0, 61) * most))
    return _minimum(losses, grid, 1e-9 * most)[0]


def _minimum(
    loss: Callable[[Floats], Floats], grid: Floats, tolerance: float | None = None
) -> tuple[float, float]:
    """Return where a function (P,) -> (P,) is least on the range of a grid, and its value there.

    The place is found to ``tolerance``, by default a ten-millionth of the steps beside the best.
    """
    losses = loss(grid)
    best = int(np.argmin(losses))
    ends = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)])
    found = optimize.minimize_scalar(
        lambda point: float(loss(np.array([point]))[0]),
        bounds=ends,
        method="bounded",
        options={"xatol": 1e-7 * (ends[1] - ends[0]) if tolerance is None else tolerance},
    )
    if float(found.fun) < losses[best]:
        return float(found.x), float(found.fun)
    return float(grid[best]), float(losses[best])


def _cross(excess: Callable[[float], float], low: float, high: float) -> float:
    """Return where the profile meets the limit between two points on either side of it."""
    return float(optimize.brentq(excess, low, high, xtol=1e-9))


def _walk(excess: Callable[[float], float], start: float, step: float) -> float:
    """Return where the profile meets the limit, looking from ``start`` in steps that double."""
    inner, outer = start, start + step
    while excess(outer) < 0.0 and abs(outer - start) < 600.0:
        inner, step = outer, 2.0 * step
        outer = start + step
    return _cross(excess, min(inner, outer), max(inner, outer)) if excess(outer) > 0.0 else outer
