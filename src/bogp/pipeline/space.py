"""The space of a pool search: relational graph × support density × criterion × pruning rounds.

A point says how a mask is chosen: a relational graph, denser than the mask or as dense, bounds it;
a criterion picks the kept weights inside, in one pruning round or several. With the complete graph
these are the known methods (magnitude: Glob and Unif; SNIP, GraSP, SynFlow; random with scope erk),
and with a graph at the wanted sparsity and the random criterion the paper's BoGP: all are points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.criteria import criterion
from bogp.database import GraphDatabase
from bogp.errors import DatabaseError, SettingError
from bogp.keys import derive_seed
from bogp.masks import SCOPES
from bogp.sparsify import Method
from bogp.types import Floats

_FURTHEST = 4.0
"""Standard deviations at which a property is cut off: one odd graph must not stretch the space."""


@dataclass(frozen=True)
class Point:
    """How a mask is chosen; one training of it is a trial.

    Attributes:
        graph: id in the database; None is the complete support.
        support: sparsity of the graph as the database has it; 0 for the complete support.
        criterion, scope, rounds: of the method inside the support (:class:`bogp.Method`).
        sparsity: of the mask.
    """

    graph: int | None
    support: float
    criterion: str
    scope: str
    rounds: int
    sparsity: float

    @property
    def method(self) -> Method:
        """The method inside the support."""
        return Method(self.criterion, self.scope, rounds=self.rounds)

    @property
    def key(self) -> str:
        """A name for seeds: equal points have equal keys."""
        return "/".join(str(value) for value in asdict(self).values())

    def record(self) -> dict[str, Any]:
        """Return the point as a JSON object."""
        return asdict(self)

    @classmethod
    def from_record(cls, stored: Mapping[str, Any]) -> Point:
        """Return the point that :meth:`record` made."""
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__})

    def __str__(self) -> str:
        where = "complete" if self.graph is None else f"graph {self.graph} (s = {self.support:g})"
        rounds = f", {self.rounds} pruning rounds" if self.rounds > 1 else ""
        return f"{where}, {self.criterion} {self.scope}{rounds}, s = {self.sparsity:g}"


@dataclass(frozen=True, eq=False)
class CandidateSpace:
    """The finite pool of a search: N points and what the surrogate sees of them.

    Attributes:
        points: (N,)
        names: names of the D features.
        features: (N, D). Properties are standardised among the graphs of one sparsity, because
            density drives nearly every property and is a feature of its own, and multiplied by
            that sparsity: a graph that prunes little can do little, whatever its wiring, and the
            complete support, which prunes nothing, is the limit, all 0. Criterion and scope are
            indicator columns.
        anchors: the points with complete support, which are the known methods.
    """

    points: tuple[Point, ...]
    names: tuple[str, ...]
    features: Floats
    anchors: tuple[int, ...]

    @property
    def sparsities(self) -> Floats:
        """Sparsity of each point's mask, (N,)."""
        return np.array([point.sparsity for point in self.points])

    def only(self, rows: Sequence[int]) -> CandidateSpace:
        """Return the space of the points ``rows`` alone, ascending."""
        anchors = set(self.anchors)
        return CandidateSpace(
            tuple(self.points[row] for row in rows),
            self.names,
            self.features[list(rows)],
            tuple(place for place, row in enumerate(rows) if row in anchors),
        )

    def parameters(self, index: int) -> dict[str, float | int | str]:
        """Return what a dashboard shows of a point."""
        point = self.points[index]
        kept: dict[str, float | int | str] = {
            name: float(value)
            for name, value in zip(self.names, self.features[index], strict=True)
            if "=" not in name and name not in ("sparsity", "support_density", "pruning_rounds")
        }
        return kept | {
            "criterion": point.criterion,
            "scope": point.scope,
            "pruning_rounds": point.rounds,
            "support_density": 1.0 - point.support,
            "sparsity": point.sparsity,
        }

    def ranges(self) -> dict[str, tuple[float, float] | tuple[str, ...]]:
        """Return the range, or the choices, of each of :meth:`parameters` over the pool."""
        rows = [self.parameters(index) for index in range(len(self.points))]
        found: dict[str, tuple[float, float] | tuple[str, ...]] = {}
        for name, value in rows[0].items():
            column = [row[name] for row in rows]
            if isinstance(value, str):
                found[name] = tuple(sorted({str(entry) for entry in column}))
            else:
                found[name] = (
                    min(float(entry) for entry in column),
                    max(float(entry) for entry in column),
                )
        return found


@dataclass(frozen=True)
class _Cell:
    """Points that differ in the graph alone."""

    sparsity: float
    support: float
    criterion: str
    scope: str
    rounds: int


def candidate_space(
    database: GraphDatabase,
    *,
    sparsities: Sequence[float],
    properties: Sequence[str],
    criteria: Sequence[Any],
    rounds: Sequence[int] = (1,),
    layers: int = 1,
    size: int = 5000,
    seed: int = 0,
) -> CandidateSpace:
    """Return the pool of a search.

    Graphs at a wanted sparsity go with the random criterion (there is nothing left to choose in
    them but the surplus), denser ones with every criterion; the complete support goes with all.
    Every combination gets the same number of graphs, drawn by ``seed``.

    Args:
        database: whose graphs are supports.
        sparsities: of the masks.
        properties: names of the properties that the surrogate sees.
        criteria: what scores the weights, of which a point has the name: names of
            :data:`bogp.criteria.CRITERIA`, functions, or :class:`bogp.criteria.Criterion`.
        rounds: numbers of pruning rounds.
        layers: number of layers that are pruned; of one layer every scope is the same.
        size: about how many points; there is at least one a combination.
        seed: of the draw.

    Raises:
        DatabaseError: no graph is as dense as the least of the sparsities asks for.
        UnknownNameError, SettingError: a criterion or a number of rounds that cannot be.
    """
    names = tuple(criterion(given).name for given in criteria)
    _check(names, rounds, size)
    cells = [
        cell
        for sparsity in sparsities
        for support in database.sparsities
        if support <= sparsity + 1e-9
        for cell in _cells(sparsity, support, names, rounds, layers)
    ]
    if not cells:
        held = ", ".join(f"{value:g}" for value in database.sparsities)
        raise DatabaseError(
            f"database {str(database.path)!r} holds graphs of sparsity {held}: none is as dense as "
            f"a mask of sparsity {min(sparsities):g}: search at a higher sparsity, or build a "
            f"database with --sparsity {min(sparsities):g}"
        )
    anchors = [
        Point(None, 0.0, cell.criterion, cell.scope, cell.rounds, cell.sparsity)
        for sparsity in sparsities
        for cell in _cells(sparsity, 0.0, names, rounds, layers)
    ]
    points, vectors = list(anchors), [np.zeros((len(anchors), len(properties)))]
    levels = {s: _level(database, properties, s) for s in {cell.support for cell in cells}}
    each = max(1, (size - len(anchors)) // len(cells))
    for cell in cells:
        ids, table = levels[cell.support]
        draw = np.random.default_rng(derive_seed(seed, "pool", *asdict(cell).values()))
        chosen = np.sort(draw.choice(len(ids), size=min(each, len(ids)), replace=False))
        vectors.append(cell.support * table[chosen])
        points += [
            Point(int(ids[k]), cell.support, cell.criterion, cell.scope, cell.rounds, cell.sparsity)
            for k in chosen
        ]
    columns, features = _features(points, tuple(properties), np.concatenate(vectors))
    return CandidateSpace(tuple(points), columns, features, tuple(range(len(anchors))))


def _check(criteria: Sequence[str], rounds: Sequence[int], size: int) -> None:
    if not criteria or not rounds or min(rounds) < 1 or size < 1:
        raise SettingError(
            f"criteria {list(criteria)}, pruning rounds {list(rounds)} and a pool of {size}: give "
            "at least one criterion, rounds of 1 or more, and a pool of 1 or more"
        )


def _cells(
    sparsity: float, support: float, criteria: Sequence[str], rounds: Sequence[int], layers: int
) -> Iterator[_Cell]:
    """Yield the combinations that differ: of the random criterion one number of rounds does."""
    exact = abs(support - sparsity) < 1e-9
    for name in dict.fromkeys(("random",) if exact else criteria):
        # A uniform draw ranked over all layers is the uniform scope with noise in its counts.
        scopes: tuple[str, ...] = ("uniform", "erk") if name == "random" else ("global", "uniform")
        if layers == 1 or (exact and support > 0):
            scopes = ("uniform",)
        for scope in scopes:
            assert scope in SCOPES
            for number in (1,) if name == "random" else dict.fromkeys(rounds):
                yield _Cell(sparsity, support, name, scope, number)


def _level(
    database: GraphDatabase, properties: Sequence[str], sparsity: float
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return ids and standardised properties (graphs, P) of the graphs of one sparsity."""
    ids, vectors = database.vectors(properties, sparsity=sparsity)
    spread = vectors.std(axis=0)
    # What is constant up to rounding says nothing and must not be blown up to unit variance.
    constant = spread <= 1e-9 * np.maximum(1.0, np.abs(vectors).max(axis=0))
    table = (vectors - vectors.mean(axis=0)) / np.where(constant, 1.0, spread)
    table[:, constant] = 0.0
    return ids, np.clip(table, -_FURTHEST, _FURTHEST)


def _features(
    points: Sequence[Point], properties: tuple[str, ...], vectors: Floats
) -> tuple[tuple[str, ...], Floats]:
    """Return names and columns: properties, support density, indicators, rounds, sparsity."""
    names = list(properties)
    columns = [vectors]
    # Masks of 0.95 and 0.98 differ as much as those of 0.5 and 0.8: densities go by ratio.
    supports = np.log([1.0 - point.support for point in points])
    targets = np.log([1.0 - point.sparsity for point in points])
    for name, column in (
        ("support_density", supports),
        ("sparsity", targets),
        ("pruning_rounds", np.log2([point.rounds for point in points])),
    ):
        names.append(name)
        columns.append(np.asarray(column, dtype=np.float64)[:, None])
    for field in ("criterion", "scope"):
        values = [str(getattr(point, field)) for point in points]
        for choice in sorted(set(values)):
            names.append(f"{field}={choice}")
            columns.append(np.array([[float(value == choice)] for value in values]))
    return tuple(names), np.concatenate(columns, axis=1)
