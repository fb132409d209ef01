"""Channels as nodes of one size: a dimension of channels becomes two, (nodes, channels of each)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional

from bogp.nn.blocks import Sizes


def spread(values: Tensor, sizes: Sizes, dim: int) -> Tensor:
    """Return ``values`` with ``dim`` (channels) as (nodes, widest); narrower nodes end in zeros.

    Where all nodes are of one size this is a view.

    >>> spread(torch.tensor([1, 2, 3]), (2, 1), 0).tolist()
    [[1, 2], [3, 0]]
    """
    widest = max(sizes)
    if min(sizes) == widest:
        return values.reshape(*values.shape[:dim], len(sizes), widest, *values.shape[dim + 1 :])
    parts = []
    for _, count, size, at in _runs(sizes):
        part = values.narrow(dim, at, count * size)
        part = part.reshape(*part.shape[:dim], count, size, *part.shape[dim + 1 :])
        after = part.ndim - dim - 2
        parts.append(functional.pad(part, (0, 0) * after + (0, widest - size)))
    return torch.cat(parts, dim)


def joined(values: Tensor, sizes: Sizes, dim: int) -> Tensor:
    """Return ``values`` with ``dim`` and the next, (nodes, widest), as channels again.

    >>> joined(torch.tensor([[1, 2], [3, 0]]), (2, 1), 0).tolist()
    [1, 2, 3]
    """
    if min(sizes) == max(sizes):
        return values.flatten(dim, dim + 1)
    parts = [
        values.narrow(dim, first, count).narrow(dim + 1, 0, size).flatten(dim, dim + 1)
        for first, count, size, _ in _runs(sizes)
    ]
    return torch.cat(parts, dim)


def _runs(sizes: Sizes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first node, how many, size, first channel) of nodes of one size in sequence."""
    node = channel = 0
    for size, run in groupby(sizes):
        count = len(list(run))
        yield node, count, size, channel
        node, channel = node + count, channel + count * size
