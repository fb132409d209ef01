"""The paper's search: ask → fetch → mask → train → tell, one trial at a time (algorithms 2-4)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, final

from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.engines import Observation, Proposal, Space, engine
from bogp.errors import StudyError
from bogp.keys import derive_seed
from bogp.masks import Mask
from bogp.pipeline.candidate import Candidate, TrainingResult
from bogp.pipeline.evidence import WINNER
from bogp.pipeline.fetch import Fetched, fetch, fetched_again
from bogp.pipeline.finals import Contender, FinalRuns
from bogp.pipeline.first_mask import draw_mask
from bogp.pipeline.given import network_factory
from bogp.pipeline.loop import Arm, Measured
from bogp.pipeline.records import search_record
from bogp.pipeline.results import SearchResult
from bogp.pipeline.session import open_session
from bogp.pipeline.trainer import Trainer, TrainingTask
from bogp.pipeline.workers import open_workers
from bogp.settings.search import Execution, SearchSettings
from bogp.sparsify import GRAPH
from bogp.study import Batch, FinishedTrial, PlannedTrial


@final
class PaperStrategy:
    """Asks for one property vector, or graph, after another, and trains the graph it fetches.

    Args:
        settings: of the search.
        database: whose graphs are fetched.
    """

    batch, trainings, overlapping = 1, 1, False
    tasks: int | None = None

    def __init__(self, settings: SearchSettings, database: GraphDatabase) -> None:
        self.settings, self.database = settings, database
        self.epochs: int = settings.recipe.epochs
        self.told: list[FinishedTrial] = []
        ids, vectors = database.vectors(settings.properties, sparsity=settings.sparsity)
        self.space = Space(ids, tuple(settings.properties), vectors)
        self._fetched = functools.lru_cache(maxsize=4)(self._fetch)

    def ask(self, count: int, last: bool) -> list[PlannedTrial]:
        """Return one proposal of the engine, by all that was seen."""
        seen = [Observation(_proposal(trial.point), trial.value) for trial in self.told]
        proposal = self.propose(seen)
        shown: dict[str, float | int] = (
            dict(proposal.vector) if proposal.graph_id is None else {"graph_id": proposal.graph_id}
        )
        return [
            PlannedTrial({"vector": dict(proposal.vector), "graph_id": proposal.graph_id}, shown)
        ]

    def propose(self, seen: Sequence[Observation]) -> Proposal:
        """Return what the engine proposes next."""
        settings = self.settings
        return engine(settings.engine)(self.space, seen, settings.seed, settings.kappa)

    def fetch(self, point: Mapping[str, Any]) -> Fetched:
        """Return the graph that a trial's point leads to."""
        return self._fetched(point["graph_id"], tuple(point["vector"].items()))

    def _fetch(self, graph_id: int | None, vector: tuple[tuple[str, float], ...]) -> Fetched:
        proposal = Proposal(dict(vector), graph_id)
        return fetch(self.settings.fetch)(self.database, self.settings, proposal)

    def task(self, batch: Batch, positions: Sequence[int]) -> TrainingTask:
        """Return the training of the fetched graph's mask."""
        candidate = graph_candidate(self.fetch(batch.trials[positions[0]].point))
        return TrainingTask((candidate,), (derive_seed(self.settings.seed, "trial", batch.number),))

    def measure(self, point: Mapping[str, Any], result: TrainingResult) -> Measured:
        """Return f, the accuracy, or f2, which adds alpha times the sparsity."""
        fetched, value = self.fetch(point), result.selected.accuracy
        if self.settings.alpha is not None:
            value += self.settings.alpha * fetched.sparsity
        record = result.record() | fetched.record() | {"proposed": dict(point["vector"])}
        return Measured(value, record)

    def tell(self, trials: Sequence[FinishedTrial]) -> None:
        """Note what was seen."""
        self.told += trials

    def score(self) -> None:
        """Return that nothing is noted after a trial."""

    def state(self) -> None:
        """Return nothing: the engines make each proposal from all that was seen."""

    def restore(self, state: Any) -> None:
        """Go on from what was told."""


def graph_candidate(fetched: Fetched) -> Candidate:
    """Return the candidate whose mask is a fetched graph's own."""
    return Candidate(fetched.support, GRAPH, fetched.sparsity, fetched.mask_seed)


def paper_search(
    database: GraphDatabase,
    data: Dataset | str,
    settings: SearchSettings,
    execution: Execution,
    *,
    trainer: Trainer | None = None,
    command: Mapping[str, Any],
) -> SearchResult:
    """Run the paper's search, or its random search (see :func:`bogp.search`)."""
    database.require_complete()
    strategy = PaperStrategy(settings, database)
    with open_workers(data, workers=execution.workers, executor=execution.executor) as workers:
        _rehearse(strategy, workers.dataset)
        database.warn_constant(settings.properties, settings.sparsity)
        fields = search_record(settings, workers.dataset, database)
        total = settings.trials + settings.final_seeds
        ids = int(strategy.space.graph_ids.min()), int(strategy.space.graph_ids.max())
        with open_session(
            workers,
            settings,
            execution,
            fields,
            lambda study: (total, min(settings.trials, len(study.trials()))),
            shown={**strategy.space.bounds, "graph_id": ids},
            trainer=trainer,
            command=command,
        ) as session:
            arm = Arm("search", strategy, session)
            arm.run(settings.trials)
            trials = arm.trials[: settings.trials]
            best = max(trials, key=lambda trial: trial.value)
            winner = graph_candidate(fetched_again(database, settings, best.record))
            if trainer is None:
                _check_trained(best, _mask(settings, workers.dataset, winner), database)
            runs = FinalRuns(
                session, settings.seed, settings.final_seeds, strategy.epochs, together=False
            )
            contender = Contender(WINNER, [best.number, best.record["graph"]], lambda _: winner)
            finals = runs.run([contender])
            return SearchResult(
                settings=session.fields,
                trials=trials,
                best=best,
                mask=finals.masks.get(WINNER),
                finals=finals.runs,
                weights=finals.weights.get(WINNER),
            )


def _proposal(point: Mapping[str, Any]) -> Proposal:
    return Proposal(point["vector"], point["graph_id"])


def _rehearse(strategy: PaperStrategy, dataset: Dataset) -> None:
    """Go through a first trial without its training.

    A setting that cannot work is refused here, before there is a study that was made with it.
    """
    settings = strategy.settings
    proposal = strategy.propose([])
    target = dict.fromkeys(settings.properties, 1.0)
    strategy.database.nearest(target, metric=settings.metric, scale=settings.scale)
    fetched = strategy.fetch({"vector": proposal.vector, "graph_id": proposal.graph_id})
    _mask(settings, dataset, graph_candidate(fetched))


def _mask(settings: SearchSettings, dataset: Dataset, candidate: Candidate) -> Mask:
    assert candidate.sparsity is not None
    return draw_mask(
        network_factory(settings.model, dataset),
        layers=settings.layers,
        sparsity=candidate.sparsity,
        support=candidate.support,
        mask_seed=candidate.mask_seed,
    )


def _check_trained(trial: FinishedTrial, mask: Mask, database: GraphDatabase) -> None:
    """Raise StudyError unless ``mask`` is the one that the trial was trained with."""
    trained = trial.record["mask"]
    if mask.fingerprint != trained:
        raise StudyError(
            f"graph {trial.record['graph']} of {str(database.path)!r} gives another mask than the "
            f"one that trial {trial.number} was trained with ({mask.fingerprint}, not {trained}): "
            "give the database that was searched"
        )
