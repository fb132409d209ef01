"""Many masked multilayer perceptrons, trained together over the weights that their masks keep."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from bogp.masks import Mask
from bogp.training.evaluate import Metrics, measure_models
from bogp.training.kernels import logits, make_layout, pack, start, train_batches, unpack
from bogp.training.kernels.cost import pays
from bogp.training.kernels.optimisers import ADAM, ADAMW, SGD, Optimiser, Vector
from bogp.training.perceptron import linear_layers
from bogp.training.recipe import Recipe
from bogp.training.stack import Stack
from bogp.training.task import State, Task
from bogp.types import BoolArray, Integers

_MEASURED = 2048
"""Examples that a stack evaluates at once."""


def can_train(model: nn.Module, masks: Sequence[Mask | None], task: Task) -> bool:
    """Return whether the kernels can train it: it is a perceptron on the CPU, of masked weights."""
    weights = {f"{name}.weight" for name in linear_layers(model, task.inputs) or ()}
    return (
        bool(weights)
        and all(parameter.requires_grad for parameter in model.parameters())
        and all(name in weights for mask in masks if mask is not None for name in mask)
        and task.inputs.device.type == "cpu"
        and task.inputs.dtype in (torch.float32, torch.float64)
    )


def is_faster(model: nn.Module, masks: Sequence[Mask | None], task: Task) -> bool:
    """Return whether the kernels are the faster way for a perceptron: :func:`kernels.cost.pays`."""
    names = linear_layers(model, task.inputs) or ()
    weights = [model.get_parameter(f"{name}.weight") for name in names]
    sizes = [task.inputs[0].numel(), *(len(weight) for weight in weights)]
    total = len(masks) * sum(weight.numel() for weight in weights)
    density = (total - sum(map(_pruned, masks))) / total
    return pays(sizes, task.batch_size, task.inputs.element_size(), density)


def _pruned(mask: Mask | None) -> int:
    """Return how many weights ``mask`` prunes."""
    return 0 if mask is None else mask.total - mask.kept


@final
class KernelStack(Stack):
    """K masked perceptrons at work in the compiled kernels.

    A stack that :meth:`select` makes shares its weights and its optimiser's memory with the stack
    that it comes from: each of them trains only its own candidates there.
    """

    def __init__(
        self, models: Sequence[nn.Module], masks: Sequence[Mask | None], task: Task
    ) -> None:
        super().__init__(models, masks, task)
        names = linear_layers(models[0], task.inputs)
        assert names is not None
        self.names = names
        self.masks = [
            _layer_masks(model, mask, names) for model, mask in zip(models, masks, strict=True)
        ]
        self.inputs = _matrix(task.inputs)
        self.live = _live(task)
        self.layout = make_layout(self.masks, self.live)
        states = [model.state_dict() for model in models]
        layers = [[_layer(state, name) for name in names] for state in states]
        self.state = start(self.layout, pack(self.layout, layers, self.inputs.dtype))
        self.active = list(range(len(models)))  # the candidates that this stack trains

    @staticmethod
    def memory(model: nn.Module, masks: Sequence[Mask | None], task: Task) -> tuple[float, float]:
        """Return the bytes that a stack takes in any case, and those of each candidate.

        The data are copied once. A candidate takes five numbers and the places (16 bytes) of each
        parameter that its mask keeps, and the dense network and mask that it is packed from.
        """
        width = max(p.element_size() for p in model.parameters())
        parameters = sum(p.numel() for p in model.parameters())
        kept = parameters - min(map(_pruned, masks))
        data = task.inputs.numel() * task.inputs.element_size()
        return data, kept * (5 * width + 16) + parameters * (width + 1)

    def __len__(self) -> int:
        """Return K."""
        return len(self.active)

    def advance(self) -> Tensor:
        """Train one epoch and return the mean training loss of each candidate, float64 (K,)."""
        recipe, rates = self.task.recipe, self.task.rates(self.epoch)
        losses = train_batches(
            self.layout,
            self.state,
            self.inputs,
            self.task.targets.numpy(),
            self.task.order(self.generator).numpy(),
            self.task.batch_size,
            rates,
            _optimiser(recipe),
            smoothing=recipe.label_smoothing,
            taken=self.epoch * len(rates),
            active=self.active,
            threads=torch.get_num_threads(),
        )
        self.epoch += 1
        return torch.from_numpy(losses)

    def evaluate(self) -> list[Metrics]:
        """Return the metrics of each candidate on the data that the task validates on, (K,)."""
        assert self.task.validation is not None
        return measure_models(self._logits, *self.task.validation, _MEASURED)

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return the logits, (K, B, classes)."""
        flat, threads = self.state.parameters, torch.get_num_threads()
        found = logits(self.layout, flat, _matrix(inputs), active=self.active, threads=threads)
        return torch.from_numpy(found)

    def select(self, rows: Sequence[int]) -> KernelStack:
        """Return a stack that goes on with the candidates ``rows`` alone, which must increase."""
        other = copy.copy(self)
        other.active = [self.active[row] for row in rows]
        other.generator = self._generator_copy()
        return other

    def joined(self, other: KernelStack) -> KernelStack:
        """Return one stack of these candidates and then the other's, at the same epoch."""
        whole = copy.copy(self)
        members = [(stack, k) for stack in (self, other) for k in stack.active]
        whole.masks = [stack.masks[k] for stack, k in members]
        whole.layout = make_layout(whole.masks, self.live)

        def repacked(name: str) -> Vector:
            layers = [unpack(stack.layout, getattr(stack.state, name), k) for stack, k in members]
            return pack(whole.layout, layers, self.inputs.dtype)

        whole.state = start(whole.layout, repacked("parameters"))
        whole.state.first[:], whole.state.second[:] = repacked("first"), repacked("second")
        whole.active = list(range(len(members)))
        return whole

    def states(self) -> list[State]:
        """Return the state dict of each candidate, pruned weights exactly zero, (K,)."""
        found = []
        for k in self.active:
            layers = unpack(self.layout, self.state.parameters, k)
            found.append(
                {
                    f"{name}.{part}": torch.from_numpy(values)
                    for name, layer in zip(self.names, layers, strict=True)
                    for part, values in zip(("weight", "bias"), layer, strict=True)
                }
            )
        return found

    def finite(self) -> list[bool]:
        """Return of each candidate whether all its parameters are finite, (K,)."""
        begins = self.layout.arrays.begins
        parameters = (self.state.parameters[begins[k, 0] : begins[k, -1]] for k in self.active)
        return [bool(np.isfinite(each).all()) for each in parameters]


def _optimiser(recipe: Recipe) -> Optimiser:
    """Return a recipe's optimiser as the kernels have it."""
    if recipe.optimizer == "sgd":
        return Optimiser(SGD, first=recipe.momentum, weight_decay=recipe.weight_decay)
    kind = ADAMW if recipe.optimizer == "adamw" else ADAM
    return Optimiser(kind, weight_decay=recipe.weight_decay)


def _layer_masks(model: nn.Module, mask: Mask | None, names: Sequence[str]) -> list[BoolArray]:
    """Return the mask of each layer's weight, (out, in)."""
    found = []
    for name in names:
        weight = f"{name}.weight"
        whole = torch.ones(model.get_parameter(weight).shape, dtype=torch.bool)
        layer = whole if mask is None else mask.get(weight, whole)
        found.append(layer.cpu().contiguous().numpy())
    return found


def _layer(state: State, name: str) -> tuple[Vector, Vector]:
    """Return the weight (out, in) and the bias (out,) of a layer."""
    weight, bias = (state[f"{name}.{part}"].detach().numpy() for part in ("weight", "bias"))
    return weight, bias


def _matrix(inputs: Tensor) -> Vector:
    return inputs.flatten(1).contiguous().numpy()


def _live(task: Task) -> Integers:
    """Return the inputs that are ever on, in the data that train or the data that validate."""
    on = (task.inputs != 0).flatten(1).any(0)
    if task.validation is not None:
        on |= (task.validation[0] != 0).flatten(1).any(0)
    return on.nonzero().flatten().numpy()
