"""Scores → mask: keep the best-scored weights, an exact number of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bogp.errors import MaskError, SparsityError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks.mask import Mask
from bogp.masks.ranking import best
from bogp.masks.scopes import SCOPES as SCOPES


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
            density (numbers apportioned by largest remainder, so that the total is exact); ``"er"``
            and ``"erk"`` give small layers a higher one (see :mod:`bogp.masks.scopes`).
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
    available = sum(int(layer.sum()) for layer in allowed.values())
    if not 0 <= kept <= available:
        raise SparsityError(
            f"cannot keep {kept} of the {available} weights in the support: "
            "take a denser support or a higher sparsity"
        )
    counts, lowest = SCOPES[scope](scores, allowed, kept, seed)
    return Mask(
        {
            name: best(scores[name], allowed[name], count, derive_seed(seed, "ties", name), lowest)
            for name, count in zip(scores, counts, strict=True)
        }
    )


def _supports(
    scores: Mapping[str, Tensor], support: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    allowed = {}
    for name, score in scores.items():
        if score.isnan().any():
            raise MaskError(f"the scores of {name!r} hold NaN: check the model's weights")
        if support is None:
            allowed[name] = torch.ones_like(score, dtype=torch.bool)
        elif name not in support or support[name].shape != score.shape:
            raise MaskError(f"the support has no layer {name!r} of shape {tuple(score.shape)}")
        else:
            allowed[name] = support[name]
    return allowed
