"""Many masked copies of one network, trained together on shared mini-batches by torch.

Parameters are stacked along a first axis of K candidates. The layers of a multilayer perceptron
are written out: the first one is a single product for all candidates, since they share its input,
and the rest are batched ones. Any other module goes through ``torch.func.vmap`` where that can take
it (``stacking.py``). What it cannot, and what draws random numbers while it trains, runs one
candidate after the other, each from the same random state, as each would alone; and so does a
candidate that has no company. Optimisers work entry by entry, so that torch's own step over a stack
is its step over each candidate.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from bogp.masks import Mask, check_fits
from bogp.training.chain import chain_logits, linear_chain
from bogp.training.evaluate import Metrics, Tally, widest
from bogp.training.loop import epoch_batches, make_optimizer, set_rate
from bogp.training.outputs import as_rows, evaluation_batch
from bogp.training.randomness import (
    draws_numbers,
    module_seed,
    random_state,
    seeded,
    set_random_state,
)
from bogp.training.recipe import Recipe
from bogp.training.stacking import State as State
from bogp.training.stacking import stacks

MEASURED = 2048
"""Examples that a stack evaluates at once, where no layer puts out much for each."""


@dataclass(frozen=True)
class Task:
    """What all candidates of a population share.

    ``inputs`` is (N, *shape), ``targets`` (N,) or (N, T); ``order_seed`` draws the order of the
    mini-batches; ``other`` are inputs (M, *shape) that the candidates will be measured on.
    """

    inputs: Tensor
    targets: Tensor
    recipe: Recipe
    order_seed: int
    other: Tensor | None = None


@final
class TorchStack:
    """K candidates at work: their parameters (K, *shape), optimiser state and place in the run."""

    def __init__(
        self, models: Sequence[nn.Module], masks: Sequence[Mask | None], task: Task
    ) -> None:
        """Stack ``models`` (K,), masked by ``masks`` (K,); the models given are not changed."""
        self.task = task
        self.skeleton = copy.deepcopy(models[0]).to(task.inputs.device).train()
        self.chain = linear_chain(self.skeleton, task.inputs)
        self.trained = {n for n, p in self.skeleton.named_parameters() if p.requires_grad}
        self.draws = self.chain is None and draws_numbers(self.skeleton, task.inputs)
        self.random: list[Tensor] | None = None  # the random state that the next epoch begins with
        self.together = (
            self.chain is None
            and not self.draws
            and len(models) > 1
            and stacks(self.skeleton, task.inputs)
        )
        parameters, buffers = stack_module_state([model.train() for model in models])
        device = task.inputs.device
        self.parameters: State = {n: p.detach().to(device) for n, p in parameters.items()}
        self.buffers: State = {n: b.detach().to(device) for n, b in buffers.items()}
        self.masks = _stack_masks(models, masks, self.parameters)
        for name, mask in self.masks.items():
            self.parameters[name].mul_(mask)
        self.optimizer = self._fresh_optimizer()
        self.generator = torch.Generator().manual_seed(task.order_seed)
        self.epoch = 0

    def __len__(self) -> int:
        """Return K."""
        return len(next(iter(self.parameters.values())))

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in self.trained)
        free = [parameter for name, parameter in self.parameters.items() if name in self.trained]
        return make_optimizer(free, self.task.recipe)

    def advance(self) -> Tensor:
        """Train one epoch and return the mean training loss of each candidate, (K,)."""
        if not self.draws:
            return self._advance()
        device = self.task.inputs.device
        with seeded(module_seed(self.task.order_seed)):
            if self.random is not None:
                set_random_state(device, self.random)
            losses = self._advance()
            self.random = random_state(device)
        return losses

    def _advance(self) -> Tensor:
        task, recipe = self.task, self.task.recipe
        steps = recipe.steps(len(task.targets))
        device = task.inputs.device
        total = torch.zeros(len(self), dtype=widest(device), device=device)
        batches = epoch_batches(task.inputs, task.targets, recipe, self.generator)
        for step, (inputs, targets) in enumerate(batches, self.epoch * steps):
            set_rate(self.optimizer, recipe.rate_at(step, recipe.epochs * steps))
            losses = self._losses(inputs, targets, recipe.label_smoothing)
            self.optimizer.zero_grad()
            # Each loss depends on its own slice alone, so the sum's gradient is each one's own.
            losses.sum().backward()  # type: ignore[no-untyped-call]
            for name, mask in self.masks.items():
                gradient = self.parameters[name].grad
                if gradient is not None:
                    gradient.mul_(mask)
            self.optimizer.step()
            total += losses.detach() * len(targets)
        self.epoch += 1
        self._clear_pruned()
        return total / len(task.targets)

    def evaluate(
        self, inputs: Tensor, targets: Tensor, batch_size: int | None = None
    ) -> list[Metrics]:
        """Return the metrics of each on ``inputs`` (N, *shape), ``targets`` (N,) or (N, T)."""
        batch_size = batch_size or evaluation_batch(self.skeleton, inputs, MEASURED)
        self.skeleton.eval()
        tally = None
        with torch.no_grad(), self._kept_random_state():
            for batch, labels in zip(
                torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
            ):
                logits = self._logits(batch)
                tally = tally or Tally(len(self), logits.shape[-1], logits.device)
                tally.add(logits, labels)
        self.skeleton.train()
        assert tally is not None
        return tally.metrics()

    def select(self, rows: Sequence[int]) -> TorchStack:
        """Return a stack that goes on with the candidates ``rows`` alone."""
        chosen = torch.as_tensor(list(rows), device=self.task.inputs.device)
        other = copy.copy(self)
        other.parameters = {n: p.detach()[chosen].clone() for n, p in self.parameters.items()}
        other.buffers = {n: b[chosen].clone() for n, b in self.buffers.items()}
        other.masks = {n: m[chosen] for n, m in self.masks.items()}
        other.optimizer = other._fresh_optimizer()
        for name in self.trained:
            old, new = self.parameters[name], other.parameters[name]
            kept = self.optimizer.state.get(old, {})
            other.optimizer.state[new] = {
                key: value[chosen].clone() if value.shape == old.shape else value.clone()
                for key, value in kept.items()
            }
        other.generator = torch.Generator()
        other.generator.set_state(self.generator.get_state())
        return other

    def joined(self, other: TorchStack) -> TorchStack:
        """Return one stack of these candidates and then the other's, at the same epoch."""
        whole = copy.copy(self)
        whole.parameters = _concatenated(self.parameters, other.parameters)
        whole.buffers = _concatenated(self.buffers, other.buffers)
        names = dict.fromkeys([*self.masks, *other.masks])
        first = {n: self.masks.get(n, torch.ones_like(self.parameters[n])) for n in names}
        second = {n: other.masks.get(n, torch.ones_like(other.parameters[n])) for n in names}
        whole.masks = _concatenated(first, second)
        whole.optimizer = whole._fresh_optimizer()
        for name in self.trained:
            pair, new = (self.parameters[name], other.parameters[name]), whole.parameters[name]
            one = self.optimizer.state.get(pair[0], {})
            two = other.optimizer.state.get(pair[1], {})
            whole.optimizer.state[new] = {
                # Moments have a row a candidate; the number of steps is the same for all.
                key: torch.cat([value, two[key]]) if value.shape == pair[0].shape else value.clone()
                for key, value in one.items()
            }
        return whole

    def states(self) -> list[State]:
        """Return the state dict of each candidate, on the CPU, pruned weights exactly zero."""
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

    def _losses(self, inputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        return _cross_entropy(self._logits(inputs), targets, smoothing)

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return the logits, (K, B, classes) or (K, B, T, classes)."""
        if self.chain is not None:
            return chain_logits(self.chain, self.parameters, inputs)
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

    @contextlib.contextmanager
    def _kept_random_state(self) -> Iterator[None]:
        if not self.draws:
            yield
            return
        with seeded(module_seed(self.task.order_seed)):
            yield

    def _clear_pruned(self) -> None:
        """Set pruned weights to zero also where a gradient was not a number: NaN * 0 is NaN."""
        with torch.no_grad():
            for name, mask in self.masks.items():
                self.parameters[name].masked_fill_(mask == 0, 0.0)


def _concatenated(first: State, second: State) -> State:
    return {name: torch.cat([first[name].detach(), second[name].detach()]) for name in first}


def _own_names(model: nn.Module) -> dict[str, str]:
    """Return, for each name in the state dict, the first name of the tensor that it is of."""
    own: dict[int, str] = {}
    found = {}
    for tensors in (
        model.named_parameters(remove_duplicate=False),
        model.named_buffers(remove_duplicate=False),
    ):
        for name, tensor in tensors:
            found[name] = own.setdefault(id(tensor), name)
    return {name: found[name] for name in model.state_dict() if name in found}


def _cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross-entropy of each candidate, (K,).

    ``logits`` are (K, B, classes) and ``targets`` (B,), or (K, B, T, classes) and (B, T).
    """
    logits, targets = as_rows(logits, targets)
    count, rows = logits.shape[:2]
    each = nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.repeat(count), reduction="none", label_smoothing=smoothing
    )
    return each.view(count, rows).mean(1)


def _stack_masks(
    models: Sequence[nn.Module], masks: Sequence[Mask | None], parameters: Mapping[str, Tensor]
) -> State:
    """Return the masks as numbers (K, *shape), for each parameter that any candidate prunes."""
    for model, mask in zip(models, masks, strict=True):
        if mask is not None:
            check_fits(model, mask)
    names = dict.fromkeys(name for mask in masks if mask is not None for name in mask)
    stacked = {}
    for name in names:
        whole = torch.ones(parameters[name].shape[1:], dtype=torch.bool)
        layers = [whole if mask is None else mask.get(name, whole) for mask in masks]
        stacked[name] = torch.stack(layers).to(parameters[name])
    return stacked
