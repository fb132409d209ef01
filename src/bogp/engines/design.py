"""Where a search begins: candidates spread over the pool, before anything is known of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bogp.keys import derive_seed

_TRIALS = 8


def spread(
    points: npt.NDArray[np.float64],  # (N, D) standardised
    taken: Sequence[int],
    allowed: npt.NDArray[np.bool_],  # (N,)
    count: int,
    seed: int,
) -> list[int]:
    """Return ``count`` allowed candidates that cover the pool together with those taken.

    The first is drawn uniformly; each other from eight draws with probabilities proportional to
    the squared distance to the nearest one taken, the draw that leaves the smallest sum of such
    distances (greedy k-means++, Arthur and Vassilvitskii 2007). Plain farthest points would be the
    outliers of the pool; these lie where candidates are.

    >>> line = np.arange(100.0)[:, None]
    >>> picks = spread(line, [], np.ones(100, dtype=bool), 4, seed=0)
    >>> len(set(picks)), max(picks) - min(picks) > 50
    (4, True)
    """
    free, picks = allowed.copy(), list[int]()
    nearest = np.full(len(points), np.inf)
    for row in taken:
        nearest = np.minimum(nearest, _squared(points, row))
    for _ in range(count):
        generator = np.random.default_rng(derive_seed(seed, "design", len(taken) + len(picks)))
        rows = np.flatnonzero(free)
        weight = nearest[rows]
        if np.isinf(weight).any() or weight.sum() <= 0.0:
            chosen = int(generator.choice(rows))
        else:
            drawn = generator.choice(rows, size=_TRIALS, p=weight / weight.sum())
            left = [float(np.minimum(nearest, _squared(points, row)).sum()) for row in drawn]
            chosen = int(drawn[int(np.argmin(left))])
        nearest = np.minimum(nearest, _squared(points, chosen))
        free[chosen] = False
        picks.append(chosen)
    return picks


def _squared(points: npt.NDArray[np.float64], row: int) -> npt.NDArray[np.float64]:
    difference = points - points[row]
    squared: npt.NDArray[np.float64] = (difference * difference).sum(axis=1)
    return squared
