"""Multilayer perceptrons: how to recognise one, and the logits of many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def perceptron_layers(model: nn.Module, inputs: Tensor) -> tuple[tuple[str, str], ...] | None:
    """Return the layers of a multilayer perceptron, or None for any other module.

    Each layer is ``("linear", name)``, ``("relu", "")`` or ``("flatten", "")``, and is listed each
    time that it is called on ``inputs`` (N, *shape). A module is no perceptron if it does more than
    call its layers in turn: if it has a forward pass of its own, hooks, or a parameter that two
    layers share.
    """
    if type(model).forward is not nn.Sequential.forward or _has_hooks(model):
        return None
    parameters = [p for _, p in model.named_parameters(remove_duplicate=False)]
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        return None
    layers = []
    # named_children() would give a layer that is called twice only once.
    for name, layer in model._modules.items():
        if type(layer) is nn.Linear and layer.bias is not None:
            layers.append(("linear", name))
        elif type(layer) is nn.ReLU:
            layers.append(("relu", ""))
        elif type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
            layers.append(("flatten", ""))
        else:
            return None
    kinds = [kind for kind, _ in layers]
    first = kinds.index("linear") if "linear" in kinds else -1
    flat = inputs.dim() == 2 or "flatten" in kinds
    return tuple(layers) if first >= 0 and flat and "flatten" not in kinds[first:] else None


def linear_layers(model: nn.Module, inputs: Tensor) -> tuple[str, ...] | None:
    """Return the names of the linear layers of a perceptron, or None for any other module.

    Here a perceptron has one ReLU between each two linear layers, and none after the last.
    """
    layers = [layer for layer in perceptron_layers(model, inputs) or () if layer[0] != "flatten"]
    kinds = [kind for kind, _ in layers]
    if len(kinds) % 2 == 0 or kinds != (["linear", "relu"] * len(kinds))[: len(kinds)]:
        return None
    return tuple(name for _, name in layers[::2])


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _has_hooks(model: nn.Module) -> bool:
    """Return whether calling some module of ``model`` does more than its class's ``forward``."""
    return any(
        "forward" in vars(module) or any(getattr(module, hooks) for hooks in _HOOKS)
        for module in model.modules()
    )


def perceptron_logits(
    layers: Sequence[tuple[str, str]], parameters: Mapping[str, Tensor], inputs: Tensor
) -> Tensor:
    """Return the logits (K, B, classes) of K perceptrons for ``inputs`` (B, *shape).

    The first linear layer is one product for all, since they share its input. The ``parameters`` of
    the K perceptrons are stacked, (K, *shape) each; :func:`perceptron_layers` gives the ``layers``.
    """
    shared: Tensor | None = inputs
    hidden = inputs  # (K, B, channels) from the first linear layer on
    for kind, name in layers:
        if kind == "flatten":
            shared = hidden = hidden.flatten(1)
        elif kind == "relu":
            hidden = hidden.relu()
            shared = None if shared is None else hidden
        else:
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            if shared is not None:
                together = nn.functional.linear(shared, weight.flatten(0, 1), bias.flatten())
                hidden = together.view(len(together), *weight.shape[:2]).transpose(0, 1)
                shared = None
            else:
                hidden = torch.baddbmm(bias[:, None], hidden, weight.transpose(1, 2))
    return hidden
