"""Empirical Bayes: the true values behind noisy ones, estimated from all of them together.

Candidates are draws of one population, so a value far above the others is more likely lucky than
that good, and it is drawn towards the others by the share that noise has of the spread. Such an
estimate needs no correction for the winner's curse: under the model it is right for every
candidate, and so for the one that is highest (Dawid 1994).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bogp.analysis.checks import as_pair, check_level
from bogp.analysis.intervals import Interval
from bogp.analysis.restricted_likelihood import between_variance
from bogp.analysis.winners_curse import Winner
from bogp.errors import SettingError
from bogp.types import Floats


@dataclass(frozen=True, eq=False)
class Shrunken:
    """The outcome of :func:`shrunken`, of K candidates.

    Attributes:
        values: the values as they were given (K,).
        estimates: the posterior mean of each true value (K,).
        sds: the posterior SD of each, with the uncertainty of the population in it (K,).
        shrinkage: the share of the way to ``mean`` that each value was drawn (K,), 0 to 1.
        mean: the estimated mean of the population of true values.
        between_sd: the estimated SD of the true values.
        level: the confidence level of the intervals.
    """

    values: Floats
    estimates: Floats
    sds: Floats
    shrinkage: Floats
    mean: float
    between_sd: float
    level: float

    @property
    def winner(self) -> int:
        """The candidate with the highest posterior mean."""
        return int(np.argmax(self.estimates))

    def interval(self, index: int) -> Interval:
        """Return the posterior mean of one candidate's true value and its normal interval."""
        estimate, sd = float(self.estimates[index]), float(self.sds[index])
        half = float(stats.norm.ppf(0.5 + self.level / 2)) * sd
        return Interval(estimate, estimate - half, estimate + half, self.values.size, self.level)

    def corrected(self, index: int | None = None) -> Winner:
        """Return what the winner (or candidate ``index``, however it was chosen) is worth.

        >>> found = shrunken([0.96, 0.95, 0.94, 0.95, 0.95], [1e-4] * 5).corrected()
        >>> found.index, round(found.corrected.estimate, 4), found.method
        (0, 0.955, 'empirical Bayes')
        """
        chosen = self.winner if index is None else index
        interval = self.interval(chosen)
        return Winner(chosen, float(self.values[chosen]), interval, "empirical Bayes")


def shrunken(means: npt.ArrayLike, variances: npt.ArrayLike, level: float = 0.95) -> Shrunken:
    """Return the posterior of each candidate's true value from the values of all.

    The model: value k is normal about true value k with a known variance V_k, and true values are
    normal about one mean with variance A. A is estimated by restricted maximum likelihood, which
    stays right where promising candidates were given more seeds (their means and variances say all
    that the likelihood says). Value k is drawn to the mean by B_k = (K - 3)/(K - 1) V_k/(V_k + A)
    and its variance is that of Morris (1983), "Parametric Empirical Bayes Inference", JASA 78,
    for unequal variances, which pays for A and the mean being estimates:
    V_k (1 - (K - r_k)/K B_k) + 2/(K - 3) B_k^2 (V + A)/(V_k + A) (value - mean)^2, where
    r_k / K is candidate k's weight in the mean and V the weighted mean of the V_k.

    A little of the winner's luck is left, as A is never estimated below 0: where all candidates are
    alike, a sixth of it with 20 candidates and a twelfth with 60 (simulated).

    With three candidates or fewer the spread cannot be told from the noise: nothing is drawn
    (``shrinkage`` 0), and :func:`~bogp.analysis.winner_interval` is the correction to use.

    Args:
        means: the measured value of each candidate (K,), K >= 1: the mean over its seeds.
        variances: the variance of each such value (K,), above 0: seed variance / seeds.
        level: the confidence level of the intervals in (0, 1).

    Raises:
        SettingError: no values, or a variance that is not above 0.

    >>> result = shrunken([3.0, 1.0, 0.0, -1.0, -3.0], [1.0] * 5)  # A = 4, B = 2/4 * 1/5
    >>> round(float(result.estimates[0]), 6), round(result.between_sd, 6)
    (2.7, 2.0)
    """
    values, noise = as_pair(means, variances, ("means", "variances"))
    level = check_level(level)
    if not (noise > 0.0).all():
        raise SettingError(f"variances holds {noise.min()}: give the variance of each, above 0")
    count = values.size
    between = between_variance(values, noise) if count > 1 else 0.0
    weights = 1.0 / (noise + between)
    weights /= weights.sum()
    mean = float((weights * values).sum())
    if count <= 3:
        none = np.zeros(count)
        return Shrunken(values, values, np.sqrt(noise), none, mean, math.sqrt(between), level)
    drawn = (count - 3) / (count - 1) * noise / (noise + between)
    typical = float((weights * noise).sum())
    spread = 2.0 / (count - 3) * drawn**2 * (typical + between) / (noise + between)
    variance = noise * (1.0 - (1.0 - weights) * drawn) + spread * (values - mean) ** 2
    estimates = values + drawn * (mean - values)
    return Shrunken(values, estimates, np.sqrt(variance), drawn, mean, math.sqrt(between), level)
