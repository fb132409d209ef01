"""The winner's curse: what the best of many noisy values is worth.

The largest of several estimates is too large on average: its noise helped it win. Andrews, Kitagawa
and McCloskey (2024), "Inference on Winners", Quarterly Journal of Economics 139, give the winner an
estimate and an interval that hold nevertheless, whatever the true values are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from bogp.analysis.checks import as_pair, check_level
from bogp.analysis.intervals import Interval
from bogp.errors import SettingError, UnknownNameError

WinnerMethod = Literal["hybrid", "conditional", "projection", "empirical Bayes"]

WINNER_METHODS = ("hybrid", "conditional", "projection")
"""What :func:`winner_interval` knows; ``"empirical Bayes"`` is :func:`~bogp.analysis.shrunken`."""

_FIRST_STEP = 0.1
"""Share of the error rate that the hybrid spends on its projection, as in the paper."""

_TIE = 1e-6
"""Two values closer than so many SDs are a tie: nothing is measured to so many digits."""


@dataclass(frozen=True)
class Winner:
    """A candidate that was chosen for its value, and what it is worth.

    Attributes:
        index: its number among the candidates.
        selected: the value for which it was chosen; it promises too much.
        corrected: the estimate of its true value, with an interval.
        method: the method that made the estimate.
    """

    index: int
    selected: float
    corrected: Interval
    method: WinnerMethod

    @property
    def optimism(self) -> float:
        """How much more the selected value promises than the corrected estimate.

        >>> winner_interval([0.98, 0.90], [0.01, 0.01]).optimism < 1e-6
        True
        """
        return self.selected - self.corrected.estimate


def winner_interval(
    values: npt.ArrayLike,
    sds: npt.ArrayLike,
    level: float = 0.95,
    *,
    method: str = "hybrid",
    winner: int | None = None,
) -> Winner:
    """Return the winner of independent normal estimates with a corrected estimate and interval.

    Each value is normal about its true value with its own SD, and the largest wins. Given that it
    won, the winner's value is a normal cut off below at the runner-up, which is inverted:

    - ``"conditional"``: the estimate is above the truth in half of all cases, and the interval
      covers it in a share ``level``, also among the cases where this candidate won. Both can lie
      far below the value where the runner-up is close.
    - ``"hybrid"`` (the default): as conditional, but held inside the projection interval of a tenth
      of the error rate, so that it is never absurdly far off. It covers at least ``level`` over all
      cases, and its estimate is above the truth in half of them, up to a twentieth of the error
      rate.
    - ``"projection"``: the interval is ``value ± c sd``, where c bounds all K errors at once
      (Sidak); the estimate is the lower bound that holds for all K at once in half of all cases.
      Both hold for any way of choosing the winner. This interval is the widest.

    Where the two best are tied, or ``winner`` is not the largest value, the law of the winner's
    value is not known, and the projection is returned whatever method was asked for; the
    ``method`` of the outcome says so.

    Args:
        values: the estimates (K,), K >= 1, such as mean validation accuracies.
        sds: their standard errors (K,), above 0, taken as known.
        level: the confidence level in (0, 1).
        method: one of :data:`WINNER_METHODS`.
        winner: the candidate that was chosen, if not by the largest value.

    Raises:
        SettingError: no values, an SD that is not above 0, or no such candidate.
        UnknownNameError: no such method.

    >>> best = winner_interval([0.975, 0.972, 0.970], [0.002, 0.002, 0.002])
    >>> best.index, round(best.corrected.estimate, 4), best.method
    (0, 0.9748, 'hybrid')
    """
    means, errors = as_pair(values, sds, ("values", "sds"))
    level = check_level(level)
    if method not in WINNER_METHODS:
        raise UnknownNameError("winner method", method, WINNER_METHODS)
    if not (errors > 0.0).all():
        raise SettingError(f"sds holds {errors.min()}: give the standard errors, each above 0")
    best = int(np.argmax(means)) if winner is None else winner
    if not 0 <= best < means.size:
        raise SettingError(f"there is no candidate {best}: give 0 to {means.size - 1}")
    others = np.delete(means, best)
    value, sd = float(means[best]), float(errors[best])
    gap = (value - float(others.max())) / sd if others.size else math.inf
    if gap < _TIE:
        method = "projection"
    solve = {"hybrid": _hybrid, "conditional": _conditional, "projection": _projection}[method]
    estimate, low, high = (value + sd * bound for bound in solve(gap, means.size, level))
    corrected = Interval(estimate, low, high, means.size, level)
    return Winner(best, value, corrected, method)  # type: ignore[arg-type]


Bounds = tuple[float, float, float]
"""Estimate, lower and upper bound of the winner's true value, in SDs from its observed value."""


def _conditional(gap: float, candidates: int, level: float) -> Bounds:
    """Invert the law of a standard normal that is cut off below at the runner-up."""

    def quantile(share: float) -> float:
        # P(X <= x | X > x - gap) = share, for a true value at `place` from x.
        def surplus(place: float) -> float:
            above = special.log_ndtr(place) - special.log_ndtr(place + gap)
            return float(above) - math.log1p(-share)

        low, high = -1.0, 40.0
        while surplus(low) > 0.0:
            low *= 2.0
        return _root(surplus, low, high)

    return _three(quantile, 1.0 - level)


def _hybrid(gap: float, candidates: int, level: float) -> Bounds:
    """Invert the law of a standard normal cut off at the runner-up and the projection interval."""
    first = _FIRST_STEP * (1.0 - level)
    reach = _sidak(first, candidates)

    def quantile(share: float) -> float:
        def surplus(place: float) -> float:
            # The value's law about a true value `place` from it: cut to place ± reach and -gap.
            return share - _cut_normal(-place, max(-gap - place, -reach), reach)

        return _root(surplus, -reach, reach)

    return _three(quantile, (1.0 - level - first) / (1.0 - first))


def _projection(gap: float, candidates: int, level: float) -> Bounds:
    """Return bounds that hold for all candidates at once (Sidak 1967, JASA 62)."""
    reach = _sidak(1.0 - level, candidates)
    return -float(stats.norm.ppf(0.5 ** (1.0 / candidates))), -reach, reach


def _three(quantile: Callable[[float], float], error: float) -> Bounds:
    """Return the true values at which the observed one is the median, and a tail, of its law."""
    return quantile(0.5), quantile(1.0 - error / 2), quantile(error / 2)


def _root(surplus: Callable[[float], float], low: float, high: float) -> float:
    """Return where an increasing function is 0, or the end at which it comes nearest."""
    if surplus(low) >= 0.0:
        return low
    if surplus(high) <= 0.0:
        return high
    return float(optimize.brentq(surplus, low, high, xtol=1e-12, rtol=1e-12))


def _cut_normal(x: float, low: float, high: float) -> float:
    """Return P(Z <= x | low <= Z <= high) of a standard normal Z, for low <= x <= high."""
    if low > 0.0:
        # By symmetry, in the tail that floats resolve.
        return 1.0 - _cut_normal(-x, -high, -low)
    below = special.ndtr(np.array([low, x, high]))
    span = float(below[2] - below[0])
    return float(below[1] - below[0]) / span if span > 0.0 else 0.0


def _sidak(error: float, candidates: int) -> float:
    """Return the bound that all of K standard normals keep within with chance 1 - error."""
    # 1 - (1 - error)^(1/K), without losing the digits of a small one.
    single = -math.expm1(math.log1p(-error) / candidates)
    return float(stats.norm.isf(single / 2))
