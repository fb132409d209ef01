"""Checked conversion of what a caller gives into finite float64 arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bogp.errors import SettingError

Vector = npt.NDArray[np.float64]


def as_vector(values: npt.ArrayLike, name: str = "values", least: int = 1) -> Vector:
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
) -> tuple[Vector, Vector]:
    """Return two vectors of one length, or raise :class:`SettingError` with both lengths."""
    left, right = as_vector(first, names[0], least), as_vector(second, names[1], least)
    if left.size != right.size:
        raise SettingError(
            f"{names[0]} holds {left.size} numbers and {names[1]} {right.size}: "
            "give as many of one as of the other, in the same order"
        )
    return left, right


def as_matrix(values: npt.ArrayLike, name: str, least: tuple[int, int]) -> Vector:
    """Return ``values`` as a float64 array (R, C) of at least ``least`` rows and columns."""
    array = _as_floats(values, name)
    if array.ndim != 2 or array.shape[0] < least[0] or array.shape[1] < least[1]:
        raise SettingError(
            f"{name} has shape {array.shape}: give a table of at least "
            f"{least[0]} rows and {least[1]} columns"
        )
    return array


def check_level(level: float) -> float:
    """Return the confidence level, or raise :class:`SettingError` if it is not in (0, 1)."""
    if not 0.0 < level < 1.0:
        raise SettingError(f"confidence level {level} is not in (0, 1): give 0.95 say")
    return float(level)


def check_resamples(resamples: int) -> int:
    """Return the number of resamples, or raise :class:`SettingError` if it is below 100."""
    if resamples < 100:
        raise SettingError(f"{resamples} resamples are too few for an interval or p: give >= 100")
    return int(resamples)


def is_constant(values: Vector) -> bool:
    """Say whether all values are one number, up to the rounding of a float64 mean.

    >>> is_constant(np.array([0.1, 0.1 + 1e-17, 0.1])), is_constant(np.array([0.1, 0.2]))
    (True, False)
    """
    return bool(np.ptp(values) <= 1e-10 * np.max(np.abs(values)))


def levels(values: Vector) -> npt.NDArray[np.int64]:
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


def _as_floats(values: npt.ArrayLike, name: str) -> Vector:
    """Return a float64 array of any shape with only finite entries."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingError(f"{name} is not an array of numbers ({error})") from error
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        raise SettingError(f"{name} holds {bad}: leave out what was not measured")
    return array
