"""Which properties are uncorrelated: the largest subset of them, and the worst pair of a choice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bogp.errors import SettingError, UnknownNameError
from bogp.types import Floats

EXACT_NAMES = 12
"""Up to this many names every subset is looked at (4,096 at most)."""


@dataclass(frozen=True)
class Pair:
    """Two properties and their correlation."""

    first: str
    second: str
    correlation: float


@dataclass(frozen=True)
class UncorrelatedSubset:
    """The outcome of :func:`uncorrelated_subset`.

    Attributes:
        names: the chosen subset in the order given: of the largest ones, that whose strongest
            pair is weakest.
        strongest: the largest \\|r\\| inside ``names``; 0 for fewer than two names.
        threshold: the bound below which every \\|r\\| lies.
        constant: the names without a correlation, which no subset holds.
        largest: every subset of that size, best first; only ``names`` where not exact.
        exact: True where every subset was looked at, False for the greedy choice.
    """

    names: tuple[str, ...]
    strongest: float
    threshold: float
    constant: tuple[str, ...]
    largest: tuple[tuple[str, ...], ...]
    exact: bool


def uncorrelated_subset(
    matrix: npt.ArrayLike, names: Sequence[str], threshold: float
) -> UncorrelatedSubset:
    """Return the largest subset of ``names`` with every \\|r\\| below ``threshold``.

    Exact up to 12 varying names. Beyond, greedy: again and again the name is dropped that has the
    most partners at or above the threshold (of equals, the later one).

    Args:
        matrix: correlations (P, P), as :func:`~bogp.analysis.correlation.correlation_matrix`
            gives them; a name whose diagonal is nan is constant and left out.
        names: the P names of its columns.
        threshold: in (0, 1]; 0.7 is a common choice.

    Raises:
        SettingError: a matrix that does not fit the names, or a threshold out of range.

    >>> r = [[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]]
    >>> uncorrelated_subset(r, ["clustering", "transitivity", "cycle_rank"], 0.7).names
    ('clustering', 'cycle_rank')
    """
    table = _checked(matrix, names)
    if not 0.0 < threshold <= 1.0:
        raise SettingError(f"threshold {threshold} is not in (0, 1]: give 0.7 say")
    varying = [index for index in range(len(names)) if not np.isnan(table[index, index])]
    exact = len(varying) <= EXACT_NAMES
    if exact:
        found = sorted(
            _largest(table, varying, threshold),
            key=lambda chosen: (_strongest(table, chosen), chosen),
        )
    else:
        found = [_greedy(table, varying, threshold)]
    return UncorrelatedSubset(
        names=tuple(names[index] for index in found[0]),
        strongest=_strongest(table, found[0]),
        threshold=float(threshold),
        constant=tuple(name for index, name in enumerate(names) if index not in varying),
        largest=tuple(tuple(names[index] for index in chosen) for chosen in found),
        exact=exact,
    )


def strongest_pairs(
    matrix: npt.ArrayLike, names: Sequence[str], chosen: Sequence[str] | None = None
) -> tuple[Pair, ...]:
    """Return the pairs of ``chosen`` names (default all) by falling \\|r\\|.

    Pairs with a constant name have no correlation and are left out.

    Raises:
        UnknownNameError: a chosen name is not among ``names``.

    >>> strongest_pairs([[1.0, -0.9], [-0.9, 1.0]], ["degree", "path length"])
    (Pair(first='degree', second='path length', correlation=-0.9),)
    """
    table = _checked(matrix, names)
    for name in chosen or ():
        if name not in names:
            raise UnknownNameError("property", name, names)
    wanted = [index for index, name in enumerate(names) if chosen is None or name in chosen]
    pairs = [
        Pair(names[i], names[j], float(table[i, j]))
        for i, j in itertools.combinations(wanted, 2)
        if not np.isnan(table[i, j])
    ]
    return tuple(sorted(pairs, key=lambda pair: -abs(pair.correlation)))


def _checked(matrix: npt.ArrayLike, names: Sequence[str]) -> Floats:
    """Return the matrix as floats, or raise SettingError if it does not fit the names."""
    table = np.asarray(matrix, dtype=np.float64)
    if table.shape != (len(names), len(names)):
        raise SettingError(
            f"a correlation matrix of shape {table.shape} does not fit {len(names)} names: "
            "give one row and one column a name"
        )
    return table


def _strongest(table: Floats, chosen: Sequence[int]) -> float:
    """Return the largest |r| of two chosen columns, 0 for fewer than two."""
    return max((abs(float(table[i, j])) for i, j in itertools.combinations(chosen, 2)), default=0.0)


def _largest(table: Floats, varying: Sequence[int], threshold: float) -> Iterator[tuple[int, ...]]:
    """Yield every subset of the largest size that has all |r| below the threshold."""
    for size in range(len(varying), -1, -1):
        found = False
        for chosen in itertools.combinations(varying, size):
            if _strongest(table, chosen) < threshold:
                found = True
                yield chosen
        if found:
            return


def _greedy(table: Floats, varying: Sequence[int], threshold: float) -> tuple[int, ...]:
    """Drop the column with the most strong partners until none has one."""
    left = list(varying)
    while True:
        strong = np.abs(table[np.ix_(left, left)]) >= threshold
        np.fill_diagonal(strong, False)
        partners = strong.sum(axis=1)
        if not partners.any():
            return tuple(left)
        left.pop(max(range(len(left)), key=lambda index: (partners[index], index)))
