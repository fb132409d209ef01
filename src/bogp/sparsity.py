"""How many weights a sparsity keeps: the one rounding that every layer of bogp shares."""

from __future__ import annotations

from bogp.errors import check_sparsity


def kept_count(total: int, sparsity: float) -> int:
    """Return ``round((1 - sparsity) * total)``, the exact number of weights a mask keeps.

    >>> kept_count(100_352, 0.9)
    10035
    """
    return round((1.0 - check_sparsity(sparsity)) * total)
