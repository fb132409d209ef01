"""The network without the channels on which its outputs do not depend."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from bogp.coupling.channels import Flow, Layer
from bogp.coupling.layers import whole_weight
from bogp.coupling.needs import Verdict, can_fold, stand_in
from bogp.coupling.norms import drop_idle_hook
from bogp.coupling.smaller import (
    columns,
    gathered,
    smaller_channelwise,
    smaller_parameter,
    smaller_reader,
    smaller_table,
)


def rebuild(flow: Flow, verdict: Verdict) -> None:
    """Put smaller layers and parameters into the network that ``flow`` is of."""
    changed: dict[str, nn.Module] = {}
    for layer in flow.layers:
        outputs = verdict.keeps(layer.output)
        if layer.kind == "parameter":
            if not outputs.all():
                smaller_parameter(flow.module, layer.name, layer.output.axis, outputs)
            continue
        # A norm may have changed already, by a reader that has no bias of its own.
        module = changed.get(layer.name, flow.module.get_submodule(layer.name))
        if layer.kind == "table":
            if not outputs.all():
                changed[layer.name] = smaller_table(module, outputs)
        elif layer.kind in ("channelwise", "norm"):
            assert layer.source is not None
            if not outputs.all():
                inputs = verdict.keeps(layer.source)
                changed[layer.name] = smaller_channelwise(module, inputs, outputs)
        else:
            inputs = kept_inputs(layer, verdict)
            factor = _scale(flow, layer, verdict)
            if not (outputs.all() and inputs.all()) or factor != 1.0:
                weight, extra = _weight(flow, layer, verdict)
                weight = columns(weight[outputs], inputs)
                changed |= _smaller(flow, layer, module, weight, extra, outputs, inputs, factor)
    tied = _tied(flow)
    for name, new in changed.items():
        flow.module.set_submodule(name, new)
    for table, head in tied:
        one, other = (
            flow.module.get_submodule(name).get_parameter("weight") for name in (table, head)
        )
        if one is not other and torch.equal(one, other):
            flow.module.get_submodule(head).weight = one
    for module in flow.module.modules():
        drop_idle_hook(module)


def _tied(flow: Flow) -> list[tuple[str, str]]:
    """Return the names of layers that share a weight, two and two."""
    holders: dict[nn.Parameter, list[str]] = {}
    for layer in flow.layers:
        if layer.kind in ("reader", "table"):
            weight = flow.module.get_submodule(layer.name).get_parameter("weight")
            holders.setdefault(weight, []).append(layer.name)
    return [(first, other) for first, *others in holders.values() for other in others]


def _scale(flow: Flow, layer: Layer, verdict: Verdict) -> float:
    """Return what to multiply a layer by that makes queries of fewer channels.

    torch divides the product of queries and keys by the root of the number of channels.
    """
    for match in flow.matches:
        if match.scaled and match.queries.maker is layer.node:
            kept = int(verdict.keeps(match.queries)[0].sum())
            return float((kept / match.queries.units.shape[1]) ** 0.5)
    return 1.0


def kept_inputs(layer: Layer, verdict: Verdict) -> Tensor:
    """Return which inputs of a layer stay (in,), bool."""
    if layer.source is not None:
        return verdict.keeps(layer.source)
    if layer.reads is None:
        return torch.ones(1, dtype=torch.bool)
    inputs = torch.ones(layer.reads.shape[1], dtype=torch.bool)
    if layer.gathers:
        inputs = layer.reads[verdict.needs(layer.output)].any(0)
        if not inputs.any():
            inputs[0] = True
    return inputs


def kept_of(values: Tensor, layer: Layer, verdict: Verdict) -> Tensor:
    """Return of ``values``, of the shape of a layer's weight, what lies in channels that stay."""
    outputs = verdict.keeps(layer.output)
    if layer.kind == "table":
        return columns(values, outputs)
    values = values[outputs]
    if layer.kind != "reader":
        return values
    # The groups of a convolution keep the same of their inputs.
    return columns(values, kept_inputs(layer, verdict)[: values.shape[1]])


def _weight(flow: Flow, layer: Layer, verdict: Verdict) -> tuple[Tensor, Tensor]:
    """Return a reader's weight (out, in, ...) and what to add to its bias (out,), float64.

    The weights of inputs that go are moved to the bias, or to the constant that stands in for them.
    """
    weight = whole_weight(flow.module.get_submodule(layer.name))
    extra = torch.zeros(len(weight), dtype=torch.float64)
    if layer.source is None:
        return weight, extra
    gone = ~verdict.needs(layer.source)
    values = layer.constants.nan_to_num(0.0)
    place, merged = stand_in(flow, layer)
    merged &= gone
    if bool(merged.any()) and not gone[place]:
        shares = values[merged] / values[place]
        weight[:, place] += torch.tensordot(weight[:, merged], shares, dims=([1], [0]))
    folded = gone & can_fold(flow, layer)
    extra = weight.flatten(2).sum(2)[:, folded] @ values[folded]
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
    factor: float,
) -> dict[str, nn.Module]:
    """Return the smaller reader and, if it took up the reader's bias, the norm after it."""
    old, norm = module.weight, None
    if module.bias is not None:
        extra = extra + module.bias.detach().double()
    elif bool(extra.any()):
        norm = _norm_after(flow, layer)
    bias = None
    if module.bias is not None or (bool(extra.any()) and norm is None):
        bias = (factor * extra[outputs]).to(old.dtype)
    weight = (factor * weight).to(old.dtype)
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
    becomes a flatten, in one that splits heads, or in a padding.
    """
    frozen = [node for node in flow.reshapes if not _whole(flow, verdict, node)]
    for node in frozen:
        with graph.inserting_after(node):
            new = graph.call_function(torch.flatten, (node.all_input_nodes[0], 1))
        node.replace_all_uses_with(new)
        graph.erase_node(node)
    written = [node for node in flow.splits if not _whole(flow, verdict, node)]
    for node in written:
        position, place = flow.splits[node]
        sizes: Any = node.args[position]
        if place is not None:
            sizes = [-1 if k == place else size for k, size in enumerate(sizes)]
        node.update_arg(position, -1 if place is None else tuple(sizes))
    changed = bool(frozen or written)
    for node, (place, *added) in flow.pads.items():
        counts = [int(verdict.keeps(each).sum()) for each in added]
        if counts != [len(each.units) for each in added]:
            amounts: Any = list(node.args[1])  # type: ignore[arg-type]
            amounts[place : place + 2] = counts
            node.update_arg(1, tuple(amounts))
            changed = True
    return fx.GraphModule(module, graph, type(module).__name__).eval() if changed else None


def _whole(flow: Flow, verdict: Verdict, node: fx.Node) -> bool:
    known = flow.channels.get(node, flow.heads.get(node))
    return known is None or bool(verdict.keeps(known).all())
