"""What each kind of call does to channels: the rules by which a graph is read.

A rule takes what is known so far and a node, and returns the channels of its output, or None where
they are not understood. Whoever reads channels without understanding them pins them, which is never
wrong, only less small.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from bogp.export.call_rules import (
    AVERAGES,
    DROPOUTS,
    POOLS,
    dropout,
    elementwise,
    identity,
    nothing,
    pooling,
    sizes,
)
from bogp.export.channels import Channels, Flow
from bogp.export.layer_rules import batch_norm, convolution, linear, prelu
from bogp.export.layers import GatheredLinear
from bogp.export.reading import opaque
from bogp.export.shape_rules import cat, flatten, mean, pad, permute, reshape, slices

Rule = Callable[[Flow, fx.Node], Channels | None]


def read_graph(flow: Flow, graph: fx.Graph, gather: bool) -> None:
    """Fill ``flow`` from a graph; with ``gather`` its inputs may be selected from."""
    for node in graph.nodes:
        if node.op == "placeholder" and gather:
            flow.inputs.add(node)
        found = _rule(flow, node)(flow, node)
        if found is not None:
            flow.channels[node] = found


def _rule(flow: Flow, node: fx.Node) -> Rule:
    """Return the rule of a node, `opaque` where there is none."""
    if node.op == "call_module":
        module = flow.module.get_submodule(str(node.target))
        hooked = module._forward_hooks or module._forward_pre_hooks
        if hooked or len(node.args) + len(node.kwargs) != 1:
            return opaque
        return MODULES.get(type(module), opaque)
    if node.op == "call_function":
        return FUNCTIONS.get(node.target, opaque)
    if node.op == "call_method":
        return METHODS.get(str(node.target), opaque)
    return opaque


_ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Hardtanh, nn.Hardsigmoid),
    *(nn.Hardswish, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.Threshold),
)
_ACTIVATION_FUNCTIONS = (
    *(
        functional.relu,
        functional.relu6,
        functional.leaky_relu,
        functional.elu,
        functional.selu,
        functional.celu,
        functional.gelu,
        functional.silu,
        functional.mish,
        functional.softplus,
    ),
    *(
        functional.softsign,
        functional.logsigmoid,
        functional.hardtanh,
        functional.hardsigmoid,
        functional.hardswish,
        functional.tanhshrink,
    ),
    *(
        functional.softshrink,
        functional.hardshrink,
        functional.threshold,
        torch.relu,
        torch.sigmoid,
        torch.tanh,
        torch.abs,
    ),
    *(torch.clamp, torch.square, torch.neg, operator.neg),
)
_ARITHMETIC = (
    *(operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv),
    *(torch.add, torch.sub, torch.mul, torch.div, torch.maximum, torch.minimum),
)

MODULES: dict[type, Rule] = {
    nn.Linear: linear,
    GatheredLinear: linear,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), convolution),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), batch_norm),
    nn.PReLU: prelu,
    nn.Flatten: flatten,
    **dict.fromkeys(
        (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
        identity,
    ),
    **dict.fromkeys(_ACTIVATIONS, elementwise),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, *AVERAGES), pooling),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), pooling),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), pooling),
}
"""Rules of modules, by their very type: a subclass may do anything."""

FUNCTIONS: dict[Any, Rule] = {
    **dict.fromkeys((*_ACTIVATION_FUNCTIONS, *_ARITHMETIC), elementwise),
    **dict.fromkeys(DROPOUTS, dropout),
    **dict.fromkeys(POOLS, pooling),
    torch.mean: mean,
    torch.flatten: flatten,
    torch.reshape: reshape,
    torch.cat: cat,
    torch.permute: permute,
    torch.transpose: permute,
    getattr: sizes,
    operator.getitem: slices,
    functional.pad: pad,
}

METHODS: dict[str, Rule] = {
    **dict.fromkeys(("relu", "relu_", "sigmoid", "tanh", "clamp", "abs", "neg"), elementwise),
    **dict.fromkeys(("add", "add_", "sub", "mul", "mul_", "div"), elementwise),
    **dict.fromkeys(("contiguous", "clone", "detach"), identity),
    "mean": mean,
    "flatten": flatten,
    "view": reshape,
    "reshape": reshape,
    "permute": permute,
    "transpose": permute,
    "size": sizes,
    "dim": nothing,
}
