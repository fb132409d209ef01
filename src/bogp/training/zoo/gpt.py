"""A small causal language model (Radford et al. 2019)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from bogp.training.zoo.shapes import at_least_one
from bogp.training.zoo.transformer import Block, Projections, check_block


def gpt(
    vocabulary: int,
    length: int,
    *,
    width: int = 32,
    depth: int = 2,
    heads: int = 4,
    ratio: int = 4,
    attention: Projections = "separate",
    tied: bool = True,
) -> GPT:
    """Return a transformer that reads tokens and gives, at each, logits of what comes next.

    "Language Models are Unsupervised Multitask Learners" (GPT-2), section 2.3, at a size for short
    text: token and position embedding, pre-norm causal blocks, a last normalisation and a head
    without bias, whose weight is that of the token embedding where they are ``tied`` (Press & Wolf
    2017, arXiv 1608.05859).

    Args:
        vocabulary: number of tokens.
        length: the most tokens it reads at once.
        width: channels of a token.
        depth: blocks.
        heads: heads of attention, a divisor of the width.
        ratio: hidden units of a block's perceptron over the width.
        attention: ``"separate"`` layers q, k, v, o, or ``"packed"``: ``nn.MultiheadAttention``.
        tied: whether the head has the weight of the embedding.

    Raises:
        SettingError: sizes that do not fit together.
        UnknownNameError: no such attention.

    >>> sum(p.numel() for p in gpt(64, 32).parameters())
    28544
    >>> gpt(64, 32)(torch.zeros(5, 20, dtype=torch.int64)).shape
    torch.Size([5, 20, 64])
    """
    at_least_one("gpt", vocabulary=vocabulary, length=length)
    check_block("gpt", width, heads, ratio, depth, attention)
    token = nn.Embedding(vocabulary, width)
    position = nn.Parameter(0.02 * torch.randn(1, length, width))
    blocks = nn.Sequential(
        *(Block(width, heads, ratio, attention, causal=True) for _ in range(depth))
    )
    head = nn.Linear(width, vocabulary, bias=False)
    # Of the embedding's own size, 1, logits through a tied head would be far too large.
    nn.init.normal_(token.weight, std=0.02)
    if tied:
        head.weight = token.weight
    return GPT(token, position, blocks, nn.LayerNorm(width), head)


@final
class GPT(nn.Module):
    """See :func:`gpt`; takes token numbers (N, T) and gives logits (N, T, vocabulary)."""

    def __init__(
        self,
        token: nn.Embedding,
        position: nn.Parameter,
        blocks: nn.Module,
        norm: nn.Module,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.token, self.position = token, position
        self.blocks, self.norm, self.head = blocks, norm, head

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits."""
        hidden = self.token(tokens) + self.position[:, : tokens.shape[1]]
        logits: Tensor = self.head(self.norm(self.blocks(hidden)))
        return logits
