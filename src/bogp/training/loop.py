"""The training loop of one masked network: the reference for every faster one."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bogp.masks import Mask, check_fits
from bogp.training.checks import (
    check_data,
    check_fit,
    check_last_batch,
    check_patience,
    check_trainable,
)
from bogp.training.evaluate import measure, widest
from bogp.training.outputs import as_rows
from bogp.training.randomness import module_seed, seeded
from bogp.training.recipe import Recipe
from bogp.training.recipe import recipe as find_recipe


@dataclass(frozen=True)
class Trained:
    """A trained network and its training losses."""

    model: nn.Module
    losses: tuple[float, ...]  # mean training loss of each epoch, (epochs,)
    accuracies: tuple[float, ...] = ()  # on the data to validate on, if any, (epochs,)
    finite: bool = True  # the parameters at the end, and the loss that they give

    @property
    def diverged(self) -> bool:
        """Whether some epoch's loss was not finite, or the network that came out is not.

        Each loss is that before its step, so that the losses alone do not show the last steps.
        """
        return not (self.finite and all(math.isfinite(loss) for loss in self.losses))


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run a block on ``count`` CPU threads and restore torch's setting after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def initialise(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return ``factory()`` with its weights drawn from ``seed``, global random state untouched."""
    with seeded(seed):
        return factory()


def train(
    model: nn.Module,
    inputs: Tensor,  # (N, *shape)
    targets: Tensor,  # integers (N,), or (N, T) for a model of sequences
    recipe: Recipe | str,
    *,
    mask: Mask | None = None,
    seed: int,
    validation: tuple[Tensor, Tensor] | None = None,
) -> Trained:
    """Return a copy of ``model`` trained on cross-entropy with the masked weights held at zero.

    Any module that gives logits (N, classes) will do, or (N, T, classes) with targets (N, T): then
    the loss is the mean over all positions. Inputs may be integers, as token numbers are.
    The weights that ``mask`` prunes are set to zero and their gradients are masked, so that they
    are exactly zero after every step. What is random about training, the order of the mini-batches
    and what a module such as dropout draws, depends on ``seed`` alone; torch's global random state
    is untouched. With ``validation`` (inputs, targets) the accuracy there is kept for each epoch,
    which is what the recipe's ``patience`` goes by.

    Raises:
        DataError: inputs and targets that do not fit together, or a label the model has not.
        MaskError: the mask does not fit the model.
        RecipeError: the recipe has ``patience`` and there is nothing to validate on, or its last
            mini-batch is of one example and the model normalises over batches.
        SettingError: the model cannot take the data.
    """
    recipe = find_recipe(recipe)
    check_patience(recipe, validation)
    (inputs, targets), validation = check_data((inputs, targets), validation)
    model = copy.deepcopy(model).to(inputs.device).train()
    named = {} if validation is None else {"validation": validation[1]}
    check_fit(model, inputs, training=targets, **named)
    check_trainable(model)
    check_last_batch(model, inputs, recipe)
    with torch_threads(recipe.threads), seeded(module_seed(seed)):
        return _train(model, (inputs, targets), recipe, mask, seed, validation)


def _train(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    recipe: Recipe,
    mask: Mask | None,
    seed: int,
    validation: tuple[Tensor, Tensor] | None,
) -> Trained:
    inputs, targets = data
    pruned = _apply(model, mask)
    optimizer = make_optimizer(model.parameters(), recipe)
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    accuracies: list[float] = []
    steps, last = recipe.steps(len(targets)), math.nan
    for epoch in range(recipe.epochs):
        total = torch.zeros((), dtype=widest(inputs.device), device=inputs.device)
        batches = epoch_batches(inputs, targets, recipe, generator)
        for step, (batch_inputs, batch_targets) in enumerate(batches, epoch * steps):
            set_rate(optimizer, recipe.rate_at(step, recipe.epochs * steps))
            loss = nn.functional.cross_entropy(
                *as_rows(model(batch_inputs), batch_targets),
                label_smoothing=recipe.label_smoothing,
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for parameter, layer in pruned:
                if parameter.grad is not None:
                    parameter.grad.mul_(layer)
            optimizer.step()
            total += loss.detach() * len(batch_targets)
        losses.append(float(total) / len(targets))
        if validation is not None:
            measured = measure(model, *validation)
            last = measured.loss
            accuracies.append(measured.accuracy)
            if out_of_patience(accuracies, recipe.patience):
                break
    # A diverged gradient is NaN even where it is masked: NaN * 0.
    with torch.no_grad():
        for parameter, layer in pruned:
            parameter.masked_fill_(layer == 0, 0.0)
    if validation is None:
        last = measure(model, batch_inputs, batch_targets).loss
    finite = math.isfinite(last) and all(bool(p.isfinite().all()) for p in model.parameters())
    return Trained(model.eval(), tuple(losses), tuple(accuracies), finite)


def out_of_patience(accuracies: Sequence[float], patience: int | None) -> bool:
    """Return whether the best of ``accuracies`` (epochs,) is ``patience`` epochs old.

    >>> out_of_patience([0.5, 0.7, 0.7, 0.6], patience=2)
    True
    """
    if patience is None:
        return False
    return len(accuracies) - 1 - int(np.argmax(accuracies)) >= patience


def _apply(model: nn.Module, mask: Mask | None) -> list[tuple[nn.Parameter, Tensor]]:
    if mask is None:
        return []
    check_fits(model, mask)
    parameters: Mapping[str, nn.Parameter] = dict(model.named_parameters())
    pruned = [(parameters[n], layer.to(parameters[n])) for n, layer in mask.items()]
    with torch.no_grad():
        for parameter, layer in pruned:
            parameter.mul_(layer)
    return pruned


def make_optimizer(parameters: Iterable[Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """Return torch's optimiser for the recipe."""
    shared: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=recipe.momentum, fused=True, **shared)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **shared)
    return torch.optim.Adam(parameters, fused=True, **shared)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def epoch_batches(
    inputs: Tensor, targets: Tensor, recipe: Recipe, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch's mini-batches, in the order that ``generator`` draws."""
    if recipe.batch_size is None or recipe.batch_size >= len(targets):
        yield inputs, targets
        return
    order = torch.randperm(len(targets), generator=generator).to(inputs.device)
    for rows in torch.split(order, recipe.batch_size):
        yield inputs[rows], targets[rows]
