"""Holding a mask: pruned weights stay exactly zero through the steps of any optimiser of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from bogp.errors import SettingError

Tensors = Mapping[str, Tensor]


class Watcher(Protocol):
    """What is told of each step of the optimiser."""

    def wants_gradients(self, step: int) -> bool:
        """Return whether :meth:`stepped` is to be given the gradients of step ``step``, from 1."""

    def stepped(self, step: int, gradients: Tensors | None) -> None:
        """Do what is due after ``step`` steps."""


@final
class Hold:
    """Masks on the parameters of an optimiser, held by the hooks that torch calls at each step.

    Before a step the gradients of pruned weights become zero, so that the optimiser's memory of
    them stays empty; after it the weights do, whatever the optimiser did to them. Parameters may be
    one network's or the stacked ones of many, (K, *shape).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Tensors,
        masks: Tensors,
        watcher: Watcher | None = None,
    ) -> None:
        """Begin to hold.

        Args:
            optimizer: moves the parameters.
            parameters: those that are pruned, by name.
            masks: bool, of the parameters' shapes; True keeps.
            watcher: is told of each step.

        Raises:
            SettingError: the optimiser does not move one of the parameters, which is not frozen.
        """
        moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, parameter in parameters.items():
            if parameter.requires_grad and id(parameter) not in moved:
                raise SettingError(
                    f"the optimiser does not move {name!r}, which is to be pruned: make it from "
                    "model.parameters(), or leave that weight out of layers"
                )
        self.optimizer = optimizer
        self.step = 0
        self._watcher = watcher
        self._parameters = dict(parameters)
        self._gradients: dict[str, Tensor] | None = None
        self.set(masks)
        self._handles = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]

    def set(self, masks: Tensors) -> None:
        """Take these masks: zero what they prune, and what the optimiser remembers of it."""
        self._masks = {
            name: masks[name].to(parameter.device, parameter.dtype)
            for name, parameter in self._parameters.items()
        }
        self.clear()

    def clear(self) -> None:
        """Set pruned weights, and what the optimiser remembers of them, to exactly zero."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                pruned = self._masks[name] == 0
                parameter.masked_fill_(pruned, 0.0)
                for value in self.optimizer.state.get(parameter, {}).values():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        value.masked_fill_(pruned, 0)

    def release(self) -> None:
        """Hold no more."""
        for handle in self._handles:
            handle.remove()

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        gradients = {n: p.grad for n, p in self._parameters.items() if p.grad is not None}
        if self._watcher is not None and self._watcher.wants_gradients(self.step + 1):
            self._gradients = {name: gradient.clone() for name, gradient in gradients.items()}
        _multiply(list(gradients.values()), [self._masks[name] for name in gradients])

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.step += 1
        _multiply(list(self._parameters.values()), list(self._masks.values()))
        gradients, self._gradients = self._gradients, None
        if self._watcher is not None:
            self._watcher.stepped(self.step, gradients)


@torch.no_grad()
def _multiply(tensors: list[Tensor], masks: list[Tensor]) -> None:
    """Multiply tensors by masks, in place: one pass through memory, the quickest way to zeros."""
    if tensors:
        torch._foreach_mul_(tensors, masks)
