"""Normalisations: what they do to channels, and layer norms over the channels that are kept.

A batch norm and an instance norm have statistics of each channel, and a channel leaves them without
a trace. The channels of one group of a group norm stay or go together. A layer norm has one mean
and one variance over *all* channels, so that a masked network is the network without the channels
only if these are taken over the channels that are kept. Which ones they are stands in the
parameters: **a channel is gone where its gain is exactly 0**, as the masks of
:meth:`bogp.coupling.ChannelUnits.with_carriers` make it. :func:`normalise_over_kept` puts a forward
hook on each ``nn.LayerNorm`` of a model that heeds it. So the classes, the parameters and the state
stay those of the model, nothing has to be told when the mask moves, and where no gain is 0 the
result is torch's own to rounding. The hook is a function without state: it is copied and pickled
with the model, and works on stacked parameters under ``torch.func``.

A state dict does not hold hooks. Whoever loads a masked one into a fresh model calls
:func:`normalise_over_kept` again, or keeps the compacted model, whose layer norms are plain.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from bogp.coupling.channels import UNKNOWN, Channels, Flow, Layer, module_of, opaque, source_of


def normalise_over_kept(model: nn.Module) -> None:
    """Make the layer norms of ``model`` take their statistics over channels of a gain other than 0.

    Layer norms without gains, or over several dimensions, stay as they are; a second call changes
    nothing.

    >>> norm = nn.LayerNorm(3)
    >>> normalise_over_kept(norm)
    >>> _ = norm.weight.data.copy_(torch.tensor([1.0, 1.0, 0.0]))
    >>> torch.allclose(norm(torch.tensor([[2.0, 4.0, 99.0]])), torch.tensor([[-1.0, 1.0, 0.0]]))
    True
    """
    for module in model.modules():
        if isinstance(module, nn.LayerNorm) and not is_over_kept(module) and _plain(module):
            module.register_forward_hook(over_kept)


def over_kept(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Return a layer norm's output by the statistics of channels whose gain is not 0: its hook."""
    norm: Any = module
    kept = (norm.weight != 0).to(output.dtype)
    count = kept.sum(-1, keepdim=True)
    mean = (inputs[0] * kept).sum(-1, keepdim=True) / count
    centred = (inputs[0] - mean) * kept
    variance = centred.square().sum(-1, keepdim=True) / count
    found: Tensor = centred * (variance + norm.eps).rsqrt() * norm.weight
    return found if norm.bias is None else found + norm.bias


def is_over_kept(module: nn.Module) -> bool:
    """Return whether a layer norm takes its statistics over the channels of a gain other than 0."""
    return over_kept in module._forward_hooks.values()


def drop_idle_hook(module: nn.Module) -> None:
    """Take the hook from a layer norm all of whose gains are other than 0: it changes nothing."""
    if is_over_kept(module) and bool((module.get_parameter("weight") != 0).all()):
        hooks = module._forward_hooks
        for key in [key for key, hook in hooks.items() if hook is over_kept]:
            del hooks[key]


def _plain(norm: nn.LayerNorm) -> bool:
    return len(norm.normalized_shape) == 1 and norm.weight is not None


def layer_norm(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels of the last axis, which all depend on one another's numbers."""
    source, module = flow.channels.get(source_of(node)), module_of(flow, node)
    if source is None or str(node.target) in flow.fixed or not _plain(module):
        return opaque(flow, node)
    if source.axis != flow.rank(source_of(node)) - 1:
        return opaque(flow, node)
    gain = module.weight.detach()
    shift = torch.zeros_like(gain) if module.bias is None else module.bias.detach()
    output = Channels(source.axis, source.units, torch.where(gain == 0, shift.double(), UNKNOWN))
    flow.layers.append(Layer(str(node.target), "norm", node, source, output))
    return output


def group_norm(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels of axis 1; those of one group stay or go together."""
    source, module = flow.channels.get(source_of(node)), module_of(flow, node)
    if source is None or source.axis != 1 or str(node.target) in flow.fixed:
        return opaque(flow, node)
    for others in source.units.view(module.num_groups, -1).T[1:]:
        flow.units.tie(source.units.view(module.num_groups, -1)[:, 0], others)
    output = Channels(1, source.units, torch.full_like(source.constants, UNKNOWN))
    flow.layers.append(Layer(str(node.target), "channelwise", node, source, output))
    return output


def batch_norm(flow: Flow, node: fx.Node) -> Channels | None:
    """Return the channels of axis 1, each scaled and shifted by its running statistics."""
    source, module = flow.channels.get(source_of(node)), module_of(flow, node)
    if source is None or source.axis != 1 or str(node.target) in flow.fixed:
        return opaque(flow, node)
    values = torch.full_like(source.constants, UNKNOWN)
    if module.running_mean is not None:
        scale = (module.running_var.double() + module.eps).rsqrt()
        values = (source.constants - module.running_mean.double()) * scale
        if module.weight is not None:
            gain = module.weight.detach().double()
            values = torch.where(gain == 0, 0.0, values * gain) + module.bias.detach().double()
    output = Channels(1, source.units, values)
    flow.layers.append(Layer(str(node.target), "channelwise", node, source, output))
    return output
