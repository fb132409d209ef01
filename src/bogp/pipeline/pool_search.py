"""The pool search: Bayesian optimisation over graph × support density × criterion × rounds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bogp.analysis import mean_interval
from bogp.criteria import criterion
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.engines import ParetoSearch, PoolSearch
from bogp.keys import derive_seed
from bogp.pipeline.candidate import Candidate
from bogp.pipeline.control_candidates import ControlMaker
from bogp.pipeline.evidence import RANDOM, WINNER, weigh
from bogp.pipeline.finals import ByMask, Contender, FinalRuns, Finals
from bogp.pipeline.given import GivenModel, network_factory
from bogp.pipeline.loop import Arm
from bogp.pipeline.pool import PoolStrategy
from bogp.pipeline.pool_space import searched_space
from bogp.pipeline.records import search_record, searched_criteria
from bogp.pipeline.results import LOST, FrontPoint, SearchResult
from bogp.pipeline.session import Session, open_session
from bogp.pipeline.space import CandidateSpace, Point
from bogp.pipeline.trainer import Trainer
from bogp.pipeline.workers import open_workers
from bogp.settings.search import Execution, SearchSettings
from bogp.sparsify import Method, Support
from bogp.study import FinishedTrial, Study
from bogp.training import ModelFactory


@dataclass(frozen=True)
class PoolStudy:
    """A pool search with everything open that it needs.

    Attributes:
        settings: every choice in it.
        session: study, workers and trainer.
        space: the points to choose from.
        supports: from a point to what bounds its mask.
        dataset: the data.
        factory: makes the network.
        fields: all that can change a result, as a JSON object.
    """

    settings: SearchSettings
    session: Session
    space: CandidateSpace
    supports: Callable[[Point], Support]
    dataset: Dataset
    factory: ModelFactory
    fields: dict[str, Any]

    def contender(self, name: str, point: Point, method: Method | None = None) -> Contender:
        """Return a point to be trained on fresh seeds; a ``method`` stands for its own."""
        record = [point.record()] if method is None else [point.record(), method.record()]
        return Contender(name, record, lambda seed: self.candidate(point, seed, method))

    def candidate(self, point: Point, seed: int, method: Method | None = None) -> Candidate:
        """Return a point as a candidate, with what is random about its mask drawn by ``seed``.

        A ``method`` that is given stands for the point's own, of which it says more.
        """
        if method is None:
            named = {criterion(given).name: given for given in searched_criteria(self.settings)}
            own = point.method
            method = replace(own, criterion=named.get(point.criterion, point.criterion))
        support = self.supports(point)
        return Candidate(support, method, point.sparsity, derive_seed(seed, "mask"))

    def strategy(self, acquisition: str) -> PoolStrategy:
        """Return the strategy of one arm: they differ in the acquisition alone."""
        reference = 1.0 / self.dataset.classes, 0.0  # chance, and the dense network
        engine = _engine(self.settings, self.space, acquisition, reference)
        return PoolStrategy(self.settings, self.space, self.candidate, engine, reference)

    def finals(self, controls: bool, by_mask: ByMask | None = None) -> FinalRuns:
        """Return how networks are trained on fresh seeds."""
        model = self.settings.model
        fixed = isinstance(model, GivenModel) and not model.fresh
        return FinalRuns(
            self.session,
            self.settings.seed,
            self.settings.final_seeds,
            self.settings.recipe.epochs,
            controls=ControlMaker(self.factory, fixed) if controls else None,
            by_mask=by_mask,
        )


@contextlib.contextmanager
def open_pool_study(
    database: GraphDatabase,
    data: Dataset | str,
    settings: SearchSettings,
    execution: Execution,
    *,
    trainer: Trainer | None = None,
    command: Mapping[str, Any],
) -> Iterator[PoolStudy]:
    """Check everything, then open study and workers for as long as the block runs."""
    database.require_complete()
    with open_workers(data, workers=execution.workers, executor=execution.executor) as workers:
        dataset = workers.dataset
        factory = network_factory(settings.model, dataset)
        space, supports = searched_space(settings, database, factory)
        fields = search_record(settings, dataset, database)
        with open_session(
            workers,
            settings,
            execution,
            fields,
            lambda study: _trainings(study, settings),
            shown=space.ranges(),
            objectives=("accuracy", "sparsity") if settings.pareto else ("accuracy",),
            trainer=trainer,
            command=command,
        ) as session:
            yield PoolStudy(
                settings, session, space, supports, dataset, factory, dict(session.fields)
            )


def run_pool_search(
    opened: PoolStudy,
    *,
    beside: Callable[[Point], Sequence[Contender]] = lambda _: (),
    by_mask: Callable[[Point], ByMask | None] = lambda _: None,
    controls: bool = True,
) -> SearchResult:
    """Return what a pool search finds.

    Contenders ``beside`` the winner and those ``by_mask`` are trained on its fresh seeds too, and
    its ``controls`` unless they are left out.
    """
    arms = _run_arms(opened)
    if opened.settings.pareto:
        return _trade_off(opened, arms)
    return _single(opened, arms, beside, by_mask, controls)


_Arms = dict[str, tuple[Arm, PoolStrategy]]


def _run_arms(opened: PoolStudy) -> _Arms:
    """Run the search and, unless it is left out, random search at the same cost or above."""
    settings, session = opened.settings, opened.session
    strategy = opened.strategy(settings.acquisition)
    search = Arm("search", strategy, session)
    search.run(settings.trials)
    arms = {"search": (search, strategy)}
    if settings.random_search:
        strategy = opened.strategy("random")
        other = Arm("random", strategy, session)
        other.run(settings.trials, search.epochs)
        arms["random"] = other, strategy
    return arms


def _trainings(study: Study, settings: SearchSettings) -> tuple[int, int]:
    """Return the trainings that there will be, and those that there are."""
    total, done = settings.final_seeds, 0
    for arm in ("search", "random") if settings.random_search else ("search",):
        total += max(settings.trials, sum(len(batch.trials) for batch in study.batches(arm)))
        done += len(study.trials(arm))
    return total, done


def _engine(
    settings: SearchSettings,
    space: CandidateSpace,
    acquisition: str,
    reference: tuple[float, float],
) -> PoolSearch | ParetoSearch:
    """Return an engine that asks for the known methods first, where a batch has room for them."""
    options: dict[str, Any] = {
        "seed": derive_seed(settings.seed, "engine", acquisition),
        "acquisition": acquisition,
        "initial": () if acquisition == "random" else _initial(settings, space),
    }
    if settings.pareto:
        options["acquisition"] = "random" if acquisition == "random" else "ehvi"
        return ParetoSearch(space.features, space.sparsities, reference=reference, **options)
    return PoolSearch(space.features, **options)


def _initial(settings: SearchSettings, space: CandidateSpace) -> tuple[int, ...]:
    """Return the known methods to begin with: at most 3/4 of a batch, or one of each criterion.

    They are spread over the sparsities.
    """
    anchors = list(space.anchors)
    if settings.first_batch == "known":
        several = [row for row in anchors if space.points[row].scope != "uniform"]
        return tuple(several or anchors)
    room = max(1, 3 * settings.asked_together // 4)
    if len(anchors) <= room:
        return tuple(anchors)
    step = len(anchors) / room
    # A step that shares no factor with the methods of one sparsity takes another at each.
    return tuple(anchors[int(k * step)] for k in range(room))


def _single(
    opened: PoolStudy,
    arms: _Arms,
    beside: Callable[[Point], Sequence[Contender]],
    by_mask: Callable[[Point], ByMask | None],
    controls: bool,
) -> SearchResult:
    search, strategy = arms["search"]
    points, best = opened.space.points, strategy.best()
    contenders = [opened.contender(WINNER, points[best])]
    if "random" in arms:
        contenders.append(opened.contender(RANDOM, points[arms["random"][1].best()]))
    runs = opened.finals(controls, by_mask(points[best]))
    finals = runs.run([*contenders, *beside(points[best])])
    return SearchResult(
        settings=opened.fields,
        trials=search.trials,
        best=_best_trial(search, best),
        mask=finals.masks.get(WINNER),
        finals=tuple(run for run in finals.runs if run.name == WINNER),
        random_trials=_random_trials(arms),
        evidence=weigh(strategy, best, finals),
        epochs=_spent(arms, finals),
        weights=finals.weights.get(WINNER),
    )


def _best_trial(arm: Arm, index: int) -> FinishedTrial:
    own = [trial for trial in arm.told if trial.point["index"] == index]
    return max(own, key=lambda trial: (not trial.stopped, trial.value))


def _random_trials(arms: _Arms) -> tuple[FinishedTrial, ...]:
    return arms["random"][0].trials if "random" in arms else ()


def _trade_off(opened: PoolStudy, arms: _Arms) -> SearchResult:
    search = arms["search"][0]
    shown = arms if opened.settings.final_seeds else {"search": arms["search"]}
    contenders = [
        opened.contender(f"{name} {index}", opened.space.points[index])
        for name, (_, strategy) in shown.items()
        for index in strategy.front()
    ]
    finals = opened.finals(controls=False).run(contenders)
    fronts = {
        name: _front(name, strategy, opened.space, finals) for name, (_, strategy) in arms.items()
    }
    return SearchResult(
        settings=opened.fields,
        trials=search.trials,
        best=max(search.told, key=lambda trial: (not trial.stopped, trial.value)),
        mask=None,
        finals=(),
        random_trials=_random_trials(arms),
        front=fronts["search"],
        random_front=fronts.get("random", ()),
        hypervolumes={name: tuple(arm.scores) for name, (arm, _) in arms.items()},
        epochs=_spent(arms, finals),
    )


def _front(
    arm: str, strategy: PoolStrategy, space: CandidateSpace, finals: Finals
) -> tuple[FrontPoint, ...]:
    found = []
    for index in strategy.front():
        name = f"{arm} {index}"
        own = [run for run in finals.runs if run.name == name]
        mean, deviation = strategy.engine.posterior([index])
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


def _spent(arms: _Arms, finals: Finals) -> dict[str, int]:
    """Return all the training, in epochs, by what it was spent on."""
    names = {"search": "search", "random": "random search"}
    spent = {names[name]: arm.epochs for name, (arm, _) in arms.items()}
    spent["fresh seeds and controls"] = finals.epochs
    lost = sum(arm.lost for arm, _ in arms.values()) + finals.lost
    return spent | ({LOST: lost} if lost else {})
