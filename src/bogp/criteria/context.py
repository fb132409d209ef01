"""What a criterion is and may look at, and what criteria that run the network share."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bogp.errors import SettingError
from bogp.masks import Mask, check_fits


@dataclass(frozen=True, eq=False)
class Context:
    """A network at the moment when its weights are scored.

    Attributes:
        model: the network with the weights at hand; no criterion changes it.
        mask: the current mask; weights outside it count as zero.
        inputs: examples to score on, (N, *shape); None for a criterion that needs none.
        targets: their classes, (N,) int64, or (N, T) for a model that classifies T positions.
        seed: decides all that is random about the scores.
        gradients: of the training step at hand, by parameter name; None outside of training.
    """

    model: nn.Module
    mask: Mask
    inputs: Tensor | None = None
    targets: Tensor | None = None
    seed: int = 0
    gradients: Mapping[str, Tensor] | None = None


Scores = dict[str, Tensor]
"""Name of a parameter → the score of each of its weights; a higher score is kept first.

The scores of weights outside the mask mean nothing: selection looks inside the mask alone.
"""


@dataclass(frozen=True)
class Criterion:
    """A function that scores weights, and what a pruning round must know to call it.

    Attributes:
        name: what options and records call it.
        score: from a context to a score for each weight of the mask's layers. It is pure: it
            changes neither the model nor torch's random state.
        needs_data: whether it needs examples; without data it is then refused.
        needs_gradients: whether it goes by :attr:`Context.gradients`, those of pruned weights too,
            which only a mask that moves in training has.
        steps: scorings within one pruning round, while the mask shrinks by the same factor at each.
        help: one line that says what the score is.
        source: the paper that it is from.
    """

    name: str
    score: Callable[[Context], Scores]
    needs_data: bool = False
    needs_gradients: bool = False
    steps: int = 1
    help: str = ""
    source: str = ""


def inputs_of(context: Context, criterion: str) -> Tensor:
    """Return the inputs (N, *shape) to score on.

    Raises:
        SettingError: there are none.
    """
    if context.inputs is None or len(context.inputs) == 0:
        raise SettingError(f"criterion {criterion!r} runs the network: give it inputs to run it on")
    return context.inputs


def examples_of(context: Context, criterion: str) -> tuple[Tensor, Tensor]:
    """Return the inputs (N, *shape) and targets, (N,) or (N, T), to score on.

    Raises:
        SettingError: there are none, or not as many of each.
    """
    inputs = inputs_of(context, criterion)
    if context.targets is None or len(context.targets) != len(inputs):
        found = 0 if context.targets is None else len(context.targets)
        raise SettingError(
            f"criterion {criterion!r} scores by a loss and has {len(inputs)} inputs and {found} "
            "targets: give one target for each input"
        )
    return inputs, context.targets


def masked_copy(
    context: Context, device: torch.device, dtype: torch.dtype | None = None
) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """Return a copy of the model, zero outside the mask, and its parameters by name.

    Whatever scoring does to a network (gradients, batch statistics) is done to the copy.

    Raises:
        MaskError: the mask does not fit the model.
    """
    check_fits(context.model, context.mask)
    model = copy.deepcopy(context.model).to(device=device, dtype=dtype)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, layer in context.mask.items():
            parameters[name].requires_grad_(True).mul_(layer.to(parameters[name]))
    return model, parameters


@contextlib.contextmanager
def training_mode(model: nn.Module, seed: int) -> Iterator[None]:
    """Run a block with gradients on, ``model`` in training mode and torch seeded with ``seed``.

    torch's global random state is restored after it. Attention is computed step by step, since most
    of its fused kernels have no second derivative.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        torch.manual_seed(seed)
        model.train()
        yield


def mean_loss(logits: Any, targets: Tensor, criterion: str, temperature: float = 1.0) -> Tensor:
    """Return the mean cross-entropy over all examples, and over all positions of each.

    Args:
        logits: (N, classes), or (N, T, classes).
        targets: (N,), or (N, T).
        criterion: the name of the criterion that asks, for the error.
        temperature: divides the logits.

    Raises:
        SettingError: their shapes do not belong together.
    """
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or shape[:-1] != tuple(targets.shape):
        raise SettingError(
            f"criterion {criterion!r} needs a row of logits for each target, and the model gives "
            f"{shape} for targets of shape {tuple(targets.shape)}: give logits of shape "
            "(*targets.shape, classes)"
        )
    rows = logits.flatten(0, -2) / temperature
    return nn.functional.cross_entropy(rows, targets.flatten())


def number_type(inputs: Tensor) -> torch.dtype | None:
    """Return the dtype that a network must have for ``inputs``; None where they are integers."""
    return inputs.dtype if inputs.is_floating_point() else None


def weight_times_gradient(
    weights: Mapping[str, Tensor], gradients: Sequence[Tensor | None]
) -> Scores:
    """Return w · g for each weight w and its gradient g, zero where there is no gradient."""
    return {
        name: weight.detach() * (torch.zeros_like(weight) if slope is None else slope.detach())
        for (name, weight), slope in zip(weights.items(), gradients, strict=True)
    }
