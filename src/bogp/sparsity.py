"""What a sparsity is, and how many weights it keeps: the one rounding that all of bogp shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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


EFFECTIVE = "effective s"
"""The heading of a table's column of :func:`effective_sparsity`."""

EFFECTIVE_NOTE = (
    "Effective sparsity (effective s): kept weights on no path from the input to the output count "
    "as removed; – where paths cannot be told."
)


def effective_sparsity(records: Iterable[Mapping[str, Any] | None]) -> float | None:
    """Return the mean effective sparsity of masks, from the records of their trainings.

    A record is that of a :class:`bogp.TrainingResult`. The result is None where there is no record,
    or the paths of a network cannot be told (:func:`bogp.structure`).

    >>> effective_sparsity({"structure": {"effective_sparsity": s}} for s in (0.9, 0.92))
    0.91
    >>> effective_sparsity([{"structure": None}, {"structure": {"effective_sparsity": 0.9}}])
    """
    found = [
        ((record or {}).get("structure") or {}).get("effective_sparsity") for record in records
    ]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None
