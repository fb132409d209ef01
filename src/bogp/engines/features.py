"""The features of a pool: a table that is checked, and standardised as the surrogate sees it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bogp.errors import SettingError
from bogp.types import Floats

UNIFORM_SD = 1.0 / math.sqrt(12.0)
_ROUNDING = 1e-10


def checked_pool(pool: npt.ArrayLike) -> Floats:
    """Return a pool as a float64 table (N, D), or raise.

    Raises:
        SettingError: no candidate, another shape, or a feature that is not finite.
    """
    try:
        table = np.array(pool, dtype=np.float64)
    except (TypeError, ValueError):
        raise SettingError("the pool is not a table of numbers: give one row a candidate") from None
    if table.ndim != 2 or len(table) == 0:
        raise SettingError(
            f"the pool has shape {table.shape}: give (N, D), one row for each of at least one "
            "candidate"
        )
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise SettingError(
            f"candidate {row} of the pool has {table[row, column]} as feature {column}: "
            "leave out such a candidate or such a feature"
        )
    return table


def standardise(pool: npt.ArrayLike) -> Floats:
    """Return the varying columns of a pool, centred, each of the SD of a uniform on [0, 1].

    BoTorch's prior of length scales is meant for features that fill the unit interval; that SD,
    and not 1, makes it mean here what it means there, without the weight that a range gives to a
    single outlier. Columns that are constant up to rounding are dropped.

    >>> standardise([[0.0, 7.0, 1.0], [1.0, 7.0, 1.0 + 1e-14]]).round(3).tolist()
    [[-0.289], [0.289]]
    """
    table = np.asarray(pool, dtype=np.float64)
    largest = np.abs(table).max(axis=0)
    # Divided first, so that no square of a large number overflows.
    table = table / np.where(largest > 0, largest, 1.0)
    varying = np.ptp(table, axis=0) > _ROUNDING
    table = table[:, varying] - table[:, varying].mean(axis=0)
    scaled: Floats = table / table.std(axis=0) * UNIFORM_SD
    return scaled
