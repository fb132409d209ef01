"""Supports: from relational graphs, or a mask, to the weights that a mask may keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from bogp.errors import GraphError, MaskError, UnknownNameError
from bogp.graphs import RelationalGraph
from bogp.masks import (
    Mask,
    PrunableLayer,
    check_fits,
    complete_mask,
    prunable_layers,
    wiring_mask,
)

Support = RelationalGraph | Mapping[str, RelationalGraph] | Tensor | Mask | None
"""What bounds a mask: a graph, a graph for each layer, one layer's mask, a whole mask, or None."""

SHARES = ("model", "stage", "layer")
"""Which layers share one graph: all of a model, those of a stage, or each layer has its own."""


def support_mask(support: Support, model: nn.Module, names: tuple[str, ...]) -> Mask:
    """Return ``support`` as a mask of the parameters ``names`` of ``model``.

    A graph is laid over each layer by :func:`layer_support`; a mapping gives each layer a graph of
    its own. A layer gets the complete support if it has no graph or cannot carry it: a graph needs
    as many inputs and outputs as it has nodes (the 10 classes of MNIST are too few), and one
    layer's mask needs its shape. In the complete support the random criterion draws the paper's
    plain random 0-1 mask.

    Raises:
        GraphError: no layer is wide enough for its graph.
        MaskError: no layer has the mask's shape, a whole mask lacks a layer, or a graph is for a
            layer that is not to be pruned.
    """
    mask, given = complete_mask(model, names), cast("Any", support)
    if support is None:
        return mask
    if not isinstance(given, RelationalGraph | Mapping | Tensor):
        raise MaskError(
            f"support {given!r} is none: give a bogp.RelationalGraph, a graph for each layer, a "
            "bogp.Mask or one layer's mask"
        )
    if isinstance(support, Tensor):
        bound = {name: support for name in names if mask[name].shape == support.shape}
    elif isinstance(support, Mask):
        check_fits(model, support)
        bound = {name: support[name] for name in names if name in support}
    else:
        bound = _from_graphs(support, _layers(model, names))
    if not bound:
        shapes_text = ", ".join(str(tuple(layer.shape)) for layer in mask.values())
        raise MaskError(f"the support fits none of the layers to prune (shapes {shapes_text})")
    return Mask({**mask, **bound})


def layer_support(graph: RelationalGraph, layer: PrunableLayer) -> Tensor:
    """Return the mask that ``graph`` gives one layer, a bool tensor of the shape of its weight.

    Node v owns contiguous groups of the module's output channels and of its input channels. The
    weight from input i to output o is kept where node(o) and node(i) are joined, as
    :func:`bogp.masks.wiring_mask` says. Each matrix in an attention's packed projections gets the
    same mask. A depthwise convolution with as many outputs as inputs has only weights from a
    channel to itself, inside a node, and is kept whole.

    Raises:
        GraphError: the layer has fewer inputs or outputs than the graph has nodes.

    >>> ring = RelationalGraph(1 - torch.eye(4).roll(2, 0))
    >>> layer_support(ring, PrunableLayer("w", "", "linear", (4, 4))).int().tolist()
    [[1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]]
    >>> layer_support(ring, PrunableLayer("w", "", "conv1d", (4, 2, 1), groups=2))[..., 0].int()
    tensor([[1, 1],
            [1, 1],
            [1, 1],
            [1, 1]], dtype=torch.int32)
    """
    if not carries(layer, graph.nodes):
        raise GraphError(
            f"{layer.name!r}: {graph.nodes} nodes do not fit a layer of {layer.outputs} outputs "
            f"and {layer.inputs} inputs: use at most {_width(layer)} nodes"
        )
    wiring = torch.tensor(graph.adjacency).repeat(layer.parts, 1)
    return wiring_mask(wiring, layer, (graph.nodes, graph.nodes))


def carries(layer: PrunableLayer, nodes: int) -> bool:
    """Return whether each of ``nodes`` nodes can own an input and an output of the layer.

    >>> carries(PrunableLayer("w", "", "conv2d", (8, 1, 3, 3), groups=8), 8)
    True
    """
    return nodes <= _width(layer)


def share_groups(
    layers: Sequence[PrunableLayer], share: str
) -> dict[str, tuple[PrunableLayer, ...]]:
    """Return group → the layers that share one graph.

    Args:
        layers: layers of one model, as :func:`bogp.prunable_layers` returns them.
        share: ``"model"`` makes all layers one group, ``"stage"`` those of a stage, and
            ``"layer"`` each layer its own.

    Raises:
        UnknownNameError: no such way to share.

    >>> made = [PrunableLayer(f"{k}.w", k, "linear", (2, 2), stage=k[0]) for k in ("a1", "a2", "b")]
    >>> {group: len(found) for group, found in share_groups(made, "stage").items()}
    {'a': 2, 'b': 1}
    """
    if share not in SHARES:
        raise UnknownNameError("way to share graphs", share, SHARES)
    groups: dict[str, tuple[PrunableLayer, ...]] = {}
    for layer in layers:
        group = {"model": "model", "stage": layer.stage, "layer": layer.name}[share]
        groups[group] = (*groups.get(group, ()), layer)
    return groups


def _from_graphs(
    support: RelationalGraph | Mapping[str, RelationalGraph], layers: Sequence[PrunableLayer]
) -> dict[str, Tensor]:
    """Return the masks of the layers that can carry their graph; raise if no layer can."""
    if isinstance(support, RelationalGraph):
        support = {layer.name: support for layer in layers}
    names = {layer.name for layer in layers}
    for name in support:
        if name not in names:
            raise MaskError(
                f"there is a graph for {name!r}, which is not a layer to prune: choose from "
                f"{', '.join(sorted(names))}"
            )
    bound = {
        layer.name: layer_support(support[layer.name], layer)
        for layer in layers
        if layer.name in support and carries(layer, support[layer.name].nodes)
    }
    if support and not bound:
        widest = max((layer for layer in layers if layer.name in support), key=_width)
        layer_support(support[widest.name], widest)  # Raises, in numbers.
    return bound


def _layers(model: nn.Module, names: Sequence[str]) -> list[PrunableLayer]:
    """Return the layers ``names``; a weight of an unknown module is taken as (out, in, *kernel)."""
    known = {layer.name: layer for layer in prunable_layers(model, with_frozen=True)}
    parameters = dict(model.named_parameters())
    return [
        known.get(name, PrunableLayer(name, name, "linear", tuple(parameters[name].shape)))
        for name in names
    ]


def _width(layer: PrunableLayer) -> int:
    """Return how many nodes can each own an input and an output of the layer."""
    return min(layer.outputs, layer.inputs)
