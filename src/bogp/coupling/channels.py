"""The channels of a network's tensors: which go together, which are constant, who reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, fx, nn

UNKNOWN = float("nan")
"""The value of a channel that is not known to be constant."""


@dataclass(frozen=True)
class Channels:
    """The channels of one tensor of the network.

    Attributes:
        axis: the dimension of the tensor along which the channels lie; the batch is dimension 0.
        units: the unit that each position belongs to (C,), int64. Positions of one unit go
            together: a flattened channel is as many positions of one unit as it has pixels.
        constants: the value of each position (C,), float64, where it is the same for all inputs and
            at all places; NaN elsewhere.
    """

    axis: int
    units: Tensor
    constants: Tensor


@dataclass(frozen=True)
class Heads:
    """The channels of a tensor that is split among the heads of attention.

    Attributes:
        axes: the dimensions of the heads and of the channels within a head.
        units: the unit of each channel (H, E), int64.
        constants: the value of each (H, E), float64, NaN where it is not known to be constant.
        maker: the call that made the channels, if it only was split and moved since.
    """

    axes: tuple[int, int]
    units: Tensor
    constants: Tensor
    maker: fx.Node | None


@dataclass(frozen=True)
class Match:
    """Queries and keys of which a product is taken, channel by channel.

    Attributes:
        queries: their channels; unit k of the queries and of the keys go together.
        keys: theirs.
        output: the channels that depend on the product; None where they cannot be told.
        softmax: whether only differences between keys count, so that constant keys do not.
        scaled: whether torch divides by the root of the number of channels that are left.
    """

    queries: Heads
    keys: Heads
    output: Heads | None
    softmax: bool
    scaled: bool


@final
class Ties:
    """Units by number, in sets that stay or go together (union-find); pinned units stay."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._pinned: dict[int, str] = {}

    def new(self, count: int) -> Tensor:
        """Return the numbers of ``count`` new units (count,)."""
        start = len(self._parents)
        self._parents += range(start, start + count)
        return torch.arange(start, start + count)

    def tie(self, left: Tensor, right: Tensor) -> None:
        """Make the units of two tensors stay or go together, position by position."""
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            one, other = self._root(a), self._root(b)
            self._parents[max(one, other)] = min(one, other)

    def pin(self, units: Tensor, reason: str) -> None:
        """Make units stay; the reason says why, as the end of a sentence."""
        for unit in units.tolist():
            self._pinned.setdefault(unit, reason)

    def _root(self, unit: int) -> int:
        while self._parents[unit] != unit:
            self._parents[unit] = self._parents[self._parents[unit]]
            unit = self._parents[unit]
        return unit

    def roots(self) -> Tensor:
        """Return the set of each unit (U,), named by its smallest number."""
        return torch.tensor([self._root(unit) for unit in range(len(self._parents))]).long()

    def pinned(self) -> Tensor:
        """Return which sets hold a pinned unit (U,), bool, at the smallest number of each."""
        stays = torch.zeros(len(self._parents), dtype=torch.bool)
        stays[[self._root(unit) for unit in self._pinned]] = True
        return stays

    def reasons(self) -> dict[int, str]:
        """Return why each set that holds a pinned unit stays, by its smallest number."""
        found: dict[int, str] = {}
        for unit, reason in self._pinned.items():
            found.setdefault(self._root(unit), reason)
        return found


@dataclass(frozen=True)
class Layer:
    """A layer that can lose channels.

    Attributes:
        name: the module's name, or the parameter's.
        kind: ``"reader"`` mixes its input channels (linear, convolution); ``"channelwise"`` gives
            each input channel its own outputs (depthwise convolution, batch norm, PReLU);
            ``"norm"`` does that by statistics over them (layer norm); ``"table"`` looks its outputs
            up (embedding); ``"parameter"`` is a parameter that the network reads directly.
        node: the call in the graph.
        source: the channels of its input; None where they are not understood.
        output: the channels of its output.
        reads: whether output o has a weight other than 0 on input i, (out, in), in all groups of a
            convolution together; only for a reader.
        gathers: whether its input is the network's, so that it may select the features it reads.
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
        """The constants of a reader's input (in,), NaN where they are unknown."""
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
        channels: the channels of each node's output, where they are understood.
        heads: the same, where they are split among heads.
        even: units (P, E) of which each row must keep as many.
        matches: products of queries and keys.
        layers: the layers that can lose channels, in the order of their calls.
        inputs: nodes that hold the network's input, flattened perhaps.
        reshapes: nodes with a number of features written into them, which must become a flatten.
        splits: nodes with a number of channels written into them, which must become -1, and the
            positions of that number: the argument and, where that is a list, the place in it.
        pads: nodes that pad channels: the position of the amounts among their arguments, and the
            channels added before and after.
    """

    module: nn.Module
    shapes: dict[fx.Node, tuple[int, ...]]
    fixed: frozenset[str]
    units: Ties = field(default_factory=Ties)
    channels: dict[fx.Node, Channels] = field(default_factory=dict)
    heads: dict[fx.Node, Heads] = field(default_factory=dict)
    even: list[Tensor] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    inputs: set[fx.Node] = field(default_factory=set)
    reshapes: list[fx.Node] = field(default_factory=list)
    splits: dict[fx.Node, tuple[int, int | None]] = field(default_factory=dict)
    pads: dict[fx.Node, tuple[int, Channels, Channels]] = field(default_factory=dict)

    def fresh(self, axis: int, constants: Tensor) -> Channels:
        """Return new channels of the given ``constants`` (C,)."""
        return Channels(axis, self.units.new(len(constants)), constants)

    def rank(self, node: fx.Node) -> int:
        """Return the number of dimensions of a node's tensor."""
        return len(self.shapes[node])


Found = Channels | Heads | None
"""The channels of a node's output; None where they are not understood."""

Rule = Callable[[Flow, fx.Node], Found]
"""What a kind of call does to channels."""


def opaque(flow: Flow, node: fx.Node) -> Channels | None:
    """Pin all channels that the node reads, and return None: its output is not understood."""
    for source in node.all_input_nodes:
        for known in (flow.channels.get(source), flow.heads.get(source)):
            if known is not None:
                flow.units.pin(known.units.flatten(), _reason(flow, node))
    return None


def _reason(flow: Flow, node: fx.Node) -> str:
    """Return why a call pins what it reads."""
    if node.op == "output":
        return "they are an output of the model"
    if node.op == "call_module":
        return f"the {type(module_of(flow, node)).__name__} {str(node.target)!r} reads them"
    if node.target in (getattr, "size"):
        return "the network asks for their number"
    return f"a call of {getattr(node.target, '__name__', node.target)} reads them"


def source_of(node: fx.Node) -> fx.Node:
    """Return the node's first input."""
    return node.all_input_nodes[0]


def module_of(flow: Flow, node: fx.Node) -> Any:
    """Return the module that a node calls."""
    return flow.module.get_submodule(str(node.target))


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """Return an argument of a call, by position (the tensor being 0) or by name."""
    if len(node.args) > position:
        return node.args[position]
    return node.kwargs.get(name, default)
