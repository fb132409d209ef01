"""The steps of a training by torch, of one network or of a stack of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bogp.training.evaluate import widest
from bogp.training.recipe import Recipe
from bogp.training.task import Task

Pruned = Sequence[tuple[Tensor, Tensor]]
"""Parameters and their masks, as numbers of the parameters' type: 1 keeps a weight, 0 prunes it."""


def train_epoch(
    task: Task,
    epoch: int,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    pruned: Pruned,
    losses: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Take the steps of one epoch and return the mean training loss, () or of each network (K,).

    Pruned weights, which must be zero before, are zero after each step: their gradients are masked,
    and no optimiser moves a weight that is zero and has no gradient.

    Args:
        task: gives the mini-batches and the learning rates.
        epoch: the number of the epoch, from 0.
        generator: draws the order of the mini-batches.
        optimizer: moves the parameters.
        pruned: the parameters that masks hold at zero.
        losses: the mean loss on a mini-batch of inputs and targets, () or (K,). Each of K losses
            must depend on its own network alone: then the gradient of their sum is each one's own.
    """
    device = task.inputs.device
    total = torch.zeros((), dtype=widest(device), device=device)
    for rate, (inputs, targets) in zip(task.rates(epoch), task.batches(generator), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        found = losses(inputs, targets)
        take_step(optimizer, found.sum(), pruned)
        total = total + (found.detach() * len(targets)).to(total.dtype)
    zero_pruned(pruned)
    return total / len(task.targets)


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor, pruned: Pruned) -> None:
    """Move the parameters along the gradient of ``loss``, masked where they are pruned."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter, mask in pruned:
        if parameter.grad is not None:
            parameter.grad.mul_(mask)
    optimizer.step()


def zero_pruned(pruned: Pruned) -> None:
    """Set pruned weights to zero.

    Before the first step that is what prunes them. After others it mends those whose gradient was
    not a number: NaN * 0 is NaN.
    """
    with torch.no_grad():
        for parameter, mask in pruned:
            parameter.masked_fill_(mask == 0, 0.0)


def make_optimizer(parameters: Iterable[Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """Return torch's optimiser for the recipe."""
    shared: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=recipe.momentum, fused=True, **shared)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **shared)
    return torch.optim.Adam(parameters, fused=True, **shared)
