"""The best of many scores, without sorting them."""

from __future__ import annotations

import torch
from torch import Tensor


def lowest_kept(scores: Tensor, allowed: Tensor, count: int) -> Tensor:
    """Return the ``count``-th highest of the ``scores`` that are ``allowed``, a scalar.

    >>> int(lowest_kept(torch.tensor([3, 1, 2, 9]), torch.tensor([1, 1, 1, 0]).bool(), 2))
    2
    """
    candidates = scores.masked_select(allowed)
    if candidates.dtype == torch.bool:
        candidates = candidates.to(torch.uint8)
    return candidates.kthvalue(len(candidates) - count + 1).values


def best(
    scores: Tensor, allowed: Tensor, count: int, seed: int, lowest: Tensor | None = None
) -> Tensor:
    """Return a bool tensor that marks the ``count`` highest of the ``scores`` that are ``allowed``.

    Of equal scores those go first that are first in a shuffled order, which is drawn from ``seed``
    only where the lowest score to be marked has equals that are not. Scores are compared with that
    one instead of sorted. NaN has no place in an order: the caller sees to that.

    Args:
        scores: numbers, any shape.
        allowed: bool, of the same shape, True at least ``count`` times.
        count: how many to mark.
        seed: of the shuffled order.
        lowest: a score below which none is to be marked and above which all are, if one is known.

    >>> best(torch.tensor([3.0, 1.0, 2.0, 9.0]), torch.tensor([1, 1, 1, 0]).bool(), 2, 0).tolist()
    [True, False, True, False]
    """
    if count == 0:
        return torch.zeros_like(allowed)
    if lowest is None:
        lowest = lowest_kept(scores, allowed, count)
    chosen = (scores > lowest) & allowed
    equal = (scores == lowest) & allowed
    missing = count - int(chosen.sum())
    if missing == 0 or missing == int(equal.sum()):
        return chosen | equal if missing else chosen
    places = allowed.flatten().nonzero().squeeze(1)
    shuffled = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
    shuffled = places[shuffled.to(places.device)]
    first = shuffled[equal.flatten()[shuffled]][:missing]
    return chosen.flatten().index_fill(0, first, True).view_as(allowed)
