"""Evaluation: what a population of plans is worth, a function of the task alone.

A task goes to whatever process there is, by pickle, and its result is the same bit for bit in each
of them on one machine: :mod:`bogp.pipeline.workers` sends it there.
"""

from __future__ import annotations

import pickle
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from bogp.data import Dataset, Split
from bogp.masks import Mask
from bogp.pipeline.given import ModelSource, network_factory
from bogp.pipeline.populations import prune_and_train_population
from bogp.pipeline.pruning import Method, Outcome, Support
from bogp.pipeline.shared_data import DataSource as DataSource
from bogp.training import (
    Candidate,
    Halving,
    Metrics,
    Recipe,
    evaluate,
    torch_threads,
)
from bogp.training.randomness import seeded
from bogp.types import Progress


@dataclass(frozen=True)
class Plan:
    """One training: all that decides it but model, data and recipe.

    Attributes:
        support: what bounds the mask; None is the complete support.
        method: criterion, scope, schedule, rounds.
        sparsity: share of the prunable weights to remove.
        mask_seed: of what is random about the mask.
        seed: of the initial weights.
    """

    support: Support
    method: Method
    sparsity: float
    mask_seed: int
    seed: int


@dataclass(frozen=True)
class PopulationTask:
    """Plans that are trained together, and what they share.

    Attributes:
        model, layers, protocol, device: as in :class:`bogp.PoolSettings`.
        recipe: the training of each pruning round.
        data: where a process finds the dataset.
        plans: one a candidate.
        order_seed: of the order of the mini-batches.
        halving: stops the poorer candidates early, in the last pruning round.
        report: whether to measure on the report data too, which opens them.
        keep: whether to return masks and weights.
    """

    model: ModelSource
    layers: str | tuple[str, ...]
    recipe: Recipe
    protocol: str
    data: DataSource
    plans: tuple[Plan, ...]
    order_seed: int
    halving: Halving | None = None
    report: bool = False
    keep: bool = False
    device: str = "cpu"

    @property
    def epochs(self) -> int:
        """Epochs of all trainings of all plans together, if none is stopped."""
        return self.recipe.epochs * sum(plan.method.trainings for plan in self.plans)


@dataclass(frozen=True)
class Evaluated:
    """What became of one plan.

    Attributes:
        record: the numbers as a JSON object, as :meth:`bogp.pipeline.Outcome.record` gives them,
            and ``accuracies`` and ``ended``; of these only ``seconds`` is not a function of the
            task.
        accuracies: on the data that selects, one an epoch of the last pruning round, (epochs,).
        ended: why its training did: ``"whole"``, ``"rung"`` or ``"patience"``.
        diverged: whether it was not finite in the end.
        epochs: of all its pruning rounds.
        report: on the report data, if the task asked for it.
        mask, weights: if the task asked to keep them.
    """

    record: dict[str, Any]
    accuracies: tuple[float, ...]
    ended: str
    diverged: bool
    epochs: int
    report: Metrics | None = None
    mask: Mask | None = None
    weights: dict[str, torch.Tensor] | None = field(default=None, repr=False)


Result = tuple[Evaluated, ...]

_turn = threading.Lock()
"""Whoever evaluates: torch's random state and number of threads are of the whole process."""


def evaluate_population(
    task: PopulationTask, progress: Progress | None = None, *, threads: int | None = None
) -> Result:
    """Prune, train and measure the plans of a task; the threads of a process take turns.

    What a plan gets depends on itself and on what the task shares, never on ``threads``, memory or
    the process; and, where halving does not compare them, not on the other plans either. Compiled
    kernels run on ``threads``, all cores by default, and what torch computes on the recipe's.

    Args:
        task: what to do.
        progress: called with (epochs done, epochs in all) of all plans and pruning rounds.
        threads: CPU threads for the kernels.

    Returns:
        One for each plan, in their order.

    Raises:
        DataError: the data are not there, or are other ones.
        BogpError: see :func:`bogp.pipeline.prune_and_train_population`.
    """
    if not task.plans:
        return ()
    with _turn, torch_threads(task.recipe.threads), seeded(task.order_seed):
        dataset, parts = task.data.dataset(), task.data.split(task.protocol)
        factory = network_factory(task.model, dataset)
        if task.device != "cpu":
            parts = parts.to(task.device)
        found = prune_and_train_population(
            factory,
            parts,
            task.recipe,
            [plan.support for plan in task.plans],
            seeds=[plan.seed for plan in task.plans],
            mask_seeds=[plan.mask_seed for plan in task.plans],
            sparsity=[plan.sparsity for plan in task.plans],
            layers=task.layers,
            method=[plan.method for plan in task.plans],
            order_seed=task.order_seed,
            halving=task.halving,
            keep_weights=True,
            threads=threads,
            exact=True,
            progress=progress,
        )
        outcomes = zip(found.candidates, found.outcomes(factory, parts), strict=True)
        return tuple(_evaluated(*pair, parts, task) for pair in outcomes)


def _evaluated(
    candidate: Candidate, outcome: Outcome, parts: Split, task: PopulationTask
) -> Evaluated:
    report = None
    if task.report:
        report = evaluate(outcome.model, parts.report_inputs, parts.report_targets)
    curve = {"accuracies": list(candidate.accuracies), "ended": candidate.ended}
    return Evaluated(
        record=outcome.record() | curve,
        accuracies=candidate.accuracies,
        ended=candidate.ended,
        diverged=outcome.diverged,
        epochs=outcome.epochs,
        report=report,
        mask=candidate.mask if task.keep else None,
        weights=candidate.weights if task.keep else None,
    )


def evaluate_packed(packed: bytes, threads: int) -> bytes:
    """Return :func:`evaluate_population` of a pickled task, pickled: what executors are sent.

    Bytes of plain pickle, because what torch does to send a tensor between processes passes handles
    of files, which can run out, and needs the sender to be alive.
    """
    return pickle.dumps(evaluate_population(pickle.loads(packed), threads=threads))


_TICK = 0.2
"""Seconds between two looks at what is done."""


class Evaluator(ABC):
    """Something that evaluates tasks.

    Attributes:
        data: where its workers find the dataset: the ``data`` of its tasks.
        dataset: the same, in this process.
        capacity: tasks that it works on at one time.
    """

    capacity = 1

    def __init__(self, dataset: Dataset, data: DataSource) -> None:
        self.dataset, self.data = dataset, data

    @abstractmethod
    def submit(self, task: PopulationTask, progress: Progress | None = None) -> Future[Result]:
        """Return the Future of a task's result.

        It raises :class:`bogp.errors.WorkerLostError` where the process that evaluated is gone,
        which another try may mend, and otherwise what :func:`evaluate_population` raised.

        Args:
            task: what to evaluate.
            progress: called with (epochs done, epochs in all) of the task: in this process as
                they are done, by worker processes too, but from a thread of its own; elsewhere not.
        """

    def close(self) -> None:  # noqa: B027
        """End the workers, and with them the tasks under way."""

    def completed(
        self, tasks: Sequence[PopulationTask], progress: Progress | None = None
    ) -> Iterator[tuple[int, Future[Result]]]:
        """Yield (its position, its Future) of each task as it ends.

        No more tasks than :attr:`capacity` are under way, and none is begun before what has ended
        is taken, so that each result can be stored before it costs time to lose it. Whoever stops
        taking them cancels the tasks that have not begun.

        Args:
            tasks: what to evaluate.
            progress: called in this thread with (epochs done, epochs in all) of all the tasks;
                those of a task that has ended count as done, whatever became of it.
        """
        waiting, running = deque(enumerate(tasks)), dict[Future[Result], int]()
        done, caller = [0] * len(tasks), threading.get_ident()
        total = sum(task.epochs for task in tasks)

        def report() -> None:
            if progress is not None:
                progress(sum(done), total)

        def note(position: int, now: int, _: int) -> None:
            done[position] = min(now, tasks[position].epochs)
            if threading.get_ident() == caller:
                report()

        report()
        try:
            while waiting or running:
                while waiting and len(running) < self.capacity:
                    position, task = waiting.popleft()
                    running[self.submit(task, partial(note, position))] = position
                ended, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
                for future in sorted(ended, key=running.__getitem__):
                    position = running.pop(future)
                    done[position] = tasks[position].epochs
                    report()
                    yield position, future
                if not ended:
                    report()
        finally:
            for future in running:
                future.cancel()
