"""What each control makes of the winner's mask, graph or scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bogp.controls.control import LayerBound
from bogp.errors import SettingError
from bogp.graphs import RelationalGraph
from bogp.graphs.rewiring import swap_ends
from bogp.keys import derive_seed
from bogp.masks import Mask, select
from bogp.types import BoolArray

_REWIRE = "degree-preserving rewire"


def shuffle_layers(mask: Mask, seed: int) -> Mask:
    """Return the mask with its places permuted at random inside each layer.

    The layerwise shuffle of Frankle et al. (2021), "Pruning Neural Networks at Initialization: Why
    Are We Missing the Mark?", arXiv 2009.08576. Each layer keeps exactly as many weights. Where
    all kernels of a convolution are kept or pruned whole, whole kernels change places. Never the
    mask itself: a draw that moves nothing is drawn again.

    Raises:
        SettingError: no layer is both kept and pruned in part, so that nothing can move.

    >>> mask = Mask({"w": torch.tensor([[True, False], [False, False]])})
    >>> shuffled = shuffle_layers(mask, seed=0)
    >>> shuffled.kept, shuffled == mask
    (1, False)
    """
    return _redrawn("layerwise shuffle", mask, seed, whole_kernels=True)


def random_like(mask: Mask, seed: int) -> Mask:
    """Return a fresh random mask that keeps exactly as many weights of each layer.

    Weight by weight, also in kernels; in linear layers it is the layerwise shuffle on a draw of its
    own. Never the mask itself.

    Raises:
        SettingError: no layer is both kept and pruned in part, so that there is no other mask.
    """
    return _redrawn("equal layer densities", mask, seed, whole_kernels=False)


def erk_random(mask: Mask, seed: int) -> Mask:
    """Return a random mask of as many weights, shared out among the layers by Erdős–Rényi-Kernel.

    Evci et al. (2020), arXiv 1911.11134; layers that it fills are dense, and what they cannot take
    goes to the others, so that the total is exact.
    """
    scores = {
        name: torch.rand(layer.shape, generator=_generator(seed, "ERK", name)).to(layer.device)
        for name, layer in mask.items()
    }
    return select(scores, mask.kept, scope="erk", seed=derive_seed(seed, "ERK"))


def invert(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return scores that rank the other way about, so that the lowest are kept first.

    >>> invert({"w": torch.tensor([2, 0, 1])})["w"].tolist()
    [-2.0, -0.0, -1.0]
    """
    # Whole numbers first become floats: the least int has no negative, and unsigned ones have none.
    return {
        name: -(score if score.is_floating_point() else score.double())
        for name, score in scores.items()
    }


def rewire(graph: RelationalGraph, seed: int) -> RelationalGraph:
    """Return another graph with the same degree of every node, nearly each as likely.

    Swaps of the ends of two edges (Maslov and Sneppen 2002, Science 296), about four for each edge
    or, where there are fewer of them, for each pair that is not joined: a swap of one is a
    swap of the other. Never the graph itself.

    Raises:
        SettingError: no other graph has these degrees (complete, empty, star and other threshold
            graphs).

    >>> ring = RelationalGraph(np.roll(np.eye(8), 1, axis=0) + np.roll(np.eye(8), 1, axis=1))
    >>> other = rewire(ring, seed=0)
    >>> other == ring, other.adjacency.sum(axis=0).tolist()
    (False, [3, 3, 3, 3, 3, 3, 3, 3])
    """
    if (reason := why_not_rewire(graph)) is not None:
        raise SettingError(f"{reason}; leave this control out")
    adjacency = graph.adjacency & ~np.eye(graph.nodes, dtype=np.bool_)
    sparse = graph.density <= 0.5
    start = adjacency if sparse else ~graph.adjacency
    for attempt in range(16):
        rng = np.random.default_rng(derive_seed(seed, _REWIRE, attempt))
        swapped = swap_ends(start, rng)
        if not np.array_equal(swapped, start):
            return RelationalGraph(swapped if sparse else ~swapped)
    # So few swaps are possible that none was drawn: do one of them.
    return RelationalGraph(_one_swap(adjacency, np.random.default_rng(derive_seed(seed, _REWIRE))))


def rewire_each(bounds: Mapping[str, LayerBound], seed: int) -> dict[str, LayerBound]:
    """Return what bounds each layer, a graph rewired where it can be; layers still share one."""
    distinct = {id(bound): bound for bound in bounds.values()}
    others = {
        key: rewire(bound, derive_seed(seed, number))
        if isinstance(bound, RelationalGraph) and why_not_rewire(bound) is None
        else bound
        for number, (key, bound) in enumerate(distinct.items())
    }
    return {name: others[id(bound)] for name, bound in bounds.items()}


def why_not_rewire(graph: RelationalGraph) -> str | None:
    """Return why no other graph has the degrees of ``graph``, or None if one has.

    Exactly the threshold graphs are alone with their degrees: those where of any two nodes one has
    all neighbours of the other (Mahadev and Peled 1995, "Threshold Graphs and Related Topics").

    >>> why_not_rewire(RelationalGraph(np.ones((3, 3))))
    'no other graph has the degrees of this one (3 nodes, 3 edges): it cannot be rewired'
    """
    if _crossed(graph.adjacency & ~np.eye(graph.nodes, dtype=np.bool_)).any():
        return None
    size = f"{graph.nodes} nodes, {graph.edges} edges"
    return f"no other graph has the degrees of this one ({size}): it cannot be rewired"


def _redrawn(control: str, mask: Mask, seed: int, *, whole_kernels: bool) -> Mask:
    """Return the mask with the units of each layer permuted, drawn until something moved."""
    if not can_move(mask):
        raise SettingError(
            f"{control!r} cannot change a mask whose layers are each kept whole or not at all: "
            "leave this control out"
        )
    result, attempt = mask, 0
    while result == mask:
        layers = {}
        for name, layer in mask.items():
            kept = units(layer, whole_kernels)
            generator = _generator(seed, control, attempt, name)
            order = torch.randperm(kept.numel(), generator=generator).to(layer.device)
            drawn = kept.flatten()[order].view(kept.shape)
            spare = (1,) * (layer.dim() - kept.dim())
            layers[name] = drawn.view(*kept.shape, *spare).expand_as(layer)
        result, attempt = Mask(layers), attempt + 1
    return result


def units(layer: Tensor, whole_kernels: bool) -> Tensor:
    """Return which units of a layer are kept: kernels where all are whole, else weights."""
    if whole_kernels and layer.dim() > 2:
        kernels = layer.flatten(2)
        if bool((kernels.all(dim=2) == kernels.any(dim=2)).all()):
            return kernels.all(dim=2)
    return layer


def can_move(mask: Mask) -> bool:
    """Return whether a layer is kept in part."""
    return any(0 < int(layer.sum()) < layer.numel() for layer in mask.values())


def _crossed(adjacency: BoolArray) -> BoolArray:
    """Return for each two nodes whether each has a neighbour of its own, (nodes, nodes).

    Their edges to those two can change ends; in a threshold graph no two nodes are so.
    """
    others = (~adjacency & ~np.eye(len(adjacency), dtype=np.bool_)).astype(np.float32)
    own = adjacency.astype(np.float32) @ others.T > 0.0
    return own & own.T


def _one_swap(adjacency: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Return the graph after one swap of the ends of two edges, of those that are possible."""
    a, c = rng.choice(np.argwhere(_crossed(adjacency)))
    only_a, only_c = adjacency[a] & ~adjacency[c], adjacency[c] & ~adjacency[a]
    only_a[c] = only_c[a] = False
    b, d = rng.choice(np.flatnonzero(only_a)), rng.choice(np.flatnonzero(only_c))
    result = adjacency.copy()
    result[a, b] = result[b, a] = result[c, d] = result[d, c] = False
    result[a, d] = result[d, a] = result[c, b] = result[b, c] = True
    return result


def _generator(seed: int, *parts: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, *parts))
