"""From scores to a mask: keep the best-scored weights, an exact number of them.

A *scope* says how many weights each layer keeps of the number to keep over all layers. Within a
layer the best are kept, found without sorting them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from bogp.errors import MaskError, SparsityError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks.mask import Mask, number_kept

Layers = Mapping[str, Tensor]
"""Name of a parameter → a tensor of its shape."""

Counts = tuple[list[int], float | None]
"""The number to keep of each layer and, where all layers share it, the lowest score to keep."""

Scope = Callable[[Layers, Layers, int, int], Counts]
"""A function of the scores, the support, the number to keep and a seed."""


def global_counts(scores: Layers, allowed: Layers, kept: int, seed: int) -> Counts:
    """Return how many of the best weights of all layers together lie in each layer."""
    if kept == 0:
        return [0] * len(scores), None
    pieces = list(scores.values()), [allowed[name] for name in scores]
    lowest = _lowest_kept(*pieces, kept)
    chosen = [_compared(np.greater_equal, *piece, lowest) for piece in zip(*pieces, strict=True)]
    if sum(map(number_kept, chosen)) > kept:
        flat, inside = (torch.cat([each.flatten() for each in piece]) for piece in pieces)
        whole = _best(flat, inside, kept, derive_seed(seed, "global"), lowest)
        chosen = list(torch.split(whole, [score.numel() for score in scores.values()]))
    return [number_kept(part) for part in chosen], lowest


def uniform_counts(scores: Layers, allowed: Layers, kept: int, seed: int) -> Counts:
    """Return how many weights give each layer the same density.

    A layer with less support than its share is kept whole; the other layers take what it cannot.
    """
    sizes = [score.numel() for score in scores.values()]
    room = [number_kept(layer) for layer in allowed.values()]
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


def er_counts(scores: Layers, allowed: Layers, kept: int, seed: int) -> Counts:
    """Return how many weights give each layer a density proportional to (in + out) / (in · out).

    This is the sparse Erdős–Rényi topology of Mocanu et al. 2018 (arXiv 1707.04780): small layers
    are kept denser. A kernel's size does not enter the density.
    """
    weights = []
    for score in scores.values():
        outputs, inputs, *kernel = _shape(score)
        weights.append((outputs + inputs) * math.prod(kernel))
    return _apportioned(weights, allowed, kept), None


def erk_counts(scores: Layers, allowed: Layers, kept: int, seed: int) -> Counts:
    """Return how many give each layer a density proportional to (in + out + kernel) / weights.

    This is the Erdős–Rényi-Kernel of Evci et al. 2020 (arXiv 1911.11134), section 3: ``kernel`` is
    the sum of the kernel's height and width. For linear layers it is the same as ``er``.
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


def select(
    scores: Layers,
    kept: int,
    *,
    scope: str = "global",
    support: Layers | None = None,
    seed: int = 0,
) -> Mask:
    """Return the mask that keeps the ``kept`` weights of highest score inside ``support``.

    Args:
        scores: parameter name → score of each weight; a higher score is kept first.
        kept: the exact number of weights to keep, over all layers.
        scope: ``"global"`` ranks all layers together; ``"uniform"`` gives each layer the same
            density (numbers apportioned by largest remainder, so that the total is exact); ``"er"``
            and ``"erk"`` give small layers a higher one (:data:`SCOPES`).
        support: weights that may be kept (default: all of them).
        seed: decides which of equal scores are kept.

    Raises:
        SparsityError: the support has fewer than ``kept`` weights, or ``kept`` is negative.
        MaskError: a score is NaN or its shape is not its support's.
        UnknownNameError: no such scope.

    >>> scores = {"w": torch.tensor([[3.0, 1.0], [2.0, 4.0]])}
    >>> select(scores, 2)["w"].tolist()
    [[True, False], [False, True]]
    """
    allowed = checked_support(scores, kept, scope, support)
    inside = {name: layer.cpu() for name, layer in allowed.items()}
    plain = {name: _plain(score) for name, score in scores.items()}
    counts, lowest = SCOPES[scope](plain, inside, kept, seed)
    found = {
        name: _best(plain[name], inside[name], count, derive_seed(seed, "ties", name), lowest)
        for name, count in zip(scores, counts, strict=True)
    }
    return Mask({name: layer.to(allowed[name].device) for name, layer in found.items()})


def checked_support(
    scores: Layers, kept: int, scope: str, support: Layers | None
) -> dict[str, Tensor]:
    """Return the support of each layer, complete where none is given.

    Raises:
        SparsityError, MaskError, UnknownNameError: what was asked of :func:`select` cannot be done.
    """
    if scope not in SCOPES:
        raise UnknownNameError("scope", scope, SCOPES)
    allowed = {}
    for name, score in scores.items():
        # A sum is NaN wherever a term is, and quicker to come by.
        if bool(score.sum().isnan()) and bool(score.isnan().any()):
            raise MaskError(f"the scores of {name!r} hold NaN: check the model's weights")
        if support is None:
            allowed[name] = torch.ones_like(score, dtype=torch.bool)
        elif name not in support or support[name].shape != score.shape:
            raise MaskError(f"the support has no layer {name!r} of shape {tuple(score.shape)}")
        else:
            allowed[name] = support[name]
    available = sum(number_kept(layer) for layer in allowed.values())
    if not 0 <= kept <= available:
        raise SparsityError(
            f"cannot keep {kept} of the {available} weights in the support: "
            "take a denser support or a higher sparsity"
        )
    return allowed


def _lowest_kept(scores: Sequence[Tensor], allowed: Sequence[Tensor], count: int) -> int | float:
    """Return the ``count``-th highest of the ``scores`` that are ``allowed``, of all layers.

    A sample says between which two scores it lies, nearly always, so that only the few between them
    are ranked (Floyd & Rivest 1975, Communications of the ACM 18, 165).

    >>> _lowest_kept([torch.tensor([3, 1, 2, 9])], [torch.tensor([1, 1, 1, 0]).bool()], 2)
    2
    """
    every = 1 + sum(score.numel() for score in scores) // _SAMPLE
    sample = _taken([s.flatten()[::every] for s in scores], [a.flatten()[::every] for a in allowed])
    place = len(sample) * count / sum(map(number_kept, allowed))
    first, last = (round(place + side * _MARGIN * len(sample) ** 0.5) for side in (-1, 1))
    between, rank = list(allowed), count
    if 0 < last <= len(sample):
        low = _highest(sample, last)
        between = [
            _compared(np.greater_equal, *each, low) for each in zip(scores, between, strict=True)
        ]
    if first > 0:
        high = _highest(sample, first)
        above = [_compared(np.greater, *each, high) for each in zip(scores, between, strict=True)]
        between = [all_of ^ part for all_of, part in zip(between, above, strict=True)]
        rank -= sum(map(number_kept, above))
    if not 0 < rank <= sum(map(number_kept, between)):
        between, rank = list(allowed), count
    return _highest(_taken(scores, between), rank)


_SAMPLE, _MARGIN = 8192, 1.5
"""Scores in a sample, about, and how far a rank is beside the expected one, in roots of them."""


def _highest(scores: Tensor, rank: int) -> int | float:
    return scores.kthvalue(len(scores) - rank + 1).values.item()


def _taken(scores: Sequence[Tensor], places: Sequence[Tensor]) -> Tensor:
    """Return the scores at these places; several times as quick as torch where they are few."""
    return torch.cat(
        [
            score.flatten()[torch.from_numpy(np.flatnonzero(place))]
            for score, place in zip(scores, places, strict=True)
        ]
    )


def _compared(how: np.ufunc, scores: Tensor, allowed: Tensor, bound: float) -> Tensor:
    """Return where scores that are allowed compare with a bound so; quicker than torch."""
    return torch.from_numpy(how(scores.numpy(), bound)).bitwise_and_(allowed)


def _plain(scores: Tensor) -> Tensor:
    """Return scores as numbers that NumPy knows, in the same order."""
    scores = scores.detach().cpu()
    if scores.dtype == torch.bool:
        return scores.to(torch.uint8)
    return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores


def _best(
    scores: Tensor, allowed: Tensor, count: int, seed: int, lowest: float | None = None
) -> Tensor:
    """Return a bool tensor that marks the ``count`` highest of the ``scores`` that are ``allowed``.

    Every score is compared with the lowest one to be marked, so that nothing is sorted. Where not
    all scores equal to the lowest are to be marked, an order shuffled by ``seed`` says which.

    Args:
        scores: numbers of any shape, none of them NaN.
        allowed: bool, of the same shape, True at least ``count`` times.
        count: how many to mark.
        seed: shuffles that order.
        lowest: a score above which all are to be marked and below which none, if one is known.

    >>> _best(torch.tensor([3.0, 1.0, 2.0, 9.0]), torch.tensor([1, 1, 1, 0]).bool(), 2, 0).tolist()
    [True, False, True, False]
    """
    if count == 0:
        return torch.zeros_like(allowed)
    if lowest is None:
        lowest = _lowest_kept([scores], [allowed], count)
    chosen = _compared(np.greater_equal, scores, allowed, lowest)
    if number_kept(chosen) == count:
        return chosen
    chosen = _compared(np.greater, scores, allowed, lowest)
    equal = _compared(np.equal, scores, allowed, lowest)
    missing = count - number_kept(chosen)
    if missing == 0:
        return chosen
    places = allowed.flatten().nonzero().squeeze(1)
    shuffled = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
    shuffled = places[shuffled]
    first = shuffled[equal.flatten()[shuffled]][:missing]
    return chosen.flatten().index_fill(0, first, True).view_as(allowed)


def _shape(score: Tensor) -> tuple[int, ...]:
    """Return (out, in, *kernel); a vector has one input."""
    return tuple(score.shape) if score.dim() > 1 else (score.numel(), 1)


def _apportioned(weights: Sequence[int], allowed: Layers, kept: int) -> list[int]:
    """Return ``kept`` shared out in proportion to ``weights``, no layer beyond its support.

    A layer whose share is more than its support is kept whole, and the other layers share what it
    cannot take in the same proportion, until all shares fit. The arithmetic is in integers, so that
    it is exact; the largest remainders are rounded up, equal ones in the order of the layers.
    """
    room = [number_kept(layer) for layer in allowed.values()]
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
