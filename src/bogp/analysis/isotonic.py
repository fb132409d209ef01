"""Whether a metric is a monotonic function of a property."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from bogp.analysis.checks import as_pair, is_constant, levels
from bogp.types import Floats


@dataclass(frozen=True)
class Monotonicity:
    """The outcome of :func:`monotonicity`; the R² are None where ``x`` or ``y`` is constant.

    Attributes:
        direction: which way the better isotonic fit goes; None where nothing varies.
        same_way: the share of changes of the mean of ``y`` between neighbouring levels of ``x``
            that go the more frequent way, 1 for a strictly monotonic sequence of means.
        levels: the number of distinct values of ``x``.
        count: the number of points.
        linear_r2: R² of the straight line.
        isotonic_r2: R² of the best monotonic function, at least ``linear_r2``.
        ceiling_r2: R² of the means of the levels, the most that any function of ``x`` reaches
            (eta squared); isotonic_r2 / ceiling_r2 is the share of it that is monotonic.
    """

    direction: Literal["increasing", "decreasing"] | None
    same_way: float | None
    levels: int
    count: int
    linear_r2: float | None
    isotonic_r2: float | None
    ceiling_r2: float | None


def monotonicity(x: npt.ArrayLike, y: npt.ArrayLike) -> Monotonicity:
    """Measure how near ``y`` is to a monotonic function of ``x``.

    R² = 1 - residual / total sum of squares, of three fits that hold one another: a line, an
    isotonic regression (increasing or decreasing, the better; Barlow et al. 1972), and the mean
    at each level of ``x``. The isotonic fit always gains some R² from noise: read it beside the
    permutation p of :func:`~bogp.analysis.rank_correlation`.

    Args:
        x: values (N,), N >= 3; values within rounding of each other are one level.
        y: values (N,).

    Raises:
        SettingError: unequal lengths, fewer than 3 points, or a value that is not finite.

    >>> curve = monotonicity([1, 2, 3, 4], [0.0, 5.0, 5.5, 5.6])
    >>> curve.direction, curve.same_way, curve.isotonic_r2
    ('increasing', 1.0, 1.0)
    """
    left, right = as_pair(x, y, ("x", "y"), least=3)
    level = levels(left)
    distinct = int(level.max()) + 1
    if is_constant(left) or is_constant(right):
        return Monotonicity(None, None, distinct, left.size, None, None, None)
    weights = np.bincount(level).astype(np.float64)
    means = np.bincount(level, weights=right) / weights
    total = float(((right - right.mean()) ** 2).sum())

    def r2(fitted: Floats) -> float:
        return min(1.0, max(0.0, 1.0 - float(((right - fitted) ** 2).sum()) / total))

    rising = r2(isotonic_regression(means, weights=weights).x[level])
    falling = r2(isotonic_regression(means, weights=weights, increasing=False).x[level])
    changes = np.diff(means)
    same = max(np.count_nonzero(changes > 0), np.count_nonzero(changes < 0)) / changes.size
    slope = np.polynomial.Polynomial.fit(left, right, 1)
    return Monotonicity(
        direction="increasing" if rising >= falling else "decreasing",
        same_way=float(same),
        levels=distinct,
        count=left.size,
        linear_r2=r2(slope(left)),
        isotonic_r2=max(rising, falling),
        ceiling_r2=r2(means[level]),
    )
