"""The blocks that a mask keeps: how many, how full they are, and which nodes are left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bogp.masks import Grid, PrunableLayer, wiring, wiring_mask


@dataclass(frozen=True)
class BlockWiring:
    """Which blocks of a layer keep any weight.

    Attributes:
        kept: bool (out nodes, in nodes).
        filled: kept weights divided by all weights of the kept blocks: 1.0 where whole blocks are
            kept or pruned, None where none is kept.
    """

    kept: Tensor = field(repr=False, compare=False)
    filled: float | None

    @property
    def blocks(self) -> int:
        """Number of kept blocks."""
        return int(self.kept.sum())

    @property
    def live_outputs(self) -> int:
        """Number of output nodes that read any block."""
        return int(self.kept.any(1).sum())

    @property
    def live_inputs(self) -> int:
        """Number of input nodes that any block reads."""
        return int(self.kept.any(0).sum())

    @property
    def is_graph(self) -> bool:
        """Whether it is a relational graph: symmetric, every node joined to itself."""
        rows, columns = self.kept.shape
        if rows != columns or not self.kept.diagonal().all():
            return False
        return torch.equal(self.kept, self.kept.T)

    def record(self) -> dict[str, Any]:
        """Return all of it as a JSON object, the kept blocks as pairs (out node, in node)."""
        return {
            "out_nodes": self.kept.shape[0],
            "in_nodes": self.kept.shape[1],
            "blocks": self.blocks,
            "filled": self.filled,
            "live_outputs": self.live_outputs,
            "live_inputs": self.live_inputs,
            "is_graph": self.is_graph,
            "pairs": self.kept.nonzero().tolist(),
        }


def block_wiring(mask: Tensor, grid: Grid) -> BlockWiring:
    """Return the wiring of a mask (out, in, *kernel) with ``grid`` output and input nodes.

    Raises:
        GraphError: fewer outputs or inputs than nodes.

    >>> found = block_wiring(torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]]).bool(), (2, 2))
    >>> found.blocks, found.filled, found.live_outputs, found.live_inputs, found.is_graph
    (2, 0.75, 2, 1, False)
    """
    layer = PrunableLayer("mask", "", "linear", tuple(mask.shape))
    kept = wiring(mask, layer, grid)
    weights = int(wiring_mask(kept, layer, grid).sum())
    return BlockWiring(kept, int(mask.sum()) / weights if weights else None)
