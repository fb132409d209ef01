"""Layers with weights, each with fewer of its channels."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from bogp.coupling.layers import GatheredLinear


def smaller_reader(module: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return a linear layer or convolution with another weight (out, in, ...) and bias.

    The weight of a grouped convolution is that of all groups, 0 between them.
    """
    layer = copy.deepcopy(module)
    if isinstance(layer, nn.Linear | GatheredLinear):
        weight = weight.flatten(1)
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = weight.shape
    elif not isinstance(layer, GatheredLinear):
        layer.out_channels, layer.in_channels = weight.shape[:2]
        rows = weight.chunk(layer.groups)
        weight = torch.cat([row.chunk(layer.groups, 1)[k] for k, row in enumerate(rows)])
    _set(layer, "weight", weight)
    _set(layer, "bias", bias)
    return layer  # type: ignore[no-any-return]


def smaller_channelwise(module: Any, inputs: Tensor, outputs: Tensor) -> nn.Module:
    """Return a depthwise convolution, norm or PReLU with some of its channels.

    Args:
        module: the layer.
        inputs: which of its input channels stay (in,), bool.
        outputs: which of its output channels stay (out,), bool.
    """
    layer = copy.deepcopy(module)
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = getattr(layer, name, None)
        if value is not None:
            _set(layer, name, value.detach()[outputs])
    count = int(inputs.sum())
    if isinstance(layer, nn.PReLU):
        layer.num_parameters = count
    elif isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = (count,)
    elif isinstance(layer, nn.GroupNorm):
        layer.num_groups = count * layer.num_groups // layer.num_channels
        layer.num_channels = count
    elif hasattr(layer, "num_features"):
        layer.num_features = count
    else:
        layer.in_channels = layer.groups = count
        layer.out_channels = int(outputs.sum())
    return layer  # type: ignore[no-any-return]


def smaller_table(module: Any, outputs: Tensor) -> nn.Module:
    """Return an embedding with some of its channels, ``outputs`` (out,), bool."""
    layer = copy.deepcopy(module)
    _set(layer, "weight", module.weight[:, outputs])
    layer.embedding_dim = int(outputs.sum())
    return layer  # type: ignore[no-any-return]


def smaller_parameter(module: nn.Module, name: str, axis: int, kept: Tensor) -> None:
    """Leave of a module's parameter what is ``kept`` (C,), bool, along an axis."""
    path, _, own = name.rpartition(".")
    old = module.get_parameter(name)
    _set(module.get_submodule(path), own, old.index_select(axis, kept.nonzero().flatten()))


def _set(layer: nn.Module, name: str, value: Tensor | None) -> None:
    """Set a parameter or a buffer of a layer to ``value``, unless that is None."""
    old = getattr(layer, name)
    if value is None:
        return
    value = value.detach().clone()
    if isinstance(old, nn.Parameter) or old is None:
        grad = True if old is None else old.requires_grad
        setattr(layer, name, nn.Parameter(value, requires_grad=grad))
    else:
        setattr(layer, name, value)


def gathered(module: Any, features: Tensor, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return ``module`` reading only the ``features`` (k,) of its input."""
    if isinstance(module, GatheredLinear):
        features = module.features[features]
    layer = GatheredLinear(features.clone(), weight.detach().flatten(1).clone(), bias)
    return layer.train(module.training)


def columns(weight: Tensor, chosen: Tensor) -> Tensor:
    """Return the chosen inputs of a weight (out, in, ...)."""
    return torch.index_select(weight, 1, chosen.nonzero().flatten())
