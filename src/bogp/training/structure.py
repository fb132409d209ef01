"""What a mask makes of a network: weights on a path, size and arithmetic."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bogp.masks import Mask, check_fits


@dataclass(frozen=True)
class Structure:
    """Size, arithmetic and connectedness of a masked network.

    Attributes:
        sparsity: share of the prunable weights that the mask removes.
        effective_sparsity: the same, counting as removed also the kept weights that are on no path
            from the input to the output (Vysogorets & Kempe 2023, "Connectivity Matters"); None
            where the network cannot be read so (attention, for one).
        compression: parameters of the dense network over those that are left (Blalock et al. 2020).
        speed_up: multiply-adds of linear and convolutional layers, dense over masked: what
            arithmetic on the kept weights alone would gain at best (Blalock et al. 2020).
    """

    sparsity: float
    effective_sparsity: float | None
    compression: float
    speed_up: float


def structure(model: nn.Module, mask: Mask, inputs: Tensor) -> Structure:
    """Return what ``mask`` makes of ``model``; ``inputs`` (N, *shape) give the shapes alone.

    Raises:
        MaskError: the mask does not fit the model.

    >>> mask = Mask({"1.weight": torch.tensor([[True, False], [False, False]])})
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Linear(2, 1))
    >>> structure(network, mask, torch.zeros(1, 2)).speed_up
    2.0
    """
    check_fits(model, mask)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    dense, masked = _multiply_adds(model, mask, inputs[:1])
    on_path = _weights_on_a_path(model, mask, inputs[:1])
    return Structure(
        sparsity=mask.sparsity,
        effective_sparsity=None if on_path is None else 1.0 - on_path / mask.total,
        compression=parameters / (parameters - mask.total + mask.kept),
        speed_up=dense / masked if masked else float("inf"),
    )


_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.Dropout,
)
"""Layers that join no channels, or all alike, and would only hide a path."""


def _multiply_adds(model: nn.Module, mask: Mask, inputs: Tensor) -> tuple[float, float]:
    """Return multiply-adds of linear and convolutional layers for one input, dense and masked."""
    totals = [0.0, 0.0]
    names = {parameter: name for name, parameter in model.named_parameters()}

    def count(layer: Any, _: Any, output: Tensor) -> None:
        weight = layer.weight
        places = output.numel() / weight.shape[0] / len(output)  # uses of each weight
        kept = mask.get(names.get(weight, ""))
        totals[0] += places * weight.numel()
        totals[1] += places * (weight.numel() if kept is None else int(kept.sum()))

    _run(model, inputs, {layer: count for layer in model.modules() if isinstance(layer, _LAYERS)})
    return totals[0], totals[1]


def _weights_on_a_path(model: nn.Module, mask: Mask, inputs: Tensor) -> int | None:
    """Return how many of the mask's kept weights are on a path from the input to the output.

    With kept weights 1, pruned ones 0, no biases and inputs of ones, all numbers are positive, and
    the output changes with a weight just where a path of kept weights runs through it (Tanaka et
    al. 2020 use the same pass for SynFlow). None where the unmasked network has weights that its
    output does not change with: then this reading of it is wrong.
    """
    whole = {name: torch.ones_like(layer) for name, layer in mask.items()}
    if any(not on.all() for on in _sensitive(model, whole, inputs).values()):
        return None
    return sum(int(on.sum()) for on in _sensitive(model, mask, inputs).values())


def _sensitive(model: nn.Module, mask: Mapping[str, Tensor], inputs: Tensor) -> dict[str, Tensor]:
    """Return which kept weights the output of the all-positive network changes with."""
    model = copy.deepcopy(model).double().eval()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            if name in mask:
                parameter.copy_(mask[name])
    hooks: dict[nn.Module, Callable[..., Any]] = {}
    for module in model.modules():
        if isinstance(module, _LAYERS):
            hooks[module] = lambda _, __, out: out / out.detach().amax().clamp(min=1e-30)
        elif isinstance(module, _NORMS):
            hooks[module] = lambda _, given, __: given[0]
        elif isinstance(module, nn.MaxPool2d):
            hooks[module] = _mean_pool  # the largest of equals would hide the other paths
    with torch.enable_grad():
        output = _run(model, torch.ones_like(inputs, dtype=torch.float64), hooks)
        chosen = [parameters[name] for name in mask]
        gradients = torch.autograd.grad(output.sum(), chosen, allow_unused=True)
    return {
        name: torch.zeros_like(mask[name]) if gradient is None else (gradient > 0) & mask[name]
        for name, gradient in zip(mask, gradients, strict=True)
    }


def _mean_pool(pool: Any, given: tuple[Tensor], _: Tensor) -> Tensor:
    options = (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
    return nn.functional.avg_pool2d(given[0], *options)


def _run(model: nn.Module, inputs: Tensor, hooks: Mapping[nn.Module, Callable[..., Any]]) -> Tensor:
    """Return the output in evaluation mode, with hooks for this one pass."""
    was_training = model.training
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        output: Tensor = model.eval()(inputs)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return output
