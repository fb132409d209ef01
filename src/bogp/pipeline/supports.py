"""Supports: what bounds a mask, from a relational graph or a mask to every layer of a network."""

from __future__ import annotations

from torch import Tensor, nn

from bogp.errors import MaskError
from bogp.graphs import RelationalGraph, graph_to_mask
from bogp.masks import Mask, check_fits, complete_mask

Support = RelationalGraph | Tensor | Mask | None
"""What bounds a mask: a graph, one layer's bool mask, a whole mask, or nothing."""


def support_mask(support: Support, model: nn.Module, names: tuple[str, ...]) -> Mask:
    """Return ``support`` as a mask of the parameters ``names`` of ``model``.

    A layer that cannot carry the support (for a graph: fewer inputs or outputs than nodes, as
    the 10 classes of MNIST have; for one layer's mask: another shape) gets the complete support.
    There the random criterion draws the paper's plain random 0-1 mask.

    Raises:
        GraphError: no layer is wide enough for the graph.
        MaskError: no layer has the mask's shape, or a whole mask lacks a layer.
    """
    mask = complete_mask(model, names)
    if support is None:
        return mask
    if isinstance(support, RelationalGraph):
        fits = [name for name in names if min(mask[name].shape[:2]) >= support.nodes]
        widest = max(mask.values(), key=lambda layer: min(layer.shape[:2])).shape
        if not fits:
            graph_to_mask(support, widest[0], widest[1], tuple(widest[2:]))  # Raises, in numbers.
        shapes = {name: mask[name].shape for name in fits}
        bound = {n: graph_to_mask(support, s[0], s[1], tuple(s[2:])) for n, s in shapes.items()}
    elif isinstance(support, Tensor):
        bound = {name: support for name in names if mask[name].shape == support.shape}
    else:
        check_fits(model, support)
        bound = {name: support[name] for name in names if name in support}
    if not bound:
        shapes_text = ", ".join(str(tuple(layer.shape)) for layer in mask.values())
        raise MaskError(f"the support fits none of the layers to prune (shapes {shapes_text})")
    return Mask({**mask, **bound})
