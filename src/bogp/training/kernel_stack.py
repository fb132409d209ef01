"""Many masked multilayer perceptrons, trained together over the weights that their masks keep."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bogp.masks import Mask, check_fits
from bogp.training.chain import linear_chain
from bogp.training.evaluate import Metrics, Tally
from bogp.training.kernels import Optimiser, logits, pack, start, train_batches, unpack, wire
from bogp.training.kernels.cost import pays
from bogp.training.stack import MEASURED, State, Task

Vector = npt.NDArray[Any]


def takes(model: nn.Module, masks: Sequence[Mask | None], task: Task) -> bool:
    """Return whether the compiled kernels can train it: a perceptron on the CPU, weights masked."""
    weights = {f"{name}.weight" for name in linear_names(model, task.inputs) or ()}
    return (
        bool(weights)
        and all(parameter.requires_grad for parameter in model.parameters())
        and all(name in weights for mask in masks if mask is not None for name in mask)
        and task.inputs.device.type == "cpu"
        and task.inputs.dtype in (torch.float32, torch.float64)
    )


def worthwhile(model: nn.Module, masks: Sequence[Mask | None], task: Task) -> bool:
    """Return whether the kernels are the faster way for what they take; see ``kernels.cost``."""
    names = linear_names(model, task.inputs) or ()
    layers = [model.get_submodule(name) for name in names]
    sizes = [task.inputs[0].numel(), *(int(layer.out_features) for layer in layers)]  # type: ignore[arg-type]
    weights = {f"{name}.weight": model.get_parameter(f"{name}.weight").numel() for name in names}
    kept = [kept_weights(mask, weights) for mask in masks]
    density = sum(kept) / (len(kept) * sum(weights.values()))
    batch = min(task.recipe.batch_size or len(task.targets), len(task.targets))
    return pays(sizes, batch, task.inputs.element_size(), density)


def kept_weights(mask: Mask | None, weights: Mapping[str, int]) -> int:
    """Return how many of ``weights``, numbers by name, ``mask`` keeps: all that it has not."""
    layers = {} if mask is None else dict(mask.items())
    return sum(
        int(layers[name].sum()) if name in layers else count for name, count in weights.items()
    )


def linear_names(model: nn.Module, inputs: Tensor) -> tuple[str, ...] | None:
    """Return the linear layers of a perceptron with ReLU between all of them, or None."""
    chain = linear_chain(model, inputs)
    if chain is None:
        return None
    kinds = [kind for kind, _ in chain if kind != "flatten"]
    if kinds != (["linear", "relu"] * len(kinds))[: len(kinds)] or len(kinds) % 2 == 0:
        return None
    return tuple(name for kind, name in chain if kind == "linear")


@final
class KernelStack:
    """K candidates at work, as :class:`bogp.training.stack.TorchStack` has them.

    The flat state is shared by the stacks that :meth:`select` makes, each of which trains its own
    candidates in it.
    """

    def __init__(
        self, models: Sequence[nn.Module], masks: Sequence[Mask | None], task: Task
    ) -> None:
        """Stack ``models`` (K,), masked by ``masks`` (K,); the models given are not changed."""
        names = linear_names(models[0], task.inputs)
        assert names is not None
        for model, mask in zip(models, masks, strict=True):
            if mask is not None:
                check_fits(model, mask)
        self.task, self.names = task, names
        pairs = zip(models, masks, strict=True)
        self.masks = [_layer_masks(model, mask, names) for model, mask in pairs]
        states = [model.state_dict() for model in models]
        self.inputs = _matrix(task.inputs)
        self.live = _live(task)
        self.wiring = wire(self.masks, self.live)
        weights, biases = ([_numbers(state, names, part) for state in states] for part in _PARTS)
        packed = pack(self.wiring, weights, biases, dtype=self.inputs.dtype)
        self.state = start(self.wiring, packed)
        self.active = list(range(len(models)))
        self.generator = torch.Generator().manual_seed(task.order_seed)
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.active)

    def advance(self) -> Tensor:
        """Train one epoch and return the mean training loss of each candidate, float64 (K,)."""
        recipe, count = self.task.recipe, len(self.task.targets)
        whole = recipe.batch_size is None or recipe.batch_size >= count
        order = (
            np.arange(count) if whole else torch.randperm(count, generator=self.generator).numpy()
        )
        steps = recipe.steps(count)
        done = self.epoch * steps
        rates = [recipe.rate_at(done + k, steps * recipe.epochs) for k in range(steps)]
        # Each epoch's stack may share its state with others, which have steps of their own.
        self.state.steps = done
        losses = train_batches(
            self.wiring,
            self.state,
            self.inputs,
            self.task.targets.numpy(),
            order,
            count if recipe.batch_size is None else recipe.batch_size,
            rates,
            Optimiser(
                recipe.optimizer,
                weight_decay=recipe.weight_decay,
                momentum=recipe.momentum,
            ),
            smoothing=recipe.label_smoothing,
            active=self.active,
            threads=torch.get_num_threads(),
        )
        self.epoch += 1
        return torch.from_numpy(losses)

    def evaluate(
        self, inputs: Tensor, targets: Tensor, batch_size: int = MEASURED
    ) -> list[Metrics]:
        """Return the metrics of each candidate on ``inputs`` (N, *shape), ``targets`` (N,)."""
        tally = Tally(len(self), int(self.wiring.arrays.sizes[-1]), inputs.device)
        for batch, labels in zip(
            torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
        ):
            found = logits(
                self.wiring,
                self.state.parameters,
                _matrix(batch),
                active=self.active,
                threads=torch.get_num_threads(),
            )
            tally.add(torch.from_numpy(found), labels)
        return tally.metrics()

    def select(self, rows: Sequence[int]) -> KernelStack:
        """Return a stack that goes on with the candidates ``rows`` alone, which must increase."""
        other = copy.copy(self)
        other.active = [self.active[row] for row in rows]
        other.generator = torch.Generator()
        other.generator.set_state(self.generator.get_state())
        return other

    def joined(self, other: KernelStack) -> KernelStack:
        """Return one stack of these candidates and then the other's, at the same epoch."""
        whole = copy.copy(self)
        members = [(stack, k) for stack in (self, other) for k in stack.active]
        whole.masks = [stack.masks[k] for stack, k in members]
        whole.wiring = wire(whole.masks, self.live)
        flats = {
            name: _packed(whole, [(stack, k, getattr(stack.state, name)) for stack, k in members])
            for name in ("parameters", "first", "second")
        }
        whole.state = start(whole.wiring, flats["parameters"])
        whole.state.first[:], whole.state.second[:] = flats["first"], flats["second"]
        whole.active = list(range(len(members)))
        return whole

    def states(self) -> list[State]:
        """Return the state dict of each candidate, pruned weights exactly zero."""
        found = []
        for k in self.active:
            layers = unpack(self.wiring, self.state.parameters, k)
            found.append(
                {
                    f"{name}.{part}": torch.from_numpy(values)
                    for name, layer in zip(self.names, layers, strict=True)
                    for part, values in zip(_PARTS, layer, strict=True)
                }
            )
        return found

    def finite(self) -> list[bool]:
        """Return of each candidate whether all its parameters are finite, (K,)."""
        found = []
        for k in self.active:
            begins = self.wiring.arrays.begins[k]
            spans = [(int(begins[j]), len(place)) for j, place in enumerate(self.wiring.places[k])]
            parts = [self.state.parameters[at : at + size] for at, size in spans]
            found.append(all(bool(np.isfinite(part).all()) for part in parts))
        return found


_PARTS = ("weight", "bias")


def _layer_masks(
    model: nn.Module, mask: Mask | None, names: Sequence[str]
) -> list[npt.NDArray[np.bool_]]:
    """Return the mask of each layer's weight, (out, in)."""
    parameters = dict(model.named_parameters())
    found = []
    for name in names:
        weight = f"{name}.weight"
        whole = torch.ones(parameters[weight].shape, dtype=torch.bool)
        layer = whole if mask is None else mask.get(weight, whole)
        found.append(layer.cpu().contiguous().numpy())
    return found


def _numbers(state: State, names: Sequence[str], part: str) -> list[Vector]:
    return [state[f"{name}.{part}"].detach().numpy() for name in names]


def _matrix(inputs: Tensor) -> Vector:
    return inputs.flatten(1).contiguous().numpy()


def _live(task: Task) -> npt.NDArray[np.int64]:
    """Return the inputs that are ever on, in the data that train or the data that select."""
    on = (task.inputs != 0).flatten(1).any(0)
    if task.other is not None:
        on |= (task.other != 0).flatten(1).any(0)
    return on.nonzero().flatten().numpy()


def _packed(whole: KernelStack, members: Sequence[tuple[KernelStack, int, Vector]]) -> Vector:
    layers = [unpack(stack.wiring, flat, k) for stack, k, flat in members]
    weights = [[weight for weight, _ in candidate] for candidate in layers]
    biases = [[bias for _, bias in candidate] for candidate in layers]
    return pack(whole.wiring, weights, biases, dtype=whole.inputs.dtype)
