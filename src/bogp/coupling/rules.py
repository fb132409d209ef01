"""The rules by which a graph is read: what each kind of call does to channels.

A rule takes what is known so far and a node, and returns the channels of the node's output, or None
where they are not understood. A call without a rule pins the channels that it reads: that is never
wrong, and only leaves the network larger than it could be. The rules of layers with weights are in
``layers.py`` and ``norms.py``, those of changes of shape in ``shapes.py``, and those of channels
that are split among heads in ``attention.py``.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from bogp.coupling.attention import HEADS
from bogp.coupling.channels import (
    UNKNOWN,
    Channels,
    Flow,
    Heads,
    Rule,
    argument,
    module_of,
    opaque,
    source_of,
)
from bogp.coupling.layers import (
    GatheredLinear,
    convolution,
    embedding,
    linear,
    parameter,
    prelu,
)
from bogp.coupling.norms import batch_norm, group_norm, layer_norm, over_kept
from bogp.coupling.shapes import (
    cat,
    expand,
    flatten,
    mean,
    pad,
    permute,
    reshape,
    slices,
    unflatten,
    zeros_like,
)

PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
"""Calls that give 0 where one input is 0."""


def read_graph(flow: Flow, graph: fx.Graph, gather: bool) -> None:
    """Fill ``flow`` from a graph; with ``gather`` the first layers may select features to read."""
    for node in graph.nodes:
        if node.op == "placeholder" and gather:
            flow.inputs.add(node)
        found = _rule(flow, node)(flow, node)
        if isinstance(found, Heads):
            flow.heads[node] = found
        elif found is not None:
            flow.channels[node] = found


def _rule(flow: Flow, node: fx.Node) -> Rule:
    """Return the rule of a node; it is `opaque` where there is none."""
    if any(source in flow.heads for source in node.all_input_nodes):
        return HEADS.get(node.target, opaque)
    if node.op == "get_attr":
        return parameter
    if node.op == "call_module":
        module = flow.module.get_submodule(str(node.target))
        hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
        hooked = any(hook is not over_kept for hook in hooks)
        if hooked or len(node.args) + len(node.kwargs) != 1:
            return opaque
        return MODULES.get(type(module), opaque)
    if node.op == "call_function":
        return FUNCTIONS.get(node.target, opaque)
    if node.op == "call_method":
        return METHODS.get(str(node.target), opaque)
    return opaque


def elementwise(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels of a call on each number by itself, and tie those of all it reads."""
    sources = node.all_input_nodes
    known = [flow.channels[each] for each in sources if each in flow.channels]
    if not known or len(known) < len(sources) or not _aligned(flow, sources):
        return opaque(flow, node)
    for other in known[1:]:
        flow.units.tie(known[0].units, other.units)
    if _in_place(flow, node) and any(len(each.users) > 1 for each in sources):
        _forget(flow, node)
    given = {each: flow.channels[each].constants for each in sources}
    values = _evaluate(flow, node, given)
    axis = known[0].axis - flow.rank(sources[0]) + flow.rank(node)
    return Channels(axis, known[0].units, values)


def _aligned(flow: Flow, nodes: Sequence[fx.Node]) -> bool:
    """Return whether broadcasting puts the channels of all these tensors on one another."""
    places = {
        (flow.channels[node].axis - flow.rank(node), len(flow.channels[node].units))
        for node in nodes
    }
    return len(places) == 1


def _in_place(flow: Flow, node: fx.Node) -> bool:
    """Return whether the call overwrites what it reads."""
    if node.op == "call_module":
        return bool(getattr(module_of(flow, node), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    return bool(node.kwargs.get("inplace", False)) or node.target in (operator.iadd, operator.imul)


def _forget(flow: Flow, node: fx.Node) -> None:
    """Pin the channels of a tensor that the call overwrites: others read it, before or after."""
    for source in node.all_input_nodes:
        old = flow.channels[source]
        flow.units.pin(old.units, "a call overwrites them that others read")
        flow.channels[source] = Channels(
            old.axis, old.units, torch.full_like(old.constants, UNKNOWN)
        )


def _evaluate(flow: Flow, node: fx.Node, given: dict[fx.Node, Tensor]) -> Tensor:
    """Return what the call makes of the constants, one number for each channel."""
    vectors = {each: values.nan_to_num(0.0) for each, values in given.items()}
    args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), vectors.__getitem__)
    with torch.no_grad():
        if node.op == "call_module":
            result = module_of(flow, node)(*args, **kwargs)
        elif node.op == "call_method":
            result = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        else:
            result = node.target(*args, **kwargs)  # type: ignore[operator]
    unknown = torch.stack([values.isnan() for values in given.values()]).any(0)
    if node.target in PRODUCTS:
        zero = torch.stack([values == 0 for values in given.values()]).any(0)
        unknown = unknown & ~zero
    return torch.where(unknown, UNKNOWN, result)


def identity(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels as they are; what holds the network's input still does."""
    if source_of(node) in flow.inputs:
        flow.inputs.add(node)
    return flow.channels.get(source_of(node))


def dropout(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels as they are, unless the function is told that it trains."""
    on = argument(node, 2, "training", True)
    return opaque(flow, node) if on else identity(flow, node)


def pooling(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the same channels; a constant stays as it is, unless zeros are put around it."""
    source = flow.channels.get(source_of(node))
    if node.op == "call_module":
        module = module_of(flow, node)
        dims = int(type(module).__name__[-2])
        adds_zeros = type(module).__name__.startswith("AvgPool") and _adds_zeros(module)
        indices = bool(getattr(module, "return_indices", False))
    else:
        kind, dims = _POOLS[node.target]
        extra = set(node.kwargs) - {"input", "kernel_size", "stride"}
        adds_zeros = kind == "avg" and bool(extra or len(node.args) > 3)
        indices = bool(node.kwargs.get("return_indices", False))
    if source is None or indices or source.axis >= flow.rank(node) - dims:
        return opaque(flow, node)
    values = source.constants
    if adds_zeros:
        values = torch.where(values == 0, values, UNKNOWN)
    return Channels(source.axis, source.units, values)


def _adds_zeros(pool: Any) -> bool:
    """Return whether an average may count zeros around the input, or divide by another number."""
    padding = pool.padding if isinstance(pool.padding, tuple) else (pool.padding,)
    return any(padding) or pool.ceil_mode or bool(getattr(pool, "divisor_override", None))


def sizes(flow: Flow, node: fx.Node) -> Channels | None:
    """Return None; pin the channels if the network asks for their number, not for other sizes."""
    source = flow.channels.get(source_of(node))
    if source is None or (node.target is getattr and node.args[1] != "shape"):
        return opaque(flow, node) if _names_data(node) else None
    rank = flow.rank(source_of(node))
    dims = [argument(node, 1, "dim")] if node.op == "call_method" else [None]
    if dims == [None]:
        picks = [user for user in node.users if user.users]
        if any(user.target is not operator.getitem for user in picks):
            return opaque(flow, node)
        dims = [user.args[1] for user in picks]
    if any(not isinstance(dim, int) or dim % rank == source.axis for dim in dims):
        return opaque(flow, node)
    return None


def _names_data(node: fx.Node) -> bool:
    """Return whether a getattr asks for something that depends on the channels."""
    return node.target is getattr and node.args[1] not in ("shape", "dtype", "device", "ndim")


def nothing(flow: Flow, node: fx.Node) -> None:
    """Return None and pin nothing: the result (a number of dimensions, say) tells no channel."""


def _named(place: object, names: str) -> list[Any]:
    """Return what ``place`` has under these names."""
    return [getattr(place, name) for name in names.split()]


_ACTIVATIONS = _named(
    nn,
    "ReLU ReLU6 LeakyReLU ELU SELU CELU GELU SiLU Mish Sigmoid Tanh Softplus Softsign LogSigmoid "
    "Hardtanh Hardsigmoid Hardswish Tanhshrink Softshrink Hardshrink Threshold",
)
_ELEMENTWISE = [
    *_named(
        functional,
        "relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign logsigmoid hardtanh "
        "hardsigmoid hardswish tanhshrink softshrink hardshrink threshold",
    ),
    *_named(torch, "relu sigmoid tanh abs clamp square neg add sub mul div maximum minimum"),
    *_named(operator, "neg add iadd sub mul imul truediv"),
]
_POOLS = {
    getattr(functional, f"{kind}_pool{dims}d"): (kind, dims)
    for kind in ("max", "avg", "adaptive_avg", "adaptive_max")
    for dims in (1, 2, 3)
}
"""Functions that pool → how, and over how many dimensions."""

MODULES: dict[type, Rule] = {
    nn.Linear: linear,
    GatheredLinear: linear,
    nn.Embedding: embedding,
    nn.PReLU: prelu,
    nn.Flatten: flatten,
    nn.GroupNorm: group_norm,
    nn.LayerNorm: layer_norm,
    **dict.fromkeys(_named(nn, "Conv1d Conv2d Conv3d"), convolution),
    **dict.fromkeys(_named(nn, "BatchNorm1d BatchNorm2d BatchNorm3d"), batch_norm),
    **dict.fromkeys(_named(nn, "InstanceNorm1d InstanceNorm2d InstanceNorm3d"), batch_norm),
    **dict.fromkeys(
        _named(nn, "Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout"), identity
    ),
    **dict.fromkeys(_ACTIVATIONS, elementwise),
    **dict.fromkeys(
        _named(
            nn,
            "MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d AdaptiveAvgPool1d "
            "AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d "
            "AdaptiveMaxPool3d",
        ),
        pooling,
    ),
}
"""Rules of modules, by their very type: a subclass may do anything."""

FUNCTIONS: dict[Any, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, elementwise),
    **dict.fromkeys(
        _named(functional, "dropout dropout1d dropout2d dropout3d alpha_dropout"), dropout
    ),
    **dict.fromkeys(_POOLS, pooling),
    **dict.fromkeys([torch.mean, torch.amax, torch.amin], mean),
    torch.flatten: flatten,
    torch.reshape: reshape,
    torch.cat: cat,
    torch.unflatten: unflatten,
    torch.zeros_like: zeros_like,
    torch.permute: permute,
    torch.transpose: permute,
    getattr: sizes,
    operator.getitem: slices,
    functional.pad: pad,
}

METHODS: dict[str, Rule] = {
    **dict.fromkeys(["relu", "relu_", "sigmoid", "tanh", "clamp", "abs", "neg"], elementwise),
    **dict.fromkeys(["add", "add_", "sub", "mul", "mul_", "div"], elementwise),
    **dict.fromkeys(("contiguous", "clone", "detach"), identity),
    **dict.fromkeys(["mean", "amax", "amin"], mean),
    "expand": expand,
    "flatten": flatten,
    "view": reshape,
    "reshape": reshape,
    "unflatten": unflatten,
    "permute": permute,
    "transpose": permute,
    "size": sizes,
    **dict.fromkeys(["dim", "new_empty", "new_full", "new_ones", "new_zeros"], nothing),
}
