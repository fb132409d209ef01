"""What a sparsity is, and how many weights it keeps: the one rounding that all of bogp shares."""

from __future__ import annotations

from bogp.errors import SparsityError


def check_sparsity(sparsity: float) -> float:
    """Return ``sparsity`` as a float, or raise :class:`SparsityError` if it is not in [0, 1).

    >>> check_sparsity(0.9)
    0.9
    """
    value = float(sparsity)
    if not 0.0 <= value < 1.0:
        raise SparsityError(
            f"sparsity {sparsity} is not in [0, 1): give the share of weights to remove, 0.9 say"
        )
    return value


def kept_count(total: int, sparsity: float) -> int:
    """Return ``round((1 - sparsity) * total)``, the exact number of weights a mask keeps.

    >>> kept_count(100_352, 0.9)
    10035
    """
    return round((1.0 - check_sparsity(sparsity)) * total)
