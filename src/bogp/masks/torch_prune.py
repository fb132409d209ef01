"""Masks from and to ``torch.nn.utils.prune``: its buffers ``*_mask`` and parameters ``*_orig``."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from bogp.errors import MaskError
from bogp.masks.mask import Mask, check_fits
from bogp.masks.tensors import aliases, as_mask


def mask_from_torch_prune(model: nn.Module) -> Mask:
    """Return the mask of a model that ``torch.nn.utils.prune`` has pruned.

    Layers are named as the parameters were before, and are again after ``prune.remove``. The mask
    has what torch has pruned, but no parameter of one dimension, since bogp prunes no biases. A
    weight that several modules share is there once, under its first name.

    Raises:
        MaskError: no weight is pruned so, a mask holds other numbers than 0 and 1, or modules that
            share a weight have different masks.

    >>> layer = prune.l1_unstructured(nn.Linear(4, 2), "weight", amount=3)
    >>> mask_from_torch_prune(layer)
    Mask(1 layers, 5 of 8 weights kept)
    """
    layers = masks_in_state(model.state_dict())
    if not layers:
        raise MaskError(
            "torch.nn.utils.prune has pruned no weight of the model: prune one with it first"
        )
    return Mask(layers)


def with_torch_prune(model: nn.Module, mask: Mask) -> nn.Module:
    """Return a copy of ``model`` that ``torch.nn.utils.prune`` holds at ``mask``.

    The copy has torch's parameters ``*_orig`` (the model's weights), buffers ``*_mask`` and hooks,
    so that ``prune.remove(module, "weight")`` makes the zeros permanent. A weight that several
    modules share is pruned in all of them. torch runs no hook of the ``out_proj`` of
    ``nn.MultiheadAttention``: such a copy predicts, but cannot be trained before ``remove``.

    Raises:
        MaskError: the mask does not fit the model, or torch has pruned the model already.

    >>> model = nn.Linear(2, 1)
    >>> pruned = with_torch_prune(model, Mask({"weight": torch.tensor([[True, False]])}))
    >>> pruned.weight_mask.tolist(), prune.is_pruned(pruned), prune.is_pruned(model)
    ([[1.0, 0.0]], True, False)
    """
    for name in masks_in_state(model.state_dict()):
        path, _, attribute = name.rpartition(".")
        raise MaskError(
            f"{path or 'model'!r} is pruned by torch.nn.utils.prune already: call "
            f"torch.nn.utils.prune.remove(module, {attribute!r}) first"
        )
    check_fits(model, mask)
    pruned = copy.deepcopy(model)
    masks = {
        id(parameter): mask[name] for name, parameter in pruned.named_parameters() if name in mask
    }
    for module in pruned.modules():
        for attribute, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in masks:
                layer = masks[id(parameter)].to(parameter.device)
                prune.custom_from_mask(module, attribute, layer)  # type: ignore[no-untyped-call]
    return pruned


def without_torch_prune(model: nn.Module) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a copy of ``model`` as ``prune.remove`` leaves it, and the masks that held it.

    The masks are bool, by the name of the parameter, and empty where torch has pruned nothing.

    >>> plain, masks = without_torch_prune(prune.l1_unstructured(nn.Linear(4, 2), "weight", 3))
    >>> int((plain.weight == 0).sum()), int(masks["weight"].sum())
    (3, 5)
    """
    # deepcopy refuses a tensor that a graph computed, as torch's pruning leaves behind.
    computed = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    plain = copy.deepcopy(model, computed)
    masks = {}
    for path, module in plain.named_modules():
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                name = hook._tensor_name
                masks[f"{path}.{name}" if path else name] = module.get_buffer(f"{name}_mask") != 0
                prune.remove(module, name)  # type: ignore[no-untyped-call]
    return plain, masks


def masks_in_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the masks in the state dict of a model that torch has pruned, by weight.

    Raises:
        MaskError: a mask holds other numbers than 0 and 1, or one weight has two masks.
    """
    names = [key.removesuffix("_orig") for key in state if key.endswith("_orig")]
    weights = {
        name: state[f"{name}_orig"]
        for name in names
        if f"{name}_mask" in state and state[f"{name}_orig"].dim() > 1
    }
    masks: dict[str, Tensor] = {}
    for name, first in aliases(weights).items():
        layer = as_mask(name, state[f"{name}_mask"])
        if not torch.equal(masks.setdefault(first, layer), layer):
            raise MaskError(
                f"{first!r} and {name!r} are one weight with two masks: prune both alike"
            )
    return masks
