"""Supports: from relational graphs, or a mask, to the weights that a mask may keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from bogp.controls import Bound, LayerBound
from bogp.errors import GraphError, MaskError, SettingError, UnknownNameError
from bogp.graphs import RelationalGraph
from bogp.masks import (
    Mask,
    PrunableLayer,
    check_fits,
    complete_mask,
    prunable_layers,
    read_mask,
    wiring_mask,
)
from bogp.sparsify.drawn_graph import DrawnGraph, read_drawn

Support = Bound | DrawnGraph | str | Sequence[str] | Mapping[str, LayerBound | DrawnGraph]
"""What bounds a mask (:func:`find_support`), a graph perhaps that is drawn when a mask is made."""

FIRST = "first"
"""The name of the first layer to prune, where a support is given layer by layer."""

FILES = (".safetensors", ".pt", ".pth")
"""How the names of files with masks end."""

SHARES = ("model", "stage", "layer")
"""Which layers share one graph: all of a model, those of a stage, or each layer has its own."""


def find_support(given: Any) -> Support:
    """Return a support, read from texts if it is given as such.

    It is one of these:

    - None bounds nothing;
    - a :class:`bogp.RelationalGraph` bounds each layer that is wide enough for it;
    - a :class:`bogp.DrawnGraph` too, a graph that each mask draws by its own seed;
    - one layer's mask, a bool tensor, bounds each layer of its shape;
    - a :class:`bogp.Mask` bounds its layers;
    - a mapping has a graph, a drawn graph, a mask or None for each layer that it names, and bounds
      no other; the name ``"first"`` is the first of the layers to prune;
    - a text, or several, has the form of the command line: ``ring_lattice:nodes=64,density=0.25``
      for all layers, ``none``, the path of a file that :func:`bogp.read_mask` reads, or with
      ``first=`` or the name of a layer and ``=`` before it one for that layer.

    Raises:
        MaskError: it is none of these, or the file holds no mask.
        SettingError, UnknownNameError, SparsityError, GraphError: a text that says no graph.

    >>> find_support("first=ring_lattice:nodes=8,density=0.5")["first"].graph(0)
    RelationalGraph(nodes=8, edges=12)
    """
    if isinstance(given, str):
        return _read([given])
    if isinstance(given, list | tuple) and given and all(isinstance(one, str) for one in given):
        return _read(given)
    if isinstance(given, Mapping) and not isinstance(given, Mask):
        for name, one in given.items():
            if one is not None and not isinstance(one, RelationalGraph | DrawnGraph | Tensor):
                raise MaskError(
                    f"the support {one!r} of {name!r} is none: give a bogp.RelationalGraph, a "
                    "bogp.DrawnGraph, the layer's mask or None"
                )
    elif given is not None and not isinstance(given, RelationalGraph | DrawnGraph | Tensor | Mask):
        raise MaskError(
            f"support {given!r} is none: give a bogp.RelationalGraph, a bogp.DrawnGraph, a graph "
            "for each layer, a bogp.Mask or one layer's mask"
        )
    return cast("Support", given)


def drawn_support(support: Support, names: Sequence[str], seed: int) -> Bound:
    """Return a support for the layers ``names`` with its graphs drawn by the seed of a mask."""
    found = find_support(support)
    graphs: dict[DrawnGraph, RelationalGraph] = {}

    def drawn(one: Any) -> Any:
        if not isinstance(one, DrawnGraph):
            return one
        if one not in graphs:
            graphs[one] = one.graph(seed)
        return graphs[one]

    if not isinstance(found, Mapping) or isinstance(found, Mask):
        return cast("Bound", drawn(found))
    return {
        names[0] if name == FIRST and FIRST not in names else name: drawn(one)
        for name, one in found.items()
    }


def support_record(support: Support) -> Any:
    """Return a support as a JSON value, for the keys of records.

    >>> support_record({"0.weight": None, "2.weight": RelationalGraph(torch.eye(2))})
    {'0.weight': None, '2.weight': {'nodes': 2, 'edges': '00'}}
    """
    found = find_support(support)
    if found is None or isinstance(found, str):
        return None
    if isinstance(found, RelationalGraph):
        return {"nodes": found.nodes, "edges": found.packed().hex()}
    if isinstance(found, DrawnGraph):
        return found.record()
    if isinstance(found, Tensor):
        return Mask({"mask": found}).fingerprint
    if isinstance(found, Mask):
        return found.fingerprint
    assert isinstance(found, Mapping)
    return {name: support_record(one) for name, one in found.items()}


def support_words(support: Support) -> str:
    """Return a support in a few words, for tables.

    >>> support_words({"first": DrawnGraph("ring_lattice", 8, 0.5), "2.weight": None})
    'first=ring_lattice:nodes=8,density=0.5, 2.weight=none'
    """
    found = find_support(support)
    if isinstance(found, Mapping) and not isinstance(found, Mask):
        return ", ".join(f"{name}={support_words(one)}" for name, one in found.items())
    if isinstance(found, Tensor):
        found = Mask({"mask": found})
    if isinstance(found, Mask):
        return f"a mask of density {found.density:.4g}"
    return "none" if found is None else str(found)


def support_mask(support: Bound, model: nn.Module, names: tuple[str, ...]) -> Mask:
    """Return ``support`` as a mask of the parameters ``names`` of ``model``.

    A graph is laid over each layer by :func:`layer_support`. A layer gets the complete support if
    nothing bounds it or it cannot carry its graph: a graph needs as many inputs and outputs as it
    has nodes (the 10 classes of MNIST are too few), and one layer's mask needs its shape. In the
    complete support the random criterion draws the paper's plain random 0-1 mask.

    Raises:
        GraphError: no layer is wide enough for its graph.
        MaskError: no layer has the mask's shape, a whole mask lacks a layer, or a layer is bounded
            that is not to be pruned.
    """
    mask = complete_mask(model, names)
    if support is None:
        return mask
    if isinstance(support, Tensor):
        bound = {name: support for name in names if mask[name].shape == support.shape}
    elif isinstance(support, Mask):
        check_fits(model, support)
        bound = {name: support[name] for name in names if name in support}
    else:
        bound = _by_layer(support, _layers(model, names))
    if not bound and not (isinstance(support, Mapping) and None in support.values()):
        shapes_text = ", ".join(str(tuple(layer.shape)) for layer in mask.values())
        raise MaskError(f"the support fits none of the layers to prune (shapes {shapes_text})")
    return Mask({**mask, **{name: layer.cpu() for name, layer in bound.items()}})


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


def _by_layer(
    support: RelationalGraph | Mapping[str, LayerBound], layers: Sequence[PrunableLayer]
) -> dict[str, Tensor]:
    """Return the masks of the layers that are bounded; raise if no layer can carry its graph."""
    if isinstance(support, RelationalGraph):
        support = {layer.name: support for layer in layers}
    known = {layer.name: layer for layer in layers}
    bound: dict[str, Tensor] = {}
    narrow: list[tuple[PrunableLayer, RelationalGraph]] = []
    for name, one in support.items():
        if name not in known:
            raise MaskError(
                f"there is a support for {name!r}, which is not a layer to prune: choose from "
                f"{', '.join(sorted(known))}"
            )
        layer = known[name]
        if isinstance(one, Tensor):
            if tuple(one.shape) != layer.shape:
                raise MaskError(
                    f"the support of {name!r} has the shape {tuple(one.shape)} and the layer "
                    f"{layer.shape}: give one bool for each weight"
                )
            bound[name] = one
        elif one is not None and carries(layer, one.nodes):
            bound[name] = layer_support(one, layer)
        elif one is not None:
            narrow.append((layer, one))
    if narrow and not bound:
        layer, graph = max(narrow, key=lambda each: _width(each[0]))
        layer_support(graph, layer)  # Raises, in numbers.
    return bound


def _read(texts: Sequence[str]) -> Support:
    """Return the support that texts say, one for all layers or one for each that is named."""
    alone = [text for text in texts if "=" not in text.partition(":")[0]]
    if len(texts) == 1 and alone:
        return _read_one(texts[0])
    if alone:
        raise SettingError(
            f"support {alone[0]!r} is for all layers, and there is more: write LAYER={alone[0]}, "
            "first=... for the first layer say"
        )
    found: dict[str, LayerBound | DrawnGraph] = {}
    for text in texts:
        head, colon, rest = text.partition(":")
        name, _, family = head.rpartition("=")
        if name in found:
            raise SettingError(f"there are two supports for {name!r}: give one")
        one = _read_one(family + colon + rest)
        if isinstance(one, Mask):
            raise SettingError(f"support {text!r} is a whole mask: leave out {name}=")
        found[name] = one
    return found


def _read_one(text: str) -> LayerBound | DrawnGraph | Mask:
    if text == "none":
        return None
    return read_mask(text) if text.endswith(FILES) else read_drawn(text)


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
