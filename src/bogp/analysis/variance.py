"""How much of the spread of a metric is between graphs, and how much between seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bogp.analysis.checks import as_matrix, check_level
from bogp.analysis.intervals import Interval
from bogp.errors import SettingError


@dataclass(frozen=True)
class VarianceComponents:
    """The outcome of :func:`variance_components`.

    Attributes:
        groups: the number of groups k (graphs).
        replicates: the number of replicates n a group (seeds).
        mean: the grand mean.
        between_sd: the SD of the groups' true means, sqrt(max(0, (MSB - MSW) / n)).
        within_sd: the SD of replicates inside a group, sqrt(MSW).
        between_interval: the interval of ``between_sd`` (Williams and Tukey), 0 at the least.
        within_interval: the exact chi-square interval of ``within_sd``.
        icc: ICC(1), the share of one replicate's variance that is between groups, with the
            exact F interval, all cut off at 0; None where nothing varies at all.
        f_statistic: MSB / MSW on (k - 1, k(n - 1)) degrees of freedom; None where MSW is 0.
        p_value: P(F >= f_statistic) where the groups are alike; None where nothing varies.
        truncated: True where MSB < MSW, so that the between-group variance is estimated below 0
            and ``between_sd`` and ``icc`` are reported as 0.
    """

    groups: int
    replicates: int
    mean: float
    between_sd: float
    within_sd: float
    between_interval: Interval
    within_interval: Interval
    icc: Interval | None
    f_statistic: float | None
    p_value: float | None
    truncated: bool


def variance_components(values: npt.ArrayLike, level: float = 0.95) -> VarianceComponents:
    """Split the variance of a balanced table into between-group and within-group parts.

    The one-way random effects model y_ij = mu + a_i + e_ij, by analysis of variance: MSB and MSW
    are the mean squares between and within k groups of n, the between-group variance is
    (MSB - MSW) / n, and ICC(1) = (MSB - MSW) / (MSB + (n - 1) MSW) with the exact F interval of
    McGraw and Wong (1996), Psychological Methods 1, table 7. The interval of the between-group
    SD is that of Williams (1962), Biometrika 49; it is approximate.

    Args:
        values: measurements (groups, replicates), at least two of each.
        level: the confidence level in (0, 1).

    Raises:
        SettingError: another shape, a value that is not finite, or a level out of range.

    >>> parts = variance_components([[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]])
    >>> parts.f_statistic, round(parts.icc.estimate, 4), round(parts.between_sd, 4)
    (64.0, 0.9692, 3.9686)
    """
    table, level = as_matrix(values, "values", (2, 2)), check_level(level)
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
        replicates=n,
        mean=float(table.mean()),
        between_sd=math.sqrt(max(0.0, msb - msw) / n),
        within_sd=math.sqrt(msw),
        between_interval=_between_interval(msb, msw, k, n, level),
        within_interval=_within_interval(msw, k, n, level),
        icc=None if ratio is None else _icc_interval(ratio, k, n, level),
        f_statistic=None if ratio is None or math.isinf(ratio) else ratio,
        p_value=None if ratio is None else float(stats.f.sf(ratio, k - 1, k * (n - 1))),
        truncated=msb < msw,
    )


def reliability(between_sd: float, within_sd: float, seeds: int) -> float:
    """Return the reliability of a mean over ``seeds`` replicates (Spearman-Brown).

    seeds * B / (seeds * B + W) with B and W the variances between and within groups: the squared
    correlation of such a mean with the group's true mean. 0 where both SDs are 0.

    >>> round(reliability(0.21, 0.31, 5), 3)
    0.696
    """
    between, within = _checked_variances(between_sd, within_sd)
    if seeds < 1:
        raise SettingError(f"{seeds} seeds give no mean: give at least 1")
    total = seeds * between + within
    return seeds * between / total if total > 0 else 0.0


def seeds_needed(between_sd: float, within_sd: float, reliability: float = 0.8) -> int | None:
    """Return how many seeds a group its mean needs to reach a reliability (Spearman-Brown).

    The smallest whole n >= R / (1 - R) * W / B with B and W the variances between and within
    groups (Spearman 1910; Brown 1910, British Journal of Psychology 3). None where the groups do
    not differ: no number of seeds is enough.

    >>> seeds_needed(0.21, 0.31), seeds_needed(0.2, 0.2), seeds_needed(0.0, 0.2)
    (9, 4, None)
    """
    if not 0.0 < reliability < 1.0:
        raise SettingError(f"reliability {reliability} is not in (0, 1): give 0.8 say")
    between, within = _checked_variances(between_sd, within_sd)
    if between == 0.0:
        return None
    wanted = reliability / (1.0 - reliability) * within / between
    # 0.8 / 0.2 is 4.000000000000001 in floats: rounding must not ask for a fifth seed.
    return max(1, math.ceil(wanted * (1.0 - 1e-12)))


def _checked_variances(between_sd: float, within_sd: float) -> tuple[float, float]:
    """Return the squares of two SDs, or raise SettingError for one that is not >= 0."""
    for name, value in (("between_sd", between_sd), ("within_sd", within_sd)):
        if not (math.isfinite(value) and value >= 0.0):
            raise SettingError(f"{name} {value} is no standard deviation: give a number >= 0")
    return between_sd**2, within_sd**2


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
