"""Rules of attention: channels that are split among heads, and what becomes of them.

Queries and keys meet in a product, so that a channel of the one goes with the same channel of the
other; values go through to the output. Within a head any channel can go, but all heads must keep as
many, because a tensor holds them side by side.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from bogp.coupling.channels import (
    UNKNOWN,
    Flow,
    Found,
    Heads,
    Match,
    Rule,
    argument,
    opaque,
    source_of,
)
from bogp.coupling.shapes import merge, moved


def move(flow: Flow, node: fx.Node) -> Found:
    """Return the channels along the dimensions to which theirs move."""
    source, order = flow.heads[source_of(node)], moved(flow, node)
    if order is None:
        return opaque(flow, node)
    axes = order.index(source.axes[0]), order.index(source.axes[1])
    return Heads(axes, source.units, source.constants, source.maker)


def same(flow: Flow, node: fx.Node) -> Heads:
    """Return the channels as they are."""
    return flow.heads[source_of(node)]


def scale(flow: Flow, node: fx.Node) -> Found:
    """Return the channels times a number."""
    source, factor = flow.heads[source_of(node)], node.args[1]
    if not isinstance(factor, int | float):
        return opaque(flow, node)
    return Heads(source.axes, source.units, _zeros(source.constants), source.maker)


def sizes(flow: Flow, node: fx.Node) -> None:
    """Return None; pin the channels where the call asks for their number, or for all sizes."""
    dim, source = argument(node, 1, "dim"), source_of(node)
    if not isinstance(dim, int) or dim % flow.rank(source) in flow.heads[source].axes:
        opaque(flow, node)


def attention(flow: Flow, node: fx.Node) -> Found:
    """Return the values' channels of torch's scaled dot product attention; tie queries and keys."""
    names = ("query", "key", "value")
    given = [flow.heads.get(argument(node, k, name)) for k, name in enumerate(names)]
    queries, keys, values = given
    if queries is None or keys is None or values is None:
        return opaque(flow, node)
    last = flow.rank(node) - 1
    plain = all(each.axes == (queries.axes[0], last) for each in (queries, keys, values))
    shared = argument(node, 7, "enable_gqa", False)
    scaled = argument(node, 6, "scale") is None
    linear = any(queries.maker == layer.node for layer in flow.layers if layer.kind == "reader")
    if not plain or shared or argument(node, 4, "dropout_p", 0.0) or (scaled and not linear):
        return opaque(flow, node)
    if queries.units.shape != keys.units.shape or len(values.units) != len(keys.units):
        return opaque(flow, node)
    flow.units.tie(queries.units.flatten(), keys.units.flatten())
    # The weights of a query sum to 1: what is constant in the values is so in the output.
    output = Heads(values.axes, values.units, values.constants, node)
    flow.matches.append(Match(queries, keys, output, softmax=True, scaled=scaled))
    return output


def product(flow: Flow, node: fx.Node) -> Found:
    """Return the channels of a product of matrices: queries by keys, or weights by values."""
    left, right = node.args
    queries, keys = (
        flow.heads.get(each) if isinstance(each, fx.Node) else None for each in (left, right)
    )
    rank = flow.rank(node)
    if keys is None:
        return opaque(flow, node)
    if queries is None:
        if left in flow.channels or keys.axes[1] != rank - 1 or keys.axes[0] >= rank - 2:
            return opaque(flow, node)
        return Heads(keys.axes, keys.units, _zeros(keys.constants), node)
    heads = queries.axes[0]
    joined = queries.axes == (heads, rank - 1) and keys.axes == (heads, rank - 2)
    if not joined or queries.units.shape != keys.units.shape:
        return opaque(flow, node)
    flow.units.tie(queries.units.flatten(), keys.units.flatten())
    flow.matches.append(Match(queries, keys, None, softmax=_normalised(node), scaled=False))
    return None


def _normalised(node: fx.Node) -> bool:
    """Return whether products are only scaled and masked before a softmax over the keys."""
    if not node.users:
        return False
    for user in node.users:
        name = getattr(user.target, "__name__", str(user.target))
        softmax = name == "softmax" and argument(user, 1, "dim") == -1
        number = len(user.args) > 1 and isinstance(user.args[1], int | float)
        passes = (name in ("mul", "truediv", "div") and number) or name in ("add", "masked_fill")
        if not softmax and not (passes and user.args[0] is node and _normalised(user)):
            return False
    return True


def _zeros(constants: Tensor) -> Tensor:
    """Return the constants of which only 0 is known to stay what it is."""
    return constants.masked_fill(constants != 0, UNKNOWN)


HEADS: dict[Any, Rule] = {
    **dict.fromkeys(["permute", "transpose", torch.permute, torch.transpose], move),
    **dict.fromkeys(["contiguous", "clone", "detach"], same),
    **dict.fromkeys([operator.mul, operator.truediv, torch.mul, torch.div, "mul", "div"], scale),
    **dict.fromkeys(["flatten", "view", "reshape", torch.flatten, torch.reshape], merge),
    **dict.fromkeys([torch.matmul, operator.matmul, "matmul"], product),
    functional.scaled_dot_product_attention: attention,
    "size": sizes,
}
"""Rules of functions and methods that read channels split among heads."""
