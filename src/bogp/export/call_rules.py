"""What calls without weights do to channels: arithmetic, pooling, questions of size."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from bogp.export.channels import UNKNOWN, Channels, Flow
from bogp.export.reading import argument, module_of, opaque, source_of

PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
"""Calls that give 0 where one input is 0."""

AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)

DROPOUTS = (
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
    functional.alpha_dropout,
)

POOLS: dict[Any, int] = {
    **dict.fromkeys(
        (
            functional.max_pool1d,
            functional.avg_pool1d,
            functional.adaptive_avg_pool1d,
            functional.adaptive_max_pool1d,
        ),
        1,
    ),
    **dict.fromkeys(
        (
            functional.max_pool2d,
            functional.avg_pool2d,
            functional.adaptive_avg_pool2d,
            functional.adaptive_max_pool2d,
        ),
        2,
    ),
    **dict.fromkeys(
        (
            functional.max_pool3d,
            functional.avg_pool3d,
            functional.adaptive_avg_pool3d,
            functional.adaptive_max_pool3d,
        ),
        3,
    ),
}
"""Functions that pool, by the number of dimensions."""


def elementwise(flow: Flow, node: fx.Node) -> Channels | None:
    """Work on each number by itself: one tensor or several of like channels, tied together."""
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
    """Say whether broadcasting puts the channels of all these tensors on one another."""
    places = {
        (flow.channels[node].axis - flow.rank(node), len(flow.channels[node].units))
        for node in nodes
    }
    return len(places) == 1


def _in_place(flow: Flow, node: fx.Node) -> bool:
    """Say whether the call overwrites what it reads."""
    if node.op == "call_module":
        return bool(getattr(module_of(flow, node), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    return bool(node.kwargs.get("inplace", False)) or node.target in (operator.iadd, operator.imul)


def _forget(flow: Flow, node: fx.Node) -> None:
    """Keep what an overwritten tensor holds: others read it, before the change or after."""
    for source in node.all_input_nodes:
        old = flow.channels[source]
        flow.units.pin(old.units)
        flow.channels[source] = Channels(
            old.axis, old.units, torch.full_like(old.constants, UNKNOWN)
        )


def _evaluate(flow: Flow, node: fx.Node, given: dict[fx.Node, Tensor]) -> Tensor:
    """Return the call's result on the constants themselves, one number a channel."""
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
    """Change no number; what is the network's input stays it."""
    if source_of(node) in flow.inputs:
        flow.inputs.add(node)
    return flow.channels.get(source_of(node))


def dropout(flow: Flow, node: fx.Node) -> Channels | None:
    """Change no number, unless a function's dropout is left on."""
    on = argument(node, 2, "training", True)
    return opaque(flow, node) if on else identity(flow, node)


def pooling(flow: Flow, node: fx.Node) -> Channels | None:
    """Work on the places of each channel; a constant stays what it is, unless zeros are added."""
    source = flow.channels.get(source_of(node))
    if node.op == "call_module":
        module = module_of(flow, node)
        dims = int(type(module).__name__[-2])
        adds_zeros = isinstance(module, AVERAGES) and _adds_zeros(module)
        indices = bool(getattr(module, "return_indices", False))
    else:
        dims = POOLS[node.target]
        extra = set(node.kwargs) - {"input", "kernel_size", "stride"}
        average = node.target in (
            functional.avg_pool1d,
            functional.avg_pool2d,
            functional.avg_pool3d,
        )
        adds_zeros = average and bool(extra or len(node.args) > 3)
        indices = bool(node.kwargs.get("return_indices", False))
    if source is None or indices or source.axis >= flow.rank(node) - dims:
        return opaque(flow, node)
    values = source.constants
    if adds_zeros:
        values = torch.where(values == 0, values, UNKNOWN)
    return Channels(source.axis, source.units, values)


def _adds_zeros(pool: Any) -> bool:
    """Say whether an average may be over zeros around the input, or divided by something else."""
    padding = pool.padding if isinstance(pool.padding, tuple) else (pool.padding,)
    return any(padding) or pool.ceil_mode or bool(getattr(pool, "divisor_override", None))


def sizes(flow: Flow, node: fx.Node) -> Channels | None:
    """Let a network ask for the sizes of a tensor, other than its number of channels."""
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
    """Say whether a getattr is of something that depends on the channels."""
    return node.target is getattr and node.args[1] not in ("shape", "dtype", "device", "ndim")


def nothing(flow: Flow, node: fx.Node) -> None:
    """Depend on no channel (the number of dimensions, say)."""
