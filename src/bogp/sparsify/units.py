"""The units that a granularity makes of a network: weights, blocks or channels."""

from __future__ import annotations

from torch import Tensor, nn

from bogp.coupling import channel_units
from bogp.errors import SettingError
from bogp.masks import BlockUnits, Granularity, Units, WeightUnits, prunable_layers


def make_units(
    granularity: Granularity,
    model: nn.Module,
    names: tuple[str, ...],
    example: Tensor | None = None,
) -> Units:
    """Return the units that a mask of the weights ``names`` consists of.

    Args:
        granularity: what is kept or pruned together.
        model: the network.
        names: the weights to prune.
        example: inputs (N, *shape), with which channels are followed through the network.

    Raises:
        SettingError: channels, without an example.
        GraphError: layers that are too narrow for the blocks.
        MaskError: the model cannot be run on the example, or none of its channels can go.
    """
    if granularity.kind == "weight":
        return WeightUnits()
    if granularity.kind == "block":
        layers = tuple(found for found in prunable_layers(model) if found.name in names)
        return BlockUnits(layers, granularity)
    if example is None:
        raise SettingError(
            "channels are followed through the network with an example: give data, a batch of its "
            "inputs"
        )
    return channel_units(model, names, example[:1], multiple=granularity.multiple)
