"""Algorithm 2: the property vectors nearest to a wanted one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bogp.database.blocks import Ids
from bogp.database.scan import CHUNK, LEAST, MOST, best_of_chunks, ordinary
from bogp.errors import DatabaseError, SettingError, UnknownNameError
from bogp.graphs.property_vectors import constant_columns
from bogp.types import BoolArray, Floats

SCALES = ("raw", "standardised")
"""Whether values are compared as they are, or in standard deviations from their mean."""

_ROUNDING = 4.0 * 2.0**-53  # two orders of addition differ by less, for each number added


def cosine_similarity(vectors: Floats, target: Floats) -> Floats:
    """Return the cosine of the angle between each row and ``target``, in [-1, 1].

    A zero vector has no direction, and its similarity to anything is 0. Values may be of any size:
    rows whose squares would be none, or infinite, are first divided by a power of two, which
    rounds nothing.

    >>> cosine_similarity(np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), np.array([1.0, 0.0]))
    array([1.        , 0.70710678, 0.        ])
    """
    # Row sums and not a matrix product: BLAS may round two equal rows differently, and then equal
    # vectors would not tie.
    target = near_one(target)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = (vectors * vectors).sum(axis=1)
    extreme = ~((squares > LEAST**2) & (squares < MOST**2))
    extreme[extreme] = (vectors[extreme] != 0.0).any(axis=1)
    if extreme.any():
        vectors = vectors.copy(order="K")
        vectors[extreme] = near_one(vectors[extreme])
        squares = (vectors * vectors).sum(axis=1)
    products = (vectors * target).sum(axis=1)
    norms = np.sqrt(squares) * np.sqrt((target * target).sum())
    cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms != 0)
    clipped: Floats = np.clip(cosines, -1.0, 1.0)  # rounding can go past 1
    return clipped


def near_one(vectors: Floats) -> Floats:
    """Return vectors (..., properties), each divided by the power of two next to its largest value.

    >>> near_one(np.array([[4e200, 0.0], [3.0, 1.5]])).round(3).tolist()
    [[0.653, 0.0], [0.75, 0.375]]
    """
    exponents = np.frexp(np.abs(vectors).max(axis=-1, keepdims=True, initial=0.0))[1]
    scaled: Floats = np.ldexp(vectors, -exponents)
    return scaled


def l1_distance(vectors: Floats, target: Floats) -> Floats:
    """Return the city-block distance of each row to ``target``.

    >>> l1_distance(np.array([[0.0, 3.0], [1.0, 1.0]]), np.array([4.0, 0.0]))
    array([7., 4.])
    """
    distances: Floats = np.abs(vectors - target).sum(axis=1)
    return distances


def l2_distance(vectors: Floats, target: Floats) -> Floats:
    """Return the Euclidean distance of each row to ``target``.

    >>> l2_distance(np.array([[0.0, 3.0], [4.0, 1.0]]), np.array([4.0, 0.0]))
    array([5., 1.])
    """
    distances: Floats = np.sqrt(np.square(vectors - target).sum(axis=1))
    return distances


METRICS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "cosine": cosine_similarity,
    "l1": l1_distance,
    "l2": l2_distance,
}
"""Name → function of (vectors, target); ``cosine`` is best at its largest, a distance at 0."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Property vectors (graphs, properties) that are searched again and again.

    The search is quickest where each column is contiguous. The standardised vectors are kept once
    a search has needed them.
    """

    raw: Floats
    _ordinary: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def _standard(self) -> tuple[Floats, Floats, BoolArray]:
        """The mean and the deviation (of the population) of each column, and whether it varies."""
        varies = ~constant_columns(self.raw)
        # Deviations are sums of squares, which columns of huge values must be made smaller for.
        largest = np.abs(self.raw).max(axis=0, initial=0.0)
        exponents = np.where(largest > MOST, np.frexp(largest)[1], 0)
        vectors = np.ldexp(self.raw, -exponents) if exponents.any() else self.raw
        mean = np.ldexp(vectors.mean(axis=0), exponents)
        deviation = np.ldexp(vectors.std(axis=0), exponents)
        return mean, np.where(varies, deviation, 1.0), varies

    def standardise(self, values: Floats) -> Floats:
        """Return ``values`` (..., properties) in standard deviations from the means of the vectors.

        A constant column has no deviation: it becomes 0 in the vectors and in a target, so that it
        contributes nothing to a distance or an angle.

        >>> Vectors(np.array([[1.0, 5.0], [3.0, 5.0]])).standardise(np.array([4.0, 9.0])).tolist()
        [2.0, 0.0]
        """
        mean, deviation, varies = self._standard
        scaled: Floats = (values - mean) / deviation * varies
        return scaled

    @cached_property
    def standardised(self) -> Floats:
        """The vectors themselves on that scale."""
        return self.standardise(self.raw)

    @property
    def nbytes(self) -> int:
        """Bytes held at most."""
        return 2 * self.raw.nbytes

    def nearest(
        self, target: npt.ArrayLike, metric: str = "cosine", scale: str = "raw", count: int = 1
    ) -> tuple[Ids, Floats]:
        """Return what :func:`nearest` does of these vectors."""
        if metric not in METRICS:
            raise UnknownNameError("metric", metric, METRICS)
        if scale not in SCALES:
            raise UnknownNameError("scale", scale, SCALES)
        wanted = _checked(self.raw, target, count)
        rows = self.raw
        if scale == "standardised":
            rows, wanted = self.standardised, self.standardise(wanted)
        candidates = None
        if rows.flags.f_contiguous and len(rows) > (4 * count - 1) * CHUNK:
            if metric == "cosine" and scale not in self._ordinary:
                self._ordinary[scale] = bool(ordinary(rows.T))
            if metric != "cosine" or self._ordinary[scale]:
                candidates = _candidates(rows, wanted, metric, count)
        if candidates is not None:
            rows = np.take(rows.T, candidates, axis=1).T
        scores = METRICS[metric](rows, wanted)
        order = _smallest(-scores if metric == "cosine" else scores, count)
        return order if candidates is None else candidates[order], scores[order]


def nearest(
    vectors: npt.ArrayLike,
    target: npt.ArrayLike,
    metric: str = "cosine",
    scale: str = "raw",
    count: int = 1,
) -> tuple[Ids, Floats]:
    """Return the rows of ``vectors`` nearest to ``target``, best first, and their scores.

    Algorithm 2 of the paper, with its Ω the cosine similarity of raw values by default. Rows of
    equal score come in the order of their index.

    Args:
        vectors: property vectors, float (graphs, properties).
        target: the wanted vector, float (properties,).
        metric: ``cosine`` (score: similarity in [-1, 1], a zero vector scores 0), ``l1`` or ``l2``
            (score: distance).
        scale: ``raw``, or ``standardised``: in standard deviations from the mean of ``vectors``.
        count: how many rows, at least 1; all of them where there are fewer.

    Returns:
        indices, int64 (count,), and scores, float64 (count,).

    Raises:
        UnknownNameError: ``metric`` or ``scale`` is unknown.
        SettingError: ``count`` is below 1, or ``target`` does not fit ``vectors`` or is not finite.
        DatabaseError: there is no vector to choose from.

    >>> nearest([[0.0, 1.0], [1.0, 1.0], [5.0, 4.0]], [1.0, 1.0], metric="cosine", count=2)
    (array([1, 2]), array([1.        , 0.99388373]))
    >>> nearest([[0.0, 1.0], [1.0, 1.0], [5.0, 4.0]], [4.0, 4.0], metric="l2")
    (array([2]), array([1.]))
    """
    return Vectors(np.asarray(vectors, dtype=np.float64)).nearest(target, metric, scale, count)


def _checked(rows: Floats, target: npt.ArrayLike, count: int) -> Floats:
    """Return ``target`` as a float64 array that fits ``rows``, or raise."""
    wanted = np.asarray(target, dtype=np.float64)
    if rows.ndim != 2 or wanted.shape != rows.shape[1:]:
        raise SettingError(
            f"a target of shape {wanted.shape} does not fit property vectors of shape "
            f"{rows.shape}: give (graphs, properties) and (properties,)"
        )
    if len(rows) == 0:
        raise DatabaseError("there is no graph to choose from: build the database first")
    if rows.shape[1] == 0:
        raise SettingError("the target names no property: give at least one value")
    if not np.isfinite(wanted).all():
        raise SettingError(f"target values {wanted.tolist()} are not all finite numbers")
    if count < 1:
        raise SettingError(f"count {count} is below 1: ask for at least one graph")
    return wanted


def _candidates(rows: Floats, wanted: Floats, metric: str, count: int) -> Ids | None:
    """Return rows, ascending, that include the ``count`` nearest; None if that saves no work.

    A compiled pass over all vectors finds the best score of every chunk of rows. The ``count`` best
    of these scores belong to ``count`` different rows, so a chunk whose best score is worse than
    all of them holds no row that is wanted. METRICS scores the rows of the other chunks again, and
    that alone decides.
    """
    chunks = -(-len(rows) // CHUNK)
    best = np.empty(chunks)
    if metric == "cosine":
        wanted = near_one(wanted)
    best_of_chunks(rows.T, wanted, list(METRICS).index(metric), best)
    limit = np.partition(best, count - 1)[count - 1]
    if not np.isfinite(limit):
        return None
    rounding = _ROUNDING * (len(wanted) + 4)
    slack = rounding if metric == "cosine" else rounding * limit
    kept = np.flatnonzero(best <= limit + slack)
    if 4 * len(kept) > chunks:
        return None
    places = (kept[:, None] * CHUNK + np.arange(CHUNK)).ravel()
    return places[places < len(rows)].astype(np.int64)


def _smallest(values: Floats, count: int) -> Ids:
    """Return the indices of the ``count`` smallest values, ties by index, sorting only those.

    What is no number comes last.
    """
    values = np.where(np.isnan(values), np.inf, values)
    if count < len(values):
        limit = np.partition(values, count - 1)[count - 1]
        candidates = np.flatnonzero(values <= limit)
    else:
        candidates = np.arange(len(values))
    order = candidates[np.argsort(values[candidates], kind="stable")][:count]
    return order.astype(np.int64)
