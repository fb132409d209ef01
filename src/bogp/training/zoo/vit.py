"""A small vision transformer (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from bogp.errors import SettingError, UnknownNameError
from bogp.training.zoo.shapes import at_least_one, image_sizes, with_channels
from bogp.training.zoo.transformer import Block, Projections, check_block

Pool = Literal["mean", "token"]
"""What the head reads: the mean over patches, or a token of its own beside them."""


def vit(
    shape: Sequence[int],
    classes: int,
    *,
    patch: int | None = None,
    width: int = 32,
    depth: int = 2,
    heads: int = 4,
    ratio: int = 2,
    attention: Projections = "separate",
    pool: Pool = "mean",
) -> ViT:
    """Return a vision transformer: patches embedded as tokens, pre-norm blocks, a linear head.

    "An Image is Worth 16x16 Words", ICLR 2021 (arXiv 2010.11929), section 3.1, at a size for small
    images; the mean over tokens instead of a class token as Beyer et al. 2022 (arXiv 2205.01580).

    Args:
        shape: the shape of one image, (H, W) or (C, H, W).
        classes: logits.
        patch: side of a patch, a divisor of both sides; a quarter of the height by default,
            which makes 16 tokens of a square image.
        width: channels of a token.
        depth: blocks.
        heads: heads of attention, a divisor of the width.
        ratio: hidden units of a block's perceptron over the width.
        attention: ``"separate"`` layers q, k, v, o, or ``"packed"``: ``nn.MultiheadAttention``.
        pool: ``"mean"`` over the tokens, or a class ``"token"``.

    Raises:
        SettingError: sizes that do not fit together.
        UnknownNameError: no such attention or pool.

    >>> sum(p.numel() for p in vit((8, 8), 10).parameters())
    18154
    >>> vit((28, 28), 10)(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 10])
    """
    channels, *sides = image_sizes("vit", shape)
    patch = max(1, sides[0] // 4) if patch is None else patch
    at_least_one("vit", classes=classes, patch=patch)
    if any(side % patch for side in sides):
        raise SettingError(
            f"vit: images of {sides[0]} x {sides[1]} do not divide into patches of {patch} x "
            f"{patch}: give a patch that divides both sides"
        )
    check_block("vit", width, heads, ratio, depth, attention)
    if pool not in get_args(Pool):
        raise UnknownNameError("pool", pool, get_args(Pool))
    patches = nn.Conv2d(channels, width, patch, stride=patch)
    token = nn.Parameter(torch.zeros(1, 1, width)) if pool == "token" else None
    count = (sides[0] // patch) * (sides[1] // patch) + (pool == "token")
    # About an embedded patch's size: the usual 0.02 hides places for the first epochs.
    position = nn.Parameter(0.3 * torch.randn(1, count, width))
    blocks = nn.Sequential(*(Block(width, heads, ratio, attention) for _ in range(depth)))
    head = nn.Linear(width, classes)
    return ViT(with_channels(shape), patches, token, position, blocks, nn.LayerNorm(width), head)


@final
class ViT(nn.Module):
    """See :func:`vit`; takes images (N, *shape) and gives logits (N, classes)."""

    def __init__(
        self,
        images: nn.Module,
        patches: nn.Module,
        token: nn.Parameter | None,
        position: nn.Parameter,
        blocks: nn.Module,
        norm: nn.Module,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.images, self.patches = images, patches
        self.token, self.position = token, position
        self.blocks, self.norm, self.head = blocks, norm, head

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits."""
        tokens = self.patches(self.images(inputs)).flatten(2).transpose(1, 2)  # (N, T, width)
        if self.token is not None:
            first = self.token + torch.zeros_like(tokens[:, :1])  # one for each image
            tokens = torch.cat([first, tokens], 1)
        tokens = self.norm(self.blocks(tokens + self.position))
        pooled = tokens.mean(1) if self.token is None else tokens[:, 0]
        logits: Tensor = self.head(pooled)
        return logits
