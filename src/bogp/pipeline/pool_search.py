"""The pool search: Bayesian optimisation over graph × support density × criterion × rounds."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bogp.analysis import mean_interval
from bogp.data import PROTOCOLS, Dataset
from bogp.database import GraphDatabase
from bogp.engines import ParetoSearch, PoolSearch
from bogp.errors import SettingError, SparsityError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks import choose_layers, complete_mask, prunable_layers
from bogp.pipeline.arm import Arm
from bogp.pipeline.bench import (
    LOST,
    Bench,
    Counter,
    Work,
)
from bogp.pipeline.evidence import RANDOM, WINNER, weigh
from bogp.pipeline.finals import Contender, Finals, run_finals
from bogp.pipeline.given import network_factory
from bogp.pipeline.pool_settings import PoolSettings
from bogp.pipeline.pruning import Support, draw_mask, support_mask
from bogp.pipeline.results import FinalRun, FrontPoint, SearchResult, study_name
from bogp.pipeline.sharing import Group, candidate_support, groups_of_database
from bogp.pipeline.space import CandidateSpace, Point, candidate_space
from bogp.pipeline.workers import evaluator
from bogp.sparsity import kept_count
from bogp.study import FinishedTrial, Study
from bogp.training import ModelFactory, initialise
from bogp.types import Progress

TRIALS = 64
"""Trainings of a pool search, if none are asked for."""


def pool_search(
    database: GraphDatabase,
    data: Dataset | str,
    settings: PoolSettings,
    work: Work,
    *,
    trials: int,
    final_seeds: int,
) -> SearchResult:
    """Run a pool search (see :func:`bogp.search`, whose arguments these are)."""
    with opened_bench(
        database, data, settings, work, trials=trials, final_seeds=final_seeds
    ) as bench:
        return run_pool_search(bench, trials, final_seeds)


@contextlib.contextmanager
def opened_bench(
    database: GraphDatabase,
    data: Dataset | str,
    chosen: PoolSettings,
    work: Work,
    *,
    trials: int,
    final_seeds: int,
) -> Iterator[Bench]:
    """Check everything, then open study and workers for as long as the block runs."""
    if trials < 1 or final_seeds < 0 or work.workers < 1:
        raise SettingError(
            f"{trials} trials, {final_seeds} final seeds, {work.workers} workers: "
            "give >= 1, >= 0, >= 1"
        )
    database.require_complete()
    with evaluator(data, workers=work.workers, executor=work.executor) as evaluate:
        dataset = evaluate.dataset
        factory = network_factory(chosen.model, dataset)
        space = _space(chosen, database, factory)
        supports = _supports(database, chosen, factory)
        space = _rehearsed(chosen, database, space, supports, factory)
        fields = chosen.fields(dataset, database)
        with Study(
            work.study,
            fields,
            name=study_name(work.name, fields),
            objectives=("accuracy", "sparsity") if chosen.pareto else ("accuracy",),
            space=space.ranges(),
            retries=work.retries,
        ) as opened:
            opened.note("command", dict(work.command))
            counter = _counter(opened, chosen, trials, final_seeds, work.progress)
            yield Bench(
                chosen,
                space,
                supports,
                evaluate.data,
                opened,
                evaluate,
                counter,
                work.on_trial,
                fields,
            )


def run_pool_search(
    bench: Bench,
    trials: int,
    final_seeds: int,
    *,
    beside: Callable[[Point], Sequence[Contender]] = lambda _: (),
    controls: bool = True,
) -> SearchResult:
    """Return what a pool search on ``bench`` finds.

    Contenders ``beside`` are trained on the winner's fresh seeds too; without ``controls`` none of
    those is.
    """
    arms, fields = _run_arms(bench, trials), dict(bench.fields)
    if bench.settings.pareto:
        return _trade_off(bench, arms, final_seeds, fields)
    return _single(bench, arms, final_seeds, fields, beside, controls)


def _run_arms(bench: Bench, trials: int) -> list[Arm]:
    """Run the search and, unless it is left out, random search at the same cost or above."""
    settings = bench.settings
    search = Arm("search", _engine(bench, settings.acquisition), bench)
    search.run(trials)
    if not settings.random_arm:
        return [search]
    other = Arm("random", _engine(bench, "random"), bench)
    other.run(trials, search.epochs)
    return [search, other]


def _counter(
    study: Study, settings: PoolSettings, trials: int, final_seeds: int, progress: Progress | None
) -> Counter:
    """Return the count of trainings: those that there will be, and those that there are."""
    total, done = final_seeds, 0
    for arm in ("search", "random") if settings.random_arm else ("search",):
        total += max(trials, sum(len(batch.trials) for batch in study.batches(arm)))
        done += len(study.trials(arm))
    return Counter(progress, total, done)


def _space(
    settings: PoolSettings, database: GraphDatabase, factory: ModelFactory
) -> CandidateSpace:
    names = database.select_names(settings.properties or _informative(database))
    return candidate_space(
        database,
        sparsities=settings.targets(database),
        properties=names,
        criteria=settings.criteria,
        rounds=settings.rounds,
        layers=len(choose_layers(initialise(factory, 0), settings.layers)),
        size=settings.pool,
        seed=settings.seed,
    )


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


def _supports(
    database: GraphDatabase, settings: PoolSettings, factory: ModelFactory
) -> Callable[[Point], Support]:
    groups: tuple[Group, ...] = ()
    if settings.share != "model":
        model = initialise(factory, 0)
        names = choose_layers(model, settings.layers)
        layers = [layer for layer in prunable_layers(model) if layer.name in names]
        groups = groups_of_database(layers, settings.share, database.nodes, settings.nodes)

    @functools.lru_cache(maxsize=4096)
    def stored(graph: int) -> Support:
        return candidate_support(database.record(graph), groups, settings.share)

    return lambda point: None if point.graph is None else stored(point.graph)


def _rehearsed(
    settings: PoolSettings,
    database: GraphDatabase,
    space: CandidateSpace,
    supports: Callable[[Point], Support],
    factory: ModelFactory,
) -> CandidateSpace:
    """Draw one mask of each kind: what cannot work is refused before there is a study.

    Of a perceptron; of any other network what graphs have too few weights in its layers (blocks of
    a grouped convolution, groups of unlike width) is left out of the space that is returned.
    """
    if settings.protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", settings.protocol, PROTOCOLS)
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
    settings: PoolSettings,
    space: CandidateSpace,
    supports: Callable[[Point], Support],
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


def _engine(bench: Bench, acquisition: str) -> PoolSearch | ParetoSearch:
    """Return an engine that asks for the known methods first, where a batch has room for them."""
    settings, space = bench.settings, bench.space
    options: dict[str, Any] = {
        "seed": derive_seed(settings.seed, "engine", acquisition),
        "acquisition": acquisition,
        "initial": () if acquisition == "random" else _initial(settings, space),
    }
    if settings.pareto:
        options["acquisition"] = "random" if acquisition == "random" else "ehvi"
        return ParetoSearch(space.features, space.sparsities, reference=bench.reference, **options)
    return PoolSearch(space.features, **options)


def _initial(settings: PoolSettings, space: CandidateSpace) -> tuple[int, ...]:
    """Return the known methods to begin with: at most 3/4 of a batch, or one of each criterion.

    They are spread over the sparsities.
    """
    anchors = list(space.anchors)
    if settings.begin == "known":
        several = [row for row in anchors if space.points[row].scope != "uniform"]
        return tuple(several or anchors)
    room = max(1, 3 * settings.asked_together // 4)
    if len(anchors) <= room:
        return tuple(anchors)
    step = len(anchors) / room
    # A step that shares no factor with the methods of one sparsity takes another at each.
    return tuple(anchors[int(k * step)] for k in range(room))


def _single(
    bench: Bench,
    arms: Sequence[Arm],
    count: int,
    settings: dict[str, Any],
    beside: Callable[[Point], Sequence[Contender]],
    controls: bool,
) -> SearchResult:
    search = arms[0]
    best = search.best()
    points = bench.space.points
    contenders = [Contender(WINNER, points[best])]
    contenders += [Contender(RANDOM, points[other.best()]) for other in arms[1:]]
    finals = run_finals(bench, [*contenders, *beside(points[best])], count, controls=controls)
    runs = tuple(
        FinalRun(run.seed, run.accuracy, run.loss) for run in finals.runs if run.name == WINNER
    )
    return SearchResult(
        settings,
        search.trials,
        _best_trial(search, best),
        finals.masks[WINNER],
        runs,
        random_trials=tuple(trial for other in arms[1:] for trial in other.trials),
        evidence=weigh(search, best, finals),
        epochs=_spent(arms, finals),
    )


def _best_trial(arm: Arm, index: int) -> FinishedTrial:
    own = [trial for trial in arm.told if trial.point["index"] == index]
    return max(own, key=lambda trial: (not trial.stopped, trial.value))


def _trade_off(
    bench: Bench, arms: Sequence[Arm], count: int, settings: dict[str, Any]
) -> SearchResult:
    search = arms[0]
    contenders = [
        Contender(f"{arm.name} {index}", bench.space.points[index])
        for arm in (arms if count else arms[:1])
        for index in arm.front()
    ]
    finals = run_finals(bench, contenders, count, controls=False)
    fronts = {arm.name: _front(arm, bench.space, finals) for arm in arms}
    best = max(search.told, key=lambda trial: (not trial.stopped, trial.value))
    return SearchResult(
        settings,
        search.trials,
        best,
        None,
        (),
        random_trials=tuple(trial for other in arms[1:] for trial in other.trials),
        front=fronts["search"],
        random_front=fronts.get("random", ()),
        hypervolumes={arm.name: tuple(arm.hypervolumes) for arm in arms},
        epochs=_spent(arms, finals),
    )


def _front(arm: Arm, space: CandidateSpace, finals: Finals) -> tuple[FrontPoint, ...]:
    found = []
    for index in arm.front():
        name = f"{arm.name} {index}"
        own = [run for run in finals.runs if run.name == name]
        mean, deviation = arm.engine.posterior([index])
        found.append(
            FrontPoint(
                space.points[index],
                (float(mean[0]), float(deviation[0])),
                mean_interval([run.selected for run in own]) if own else None,
                mean_interval([run.accuracy for run in own]) if own else None,
                finals.masks.get(name),
            )
        )
    return tuple(found)


def _spent(arms: Sequence[Arm], finals: Finals) -> dict[str, int]:
    """Return all the training, in epochs, by what it was spent on."""
    names = {"search": "search", "random": "random search"}
    spent = {names[arm.name]: arm.epochs for arm in arms}
    spent["fresh seeds and controls"] = finals.epochs
    lost = sum(arm.lost for arm in arms) + finals.lost
    return spent | ({LOST: lost} if lost else {})
