"""Which blocks of a layer are kept, and how many channels each node of it owns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bogp.errors import MaskError
from bogp.nodes import group_sizes
from bogp.types import BoolArray

LEAST = 16
"""The fewest weights that the blocks of a mask have on average: 4 x 4, or 16 x 1."""

_NODE = 8
"""What one node more costs, in channels: it decides how runs of equal channels are cut."""

Sizes = tuple[int, ...]
"""How many channels each node owns; the groups are contiguous."""


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    """The wiring of one layer with the sizes of its nodes.

    Attributes:
        wiring: bool (out nodes, in nodes), True where a block is kept.
        out_sizes: output channels of each out node.
        in_sizes: input channels of each in node.

    Raises:
        MaskError: the wiring has another number of nodes than there are sizes.

    >>> blocks = Blocks(np.array([[True, False], [True, True]]), (2, 1), (3, 3))
    >>> blocks.out_channels, blocks.in_channels, blocks.kept, round(blocks.density, 3)
    (3, 6, 3, 0.667)
    """

    wiring: BoolArray
    out_sizes: Sizes
    in_sizes: Sizes

    def __post_init__(self) -> None:
        wiring = np.array(self.wiring, dtype=np.bool_)
        if wiring.shape != (len(self.out_sizes), len(self.in_sizes)):
            raise MaskError(
                f"a wiring of shape {wiring.shape} does not fit {len(self.out_sizes)} out nodes "
                f"and {len(self.in_sizes)} in nodes: give (out nodes, in nodes)"
            )
        wiring.setflags(write=False)
        object.__setattr__(self, "wiring", wiring)

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return sum(self.out_sizes)

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        return sum(self.in_sizes)

    @property
    def kept(self) -> int:
        """Number of blocks kept."""
        return int(self.wiring.sum())

    @property
    def density(self) -> float:
        """Share of the weights that the kept blocks have."""
        weights = np.array(self.out_sizes) @ self.wiring @ np.array(self.in_sizes)
        return float(weights) / (self.out_channels * self.in_channels)

    def mask(self) -> Tensor:
        """Return the mask of the layer's weights, bool (out, in).

        >>> Blocks(np.eye(2), (2, 1), (1, 1)).mask().int().tolist()
        [[1, 0], [1, 0], [0, 1]]
        """
        rows = np.repeat(self.wiring, self.out_sizes, axis=0)
        return torch.from_numpy(np.repeat(rows, self.in_sizes, axis=1))

    @cached_property
    def order(self) -> tuple[tuple[int, int], ...]:
        """The kept blocks, (out node, in node), in the order in which layers hold them.

        Rows of fewer blocks come first, so that rows of one length are one slice; see
        :func:`neighbours` for the order within a row.
        """
        rows = neighbours(self.wiring)
        by_length = sorted(range(len(rows)), key=lambda v: (len(rows[v]), v))
        return tuple((v, u) for v in by_length for u in rows[v])


def even_blocks(wiring: BoolArray, out_channels: int, in_channels: int) -> Blocks:
    """Return the blocks of a wiring whose nodes own as many channels as they do in masks.

    Groups are contiguous; the first ``channels % nodes`` nodes own one channel more.

    Args:
        wiring: bool (out nodes, in nodes), a relational graph's ``adjacency`` for example.
        out_channels: the layer's outputs.
        in_channels: its inputs.

    Raises:
        GraphError: there are more nodes than channels.

    >>> even_blocks(np.eye(3) == 1, 10, 9).out_sizes
    (4, 3, 3)
    """
    sizes = (
        tuple(group_sizes(channels, nodes).tolist())
        for channels, nodes in zip((out_channels, in_channels), np.shape(wiring), strict=True)
    )
    return Blocks(wiring, *sizes)


def neighbours(wiring: BoolArray) -> list[tuple[int, ...]]:
    """Return the in nodes that each out node reads, from where its longest run of them begins.

    The nodes are on a circle: a ring's neighbours then stand in the order of their channels.

    >>> neighbours(np.array([[1, 1, 0, 1], [0, 1, 1, 0]]) == 1)
    [(3, 0, 1), (1, 2)]
    """
    return [_from_longest_run(row) for row in wiring]


def _from_longest_run(row: BoolArray) -> tuple[int, ...]:
    nodes = len(row)
    kept = [int(u) for u in np.flatnonzero(row)]
    starts = [u for u in kept if not row[u - 1]]
    if not starts:  # none of them, or all
        return tuple(kept)
    ends = [u for u in kept if not row[(u + 1) % nodes]]
    length = {u: min((end - u) % nodes for end in ends) for u in starts}
    start = max(starts, key=lambda u: (length[u], -u))
    return tuple(sorted(kept, key=lambda u: (u - start) % nodes))


def blocks_of_mask(mask: Tensor, name: str = "a layer") -> Blocks:
    """Return the blocks that a layer's mask (out, in, *kernel) keeps.

    Neighbouring channels with the same mask are one node. Where such runs differ much in length,
    the long ones are cut: layers compute with nodes of one size.

    Args:
        mask: bool, True keeps.
        name: what errors call the layer.

    Raises:
        MaskError: kernels are not kept or pruned whole, or the blocks are smaller than ``LEAST``
            weights on average.

    >>> mask = Blocks(np.eye(3) == 1, (9, 8, 8), (4, 4, 4)).mask()
    >>> blocks = blocks_of_mask(mask)
    >>> blocks.out_sizes, blocks.in_sizes, blocks.kept
    ((9, 8, 8), (4, 4, 4), 3)
    """
    flat = mask.flatten(2) if mask.ndim > 2 else mask[:, :, None]
    kept = flat.any(2).cpu().numpy()
    out_sizes, in_sizes = _sizes(kept), _sizes(kept.T)
    average = kept.size / (len(out_sizes) * len(in_sizes))
    whole = bool((flat.all(2) == flat.any(2)).all())
    if not whole or average < min(LEAST, kept.size):
        what = f"blocks of {average:.1f} weights" if whole else "parts of kernels"
        raise MaskError(
            f"the mask of {name} keeps {what}, not whole blocks: prune with block=32, or keep the "
            "layer dense"
        )
    rows, columns = (np.cumsum(sizes) - sizes for sizes in (out_sizes, in_sizes))
    return Blocks(kept[np.ix_(rows, columns)], out_sizes, in_sizes)


def _sizes(kept: BoolArray) -> Sizes:
    """Return sizes of contiguous groups of rows, all rows of a group being equal."""
    changes = np.flatnonzero((kept[1:] != kept[:-1]).any(axis=1)) + 1
    runs: npt.NDArray[np.int64] = np.diff(np.concatenate(([0], changes, [len(kept)])))

    def pieces(size: int) -> int:
        return int((-(-runs // size)).sum())

    # The widest node is as wide as some run; what it costs is what nodes of one size would.
    size = min(set(runs.tolist()), key=lambda each: (pieces(each) * (each + _NODE), -each))
    return tuple(
        run // count + (k < run % count)
        for run in runs.tolist()
        for count in (-(-run // size),)
        for k in range(count)
    )
