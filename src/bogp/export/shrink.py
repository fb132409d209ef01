"""Which channels the outputs of a network depend on, and the network without the others."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from bogp.coupling.channels import Channels, Flow, Layer
from bogp.coupling.layers import foldable, zero_padded
from bogp.export.smaller import columns, gathered, smaller_channelwise, smaller_reader


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

    def needs(self, channels: Channels) -> Tensor:
        """Return which positions are needed (C,), bool."""
        return self.needed[self.roots[channels.units]]

    def keeps(self, channels: Channels) -> Tensor:
        """Return which positions stay (C,), bool."""
        return self.kept[self.roots[channels.units]]


def judge(flow: Flow) -> Verdict:
    """Return what stays: all that the network's outputs, or calls without a rule, depend on.

    A needed output of a reader needs each input on which it has a weight, except a constant, which
    can be a part of the bias. A constant cannot where zeros are put around the input; but there all
    constants of the input are multiples of one another, so that one stands in for all of them. The
    needs are followed from the end of the network to its start until no more are found.
    """
    roots, needed = flow.units.roots(), flow.units.pinned()
    readers = [layer for layer in flow.layers if layer.kind == "reader" and layer.source]
    while True:
        before = int(needed.sum())
        for layer in reversed(readers):
            assert layer.source is not None
            assert layer.reads is not None
            rows = needed[roots[layer.output.units]]
            inputs = layer.reads[rows].any(0) & ~_foldable(flow, layer)
            stand_in, merged = _stand_in(flow, layer)
            if bool((inputs & merged).any()):
                inputs = inputs & ~merged
                inputs[stand_in] = True
            needed[roots[layer.source.units[inputs]]] = True
        if int(needed.sum()) == before:
            return Verdict(roots, needed, _with_placeholders(flow, roots, needed))


def _with_placeholders(flow: Flow, roots: Tensor, needed: Tensor) -> Tensor:
    kept = needed.clone()
    for channels in flow.channels.values():
        own = roots[channels.units]
        if not kept[own].any():
            kept[own[0]] = True
    return kept


def _foldable(flow: Flow, layer: Layer) -> Tensor:
    """Return which inputs of a reader can be a part of its bias (in,), bool."""
    module = flow.module.get_submodule(layer.name)
    return foldable(layer.constants, zero_padded(module))


def _stand_in(flow: Flow, layer: Layer) -> tuple[int, Tensor]:
    """Return the input that stands in for the constants that no bias can hold, and which these are.

    It is the largest of them, so that no weight grows.
    """
    merged = ~layer.constants.isnan() & ~_foldable(flow, layer)
    sizes = torch.where(merged, layer.constants.abs(), 0.0)
    return int(sizes.argmax()), merged


def rebuild(flow: Flow, verdict: Verdict) -> dict[str, nn.Module]:
    """Return the layers that become smaller, by name."""
    changed: dict[str, nn.Module] = {}
    for layer in flow.layers:
        module = flow.module.get_submodule(layer.name)
        outputs = verdict.keeps(layer.output)
        if layer.kind == "channelwise":
            assert layer.source is not None
            inputs = verdict.keeps(layer.source)
            # A norm may have changed already, by a reader that has no bias of its own.
            module = changed.get(layer.name, module)
            if not outputs.all():
                changed[layer.name] = smaller_channelwise(module, inputs, outputs)
            continue
        inputs = kept_inputs(layer, verdict)
        if not (outputs.all() and inputs.all()):
            weight, extra = _weight(flow, layer, verdict)
            weight = columns(weight[outputs], inputs)
            changed |= _smaller(flow, layer, module, weight, extra, outputs, inputs)
    return changed


def kept_inputs(layer: Layer, verdict: Verdict) -> Tensor:
    """Return which inputs of a layer stay (in,), bool."""
    if layer.source is not None:
        return verdict.keeps(layer.source)
    assert layer.reads is not None
    inputs = torch.ones(layer.reads.shape[1], dtype=torch.bool)
    if layer.gathers:
        inputs = layer.reads[verdict.needs(layer.output)].any(0)
        if not inputs.any():
            inputs[0] = True
    return inputs


def _weight(flow: Flow, layer: Layer, verdict: Verdict) -> tuple[Tensor, Tensor]:
    """Return a reader's weight (out, in, ...) and what to add to its bias (out,), float64.

    The weights of inputs that go are moved to the bias, or to the constant that stands in for them.
    """
    module: Any = flow.module.get_submodule(layer.name)
    weight: Tensor = module.weight.detach().double().clone()
    extra = torch.zeros(len(weight), dtype=torch.float64)
    if layer.source is None:
        return weight, extra
    gone = ~verdict.needs(layer.source)
    values = layer.constants.nan_to_num(0.0)
    stand_in, merged = _stand_in(flow, layer)
    merged &= gone
    if bool(merged.any()) and not gone[stand_in]:
        shares = values[merged] / values[stand_in]
        weight[:, stand_in] += torch.tensordot(weight[:, merged], shares, dims=([1], [0]))
    folded = gone & _foldable(flow, layer)
    sums = weight.flatten(2).sum(2) if weight.ndim > 2 else weight
    extra = sums[:, folded] @ values[folded]
    weight[:, gone] = 0.0
    return weight, extra


def _smaller(
    flow: Flow,
    layer: Layer,
    module: Any,
    weight: Tensor,
    extra: Tensor,
    outputs: Tensor,
    inputs: Tensor,
) -> dict[str, nn.Module]:
    """Return the smaller reader and, if it took up the reader's bias, the norm after it."""
    old, norm = module.weight, None
    if module.bias is not None:
        extra = extra + module.bias.detach().double()
    elif bool(extra.any()):
        norm = _norm_after(flow, layer)
    bias = None
    if module.bias is not None or (bool(extra.any()) and norm is None):
        bias = extra[outputs].to(old.dtype)
    weight = weight.to(old.dtype)
    if layer.source is None and layer.gathers and not inputs.all():
        new = gathered(module, inputs.nonzero().flatten(), weight, bias)
    else:
        new = smaller_reader(module, weight, bias)
    if norm is None:
        return {layer.name: new}
    name, shifted = norm
    shifted.running_mean = (shifted.running_mean.double() - extra).to(old.dtype)
    return {layer.name: new, name: shifted}


def _norm_after(flow: Flow, layer: Layer) -> tuple[str, Any] | None:
    """Return a copy of the norm that alone reads a layer, whose mean can take up a bias."""
    users = list(layer.node.users)
    for other in flow.layers:
        module: Any = flow.module.get_submodule(other.name)
        if users == [other.node] and getattr(module, "running_mean", None) is not None:
            return other.name, copy.deepcopy(module)
    return None


def rewritten(
    module: nn.Module, flow: Flow, verdict: Verdict, graph: fx.Graph
) -> fx.GraphModule | None:
    """Return ``module`` with a graph in place of its code, or None where the code can stay.

    It cannot stay where a number of channels that changes is written into it: in a reshape, which
    becomes a flatten, or in a padding.
    """
    frozen = [node for node in flow.reshapes if not _whole(flow, verdict, node)]
    for node in frozen:
        with graph.inserting_after(node):
            new = graph.call_function(torch.flatten, (node.all_input_nodes[0], 1))
        node.replace_all_uses_with(new)
        graph.erase_node(node)
    changed = bool(frozen)
    for node, (place, *added) in flow.pads.items():
        counts = [int(verdict.keeps(each).sum()) for each in added]
        if counts != [len(each.units) for each in added]:
            amounts: Any = list(node.args[1])  # type: ignore[arg-type]
            amounts[place : place + 2] = counts
            node.update_arg(1, tuple(amounts))
            changed = True
    return fx.GraphModule(module, graph, type(module).__name__).eval() if changed else None


def _whole(flow: Flow, verdict: Verdict, node: fx.Node) -> bool:
    return node not in flow.channels or bool(verdict.keeps(flow.channels[node]).all())
