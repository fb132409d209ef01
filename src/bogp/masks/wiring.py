"""The wiring of a layer: which of its blocks a mask keeps, and the mask that keeps them.

A *block* is all weights between the output channels of one node and the input channels of another.
The kept blocks of a layer are its *wiring*, a bool tensor (out nodes, in nodes); of an attention's
packed projections each matrix has its own blocks, one below the other. A symmetric wiring is a
relational graph: ``RelationalGraph(wiring)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bogp.errors import GraphError, MaskError
from bogp.masks.granularity import Granularity
from bogp.masks.layers import PrunableLayer
from bogp.nodes import channel_nodes, group_sizes

Grid = tuple[int, int]
"""How many output nodes and input nodes a layer has."""


def grids(layers: Sequence[PrunableLayer], granularity: Granularity) -> dict[str, Grid]:
    """Return how many output and input nodes each layer has, by the parameter's name.

    A node owns ``granularity.block`` channels, or a few more where they do not divide evenly; a
    layer of fewer channels is one node. Where layers share one wiring, all that are wide enough for
    two nodes have as many outputs and inputs as the narrowest of them has.

    Raises:
        GraphError: every layer is one block, or, of a shared wiring, no layer has two nodes.

    >>> layers = [PrunableLayer(str(k), "", "linear", s) for k, s in enumerate([(64, 99), (8, 64)])]
    >>> grids(layers, Granularity("block", block=16))
    {'0': (4, 6), '1': (1, 4)}
    >>> grids(layers, Granularity("block", block=16, shared=True))
    {'0': (4, 4), '1': (1, 4)}
    """
    block = granularity.block
    found = {
        layer.name: (max(1, layer.outputs // block), max(1, layer.inputs // block))
        for layer in layers
    }
    if all(max(grid) == 1 for grid in found.values()):
        raise GraphError(f"no layer has two nodes of {block} channels: take smaller blocks")
    if not granularity.shared:
        return found
    if all(min(grid) == 1 for grid in found.values()):
        raise GraphError(
            f"no layer has two nodes of {block} outputs and two of {block} inputs, as a shared "
            "wiring needs: take smaller blocks"
        )
    nodes = min(min(grid) for grid in found.values() if min(grid) > 1)
    return {name: (nodes, nodes) if min(grid) > 1 else grid for name, grid in found.items()}


def wirings(
    mask: Mapping[str, Tensor], layers: Sequence[PrunableLayer], granularity: Granularity
) -> dict[str, Tensor]:
    """Return the wiring of each of ``layers`` in ``mask``, by the parameter's name.

    Raises:
        GraphError: as :func:`grids`.
        MaskError: the mask lacks a layer, or has it in another shape.
    """
    found = {}
    for layer in layers:
        if layer.name not in mask:
            raise MaskError(f"the mask has no layer {layer.name!r}: it has {', '.join(mask)}")
        found[layer.name] = (mask[layer.name], layer)
    shapes = grids(layers, granularity)
    return {name: wiring(kept, layer, shapes[name]) for name, (kept, layer) in found.items()}


def wiring(kept: Tensor, layer: PrunableLayer, grid: Grid) -> Tensor:
    """Return which blocks of a layer's mask ``kept`` keep any weight, bool (out nodes, in nodes).

    An attention's packed matrices have theirs one below the other, (parts · out nodes, in nodes).
    A block that a grouped convolution has no weights for is never kept.

    Raises:
        GraphError: the layer has fewer outputs or inputs than nodes.
        MaskError: the mask is not of the layer's shape.

    >>> layer = PrunableLayer("w", "", "linear", (2, 4))
    >>> wiring(torch.tensor([[0, 0, 1, 0], [1, 0, 0, 0]]).bool(), layer, (1, 2)).tolist()
    [[True, True]]
    """
    return block_sums(kept.double(), layer, grid) > 0


def wiring_mask(kept: Tensor, layer: PrunableLayer, grid: Grid) -> Tensor:
    """Return the mask that keeps whole the blocks of a wiring, of the shape of the layer's weight.

    The kernel of a convolution is kept or pruned whole. A grouped convolution gets the part of the
    mask over all inputs that it has weights for: output o reads only the inputs of its own group,
    so that weight (o, j) is from input ``group(o) * (in / groups) + j``.

    Args:
        kept: bool (parts · out nodes, in nodes).
        layer: the layer.
        grid: how many output and input nodes it has.

    Raises:
        GraphError: the layer has fewer outputs or inputs than nodes.

    >>> layer = PrunableLayer("w", "", "linear", (2, 4))
    >>> wiring_mask(torch.tensor([[True, False]]), layer, (1, 2)).int().tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0]]
    """
    rows, columns = (
        torch.from_numpy(channel_nodes(channels, nodes)).to(kept.device)
        for channels, nodes in zip((layer.outputs, layer.inputs), grid, strict=True)
    )
    # Columns first, while the array is small; rows are then copied whole.
    whole = kept.view(layer.parts, *grid)[..., columns].index_select(1, rows).flatten(0, 1)
    if layer.groups > 1:
        whole = whole.gather(1, _columns_of_groups(layer).to(kept.device))
    kernel = (1,) * (len(layer.shape) - 2)
    return whole.reshape(*layer.shape[:2], *kernel).expand(layer.shape).contiguous()


def block_sums(values: Tensor, layer: PrunableLayer, grid: Grid) -> Tensor:
    """Return the sum of ``values`` over each block of a layer, (parts · out nodes, in nodes).

    Raises:
        GraphError: the layer has fewer outputs or inputs than nodes.
        MaskError: the values are not of the layer's shape.

    >>> layer = PrunableLayer("w", "", "linear", (3, 2))
    >>> block_sums(torch.tensor([[1, 2], [3, 4], [5, 6]]), layer, (2, 1)).tolist()
    [[10], [11]]
    """
    if tuple(values.shape) != layer.shape:
        raise MaskError(
            f"{layer.name!r} has the shape {layer.shape}, and what is given for it "
            f"{tuple(values.shape)}: give one number for each weight"
        )
    flat = values.reshape(layer.parts, layer.outputs, layer.inputs // layer.groups, -1)
    if layer.groups > 1:
        whole = flat.new_zeros(layer.outputs, layer.inputs)
        columns = _columns_of_groups(layer).to(flat.device)
        flat = whole.scatter_(1, columns, flat[0].sum(2))[None, :, :, None]
    rows = _sums(flat, 1, grid[0]).sum(3)
    return _sums(rows, 2, grid[1]).flatten(0, 1)


def _sums(values: Tensor, dim: int, nodes: int) -> Tensor:
    """Return the sums over the channels of each node, which are those of ``dim``.

    The nodes that own a channel more come first, so that each half is a regular array.
    """
    channels = values.shape[dim]
    size = int(group_sizes(channels, nodes)[-1])
    larger = channels - nodes * size
    first, rest = values.tensor_split([larger * (size + 1)], dim)
    sums = [
        torch.unflatten(first, dim, (larger, size + 1)).sum(dim + 1),
        torch.unflatten(rest, dim, (nodes - larger, size)).sum(dim + 1),
    ]
    return torch.cat(sums, dim) if larger else sums[1]


def _columns_of_groups(layer: PrunableLayer) -> Tensor:
    """Return the input that each weight of a grouped convolution reads, (out, in / groups)."""
    group = torch.arange(layer.outputs) // (layer.outputs // layer.groups)
    return group[:, None] * layer.shape[1] + torch.arange(layer.shape[1])
