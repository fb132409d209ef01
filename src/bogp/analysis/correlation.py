"""Rank correlation of a property with a metric, and correlation of properties among themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from bogp.analysis.checks import (
    as_matrix,
    as_pair,
    check_level,
    check_resamples,
    is_constant,
    levels,
)
from bogp.analysis.intervals import Interval, bootstrap_interval
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.types import Floats

Method = Literal["fisher", "bootstrap"]

EXACT_RANKS = 8
"""Up to this many points all n! orders are counted (40,320 at most)."""


@dataclass(frozen=True)
class RankCorrelation:
    """A rank correlation with its interval and test.

    Attributes:
        interval: Spearman's rho and its interval; None where a variable is constant, or where
            the control leaves nothing of it, so that rho is undefined.
        p_value: the p-value of the two-sided test of no association; None together with
            ``interval``.
        count: the number of points.
        method: how the interval was made, "fisher" or "bootstrap".
        exact: True where the p-value counts every permutation.
    """

    interval: Interval | None
    p_value: float | None
    count: int
    method: Method
    exact: bool

    @property
    def rho(self) -> float | None:
        """Spearman's rho, None where it is undefined."""
        return None if self.interval is None else self.interval.estimate


def rank_correlation(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    seed: int,
    method: Method = "fisher",
    level: float = 0.95,
    resamples: int = 10_000,
) -> RankCorrelation:
    """Return Spearman's rho with an interval and a permutation p-value.

    Interval "fisher": tanh(atanh(rho) ± z sqrt((1 + rho²/2) / (N - 3))) (Bonett and Wright 2000,
    Psychometrika 65), with |rho| first brought in by half the step to the next value that N
    untied points can give, so that a perfect order of few points is not called certain.
    "bootstrap" is BCa over points. The two-sided p counts all N! orders up to N = 8, beyond
    that ``resamples`` seeded ones.

    Args:
        x: values (N,), N >= 3, such as a property of each graph.
        y: values (N,), such as the mean accuracy of each graph.
        seed: the seed of permutations and resamples.
        method: how the interval is made.
        level: the confidence level in (0, 1).
        resamples: the number of permutations, and of resamples for "bootstrap".

    Raises:
        SettingError: unequal lengths, fewer than 3 points, or a setting out of range.

    >>> result = rank_correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], seed=0)
    >>> round(result.rho, 6), round(result.p_value, 4)
    (0.8, 0.1333)
    """
    left, right = as_pair(x, y, ("x", "y"), least=3)
    level, resamples = check_level(level), check_resamples(resamples)
    if method not in ("fisher", "bootstrap"):
        raise SettingError(f"method {method!r} is unknown: give 'fisher' or 'bootstrap'")
    exact = left.size <= EXACT_RANKS
    if is_constant(left) or is_constant(right):
        return RankCorrelation(None, None, left.size, method, exact)
    first, second = _ranks(left), _ranks(right)
    rho = _pearson(first, second)
    if method == "fisher":
        interval = _fisher_interval(rho, left.size, 0, level)
    else:
        interval = bootstrap_interval(
            first,
            second,
            statistic=_spearman,
            seed=seed,
            resamples=resamples,
            level=level,
            paired=True,
        )
    p_value = _permutation_p(first, second, seed, resamples, exact)
    return RankCorrelation(interval, p_value, left.size, method, exact)


def partial_rank_correlation(
    x: npt.ArrayLike, y: npt.ArrayLike, control: npt.ArrayLike, *, level: float = 0.95
) -> RankCorrelation:
    """Return Spearman's rho of ``x`` and ``y`` with ``control`` held fixed.

    Pearson's r of what is left of the ranks of ``x`` and ``y`` after a linear fit on the ranks of
    the controls: for one control (r_xy - r_xz r_yz) / sqrt((1 - r_xz²)(1 - r_yz²)). The p-value is
    that of t = r sqrt(f / (1 - r²)) with f = N - 2 - controls (Kendall 1942, Biometrika 32), the
    interval Fisher's with N less the number of controls.

    Args:
        x: values (N,), N >= 4 + controls.
        y: values (N,).
        control: values (N,) or (N, controls), such as the edge count of each graph.
        level: the confidence level in (0, 1).

    Raises:
        SettingError: unequal lengths, too few points, or a level out of range.

    >>> edges, clustering = [1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5]
    >>> accuracy = [1, 2, 3, 4, 5, 6]
    >>> partial_rank_correlation(clustering, accuracy, edges).rho is None
    True
    """
    left, right = as_pair(x, y, ("x", "y"))
    level = check_level(level)
    array = np.asarray(control)
    table = as_matrix(array[:, None] if array.ndim == 1 else array, "control", (1, 1))
    controls = table.shape[1]
    as_pair(left, table[:, 0], ("x", "control"), least=4 + controls)
    ranks = np.column_stack([np.ones(left.size), *(_ranks(column) for column in table.T)])
    first, second = (_residual(_ranks(values), ranks) for values in (left, right))
    constant = is_constant(left) or is_constant(right)
    if constant or first is None or second is None:
        return RankCorrelation(None, None, left.size, "fisher", False)
    rho = _pearson(first, second)
    freedom = left.size - 2 - controls
    unexplained = max(1.0 - rho**2, 1e-300)
    p_value = 2.0 * float(stats.t.sf(abs(rho) * math.sqrt(freedom / unexplained), freedom))
    interval = _fisher_interval(rho, left.size, controls, level)
    return RankCorrelation(interval, p_value, left.size, "fisher", False)


def correlation_matrix(
    vectors: npt.ArrayLike, method: Literal["pearson", "spearman"] = "pearson"
) -> Floats:
    """Return the correlations (P, P) of the columns of ``vectors`` (G, P), without warnings.

    A column that is constant up to rounding has no correlation: its row and column are nan, the
    diagonal included (:func:`json_matrix` writes them as None). All else has 1 on the diagonal.

    Raises:
        SettingError: not a table of at least two rows, or a value that is not finite.

    >>> correlation_matrix([[1, 2, 7], [2, 4, 7], [3, 5, 7]]).round(3).tolist()
    [[1.0, 0.982, nan], [0.982, 1.0, nan], [nan, nan, nan]]
    """
    table = as_matrix(vectors, "vectors", (2, 1))
    if method not in ("pearson", "spearman"):
        raise SettingError(f"method {method!r} is unknown: give 'pearson' or 'spearman'")
    varying = np.array([not is_constant(column) for column in table.T])
    kept = table[:, varying]
    if method == "spearman":
        kept = np.column_stack([_ranks(column) for column in kept.T]) if varying.any() else kept
    centred = kept - kept.mean(axis=0)
    # Scaled by the largest entry first: a column of 1e-200 must not square to zero.
    centred /= np.abs(centred).max(axis=0, initial=0.0)
    centred /= np.sqrt((centred**2).sum(axis=0))
    matrix = np.full((table.shape[1], table.shape[1]), np.nan)
    product = np.clip(centred.T @ centred, -1.0, 1.0)
    np.fill_diagonal(product, 1.0)
    matrix[np.ix_(varying, varying)] = (product + product.T) / 2
    return matrix


def json_matrix(matrix: npt.ArrayLike) -> list[list[float | None]]:
    """Return a matrix as lists that JSON can hold: nan becomes None.

    >>> json_matrix([[1.0, float("nan")]])
    [[1.0, None]]
    """
    rows = np.asarray(matrix, dtype=np.float64).tolist()
    return [[value if math.isfinite(value) else None for value in row] for row in rows]


def _ranks(values: Floats) -> Floats:
    """Return mid-ranks from 1; values within rounding of each other are tied."""
    return np.asarray(stats.rankdata(levels(values)), dtype=np.float64)


def _pearson(x: Floats, y: Floats) -> float:
    """Return Pearson's r of two varying vectors."""
    a, b = x - x.mean(), y - y.mean()
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def _spearman(x: Floats, y: Floats, axis: int = -1) -> Floats:
    """Return Spearman's rho along ``axis``; nan where a resample is constant."""
    ranks = [stats.rankdata(values, axis=axis) for values in (x, y)]
    a, b = (values - values.mean(axis=axis, keepdims=True) for values in ranks)
    scale = np.sqrt((a * a).sum(axis=axis) * (b * b).sum(axis=axis))
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(axis=axis) / scale)


def _fisher_interval(rho: float, count: int, controls: int, level: float) -> Interval:
    """Return the interval of Bonett and Wright; without bounds at fewer than 4 points."""
    free = count - 3 - controls
    if free < 1:
        return Interval(rho, None, None, count, level)
    most = 1.0 - 6.0 / (count * (count**2 - 1))
    inner = min(max(rho, -most), most)
    half = float(stats.norm.ppf(0.5 + level / 2)) * math.sqrt((1 + inner**2 / 2) / free)
    low, high = math.tanh(math.atanh(inner) - half), math.tanh(math.atanh(inner) + half)
    return Interval(rho, min(low, rho), max(high, rho), count, level)


def _permutation_p(x: Floats, y: Floats, seed: int, resamples: int, exact: bool) -> float:
    """Return the two-sided share of orders of ``y`` whose |rho| is at least the observed."""
    centred = x - x.mean()
    result = stats.permutation_test(
        (y - y.mean(),),
        lambda orders, axis: np.abs(orders @ centred),
        permutation_type="pairings",
        alternative="greater",
        n_resamples=math.factorial(EXACT_RANKS) if exact else resamples,
        batch=max(1, 1_000_000 // y.size),
        vectorized=True,
        rng=np.random.default_rng(derive_seed(seed, "permutations")),
    )
    return float(result.pvalue)


def _residual(values: Floats, design: Floats) -> Floats | None:
    """Return what a least-squares fit on ``design`` leaves of ``values``; None if nothing."""
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    left = np.asarray(values - fitted)
    return left if float(np.abs(left).max()) > 1e-9 * float(np.abs(values).max()) else None
