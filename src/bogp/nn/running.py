"""A network run on an example: what its layers compute, how long they take, what comes out."""

from __future__ import annotations

import time
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bogp.coupling.layers import GatheredLinear
from bogp.errors import ExportError, first_line

PAIRS = 9
"""How often a layer is timed against the dense one."""


_NOTED = nn.Linear | GatheredLinear | nn.Conv1d | nn.Conv2d | nn.MultiheadAttention
"""The layers that are looked at."""


class Seen(NamedTuple):
    """How many rows or places a layer computes at a time, and the shape of its input if known."""

    rows: int
    shape: tuple[int, ...] | None = None


def timed_gain(dense: nn.Module, graph: nn.Module, shape: tuple[int, ...]) -> float:
    """Return how many times faster a graph layer is: the median of pairs of calls, in turn."""
    weight = next(dense.parameters())
    x = torch.zeros(shape, dtype=weight.dtype, device=weight.device)

    def seconds(layer: nn.Module) -> float:
        start = time.perf_counter()
        layer(x)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        return time.perf_counter() - start

    with torch.no_grad():
        for layer in (dense, graph, dense, graph):
            seconds(layer)
        return median(seconds(dense) / seconds(graph) for _ in range(PAIRS))


def run_noting(
    model: nn.Module, inputs: tuple[Tensor, ...]
) -> tuple[list[Tensor], dict[str, Seen]]:
    """Return the outputs, and what each layer computes."""
    seen: dict[str, Seen] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            (found, *_) = [each for each in tree_leaves(output) if isinstance(each, Tensor)]
            # All but the channels are rows: they are last, or those of a convolution.
            channels = getattr(module, "out_channels", found.shape[-1])
            shape = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else None
            seen[name] = Seen(max(1, found.numel() // max(1, channels)), shape)

        return hook

    handles = [
        module.register_forward_hook(note(name), with_kwargs=True)
        for name, module in model.named_modules()
        if isinstance(module, _NOTED)
    ]
    try:
        return _outputs(model, inputs), seen
    except Exception as error:  # whatever a foreign forward raises
        raise ExportError(
            f"the model cannot be run on the example ({first_line(error)}): give a batch of its "
            "inputs"
        ) from error
    finally:
        for handle in handles:
            handle.remove()


def _outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the tensors that ``model`` gives in evaluation mode."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            found = tree_leaves(model.eval()(*(each.clone() for each in inputs)))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return [each for each in found if isinstance(each, Tensor)]


def check_outputs(model: nn.Module, inputs: tuple[Tensor, ...], expected: list[Tensor]) -> None:
    """Raise ExportError unless the outputs are the expected ones."""
    fix = "name the layer whose weight the model reads by itself in dense=[...]"
    try:
        found = _outputs(model, inputs)
    except Exception as error:  # whatever a foreign forward raises
        raise ExportError(
            f"the network of graph layers cannot be run ({first_line(error)}): {fix}"
        ) from error
    for one, other in zip(found, expected, strict=True):
        if not other.is_floating_point():
            continue
        difference = float((one - other).abs().max()) if other.numel() else 0.0
        scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
        if not difference <= 0.3 * torch.finfo(other.dtype).eps ** 0.5 * scale:
            raise ExportError(
                f"the network of graph layers gives outputs that differ by {difference:.1e}: {fix}"
            )
