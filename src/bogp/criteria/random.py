"""The random criterion: every weight is as good as any other."""

from __future__ import annotations

import torch

from bogp.criteria.context import Context, Criterion, Scores
from bogp.keys import derive_seed


def random(context: Context) -> Scores:
    """Return independent uniform scores in [0, 1), one a weight, drawn from the seed.

    With a relational graph's mask as the support and the graph at the target density, this is
    the paper's BoGP mask; with the complete support, its plain random 0-1 mask. It looks at the
    shapes of the mask alone.
    """
    return {
        name: torch.rand(
            layer.shape,
            generator=torch.Generator().manual_seed(derive_seed(context.seed, "random", name)),
        )
        for name, layer in context.mask.items()
    }


RANDOM = Criterion(
    "random",
    random,
    help="independent uniform scores, drawn from the seed",
)
