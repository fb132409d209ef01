"""What a mask makes of a network: its size, its arithmetic, and the weights on a path."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from bogp.masks import Mask, check_fits
from bogp.training.memory import out_of_memory
from bogp.training.outputs import evaluating


@dataclass(frozen=True)
class Structure:
    """Size, arithmetic and connectedness of a masked network.

    Attributes:
        sparsity: share of the prunable weights that the mask removes.
        effective_sparsity: the same share, where kept weights that are on no path from the input to
            the output count as removed too (Vysogorets & Kempe 2023, "Connectivity Matters"); None
            where paths cannot be told: see :func:`weights_on_paths`.
        compression: parameters of the dense network over those that are left (Blalock et al. 2020).
        speed_up: multiply-adds of the dense network over those of the masked one, in linear and
            convolutional layers and the projections of attention: the most that arithmetic on the
            kept weights alone can gain (Blalock et al. 2020).
    """

    sparsity: float
    effective_sparsity: float | None
    compression: float
    speed_up: float


def structure(model: nn.Module, mask: Mask, inputs: Tensor) -> Structure:
    """Return what ``mask`` makes of ``model``.

    Of ``inputs`` (N, *shape) only the shape and the type count.

    Raises:
        MaskError: the mask does not fit the model.

    >>> mask = Mask({"1.weight": torch.tensor([[True, False], [False, False]])})
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Linear(2, 1))
    >>> structure(network, mask, torch.zeros(1, 2)).speed_up
    2.0
    """
    check_fits(model, mask)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    dense, masked = multiply_adds(model, mask, inputs[:1])
    on_path = weights_on_paths(model, mask, inputs)
    effective = None
    if on_path is not None:
        effective = 1.0 - sum(int(layer.sum()) for layer in on_path.values()) / mask.total
    return Structure(
        sparsity=mask.sparsity,
        effective_sparsity=effective,
        compression=parameters / (parameters - mask.total + mask.kept),
        speed_up=dense / masked if masked else float("inf"),
    )


_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_COUNTED = (*_LAYERS, nn.MultiheadAttention)

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
"""Layers that join no channels, or join all alike: they could only hide a path."""


_POOLS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.MaxPool1d: nn.functional.avg_pool1d,
    nn.MaxPool2d: nn.functional.avg_pool2d,
    nn.MaxPool3d: nn.functional.avg_pool3d,
}
_ADAPTIVE_POOLS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.AdaptiveMaxPool1d: nn.functional.adaptive_avg_pool1d,
    nn.AdaptiveMaxPool2d: nn.functional.adaptive_avg_pool2d,
    nn.AdaptiveMaxPool3d: nn.functional.adaptive_avg_pool3d,
}


def multiply_adds(
    model: nn.Module, mask: Mapping[str, Tensor], inputs: Tensor
) -> tuple[float, float]:
    """Return the multiply-adds for ``inputs``, of the dense network and of the masked one.

    Those of linear and convolutional layers and of the projections of attention count. A network on
    the device ``"meta"``, which computes nothing, has them too.
    """
    totals = [0.0, 0.0]
    names = {parameter: name for name, parameter in model.named_parameters()}

    def add(weight: Any, places: float, rows: slice = slice(None)) -> None:
        """Count ``rows`` of a weight, of which each entry is used at so many ``places``."""
        kept = mask.get(names.get(weight, ""))
        totals[0] += places * weight[rows].numel()
        totals[1] += places * (weight[rows].numel() if kept is None else int(kept[rows].sum()))

    def count(layer: Any, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        if isinstance(layer, nn.MultiheadAttention):
            # It calls no layer: query, key and value meet their weights within a function.
            parts = dict(zip(("query", "key", "value"), given, strict=False)) | named
            query, key = (parts[name].numel() / parts[name].shape[-1] for name in ("query", "key"))
            if not layer._qkv_same_embed_dim:
                add(layer.q_proj_weight, query)
                add(layer.k_proj_weight, key)
                add(layer.v_proj_weight, key)
            else:
                add(layer.in_proj_weight, query, slice(layer.embed_dim))
                add(layer.in_proj_weight, key, slice(layer.embed_dim, None))
            add(layer.out_proj.weight, query)
        else:
            add(layer.weight, output.numel() / layer.weight.shape[0])

    layers = [layer for layer in model.modules() if isinstance(layer, _COUNTED)]
    handles = [layer.register_forward_hook(count, with_kwargs=True) for layer in layers]
    _run(model, inputs, handles)
    return totals[0], totals[1]


def weights_on_paths(model: nn.Module, mask: Mask, inputs: Tensor) -> dict[str, Tensor] | None:
    """Return which of the mask's weights are kept and on a path from the input to the output.

    Kept weights are set to 1, pruned ones and biases to 0, and the input to ones. All numbers in
    the network are then positive, so that the output changes with a weight just where a path of
    kept weights runs through it (Tanaka et al. 2020 use the same pass for SynFlow).

    The result is None where this cannot be told: the network has attention, takes token numbers or
    cannot compute such numbers, or it has weights that its output does not change with even where
    nothing is pruned.

    Args:
        model: unchanged.
        mask: fits the model.
        inputs: (N, *shape), of which only the shape and the type count.
    """
    if not inputs.is_floating_point():
        return None
    whole = {name: torch.ones_like(layer) for name, layer in mask.items()}
    try:
        if not all(on.all() for on in _sensitive(model, whole, inputs[:1]).values()):
            return None
        return _sensitive(model, mask, inputs[:1])
    except Exception as error:
        if out_of_memory(error):
            raise
        return None


def _sensitive(model: nn.Module, mask: Mapping[str, Tensor], inputs: Tensor) -> dict[str, Tensor]:
    """Return which weights the output of the all-positive network changes with, by their layers."""
    model = copy.deepcopy(model).double().requires_grad_(True)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            if name in mask:
                parameter.copy_(mask[name])
    handles = [
        module.register_forward_hook(hook)
        for module in model.modules()
        if (hook := _positive(module)) is not None
    ]
    with torch.enable_grad(), _NoAttention():
        output = _run(model, torch.ones_like(inputs, dtype=torch.float64), handles)
        chosen = [parameters[name] for name in mask]
        gradients = torch.autograd.grad(output.sum(), chosen, allow_unused=True)
    return {
        name: torch.zeros_like(mask[name]) if gradient is None else (gradient > 0) & mask[name]
        for name, gradient in zip(mask, gradients, strict=True)
    }


@final
class _NoAttention(TorchFunctionMode):
    """Stops a forward pass at attention, by NotImplementedError.

    The tokens of the all-positive network are equal, so that no output changes with their
    attention but by rounding, and rounding would be read as a path.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if "softmax" in name or "attention" in name:
            raise NotImplementedError(name)
        return func(*args, **(kwargs or {}))


def _positive(module: nn.Module) -> Callable[..., Any] | None:
    """Return the hook that keeps a module of the all-positive network from hiding paths, if any."""
    if isinstance(module, _LAYERS):
        return lambda _, __, out: out / out.detach().amax().clamp(min=1e-30)
    if isinstance(module, _NORMS):
        return lambda _, given, __: given[0]
    # The largest of equals would hide the others.
    for kind, mean in _POOLS.items():
        if isinstance(module, kind):
            return lambda pool, given, _: mean(
                given[0], pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode
            )
    for kind, mean in _ADAPTIVE_POOLS.items():
        if isinstance(module, kind):
            return lambda pool, given, _: mean(given[0], pool.output_size)
    return None


def _run(model: nn.Module, inputs: Tensor, handles: Sequence[RemovableHandle]) -> Tensor:
    """Return the output in evaluation mode, and remove the hooks, which are for this one pass."""
    try:
        with evaluating(model):
            output: Tensor = model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return output
