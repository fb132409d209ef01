"""The training loop of one masked network: the reference for every faster one."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from bogp.cores import torch_threads
from bogp.errors import MaskError
from bogp.masks import Mask
from bogp.sparsify import Mover, Sparsifier, fixed
from bogp.training.checks import check_model, make_task
from bogp.training.evaluate import measure
from bogp.training.outputs import as_rows
from bogp.training.randomness import module_seed, seeded
from bogp.training.recipe import Recipe
from bogp.training.steps import make_optimizer, train_epoch
from bogp.training.task import Pair, Task


@dataclass(frozen=True)
class Trained:
    """A trained network and its training losses."""

    model: nn.Module
    losses: tuple[float, ...]  # mean training loss of each epoch, (epochs,)
    accuracies: tuple[float, ...] = ()  # on the data to validate on, if any, (epochs,)
    finite: bool = True  # the parameters at the end, and the loss that they give
    mask: Mask | None = None  # that the network has in the end; None of the dense network

    @property
    def diverged(self) -> bool:
        """Whether some epoch's loss was not finite, or the network that came out is not.

        Each loss is that before its step, so that the losses alone do not show the last steps.
        """
        return not (self.finite and all(math.isfinite(loss) for loss in self.losses))


def train(
    model: nn.Module,
    inputs: Tensor,  # (N, *shape)
    targets: Tensor,  # integers (N,), or (N, T) for a model of sequences
    recipe: Recipe | str,
    *,
    mask: Mask | Mover | None = None,
    seed: int,
    validation: Pair | None = None,
) -> Trained:
    """Return a copy of ``model`` trained on cross-entropy, with pruned weights held at zero.

    Any module that gives logits (N, classes) will do, or (N, T, classes) with targets (N, T): then
    the loss is the mean over all positions. Inputs may be integers, as token numbers are.
    ``mask`` is held from the first step on; a mover (:func:`bogp.sparsify.make_mover`) gives a mask
    that moves. Pruned weights are exactly zero after every step. What is random about training, the
    order of the mini-batches and what a module such as dropout draws, depends on ``seed`` alone;
    torch's global random state is untouched. With ``validation`` (inputs, targets) the accuracy
    there is kept for each epoch, which is what the recipe's ``patience`` goes by, once the mask has
    moved for the last time.

    Raises:
        DataError: inputs and targets that do not fit together, or a label the model has not.
        MaskError: the mask does not fit the model.
        RecipeError: the recipe has ``patience`` and there is nothing to validate on, or its last
            mini-batch is of one example and the model normalises over batches.
        SettingError: the model cannot take the data.
    """
    task = make_task((inputs, targets), recipe, seed, validation)
    model = copy.deepcopy(model).to(inputs.device).train()
    check_model(model, task)
    with torch_threads(task.recipe.threads), seeded(module_seed(seed)):
        return _train(model, task, fixed(mask) if isinstance(mask, Mask) else mask)


def _train(model: nn.Module, task: Task, mover: Mover | None) -> Trained:
    """Return ``model`` after all epochs of the task, or as patience left it."""

    def loss(inputs: Tensor, targets: Tensor) -> Tensor:
        rows = as_rows(model(inputs), targets)
        return nn.functional.cross_entropy(*rows, label_smoothing=task.recipe.label_smoothing)

    optimizer = make_optimizer(model.parameters(), task.recipe)
    held = None if mover is None else Sparsifier.from_mover(model, optimizer, mover)
    settled = 0 if mover is None else task.epochs_before(mover.last)
    generator = task.generator()
    losses: list[float] = []
    accuracies: list[float] = []
    for epoch in range(task.recipe.epochs):
        try:
            losses.append(float(train_epoch(task, epoch, generator, optimizer, loss)))
        except MaskError:
            if _finite(model):
                raise
            # A network that diverged has no scores by which its mask could move.
            losses.append(math.nan)
            break
        if task.validation is not None:
            measured = measure(model, *task.validation)
            accuracies.append(measured.accuracy)
            if out_of_patience(accuracies[settled:], task.recipe.patience):
                break
    numbers = _finite(model)
    mask = None if held is None else held.finish() if numbers else held.mask
    if task.validation is None:
        some = slice(task.batch_size)
        measured = measure(model, task.inputs[some], task.targets[some])
    finite = numbers and math.isfinite(measured.loss)
    return Trained(model.eval(), tuple(losses), tuple(accuracies), finite, mask)


def _finite(model: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def out_of_patience(accuracies: Sequence[float], patience: int | None) -> bool:
    """Return whether the best of ``accuracies`` (epochs,) is ``patience`` epochs old.

    >>> out_of_patience([0.5, 0.7, 0.7, 0.6], patience=2)
    True
    """
    if patience is None or not accuracies:
        return False
    return len(accuracies) - 1 - int(np.argmax(accuracies)) >= patience
