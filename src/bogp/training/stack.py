"""Stacks: many masked copies of one network at work on one task."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from bogp.masks import Mask, check_fits
from bogp.sparsify import Mover
from bogp.training.evaluate import Metrics
from bogp.training.task import State, Task


class Stack(ABC):
    """K candidates at work: their weights, the optimiser's memory, and the place in the run.

    Each candidate gets what it would get alone: nothing that is computed for one enters another.

    Attributes:
        task: what all of them share.
        epoch: epochs that they have run.
        movers: what gives each its mask and moves it, (K,); None of the dense network.
        masks: the mask that each has now, (K,).
        due: the steps of the optimiser after which any mask moves.
        skeleton: the network, with anybody's weights, in training mode.
    """

    def __init__(
        self, models: Sequence[nn.Module], movers: Sequence[Mover | None], task: Task
    ) -> None:
        """Stack ``models`` (K,), masked by ``movers`` (K,); no weight of theirs is changed."""
        masks: list[Mask | None] = []
        for model, mover in zip(models, movers, strict=True):
            if mover is None:
                masks.append(None)
                continue
            check_fits(model, mover.support)
            masks.append(mover.moved(0, mover.units.prepare(model), mover.support))
        self.task = task
        self.skeleton = copy.deepcopy(models[0]).to(task.inputs.device).train()
        self.epoch = 0
        self.generator = task.generator()
        self._take(movers, masks)

    @staticmethod
    @abstractmethod
    def memory(model: nn.Module, movers: Sequence[Mover | None], task: Task) -> tuple[float, float]:
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

    @abstractmethod
    def _network(self, row: int) -> nn.Module:
        """Return a network with the weights of candidate ``row``, until it is asked for another."""

    def _take(self, movers: Sequence[Mover | None], masks: Sequence[Mask | None]) -> None:
        """Be the stack of candidates with these movers and, now, these masks, (K,) each."""
        self.movers, self.masks = list(movers), list(masks)
        self.due = {step for mover in movers if mover is not None for step in mover.plan}
        for mover in movers:
            if mover is not None:
                mover.units.prepare(self.skeleton)

    def _wanting(self, step: int) -> list[int]:
        """Return the candidates whose masks move by the gradients of step ``step``, from 1."""
        if step not in self.due:
            return []
        pairs = enumerate(self.movers)
        return [k for k, mover in pairs if mover is not None and mover.wants_gradients(step)]

    def _move(self, step: int, gradients: Mapping[int, State]) -> bool:
        """Move the masks that are due after ``step`` steps, and return whether one has changed.

        Args:
            step: how many steps have been taken.
            gradients: of each candidate that wants them, by its number.
        """
        before = list(self.masks)
        for k, (mover, mask) in enumerate(zip(self.movers, before, strict=True)):
            if mover is not None and mask is not None and step in mover.plan:
                self.masks[k] = mover.moved(step, self._network(k), mask, gradients.get(k))
        return any(old is not new for old, new in zip(before, self.masks, strict=True))

    def _generator_copy(self) -> torch.Generator:
        """Return what draws the orders of the epochs to come, for a stack that goes on alone."""
        copied = torch.Generator()
        copied.set_state(self.generator.get_state())
        return copied
