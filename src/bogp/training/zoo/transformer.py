"""The block that the vision transformer and the language model are made of."""

from __future__ import annotations

from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from bogp.errors import SettingError, UnknownNameError
from bogp.training.zoo.shapes import at_least_one

Projections = Literal["separate", "packed"]
"""Four layers q, k, v, o, or ``nn.MultiheadAttention``, which keeps q, k and v in one weight."""


@final
class Block(nn.Module):
    """Self-attention and a perceptron, each after a normalisation and added to what came in.

    Vaswani et al. 2017 (arXiv 1706.03762), the normalisation before each part as Radford et al.
    2019 have it; ``causal`` lets a position look at itself and those before it alone.
    """

    def __init__(
        self, width: int, heads: int, ratio: int, attention: Projections, causal: bool = False
    ) -> None:
        super().__init__()
        self.causal, self.packed = causal, attention == "packed"
        self.norm1 = nn.LayerNorm(width)
        self.attention: nn.Module = (
            Attention(width, heads, causal)
            if attention == "separate"
            else nn.MultiheadAttention(width, heads, batch_first=True)
        )
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (N, T, width) for tokens of that shape."""
        tokens = tokens + self._attended(self.norm1(tokens))
        found: Tensor = tokens + self.mlp(self.norm2(tokens))
        return found

    def _attended(self, tokens: Tensor) -> Tensor:
        if not self.packed:
            found: Tensor = self.attention(tokens)
            return found
        later = None
        if self.causal:
            length = tokens.shape[1]
            later = tokens.new_ones((length, length), dtype=torch.bool).triu(1)
        packed: Tensor
        packed, _ = self.attention(tokens, tokens, tokens, need_weights=False, attn_mask=later)
        return packed


@final
class Attention(nn.Module):
    """Multi-head self-attention with a linear layer each for queries, keys, values and output."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (N, T, width) for tokens of that shape."""
        q, k, v = (
            part(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, T, each)
            for part in (self.q, self.k, self.v)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        found: Tensor = self.o(mixed.transpose(1, 2).flatten(2))
        return found


def check_block(what: str, width: int, heads: int, ratio: int, depth: int, attention: str) -> None:
    """Raise SettingError or UnknownNameError unless there are such blocks; ``what`` names them."""
    at_least_one(what, width=width, heads=heads, ratio=ratio, depth=depth)
    if width % heads:
        raise SettingError(
            f"{what}: width {width} is not divisible by {heads} heads: give a multiple of them"
        )
    if attention not in get_args(Projections):
        raise UnknownNameError("attention", attention, get_args(Projections))
