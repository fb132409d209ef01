"""Magnitude within each sign: SET drops the smallest positive and the largest negative weights."""

from __future__ import annotations

import torch
from torch import Tensor

from bogp.criteria.context import Context, Criterion, Scores
from bogp.criteria.magnitude import magnitude


def signed_magnitude(context: Context) -> Scores:
    """Return the share of a layer's kept weights of the same sign that are no larger, in (0, 1].

    Dropping a share ζ of the lowest scores drops the share ζ of the smallest positive weights and
    the same share of the largest negative ones (Mocanu et al. 2018, arXiv 1707.04780, algorithm 1).
    Weights that are zero count among the negative ones.

    Raises:
        MaskError: the mask does not fit the model.
    """
    parameters = dict(context.model.named_parameters())
    return {
        name: _within_signs(size, parameters[name].detach() > 0, context.mask[name])
        for name, size in magnitude(context).items()
    }


def _within_signs(size: Tensor, positive: Tensor, kept: Tensor) -> Tensor:
    scores = torch.zeros_like(size)
    kept = kept.to(size.device)
    for chosen in (kept & positive, kept & ~positive):
        order = size[chosen].argsort(stable=True).argsort()
        scores[chosen] = ((order + 1) / max(1, len(order))).to(size.dtype)
    return scores


SIGNED_MAGNITUDE = Criterion(
    "signed_magnitude",
    signed_magnitude,
    help="the rank of |w| among the layer's weights of the same sign",
    source="Mocanu et al. 2018, arXiv 1707.04780",
)
