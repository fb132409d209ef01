"""What the paper found of the trade-off, to stand beside what a study finds."""

from __future__ import annotations

PAPER_TABLE2: tuple[tuple[float, float, float], ...] = (
    (0.1, 0.90, 0.73),
    (0.15, 0.88, 0.76),
    (0.25, 0.82, 0.79),
    (0.5, 0.37, 0.93),
    (0.75, 0.36, 0.94),
    (0.9, 0.25, 0.98),
)
"""The paper's table 2: alpha, accuracy, sparsity."""
