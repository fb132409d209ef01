"""How much of the spread of a metric is between graphs, and how much between seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from bogp.analysis.checks import as_vector, check_level, check_sd, check_share
from bogp.analysis.intervals import Interval
from bogp.analysis.restricted_likelihood import OneWay, restricted_maximum
from bogp.errors import SettingError
from bogp.types import Floats


@dataclass(frozen=True)
class VarianceComponents:
    """The outcome of :func:`variance_components`.

    Attributes:
        groups: the number of groups k: graphs, or candidates of a search.
        replicated: how many of them have two values or more.
        values: the number of values in all.
        mean: the mean of the groups' true means.
        between_sd: the SD of the groups' true means.
        within_sd: the SD of the values of one group, over seeds.
        between_interval: the interval of ``between_sd``, 0 at the least.
        within_interval: the interval of ``within_sd``.
        icc: ICC(1), the share of one value's variance that is between groups, with its interval,
            all cut off at 0; None where nothing varies at all.
        f_statistic: MSB / MSW on (k - 1, k(n - 1)) degrees of freedom; None where MSW is 0, or
            where the numbers of values differ.
        p_value: the p-value of the hypothesis that all groups are alike; None where nothing
            varies.
        truncated: whether the groups differ by less than seeds alone would make them, so that
            ``between_sd`` and ``icc`` are reported as 0.
        method: "mean squares" where all groups have equally many values, else "likelihood".
    """

    groups: int
    replicated: int
    values: int
    mean: float
    between_sd: float
    within_sd: float
    between_interval: Interval
    within_interval: Interval
    icc: Interval | None
    f_statistic: float | None
    p_value: float | None
    truncated: bool
    method: Literal["mean squares", "likelihood"]

    def seeds_needed(self, reliability: float = 0.8) -> int | None:
        """Return how many seeds each group needs (:func:`seeds_needed`); None if none differ."""
        return seeds_needed(self.between_sd, self.within_sd, reliability)


def variance_components(
    values: Sequence[npt.ArrayLike] | Floats, level: float = 0.95
) -> VarianceComponents:
    """Split the variance of values into that between groups and that within them.

    The model is that of one-way random effects, y_ij = mu + a_i + e_ij with n_i values of group i.

    Where all n_i are equal, n say, this is the analysis of variance. MSB and MSW are the mean
    squares between and within k groups, the between-group variance is (MSB - MSW) / n, and ICC(1) =
    (MSB - MSW) / (MSB + (n - 1) MSW) with the exact F interval of McGraw and Wong (1996),
    Psychological Methods 1, table 7. The interval of the between-group SD is that of Williams
    (1962), Biometrika 49; it is approximate.

    Otherwise this is restricted maximum likelihood, with intervals of the profile likelihood
    (approximate: chi-square with 1 degree of freedom) and the likelihood-ratio p of Self and Liang
    (1987), JASA 82. In a search a candidate is given more seeds for its first value. Likelihood
    does not mind how the data chose what to measure next (Rubin 1976, Biometrika 63), while mean
    squares do: with 60 candidates, 10 of them replicated for being best, of between- and within-
    variance 0.04 and 0.09, mean squares give 0.022 and 0.120 on average.

    Args:
        values: the values of each group, one or more each, of two groups or more; one group at
            least has two. A table (groups, replicates) will do.
        level: the confidence level in (0, 1).

    Raises:
        SettingError: fewer than two groups, no group with two values, a group without a value, a
            value that is not finite, or a level out of range.

    >>> parts = variance_components([[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]])
    >>> parts.f_statistic, round(parts.icc.estimate, 4), round(parts.between_sd, 4)
    (64.0, 0.9692, 3.9686)
    >>> parts = variance_components([[1.0, 2.0], [5.0, 6.0, 5.5], [9.0]])
    >>> round(parts.within_sd, 3), parts.replicated, parts.seeds_needed()
    (0.578, 2, 1)
    """
    level = check_level(level)
    groups = [as_vector(group, f"group {k}") for k, group in enumerate(values)]
    sizes = {group.size for group in groups}
    if len(groups) < 2:
        raise SettingError(f"{len(groups)} groups have no spread: give at least 2")
    if max(sizes) < 2:
        raise SettingError(
            f"none of the {len(groups)} groups has a second value: give two of one at least"
        )
    if len(sizes) == 1:
        return _by_mean_squares(np.stack(groups), groups, level)
    one_way = OneWay.of(groups)
    if one_way.within_squares > 0.0:
        return _by_likelihood(one_way, groups, level)
    # Without spread inside groups the likelihood has no maximum: the means are the true ones.
    return _by_mean_squares(np.column_stack([one_way.means, one_way.means]), groups, level)


def _by_mean_squares(table: Floats, groups: Sequence[Floats], level: float) -> VarianceComponents:
    """Return the analysis of variance of a table (k, n)."""
    k, n = table.shape
    means = table.mean(axis=1)
    msb = n * float(((means - means.mean()) ** 2).sum()) / (k - 1)
    msw = float(((table - means[:, None]) ** 2).sum()) / (k * (n - 1))
    # Means of equal floats differ in the last digit: such a remainder is no variance.
    noise = (1e-14 * float(np.abs(table).max())) ** 2
    msb, msw = (0.0 if part <= noise else part for part in (msb, msw))
    ratio = _ratio(msb, msw)
    return VarianceComponents(
        groups=k,
        replicated=sum(group.size > 1 for group in groups),
        values=sum(group.size for group in groups),
        mean=float(table.mean()),
        between_sd=math.sqrt(max(0.0, msb - msw) / n),
        within_sd=math.sqrt(msw),
        between_interval=_between_interval(msb, msw, k, n, level),
        within_interval=_within_interval(msw, k, n, level),
        icc=None if ratio is None else _icc_interval(ratio, k, n, level),
        f_statistic=None if ratio is None or math.isinf(ratio) else ratio,
        p_value=None if ratio is None else float(stats.f.sf(ratio, k - 1, k * (n - 1))),
        truncated=msb < msw,
        method="mean squares",
    )


def _by_likelihood(data: OneWay, groups: Sequence[Floats], level: float) -> VarianceComponents:
    """Return the restricted maximum likelihood of groups of unequal numbers of values."""
    found = restricted_maximum(data, level)
    k, size = len(groups), int(data.counts.sum())
    between, share = found.ratio * found.within, found.ratio / (1.0 + found.ratio)
    return VarianceComponents(
        groups=k,
        replicated=int((data.counts > 1).sum()),
        values=size,
        mean=data.mean(found.ratio),
        between_sd=math.sqrt(between),
        within_sd=math.sqrt(found.within),
        between_interval=_roots(between, found.between_bounds, k, level),
        within_interval=_roots(found.within, found.within_bounds, size, level),
        icc=Interval(share, *found.share_bounds, k, level),
        f_statistic=None,
        p_value=0.5 * float(stats.chi2.sf(found.gain, 1)) if found.gain > 0.0 else 1.0,
        truncated=found.ratio == 0.0,
        method="likelihood",
    )


def _roots(variance: float, bounds: tuple[float, float], count: int, level: float) -> Interval:
    """Return the interval of an SD from that of its square."""
    low, high = (math.sqrt(bound) for bound in bounds)
    return Interval(math.sqrt(variance), low, high, count, level)


def reliability(between_sd: float, within_sd: float, seeds: int) -> float:
    """Return the reliability of a mean over ``seeds`` replicates (Spearman-Brown).

    This is seeds * B / (seeds * B + W) with B and W the variances between and within groups, the
    squared correlation of such a mean with the group's true mean. It is 0 where both SDs are 0.

    >>> round(reliability(0.21, 0.31, 5), 3)
    0.696
    """
    between, within = _squares(between_sd, within_sd)
    if seeds < 1:
        raise SettingError(f"{seeds} seeds give no mean: give at least 1")
    total = seeds * between + within
    return seeds * between / total if total > 0 else 0.0


def seeds_needed(between_sd: float, within_sd: float, reliability: float = 0.8) -> int | None:
    """Return how many seeds each group needs for its mean to reach a reliability (Spearman-Brown).

    This is the smallest whole n >= R / (1 - R) * W / B with B and W the variances between and
    within groups (Spearman 1910; Brown 1910, British Journal of Psychology 3). None where the
    groups do not differ: no number of seeds is enough.

    >>> seeds_needed(0.21, 0.31), seeds_needed(0.2, 0.2), seeds_needed(0.0, 0.2)
    (9, 4, None)
    """
    check_share(reliability, "reliability", 0.8)
    between, within = _squares(between_sd, within_sd)
    if between == 0.0:
        return None
    wanted = reliability / (1.0 - reliability) * within / between
    # 0.8 / 0.2 is 4.000000000000001 in floats: rounding must not ask for a fifth seed.
    return max(1, math.ceil(wanted * (1.0 - 1e-12)))


def _squares(between_sd: float, within_sd: float) -> tuple[float, float]:
    """Return the squares of two SDs, or raise SettingError for one that is not >= 0."""
    return check_sd(between_sd, "between_sd") ** 2, check_sd(within_sd, "within_sd") ** 2


def _ratio(msb: float, msw: float) -> float | None:
    """Return F = MSB / MSW, infinite without within-group spread, None without any spread."""
    if msw > 0.0:
        return msb / msw
    return math.inf if msb > 0.0 else None


def _icc_interval(ratio: float, k: int, n: int, level: float) -> Interval:
    """Return ICC(1) with its exact interval, cut off at 0 (McGraw and Wong 1996, table 7)."""
    df1, df2 = k - 1, k * (n - 1)
    low = ratio / float(stats.f.ppf(0.5 + level / 2, df1, df2))
    high = ratio * float(stats.f.ppf(0.5 + level / 2, df2, df1))

    def icc(f: float) -> float:
        return 1.0 if math.isinf(f) else max(0.0, (f - 1) / (f + n - 1))

    return Interval(icc(ratio), icc(low), icc(high), k, level)


def _within_interval(msw: float, k: int, n: int, level: float) -> Interval:
    """Return the within-group SD with the exact interval from k(n - 1) MSW / sigma^2 ~ chi^2."""
    freedom = k * (n - 1)
    low = freedom * msw / float(stats.chi2.ppf(0.5 + level / 2, freedom))
    high = freedom * msw / float(stats.chi2.ppf(0.5 - level / 2, freedom))
    return Interval(math.sqrt(msw), math.sqrt(low), math.sqrt(high), k * n, level)


def _between_interval(msb: float, msw: float, k: int, n: int, level: float) -> Interval:
    """Return the between-group SD with the interval of Williams (1962), 0 at the least."""
    df1, df2 = k - 1, k * (n - 1)

    def bound(share: float) -> float:
        surplus = df1 * (msb - msw * float(stats.f.ppf(share, df1, df2)))
        return math.sqrt(max(0.0, surplus / (n * float(stats.chi2.ppf(share, df1)))))

    estimate = math.sqrt(max(0.0, msb - msw) / n)
    return Interval(estimate, bound(0.5 + level / 2), bound(0.5 - level / 2), k, level)
