"""What a network puts out: rows of logits, and how many numbers its layers give on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bogp.training.randomness import unchanged_state


def as_rows(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (..., M, C) and targets (M,): a row for each of the M targets.

    Logits (..., N, C) of N examples are left as they are. Of sequences, whose logits are
    (..., N, T, C) and targets (N, T), each position becomes a row.

    >>> logits, targets = as_rows(torch.zeros(7, 5, 3, 10), torch.zeros(5, 3))
    >>> logits.shape, targets.shape
    (torch.Size([7, 15, 10]), torch.Size([15]))
    """
    return (logits, targets) if targets.dim() == 1 else (logits.flatten(-3, -2), targets.flatten())


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a block with ``model`` in evaluation mode, and give each module back its own after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def inspecting(model: nn.Module) -> Iterator[None]:
    """Run a block that calls ``model`` in evaluation mode, and leave no trace of it.

    The model gets back its modes and the buffers that it had, and torch its random state.
    """
    kept = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    with torch.no_grad(), unchanged_state(), evaluating(model):
        try:
            yield
        finally:
            for module, name, buffer, value in kept:
                buffer.copy_(value)
                module._buffers[name] = buffer


def leaf_outputs(model: nn.Module, inputs: Tensor) -> list[int]:
    """Return how many numbers each layer of ``model`` puts out for ``inputs``, in order."""
    found: list[int] = []

    def note(module: nn.Module, arguments: object, output: object) -> None:
        whole = output if isinstance(output, tuple) else (output,)
        found.append(sum(part.numel() for part in whole if isinstance(part, Tensor)))

    leaves = [
        module
        for module in model.modules()
        if isinstance(module, nn.MultiheadAttention) or not any(module.children())
    ]
    handles = [module.register_forward_hook(note) for module in leaves]
    try:
        with inspecting(model):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


_NUMBERS = 2**25
"""Numbers that one layer may put out at once: 134 MB in float32."""


def evaluation_batch(model: nn.Module, inputs: Tensor, most: int) -> int:
    """Return how many of ``inputs`` (N, *shape) to evaluate at once, at most ``most``.

    No layer puts out, and no input holds, more than 2^25 numbers for so many. A small network, or a
    perceptron of under 8,192 units, gets 4,096 and more.
    """
    largest = max([inputs[:1].numel(), *leaf_outputs(model, inputs[:1])])
    return max(1, min(most, _NUMBERS // max(1, largest)))
