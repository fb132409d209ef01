"""What a network puts out: rows of logits, the numbers on the way to them, evaluation mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bogp.training.randomness import unchanged_state


def as_rows(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (..., M, C) and targets (M,): a row for each of the M targets.

    Classes of examples, ``logits`` (..., N, C) and ``targets`` (N,), are left as they are; of
    positions in sequences, (..., N, T, C) and (N, T), each is a row.

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
def same_buffers(model: nn.Module) -> Iterator[None]:
    """Run a block and give ``model`` back the buffers that it had, whatever the block did."""
    kept = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
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
        with torch.no_grad(), unchanged_state(), evaluating(model), same_buffers(model):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


_NUMBERS = 2**25
"""What one layer may put out at once: 134 MB in float32."""


def evaluation_batch(model: nn.Module, inputs: Tensor, most: int) -> int:
    """Return how many of ``inputs`` (N, *shape) to evaluate at once, at most ``most``.

    As many as keep every layer's output, and the input, at 2^25 numbers: no small network, nor a
    perceptron of under 8,192 units, gets fewer than 4,096.
    """
    largest = max([inputs[:1].numel(), *leaf_outputs(model, inputs[:1])])
    return max(1, min(most, _NUMBERS // max(1, largest)))
