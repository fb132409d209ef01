"""Types that many modules share."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Progress = Callable[[int, int], None]
"""What long work calls as it goes on, with (done, total); the command line draws a bar from it."""

Floats = npt.NDArray[np.float64]
"""An array of float64 of any shape, which the place that uses it states."""

BoolArray = npt.NDArray[np.bool_]
"""An array of bool of any shape; an adjacency is (nodes, nodes) or (graphs, nodes, nodes)."""
