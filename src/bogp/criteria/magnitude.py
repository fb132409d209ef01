"""The magnitude criterion: large weights matter most."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def magnitude(weights: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return |w| of every weight (Han et al. 2015, arXiv 1506.02626); ``seed`` is not used."""
    return {name: weight.detach().abs() for name, weight in weights.items()}
