"""Two objectives, both maximised: the front, its hypervolume, and what a candidate would add.

A *point* is (value, second): an accuracy, which is measured with noise, and a sparsity, which is
known before anything is trained. That the second is known makes the expected hypervolume
improvement exact: the area that a candidate would add is a sum over strips of the front, and in
each strip only the value is random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from bogp.errors import SettingError
from bogp.types import Floats

_ROOT_TWO_PI = float(np.sqrt(2.0 * np.pi))


def front(points: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the indices of the points that no other dominates, ascending in the second objective.

    A point dominates another where it is at least as high in both objectives and higher in one.
    Of points equal in both, the first alone is kept, so that along the front the second objective
    rises and the value falls, both strictly.

    Args:
        points: (N, 2), value and second objective; N may be 0.

    Raises:
        SettingError: another shape, or a number that is not finite.

    >>> front([[0.97, 0.3], [0.95, 0.9], [0.94, 0.6], [0.97, 0.3]]).tolist()
    [0, 1]
    """
    table = _points(points)
    # Highest second first; of one second the highest value; of equal points the first given.
    order = np.lexsort((np.arange(len(table)), -table[:, 0], -table[:, 1]))
    values = table[order, 0]
    before = np.concatenate(([-np.inf], np.maximum.accumulate(values)[:-1]))[: len(order)]
    best: npt.NDArray[np.int64] = order[values > before][::-1].astype(np.int64)
    return best


def hypervolume(points: npt.ArrayLike, reference: Sequence[float]) -> float:
    """Return the area that is dominated by the points and above the reference in both objectives.

    Exact (Zitzler and Thiele 1998). A point that is not above the reference in both adds nothing.

    Args:
        points: (N, 2), value and second objective.
        reference: the value and second objective from which areas are measured.

    Raises:
        SettingError: another shape, or a number that is not finite.

    >>> hypervolume([[3.0, 1.0], [1.0, 2.0]], reference=(0.0, 0.0))
    4.0
    """
    edges, heights = _stairs(points, reference)
    floor = heights[-1]
    return float(np.sum(np.diff(edges) * (heights[:-1] - floor)))


def front_shares(samples: Floats, second: Floats) -> Floats:
    """Return the share of samples (n, S) in which each point is on the front, (n,).

    A point is on it where its value is above those of all that are at least as high in the second.

    >>> front_shares(np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([0.5, 0.9])).tolist()
    [0.5, 1.0]
    """
    on_front = np.empty(samples.shape, dtype=bool)
    before = np.full(samples.shape[1], -np.inf)  # the best of those strictly higher in the second
    for level in np.unique(second)[::-1]:
        rows = np.flatnonzero(second == level)
        best = samples[rows].max(axis=0)
        on_front[rows] = (samples[rows] == best) & (best > before)
        before = np.maximum(before, best)
    shares: Floats = on_front.mean(axis=1)
    return shares


def expected_improvement(
    mean: npt.ArrayLike,
    sd: npt.ArrayLike,
    second: npt.ArrayLike,
    front: npt.ArrayLike,
    reference: Sequence[float],
) -> Floats:
    """Return the expected hypervolume improvement of candidates whose second objective is known.

    A candidate (v, s) adds ``∫ max(0, v - h(t)) dt`` for t from the reference to s, where h(t) is
    the highest value of the front at a second objective of t or more, and the reference's where
    there is none. h is a staircase, so the expectation over v ~ N(mean, sd²) is the sum over its
    steps of the width below s times the one-dimensional expected improvement over the step's
    height (the strips of Emmerich, Deutz and Klinkenberg 2011, of which one side is not random
    here). No sampling, no approximation.

    Args:
        mean: what each candidate's value is expected to be, (N,) or a number.
        sd: how uncertain that is, at least 0.
        second: each candidate's second objective.
        front: the points (K, 2) to improve on; dominated ones change nothing; K may be 0.
        reference: the value and second objective from which areas are measured.

    Returns:
        (N,), at least 0. Zero where the second objective is not above the reference's; tiny
        improvements underflow to zero too.

    Raises:
        SettingError: shapes that do not fit, an sd below 0, or a number that is not finite.

    >>> front = [[0.96, 0.5], [0.90, 0.9]]
    >>> gain = expected_improvement([0.97, 0.97, 0.91], 0.0, [0.5, 0.4, 0.9], front, (0.8, 0.0))
    >>> gain.round(6).tolist()
    [0.005, 0.004, 0.004]
    """
    order, means, sds, seconds = _candidates(mean, sd, second)
    total = np.zeros(len(means))
    for reach, width, height in _strips(seconds, front, reference):
        total[:reach] += width * _improvement(means[:reach], sds[:reach], height)
    return _in_order(total, order)


def scalarised(points: npt.ArrayLike, alpha: float) -> int:
    """Return the index of the point of highest f2 = value + alpha * second (the paper's §6.4).

    Always a point of the front: of equal f2 the one of higher value wins, and of equal value too
    the one of higher second objective, which matters at alpha = 0.

    Raises:
        SettingError: no point, an alpha below 0 or not finite, or bad points.

    >>> points = [[0.97, 0.3], [0.95, 0.9]]
    >>> scalarised(points, alpha=0.01), scalarised(points, alpha=0.1)
    (0, 1)
    """
    table = _points(points)
    if not (np.isfinite(alpha) and alpha >= 0):
        raise SettingError(f"alpha {alpha} is not a finite number of at least 0: give 0.1 say")
    if len(table) == 0:
        raise SettingError("there is no point to choose from: give at least one")
    best = front(table)
    return int(best[np.argmax(table[best, 0] + alpha * table[best, 1])])


def _strips(
    second: Floats,  # (N,) descending
    points: npt.ArrayLike,
    reference: Sequence[float],
) -> Iterator[tuple[int, Floats, float]]:
    """Yield for each step of the front how many candidates reach it, their widths, its height.

    Step by step and not as one table of candidates by steps: a column stays in the cache, and a
    candidate has nothing to do with the steps beyond its own second objective.
    """
    edges, heights = _stairs(points, reference)
    for start, end, height in zip(edges, [*edges[1:], np.inf], heights, strict=True):
        reach = int(np.searchsorted(-second, -start, side="left"))
        if reach == 0:
            return
        yield reach, np.minimum(second[:reach], end) - start, float(height)


def _stairs(points: npt.ArrayLike, reference: Sequence[float]) -> tuple[Floats, Floats]:
    """Return the staircase of a front: where each step begins, and how high it is.

    Step k covers second objectives from edge k to edge k + 1; the last has the reference's height
    and no end. (K + 1,), (K + 1,)
    """
    table = _points(points)
    floor = np.asarray(reference, dtype=np.float64)
    if floor.shape != (2,) or not np.isfinite(floor).all():
        raise SettingError(f"reference {reference} is no pair of finite numbers: give (0, 0) say")
    table = table[(table > floor).all(axis=1)]
    steps = table[front(table)]
    return np.append(floor[1], steps[:, 1]), np.append(steps[:, 0], floor[0])


def _improvement(mean: Floats, sd: Floats, height: float) -> Floats:
    """Return the expectation of max(0, v - height) for v ~ N(mean, sd²), (N,)."""
    gain = mean - height
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        z = gain / sd
        expected = gain * ndtr(z) + sd * np.exp(-0.5 * z * z) / _ROOT_TWO_PI
    result: Floats = np.maximum(np.where(sd > 0, expected, gain), 0.0)
    return result


def _candidates(
    mean: npt.ArrayLike, sd: npt.ArrayLike, second: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], Floats, Floats, Floats]:
    """Return the candidates by descending second objective, (N,) each, or raise.

    First the place of each among those given, then means, SDs and second objectives.
    """
    given = [np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in (mean, sd, second)]
    shapes = [each.shape for each in given]
    try:
        means, sds, seconds = np.broadcast_arrays(*given)
    except ValueError:
        means = np.empty((0, 0))
    if means.ndim != 1:
        raise SettingError(
            f"mean, sd and second have shapes {', '.join(map(str, shapes))}: give columns (N,)"
        )
    for name, column in (("mean", means), ("sd", sds), ("second", seconds)):
        if not np.isfinite(column).all():
            bad = column[~np.isfinite(column)][0]
            raise SettingError(f"{name} holds {bad}: give finite numbers")
    if (sds < 0).any():
        raise SettingError(f"sd holds {sds.min()}: give standard deviations of at least 0")
    order = np.argsort(-seconds, kind="stable")
    return order, means[order], sds[order], seconds[order]


def _in_order(values: Floats, order: npt.NDArray[np.int64]) -> Floats:
    """Return values of sorted candidates in the order in which the candidates were given."""
    result = np.empty_like(values)
    result[order] = values
    return result


def _points(points: npt.ArrayLike) -> Floats:
    """Return points as a float64 table (N, 2) of finite numbers, or raise."""
    table = np.asarray(points, dtype=np.float64)
    if table.size == 0:
        return np.empty((0, 2))
    if table.ndim != 2 or table.shape[1] != 2:
        raise SettingError(
            f"points have shape {table.shape}: give (N, 2), value and second objective"
        )
    if not np.isfinite(table).all():
        raise SettingError(f"points hold {table[~np.isfinite(table)][0]}: leave out such a trial")
    return table
