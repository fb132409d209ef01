"""Which rows of a layer to compute together, from what each way costs.

Rows that read the same inputs share their loads. Rows that read different ones can still be
computed together over the union of their inputs, with weights held at zero where a row does not
read: that wastes multiplications and saves loads. A dense layer is the case where nothing is
wasted, so one rule covers every density, and no choice of it costs more than dense.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

COSTS: dict[int, float] = {1: 1.0, 2: 1.11, 4: 1.90}
"""Time of one column of a group of 1, 2 or 4 rows, product and gradient together.

Measured with ``benchmarks/kernels.py`` on an AMD EPYC (Zen 4, 32 registers of 64 bytes): only the
ratios count. Four rows of one column are 1.9 times one row of it, not four times, because it is the
load of the input that costs.
"""

OVERHEAD = 2.0
"""Time of starting a group, in columns."""


def grouping(
    kept: npt.NDArray[np.bool_], costs: dict[int, float] | None = None
) -> list[tuple[int, int]]:
    """Return the (first row, rows) of the cheapest partition of a layer's rows into groups.

    Args:
        kept: (out, in), the weights that the mask keeps.
        costs: time of a column by rows of a group, :data:`COSTS` by default.

    >>> grouping(np.ones((8, 100), dtype=bool))
    [(0, 4), (4, 4)]
    >>> grouping(np.repeat(np.eye(2, dtype=bool), 50, axis=1))
    [(0, 1), (1, 1)]
    """
    costs = COSTS if costs is None else costs
    out = len(kept)
    price, union, joined = {}, kept, 1  # union[row] is of the rows row .. row + joined - 1.
    while joined <= min(out, max(costs)):
        if joined in costs:
            price[joined] = (costs[joined] * np.count_nonzero(union, axis=1) + OVERHEAD).tolist()
        union, joined = union[:-joined] | union[joined:], 2 * joined
    best, choice = [0.0] * (out + 1), [1] * out  # best[row] is the time of the rows from row on.
    for row in range(out - 1, -1, -1):
        ways = [(price[rows][row] + best[row + rows], rows) for rows in costs if row + rows <= out]
        best[row], choice[row] = min(ways)
    groups, row = [], 0
    while row < out:
        groups.append((row, choice[row]))
        row += choice[row]
    return groups
