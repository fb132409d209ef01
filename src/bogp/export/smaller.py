"""Layers with weights, each with fewer of its channels."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from bogp.coupling.layers import GatheredLinear


def smaller_reader(module: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return a linear layer or convolution (of one group) with another weight and bias."""
    layer = copy.deepcopy(module)
    _set(layer, "weight", weight)
    _set(layer, "bias", bias)
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = weight.shape
    elif not isinstance(layer, GatheredLinear):
        layer.out_channels, layer.in_channels = weight.shape[:2]
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
    elif hasattr(layer, "num_features"):
        layer.num_features = count
    else:
        layer.in_channels = layer.groups = count
        layer.out_channels = int(outputs.sum())
    return layer  # type: ignore[no-any-return]


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
    layer = GatheredLinear(features.clone(), weight.detach().clone(), bias)
    return layer.train(module.training)


def columns(weight: Tensor, chosen: Tensor) -> Tensor:
    """Return the chosen inputs of a weight (out, in, ...)."""
    return torch.index_select(weight, 1, chosen.nonzero().flatten())
