"""The pool search: Bayesian optimisation over graph × support density × criterion × rounds."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from bogp.analysis import mean_interval
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.masks import prunable
from bogp.pipeline.arm import Arm, Bench, OnTrial
from bogp.pipeline.evidence import (
    RANDOM,
    WINNER,
    Contender,
    Finals,
    run_finals,
    weigh,
)
from bogp.pipeline.pool_settings import PoolSettings, pool_settings
from bogp.pipeline.pruning import Support, draw_mask
from bogp.pipeline.results import FinalRun, FrontPoint, SearchResult
from bogp.pipeline.space import CandidateSpace, Point, candidate_space
from bogp.pipeline.workers import evaluator
from bogp.search import FinishedTrial, ParetoSearch, PoolSearch, Study
from bogp.training import ModelFactory, initialise, model_factory

Progress = Callable[[int, int], None]

TRIALS = 64
"""Trainings of a pool search, if none are asked for."""


def pool_search(
    database: GraphDatabase,
    data: Dataset | str,
    *,
    trials: int,
    final_seeds: int,
    study: str | os.PathLike[str] | None,
    name: str,
    workers: int,
    executor: Executor | None,
    retries: int,
    progress: Progress | None,
    on_trial: OnTrial | None,
    command: dict[str, Any],
    **settings: Any,
) -> SearchResult:
    """Run a pool search (see :func:`bogp.search`, whose arguments these are)."""
    chosen = pool_settings(settings)
    if trials < 1 or final_seeds < 0 or workers < 1:
        raise SettingError(
            f"{trials} trials, {final_seeds} final seeds, {workers} workers: give >= 1, >= 0, >= 1"
        )
    database.require_complete()
    with evaluator(data, workers=workers, executor=executor) as evaluate:
        dataset = evaluate.dataset
        factory = model_factory(chosen.model, dataset.features, dataset.classes)
        space = _space(chosen, database, factory)
        supports = _supports(database)
        _rehearse(chosen, space, supports, factory)
        counter = _Counter(progress, (2 if chosen.random_arm else 1) * trials + final_seeds)
        with Study(
            study,
            chosen.fields(dataset, database),
            name=name,
            objectives=("accuracy", "sparsity") if chosen.pareto else ("accuracy",),
            space=space.ranges(),
            retries=retries,
        ) as opened:
            opened.note("command", command)
            bench = Bench(
                chosen, space, supports, evaluate.data, opened, evaluate, counter.add, on_trial
            )
            counter.add(_ended(opened, chosen))
            arms = _run_arms(bench, trials, dataset.classes)
            finish = _trade_off if chosen.pareto else _single
            return finish(bench, arms, final_seeds, chosen.fields(dataset, database))


def _run_arms(bench: Bench, trials: int, classes: int) -> tuple[Arm, Arm | None]:
    """Run the search and, unless it is left out, random search at the same cost or above."""
    settings, space = bench.settings, bench.space
    search = Arm("search", _engine(settings, space, settings.acquisition, classes), bench)
    search.run(trials)
    if not settings.random_arm:
        return search, None
    other = Arm("random", _engine(settings, space, "random", classes), bench)
    other.run(trials, search.epochs)
    return search, other


class _Counter:
    """Trainings done, of about as many as there will be."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.done, self.total = progress, 0, total

    def add(self, count: int) -> None:
        self.done += count
        self.total = max(self.total, self.done)
        if self.progress:
            self.progress(self.done, self.total)


def _ended(study: Study, settings: PoolSettings) -> int:
    arms = ("search", "random") if settings.random_arm else ("search",)
    return sum(len(study.trials(arm)) for arm in arms)


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
        layers=len(prunable(initialise(factory, 0), settings.layers)),
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


def _supports(database: GraphDatabase) -> Callable[[Point], Support]:
    @functools.lru_cache(maxsize=4096)
    def stored(graph: int) -> Support:
        record = database.record(graph)
        return record.graph if record.mask is None else record.mask

    return lambda point: None if point.graph is None else stored(point.graph)


def _rehearse(
    settings: PoolSettings,
    space: CandidateSpace,
    supports: Callable[[Point], Support],
    factory: ModelFactory,
) -> None:
    """Draw one mask of each kind: what cannot work is refused before there is a study."""
    kinds = {(point.sparsity, point.support): point for point in space.points}
    for point in kinds.values():
        draw_mask(
            factory,
            layers=settings.layers,
            sparsity=point.sparsity,
            support=supports(point),
            mask_seed=0,
        )


def _engine(
    settings: PoolSettings, space: CandidateSpace, acquisition: str, classes: int
) -> PoolSearch | ParetoSearch:
    """Return an engine that asks for the known methods first, where a batch has room for them.

    The hypervolume of a trade-off is measured from chance and from the dense network.
    """
    options: dict[str, Any] = {
        "seed": derive_seed(settings.seed, "engine", acquisition),
        "acquisition": acquisition,
        "initial": () if acquisition == "random" else _initial(settings, space),
    }
    if settings.pareto:
        options["acquisition"] = "random" if acquisition == "random" else "ehvi"
        reference = (1.0 / classes, 0.0)
        return ParetoSearch(space.features, space.sparsities, reference=reference, **options)
    return PoolSearch(space.features, **options)


def _initial(settings: PoolSettings, space: CandidateSpace) -> tuple[int, ...]:
    """Return the known methods to begin with: at most half a batch, spread over sparsities."""
    room = max(1, settings.batch // 2)
    anchors = list(space.anchors)
    if len(anchors) <= room:
        return tuple(anchors)
    step = len(anchors) / room
    # A step that shares no factor with the methods of one sparsity takes another at each.
    return tuple(anchors[int(k * step)] for k in range(room))


def _single(
    bench: Bench, arms: tuple[Arm, Arm | None], count: int, settings: dict[str, Any]
) -> SearchResult:
    search, other = arms
    best = search.engine.recommend()
    points = bench.space.points
    contenders = [Contender(WINNER, points[best])]
    if other is not None:
        contenders.append(Contender(RANDOM, points[other.engine.recommend()]))
    finals = run_finals(bench, contenders, count, controls=True)
    runs = tuple(
        FinalRun(run.seed, run.accuracy, run.loss) for run in finals.runs if run.name == WINNER
    )
    return SearchResult(
        settings,
        search.trials,
        _best_trial(search, best),
        finals.masks.get(WINNER) or _first_mask(bench, points[best]),
        runs,
        random_trials=() if other is None else other.trials,
        evidence=weigh(search, best, finals),
        epochs=_spent([search] if other is None else [search, other], finals),
    )


def _best_trial(arm: Arm, index: int) -> FinishedTrial:
    own = [trial for trial in arm.told if trial.point["index"] == index]
    return max(own, key=lambda trial: (not trial.stopped, trial.value))


def _first_mask(bench: Bench, point: Point) -> Any:
    """Return the mask on the first fresh seed, where no network was trained on any."""
    seed = derive_seed(bench.settings.seed, "final", 0)
    task = bench.task([bench.plan(point, seed)], 0, keep=True)
    return bench.evaluator.submit(task).result()[0].mask


def _trade_off(
    bench: Bench, arms: tuple[Arm, Arm | None], count: int, settings: dict[str, Any]
) -> SearchResult:
    search, other = arms
    sides = [search] if other is None else [search, other]
    contenders: list[Contender] = []
    for arm in sides:
        assert isinstance(arm.engine, ParetoSearch)
        contenders += [
            Contender(f"{arm.name} {index}", bench.space.points[index])
            for index in arm.engine.front()
        ]
    finals = run_finals(bench, contenders, count, controls=False)
    fronts = {arm.name: _front(arm, bench.space, finals) for arm in sides}
    best = max(search.told, key=lambda trial: trial.value)
    return SearchResult(
        settings,
        search.trials,
        best,
        None,
        (),
        random_trials=() if other is None else other.trials,
        front=fronts["search"],
        random_front=fronts.get("random", ()),
        hypervolumes={arm.name: tuple(arm.hypervolumes) for arm in sides},
        epochs=_spent(sides, finals),
    )


def _front(arm: Arm, space: CandidateSpace, finals: Finals) -> tuple[FrontPoint, ...]:
    assert isinstance(arm.engine, ParetoSearch)
    found = []
    for index in arm.engine.front():
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
    names = {"search": "search", "random": "random search"}
    return {names[arm.name]: arm.epochs for arm in arms} | {
        "fresh seeds and controls": sum(run.epochs for run in finals.runs)
    }
