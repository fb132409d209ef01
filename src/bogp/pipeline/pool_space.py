"""The space of a pool search in the network at hand: what cannot work is refused or left out."""

from __future__ import annotations

import functools
from collections.abc import Callable

from bogp.controls import Bound
from bogp.database import GraphDatabase
from bogp.errors import SparsityError
from bogp.masks import choose_layers, complete_mask, prunable_layers
from bogp.pipeline.first_mask import draw_mask
from bogp.pipeline.records import searched_criteria
from bogp.pipeline.sharing import Group, candidate_support, groups_of_database
from bogp.pipeline.space import CandidateSpace, Point, candidate_space
from bogp.settings.search import SearchSettings
from bogp.sparsify import support_mask
from bogp.sparsity import kept_count
from bogp.training import ModelFactory, initialise

Supports = Callable[[Point], Bound]
"""From a point to what bounds its mask."""


def searched_space(
    settings: SearchSettings, database: GraphDatabase, factory: ModelFactory
) -> tuple[CandidateSpace, Supports]:
    """Return the points that a search chooses among, and from a point to its support.

    Raises:
        DatabaseError: the database lacks what the sparsity needs.
        GraphError, SparsityError: its graphs do not fit the network, or have too few weights.
    """
    space = _space(settings, database, factory)
    supports = _supports(database, settings, factory)
    return _rehearsed(settings, database, space, supports, factory), supports


def _space(
    settings: SearchSettings, database: GraphDatabase, factory: ModelFactory
) -> CandidateSpace:
    names = database.select_names(settings.properties or _informative(database))
    return candidate_space(
        database,
        sparsities=_targets(settings, database),
        properties=names,
        criteria=searched_criteria(settings),
        rounds=settings.rounds,
        layers=len(choose_layers(initialise(factory, 0), settings.layers)),
        size=settings.pool,
        seed=settings.seed,
    )


def _targets(settings: SearchSettings, database: GraphDatabase) -> tuple[float, ...]:
    """Return the sparsities of the masks."""
    if settings.sparsity is not None:
        return (settings.sparsity,)
    return tuple(sorted(set(settings.sparsities))) or database.sparsities


INFORMATIVE = (
    "clustering",
    "average_shortest_path_length",
    "degree_deviation",
    "degree_assortativity",
    "algebraic_connectivity",
    "spectral_gap",
    "local_efficiency",
)
"""Properties that differ at a fixed number of edges and are not each other in disguise."""


def _informative(database: GraphDatabase) -> tuple[str, ...] | None:
    """Return what a search sees by default: the informative ones that there are, or else all."""
    return tuple(name for name in INFORMATIVE if name in database.names) or None


def _supports(database: GraphDatabase, settings: SearchSettings, factory: ModelFactory) -> Supports:
    groups: tuple[Group, ...] = ()
    if settings.graph_per != "model":
        model = initialise(factory, 0)
        names = choose_layers(model, settings.layers)
        layers = [layer for layer in prunable_layers(model) if layer.name in names]
        groups = groups_of_database(layers, settings.graph_per, database.nodes, settings.nodes)

    @functools.lru_cache(maxsize=4096)
    def stored(graph: int) -> Bound:
        return candidate_support(database.record(graph), groups, settings.graph_per)

    return lambda point: None if point.graph is None else stored(point.graph)


def _rehearsed(
    settings: SearchSettings,
    database: GraphDatabase,
    space: CandidateSpace,
    supports: Supports,
    factory: ModelFactory,
) -> CandidateSpace:
    """Draw one mask of each kind: what cannot work is refused before there is a study.

    Of a perceptron; of any other network what graphs have too few weights in its layers (blocks of
    a grouped convolution, groups of unlike width) is left out of the space that is returned.
    """
    if not (isinstance(settings.model, str) and settings.model.startswith("mlp:")):
        return _feasible(settings, space, supports, factory)
    kinds = {(point.sparsity, point.support): point for point in space.points}
    for point in kinds.values():
        draw_mask(
            factory,
            layers=settings.layers,
            sparsity=point.sparsity,
            support=supports(point),
            mask_seed=0,
        )
    model = initialise(factory, 0)
    names = choose_layers(model, settings.layers)
    shapes = {tuple(parameter.shape) for parameter in model.parameters()}
    # In layers of the database's shape every graph has weights enough; in others they differ.
    doubtful = () if database.shape in shapes else space.points
    for point in dict.fromkeys(p for p in doubtful if abs(p.support - p.sparsity) < 1e-9):
        mask = support_mask(supports(point), model, names)
        if mask.kept < kept_count(mask.total, point.sparsity):
            raise SparsityError(
                f"graph {point.graph} of sparsity {point.support:g} keeps only {mask.kept:,} of "
                f"{mask.total:,} weights of model {settings.model!r}, too few for sparsity "
                f"{point.sparsity:g}: build the database with the model's shape"
            )
    return space


def _feasible(
    settings: SearchSettings,
    space: CandidateSpace,
    supports: Supports,
    factory: ModelFactory,
) -> CandidateSpace:
    """Return the space without the points whose support has fewer weights than they keep.

    Raises:
        SparsityError: no graph has as many.
    """
    model = initialise(factory, 0)
    names = choose_layers(model, settings.layers)
    room: dict[int | None, int] = {}
    rows = []
    for row, point in enumerate(space.points):
        if point.graph not in room:
            room[point.graph] = support_mask(supports(point), model, names).kept
        total = room.setdefault(None, complete_mask(model, names).kept)
        if room[point.graph] >= kept_count(total, point.sparsity):
            rows.append(row)
    if all(space.points[row].graph is None for row in rows):
        raise SparsityError(
            f"no graph of the database keeps as many weights of {type(model).__name__} as "
            f"sparsity {min(space.sparsities):g} does: build a database of denser graphs "
            "(of lower sparsities)"
        )
    return space if len(rows) == len(space.points) else space.only(rows)
