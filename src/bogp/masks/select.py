"""Scores → mask: keep the best-scored weights, an exact number of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bogp.errors import MaskError, SparsityError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks.mask import Mask


def select(
    scores: Mapping[str, Tensor],
    kept: int,
    *,
    scope: str = "global",
    support: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> Mask:
    """Return the mask that keeps the ``kept`` weights of highest score inside ``support``.

    Args:
        scores: parameter name → score of each weight; a higher score is kept first.
        kept: the exact number of weights to keep, over all layers.
        scope: ``"global"`` ranks all layers together; ``"uniform"`` gives each layer the same
            density (numbers apportioned by largest remainder, so that the total is exact).
        support: weights that may be kept (default: all of them).
        seed: order in which ties are broken.

    Raises:
        SparsityError: the support has fewer than ``kept`` weights, or ``kept`` is negative.
        MaskError: a score is NaN or its shape is not its support's.
        UnknownNameError: no such scope.

    >>> scores = {"w": torch.tensor([[3.0, 1.0], [2.0, 4.0]])}
    >>> select(scores, 2)["w"].tolist()
    [[True, False], [False, True]]
    """
    if scope not in SCOPES:
        raise UnknownNameError("scope", scope, SCOPES)
    allowed = _supports(scores, support)
    available = [int(layer.sum()) for layer in allowed.values()]
    if not 0 <= kept <= sum(available):
        raise SparsityError(
            f"cannot keep {kept} of the {sum(available)} weights in the support: "
            "take a denser support or a higher sparsity"
        )
    counts = SCOPES[scope](scores, allowed, kept, seed)
    return Mask(
        {
            name: _top(scores[name], allowed[name], count, derive_seed(seed, "ties", name))
            for (name, count) in zip(scores, counts, strict=True)
        }
    )


def _supports(
    scores: Mapping[str, Tensor], support: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    allowed = {}
    for name, score in scores.items():
        if torch.isnan(score).any():
            raise MaskError(f"the scores of {name!r} hold NaN: check the model's weights")
        if support is None:
            allowed[name] = torch.ones_like(score, dtype=torch.bool)
        elif name not in support or support[name].shape != score.shape:
            raise MaskError(f"the support has no layer {name!r} of shape {tuple(score.shape)}")
        else:
            allowed[name] = support[name]
    return allowed


def _top(score: Tensor, allowed: Tensor, count: int, seed: int) -> Tensor:
    """Return the mask of the ``count`` highest scores among ``allowed``, ties in seeded order."""
    candidates = allowed.flatten().nonzero().squeeze(1)
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
    shuffled = candidates[order.to(candidates.device)]
    ranked = torch.argsort(score.flatten()[shuffled], descending=True, stable=True)
    mask = torch.zeros(score.numel(), dtype=torch.bool, device=score.device)
    mask[shuffled[ranked[:count]]] = True
    return mask.view_as(score)


def _global_counts(
    scores: Mapping[str, Tensor], allowed: Mapping[str, Tensor], kept: int, seed: int
) -> list[int]:
    """Return how many of the ``kept`` best weights over all layers fall in each layer."""
    flat = torch.cat([scores[name][allowed[name]] for name in scores])
    owner = torch.cat([torch.full((int(allowed[name].sum()),), k) for k, name in enumerate(scores)])
    best = _top(flat, torch.ones_like(flat, dtype=torch.bool), kept, derive_seed(seed, "global"))
    counts = torch.bincount(owner[best.cpu()], minlength=len(scores))
    return [int(count) for count in counts]


def _uniform_counts(
    scores: Mapping[str, Tensor], allowed: Mapping[str, Tensor], kept: int, seed: int
) -> list[int]:
    """Apportion ``kept`` to the layers by size; a layer short of support passes its share on."""
    sizes = [score.numel() for score in scores.values()]
    room = [int(layer.sum()) for layer in allowed.values()]
    ideal = [kept * size / sum(sizes) for size in sizes]
    counts = [min(int(share), space) for share, space in zip(ideal, room, strict=True)]
    while (left := kept - sum(counts)) > 0:
        open_layers = [k for k in range(len(sizes)) if counts[k] < room[k]]
        # Largest remainder first; the layer's position settles equal remainders.
        open_layers.sort(key=lambda k: (counts[k] - ideal[k], k))
        for k in open_layers[:left]:
            counts[k] += 1
    return counts


SCOPES: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Tensor], int, int], list[int]]] = {
    "global": _global_counts,
    "uniform": _uniform_counts,
}
"""How scores of several layers are ranked: together, or each layer by itself."""
