"""The compiled pass over all property vectors with which a search for the nearest begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from bogp.graphs.kernels.compiled import compiled, inlined
from bogp.types import Floats

CHUNK = 512
"""Rows of a chunk, of which only the best score is reported."""

LEAST, MOST = 1e-90, 1e90
"""Squares of numbers between them can be added up without overflow or underflow."""

_LANES = 128


@inlined
def _add(values: Any, wanted: float, kind: int, total: Any, norm: Any) -> None:
    """Add what one property contributes to the scores of some rows."""
    if kind == 0:
        for i in range(len(values)):
            total[i] += values[i] * wanted
            norm[i] += values[i] * values[i]
    elif kind == 1:
        for i in range(len(values)):
            total[i] += abs(values[i] - wanted)
    else:
        for i in range(len(values)):
            gap = values[i] - wanted
            total[i] += gap * gap


@compiled
def ordinary(columns: Floats) -> bool:
    """Return whether every number of ``columns`` (properties, rows) is 0 or can be squared."""
    properties, rows = columns.shape
    for j in range(properties):
        for start in range(0, rows, CHUNK):
            values = columns[j, start : min(rows, start + CHUNK)]
            found = 0
            for i in range(len(values)):
                size = abs(values[i])
                found += (size == 0.0) | ((size >= LEAST) & (size <= MOST))
            if found < len(values):
                return False
    return True


@compiled
def best_of_chunks(columns: Floats, target: Floats, kind: int, best: Floats) -> None:
    """Set ``best`` (chunks,) to the least score of each chunk of 512 rows.

    Every vector is read once, and its numbers are added in the order of the columns, as NumPy adds
    them. A score that is no number is never the least. Loops go over slices of many rows, so that
    the compiler uses vector instructions.

    Args:
        columns: float64 (properties, rows), each property contiguous; for the cosine similarity
            they are :func:`ordinary`.
        target: float64 (properties,).
        kind: 0 the cosine similarity, negated; 1 the l1 distance; 2 the l2 distance.
        best: float64 (ceil(rows / 512),).
    """
    properties, rows = columns.shape
    total, norm, least = np.empty(_LANES), np.empty(_LANES), np.empty(_LANES)
    square = 0.0
    for j in range(properties):
        square += target[j] * target[j]
    length = np.sqrt(square)
    for chunk in range(len(best)):
        stop = min(rows, (chunk + 1) * CHUNK)
        least[:] = np.inf
        for start in range(chunk * CHUNK, stop, _LANES):
            count = min(_LANES, stop - start)
            sums, norms, lowest = total[:count], norm[:count], least[:count]
            sums[:] = 0.0
            norms[:] = 0.0
            for j in range(properties):
                _add(columns[j, start : start + count], target[j], kind, sums, norms)
            if kind == 0:
                for i in range(len(sums)):
                    both = np.sqrt(norms[i]) * length
                    sums[i] = -sums[i] / both if both > 0.0 else 0.0
            for i in range(len(sums)):
                lowest[i] = sums[i] if sums[i] < lowest[i] else lowest[i]
        smallest = np.inf
        for i in range(_LANES):
            smallest = least[i] if least[i] < smallest else smallest
        best[chunk] = np.sqrt(smallest) if kind == 2 else smallest
