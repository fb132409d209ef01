"""Types that many modules share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Progress = Callable[[int, int], None]
"""What long work calls as it goes on, with (done, total); the command line draws a bar from it."""

Floats: TypeAlias = "npt.NDArray[np.float64]"
"""An array of float64 of any shape, which the place that uses it states."""

BoolArray: TypeAlias = "npt.NDArray[np.bool_]"
"""An array of bool of any shape; an adjacency is (nodes, nodes) or (graphs, nodes, nodes)."""

Integers: TypeAlias = "npt.NDArray[np.int64]"
"""An array of int64 of any shape."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes:
        estimate: the point estimate.
        low: the lower bound; None where the data cannot give one (a single value).
        high: the upper bound; None together with ``low``.
        count: the number of independent values behind the estimate (pairs, where paired).
        level: the confidence level, 0.95 for a 95 % interval.
    """

    estimate: float
    low: float | None
    high: float | None
    count: int
    level: float = 0.95

    def excludes(self, value: float) -> bool:
        """Say whether ``value`` lies outside; False where there are no bounds.

        >>> Interval(0.5, 0.2, 0.8, 5).excludes(0.0), Interval(0.5, None, None, 1).excludes(0.0)
        (True, False)
        """
        if self.low is None or self.high is None:
            return False
        return not self.low <= value <= self.high

    def scaled(self, factor: float) -> Interval:
        """Return the interval of ``factor`` times the estimate, such as 100 for percentage points.

        >>> Interval(0.5, 0.2, 0.8, 5).scaled(-100.0)
        Interval(estimate=-50.0, low=-80.0, high=-20.0, count=5, level=0.95)
        """
        low, high = self.low, self.high
        if low is not None and high is not None:
            low, high = sorted((factor * low, factor * high))
        return Interval(factor * self.estimate, low, high, self.count, self.level)
