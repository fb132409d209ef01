"""Populations: many masked copies of one network trained together on the same mini-batches.

Candidates share model, data, recipe and the order of the mini-batches, and differ in mask and seed.
Each gets what it would get alone: nothing that is computed for one enters another, so a candidate
that diverges disturbs nobody.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from bogp.cores import available_cores, torch_threads
from bogp.data import Split
from bogp.errors import SettingError, UnknownNameError
from bogp.masks import Mask
from bogp.sparsify import Mover, fixed
from bogp.training.candidate import Halving, TrainedCandidate
from bogp.training.checks import check_counts, check_model, make_task
from bogp.training.kernel_stack import KernelStack, can_train, is_faster
from bogp.training.population_run import Run, affordable, starting_model
from bogp.training.randomness import ModelFactory
from bogp.training.recipe import Recipe
from bogp.training.stack import Stack
from bogp.training.task import Pair, State, Task
from bogp.training.torch_stack import TorchStack
from bogp.types import Progress

ARITHMETICS = ("auto", "dense", "sparse")


@dataclass(frozen=True)
class Population:
    """A trained population, in the order it was given, and what it cost."""

    candidates: tuple[TrainedCandidate, ...]
    together: int  # candidates trained at once
    seconds: float

    @property
    def epochs(self) -> int:
        """Epochs of training spent, all candidates together."""
        return sum(candidate.epochs for candidate in self.candidates)


def train_population(
    factory: ModelFactory,
    masks: Sequence[Mask | Mover | None],
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
    whoever else is in the population. A mask that moves goes its own way by its own plan.

    Args:
        factory: makes the network.
        masks: K masks, or movers (:func:`bogp.sparsify.make_mover`) of masks that move; None trains
            the dense network.
        data: a split, whose report data are not touched, or inputs (N, *shape) and integer targets
            (N,) to train on, (N, T) for a model of sequences. Their device is used, and the type of
            inputs that are no integers.
        recipe: the training, or its name.
        seeds: K seeds of the initial weights.
        validation: inputs and targets to measure on after each epoch; by default those of a split
            that select.
        order_seed: draws the order of the mini-batches, which all share.
        initial: K state dicts to start from instead of the seeds' own (pruning in rounds).
        halving: stops the poorer candidates early, each with the mask that it then has.
        together: candidates to train at once; by default as many as memory holds. Where memory
            runs out all the same it is halved.
        keep_weights: whether to return the weights.
        arithmetic: ``"sparse"`` computes only what the masks keep, by compiled kernels, for
            multilayer perceptrons on the CPU; ``"dense"`` is torch, for any module and device;
            ``"auto"`` takes the kernels where they are the faster way, by the rule of
            :func:`bogp.training.kernels.cost.pays`, of the mean density of masks that move.
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
            there is nothing to measure on; a rung is not before the recipe's end; a mask is to
            move after that end, or goes back to the weights of the beginning; the model cannot take
            the data; torch is to be exact and to train several together.
        MaskError: a mask does not fit the model.
        RecipeError: not even one candidate fits in memory, patience has nothing to go by, or the
            last mini-batch is of one example and the model normalises over batches.
        UnknownNameError: no such recipe or arithmetic.
    """
    started = time.perf_counter()
    task = _task(data, validation, recipe, order_seed)
    check_counts(masks, seeds, initial, together=together, threads=threads)
    movers = [_mover(mask, task) for mask in masks]
    if halving is not None:
        halving.check_recipe(task.recipe)
    with torch_threads(task.recipe.threads):
        first = None if initial is None else initial[0]
        model = starting_model(factory, seeds[0], first, task.inputs).to(task.inputs.device)
        check_model(model, task)
        kind = _stack_kind(arithmetic, model, movers, task, exact)
        alone = exact and kind is TorchStack
        if alone and together not in (None, 1):
            raise SettingError(
                f"together = {together} rounds otherwise than one candidate alone, where torch "
                "trains them: leave it out, or give exact=False"
            )
        together = 1 if alone else together or affordable(model, task, movers, kind)
    candidates = [
        TrainedCandidate(seed, None if mover is None else mover.support)
        for seed, mover in zip(seeds, movers, strict=True)
    ]
    run = Run(task, factory, candidates, movers, initial, kind, together, keep_weights, progress)
    with torch_threads(task.recipe.threads if alone else threads or available_cores()):
        run.go(halving)
    return Population(tuple(run.candidates), run.together, time.perf_counter() - started)


def _task(
    data: Split | Pair, validation: Pair | None, recipe: Recipe | str, order_seed: int
) -> Task:
    """Return the task of training on ``data``, which has something to measure on."""
    if isinstance(data, Split):
        train = (data.train_inputs, data.train_targets)
        validation = validation or (data.select_inputs, data.select_targets)
    elif validation is None:
        raise SettingError(
            "a population trained on inputs and targets has nothing to be measured on: "
            "give validation=(inputs, targets), or a split"
        )
    else:
        train = data
    return make_task(train, recipe, order_seed, validation)


def _mover(mask: Mask | Mover | None, task: Task) -> Mover | None:
    """Return what gives a candidate its mask, and moves it within the task's training."""
    mover = fixed(mask) if isinstance(mask, Mask) else mask
    if mover is None:
        return None
    steps = task.recipe.epochs * task.recipe.steps(len(task.targets))
    if mover.last > steps:
        raise SettingError(
            f"a mask is to move after step {mover.last}, and the recipe has {steps} steps: make "
            f"the mover with steps = {steps}"
        )
    if any(update.rewind for update in mover.plan.values()):
        raise SettingError(
            "a mask that goes back to the weights of the beginning is not for a population, whose "
            "networks share their steps: give bogp.prune_and_train_population its method, or train "
            "it alone"
        )
    return mover


def _stack_kind(
    arithmetic: str, model: nn.Module, movers: Sequence[Mover | None], task: Task, exact: bool
) -> type[Stack]:
    """Return what trains the population.

    Whether the kernels are faster depends on the masks of all candidates, which must change nothing
    where the population is to be ``exact``: the kernels then train whatever they can.

    Raises:
        UnknownNameError: no such arithmetic.
        SettingError: sparse arithmetic is asked for and cannot be had.
    """
    if arithmetic not in ARITHMETICS:
        raise UnknownNameError("arithmetic", arithmetic, ARITHMETICS)
    able = can_train(model, movers, task)
    if arithmetic == "sparse" and not able:
        raise SettingError(
            "sparse arithmetic is for plain multilayer perceptrons, all of whose parameters are "
            "trained, in float32 or float64 on the CPU, "
            f"and this is {type(model).__name__} on {task.inputs.device} in {task.inputs.dtype}: "
            "use 'auto' or 'dense'"
        )
    if arithmetic == "auto":
        return KernelStack if able and (exact or is_faster(model, movers, task)) else TorchStack
    return KernelStack if arithmetic == "sparse" else TorchStack
