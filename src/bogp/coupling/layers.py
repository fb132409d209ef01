"""The rules of layers with weights: what each does to channels."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from bogp.coupling.channels import UNKNOWN, Channels, Flow, Layer, module_of, opaque, source_of


@final
class GatheredLinear(nn.Module):
    """A linear layer that reads only the input features numbered ``features`` (k,).

    >>> layer = GatheredLinear(torch.tensor([2]), torch.tensor([[3.0]]), None)
    >>> layer(torch.tensor([[5.0, 6.0, 7.0]])).tolist()
    [[21.0]]
    """

    features: Tensor

    def __init__(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs[..., features] W' + b, (..., out)."""
        return functional.linear(inputs.index_select(-1, self.features), self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes, as torch's layers do."""
        out, used = self.weight.shape
        return f"used_features={used}, out_features={out}, bias={self.bias is not None}"


def linear(flow: Flow, node: fx.Node) -> Channels | None:
    """Return new channels along the last axis, each of which reads all that were there."""
    source = source_of(node)
    if str(node.target) in flow.fixed or source not in flow.shapes:
        return opaque(flow, node)
    return _reader(flow, node, flow.rank(source) - 1)


def convolution(flow: Flow, node: fx.Node) -> Channels | None:
    """Return new channels along axis 1; those of a depthwise convolution read one channel each."""
    module, source = module_of(flow, node), source_of(node)
    batched = flow.rank(source) == len(module.kernel_size) + 2
    if str(node.target) in flow.fixed or not batched:
        return opaque(flow, node)
    if module.groups == module.in_channels and module.groups > 1:
        return _depthwise(flow, node, module)
    return _reader(flow, node, 1)


def embedding(flow: Flow, node: fx.Node) -> Channels | None:
    """Return new channels along the last axis, which are looked up."""
    module = module_of(flow, node)
    if str(node.target) in flow.fixed or module.max_norm is not None:
        return opaque(flow, node)
    output = flow.fresh(flow.rank(node) - 1, _constant(module.weight, 1))
    flow.layers.append(Layer(str(node.target), "table", node, None, output))
    return output


def parameter(flow: Flow, node: fx.Node) -> Channels | None:
    """Return new channels of a parameter, along the only axis that has any, or along the last."""
    held = dict(flow.module.named_parameters()).get(str(node.target))
    if held is None or held.ndim == 0:
        return None
    for layer in flow.layers:
        if layer.kind == "parameter" and layer.name == str(node.target):
            return layer.output
    wide = [axis for axis, size in enumerate(held.shape) if size > 1]
    axis = wide[0] if len(wide) == 1 else held.ndim - 1
    output = flow.fresh(axis, _constant(held, axis))
    flow.layers.append(Layer(str(node.target), "parameter", node, None, output))
    return output


def _constant(weight: Tensor, axis: int) -> Tensor:
    """Return the constants along an axis of a parameter: what it holds nothing else of."""
    each = weight.detach().double().movedim(axis, 0).reshape(weight.shape[axis], -1)
    return torch.where((each == each[:, :1]).all(1), each[:, 0], UNKNOWN)


def zero_padded(module: Any) -> bool:
    """Return whether a layer puts zeros around its input."""
    if getattr(module, "padding_mode", None) != "zeros":
        return False
    if isinstance(module.padding, str):
        return module.padding == "same" and any(size > 1 for size in module.kernel_size)
    return any(module.padding)


def _reader(flow: Flow, node: fx.Node, axis: int) -> Channels:
    """Note a layer whose every output channel reads all input channels."""
    module, source = module_of(flow, node), flow.channels.get(source_of(node))
    if source is not None and (source.axis != axis or isinstance(module, GatheredLinear)):
        opaque(flow, node)
        source = None
    groups = getattr(module, "groups", 1)
    weight = whole_weight(module).flatten(2)  # (out, in, taps)
    reads = (weight != 0).any(2)
    known = torch.full((reads.shape[1],), UNKNOWN, dtype=torch.float64)
    if source is not None:
        folds = foldable(source.constants, zero_padded(module))
        known = torch.where(folds, source.constants, known)
    values = weight.sum(2) @ known.nan_to_num(0.0)
    if module.bias is not None:
        values = values + module.bias.detach().double()
    values[(reads & known.isnan()).any(1)] = UNKNOWN
    output = flow.fresh(axis, values)
    # A channel of one group goes with the same one of the others, so that groups stay equal.
    for units in (output.units,) if source is None else (output.units, source.units):
        for others in units.view(groups, -1)[1:]:
            flow.units.tie(units[: len(others)], others)
    gathers = source_of(node) in flow.inputs and module.weight.ndim == 2
    flow.layers.append(Layer(str(node.target), "reader", node, source, output, reads, gathers))
    return output


def whole_weight(module: Any) -> Tensor:
    """Return the weight of a linear layer or convolution without groups (out, in, ...), float64.

    Of a grouped convolution it is 0 between channels of different groups.
    """
    weight: Tensor = module.weight.detach().double()
    groups = getattr(module, "groups", 1)
    if weight.ndim == 2:
        return weight[:, :, None]
    if groups == 1:
        return weight.clone()
    out, each, *taps = weight.shape
    whole = weight.new_zeros(groups, out // groups, groups, each, *taps)
    for group, part in enumerate(weight.view(groups, out // groups, each, *taps)):
        whole[group, :, group] = part
    return whole.view(out, groups * each, *taps)


def foldable(constants: Tensor, padded: bool) -> Tensor:
    """Return which inputs of a layer can be a part of its bias (in,), bool.

    A constant can, unless zeros are put around it, because then the sum differs at the border.
    """
    return (constants == 0) if padded else ~constants.isnan()


def _depthwise(flow: Flow, node: fx.Node, module: Any) -> Channels | None:
    """Return the outputs of each input channel, which go when it goes."""
    source = flow.channels.get(source_of(node))
    if source is None or source.axis != 1:
        return opaque(flow, node)
    each = module.out_channels // module.in_channels
    weight = module.weight.detach().double().flatten(1)
    given = source.constants.repeat_interleave(each)
    values = weight.sum(1) * given
    values[~foldable(given, zero_padded(module))] = UNKNOWN
    values[(weight == 0).all(1)] = 0.0
    if module.bias is not None:
        values = values + module.bias.detach().double()
    output = Channels(1, source.units.repeat_interleave(each), values)
    flow.layers.append(Layer(str(node.target), "channelwise", node, source, output))
    return output


def prelu(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels, negative numbers scaled by one slope or by one for each channel."""
    source, module = flow.channels.get(source_of(node)), module_of(flow, node)
    one = module.num_parameters == 1
    if source is None or (not one and (source.axis != 1 or str(node.target) in flow.fixed)):
        return opaque(flow, node)
    slope = module.weight.detach().double()
    values = torch.where(source.constants < 0, slope * source.constants, source.constants)
    output = Channels(source.axis, source.units, values)
    if not one:
        flow.layers.append(Layer(str(node.target), "channelwise", node, source, output))
    return output
