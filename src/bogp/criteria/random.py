"""The random criterion: every weight is as good as any other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bogp.keys import derive_seed


def random(weights: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return independent uniform scores in [0, 1), one a weight, drawn from ``seed``.

    With a relational graph's mask as the support and the graph at the target density, this is
    the paper's BoGP mask; with the complete support, its plain random 0-1 mask.
    """
    return {
        name: torch.rand(
            weight.shape, generator=torch.Generator().manual_seed(derive_seed(seed, "random", name))
        )
        for name, weight in weights.items()
    }
