"""What all trainings of a pool search share: settings, data, study, the count of what is done."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, final

from bogp.keys import derive_seed
from bogp.pipeline.evaluation import DataSource, Plan, PopulationTask
from bogp.pipeline.pool_settings import PoolSettings
from bogp.pipeline.pruning import Method, Support
from bogp.pipeline.space import CandidateSpace, Point
from bogp.pipeline.workers import Evaluator
from bogp.study import FinishedTrial, Study
from bogp.training import recipe
from bogp.types import Progress

OnTrial = Callable[[FinishedTrial], None]

LOST = "lost and run again, at most"
"""What the training is called that a kill or a lost worker took."""


@final
class Counter:
    """Trainings done of about as many as there will be; those under way count by their epochs.

    What it reports never falls, and ends at the total.
    """

    def __init__(self, progress: Progress | None, total: int, done: int = 0) -> None:
        self._progress, self._total, self._done = progress, total, done
        self._flying: dict[int, float] = {}
        self._shown: tuple[int, int] | None = None
        self._thread = threading.get_ident()
        self.report()

    def expect(self, count: int) -> None:
        """Note that there will be ``count`` trainings more than was thought."""
        self._total += count

    def add(self, count: int) -> None:
        """Note that trainings ended."""
        self._done += count
        self.report()

    def fly(self, key: int, trainings: float) -> None:
        """Note how far a task is, in trainings; from any thread."""
        self._flying[key] = trainings
        if threading.get_ident() == self._thread:
            self.report()

    def land(self, key: int) -> None:
        """Note that a task is no longer under way."""
        self._flying.pop(key, None)

    def report(self) -> None:
        """Tell how far it all is, if that has changed; called in the thread of the search alone."""
        if self._progress is None:
            return
        now = min(self._done + int(sum(list(self._flying.values()))), self._total)
        shown = (max(now, 0 if self._shown is None else self._shown[0]), self._total)
        if shown != self._shown:
            self._shown = shown
            self._progress(*shown)


@dataclass(frozen=True)
class Work:
    """How a search is carried out: nothing of it changes a result.

    Attributes:
        study, name, workers, executor, retries, progress, on_trial: as in :func:`bogp.search`.
        command: what the study notes about its making.
    """

    study: str | os.PathLike[str] | None = None
    name: str | None = None
    workers: int = 1
    executor: Executor | None = None
    retries: int = 2
    progress: Progress | None = None
    on_trial: OnTrial | None = None
    command: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What all arms of a study share."""

    settings: PoolSettings
    space: CandidateSpace
    supports: Callable[[Point], Support]
    data: DataSource
    study: Study
    evaluator: Evaluator
    counter: Counter
    on_trial: OnTrial | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)  # all that can change a result, as JSON

    def task(self, plans: Sequence[Plan], order_seed: int, **options: Any) -> PopulationTask:
        """Return the training of ``plans`` together."""
        chosen = self.settings
        return PopulationTask(
            model=chosen.model,
            layers=chosen.layers,
            recipe=recipe(chosen.recipe),
            protocol=chosen.protocol,
            data=self.data,
            plans=tuple(plans),
            order_seed=order_seed,
            device=chosen.device,
            **options,
        )

    def plan(self, point: Point, seed: int, method: Method | None = None) -> Plan:
        """Return one training of a point: ``seed`` decides the weights and what is drawn.

        A ``method`` that is given stands for the point's own, of which it says more.
        """
        return Plan(
            support=self.supports(point),
            method=method or point.method,
            sparsity=point.sparsity,
            mask_seed=derive_seed(seed, "mask"),
            seed=seed,
        )

    def objective(self, accuracy: float, point: Point) -> float:
        """Return what the search maximises."""
        alpha = self.settings.alpha
        return accuracy if alpha is None else accuracy + alpha * point.sparsity

    @property
    def reference(self) -> tuple[float, float]:
        """Whence the hypervolume of a trade-off is measured: chance, and the dense network."""
        return 1.0 / self.evaluator.dataset.classes, 0.0
