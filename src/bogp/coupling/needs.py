"""Which channels the outputs of a network depend on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bogp.coupling.channels import Channels, Flow, Heads, Layer, Match
from bogp.coupling.layers import foldable, zero_padded
from bogp.coupling.norms import is_over_kept


@dataclass(frozen=True)
class Verdict:
    """Which units stay.

    Attributes:
        roots: the set that each unit belongs to (U,).
        needed: whether the outputs depend on the set (U,), bool.
        kept: whether the set stays (U,), bool: if it is needed or, in a tensor of which nothing is
            needed, as a placeholder that nobody reads.
    """

    roots: Tensor
    needed: Tensor
    kept: Tensor

    def needs(self, channels: Channels | Heads) -> Tensor:
        """Return which positions are needed (C,), bool."""
        return self.needed[self.roots[channels.units]]

    def keeps(self, channels: Channels | Heads) -> Tensor:
        """Return which positions stay (C,), bool."""
        return self.kept[self.roots[channels.units]]


def judge(flow: Flow) -> Verdict:
    """Return what stays: all that the network's outputs, or calls without a rule, depend on.

    A needed output of a reader needs each input on which it has a weight, except a constant, which
    can be a part of the bias. A constant cannot where zeros are put around the input; but there all
    constants of the input are multiples of one another, so that one stands in for all of them. A
    layer norm of which any output is needed needs all channels of its statistics. The needs are
    followed from the end of the network to its start until no more are found.
    """
    roots, needed = flow.units.roots(), flow.units.pinned()
    while True:
        before = int(needed.sum())
        for match in flow.matches:
            if match.output is None or needed[roots[match.output.units]].any():
                needed[roots[match.queries.units[_counts(match)]]] = True
        for layer in reversed(flow.layers):
            if layer.source is not None and layer.kind in ("reader", "norm"):
                rows = needed[roots[layer.output.units]]
                inputs = _mixed(flow, layer, rows) if layer.kind == "reader" else rows.any()
                needed[roots[layer.source.units[inputs & _read(flow, layer)]]] = True
        if int(needed.sum()) == before:
            return Verdict(roots, needed, _with_placeholders(flow, roots, needed))


def _mixed(flow: Flow, layer: Layer, rows: Tensor) -> Tensor:
    """Return the inputs of a reader that its outputs ``rows`` need (in,), bool."""
    assert layer.reads is not None
    inputs = layer.reads[rows].any(0) & ~can_fold(flow, layer)
    place, merged = stand_in(flow, layer)
    if bool((inputs & merged).any()):
        inputs = inputs & ~merged
        inputs[place] = True
    return inputs


def _read(flow: Flow, layer: Layer) -> Tensor:
    """Return which inputs of a layer can count (in,), bool: of a layer norm those of statistics."""
    assert layer.source is not None
    module = flow.module.get_submodule(layer.name)
    if layer.kind == "norm" and is_over_kept(module):
        gain: Tensor = module.get_parameter("weight")
        return gain.detach() != 0
    return torch.ones(len(layer.source.units), dtype=torch.bool)


def _counts(match: Match) -> Tensor:
    """Return which channels a product of queries and keys depends on (H, E), bool.

    A constant channel of the keys adds the same to all keys of a query, and softmax takes it away.
    """
    queries, keys = match.queries.constants, match.keys.constants
    idle = ~keys.isnan() if match.softmax else keys == 0
    return ~((queries == 0) | idle)


def _with_placeholders(flow: Flow, roots: Tensor, needed: Tensor) -> Tensor:
    """Return what stays: what is needed, one channel of each tensor, as many in each head."""
    kept = needed.clone()
    for channels in flow.channels.values():
        own = roots[channels.units]
        if not kept[own].any():
            kept[own[0]] = True
    for own in flow.even:
        most = max(1, int(kept[own].sum(1).max()))
        for row in own:
            missing = most - int(kept[row].sum())
            kept[row[~kept[row]][:missing]] = True
    return kept


def can_fold(flow: Flow, layer: Layer) -> Tensor:
    """Return which inputs of a reader can be a part of its bias (in,), bool."""
    module = flow.module.get_submodule(layer.name)
    return foldable(layer.constants, zero_padded(module))


def stand_in(flow: Flow, layer: Layer) -> tuple[int, Tensor]:
    """Return the input that stands in for the constants that no bias can hold, and which these are.

    It is the largest of them, so that no weight grows.
    """
    merged = ~layer.constants.isnan() & ~can_fold(flow, layer)
    if getattr(flow.module.get_submodule(layer.name), "groups", 1) > 1:
        merged = torch.zeros_like(merged)  # a group has no inputs of another
    sizes = torch.where(merged, layer.constants.abs(), 0.0)
    return int(sizes.argmax()), merged
