"""Checked conversion of what a caller gives into finite float64 arrays and numbers in range."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bogp.errors import SettingError
from bogp.types import Floats


def as_vector(values: npt.ArrayLike, name: str = "values", least: int = 1) -> Floats:
    """Return ``values`` as a float64 array (N,), N >= ``least``, every entry finite.

    Raises:
        SettingError: another shape, too few values, or a value that is not a finite number.
    """
    array = _as_floats(values, name)
    if array.ndim != 1:
        raise SettingError(f"{name} has shape {array.shape}: give a flat list of numbers")
    if array.size < least:
        raise SettingError(f"{name} holds {array.size} numbers: give at least {least}")
    return array


def as_pair(
    first: npt.ArrayLike, second: npt.ArrayLike, names: tuple[str, str], least: int = 1
) -> tuple[Floats, Floats]:
    """Return two vectors of one length, or raise :class:`SettingError` with both lengths."""
    left, right = as_vector(first, names[0], least), as_vector(second, names[1], least)
    if left.size != right.size:
        raise SettingError(
            f"{names[0]} holds {left.size} numbers and {names[1]} {right.size}: "
            "give as many of one as of the other, in the same order"
        )
    return left, right


def as_matrix(values: npt.ArrayLike, name: str, least: tuple[int, int]) -> Floats:
    """Return ``values`` as a float64 array (R, C) of at least ``least`` rows and columns."""
    array = _as_floats(values, name)
    if array.ndim != 2 or array.shape[0] < least[0] or array.shape[1] < least[1]:
        raise SettingError(
            f"{name} has shape {array.shape}: give a table of at least "
            f"{least[0]} rows and {least[1]} columns"
        )
    return array


def check_share(value: float, name: str, example: float) -> float:
    """Return a share such as a power, or raise :class:`SettingError` if it is not in (0, 1)."""
    if not 0.0 < value < 1.0:
        raise SettingError(f"{name} {value} is not in (0, 1): give {example:g} say")
    return float(value)


def check_level(level: float) -> float:
    """Return the confidence level, or raise :class:`SettingError` if it is not in (0, 1)."""
    return check_share(level, "confidence level", 0.95)


def check_sd(value: float, name: str) -> float:
    """Return a standard deviation, or raise :class:`SettingError` if it is not finite and >= 0."""
    if not (math.isfinite(value) and value >= 0.0):
        raise SettingError(f"{name} {value} is no standard deviation: give a number >= 0")
    return float(value)


def check_resamples(resamples: int) -> int:
    """Return the number of resamples, or raise :class:`SettingError` if it is below 100."""
    if resamples < 100:
        raise SettingError(f"{resamples} resamples are too few for an interval or p: give >= 100")
    return int(resamples)


def is_constant(values: Floats) -> bool:
    """Say whether all values are one number, up to the rounding of a float64 mean.

    >>> is_constant(np.array([0.1, 0.1 + 1e-17, 0.1])), is_constant(np.array([0.1, 0.2]))
    (True, False)
    """
    return bool(np.ptp(values) <= 1e-10 * np.max(np.abs(values)))


def levels(values: Floats) -> npt.NDArray[np.int64]:
    """Return the number (from 0, ascending) of the level of each value, (N,).

    Values within rounding of each other are one level: a property that two graphs share exactly
    may come out of two sums with another last digit, and must not be ranked by it.

    >>> levels(np.array([0.3, 0.1 + 0.2, 0.0])).tolist()
    [1, 1, 0]
    """
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order]) > 1e-10 * float(np.abs(values).max())
    level = np.empty(values.size, np.int64)
    level[order] = np.concatenate(([0], np.cumsum(gaps)))
    return level


def _as_floats(values: npt.ArrayLike, name: str) -> Floats:
    """Return a float64 array of any shape with only finite entries."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingError(f"{name} is not an array of numbers ({error})") from error
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        raise SettingError(f"{name} holds {bad}: leave out what was not measured")
    return array
