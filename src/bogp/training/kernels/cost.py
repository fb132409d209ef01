"""Which rows of a layer to compute together, from what each way costs.

Rows that read the same inputs share their loads. Rows that read different ones can still be
computed together over the union of their inputs, with weights held at zero where a row does not
read: that wastes multiplications and saves loads. A dense layer is the case where nothing is
wasted, so one rule covers every density, and within this model no choice of it costs more than
dense. Whether the kernels are faster than torch's dense products is another question, which
:func:`pays` answers from measurements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bogp.training.kernels.vectors import LANES
from bogp.types import BoolArray

COSTS: dict[int, float] = {1: 1.0, 2: 1.11, 4: 1.90}
"""Time of one column of a group of 1, 2 or 4 rows, product and gradient together.

Measured with ``benchmarks/kernels.py`` on an AMD EPYC (Zen 4, 32 registers of 64 bytes): only the
ratios count. Four rows of one column are 1.9 times one row of it, not four times, because it is the
load of the input that costs.
"""

OVERHEAD = 2.0
"""Time of starting a group, in columns."""

CACHE = 3 * 2**20 // 4
"""Bytes of the second cache that the features of a tile may fill: about 3/4 of 1 MB."""

SPARSE = 0.3
"""Density at and below which the kernels are faster, or as fast, whatever the sizes."""

REST = 2048
"""Examples between two moves of masks from which on laying them out anew costs less than it saves.
"""


def pays(
    sizes: Sequence[int], batch: int, itemsize: int, density: float, between: float = math.inf
) -> bool:
    """Return whether to train perceptrons by the kernels rather than by torch's dense products.

    They pay where a mini-batch fills a tile of :data:`~bogp.training.kernels.vectors.LANES`
    examples and the tile's features (inputs and outputs of all layers) stay in the second cache, or
    where the masks leave little to do. A rule, not a trial: the same settings give the same
    arithmetic, however many candidates there are. Dense time over kernel time in float32 on one
    core of an AMD EPYC (Zen 4, 1 MB of second cache), one run of ``benchmarks/kernels.py``, which
    also prints what the rule takes:

    ===================  ==========  =====  =======  =====
    network              candidates  batch  density  ratio
    ===================  ==========  =====  =======  =====
    784-128-10           4           512    1        1.51
    784-128-10           4           128    1        2.21
    784-128-10           4           32     1        1.14
    784-128-10           4           16     1        1.54
    784-1024-1024-10     2           512    1        1.11
    784-1024-1024-10     2           32     1        0.69
    784-1024-1024-10     2           512    0.3      1.39
    784-1024-1024-10     2           32     0.3      0.97
    ===================  ==========  =====  =======  =====

    Quieter runs gave 0.8 to 0.9 where it is 1.1 to 1.5 for small batches and wide layers, so the
    rule leaves those to torch.

    A move of masks has them laid out anew, which takes as long as 800 (SET) to 1,150 examples
    (gradual) save at sparsity 0.9. Four candidates of a 784-512-512-10, mini-batches of 128, 200
    steps, a move each 2,560 examples, CPU seconds by torch and by the kernels, one run: gradual to
    sparsity 0.8 6.5 and 4.7, to 0.9 6.7 and 3.9, SET at 0.9 8.9 and 3.1. The kernels have a mask
    from its dense beginning on: to train that by torch first would save little.

    Args:
        sizes: features of the input, of each hidden layer, and the number of classes.
        batch: examples of a mini-batch.
        itemsize: bytes of a number.
        density: mean share of the linear weights that the masks keep, in [0, 1].
        between: mean number of examples from one move of a mask to the next.

    >>> pays([784, 128, 10], 512, 4, 1.0), pays([784, 128, 10], 32, 4, 1.0)
    (True, False)
    """
    fits = sum(sizes) * LANES * itemsize <= CACHE
    return between >= REST and (density <= SPARSE or (batch >= LANES and fits))


def grouping(kept: BoolArray, costs: dict[int, float] | None = None) -> list[tuple[int, int]]:
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
