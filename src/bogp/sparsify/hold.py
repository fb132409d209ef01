"""Holding a mask: pruned weights stay exactly zero through the steps of any optimiser of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, final

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from bogp.errors import SettingError

Tensors = Mapping[str, Tensor]

_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes of a number → whole numbers of as many bits."""


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
    them stays empty; after it the weights do, whatever the optimiser did to them. Where a step
    calls a closure, the gradients become zero each time that the closure has made them. A step that
    gradient scaling skips, since a gradient is infinite, is not counted. Parameters may be one
    network's or the stacked ones of many, (K, *shape).
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
            masks: bool, or zeros and other numbers, of the parameters' shapes; True keeps.
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
        # Words of all ones where a weight is kept, of as many bits as its numbers have.
        self._words = {
            name: torch.empty_like(parameter, dtype=_WORDS[parameter.element_size()])
            for name, parameter in parameters.items()
        }
        self.set(masks)
        self._handles = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]

    def set(self, masks: Tensors) -> None:
        """Take these masks: zero what they prune, and what the optimiser remembers of it."""
        for name, words in self._words.items():
            mask = masks[name]
            words.copy_(mask if mask.dtype == torch.bool else mask != 0).neg_()
        self.clear()

    @torch.no_grad()
    def clear(self) -> None:
        """Set pruned weights, and what the optimiser remembers of them, to exactly zero."""
        self._erase(self._parameters)
        for name, parameter in self._parameters.items():
            for value in self.optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    self._erase({name: value})

    def forget_directions(self) -> None:
        """Let LBFGS begin anew: it goes on along directions of all weights at once, pruned too."""
        if isinstance(self.optimizer, LBFGS):
            self.optimizer.state.clear()

    def release(self) -> None:
        """Hold no more."""
        for handle in self._handles:
            handle.remove()

    def _before(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Mask the gradients, or let the closure that makes them mask them; torch's pre-hook."""
        if callable(kwargs.get("closure")):
            return args, {**kwargs, "closure": self._masking(kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):  # the first is the optimiser
            return (args[0], self._masking(args[1]), *args[2:]), kwargs
        self._mask_gradients()
        return None

    def _masking(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def masked() -> Any:
            loss = closure()
            self._mask_gradients()
            return loss

        return masked

    @torch.no_grad()
    def _mask_gradients(self) -> None:
        gradients = {n: p.grad for n, p in self._parameters.items() if p.grad is not None}
        if self._watcher is not None and self._watcher.wants_gradients(self.step + 1):
            self._gradients = {name: gradient.clone() for name, gradient in gradients.items()}
        self._erase(gradients)

    @torch.no_grad()
    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Mask the weights, and tell the watcher; torch's post-hook."""
        self._erase(self._parameters)
        gradients, self._gradients = self._gradients, None
        # A fused optimiser unscales gradients itself: it is called even where it then does nothing.
        infinite = getattr(optimizer, "found_inf", None)
        if infinite is not None and bool(infinite):
            return
        self.step += 1
        if self._watcher is not None:
            self._watcher.stepped(self.step, gradients)

    def _erase(self, tensors: Tensors) -> None:
        """Set tensors to 0 where the masks prune, in place.

        Words are as quick as a product with zeros and ones, and give 0 for NaN, infinities and
        negative numbers, too.
        """
        for name, tensor in tensors.items():
            word, words = _WORDS[tensor.element_size()], self._words[name]
            tensor.view(word).bitwise_and_(words if words.dtype == word else words.to(word))
