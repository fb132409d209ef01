"""The training loop of one masked network: the reference for every faster one."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bogp.masks import Mask, check_fits
from bogp.training.recipe import Recipe


@dataclass(frozen=True)
class Trained:
    """A trained network and its training losses."""

    model: nn.Module
    losses: tuple[float, ...]  # mean training loss of each epoch, (epochs,)

    @property
    def diverged(self) -> bool:
        """Whether some epoch's loss was not finite."""
        return not all(math.isfinite(loss) for loss in self.losses)


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run a block on ``count`` CPU threads and restore torch's setting after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def initialise(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return ``factory()`` with its weights drawn from ``seed``, global random state untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return factory()


def train(
    model: nn.Module,
    inputs: Tensor,  # (N, *shape) float32
    targets: Tensor,  # (N,) int64
    recipe: Recipe,
    *,
    mask: Mask | None = None,
    seed: int,
) -> Trained:
    """Return a copy of ``model`` trained on cross-entropy with the masked weights held at zero.

    The weights that ``mask`` prunes are set to zero and their gradients are masked, so that they
    are exactly zero after every step. Only the order of the mini-batches depends on ``seed``.

    Raises:
        MaskError: the mask does not fit the model.
    """
    model = copy.deepcopy(model).to(inputs.device).train()
    pruned = _apply(model, mask)
    optimizer = _optimizer(model, recipe)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    with torch_threads(recipe.threads):
        for _ in range(recipe.epochs):
            total = torch.zeros((), device=inputs.device)
            for batch_inputs, batch_targets in _batches(inputs, targets, recipe, generator):
                loss = nn.functional.cross_entropy(model(batch_inputs), batch_targets)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                for parameter, layer in pruned:
                    if parameter.grad is not None:
                        parameter.grad.mul_(layer)
                optimizer.step()
                total += loss.detach() * len(batch_targets)
            losses.append(float(total) / len(targets))
    # A diverged gradient is NaN even where it is masked: NaN * 0.
    with torch.no_grad():
        for parameter, layer in pruned:
            parameter.masked_fill_(layer == 0, 0.0)
    return Trained(model.eval(), tuple(losses))


def _apply(model: nn.Module, mask: Mask | None) -> list[tuple[nn.Parameter, Tensor]]:
    if mask is None:
        return []
    check_fits(model, mask)
    parameters: Mapping[str, nn.Parameter] = dict(model.named_parameters())
    pruned = [(parameters[n], layer.to(parameters[n])) for n, layer in mask.items()]
    with torch.no_grad():
        for parameter, layer in pruned:
            parameter.mul_(layer)
    return pruned


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=recipe.learning_rate, fused=True)
    return torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)


def _batches(
    inputs: Tensor, targets: Tensor, recipe: Recipe, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    if recipe.batch_size is None or recipe.batch_size >= len(targets):
        yield inputs, targets
        return
    order = torch.randperm(len(targets), generator=generator).to(inputs.device)
    for rows in torch.split(order, recipe.batch_size):
        yield inputs[rows], targets[rows]
