"""Many masked copies of one network, trained together on shared mini-batches by torch.

Parameters are stacked along a first axis of K candidates. The layers of a multilayer perceptron are
written out (``perceptron.py``): the first one is a single product for all candidates, since they
share its input, and the rest are batched ones. Any other module goes through ``torch.func.vmap``
where that can take it (:func:`vmap_agrees`). What vmap cannot take, and what draws random numbers
while it trains, runs one candidate after the other, each from the same random state, as each would
alone; and so does a candidate that has no company. Optimisers work entry by entry, so that torch's
own step over a stack is its step over each candidate.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from bogp.masks import Mask
from bogp.sparsify import Hold, Mover
from bogp.training.evaluate import Metrics, measure_models
from bogp.training.memory import out_of_memory
from bogp.training.outputs import as_rows, evaluating, evaluation_batch, leaf_outputs
from bogp.training.perceptron import perceptron_layers, perceptron_logits
from bogp.training.randomness import (
    draws_numbers,
    module_seed,
    random_state,
    seeded,
    set_random_state,
    unchanged_state,
)
from bogp.training.stack import Stack
from bogp.training.steps import make_optimizer, train_epoch
from bogp.training.task import State, Task

_MEASURED = 2048
"""Examples that a stack evaluates at once, where no layer puts out much for each."""


@final
class TorchStack(Stack):
    """K candidates at work in torch: their parameters are (K, *shape)."""

    def __init__(
        self, models: Sequence[nn.Module], movers: Sequence[Mover | None], task: Task
    ) -> None:
        super().__init__(models, movers, task)
        self.layers = perceptron_layers(self.skeleton, task.inputs)
        self.trained = [n for n, p in self.skeleton.named_parameters() if p.requires_grad]
        self.draws = self.layers is None and draws_numbers(self.skeleton, task.inputs)
        self.random: list[Tensor] | None = None  # the random state that the next epoch begins with
        self.together = (
            self.layers is None
            and not self.draws
            and len(models) > 1
            and vmap_agrees(self.skeleton, task.inputs)
        )
        parameters, buffers = (
            {name: tensor.detach().to(task.inputs.device) for name, tensor in state.items()}
            for state in stack_module_state([model.train() for model in models])
        )
        self._hold(parameters, buffers, {})

    @staticmethod
    def memory(model: nn.Module, movers: Sequence[Mover | None], task: Task) -> tuple[float, float]:
        """Return the bytes that a stack takes in any case, and those of each candidate.

        A candidate takes five times its parameters (weights, gradients, mask and two moments), once
        more to move by a copy of the gradients, and,
        roughly, the outputs of all its layers: three times over for a mini-batch, or once for the
        examples of an evaluation.
        """
        width = max(p.element_size() for p in model.parameters())
        parameters = sum(p.numel() for p in model.parameters())
        measured = 0
        if task.validation is not None:
            others = task.validation[0]
            measured = min(len(others), evaluation_batch(model, task.inputs, _MEASURED))
        outputs = sum(leaf_outputs(model, task.inputs[:1]))
        copies = any(m is not None and any(map(m.wants_gradients, m.plan)) for m in movers)
        return 0.0, width * (
            (5 + copies) * parameters + max(3 * task.batch_size, measured) * outputs
        )

    def __len__(self) -> int:
        """Return K."""
        return len(next(iter(self.parameters.values())))

    def advance(self) -> Tensor:
        """Train one epoch and return the mean training loss of each candidate, (K,)."""
        device = self.task.inputs.device
        with self._random_state():
            if self.random is not None:
                set_random_state(device, self.random)
            losses = train_epoch(
                self.task, self.epoch, self.generator, self.optimizer, self._losses
            )
            if self.draws:
                self.random = random_state(device)
        self.epoch += 1
        return losses

    def evaluate(self) -> list[Metrics]:
        """Return the metrics of each candidate on the data that the task validates on, (K,)."""
        assert self.task.validation is not None
        inputs, targets = self.task.validation
        batch_size = evaluation_batch(self.skeleton, inputs, _MEASURED)
        self.skeleton.eval()
        with self._random_state():
            metrics = measure_models(self._logits, inputs, targets, batch_size)
        self.skeleton.train()
        return metrics

    def select(self, rows: Sequence[int]) -> TorchStack:
        """Return a stack that goes on with the candidates ``rows`` alone, which must increase."""
        chosen = torch.as_tensor(list(rows), device=self.task.inputs.device)

        def taken(tensors: State) -> State:
            return {n: t.detach()[chosen] if t.dim() else t.clone() for n, t in tensors.items()}

        other = copy.copy(self)
        other.generator = self._generator_copy()
        other._take([self.movers[row] for row in rows], [self.masks[row] for row in rows])
        memory = {name: taken(state) for name, state in self._optimizer_memory().items()}
        other._hold(taken(self.parameters), taken(self.buffers), memory)
        return other

    def joined(self, other: TorchStack) -> TorchStack:
        """Return one stack of these candidates and then the other's, at the same epoch."""
        second = other._optimizer_memory()
        memory = {n: _joined(state, second[n]) for n, state in self._optimizer_memory().items()}
        whole = copy.copy(self)
        whole._take([*self.movers, *other.movers], [*self.masks, *other.masks])
        whole._hold(
            _joined(self.parameters, other.parameters), _joined(self.buffers, other.buffers), memory
        )
        return whole

    def wants_gradients(self, step: int) -> bool:
        """Return whether a mask moves by the gradients of step ``step``; torch's hook asks."""
        return bool(self._wanting(step))

    def stepped(self, step: int, gradients: Mapping[str, Tensor] | None) -> None:
        """Move the masks that are due after ``step`` steps; torch's hook calls it."""
        if step not in self.due:
            return
        whole = gradients or {}
        each = {k: {name: g[k] for name, g in whole.items()} for k in self._wanting(step)}
        if self._move(step, each):
            self.hold.set(self._stacked_masks())

    def _network(self, row: int) -> nn.Module:
        """Return the skeleton with the weights of candidate ``row``, until it is asked again."""
        rows = {name: tensor[row] for name, tensor in {**self.parameters, **self.buffers}.items()}
        with torch.no_grad():
            for tensors in (self.skeleton.named_parameters(), self.skeleton.named_buffers()):
                for name, tensor in tensors:
                    tensor.copy_(rows[name])
        return self.skeleton

    def _hold(self, parameters: State, buffers: State, memory: Mapping[str, State]) -> None:
        """Take these tensors, (K, *shape) each, and the optimiser's memory of each parameter."""
        self.parameters, self.buffers = parameters, buffers
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in self.trained)
        self.optimizer = make_optimizer([parameters[n] for n in self.trained], self.task.recipe)
        self.optimizer.state.update({parameters[name]: state for name, state in memory.items()})
        masks = self._stacked_masks()
        held = {name: parameters[name] for name in masks}
        # The optimiser's hooks lead to it again: undone with the stack, they keep no tensor of it.
        self.hold = Hold(self.optimizer, held, masks, weakref.proxy(self))
        self.hold.step = self.epoch * self.task.recipe.steps(len(self.task.targets))
        weakref.finalize(self, self.hold.release)

    def _stacked_masks(self) -> State:
        """Return what the masks hold at zero, as numbers (K, *shape), by the parameter's name."""
        whole = [
            None if mover is None or mask is None else mover.units.with_carriers(mask)
            for mover, mask in zip(self.movers, self.masks, strict=True)
        ]
        return _stack_masks(whole, self.parameters)

    def _optimizer_memory(self) -> dict[str, State]:
        """Return what the optimiser remembers of each parameter that it moves.

        Moments have an axis of candidates; the number of steps has none, and is the same for all.
        """
        return {name: self.optimizer.state.get(self.parameters[name], {}) for name in self.trained}

    def states(self) -> list[State]:
        """Return the state dict of each candidate on the CPU, pruned weights exactly zero, (K,)."""
        self.hold.clear()
        whole = {**self.parameters, **self.buffers}
        names = {name: own for name, own in _own_names(self.skeleton).items() if own in whole}
        return [
            {name: whole[own][k].detach().cpu().clone() for name, own in names.items()}
            for k in range(len(self))
        ]

    def finite(self) -> list[bool]:
        """Return of each candidate whether all its parameters are finite, (K,)."""
        each = [p.detach().isfinite().flatten(1).all(1) for p in self.parameters.values()]
        return [bool(value) for value in torch.stack(each).all(0).tolist()]

    def _losses(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of each candidate on a mini-batch, (K,)."""
        logits, targets = as_rows(self._logits(inputs), targets)
        count, rows = logits.shape[:2]
        each = nn.functional.cross_entropy(
            logits.flatten(0, 1),
            targets.repeat(count),
            reduction="none",
            label_smoothing=self.task.recipe.label_smoothing,
        )
        return each.view(count, rows).mean(1)

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return the logits, (K, B, classes) or (K, B, T, classes)."""
        if self.layers is not None:
            return perceptron_logits(self.layers, self.parameters, inputs)
        if self.together and len(self) > 1:

            def one(parameters: State, buffers: State) -> Tensor:
                logits: Tensor = functional_call(self.skeleton, (parameters, buffers), (inputs,))
                return logits

            return vmap(one)(self.parameters, self.buffers)
        # One backward pass for the rows of a parameter; each by itself would fill the whole anew.
        parameters = {name: value.unbind() for name, value in self.parameters.items()}
        start = random_state(inputs.device) if self.draws else None
        found = []
        for k in range(len(self)):
            if start is not None:
                set_random_state(inputs.device, start)
            found.append(self._alone(k, {n: rows[k] for n, rows in parameters.items()}, inputs))
        return torch.stack(found)

    def _alone(self, k: int, parameters: State, inputs: Tensor) -> Tensor:
        """Return the logits of candidate ``k``, whose buffers change as its modules change them."""
        buffers = {name: value[k] for name, value in self.buffers.items()}
        whole = {**parameters, **buffers}
        logits: Tensor = functional_call(self.skeleton, whole, (inputs,))
        with torch.no_grad():
            for name, row in buffers.items():
                # Changes in place are in the stack already: the row is a view of it.
                if whole[name] is not row:
                    row.copy_(whole[name])
        return logits

    def _random_state(self) -> contextlib.AbstractContextManager[None]:
        """Return the block in which modules that draw numbers do so from the task's seed."""
        return seeded(module_seed(self.task.order_seed)) if self.draws else contextlib.nullcontext()


def _joined(first: State, second: State) -> State:
    """Return the tensors of two stacks as one; one that has no axis of candidates stays."""
    return {
        name: torch.cat([tensor.detach(), second[name].detach()])
        if tensor.dim()
        else tensor.clone()
        for name, tensor in first.items()
    }


def _own_names(model: nn.Module) -> dict[str, str]:
    """Return the name of each tensor of the state dict, and the first name that the tensor has."""
    own: dict[int, str] = {}
    found = {}
    for tensors in (
        model.named_parameters(remove_duplicate=False),
        model.named_buffers(remove_duplicate=False),
    ):
        for name, tensor in tensors:
            found[name] = own.setdefault(id(tensor), name)
    return {name: found[name] for name in model.state_dict() if name in found}


def _stack_masks(masks: Sequence[Mask | None], parameters: Mapping[str, Tensor]) -> State:
    """Return the masks as numbers (K, *shape), for each parameter that any candidate prunes."""
    names = dict.fromkeys(name for mask in masks if mask is not None for name in mask)
    stacked = {}
    for name in names:
        whole = torch.ones(parameters[name].shape[1:], dtype=torch.bool)
        layers = [whole if mask is None else mask.get(name, whole) for mask in masks]
        stacked[name] = torch.stack(layers).to(parameters[name])
    return stacked


def vmap_agrees(model: nn.Module, inputs: Tensor) -> bool:
    """Return whether vmap over copies of ``model`` gives what each copy gives alone.

    Two equal copies go forward and back on two examples, and forward in evaluation mode. vmap
    refuses some modules: those whose control flow depends on numbers, or that change in place what
    all copies share. For some operations it has no rule, and does those one copy at a time. And it
    would lose a buffer that a module replaces instead of changing it. ``model`` is left as it is.
    """
    trial, example = copy.deepcopy(model).train(), inputs[:2]
    with warnings.catch_warnings(record=True) as caught, unchanged_state():
        warnings.simplefilter("always")
        try:
            same = _try_two(trial, example)
        except Exception as error:
            if out_of_memory(error):
                raise
            return False
    return same and not any("performance drop" in str(each.message) for each in caught)


def _try_two(trial: nn.Module, example: Tensor) -> bool:
    """Return whether two copies together give what one gives, and replace no buffer."""
    parameters, buffers = stack_module_state([trial, trial])
    alone = copy.deepcopy(trial)
    before = dict(alone.named_buffers())
    with torch.no_grad():
        expected = alone(example)
    if any(buffer is not before.get(name) for name, buffer in alone.named_buffers()):
        return False

    def one(parameters: State, buffers: State) -> Tensor:
        logits: Tensor = functional_call(trial, (parameters, buffers), (example,))
        return logits

    found = vmap(one)(parameters, buffers)
    found.sum().backward()  # type: ignore[no-untyped-call]
    with torch.no_grad(), evaluating(trial):
        vmap(one)(parameters, buffers)
    near = 0.01 * float(expected.abs().max())
    return torch.allclose(found[0], expected, rtol=0.0, atol=near, equal_nan=True)
