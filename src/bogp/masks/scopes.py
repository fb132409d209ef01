"""Scopes: how many weights each layer keeps, of a number to keep over all layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from bogp.keys import derive_seed
from bogp.masks.ranking import best, lowest_kept

Layers = Mapping[str, Tensor]
Scope = Callable[[Layers, Layers, int, int], tuple[list[int], Tensor | None]]
"""From scores, support, the number to keep and a seed to the number to keep of each layer.

With it comes the lowest score that is kept, where all layers have it in common.
"""


def global_counts(
    scores: Layers, allowed: Layers, kept: int, seed: int
) -> tuple[list[int], Tensor | None]:
    """Return each layer's number of the best weights over all layers together."""
    if kept == 0:
        return [0] * len(scores), None
    flat = torch.cat([score.flatten() for score in scores.values()])
    inside = torch.cat([allowed[name].flatten() for name in scores])
    lowest = lowest_kept(flat, inside, kept)
    chosen = best(flat, inside, kept, derive_seed(seed, "global"), lowest)
    sizes = [score.numel() for score in scores.values()]
    return [int(part.sum()) for part in torch.split(chosen, sizes)], lowest


def uniform_counts(
    scores: Layers, allowed: Layers, kept: int, seed: int
) -> tuple[list[int], Tensor | None]:
    """Return each layer's number at the same density; one short of support passes its share on."""
    sizes = [score.numel() for score in scores.values()]
    room = [int(layer.sum()) for layer in allowed.values()]
    ideal = [kept * size / sum(sizes) for size in sizes]
    counts = [min(int(share), space) for share, space in zip(ideal, room, strict=True)]
    while (left := kept - sum(counts)) > 0:
        open_layers = [k for k in range(len(sizes)) if counts[k] < room[k]]
        # As many whole turns, one weight to each open layer, as leave all of them open but one.
        turns = min(left // len(open_layers), *(room[k] - counts[k] for k in open_layers))
        for k in open_layers:
            counts[k] += turns
        if turns == 0:
            # Largest remainder first; the layer's position settles equal remainders.
            for k in sorted(open_layers, key=lambda k: (counts[k] - ideal[k], k))[:left]:
                counts[k] += 1
    return counts, None


def er_counts(
    scores: Layers, allowed: Layers, kept: int, seed: int
) -> tuple[list[int], Tensor | None]:
    """Return each layer's number at a density proportional to (in + out) / (in · out).

    The sparse Erdős–Rényi topology of Mocanu et al. 2018 (arXiv 1707.04780): small layers are kept
    denser. A kernel's size does not enter the density.
    """
    weights = []
    for score in scores.values():
        outputs, inputs, *kernel = _shape(score)
        weights.append((outputs + inputs) * math.prod(kernel))
    return _apportioned(weights, allowed, kept), None


def erk_counts(
    scores: Layers, allowed: Layers, kept: int, seed: int
) -> tuple[list[int], Tensor | None]:
    """Return each layer's number at a density proportional to (in + out + kernel) / weights.

    Erdős–Rényi-Kernel of Evci et al. 2020 (arXiv 1911.11134), section 3: ``kernel`` is the sum of
    the kernel's height and width. In linear layers it is ``er``.
    """
    weights = [sum(_shape(score)) for score in scores.values()]
    return _apportioned(weights, allowed, kept), None


SCOPES: dict[str, Scope] = {
    "er": er_counts,
    "erk": erk_counts,
    "global": global_counts,
    "uniform": uniform_counts,
}
"""How scores of several layers are ranked: together, or each layer by itself."""


def _shape(score: Tensor) -> tuple[int, ...]:
    """Return (out, in, *kernel); a vector has one input."""
    return tuple(score.shape) if score.dim() > 1 else (score.numel(), 1)


def _apportioned(weights: Sequence[int], allowed: Layers, kept: int) -> list[int]:
    """Return ``kept`` shared out in proportion to ``weights``, no layer beyond its support.

    A layer whose share is more than its support is kept whole (with a complete support, dense) and
    what it cannot take is shared among the others in the same proportion, until all fit. Exact,
    in integers; the largest remainders are rounded up, equal ones in the layers' order.
    """
    room = [int(layer.sum()) for layer in allowed.values()]
    whole: set[int] = set()
    while True:
        shared = [k for k in range(len(room)) if k not in whole]
        left = kept - sum(room[k] for k in whole)
        total = sum(weights[k] for k in shared)
        full = {k for k in shared if left * weights[k] >= room[k] * total}
        if not full:
            break
        whole |= full
    counts = [room[k] if k in whole else left * weights[k] // total for k in range(len(room))]
    shared.sort(key=lambda k: (-(left * weights[k] % total), k))
    for k in shared[: kept - sum(counts)]:
        counts[k] += 1
    return counts
