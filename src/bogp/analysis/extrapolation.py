"""Predict the final value that a stopped candidate would have reached from its early value."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from bogp.analysis.checks import as_pair, as_vector
from bogp.errors import SettingError
from bogp.types import Floats

SLOPES = (0.0, 2.0)
"""The slope is held in this range: a better early value never predicts a worse final one, and a
lead is at most doubled."""

WIDE_SD = 0.1
"""The SD of a prediction where fewer than two candidates went on: a tenth, of accuracies."""


def predict_final(
    early: npt.ArrayLike,
    pairs_early: npt.ArrayLike,
    pairs_final: npt.ArrayLike,
    *,
    wide_sd: float = WIDE_SD,
    least_sd: float = 1e-4,
) -> tuple[Floats, Floats]:
    """Return the predicted final values of stopped candidates and the variance of each.

    A line is fitted to the candidates that went on, their final values on their early ones, by
    least squares with the slope held in :data:`SLOPES`. They went on because their early values
    were high. Choosing by the regressor does not bias a regression as long as the line is straight
    (Heckman 1979, Econometrica 47); it only makes the line less certain further down. The variance
    of one final value as it would have been measured says so:
    s^2 (1 + 1/n + (x - mean)^2 / S_xx).

    Where two or three candidates went on, or all with one early value, the slope is 1: the mean
    gain is added. This does not allow for the luck in a good start, and so predicts too little for
    poor ones. Where none or one went on, the variance is ``wide_sd`` squared. The variance of few
    pairs is itself uncertain; it is widened until the normal 95 % interval is as wide as Student's.

    Args:
        early: the values of the stopped candidates when they were stopped (S,), S >= 0.
        pairs_early: the values that those which went on had at the same point (n,).
        pairs_final: the final values of the same (n,).
        wide_sd: the SD to return where fewer than two went on, above 0.
        least_sd: the smallest SD to return, above 0.

    Returns:
        Means and variances, (S,) each.

    Raises:
        SettingError: another shape, pairs of two lengths, a value that is not finite, or an SD
            that is not above 0.

    >>> means, variances = predict_final([0.5], [0.6, 0.7, 0.8, 0.9], [0.80, 0.86, 0.89, 0.95])
    >>> round(float(means[0]), 3), round(float(variances[0]) ** 0.5, 3)
    (0.755, 0.033)
    """
    stopped = as_vector(early, "early", 0)
    x, y = as_pair(pairs_early, pairs_final, ("pairs_early", "pairs_final"), 0)
    for name, value in (("wide_sd", wide_sd), ("least_sd", least_sd)):
        if not (math.isfinite(value) and value > 0.0):
            raise SettingError(f"{name} {value} is no standard deviation: give a number above 0")
    if x.size < 2:
        gain = float((y - x).sum())
        return stopped + gain, np.full(stopped.size, max(wide_sd, least_sd) ** 2)
    squares = float(((x - x.mean()) ** 2).sum())
    flat = squares <= (1e-10 * float(np.abs(x).max())) ** 2
    if x.size < 4 or flat:
        slope, freedom, away = 1.0, x.size - 1, np.zeros(stopped.size)
    else:
        raw = float(((x - x.mean()) * (y - y.mean())).sum()) / squares
        slope, freedom = min(max(raw, SLOPES[0]), SLOPES[1]), x.size - 2
        # A slope that was held back is no surer than the one that was found.
        away = (stopped - x.mean()) ** 2 / squares
    residuals = y - y.mean() - slope * (x - x.mean())
    wider = float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)) ** 2
    variance = wider * float((residuals**2).sum()) / freedom * (1.0 + 1.0 / x.size + away)
    return y.mean() + slope * (stopped - x.mean()), np.maximum(variance, least_sd**2)
