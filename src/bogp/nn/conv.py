"""Convolutions that hold and compute only the blocks that are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bogp.errors import SettingError
from bogp.nn.blocks import Blocks, blocks_of_mask
from bogp.nn.channels import joined, spread
from bogp.nn.costs import DEFAULT, Costs
from bogp.nn.gather import Gather, Readers, readers
from bogp.nn.held import HeldBlocks
from bogp.nn.plan import NONE, Kind, Plan, block_plans, quickest
from bogp.nn.product import is_exporting
from bogp.types import Integers

NOT = -1
"""Stands for a table that is not needed."""

Number = int | tuple[int, ...]
"""A number for each dimension of a kernel, or one for all."""


class Step(NamedTuple):
    """One bucket, for the machine: sizes, and the numbers of the tables that it uses.

    Attributes:
        nodes: R, the number of out nodes.
        width: d, the number of in nodes that each reads.
        first: its first row of the parameter.
        weights: the table of its rows of the parameter; ``NOT`` if they follow ``first``.
        reads: the table of the R * d in nodes that are read.
        readers: what the backward pass gathers.
    """

    nodes: int
    width: int
    first: int
    weights: int
    reads: int
    readers: Readers


class _How(NamedTuple):
    """Arguments of a convolution."""

    stride: Number
    padding: Number | str
    dilation: Number


_AT_PLACES = _How(1, 0, 1)


class GraphConv(HeldBlocks):
    """What graph convolutions of all dimensions are; see :class:`GraphConv2d`."""

    dense: ClassVar[type[Any]]
    convolve: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        blocks: Blocks,
        kernel_size: Number,
        stride: Number = 1,
        padding: Number | str = 0,
        dilation: Number = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        rows: int = 1024,
        costs: Costs = DEFAULT,
        kind: Kind | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        # A dense layer checks the arguments, and says what they come to.
        settings = {"padding_mode": padding_mode, "device": "meta"}
        like = self.dense(1, 1, kernel_size, stride, padding, dilation, **settings)
        out = max(blocks.out_sizes)
        shape = blocks.kept * out, max(blocks.in_sizes), *like.kernel_size
        super().__init__(blocks, shape, bias, device=device, dtype=dtype)
        self.kernel_size, self.stride = like.kernel_size, like.stride
        self.padding, self.dilation = like.padding, like.dilation
        self.padding_mode = padding_mode
        self._around: list[int] = like._reversed_padding_repeated_twice
        places = math.prod(like.kernel_size)
        plans = block_plans(blocks, rows, places=places, costs=costs, windows=False)
        self.plan = quickest(plans, kind)
        place = _places(blocks, out)
        tables = [torch.from_numpy(place)]
        self._steps = _steps(self.plan, place, tables)
        order = [row for bucket in self.plan.buckets for row in bucket.rows]
        at = {row: k for k, row in enumerate(order)}
        nodes = self.plan.shape[0]
        self._ordered = order == list(range(nodes))
        tables.append(torch.tensor([at.get(row, len(order)) for row in range(nodes)]))
        self._hold_tables(tables, device)
        self.reset_parameters()

    @classmethod
    def from_dense(cls, layer: Any, mask: Tensor | Blocks, **settings: Any) -> Self:
        """Return the layer that computes what ``layer`` does without the weights outside ``mask``.

        Args:
            layer: the dense convolution, which is not changed; its type and device are kept.
            mask: bool (out, in, *kernel), True keeps, or the blocks themselves.
            settings: ``rows``, ``costs`` and ``kind`` of the class.

        Raises:
            MaskError: the mask does not keep whole blocks.
            SettingError: the convolution has groups.
        """
        if layer.groups != 1:
            raise SettingError(
                f"a convolution of {layer.groups} groups is block-sparse already: keep it as it is"
            )
        blocks = mask if isinstance(mask, Blocks) else blocks_of_mask(mask)
        found = cls(
            blocks,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.bias is not None,
            layer.padding_mode,
            device=layer.weight.device,
            dtype=layer.weight.dtype,
            **settings,
        )
        found.take(layer.weight, layer.bias)
        return found.train(layer.training)

    def _dense(self) -> Any:
        return self._filled(
            self.dense(
                self.blocks.in_channels,
                self.blocks.out_channels,
                self.kernel_size,
                self.stride,
                self.padding,
                self.dilation,
                bias=self.bias is not None,
                padding_mode=self.padding_mode,
                device=self.weight.device,
                dtype=self.weight.dtype,
            )
        )

    def blocks_held(self) -> Tensor:
        """Return the weights as (blocks, out channels, in channels, *kernel)."""
        return self.weight[self._tables()[0]]

    def hold(self, values: Tensor) -> None:
        """Take weights (blocks, out channels, in channels, *kernel)."""
        self.weight[self._tables()[0]] = values

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (N, out channels, ...) for inputs (N, in channels, ...)."""
        dimensions = len(self.kernel_size)
        if x.ndim == dimensions + 1:
            return self.forward(x[None])[0]
        if x.ndim != dimensions + 2 or x.shape[1] != self.blocks.in_channels:
            raise SettingError(
                f"an input of shape {tuple(x.shape)} does not have the {self.blocks.in_channels} "
                f"channels that the layer reads: give (N, channels{', size' * dimensions})"
            )
        x, weight, bias = self._cast(x)
        how = _How(self.stride, self.padding, self.dilation)
        if self.padding_mode != "zeros":
            x = functional.pad(x, self._around, mode=self.padding_mode)
            how = how._replace(padding=0)
        if self._of_places(how.padding):  # a product at each place that is left
            every: list[Any] = [slice(None, None, step) for step in self.stride]
            x = x[(..., *every)]
            how = _AT_PLACES
        nodes, tables = spread(x, self.blocks.in_sizes, 1), self._tables()
        parts = [self._part(step, nodes, weight, how, tables) for step in self._steps]
        if not self._ordered:
            parts.append(self._zeros(parts, nodes, how))
        found = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        if not self._ordered:
            found = found.index_select(1, tables[-1])
        found = joined(found, self.blocks.out_sizes, 1)
        return found if bias is None else found + bias.view(-1, *(1,) * dimensions)

    def _of_places(self, padding: Any) -> bool:
        """Return whether every output is of one place of the input."""
        unpadded = padding in (0, "valid", "same") or not any(padding)
        return unpadded and max(self.kernel_size) == 1

    def _part(
        self, step: Step, nodes: Tensor, weight: Tensor, how: _How, tables: list[Tensor]
    ) -> Tensor:
        """Return the outputs of a bucket, (N, R, out, ...)."""
        out = max(self.blocks.out_sizes)
        if torch.is_grad_enabled() and not is_exporting():
            read: Tensor = Gather.apply(  # type: ignore[no-untyped-call]
                nodes, step.reads, step.readers, *tables
            )
        else:
            read = nodes.index_select(1, tables[step.reads])
        size = step.nodes * out * step.width
        if step.weights == NOT:
            mine = weight if size == weight.shape[0] else weight.narrow(0, step.first, size)
        else:
            zeros = weight.new_zeros(1, *weight.shape[1:])
            mine = torch.cat([weight, zeros]).index_select(0, tables[step.weights])
        if how == _AT_PLACES:
            weights = mine.reshape(step.nodes, out, -1)
            flat = read.reshape(read.shape[0], step.nodes, weights.shape[2], -1)
            places = read.shape[3:]
            return torch.matmul(weights, flat).reshape(read.shape[0], step.nodes, out, *places)
        grouped = mine.reshape(step.nodes * out, -1, *self.kernel_size)
        found = self.convolve(read.flatten(1, 2), grouped, None, *how, step.nodes)
        return found.reshape(found.shape[0], step.nodes, out, *found.shape[2:])

    def _zeros(self, parts: list[Tensor], nodes: Tensor, how: _How) -> Tensor:
        """Return the output of a node that reads nothing, (N, 1, out, ...)."""
        if parts:
            return torch.zeros_like(parts[0][:, :1])
        weight = nodes.new_zeros(max(self.blocks.out_sizes), nodes.shape[2], *self.kernel_size)
        return self.convolve(nodes[:, 0], weight, None, *how)[:, None]


def _places(blocks: Blocks, out: int) -> Integers:
    """Return the row of the parameter for each block and out channel, (blocks, out).

    The out nodes that read d in nodes are R in sequence; their part of the parameter is
    (R, out, d), so that it is the weight of a grouped convolution as it stands.
    """
    widths = blocks.wiring.sum(axis=1)
    found = np.empty((blocks.kept, out), dtype=np.int64)
    first = 0
    for width in sorted(set(widths.tolist()) - {0}):
        count = int((widths == width).sum())
        block = np.arange(count * width).reshape(count, 1, width)
        rows = np.arange(count * out * width).reshape(count, out, width)
        found[first + block, np.arange(out)[None, :, None]] = first * out + rows
        first += count * width
    return found


def _steps(plan: Plan, places: Integers, tables: list[Tensor]) -> tuple[Step, ...]:
    """Return what each bucket of a plan needs; append the tables."""
    steps = []
    padded = np.concatenate([places, np.full((1, places.shape[1]), places.size)])
    for bucket in plan.buckets:
        blocks = np.array(bucket.blocks)  # (R, d), NONE is the last row of the padded places
        assert NONE == -1
        rows = padded[blocks].swapaxes(1, 2).reshape(-1)  # (R, out, d)
        flat = [node for each in bucket.reads for node in each]
        tables.append(torch.tensor(flat))
        reads, weights = len(tables) - 1, NOT
        if not np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            tables.append(torch.from_numpy(rows))
            weights = len(tables) - 1
        by = readers(flat, plan.shape[1], tables)
        first = int(rows[0])
        steps.append(Step(len(blocks), bucket.width, first, weights, reads, by))
    return tuple(steps)


@final
class GraphConv1d(GraphConv):
    """``nn.Conv1d`` of which some blocks are kept, as :class:`GraphConv2d`."""

    dense = nn.Conv1d
    convolve = staticmethod(functional.conv1d)

    def to_dense(self) -> nn.Conv1d:
        """Return ``nn.Conv1d`` with the same weights, and zeros for all other blocks."""
        found: nn.Conv1d = self._dense()
        return found


@final
class GraphConv2d(GraphConv):
    """``nn.Conv2d`` of which some blocks are kept, the only ones that are held and computed.

    What each node reads is gathered, and convolved in a group of its own; a kernel of one place is
    a batched product. Inputs and outputs, stride, padding and dilation are as in ``nn.Conv2d``.

    Args:
        blocks: which blocks there are.
        kernel_size: of the kernel, and ``stride``, ``padding``, ``dilation``, ``padding_mode``: as
            in ``nn.Conv2d``.
        bias: whether a bias is added.
        rows: how many places a call mostly computes, those of all images of a batch: the plan is
            made for them, and is right for any number.
        costs: what the parts of a layer take on this machine.
        kind: the plan's kind, where it is not to be the quickest.
        device: where the weights are.
        dtype: their type.

    Attributes:
        weight: the kept blocks, (rows, in channels of a node, *kernel): the rows of a grouped
            convolution of out nodes that read the same number of in nodes, one such after another;
            narrower nodes are filled with zeros.
        bias: (out channels,) or None.
        wiring: the buffer by which a saved state is known, bool (out nodes, in nodes).
        plan: how it is computed.

    >>> layer = GraphConv2d(Blocks(np.eye(4) == 1, (8,) * 4, (4,) * 4), 3, padding=1)
    >>> layer, layer(torch.ones(2, 16, 5, 5)).shape
    (GraphConv2d(16, 32, nodes 4 x 4, density 0.25, gather, bias=True), torch.Size([2, 32, 5, 5]))
    """

    dense = nn.Conv2d
    convolve = staticmethod(functional.conv2d)

    def to_dense(self) -> nn.Conv2d:
        """Return ``nn.Conv2d`` with the same weights, and zeros for all other blocks."""
        found: nn.Conv2d = self._dense()
        return found
