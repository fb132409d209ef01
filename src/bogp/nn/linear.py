"""A linear layer that holds and computes only the blocks that are kept."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from bogp.errors import SettingError
from bogp.nn.blocks import Blocks, blocks_of_mask
from bogp.nn.channels import joined, spread
from bogp.nn.costs import DEFAULT, Costs
from bogp.nn.held import HeldBlocks
from bogp.nn.plan import Kind, block_plans, quickest
from bogp.nn.product import GraphProduct, arranged, compiled, is_exporting, product


@final
class GraphLinear(HeldBlocks):
    """``nn.Linear`` of which some blocks are kept, the only ones that are held and computed.

    Inputs are (..., in channels), outputs (..., out channels), as in ``nn.Linear``. The weights
    begin as those of ``nn.Linear`` would that had as many inputs as each node reads.

    Args:
        blocks: which blocks there are.
        bias: whether a bias is added.
        rows: how many rows a call mostly has (batch and tokens multiplied): the plan is made for
            them, and is right for any number.
        costs: what the parts of a layer take on this machine.
        kind: the plan's kind, where it is not to be the quickest (see :class:`bogp.nn.Plan`).
        device: where the weights are.
        dtype: their type.

    Attributes:
        weight: the kept blocks, (blocks, in channels of a node, out channels of a node), in the
            order of ``blocks.order``; narrower nodes' blocks are filled with zeros.
        bias: (out channels,) or None.
        wiring: the buffer by which a saved state is known, bool (out nodes, in nodes).
        plan: how it is computed.

    >>> import numpy as np
    >>> layer = GraphLinear(Blocks(np.eye(4) == 1, (8,) * 4, (4,) * 4))
    >>> layer, layer(torch.ones(2, 16)).shape
    (GraphLinear(16, 32, nodes 4 x 4, density 0.25, window, bias=True), torch.Size([2, 32]))
    """

    def __init__(
        self,
        blocks: Blocks,
        bias: bool = True,
        *,
        rows: int = 64,
        costs: Costs = DEFAULT,
        kind: Kind | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        into, out = max(blocks.in_sizes), max(blocks.out_sizes)
        super().__init__(blocks, (blocks.kept, into, out), bias, device=device, dtype=dtype)
        self.plan = quickest(block_plans(blocks, rows, costs=costs), kind)
        back = quickest(block_plans(blocks, rows, costs=costs, turned=True))
        tables: list[Tensor] = []
        self._forth = compiled(self.plan, blocks.kept, into, out, tables)
        self._back = compiled(back, blocks.kept, out, into, tables)
        self._inputs, self._outputs = blocks.in_channels, blocks.out_channels
        # Nodes of one size need no zeros at their ends: channels are viewed as nodes.
        self._nodes_in = (len(blocks.in_sizes), into) if into == min(blocks.in_sizes) else None
        self._nodes_out = (len(blocks.out_sizes), out) if out == min(blocks.out_sizes) else None
        self._hold_tables(tables, device)
        self.reset_parameters()

    @classmethod
    def from_dense(cls, layer: nn.Linear, mask: Tensor | Blocks, **settings: Any) -> GraphLinear:
        """Return the layer that computes what ``layer`` does without the weights outside ``mask``.

        Args:
            layer: the dense layer, which is not changed; its type and device are kept.
            mask: bool (out, in), True keeps, or the blocks themselves.
            settings: ``rows``, ``costs`` and ``kind`` of the class.

        Raises:
            MaskError: the mask does not keep whole blocks.
        """
        blocks = mask if isinstance(mask, Blocks) else blocks_of_mask(mask)
        weight = layer.weight
        found = cls(
            blocks, layer.bias is not None, device=weight.device, dtype=weight.dtype, **settings
        )
        found.take(weight, layer.bias)
        return found.train(layer.training)

    def to_dense(self) -> nn.Linear:
        """Return ``nn.Linear`` with the same weights, and zeros for all other blocks."""
        return self._filled(
            nn.Linear(
                self.in_features,
                self.out_features,
                self.bias is not None,
                device=self.weight.device,
                dtype=self.weight.dtype,
            )
        )

    def blocks_held(self) -> Tensor:
        """Return the weights as (blocks, out channels, in channels), a view."""
        return self.weight.transpose(1, 2)

    def hold(self, values: Tensor) -> None:
        """Take weights (blocks, out channels, in channels)."""
        self.weight.copy_(values.transpose(1, 2))

    @property
    def in_features(self) -> int:
        """Number of input channels."""
        return self.blocks.in_channels

    @property
    def out_features(self) -> int:
        """Number of output channels."""
        return self.blocks.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (..., out channels) for inputs (..., in channels)."""
        blocks = self.blocks
        if x.shape[-1] != self._inputs:
            raise SettingError(
                f"an input of shape {tuple(x.shape)} does not end in the {blocks.in_channels} "
                "channels that the layer reads: give (..., channels)"
            )
        x, weight, bias = self._cast(x)
        if self._nodes_in is not None:
            given = x.reshape(-1, *self._nodes_in)
        else:
            given = spread(x.reshape(-1, self._inputs), blocks.in_sizes, 1)
        if bias is not None and self._nodes_out is not None:
            bias = bias.view(self._nodes_out)
        elif bias is not None:
            bias = spread(bias, blocks.out_sizes, 0)
        tables = self._tables()
        if torch.is_grad_enabled() and not is_exporting():
            found: Tensor = GraphProduct.apply(  # type: ignore[no-untyped-call]
                given, weight, bias, self._forth, self._back, *tables
            )
        else:
            mine = arranged(self._forth, weight, tables)
            found = product(self._forth, given, mine, bias, tables, weight.shape[2])
        if self._nodes_out is None:
            found = joined(found, blocks.out_sizes, 1)
        return found.reshape(*x.shape[:-1], self._outputs)
