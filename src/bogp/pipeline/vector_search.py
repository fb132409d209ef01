"""The paper's search: ask → fetch → mask → train → tell, one trial at a time (algorithms 2-4)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bogp.data import Dataset, Split, load_dataset, split
from bogp.database import GraphDatabase
from bogp.engines import Observation, Proposal, Space, engine
from bogp.errors import SettingError
from bogp.graphs import PAPER_FIVE
from bogp.keys import derive_seed
from bogp.masks import Mask
from bogp.pipeline.fetch import Fetched, fetch, fetched_again
from bogp.pipeline.pruning import GRAPH, Outcome, draw_mask, prune_and_train
from bogp.pipeline.results import FinalRun, SearchResult, study_name
from bogp.study import FinishedTrial, Study
from bogp.study.records import PlannedTrial
from bogp.training import ModelFactory, Recipe, evaluate, model_factory, recipe
from bogp.types import Progress

OnTrial = Callable[[FinishedTrial], None]


@dataclass(frozen=True)
class SearchSettings:
    """Every choice of a search that can change a trial's result.

    Attributes:
        sparsity: maximise f, the accuracy at this sparsity (algorithm 3).
        alpha: maximise f2 = accuracy + alpha · sparsity over all sparsities (algorithm 4).
        model: ``"mlp:128"`` is the paper's network.
        layers: ``"hidden"`` or ``"all"``.
        engine: ``"paper"`` or ``"random"``.
        properties: names of the properties that the engine sees.
        metric: ``"cosine"``, ``"l1"`` or ``"l2"``: what "nearest graph" means (algorithm 2).
        scale: ``"raw"`` (the paper) or ``"standardised"`` property vectors for the fetch.
        fetch: ``"nearest"``: train the nearest graph (the paper); ``"synthesize"``: change it by
            edge swaps towards the proposed vector first.
        kappa: weight of the uncertainty in the upper confidence bound.
        recipe: training recipe, by name or given.
        protocol: ``"holdout"`` selects on a part of the training set and opens the test set
            once, for the winner; ``"paper"`` selects and reports on the test set.
        seed: master seed.
    """

    sparsity: float | None = None
    alpha: float | None = None
    model: str = "mlp:128"
    layers: str = "hidden"
    engine: str = "paper"
    properties: tuple[str, ...] = PAPER_FIVE
    metric: str = "cosine"
    scale: str = "raw"
    fetch: str = "nearest"
    kappa: float = 5.0
    recipe: Recipe | str = "calibrated"
    protocol: str = "holdout"
    seed: int = 0

    def fields(self, dataset: Dataset, database: GraphDatabase) -> dict[str, Any]:
        """Return every field that can change a trial's result, as a JSON object."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return own | {
            "properties": list(self.properties),
            "recipe": recipe(self.recipe).model_dump(),
            "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "database": dict(database.plan.rows()),
        }


def vector_search(
    database: GraphDatabase,
    data: Dataset | str,
    *,
    trials: int,
    final_seeds: int,
    study: str | os.PathLike[str] | None,
    name: str | None,
    retries: int,
    progress: Progress | None,
    on_trial: OnTrial | None,
    command: Mapping[str, Any],
    **settings: Any,
) -> SearchResult:
    """Run the paper's search, or random search, one trial at a time.

    The arguments are those of :func:`bogp.search`; ``command`` is what `bogp study resume` runs.
    """
    chosen = _settings(database, trials, final_seeds, settings)
    dataset = load_dataset(data) if isinstance(data, str) else data
    run = _Run(chosen, dataset, database)
    run.rehearse()
    database.warn_constant(chosen.properties, chosen.sparsity)
    fields = chosen.fields(dataset, database)
    with Study(
        study,
        fields,
        name=study_name(name, fields),
        space=_ranges(run.space),
        retries=retries,
    ) as opened_study:
        opened_study.note("command", dict(command))
        done = run.trials(opened_study, trials, final_seeds, progress, on_trial)
        best = max(done, key=lambda trial: trial.value)
        mask, finals = run.finals(opened_study, best, trials, final_seeds, progress)
    return SearchResult(fields, done, best, mask, finals)


def _settings(
    database: GraphDatabase, trials: int, final_seeds: int, values: Mapping[str, Any]
) -> SearchSettings:
    unknown = sorted(set(values) - set(SearchSettings.__dataclass_fields__))
    if unknown:
        raise SettingError(
            f"a search with engine {values.get('engine', 'paper')!r} has no setting "
            f"{unknown[0]!r}: it has {', '.join(SearchSettings.__dataclass_fields__)}"
        )
    settings = SearchSettings(**values)
    if trials < 1 or final_seeds < 0:
        raise SettingError(f"{trials} trials and {final_seeds} final seeds: give >= 1 and >= 0")
    if (settings.sparsity is None) == (settings.alpha is None):
        raise SettingError(
            "give either a sparsity (maximise accuracy there) or an alpha "
            "(maximise accuracy + alpha * sparsity), not both or neither"
        )
    if settings.alpha is not None and not math.isfinite(settings.alpha):
        raise SettingError(f"alpha {settings.alpha} is not a number: give 0.25 say")
    if not (math.isfinite(settings.kappa) and settings.kappa >= 0):
        raise SettingError(f"kappa {settings.kappa} is out of range: give a number >= 0, 5 say")
    engine(settings.engine)
    fetch(settings.fetch)
    return settings


def proposal_of(point: Mapping[str, Any]) -> Proposal:
    """Return the proposal of a trial's point.

    >>> proposal_of({"vector": {}, "graph_id": 7}).graph_id
    7
    """
    return Proposal(point["vector"], point["graph_id"])


def _ranges(space: Space) -> dict[str, tuple[float, float] | tuple[int, int]]:
    """Return the ranges of what the study shows of a proposal: the properties, or the graph."""
    ids = int(space.graph_ids.min()), int(space.graph_ids.max())
    return {**space.bounds, "graph_id": ids}


@dataclass
class _Run:
    """One search at work: the inputs that every trial shares."""

    settings: SearchSettings
    dataset: Dataset
    database: GraphDatabase
    factory: ModelFactory = field(init=False)
    recipe: Recipe = field(init=False)
    split: Split = field(init=False)
    space: Space = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.factory = model_factory(settings.model, self.dataset.shape, self.dataset.classes)
        self.recipe = recipe(settings.recipe)
        self.split = split(self.dataset, settings.protocol, seed=0)
        ids, vectors = self.database.vectors(settings.properties, sparsity=settings.sparsity)
        self.database.require_complete()
        self.space = Space(ids, tuple(settings.properties), vectors)

    def rehearse(self) -> None:
        """Go through a first trial without its training.

        A setting that cannot work is refused here, before there is a study that was made with it.
        """
        settings = self.settings
        proposal = engine(settings.engine)(self.space, [], settings.seed, settings.kappa)
        target = dict.fromkeys(settings.properties, 1.0)
        self.database.nearest(target, metric=settings.metric, scale=settings.scale)
        self._mask(self._fetch(proposal))

    def trials(
        self,
        study: Study,
        count: int,
        final_seeds: int,
        progress: Progress | None,
        on_trial: OnTrial | None,
    ) -> tuple[FinishedTrial, ...]:
        """Run trials until the study holds ``count`` and return its first ``count``."""
        if progress:
            progress(min(count, len(study.trials())), count + final_seeds)
        while len(done := study.trials()) < count:
            # A batch that a process left behind is run before another is asked.
            left = [batch for batch in study.batches() if study.missing(batch)]
            batch = left[0] if left else study.open_batch("search", [self._ask(done)])
            study.begin(batch, (0,))
            value, record = self._evaluate(proposal_of(batch.trials[0].point), batch.number)
            trial = study.finish(batch, 0, value, record)
            if on_trial:
                on_trial(trial)
            if progress:
                progress(len(done) + 1, count + final_seeds)
        return done[:count]

    def _ask(self, done: Sequence[FinishedTrial]) -> PlannedTrial:
        seen = [Observation(proposal_of(trial.point), trial.value) for trial in done]
        ask, settings = engine(self.settings.engine), self.settings
        proposal = ask(self.space, seen, settings.seed, settings.kappa)
        shown: dict[str, float | int] = (
            dict(proposal.vector) if proposal.graph_id is None else {"graph_id": proposal.graph_id}
        )
        point = {"vector": dict(proposal.vector), "graph_id": proposal.graph_id}
        return PlannedTrial(point, shown)

    def _evaluate(self, proposal: Proposal, number: int) -> tuple[float, dict[str, Any]]:
        fetched = self._fetch(proposal)
        outcome = self._train(fetched, derive_seed(self.settings.seed, "trial", number))
        value = outcome.selected.accuracy
        if self.settings.alpha is not None:
            value += self.settings.alpha * fetched.sparsity
        return value, outcome.record() | fetched.record() | {"proposed": dict(proposal.vector)}

    def _fetch(self, proposal: Proposal) -> Fetched:
        return fetch(self.settings.fetch)(self.database, self.settings, proposal)

    def _train(self, fetched: Fetched, seed: int) -> Outcome:
        return prune_and_train(
            self.factory,
            self.split,
            self.recipe,
            layers=self.settings.layers,
            sparsity=fetched.sparsity,
            method=GRAPH,
            support=fetched.support,
            mask_seed=fetched.mask_seed,
            seed=seed,
        )

    def finals(
        self,
        study: Study,
        best: FinishedTrial,
        trials: int,
        count: int,
        progress: Progress | None,
    ) -> tuple[Mask, tuple[FinalRun, ...]]:
        """Train the winner on fresh seeds; the report set is opened here and nowhere else."""
        fetched = fetched_again(self.database, self.settings, best.record)
        made = "" if fetched.made is None else f", trial {best.number}"
        name = f"finals of graph {fetched.graph_id}{made}"
        runs = [FinalRun(**stored) for stored in study.noted(name, [])][:count]
        if progress:
            progress(trials + len(runs), trials + count)
        for number in range(len(runs), count):
            seed = derive_seed(self.settings.seed, "final", number)
            outcome = self._train(fetched, seed)
            data = self.split.report_inputs, self.split.report_targets
            metrics = evaluate(outcome.model, *data)
            loss = metrics.loss if math.isfinite(metrics.loss) else None
            runs.append(FinalRun(seed, metrics.accuracy, loss))
            study.note(name, [vars(run) for run in runs])
            if progress:
                progress(trials + number + 1, trials + count)
        return self._mask(fetched), tuple(runs)

    def _mask(self, fetched: Fetched) -> Mask:
        return draw_mask(
            self.factory,
            layers=self.settings.layers,
            sparsity=fetched.sparsity,
            support=fetched.support,
            mask_seed=fetched.mask_seed,
        )
