"""Rules of calls that change a shape: means, reshapes, slices, padding, concatenation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from bogp.coupling.channels import (
    UNKNOWN,
    Channels,
    Flow,
    Found,
    Heads,
    argument,
    module_of,
    opaque,
    source_of,
)


def mean(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels as they are after a mean, or an extremum, over other dimensions."""
    source = flow.channels.get(source_of(node))
    dims = argument(node, 1, "dim")
    dims = (dims,) if isinstance(dims, int) else dims
    if source is None or not isinstance(dims, list | tuple):
        return opaque(flow, node)
    rank = flow.rank(source_of(node))
    gone = {dim % rank for dim in dims}
    if source.axis in gone:
        return opaque(flow, node)
    keeps = bool(argument(node, 2, "keepdim", False))
    axis = source.axis if keeps else source.axis - sum(dim < source.axis for dim in gone)
    return Channels(axis, source.units, source.constants)


def expand(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels as they are where other dimensions are repeated."""
    source = flow.channels.get(source_of(node))
    wanted = node.args[1] if len(node.args) == 2 else node.args[1:]
    if source is None or not isinstance(wanted, list | tuple):
        return opaque(flow, node)
    same = len(wanted) == flow.rank(source_of(node)) and wanted[source.axis] == -1
    return source if same else opaque(flow, node)


def flatten(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels, each with as many positions as it had places."""
    if node.op == "call_module":
        module = module_of(flow, node)
        start, end = module.start_dim, module.end_dim
    else:
        start, end = argument(node, 1, "start_dim", 0), argument(node, 2, "end_dim", -1)
    rank = flow.rank(source_of(node))
    return _flattened(flow, node, start % rank, end % rank)


def reshape(flow: Flow, node: fx.Node) -> Found:
    """Return the channels of a reshape that makes a vector of each example, or splits heads."""
    wanted = node.args[1] if len(node.args) == 2 else node.args[1:]
    source = source_of(node)
    parts: list[Any] = list(wanted) if isinstance(wanted, list | tuple) else []
    if source in flow.shapes and len(parts) == flow.rank(source) + 1:
        return split(flow, node, parts, None if len(node.args) == 2 else 1)
    if isinstance(wanted, list | tuple) and len(wanted) == 2 and source in flow.shapes:
        batch, features = wanted
        shape = flow.shapes[source]
        free = not isinstance(batch, int) or batch == -1
        if free and flow.shapes[node] == (shape[0], math.prod(shape[1:])):
            if features != -1:
                flow.reshapes.append(node)
            return _flattened(flow, node, 1, len(shape) - 1)
    return opaque(flow, node)


def _flattened(flow: Flow, node: fx.Node, start: int, end: int) -> Channels | None:
    source = source_of(node)
    if source in flow.inputs and start == 1 and flow.rank(node) == 2:
        flow.inputs.add(node)
        return None
    given = flow.channels.get(source)
    if given is None or start == 0 or given.axis < start:
        if given is not None and start > given.axis:
            return given
        return opaque(flow, node)
    if given.axis > end:
        return Channels(given.axis - (end - start), given.units, given.constants)
    shape = [1] * (end - start + 1)
    shape[given.axis - start] = -1
    full = flow.shapes[source][start : end + 1]
    units, values = (
        each.reshape(shape).expand(full).flatten() for each in (given.units, given.constants)
    )
    return Channels(start, units, values)


def split(flow: Flow, node: fx.Node, sizes: list[Any], first: int | None) -> Found:
    """Return the channels of a reshape that splits them among heads.

    Args:
        flow: what is known.
        node: the call.
        sizes: the sizes that are written into it, of which the last two of those that are new are
            the numbers of heads and of channels in each.
        first: the position of these sizes among the call's arguments; None where they are one list,
            the call's last argument.
    """
    source = flow.channels.get(source_of(node))
    if source is None:
        return opaque(flow, node)
    before, after = flow.shapes[source_of(node)], flow.shapes[node]
    heads, each = after[source.axis : source.axis + 2]
    place = len(sizes) - (len(after) - source.axis) + 1  # of the channels in each head
    whole = (*before[: source.axis], heads, each, *before[source.axis + 1 :])
    if after != whole or place < 1 or sizes[place - 1] != heads:
        return opaque(flow, node)
    if sizes[place] != -1:
        if not isinstance(sizes[place], int) or -1 in sizes:
            return opaque(flow, node)
        flow.splits[node] = (len(node.args) - 1, place) if first is None else (first + place, None)
    units = source.units.view(heads, each)
    flow.even.append(units)
    axes = (source.axis, source.axis + 1)
    return Heads(axes, units, source.constants.view(heads, each), source_of(node))


def unflatten(flow: Flow, node: fx.Node) -> Found:
    """Return the channels split among heads."""
    dim, sizes = argument(node, 1, "dim"), argument(node, 2, "sizes")
    source = flow.channels.get(source_of(node))
    plain = isinstance(dim, int) and isinstance(sizes, list | tuple) and len(sizes) == 2
    if source is None or not plain or node.kwargs:
        return opaque(flow, node)
    if dim % flow.rank(source_of(node)) != source.axis:
        return opaque(flow, node)
    rest = flow.rank(node) - source.axis - 2
    return split(flow, node, [*sizes, *[None] * rest], None)


def merge(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels of all heads side by side again."""
    source = flow.heads[source_of(node)]
    heads, each = source.axes
    before, after = flow.shapes[source_of(node)], flow.shapes[node]
    whole = (*before[:heads], source.units.numel(), *before[each + 1 :])
    if each != heads + 1 or after != whole:
        return opaque(flow, node)
    if node.target not in ("flatten", torch.flatten):
        listed = len(node.args) == 2 and isinstance(node.args[1], list | tuple)
        sizes: Any = node.args[1] if listed else node.args[1:]
        place = heads - len(after) + len(sizes)
        if sizes[place] != -1:
            if not isinstance(sizes[place], int) or -1 in sizes:
                return opaque(flow, node)
            flow.splits[node] = (1, place) if listed else (1 + place, None)
    return Channels(heads, source.units.flatten(), source.constants.flatten())


def permute(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels along the dimension to which theirs moves."""
    source, order = flow.channels.get(source_of(node)), moved(flow, node)
    if source is None or order is None:
        return opaque(flow, node)
    return Channels(order.index(source.axis), source.units, source.constants)


def moved(flow: Flow, node: fx.Node) -> list[int] | None:
    """Return the dimension that each dimension of a permuted or transposed tensor was before."""
    dims = node.args[1] if len(node.args) == 2 else node.args[1:]
    if not isinstance(dims, list | tuple) or node.kwargs:
        return None
    rank = flow.rank(node)
    places = [dim % rank for dim in dims if isinstance(dim, int)]
    if len(places) < len(dims):
        return None
    if node.target not in ("transpose", torch.transpose):
        return places
    order, (a, b) = list(range(rank)), places
    order[a], order[b] = b, a
    return order


def cat(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels of all tensors, one after the other."""
    tensors, dim = node.args[0], argument(node, 1, "dim", 0)
    sources = list(tensors) if isinstance(tensors, list | tuple) else []
    known = [flow.channels[each] for each in sources if each in flow.channels]
    axis = dim % flow.rank(node) if isinstance(dim, int) else -1
    if known and len(known) == len(sources) and all(each.axis != axis for each in known):
        return _stacked(flow, node, known)
    if not known or any(each.axis != axis for each in known):
        return opaque(flow, node)
    parts = []
    for each in sources:
        if each not in flow.channels:
            constants = torch.full((flow.shapes[each][axis],), UNKNOWN, dtype=torch.float64)
            fresh = flow.fresh(axis, constants)
            flow.units.pin(fresh.units, "they are not understood")
            parts.append(fresh)
        else:
            parts.append(flow.channels[each])
    units = torch.cat([part.units for part in parts])
    return Channels(axis, units, torch.cat([part.constants for part in parts]))


def _stacked(flow: Flow, node: fx.Node, known: Sequence[Channels]) -> Channels | None:
    """Return the channels of tensors that are put beside one another along another dimension."""
    first = known[0]
    if len({(each.axis, len(each.units)) for each in known}) > 1:
        return opaque(flow, node)
    constants = first.constants
    for other in known[1:]:
        flow.units.tie(first.units, other.units)
        constants = torch.where(constants == other.constants, constants, UNKNOWN)
    return Channels(first.axis, first.units, constants)


def zeros_like(flow: Flow, node: fx.Node) -> Channels | None:
    """Return channels of zeros that go with those of the tensor whose shape they take."""
    source = flow.channels.get(source_of(node))
    if source is None:
        return opaque(flow, node)
    return Channels(source.axis, source.units, torch.zeros_like(source.constants))


def slices(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels as they are after a slice of their places, or at one of them."""
    source, index = flow.channels.get(source_of(node)), node.args[1]
    parts = list(index) if isinstance(index, list | tuple) else [index]
    if source is None or not all(isinstance(part, int | slice) for part in parts):
        return opaque(flow, node)
    if len(parts) > source.axis and parts[source.axis] != slice(None):
        return opaque(flow, node)
    gone = sum(isinstance(part, int) for part in parts[: source.axis])
    return Channels(source.axis - gone, source.units, source.constants)


def pad(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels with a number around their places, or channels of it beside them."""
    source, amounts = flow.channels.get(source_of(node)), argument(node, 1, "pad")
    value = argument(node, 3, "value", None) or 0.0
    plain = argument(node, 2, "mode", "constant") == "constant" and len(node.args) > 1
    if source is None or not plain or not all(isinstance(each, int) for each in amounts):
        return opaque(flow, node)
    place = 2 * (flow.rank(node) - 1 - source.axis)
    before, after = amounts[place : place + 2] if place < len(amounts) else (0, 0)
    if before < 0 or after < 0:
        return opaque(flow, node)
    constants = source.constants
    if any(amounts[:place]) or any(amounts[place + 2 :]):
        constants = torch.where(constants == value, constants, UNKNOWN)
    new = [
        flow.fresh(source.axis, torch.full((count,), float(value), dtype=torch.float64))
        for count in (before, after)
    ]
    flow.pads[node] = (place, new[0], new[1])
    parts = (new[0], Channels(source.axis, source.units, constants), new[1])
    units = torch.cat([part.units for part in parts])
    return Channels(source.axis, units, torch.cat([part.constants for part in parts]))
