"""Stacks: many masked copies of one network at work on one task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from bogp.masks import Mask, check_fits
from bogp.training.evaluate import Metrics
from bogp.training.task import State, Task


class Stack(ABC):
    """K candidates at work: their weights, the optimiser's memory, and the place in the run.

    Each candidate gets what it would get alone: nothing that is computed for one enters another.

    Attributes:
        task: what all of them share.
        epoch: epochs that they have run.
    """

    def __init__(
        self, models: Sequence[nn.Module], masks: Sequence[Mask | None], task: Task
    ) -> None:
        """Stack ``models`` (K,), masked by ``masks`` (K,); the models given are not changed."""
        for model, mask in zip(models, masks, strict=True):
            if mask is not None:
                check_fits(model, mask)
        self.task = task
        self.epoch = 0
        self.generator = task.generator()

    @staticmethod
    @abstractmethod
    def memory(model: nn.Module, masks: Sequence[Mask | None], task: Task) -> tuple[float, float]:
        """Return the bytes that a stack takes in any case, and those of each candidate."""

    @abstractmethod
    def __len__(self) -> int:
        """Return K."""

    @abstractmethod
    def advance(self) -> Tensor:
        """Train one epoch and return the mean training loss of each candidate, (K,)."""

    @abstractmethod
    def evaluate(self) -> list[Metrics]:
        """Return the metrics of each candidate on the data that the task validates on, (K,)."""

    @abstractmethod
    def select(self, rows: Sequence[int]) -> Self:
        """Return a stack that goes on with the candidates ``rows`` alone, which must increase."""

    @abstractmethod
    def joined(self, other: Self) -> Self:
        """Return one stack of these candidates and then the other's, at the same epoch."""

    @abstractmethod
    def states(self) -> list[State]:
        """Return the state dict of each candidate on the CPU, pruned weights exactly zero, (K,)."""

    @abstractmethod
    def finite(self) -> list[bool]:
        """Return of each candidate whether all its parameters are finite, (K,)."""

    def _generator_copy(self) -> torch.Generator:
        """Return what draws the orders of the epochs to come, for a stack that goes on alone."""
        copied = torch.Generator()
        copied.set_state(self.generator.get_state())
        return copied
