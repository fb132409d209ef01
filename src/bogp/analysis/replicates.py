"""Variance between candidates and between seeds, where not all have equally many seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from bogp.analysis.checks import Vector, as_vector, check_level
from bogp.analysis.intervals import Interval
from bogp.analysis.likelihood import OneWay, components
from bogp.analysis.variance import seeds_needed, variance_components
from bogp.errors import SettingError, UnknownNameError

ComponentMethod = Literal["balanced", "likelihood", "anova"]

COMPONENT_METHODS = ("likelihood", "anova")
"""What :func:`replicate_components` knows; tables without gaps are ``"balanced"`` in both."""


@dataclass(frozen=True)
class ReplicateComponents:
    """The outcome of :func:`replicate_components`.

    Attributes:
        candidates: the number of candidates.
        replicated: how many of them have two values or more.
        values: the number of values in all.
        mean: the mean of the candidates' true values.
        between_sd: the SD of the candidates' true values.
        within_sd: the SD of one candidate's values over seeds.
        between_interval: the interval of ``between_sd``, 0 at the least.
        within_interval: the interval of ``within_sd``.
        icc: the share of one value's variance that is between candidates, with its interval, all
            cut off at 0; None where nothing varies at all.
        p_value: of the hypothesis that all candidates are alike; None where nothing varies.
        method: ``"balanced"`` (exact), ``"likelihood"`` or ``"anova"``.
    """

    candidates: int
    replicated: int
    values: int
    mean: float
    between_sd: float
    within_sd: float
    between_interval: Interval
    within_interval: Interval
    icc: Interval | None
    p_value: float | None
    method: ComponentMethod

    def seeds_needed(self, reliability: float = 0.8) -> int | None:
        """Return the seeds a candidate that make means of this reliability.

        None where the candidates do not differ (:func:`bogp.analysis.seeds_needed`).
        """
        return seeds_needed(self.between_sd, self.within_sd, reliability)


def replicate_components(
    values: Sequence[npt.ArrayLike], level: float = 0.95, *, method: str = "likelihood"
) -> ReplicateComponents:
    """Split the variance of values into that between candidates and that between seeds.

    The one-way random effects model y_ij = mu + a_i + e_ij with n_i values of candidate i.

    - All n_i alike: the exact analysis of :func:`~bogp.analysis.variance_components`.
    - ``"likelihood"`` (the default): restricted maximum likelihood with intervals of the profile
      likelihood (approximate: chi-square with 1 degree of freedom) and the likelihood-ratio p of
      Self and Liang (1987), JASA 82. The one to use on a search, where a candidate was given more
      seeds for its first value: likelihood does not mind how the data chose what to measure next
      (Rubin 1976, Biometrika 63), while mean squares do. With 60 candidates, 10 of them replicated
      for being best, of between- and within-variance 0.04 and 0.09, mean squares give 0.022 and
      0.120 on average.
    - ``"anova"``: mean squares with n_0 = (N - sum n_i^2 / N)/(k - 1) (Searle, Casella and
      McCulloch 1992, "Variance Components", chapter 3), with the exact interval of the ICC of Wald
      (1940), Annals of Mathematical Statistics 11, and the exact F test. For numbers of values
      that were settled beforehand. The interval of ``between_sd`` is Williams's, with Wald's
      quadratic form in the place of the mean square.

    Args:
        values: the values of each candidate, one or more each, of two candidates or more; one at
            least has two.
        level: the confidence level in (0, 1).
        method: ``"likelihood"`` or ``"anova"``.

    Raises:
        SettingError: fewer than two candidates, none of them replicated, a candidate without a
            value, a value that is not finite, or a level out of range.
        UnknownNameError: no such method.

    >>> parts = replicate_components([[1.0, 2.0], [5.0, 6.0, 5.5], [9.0]])
    >>> round(parts.within_sd, 3), parts.replicated, parts.seeds_needed()
    (0.578, 2, 1)
    """
    level = check_level(level)
    if method not in COMPONENT_METHODS:
        raise UnknownNameError("method", method, COMPONENT_METHODS)
    groups = [as_vector(group, f"candidate {k}'s values") for k, group in enumerate(values)]
    counts = np.array([group.size for group in groups])
    if len(groups) < 2:
        raise SettingError(f"{len(groups)} candidates have no spread: give at least 2")
    if counts.max() < 2:
        raise SettingError(
            f"none of the {len(groups)} candidates has a second seed: replicate one at least"
        )
    if (counts == counts[0]).all():
        return _balanced(np.stack(groups), level)
    one_way = OneWay.of(groups)
    # Without spread inside candidates the likelihood has no maximum, and mean squares are exact.
    if method == "likelihood" and one_way.inside > 0.0:
        return _likelihood(one_way, level)
    return _anova(one_way, level)


def _balanced(table: Vector, level: float) -> ReplicateComponents:
    parts = variance_components(table, level)
    return ReplicateComponents(
        candidates=parts.groups,
        replicated=parts.groups,
        values=table.size,
        mean=parts.mean,
        between_sd=parts.between_sd,
        within_sd=parts.within_sd,
        between_interval=parts.between_interval,
        within_interval=parts.within_interval,
        icc=parts.icc,
        p_value=parts.p_value,
        method="balanced",
    )


def _likelihood(data: OneWay, level: float) -> ReplicateComponents:
    found = components(data, level)
    candidates, size = len(data.counts), int(data.counts.sum())
    between, share = found.ratio * found.within, found.ratio / (1.0 + found.ratio)
    low, high = found.share_bounds
    return ReplicateComponents(
        candidates=candidates,
        replicated=int((data.counts > 1).sum()),
        values=size,
        mean=data.mean(found.ratio),
        between_sd=math.sqrt(between),
        within_sd=math.sqrt(found.within),
        between_interval=_roots(between, found.between_bounds, candidates, level),
        within_interval=_roots(found.within, found.within_bounds, size, level),
        icc=Interval(share, low, high, candidates, level),
        p_value=0.5 * float(stats.chi2.sf(found.gain, 1)) if found.gain > 0.0 else 1.0,
        method="likelihood",
    )


def _anova(data: OneWay, level: float) -> ReplicateComponents:
    counts, size, candidates = data.counts, float(data.counts.sum()), len(data.counts)
    df1, df2 = candidates - 1, int(size) - candidates
    typical = (size - float((counts**2).sum()) / size) / df1
    msb, msw = data.spread(0.0) / df1, data.inside / df2
    # Equal means differ in the last digit too.
    msb = 0.0 if msw == 0.0 and msb <= (1e-14 * float(np.abs(data.means).max())) ** 2 else msb
    between, tails = max(0.0, msb - msw) / typical, (0.5 + level / 2, 0.5 - level / 2)
    ratios = [_wald_ratio(data, float(stats.f.ppf(tail, df1, df2))) for tail in tails]
    low, high = (
        _between_bound(data, ratio, tail, df1, df2)
        for ratio, tail in zip(ratios, tails, strict=True)
    )
    within = [data.inside / float(stats.chi2.ppf(tail, df2)) for tail in tails]
    share = between / (between + msw) if between + msw > 0.0 else None
    f_statistic = msb / msw if msw > 0.0 else math.inf
    return ReplicateComponents(
        candidates=candidates,
        replicated=int((counts > 1).sum()),
        values=int(size),
        mean=float(data.means.mean()),
        between_sd=math.sqrt(between),
        within_sd=math.sqrt(msw),
        between_interval=_roots(between, (low, high), candidates, level),
        within_interval=_roots(msw, (within[0], within[1]), int(size), level),
        icc=None if share is None else _share_interval(share, ratios, candidates, level),
        p_value=None if share is None else float(stats.f.sf(f_statistic, df1, df2)),
        method="anova",
    )


def _roots(variance: float, bounds: tuple[float, float], count: int, level: float) -> Interval:
    """Return the interval of an SD from that of its square."""
    low, high = (math.sqrt(bound) for bound in bounds)
    return Interval(math.sqrt(variance), low, high, count, level)


def _wald_ratio(data: OneWay, quantile: float) -> float:
    """Return the ratio of variances at which Wald's F has this value: 0 at the least."""
    wanted = quantile * (len(data.counts) - 1) * data.inside
    wanted /= float(data.counts.sum()) - len(data.counts)

    def surplus(share: float) -> float:
        return data.spread(share / (1.0 - share)) - wanted

    if wanted <= 0.0:
        return math.inf
    if surplus(0.0) <= 0.0:
        return 0.0
    # The spread falls to 0 as the ratio grows; 1 - 1e-12 stands for no bound.
    share = float(optimize.brentq(surplus, 0.0, 1.0 - 1e-12)) if surplus(1 - 1e-12) < 0.0 else 1.0
    return share / (1.0 - share) if share < 1.0 else math.inf


def _between_bound(data: OneWay, ratio: float, tail: float, df1: int, df2: int) -> float:
    """Return the bound of the between-candidate variance that belongs to a bound of the ratio.

    Williams (1962), Biometrika 49: where the chi-square of the means meets the exact F.
    """
    chi = float(stats.chi2.ppf(tail, df1))
    if data.inside == 0.0:
        return float(((data.means - data.means.mean()) ** 2).sum()) / chi
    within = df1 * float(stats.f.ppf(tail, df1, df2)) * data.inside / df2 / chi
    return ratio * within


def _share_interval(share: float, ratios: list[float], count: int, level: float) -> Interval:
    low, high = (1.0 if math.isinf(r) else r / (1.0 + r) for r in ratios)
    return Interval(share, low, high, count, level)
