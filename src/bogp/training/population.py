"""Populations: many masked copies of one network trained together on the same mini-batches.

Candidates share model, data, recipe and the order of the mini-batches, and differ in mask and seed.
Each gets what it would get alone: nothing that is computed for one enters another, so a candidate
that diverges disturbs nobody.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from bogp.cores import available_cores
from bogp.data import Split
from bogp.errors import SettingError, UnknownNameError
from bogp.masks import Mask
from bogp.training.checks import (
    Pair,
    check_counts,
    check_data,
    check_fit,
    check_last_batch,
    check_patience,
    check_rungs,
    check_trainable,
)
from bogp.training.evaluate import Metrics
from bogp.training.kernel_stack import KernelStack, takes, worthwhile
from bogp.training.loop import torch_threads
from bogp.training.population_run import (
    Course,
    Run,
    Stack,
    affordable,
)
from bogp.training.recipe import Recipe
from bogp.training.recipe import recipe as find_recipe
from bogp.training.stack import State, Task, TorchStack
from bogp.types import Progress

ARITHMETICS = ("auto", "dense", "sparse")


@dataclass(frozen=True)
class Halving:
    """Successive halving (Jamieson & Talwalkar 2016): less training for what looks poor.

    After each number of epochs in ``rungs`` only the best ``keep`` of the candidates, by their
    accuracy on the data that selects, go on; at least one does.

    >>> Halving(rungs=(1, 2), keep=0.5).survivors(9)
    5
    """

    rungs: tuple[int, ...]
    keep: float = 0.5

    def __post_init__(self) -> None:
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)) or self.rungs[0] < 1:
            raise SettingError(f"rungs {self.rungs} are not ascending epochs: give (1, 2) say")
        if not 0.0 < self.keep < 1.0:
            raise SettingError(f"keep {self.keep} is not in (0, 1): 0.5 halves")

    def survivors(self, count: int) -> int:
        """Return how many of ``count`` candidates go on."""
        # 0.07 * 100 is a little above 7.
        return max(1, math.ceil(self.keep * count - 1e-9))


@dataclass(frozen=True)
class Candidate:
    """What became of one candidate.

    Attributes:
        seed: of its initial weights.
        mask: what it was pruned by; None is the dense network.
        metrics: on the data that selects, when its training ended.
        losses: mean training loss of each epoch that it ran, (epochs,).
        accuracies: on the data that selects, after each of them, (epochs,).
        ended: ``"whole"`` after all the recipe's epochs, ``"rung"`` stopped by halving before
            them, or ``"patience"`` by the recipe's patience.
        weights: its state dict, on the CPU, if they were asked for.
        finite: whether all its parameters were finite when its training ended.
    """

    seed: int
    mask: Mask | None
    metrics: Metrics
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    ended: str
    weights: State | None
    finite: bool = True

    @property
    def epochs(self) -> int:
        """Epochs that it ran."""
        return len(self.losses)

    @property
    def stopped(self) -> bool:
        """Whether halving or patience ended its training before the recipe's epochs."""
        return self.ended != "whole"

    @property
    def diverged(self) -> bool:
        """Whether some epoch's loss, or what came out in the end, was not finite.

        Each epoch's loss is that before its steps: the last of them shows in the metrics alone.
        """
        losses = (*self.losses, self.metrics.loss)
        return not (self.finite and all(math.isfinite(loss) for loss in losses))


@dataclass(frozen=True)
class Population:
    """A trained population, in the order it was given, and what it cost."""

    candidates: tuple[Candidate, ...]
    together: int  # candidates trained at once
    seconds: float

    @property
    def epochs(self) -> int:
        """Epochs of training spent, all candidates together."""
        return sum(candidate.epochs for candidate in self.candidates)


def train_population(
    factory: Callable[[], nn.Module],
    masks: Sequence[Mask | None],
    data: Split | Pair,
    recipe: Recipe | str,
    seeds: Sequence[int],
    *,
    validation: Pair | None = None,
    order_seed: int = 0,
    initial: Sequence[State] | None = None,
    halving: Halving | None = None,
    together: int | None = None,
    keep_weights: bool = False,
    arithmetic: str = "auto",
    threads: int | None = None,
    exact: bool = False,
    progress: Progress | None = None,
) -> Population:
    """Train one candidate for each mask and seed, many at once, and measure each.

    Candidate k is ``initialise(factory, seeds[k])`` masked by ``masks[k]``, and gets what
    ``train(..., mask=masks[k], seed=order_seed)`` gives it alone, up to the rounding of sums,
    whoever else is in the population.

    Args:
        factory: makes the network.
        masks: K masks; None trains the dense network.
        data: a split, whose report data are not touched, or inputs (N, *shape) and integer targets
            (N,) to train on, (N, T) for a model of sequences. Their device is used, and the type of
            inputs that are no integers.
        recipe: the training, or its name.
        seeds: K seeds of the initial weights.
        validation: inputs and targets to measure on after each epoch; those that select, of a
            split.
        order_seed: of the order of the mini-batches, which all share.
        initial: K state dicts to start from instead of the seeds' own (pruning in rounds).
        halving: stops the poorer candidates early.
        together: candidates to train at once; by default as many as memory holds. Where memory
            runs out all the same it is halved.
        keep_weights: whether to return the weights.
        arithmetic: ``"sparse"`` computes only what the masks keep, by compiled kernels, for
            multilayer perceptrons on the CPU; ``"dense"`` is torch, for any module and device;
            ``"auto"`` takes the kernels where they are the faster way, by the rule of
            :func:`bogp.training.kernels.cost.pays`.
        threads: CPU threads for the whole population, all cores by default; the recipe's number is
            for one network alone.
        exact: whether what a candidate gets, where halving does not stop it, is to be the same bit
            for bit on this machine, whatever the threads, the memory and the other candidates. The
            kernels always are so: ``"auto"`` then takes them wherever they can. Torch rounds
            otherwise with other threads or another number of candidates, so it trains them one by
            one on the recipe's threads.
        progress: called with (epochs done, epochs in all) of all candidates together.

    Raises:
        DataError: inputs and targets that do not fit together, or a label the model has not.
        SettingError: the numbers of masks, seeds and initial weights differ, or there are none;
            there is nothing to measure on; a rung is not before the recipe's end; the model cannot
            take the data; torch is to be exact and to train several together.
        MaskError: a mask does not fit the model.
        RecipeError: not even one candidate fits in memory, patience has nothing to go by, or the
            last mini-batch is of one example and the model normalises over batches.
        UnknownNameError: no such recipe or arithmetic.
    """
    recipe = find_recipe(recipe)
    train, validation = _pairs(data, validation)
    check_patience(recipe, validation)
    check_counts(masks, seeds, initial, together, threads)
    check_rungs(() if halving is None else halving.rungs, recipe)
    train, checked = check_data(train, validation)
    assert checked is not None
    started = time.perf_counter()
    task = Task(*train, recipe, order_seed, checked[0])
    run = Run(factory, masks, seeds, initial, task, checked, keep_weights)
    with torch_threads(recipe.threads):
        model = run.model(0)
        check_trainable(model)
        model = model.to(task.inputs.device)
        check_fit(model, task.inputs, training=train[1], validation=checked[1])
        check_last_batch(model, task.inputs, recipe)
        run.kind = _stack_kind(arithmetic, model, masks, task, exact)
        alone = exact and run.kind is TorchStack
        run.together = _alone(together) if alone else together or 0
        run.together = run.together or affordable(model, task, len(masks), run.kind, masks)
    run.progress = progress
    with torch_threads(recipe.threads if alone else threads or available_cores()):
        if halving is None:
            run.go()
        else:
            run.go(halving.rungs, halving.survivors)
    candidates = tuple(
        _candidate(course, seed, mask)
        for course, seed, mask in zip(run.courses, seeds, masks, strict=True)
    )
    return Population(candidates, run.together, time.perf_counter() - started)


def _pairs(data: Split | Pair, validation: Pair | None) -> tuple[Pair, Pair]:
    """Return what trains and what is measured on."""
    if isinstance(data, Split):
        chosen = validation or (data.select_inputs, data.select_targets)
        return (data.train_inputs, data.train_targets), chosen
    if validation is None:
        raise SettingError(
            "a population trained on inputs and targets has nothing to be measured on: "
            "give validation=(inputs, targets), or a split"
        )
    return data, validation


def _candidate(course: Course, seed: int, mask: Mask | None) -> Candidate:
    """Return what is reported of a candidate."""
    return Candidate(
        seed=seed,
        mask=mask,
        metrics=course.metrics,
        losses=tuple(course.losses),
        accuracies=tuple(course.accuracies),
        ended=course.ended,
        weights=course.weights,
        finite=course.finite,
    )


def _alone(together: int | None) -> int:
    """Return that one candidate is trained at once.

    Raises:
        SettingError: more are asked for.
    """
    if together not in (None, 1):
        raise SettingError(
            f"together = {together} rounds otherwise than one candidate alone, where torch trains "
            "them: leave it out, or give exact=False"
        )
    return 1


def _stack_kind(
    arithmetic: str,
    model: nn.Module,
    masks: Sequence[Mask | None],
    task: Task,
    exact: bool = False,
) -> type[Stack]:
    """Return what trains the population.

    Whether the kernels are faster depends on the masks of all, which where it is to be ``exact``
    must change nothing; and then torch has no stack to be faster with.

    Raises:
        UnknownNameError: no such arithmetic.
        SettingError: sparse arithmetic is asked for and cannot be had.
    """
    if arithmetic not in ARITHMETICS:
        raise UnknownNameError("arithmetic", arithmetic, ARITHMETICS)
    able = takes(model, masks, task)
    if arithmetic == "sparse" and not able:
        raise SettingError(
            "sparse arithmetic is for plain multilayer perceptrons, all of whose parameters are "
            "trained, in float32 or float64 on the CPU, "
            f"and this is {type(model).__name__} on {task.inputs.device} in {task.inputs.dtype}: "
            "use 'auto' or 'dense'"
        )
    if arithmetic == "auto":
        return KernelStack if able and (exact or worthwhile(model, masks, task)) else TorchStack
    return KernelStack if arithmetic == "sparse" else TorchStack
