"""Nodes that nothing reads or feeds leave a network before its layers become graph layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bogp.coupling.compaction import LayerSize, compact
from bogp.coupling.layers import GatheredLinear
from bogp.errors import ExportError
from bogp.masks import Mask


class Left(NamedTuple):
    """What is left of a masked network.

    Attributes:
        model: the network, the one given if nothing leaves.
        mask: what is kept of the weights of this network that the mask named.
        removed: the layers that lost channels, by module name.
        note: a sentence on what kept channels from leaving; empty if nothing did.
    """

    model: nn.Module
    mask: Mapping[str, Tensor]
    removed: Mapping[str, LayerSize]
    note: str


def without_dead(model: nn.Module, mask: Mask, inputs: tuple[Tensor, ...]) -> Left:
    """Return ``model`` without the channels that its outputs do not depend on.

    Devices and modes are kept. Where the smaller network cannot be made, the note says why and
    everything stays.

    Args:
        model: the network, its pruned weights 0.
        mask: what is pruned.
        inputs: a batch of each of its inputs.
    """
    devices = {each.device for each in (*model.parameters(), *model.buffers())}
    if len(devices) != 1:
        return Left(model, mask, {}, "nothing leaves a network that is on several devices")
    try:
        small = compact(model, inputs, mask)
    except ExportError as error:
        return Left(model, mask, {}, f"nothing leaves: {error}")
    if not small.removed:
        return Left(model, mask, {}, small.note)
    modes = {name: module.training for name, module in model.named_modules()}
    for name, module in small.model.named_modules():
        module.training = modes.get(name, model.training)
    found = small.model.to(devices.pop())
    return Left(found, {} if small.mask is None else small.mask, small.removed, small.note)


def widened(layer: GatheredLinear, mask: Tensor, inputs: int) -> tuple[nn.Linear, Tensor]:
    """Return the linear layer of all ``inputs`` that computes what ``layer`` does, and its mask.

    A graph layer skips the inputs that are not read by itself.

    >>> few = GatheredLinear(torch.tensor([2]), torch.tensor([[3.0]]), None)
    >>> wide, kept = widened(few, torch.tensor([[True]]), 4)
    >>> wide.weight.tolist(), kept.tolist()
    ([[0.0, 0.0, 3.0, 0.0]], [[False, False, True, False]])
    """
    weight, features = layer.weight, layer.features
    outputs = weight.shape[0]
    wide = nn.Linear(
        inputs, outputs, layer.bias is not None, device=weight.device, dtype=weight.dtype
    )
    kept = mask.new_zeros(outputs, inputs)
    kept[:, features.to(mask.device)] = mask
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[:, features] = weight
        if layer.bias is not None:
            wide.bias.copy_(layer.bias)
    return wide.train(layer.training), kept
