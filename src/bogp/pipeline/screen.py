"""Screening: train many graphs of a database in populations, the poorer ones only for a while."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bogp.analysis import RankCorrelation, rank_correlation
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.pipeline.candidate import Candidate, TrainingResult, finite_or_none
from bogp.pipeline.loop import Arm, Measured
from bogp.pipeline.records import screen_halving, screen_record
from bogp.pipeline.session import open_database, open_session
from bogp.pipeline.trainer import Trainer, TrainingTask
from bogp.pipeline.workers import open_workers
from bogp.settings import check_is
from bogp.settings.search import Execution, OnTrial, ScreenSettings
from bogp.sparsify import GRAPH
from bogp.study import Batch, FinishedTrial, PlannedTrial
from bogp.types import Progress

_FEWEST = 4
"""Graphs of a rank correlation."""


@dataclass(frozen=True)
class Screening:
    """A finished screening: its graphs, best first, and what training them cost.

    Attributes:
        settings: every setting that can change a result, as a JSON object.
        trials: one a graph, which is ``trial.point["graph"]``; those that halving stopped come
            after all that ran to the end, those that diverged last. Their records have
            ``accuracies`` on the data that selects and mean training ``losses``, one an epoch.
    """

    settings: Mapping[str, Any]
    trials: tuple[FinishedTrial, ...]

    @property
    def epochs(self) -> int:
        """Epochs of training spent, all graphs together."""
        return sum(int(trial.record["epochs"]) for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Time of all trainings, in seconds."""
        return float(sum(trial.record["seconds"] for trial in self.trials))

    @property
    def full_epochs(self) -> int:
        """What training every graph to its end would have cost, in epochs."""
        return len(self.trials) * int(self.settings["recipe"]["epochs"])

    def correlations(self) -> tuple[RankCorrelation, ...]:
        """Return Spearman's correlation of the accuracy after epoch 1, 2, … with the final one.

        Graphs that a rung stopped have no final accuracy and do not count, so with rungs it is that
        of the survivors, which is lower than that of all: screen without rungs to see what a rung
        would have missed. A graph counts for the epochs before its last.
        """
        whole = [trial.record["accuracies"] for trial in self.trials if not trial.stopped]
        found = []
        for epoch in range(max(map(len, whole), default=1) - 1):
            pairs = [(one[epoch], one[-1]) for one in whole if len(one) > epoch + 1]
            if len(pairs) < _FEWEST:
                break
            early, final_ = np.array(pairs).T
            found.append(rank_correlation(early, final_, seed=0))
        return tuple(found)


@final
class ScreenStrategy:
    """Trains the graphs of a sample, a population after another.

    Args:
        settings: of the screening.
        database: that holds the graphs.
        graphs: ids of the graphs, in the order in which they are trained.
    """

    overlapping, trainings = True, 1
    tasks: int | None = None

    def __init__(
        self, settings: ScreenSettings, database: GraphDatabase, graphs: Sequence[int]
    ) -> None:
        self.settings, self.database, self.graphs = settings, database, graphs
        self.batch = settings.population
        self.epochs: int = settings.recipe.epochs
        self.asked = 0

    def ask(self, count: int, last: bool) -> list[PlannedTrial]:
        """Return the next graphs of the sample, as one population."""
        chosen = self.graphs[self.asked : self.asked + count]
        self.asked += len(chosen)
        return [
            PlannedTrial({"graph": graph, "population": "0"}, {"graph": graph}) for graph in chosen
        ]

    def task(self, batch: Batch, positions: Sequence[int]) -> TrainingTask:
        """Return the training of one population."""
        seed, chosen = self.settings.seed, [batch.trials[at].point["graph"] for at in positions]
        records = [self.database.record(graph) for graph in chosen]
        candidates = tuple(
            Candidate(
                support=record.graph if record.mask is None else record.mask,
                method=GRAPH,
                sparsity=record.sparsity,
                mask_seed=derive_seed(seed, "mask", record.id),
            )
            for record in records
        )
        seeds = tuple(derive_seed(seed, "screened", graph) for graph in chosen)
        order = derive_seed(seed, "order")
        return TrainingTask(candidates, seeds, order, screen_halving(self.settings), exact=False)

    def measure(self, point: Mapping[str, Any], result: TrainingResult) -> Measured:
        """Return the last accuracy of a graph, and its training losses."""
        losses = [finite_or_none(loss) for loss in result.losses]
        return Measured(result.selected.accuracy, result.record() | {"losses": losses})

    def tell(self, trials: Sequence[FinishedTrial]) -> None:
        """Take nothing in: the sample was drawn before."""

    def score(self) -> None:
        """Return that nothing is noted after a population."""

    def state(self) -> int:
        """Return how many graphs were asked for."""
        return self.asked

    def restore(self, state: int) -> None:
        """Go on after so many graphs."""
        self.asked = state


def screen(  # noqa: D417 (the rest is as in search)
    database: GraphDatabase | str | os.PathLike[str],
    data: Dataset | str,
    settings: ScreenSettings,
    *,
    trainer: Trainer | None = None,
    study: str | os.PathLike[str] | None = Execution.study,
    name: str | None = Execution.name,
    workers: int = Execution.workers,
    executor: Executor | None = Execution.executor,
    retries: int = Execution.retries,
    progress: Progress | None = Execution.progress,
    on_trial: OnTrial | None = Execution.on_trial,
) -> Screening:
    """Train many graphs of a database at once and rank them.

    Each graph is in ``study`` as it ends; the same call resumes. A graph's result depends on its
    own seeds and, with rungs, on whom its population compares it with: never on memory, threads or
    devices beyond rounding.

    Args:
        database: a graph database or its file.
        data: a dataset or its name.
        settings: what to train; ``ScreenSettings(sparsity=0.9)`` first.
        trainer, study, name, workers, executor, retries, progress, on_trial: as in
            :func:`bogp.search`.

    Returns:
        The graphs, best first by their last accuracy, stopped ones after all that ran to the end.

    Raises:
        SettingError: a setting is out of range.
        DatabaseError, SparsityError: the database has no graphs of that sparsity.
        StudyError: the study was made with other settings, or is in use.
    """
    check_is(settings, ScreenSettings)
    execution = Execution(
        study=study,
        name=name,
        workers=workers,
        executor=executor,
        retries=retries,
        progress=progress,
        on_trial=on_trial,
    )
    with contextlib.ExitStack() as stack:
        database = open_database(database, stack)
        graphs = _sample(database, settings)
        training = stack.enter_context(open_workers(data, workers=workers, executor=executor))
        fields = screen_record(settings, training.dataset, database)
        session = stack.enter_context(
            open_session(
                training,
                settings,
                execution,
                fields,
                lambda study: (len(graphs), len(study.trials())),
                shown={"graph": (min(graphs), max(graphs))},
                trainer=trainer,
                command={"made_by": "bogp screen"},
            )
        )
        arm = Arm("search", ScreenStrategy(settings, database, graphs), session)
        arm.run(len(graphs))
        return Screening(session.fields, tuple(sorted(arm.trials, key=_rank)))


def _rank(trial: FinishedTrial) -> tuple[bool, bool, float, int]:
    diverged: bool = trial.record["diverged"]
    return diverged, trial.stopped, -trial.value, trial.point["graph"]


def _sample(database: GraphDatabase, settings: ScreenSettings) -> list[int]:
    """Return the ids of the graphs to screen, in random order."""
    ids, _ = database.vectors(database.names[:1], sparsity=settings.sparsity)
    order = np.random.default_rng(derive_seed(settings.seed, "screen")).permutation(ids)
    wanted = len(ids) if settings.graphs is None else settings.graphs
    if wanted > len(ids):
        raise SettingError(
            f"{wanted} graphs are more than the {len(ids)} of sparsity {settings.sparsity:g} in "
            f"{str(database.path)!r}: ask for fewer, or build a larger database"
        )
    return [int(graph) for graph in order[:wanted]]
