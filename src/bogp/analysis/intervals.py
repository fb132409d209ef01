"""Confidence intervals of means and differences, and the paired test of two methods."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from bogp.analysis.checks import as_pair, as_vector, check_level, check_resamples
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.types import Floats
from bogp.types import Interval as Interval

Alternative = Literal["two-sided", "greater", "less"]

EXACT_PAIRS = 16
"""Up to this many pairs all 2^n sign flips are counted (65,536 at most)."""


@dataclass(frozen=True)
class PairedTest:
    """The outcome of :func:`paired_test`.

    Attributes:
        difference: the mean of a - b with its Student t interval.
        p_value: the p-value of the sign-flip permutation test.
        smallest_p: the smallest p that this many non-zero differences can give; a design whose
            smallest p is above the wanted error rate can never reject (5 pairs: 0.0625 two-sided).
        exact: True where every flip was counted, False for a seeded Monte Carlo sample.
        alternative: what the p-value speaks for.
    """

    difference: Interval
    p_value: float
    smallest_p: float
    exact: bool
    alternative: Alternative


def mean_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean and its Student t interval.

    ``mean ± t(1 - (1 - level)/2; n - 1) * s / sqrt(n)`` with ``s`` the sample SD (n - 1 in its
    denominator): Student (1908), Biometrika 6. A single value has no bounds (None).

    Args:
        values: independent measurements (N,), such as the accuracies of N seeds.
        level: the confidence level in (0, 1).

    Raises:
        SettingError: no values, a value that is not finite, or a level out of range.

    >>> interval = mean_interval([0.95, 0.96, 0.94])
    >>> round(interval.estimate, 3), round(interval.low, 3), round(interval.high, 3)
    (0.95, 0.925, 0.975)
    """
    array, level = as_vector(values), check_level(level)
    mean, count = float(array.mean()), array.size
    if count == 1:
        return Interval(mean, None, None, 1, level)
    error = float(array.std(ddof=1)) / count**0.5
    half = float(stats.t.ppf(0.5 + level / 2, count - 1)) * error
    return Interval(mean, mean - half, mean + half, count, level)


def paired_interval(a: npt.ArrayLike, b: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of ``a - b`` over pairs (the same seed, say) and its Student t interval.

    >>> paired_interval([0.95, 0.97], [0.94, 0.96]).count
    2
    """
    left, right = as_pair(a, b, ("a", "b"))
    return mean_interval(left - right, level)


def bootstrap_interval(
    *samples: npt.ArrayLike,
    statistic: Callable[..., Any],
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
    paired: bool = False,
) -> Interval:
    """Return a statistic of one or more samples and its bootstrap interval.

    The interval is BCa, bias-corrected and accelerated (Efron 1987, JASA 82), as
    ``scipy.stats.bootstrap`` has it. Where BCa is undefined, since no resample or no jackknife
    changes the statistic, it is the percentile interval of the finite resamples. Under about ten
    values either is too narrow: prefer :func:`mean_interval` for the mean of a few seeds.

    Args:
        *samples: one or more arrays (N_i,); of one length where ``paired``.
        statistic: takes the samples and returns a number; with an ``axis`` parameter it is
            called on whole stacks of resamples, which is faster.
        seed: the seed of the resampling.
        resamples: the number of resamples.
        level: the confidence level in (0, 1).
        paired: whether the samples are resampled together.

    Raises:
        SettingError: no sample, unequal lengths where paired, or a setting out of range.

    >>> bootstrap_interval([1.0, 2.0, 4.0], statistic=np.median, seed=0).estimate
    2.0
    """
    level, resamples = check_level(level), check_resamples(resamples)
    if not samples:
        raise SettingError("there is nothing to resample: give at least one sample")
    arrays = [as_vector(sample, f"sample {index}") for index, sample in enumerate(samples, 1)]
    if paired:
        for array in arrays[1:]:
            as_pair(arrays[0], array, ("sample 1", "a later sample"))
    count = arrays[0].size if paired else sum(array.size for array in arrays)
    estimate = float(statistic(*arrays))
    if min(array.size for array in arrays) == 1:
        return Interval(estimate, None, None, count, level)
    low, high = _bootstrap_bounds(arrays, statistic, seed, resamples, level, paired)
    return Interval(estimate, low, high, count, level)


def _bootstrap_bounds(
    arrays: list[Floats],
    statistic: Callable[..., Any],
    seed: int,
    resamples: int,
    level: float,
    paired: bool,
) -> tuple[float, float] | tuple[None, None]:
    """Return BCa bounds, percentile bounds where BCa is undefined, or None for both."""
    longest = max(array.size for array in arrays)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Degenerate resamples are dealt with below, so scipy's warnings about them say nothing.
        warnings.simplefilter("ignore")
        result = stats.bootstrap(
            arrays,
            statistic,
            n_resamples=resamples,
            batch=max(1, 1_000_000 // longest),
            paired=paired,
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(derive_seed(seed, "bootstrap")),
        )
    bounds = float(result.confidence_interval.low), float(result.confidence_interval.high)
    if np.isfinite(bounds).all():
        return bounds
    draws = np.asarray(result.bootstrap_distribution)
    draws = draws[np.isfinite(draws)]
    if draws.size == 0:
        return None, None
    return float(np.quantile(draws, 0.5 - level / 2)), float(np.quantile(draws, 0.5 + level / 2))


def paired_test(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 100_000,
) -> PairedTest:
    """Test whether paired values ``a`` and ``b`` differ, by flipping the signs of a - b.

    Under the null hypothesis each difference is as likely with either sign; p is the share of
    sign patterns whose mean is at least as extreme as the observed (Fisher 1935, The Design of
    Experiments, §21). All 2^n patterns are counted up to n = 16; beyond, ``resamples`` seeded
    ones, with p = (hits + 1) / (resamples + 1) (Phipson and Smyth 2010).

    Args:
        a: values (N,) of one method.
        b: values (N,) of the other, in the same order of seeds.
        alternative: "greater" asks whether ``a`` is above ``b``.
        level: the confidence level of the difference's interval.
        seed: the seed of the Monte Carlo flips; without effect up to 16 pairs.
        resamples: the number of Monte Carlo flips.

    Raises:
        SettingError: unequal lengths, no values, or a setting out of range.

    >>> paired_test([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]).p_value
    0.0625
    """
    left, right = as_pair(a, b, ("a", "b"))
    if alternative not in ("two-sided", "greater", "less"):
        raise SettingError(
            f"alternative {alternative!r} is unknown: give 'two-sided', 'greater' or 'less'"
        )
    resamples = check_resamples(resamples)
    differences = left - right
    exact = differences.size <= EXACT_PAIRS
    scale = float(np.abs(differences).sum()) or 1.0
    result = stats.permutation_test(
        # SciPy wants two values at least; a difference of 0 changes no sum.
        (differences if differences.size > 1 else np.append(differences, 0.0),),
        # In units of all differences and rounded, so that equal sums compare as equal.
        lambda flipped, axis: _extremity(flipped.sum(axis=axis) / scale, alternative).round(12),
        permutation_type="samples",
        alternative="greater",
        n_resamples=2**EXACT_PAIRS if exact else resamples,
        batch=max(1, 4_000_000 // differences.size),
        vectorized=True,
        rng=np.random.default_rng(derive_seed(seed, "sign flips")),
    )
    tails = 2 if alternative == "two-sided" else 1
    smallest = min(1.0, tails * 0.5 ** int(np.count_nonzero(differences)))
    if not exact:
        smallest = max(smallest, 1 / (resamples + 1))
    return PairedTest(
        difference=mean_interval(differences, level),
        p_value=float(result.pvalue),
        smallest_p=smallest,
        exact=exact,
        alternative=alternative,
    )


def _extremity(sums: Floats, alternative: Alternative) -> Floats:
    """Return how far sums of differences (R,) speak for the alternative."""
    if alternative == "two-sided":
        return np.abs(sums)
    return sums if alternative == "greater" else -sums
