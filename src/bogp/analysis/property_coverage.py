"""How much of property space a set of graphs covers, and how that compares with another set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bogp.analysis.checks import as_matrix
from bogp.analysis.correlation import correlation_matrix
from bogp.errors import SettingError
from bogp.graphs.property_vectors import constant_columns
from bogp.types import Floats

BINS = 12
"""Bars of a property's histogram."""

CELLS = 10
"""Cells along each property in the count of occupied cells."""

COLLINEAR = 0.999
"""From this |r| on two properties are called collinear: one says nothing beside the other."""

EXACT = 1.0 - 1e-9
"""From this |r| on one is a linear function of the other, up to rounding."""


@dataclass(frozen=True)
class PropertyCoverage:
    """How one property is spread over a set of graphs.

    Attributes:
        name: the property.
        minimum: its least value.
        median: its median.
        maximum: its largest value.
        sd: its standard deviation, of the population; exactly 0 where constant.
        constant: whether it has one value, up to rounding.
        counts: graphs in each bar of its histogram, in order of value.
        evenness: Pielou's J of ``counts``, 1 where all bars are equal and 0 where one has all.
    """

    name: str
    minimum: float
    median: float
    maximum: float
    sd: float
    constant: bool
    counts: tuple[int, ...]
    evenness: float

    @property
    def reach(self) -> float:
        """The largest value less the least, exactly 0 where constant."""
        return 0.0 if self.constant else self.maximum - self.minimum


@dataclass(frozen=True)
class Collinear:
    """Properties that follow from one another by a straight line.

    Attributes:
        leader: the first of them.
        followers: the others, each with \\|r\\| >= 0.999 to the leader.
        weakest: the least of these \\|r\\|.
        exact: whether each is a linear function of the leader, up to rounding.
    """

    leader: str
    followers: tuple[str, ...]
    weakest: float
    exact: bool


@dataclass(frozen=True)
class Coverage:
    """What :func:`coverage` says of a set of graphs.

    Attributes:
        graphs: how many graphs.
        properties: an entry for each property, in the order given.
        collinear: the groups of collinear properties; constant ones are in none.
        dimensions: the effective number of dimensions of the varying properties, from 1 to their
            number; 0 where none varies.
        correlation: Pearson's r of the properties (P, P); nan where one is constant.
    """

    graphs: int
    properties: tuple[PropertyCoverage, ...]
    collinear: tuple[Collinear, ...]
    dimensions: float
    correlation: Floats = field(repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """All properties."""
        return tuple(entry.name for entry in self.properties)

    @property
    def constant(self) -> tuple[str, ...]:
        """The properties with one value."""
        return tuple(entry.name for entry in self.properties if entry.constant)


@dataclass(frozen=True)
class CoverageComparison:
    """What :func:`compare_coverage` says of two sets of graphs.

    Attributes:
        first: the coverage of the one set.
        second: the coverage of the other; histograms of both have the same bars.
        ratios: property → range of the first over range of the second; None where the second is
            constant.
        axes: the properties of the grid whose occupied cells are counted.
        cells: cells of the grid, 10 along each axis, that hold a graph of the first.
        second_cells: cells that hold a graph of the second.
        variance: variance of the second over variance of the first, the mean over the properties
            that vary in the first; None where none does.
    """

    first: Coverage
    second: Coverage
    ratios: dict[str, float | None]
    axes: tuple[str, ...]
    cells: int
    second_cells: int
    variance: float | None


def coverage(names: Sequence[str], vectors: npt.ArrayLike) -> Coverage:
    """Return how far and how evenly each property reaches, and what the properties share.

    A property is constant if it spreads over less than 10⁻⁹ of its largest value; its histogram has
    all graphs in one bar. Collinear properties have \\|r\\| >= 0.999 (Pearson): going through the
    names in order, each joins the first earlier one that it is collinear with. The effective number
    of dimensions is the participation ratio (Σλ)² / Σλ² of the eigenvalues λ of the varying
    properties' correlation matrix (Gao et al. 2017, bioRxiv 214262), which for P properties is
    P² / Σr². It measures how independent the properties are, each in units of its own spread, and
    not how wide they spread. Evenness is Pielou's J = H / log B of the shares of B bars, H their
    entropy (Pielou 1966, J. Theor. Biol. 13).

    Args:
        names: the P names of the columns.
        vectors: property vectors (G, P), G >= 1, finite.

    Raises:
        SettingError: a table that does not fit the names, or values that are not finite.

    >>> found = coverage(["a", "twice", "one"], [[1, 2, 1], [2, 4, 1], [3, 6, 1]])
    >>> [entry.maximum for entry in found.properties], found.constant
    ([3.0, 6.0, 1.0], ('one',))
    >>> [(group.leader, group.followers, group.exact) for group in found.collinear]
    [('a', ('twice',), True)]
    >>> round(found.dimensions, 6), found.properties[0].counts
    (1.0, (1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1))
    """
    table = _table(names, vectors)
    return _coverage(names, table, table.min(axis=0), table.max(axis=0))


def _coverage(names: Sequence[str], table: Floats, low: Floats, high: Floats) -> Coverage:
    """Return the coverage of a table (G, P) with histograms from ``low`` to ``high``, (P,) each."""
    constant = constant_columns(table)
    correlation = np.full((len(names), len(names)), np.nan)
    if not constant.all():
        varying = np.flatnonzero(~constant)
        correlation[np.ix_(varying, varying)] = correlation_matrix(table[:, varying])
    entries = []
    for place, name in enumerate(names):
        column = table[:, place]
        counts = _counts(column, float(low[place]), float(high[place]))
        entries.append(
            PropertyCoverage(
                name=name,
                minimum=float(column.min()),
                median=float(np.median(column)),
                maximum=float(column.max()),
                sd=0.0 if constant[place] else float(column.std()),
                constant=bool(constant[place]),
                counts=tuple(counts.tolist()),
                evenness=_evenness(counts),
            )
        )
    return Coverage(
        graphs=len(table),
        properties=tuple(entries),
        collinear=_collinear(names, correlation),
        dimensions=_dimensions(correlation),
        correlation=correlation,
    )


def compare_coverage(
    names: Sequence[str], vectors: npt.ArrayLike, other: npt.ArrayLike
) -> CoverageComparison:
    """Return the coverage of two sets of graphs side by side.

    Histograms span both sets. Occupied cells are those of a grid over the range of both, 10 cells
    along each of the properties that :func:`distinct` names for the first set; two sets compare
    by it where they hold equally many graphs.

    Args:
        names: the P names of the columns.
        vectors: property vectors (G, P) of the one set.
        other: property vectors (H, P) of the other.

    Raises:
        SettingError: a table that does not fit the names, or values that are not finite.

    >>> found = compare_coverage(["a", "b"], [[0, 0], [4, 1], [8, 0]], [[1, 1], [2, 1], [3, 0]])
    >>> found.ratios, found.cells, found.second_cells
    ({'a': 4.0, 'b': 1.0}, 3, 3)
    """
    one, two = _table(names, vectors), _table(names, other)
    low = np.minimum(one.min(axis=0), two.min(axis=0))
    high = np.maximum(one.max(axis=0), two.max(axis=0))
    first, second = (_coverage(names, table, low, high) for table in (one, two))
    pairs = list(zip(first.properties, second.properties, strict=True))
    axes = distinct(first)
    places = [first.names.index(name) for name in axes]
    shares = [(b.sd / a.sd) ** 2 for a, b in pairs if not a.constant]
    return CoverageComparison(
        first=first,
        second=second,
        ratios={a.name: a.reach / b.reach if b.reach > 0 else None for a, b in pairs},
        axes=axes,
        cells=_cells(one[:, places], low[places], high[places]),
        second_cells=_cells(two[:, places], low[places], high[places]),
        variance=sum(shares) / len(shares) if shares else None,
    )


def distinct(found: Coverage, most: int = 6) -> tuple[str, ...]:
    """Return at most ``most`` properties that vary and say different things, in order.

    Of collinear ones the first stands for all. Where more are left, they are chosen one after
    another: always the one of largest evenness × (1 - its largest \\|r\\| to those chosen).

    Raises:
        SettingError: ``most`` is below 1.

    >>> distinct(coverage(["a", "b", "c"], [[1, 2, 0], [2, 4, 1], [3, 6, 0]]))
    ('a', 'c')
    """
    if most < 1:
        raise SettingError(f"{most} properties is below 1: ask for at least one")
    left_out = {*found.constant, *(name for group in found.collinear for name in group.followers)}
    left = [place for place, name in enumerate(found.names) if name not in left_out]
    evenness = np.array([entry.evenness for entry in found.properties])
    likeness = np.zeros(len(evenness))
    chosen: list[int] = []
    while left and len(chosen) < most:
        score = evenness[left] * (1.0 - likeness[left])
        chosen.append(left.pop(int(score.argmax())))
        likeness = np.fmax(likeness, np.abs(found.correlation[chosen[-1]]))
    return tuple(found.names[place] for place in sorted(chosen))


def _table(names: Sequence[str], vectors: npt.ArrayLike) -> Floats:
    """Return ``vectors`` as float64 (G, P), checked against the names."""
    table = as_matrix(vectors, "vectors", (1, 1))
    if table.shape[1] != len(names) or len(set(names)) != len(names):
        raise SettingError(
            f"property vectors of shape {table.shape} do not fit the names {', '.join(names)}: "
            "give one column for each name, and each name once"
        )
    return table


def _counts(values: Floats, low: float, high: float) -> npt.NDArray[np.int64]:
    """Return the histogram of ``values`` over [low, high], all in one bar if that has no width."""
    width = high - low
    if constant_columns(np.array([[low], [high]])).all():
        counts = np.zeros(BINS, dtype=np.int64)
        counts[BINS // 2] = len(values)
        return counts
    places = np.minimum((values - low) / width * BINS, BINS - 1).astype(np.int64)
    return np.bincount(places, minlength=BINS).astype(np.int64)


def _evenness(counts: npt.NDArray[np.int64]) -> float:
    """Return Pielou's J of a histogram."""
    share = counts[counts > 0] / counts.sum()
    entropy = -float((share * np.log(share)).sum())
    return max(0.0, entropy) / math.log(len(counts))


def _collinear(names: Sequence[str], correlation: Floats) -> tuple[Collinear, ...]:
    """Return the groups of properties whose \\|r\\| to the first of them is at least 0.999."""
    strength = np.nan_to_num(np.abs(correlation))
    groups: dict[int, list[int]] = {}
    for place in range(len(names)):
        leader = next((one for one in groups if strength[one, place] >= COLLINEAR), None)
        if leader is None:
            groups[place] = []
        else:
            groups[leader].append(place)
    found = []
    for leader, followers in groups.items():
        if followers:
            weakest = float(strength[leader, followers].min())
            others = tuple(names[place] for place in followers)
            found.append(Collinear(names[leader], others, weakest, weakest >= EXACT))
    return tuple(found)


def _dimensions(correlation: Floats) -> float:
    """Return the participation ratio of a correlation matrix, constant properties left out."""
    varying = ~np.isnan(np.diagonal(correlation))
    if not varying.any():
        return 0.0
    # The trace of a correlation matrix is its size, and Σλ² is the sum of its squared entries.
    squares = float(np.square(correlation[np.ix_(varying, varying)]).sum())
    return float(np.count_nonzero(varying)) ** 2 / squares


def _cells(vectors: Floats, low: Floats, high: Floats) -> int:
    """Return how many cells of the grid from ``low`` to ``high`` hold a vector."""
    if vectors.shape[1] == 0:
        return 1
    shares = (vectors - low) / (high - low)
    places = np.minimum(shares * CELLS, CELLS - 1).astype(np.int64)
    numbers = places @ CELLS ** np.arange(vectors.shape[1])
    return len(np.unique(numbers))
