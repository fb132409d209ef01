"""Rules of calls that change a shape: means, reshapes, slices, padding, concatenation."""

from __future__ import annotations

import math

import torch
from torch import fx

from bogp.coupling.channels import UNKNOWN, Channels, Flow, argument, module_of, opaque, source_of


def mean(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels as they are after a mean over other dimensions."""
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


def flatten(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels, each with as many positions as it had places."""
    if node.op == "call_module":
        module = module_of(flow, node)
        start, end = module.start_dim, module.end_dim
    else:
        start, end = argument(node, 1, "start_dim", 0), argument(node, 2, "end_dim", -1)
    rank = flow.rank(source_of(node))
    return _flattened(flow, node, start % rank, end % rank)


def reshape(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels of a reshape that makes a vector of each example."""
    wanted = node.args[1] if len(node.args) == 2 else node.args[1:]
    source = source_of(node)
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


def permute(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels along the dimension to which theirs moves."""
    source = flow.channels.get(source_of(node))
    dims = node.args[1] if len(node.args) == 2 else node.args[1:]
    if source is None or not isinstance(dims, list | tuple):
        return opaque(flow, node)
    places = [dim for dim in dims if isinstance(dim, int)]
    if node.kwargs or len(places) < len(dims):
        return opaque(flow, node)
    rank = flow.rank(node)
    if node.target in ("transpose", torch.transpose):
        order = list(range(rank))
        a, b = (place % rank for place in places)
        order[a], order[b] = order[b], order[a]
    else:
        order = [place % rank for place in places]
    return Channels(order.index(source.axis), source.units, source.constants)


def cat(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels of all tensors, one after the other."""
    tensors, dim = node.args[0], argument(node, 1, "dim", 0)
    sources = list(tensors) if isinstance(tensors, list | tuple) else []
    known = [flow.channels[each] for each in sources if each in flow.channels]
    axis = dim % flow.rank(node) if isinstance(dim, int) else -1
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


def slices(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels as they are after a slice of their places."""
    source, index = flow.channels.get(source_of(node)), node.args[1]
    parts = index if isinstance(index, tuple) else (index,)
    if source is None or not all(isinstance(part, slice) for part in parts):
        return opaque(flow, node)
    if len(parts) > source.axis and parts[source.axis] != slice(None):
        return opaque(flow, node)
    return source


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
