"""Which properties are uncorrelated: the largest subset of them, and the worst pair of a choice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import numpy.typing as npt

from bogp.errors import SettingError, UnknownNameError
from bogp.types import Floats


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
        names: the chosen subset in the order given: of the largest ones, the one whose strongest
            pair is weakest.
        strongest: the largest \\|r\\| inside ``names``; 0 for fewer than two names.
        threshold: the bound below which every \\|r\\| lies.
        constant: the names without a correlation, which no subset holds.
        largest: every subset of that size, best first.
    """

    names: tuple[str, ...]
    strongest: float
    threshold: float
    constant: tuple[str, ...]
    largest: tuple[tuple[str, ...], ...]


def uncorrelated_subset(
    matrix: npt.ArrayLike, names: Sequence[str], threshold: float
) -> UncorrelatedSubset:
    """Return the largest subset of ``names`` with every \\|r\\| below ``threshold``.

    It is the largest clique of the graph that joins two names where their \\|r\\| is below the
    threshold; of several, the one whose strongest pair is weakest.

    Args:
        matrix: correlations (P, P), as :func:`~bogp.analysis.correlation_matrix`
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
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(varying)
    pairs = itertools.combinations(varying, 2)
    graph.add_edges_from((i, j) for i, j in pairs if abs(table[i, j]) < threshold)
    cliques = [tuple(sorted(clique)) for clique in nx.find_cliques(graph)] or [()]
    most = max(map(len, cliques))
    found = sorted(
        (clique for clique in cliques if len(clique) == most),
        key=lambda clique: (_strongest(table, clique), clique),
    )
    return UncorrelatedSubset(
        names=tuple(names[index] for index in found[0]),
        strongest=_strongest(table, found[0]),
        threshold=float(threshold),
        constant=tuple(name for index, name in enumerate(names) if index not in varying),
        largest=tuple(tuple(names[index] for index in chosen) for chosen in found),
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
            "give one row and one column for each name"
        )
    return table


def _strongest(table: Floats, chosen: Sequence[int]) -> float:
    """Return the largest |r| of two chosen columns, 0 for fewer than two."""
    return max((abs(float(table[i, j])) for i, j in itertools.combinations(chosen, 2)), default=0.0)
