"""Trainers: what turns candidates and seeds into results.

A trainer is any picklable callable of the form :class:`Trainer`. bogp's own,
:class:`PopulationTrainer`, trains the candidates of a task together; :class:`FunctionTrainer` calls
a function of the user's for each. What a task gives is a function of the task alone, so that it
goes to whatever process there is (:mod:`bogp.pipeline.workers`), and its result is the same bit for
bit in each of them on one machine.
"""

from __future__ import annotations

import inspect
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bogp.cores import torch_threads
from bogp.data import Split
from bogp.errors import SettingError
from bogp.pipeline.candidate import Candidate, TrainingResult
from bogp.pipeline.given import ModelSource, network_factory
from bogp.pipeline.rounds import prune_and_train, prune_and_train_population
from bogp.pipeline.shared_data import DataSource
from bogp.settings.search import TrainingSettings
from bogp.training import Halving, Metrics, ModelFactory, Recipe
from bogp.training.randomness import seeded
from bogp.types import Progress


@dataclass(frozen=True)
class TrainingTask:
    """Candidates to train, and what is asked of it: a few kilobytes that any process can be sent.

    Attributes:
        candidates: how each mask is made.
        seeds: seeds of the initial weights, one a candidate.
        order_seed: seed of the order of the mini-batches, which candidates that are trained
            together share; None trains each alone, in an order of its own seed.
        halving: stops the poorer candidates early, in their last pruning round.
        exact: whether the other candidates, memory and threads may change no bit of a result.
        report: whether to measure on the report data too, which opens them.
        keep: whether to return masks and weights.
    """

    candidates: tuple[Candidate, ...]
    seeds: tuple[int, ...]
    order_seed: int | None = None
    halving: Halving | None = None
    exact: bool = True
    report: bool = False
    keep: bool = False

    @property
    def trainings(self) -> int:
        """Trainings of a whole recipe that it takes, if none is stopped."""
        return sum(candidate.trainings for candidate in self.candidates)


Results = tuple[TrainingResult, ...]


class Trainer(Protocol):
    """Gives one result for each candidate of a task, in their order.

    Where the task asks for a report, each result has ``reported``. Where it asks to keep masks and
    weights, a trainer returns those that it has: without masks a search trains no controls, and its
    own result has no mask. A trainer is pickled where other processes train. ``progress`` is called
    with (epochs done, epochs in all); ``threads`` are the CPU threads that it may use, on which no
    result depends.
    """

    def __call__(
        self, task: TrainingTask, *, threads: int | None = None, progress: Progress | None = None
    ) -> Results:
        """Return one result for each candidate of the task."""


_turn = threading.Lock()
"""Whoever trains: torch's random state and number of threads belong to the whole process."""


@dataclass(frozen=True)
class PopulationTrainer:
    """bogp's own trainer: the candidates of a task are pruned and trained as one population.

    Those that name another network are one population for each.

    Attributes:
        model, layers, recipe, protocol, device: as in :class:`bogp.SearchSettings`.
        data: where a process finds the dataset.
    """

    model: ModelSource
    layers: str | tuple[str, ...]
    recipe: Recipe
    protocol: str
    data: DataSource
    device: str = "cpu"

    @classmethod
    def of(cls, settings: TrainingSettings, data: DataSource) -> PopulationTrainer:
        """Return the trainer that settings ask for."""
        names = ("model", "layers", "recipe", "protocol", "device")
        return cls(data=data, **{name: getattr(settings, name) for name in names})

    def __call__(
        self, task: TrainingTask, *, threads: int | None = None, progress: Progress | None = None
    ) -> Results:
        """Prune, train and measure the candidates of a task; the threads of a process take turns.

        Compiled kernels run on ``threads``, all cores by default, and what torch computes on the
        recipe's. A result that shares an order of mini-batches depends on the task alone, and,
        where it is exact and halving does not compare them, not on the other candidates either.

        Raises:
            DataError: the data are not there, or are other ones.
            BogpError: see :func:`bogp.pipeline.prune_and_train_population`.
        """
        if not task.candidates:
            return ()
        found, before = dict[int, TrainingResult](), 0
        with _turn, torch_threads(self.recipe.threads):
            parts = self.data.split(self.protocol)
            if self.device != "cpu":
                parts = parts.to(self.device)
            for model in dict.fromkeys(one.model for one in task.candidates):
                rows = [k for k, one in enumerate(task.candidates) if one.model == model]
                part = replace(
                    task,
                    candidates=tuple(replace(task.candidates[k], model=None) for k in rows),
                    seeds=tuple(task.seeds[k] for k in rows),
                )
                left = task.trainings - part.trainings - before
                told = _shifted(progress, self.recipe.epochs * before, self.recipe.epochs * left)
                source = self.model if model is None else model
                factory = network_factory(source, self.data.dataset())
                found |= zip(rows, self._alike(part, factory, parts, threads, told), strict=True)
                before += part.trainings
        return tuple(found[row] for row in range(len(task.candidates)))

    def _alike(
        self,
        task: TrainingTask,
        factory: ModelFactory,
        parts: Split,
        threads: int | None,
        progress: Progress | None,
    ) -> Results:
        """Train candidates that are all of one network."""
        if task.order_seed is None:
            return self._one_by_one(task, factory, parts, progress)
        with seeded(task.order_seed):
            return prune_and_train_population(
                factory,
                parts,
                self.recipe,
                task.candidates,
                seeds=task.seeds,
                layers=self.layers,
                order_seed=task.order_seed,
                halving=task.halving,
                keep=task.keep,
                report=task.report,
                threads=threads,
                exact=task.exact,
                progress=progress,
            )

    def _one_by_one(
        self,
        task: TrainingTask,
        factory: ModelFactory,
        parts: Split,
        progress: Progress | None,
    ) -> Results:
        found: list[TrainingResult] = []
        for candidate, seed in zip(task.candidates, task.seeds, strict=True):
            one = prune_and_train(
                factory,
                parts,
                self.recipe,
                layers=self.layers,
                sparsity=candidate.sparsity,
                method=candidate.method,
                support=candidate.support,
                mask_seed=candidate.mask_seed,
                seed=seed,
                report=task.report,
            )
            one = replace(one, model=None)
            found.append(one if task.keep else replace(one, mask=None, weights=None))
            if progress is not None:
                progress(sum(each.epochs for each in found), self.recipe.epochs * task.trainings)
        return tuple(found)


def _shifted(progress: Progress | None, before: int, left: int) -> Progress | None:
    """Return the progress of a part of the work, with so many epochs before it and after it."""
    if progress is None:
        return None
    return lambda done, every: progress(before + done, before + every + left)


@dataclass(frozen=True)
class FunctionTrainer:
    """A trainer that calls a function of the user's for each candidate.

    A function that returns a number makes no mask that bogp knows: a search then ends with the
    winning candidate, without a mask and without controls.

    Attributes:
        function: called with (candidate, seed); it returns the accuracy that selects, in [0, 1], or
            a whole :class:`bogp.TrainingResult`.

    >>> trainer = FunctionTrainer(lambda candidate, seed: 0.5 + candidate.sparsity / 10)
    >>> (result,) = trainer(TrainingTask((Candidate(sparsity=0.5),), (0,)))
    >>> result.selected.accuracy
    0.55
    """

    function: Callable[[Candidate, int], TrainingResult | float]

    def __post_init__(self) -> None:
        _check_call(self.function, "(candidate, seed)", Candidate(), 0)

    def __call__(
        self, task: TrainingTask, *, threads: int | None = None, progress: Progress | None = None
    ) -> Results:
        """Call the function for each candidate, one after another."""
        found = []
        for candidate, seed in zip(task.candidates, task.seeds, strict=True):
            one = self.function(candidate, seed)
            if not isinstance(one, TrainingResult):
                one = _from_accuracy(one, candidate)
            found.append(one)
            if progress is not None:
                progress(len(found), len(task.candidates))
        return tuple(found)


def _from_accuracy(value: Any, candidate: Candidate) -> TrainingResult:
    try:
        accuracy = float(value)
    except (TypeError, ValueError):
        raise SettingError(
            f"the training function returned {value!r}: return the accuracy that selects, a "
            "number, or a bogp.TrainingResult"
        ) from None
    metrics = Metrics(accuracy, float("nan"), 0)
    return TrainingResult(metrics, candidate.sparsity or 0.0, epochs=1, reported=metrics)


def trainer_name(trainer: Trainer) -> str:
    """Return what a study knows a trainer by: the name of its function, or of its class.

    >>> trainer_name(FunctionTrainer(_from_accuracy))
    'FunctionTrainer of bogp.pipeline.trainer._from_accuracy'
    """
    if isinstance(trainer, FunctionTrainer):
        return f"FunctionTrainer of {_qualified(trainer.function)}"
    return _qualified(trainer)


def _qualified(found: Any) -> str:
    named = found if hasattr(found, "__qualname__") else type(found)
    return f"{named.__module__}.{named.__qualname__}"


def check_trainer(trainer: Any) -> None:
    """Refuse what cannot be called as a :class:`Trainer`, before there is a study for it.

    Raises:
        SettingError: it cannot be called so.
    """
    form = "(task, threads=None, progress=None); a function of (candidate, seed) goes into "
    _check_call(trainer, f"{form}bogp.FunctionTrainer", None, threads=None, progress=None)


def _check_call(function: Any, form: str, *arguments: Any, **named: Any) -> None:
    try:
        inspect.signature(function).bind(*arguments, **named)
    except TypeError as error:
        raise SettingError(
            f"{function!r} does not train ({error}): give something to call with {form}"
        ) from error
    except ValueError:  # what is compiled may not say what it takes
        return


def trained(
    trainer: Trainer,
    task: TrainingTask,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Results:
    """Return what a trainer makes of a task, once it is seen to be what the task asks for.

    Raises:
        SettingError: it is not one result a candidate, or a result lacks what was asked for.
    """
    found = trainer(task, threads=threads, progress=progress)
    wanted = len(task.candidates)
    results = found if isinstance(found, tuple | list) else ()
    if len(results) != wanted or not all(isinstance(one, TrainingResult) for one in results):
        raise SettingError(
            f"trainer {trainer!r} returned {found!r} for {wanted} candidates: return one "
            "bogp.TrainingResult for each, as a tuple"
        )
    for one in results:
        if not 0.0 <= one.selected.accuracy <= 1.0:
            raise SettingError(
                f"trainer {trainer!r} returned the accuracy {one.selected.accuracy}: give a share "
                "in [0, 1]"
            )
        if task.report and one.reported is None:
            raise SettingError(
                f"trainer {trainer!r} returned no `reported` metrics for a task that asks for a "
                "report: measure on the report data too, or search with final_seeds=0"
            )
    return tuple(results)


def train_packed(packed: bytes, threads: int, progress: Progress | None = None) -> bytes:
    """Return the pickled results of a pickled (trainer, task): what other processes are sent.

    Bytes of plain pickle, because what torch does to send a tensor between processes passes handles
    of files, which can run out, and needs the sender to be alive.
    """
    trainer, task = pickle.loads(packed)
    return pickle.dumps(trained(trainer, task, threads=threads, progress=progress))
