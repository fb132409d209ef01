"""Many masked multilayer perceptrons, trained together over the weights that their masks keep."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from bogp.cores import torch_threads
from bogp.masks import Mask
from bogp.sparsify import Mover
from bogp.training.evaluate import Metrics, measure_models
from bogp.training.kernels import Layout, logits, make_layout, pack, start, train_batches, unpack
from bogp.training.kernels.cost import pays
from bogp.training.kernels.optimisers import ADAM, ADAMW, SGD, Optimiser, Vector
from bogp.training.perceptron import linear_layers
from bogp.training.recipe import Recipe
from bogp.training.stack import Stack
from bogp.training.task import State, Task
from bogp.types import BoolArray, Floats, Integers

_MEASURED = 2048
"""Examples that a stack evaluates at once."""


def can_train(model: nn.Module, movers: Sequence[Mover | None], task: Task) -> bool:
    """Return whether the kernels can train it: it is a perceptron on the CPU, of masked weights."""
    weights = {f"{name}.weight" for name in linear_layers(model, task.inputs) or ()}
    held = [m.units.with_carriers(m.support) for m in movers if m is not None]
    return (
        bool(weights)
        and all(parameter.requires_grad for parameter in model.parameters())
        and all(name in weights for mask in held for name in mask)
        and task.inputs.device.type == "cpu"
        and task.inputs.dtype in (torch.float32, torch.float64)
    )


def is_faster(model: nn.Module, movers: Sequence[Mover | None], task: Task) -> bool:
    """Return whether the kernels are the faster way for a perceptron: :func:`kernels.cost.pays`.

    The density of a mask that moves is its mean over the training.
    """
    names = linear_layers(model, task.inputs) or ()
    weights = [model.get_parameter(f"{name}.weight") for name in names]
    sizes = [task.inputs[0].numel(), *(len(weight) for weight in weights)]
    total = len(movers) * sum(weight.numel() for weight in weights)
    pruned = 0.0
    for mover in movers:
        spans = _spans(mover, task)
        steps = sum(taken for taken, _ in spans)
        pruned += sum(taken / steps * without for taken, without in spans)
    # Where one mask moves, all are laid out anew.
    moves = {step for mover in movers if mover is not None for step in mover.plan} - {0}
    between = task.recipe.epochs * len(task.targets) / len(moves) if moves else math.inf
    width = task.inputs.element_size()
    return pays(sizes, task.batch_size, width, (total - pruned) / total, between)


def _spans(mover: Mover | None, task: Task) -> list[tuple[int, int]]:
    """Return how many steps a mask stays as it is, and how many weights it then prunes."""
    steps = task.recipe.epochs * task.recipe.steps(len(task.targets))
    if mover is None:
        return [(steps, 0)]
    total, places = mover.support.total, [0, *sorted(mover.plan.keys() - {0}), steps]
    kept = [
        mover.plan[place].kept if place in mover.plan else mover.support.kept for place in places
    ]
    return [
        (end - begin, total - k) for (begin, end), k in zip(pairwise(places), kept, strict=False)
    ]


@final
class KernelStack(Stack):
    """K masked perceptrons at work in the compiled kernels.

    A stack that :meth:`select` makes shares its weights and its optimiser's memory with the stack
    that it comes from: each of them trains only its own candidates there.
    """

    def __init__(
        self, models: Sequence[nn.Module], movers: Sequence[Mover | None], task: Task
    ) -> None:
        super().__init__(models, movers, task)
        names = linear_layers(models[0], task.inputs)
        assert names is not None
        self.names = names
        self.inputs = _matrix(task.inputs)
        self.live = _live(task)
        self.layout = self._layout()
        states = [model.state_dict() for model in models]
        layers = [[_layer(state, name) for name in names] for state in states]
        self.state = start(self.layout, pack(self.layout, layers, self.inputs.dtype))
        self.active = list(range(len(models)))  # the candidates that this stack trains

    @staticmethod
    def memory(model: nn.Module, movers: Sequence[Mover | None], task: Task) -> tuple[float, float]:
        """Return the bytes that a stack takes in any case, and those of each candidate.

        The data are copied once. A candidate takes five numbers and the places (16 bytes) of each
        parameter that its mask keeps, twice where the mask moves, and the dense network and mask
        that it is packed from.
        """
        width = max(p.element_size() for p in model.parameters())
        parameters = sum(p.numel() for p in model.parameters())
        kept = parameters - min(pruned for mover in movers for _, pruned in _spans(mover, task))
        copies = 2 if any(mover is not None and any(mover.plan) for mover in movers) else 1
        data = task.inputs.numel() * task.inputs.element_size()
        return data, copies * kept * (5 * width + 16) + parameters * (width + 1)

    def __len__(self) -> int:
        """Return K."""
        return len(self.active)

    def advance(self) -> Tensor:
        """Train one epoch and return the mean training loss of each candidate, float64 (K,)."""
        rates, order = self.task.rates(self.epoch), self.task.order(self.generator)
        taken, batch = self.epoch * len(rates), self.task.batch_size
        sums = np.zeros(len(self))
        for begin, end in pairwise(self._cuts(taken, taken + len(rates))):
            part = slice(begin - taken, end - taken)
            rows = order[part.start * batch : part.stop * batch]
            gradients = self._gradients(end, rows)
            sums = self._train(rows, rates[part], begin, sums)
            if end in self.due and self._move(end, gradients):
                self._repack([(self, k) for k in self.active])
        self.epoch += 1
        return torch.from_numpy(sums / len(order))

    def _cuts(self, begin: int, end: int) -> list[int]:
        """Return where to halt between two steps: at moves, and one step before for gradients."""
        moves = {step for step in self.due if begin < step <= end}
        before = {step - 1 for step in moves if self._wanting(step)}
        return sorted({begin, end} | moves | before)

    def _train(self, rows: Tensor, rates: Sequence[float], taken: int, sums: Floats) -> Floats:
        """Train on the examples ``rows``; return the losses, ``sums`` and theirs, (K,)."""
        recipe = self.task.recipe
        return train_batches(
            self.layout,
            self.state,
            self.inputs,
            self.task.targets.numpy(),
            rows.numpy(),
            self.task.batch_size,
            rates,
            _optimiser(recipe),
            smoothing=recipe.label_smoothing,
            taken=taken,
            sums=sums,
            active=self.active,
            threads=torch.get_num_threads(),
        )

    def _gradients(self, step: int, rows: Tensor) -> dict[int, State]:
        """Return the gradients of all weights on the mini-batch ``rows``, of who moves by them."""
        found, recipe = {}, self.task.recipe
        for k in self._wanting(step):
            model = self._network(k)
            weights = {
                f"{name}.weight": model.get_parameter(f"{name}.weight") for name in self.names
            }
            with torch_threads(recipe.threads), torch.enable_grad():
                loss = nn.functional.cross_entropy(
                    model(self.task.inputs[rows]),
                    self.task.targets[rows],
                    label_smoothing=recipe.label_smoothing,
                )
                each = torch.autograd.grad(loss, list(weights.values()))
            found[k] = dict(zip(weights, each, strict=True))
        return found

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
        other._take([self.movers[row] for row in rows], [self.masks[row] for row in rows])
        other.active = [self.active[row] for row in rows]
        other.generator = self._generator_copy()
        return other

    def joined(self, other: KernelStack) -> KernelStack:
        """Return one stack of these candidates and then the other's, at the same epoch."""
        whole = copy.copy(self)
        whole._take([*self.movers, *other.movers], [*self.masks, *other.masks])
        whole._repack([(stack, k) for stack in (self, other) for k in stack.active])
        return whole

    def _repack(self, members: Sequence[tuple[KernelStack, int]]) -> None:
        """Lay out the masks anew, with the weights and memory of these candidates of stacks.

        What a mask did not keep before is zero, and so is the optimiser's memory of it.
        """
        old = [(stack.layout, stack.state, k) for stack, k in members]
        self.layout = self._layout()

        def repacked(name: str) -> Vector:
            layers = [unpack(layout, getattr(state, name), k) for layout, state, k in old]
            return pack(self.layout, layers, self.inputs.dtype)

        self.state = start(self.layout, repacked("parameters"))
        self.state.first[:], self.state.second[:] = repacked("first"), repacked("second")
        self.active = list(range(len(members)))

    def _layout(self) -> Layout:
        """Return where the weights lie that the masks at hand keep."""
        return make_layout(
            [_layer_masks(self.skeleton, mask, self.names) for mask in self.masks], self.live
        )

    def _network(self, row: int) -> nn.Module:
        """Return the skeleton with the weights of candidate ``row``, until it is asked again."""
        self.skeleton.load_state_dict(self._state(self.active[row]))
        return self.skeleton

    def states(self) -> list[State]:
        """Return the state dict of each candidate, pruned weights exactly zero, (K,)."""
        return [self._state(k) for k in self.active]

    def _state(self, k: int) -> State:
        """Return the state dict of candidate ``k`` of the layout."""
        layers = unpack(self.layout, self.state.parameters, k)
        return {
            f"{name}.{part}": torch.from_numpy(values)
            for name, layer in zip(self.names, layers, strict=True)
            for part, values in zip(("weight", "bias"), layer, strict=True)
        }

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
