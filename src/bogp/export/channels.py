"""The channels of a network's tensors: which are one and the same, which are constant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, fx, nn

UNKNOWN = float("nan")
"""The value of a channel that is not known to be constant."""


@dataclass(frozen=True)
class Channels:
    """The channels of one tensor of the network.

    Attributes:
        axis: the dimension of the tensor along which they lie, the batch being 0.
        units: what each position belongs to (C,), int64. Positions of one unit go together: a
            flattened channel is as many positions of one unit as it has pixels.
        constants: the value of each position (C,), float64, where it is the same for all inputs and
            at all places; NaN elsewhere.
    """

    axis: int
    units: Tensor
    constants: Tensor


@final
class Units:
    """Units by number, in sets that stay or go together (union-find), some of them pinned."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._pinned: list[int] = []

    def new(self, count: int) -> Tensor:
        """Return the numbers of ``count`` new units (count,)."""
        start = len(self._parents)
        self._parents += range(start, start + count)
        return torch.arange(start, start + count)

    def tie(self, left: Tensor, right: Tensor) -> None:
        """Let the units of two tensors, position by position, stay or go together."""
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            one, other = self._root(a), self._root(b)
            self._parents[max(one, other)] = min(one, other)

    def pin(self, units: Tensor) -> None:
        """Let units stay: somebody whom we do not understand reads them."""
        self._pinned += units.tolist()

    def _root(self, unit: int) -> int:
        while self._parents[unit] != unit:
            self._parents[unit] = self._parents[self._parents[unit]]
            unit = self._parents[unit]
        return unit

    def roots(self) -> Tensor:
        """Return the set of each unit (U,), named by its smallest number."""
        return torch.tensor([self._root(unit) for unit in range(len(self._parents))]).long()

    def pinned(self) -> Tensor:
        """Return which sets hold a pinned unit (U,), True at their smallest numbers."""
        stays = torch.zeros(len(self._parents), dtype=torch.bool)
        stays[[self._root(unit) for unit in self._pinned]] = True
        return stays


@dataclass(frozen=True)
class Layer:
    """A layer that can lose channels.

    Attributes:
        name: the module's name.
        kind: ``"reader"`` mixes its input channels (linear, convolution); ``"channelwise"`` gives
            each input channel its own outputs (depthwise convolution, norm, PReLU).
        node: the call in the graph.
        source: the channels of its input; None where they are not understood.
        output: the channels of its output.
        reads: of a reader, whether output o has a weight other than 0 on input i, (out, in).
        gathers: its input is the network's, so that a selection of it may be put in front.
    """

    name: str
    kind: str
    node: fx.Node
    source: Channels | None
    output: Channels
    reads: Tensor | None = None
    gathers: bool = False

    @property
    def constants(self) -> Tensor:
        """The constants of a reader's input (in,)."""
        if self.source is not None:
            return self.source.constants
        assert self.reads is not None
        return torch.full((self.reads.shape[1],), UNKNOWN, dtype=torch.float64)


@final
@dataclass
class Flow:
    """What is known of a traced network, filled node by node.

    Attributes:
        module: the network.
        shapes: the shape of each node's output; absent where that is no tensor.
        fixed: names of modules whose weights must not change: tied, used twice, read directly.
        units: the units and their ties.
        channels: of each node, where they are understood.
        layers: in the order of their calls.
        inputs: nodes that hold the network's input, flattened perhaps.
        reshapes: nodes with a number of features written into them, which must become a flatten.
        pads: nodes that may add channels: where in their amounts, and those before and after.
    """

    module: nn.Module
    shapes: dict[fx.Node, tuple[int, ...]]
    fixed: frozenset[str]
    units: Units = field(default_factory=Units)
    channels: dict[fx.Node, Channels] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    inputs: set[fx.Node] = field(default_factory=set)
    reshapes: list[fx.Node] = field(default_factory=list)
    pads: dict[fx.Node, tuple[int, Channels, Channels]] = field(default_factory=dict)

    def fresh(self, axis: int, constants: Tensor) -> Channels:
        """Return new channels of the given ``constants`` (C,)."""
        return Channels(axis, self.units.new(len(constants)), constants)

    def rank(self, node: fx.Node) -> int:
        """Return the number of dimensions of a node's tensor."""
        return len(self.shapes[node])
