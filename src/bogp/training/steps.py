"""The steps of a training by torch, of one network or of a stack of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from bogp.training.evaluate import widest
from bogp.training.recipe import Recipe
from bogp.training.task import Task


def train_epoch(
    task: Task,
    epoch: int,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    losses: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Take the steps of one epoch and return the mean training loss, () or of each network (K,).

    Masks are held and moved by the hooks of the optimiser (:class:`bogp.sparsify.Hold`).

    Args:
        task: gives the mini-batches and the learning rates.
        epoch: the number of the epoch, from 0.
        generator: draws the order of the mini-batches.
        optimizer: moves the parameters.
        losses: the mean loss on a mini-batch of inputs and targets, () or (K,). Each of K losses
            must depend on its own network alone: then the gradient of their sum is each one's own.
    """
    device = task.inputs.device
    total = torch.zeros((), dtype=widest(device), device=device)
    for rate, (inputs, targets) in zip(task.rates(epoch), task.batches(generator), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        found = losses(inputs, targets)
        optimizer.zero_grad()
        found.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total = total + (found.detach() * len(targets)).to(total.dtype)
    return total / len(task.targets)


def make_optimizer(parameters: Iterable[Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """Return torch's optimiser for the recipe."""
    shared: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=recipe.momentum, fused=True, **shared)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **shared)
    return torch.optim.Adam(parameters, fused=True, **shared)
