"""What a training works on: data, recipe and the order of the mini-batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bogp.training.recipe import Recipe

Pair = tuple[Tensor, Tensor]
"""Inputs (N, *shape) and targets, (N,) or, one for each position of a sequence, (N, T)."""

State = dict[str, Tensor]
"""The tensors of a network by name, as ``state_dict`` gives them."""


@dataclass(frozen=True)
class Task:
    """What a network is trained on, and how; all candidates of a population share one.

    Attributes:
        inputs: (N, *shape), to train on.
        targets: class numbers, int64 (N,), or (N, T) for a model of sequences.
        recipe: optimiser, learning rate, batch size and epochs.
        order_seed: draws the order of the mini-batches and what modules such as dropout draw.
        validation: inputs (M, *shape) and targets to measure on after each epoch, if there are any.
    """

    inputs: Tensor
    targets: Tensor
    recipe: Recipe
    order_seed: int
    validation: Pair | None = None

    @property
    def batch_size(self) -> int:
        """The number of examples in a whole mini-batch."""
        return min(self.recipe.batch_size or len(self.targets), len(self.targets))

    def generator(self) -> torch.Generator:
        """Return what draws the order of the mini-batches, as it is before the first epoch."""
        return torch.Generator().manual_seed(self.order_seed)

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the numbers of the examples, (N,), in the order of the next epoch.

        An epoch of one mini-batch takes the examples as they are and draws nothing.
        """
        if self.batch_size == len(self.targets):
            return torch.arange(len(self.targets))
        return torch.randperm(len(self.targets), generator=generator)

    def batches(self, generator: torch.Generator) -> Iterator[Pair]:
        """Yield the mini-batches of the next epoch, in the order that ``generator`` draws."""
        if self.batch_size == len(self.targets):
            yield self.inputs, self.targets
            return
        order = self.order(generator).to(self.inputs.device)
        for rows in torch.split(order, self.batch_size):
            yield self.inputs[rows], self.targets[rows]

    def epochs_before(self, step: int) -> int:
        """Return how many epochs have begun before ``step`` steps have been taken."""
        return math.ceil(step / self.recipe.steps(len(self.targets)))

    def rates(self, epoch: int) -> list[float]:
        """Return the learning rate of each step of an epoch, numbered from 0."""
        steps = self.recipe.steps(len(self.targets))
        return [
            self.recipe.rate_at(epoch * steps + step, self.recipe.epochs * steps)
            for step in range(steps)
        ]
