"""A pruned model in one safetensors file: its weights, its mask, and what they are."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata as packages
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from bogp.errors import MaskError, SettingError
from bogp.files import write_atomic
from bogp.masks.mask import Mask, check_fits
from bogp.masks.tensors import Tensors, aliases, read_safetensors, read_state, stored_once

FORMAT = "bogp.model"
SUFFIX = ".bogp_mask"
"""What follows a parameter's name in the name of its mask."""


@dataclass(frozen=True, eq=False)
class SavedModel:
    """What a file of :func:`save_model` holds.

    Attributes:
        state: the model's state dict; entries that were one tensor are one tensor again.
        mask: which weights were kept.
        metadata: the file's own notes and those that were given to :func:`save_model`.
    """

    state: Tensors
    mask: Mask
    metadata: dict[str, str]


def save_model(
    model: nn.Module,
    mask: Mask,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write the state dict of ``model``, pruned weights exactly 0, and ``mask`` to one file.

    Each mask is a uint8 tensor ``<parameter>.bogp_mask``. A tensor that the state dict has under
    several names is written once. The metadata is ``metadata`` and: format, bogp (the version), key
    (the mask's fingerprint), kept, total, layers (JSON: the shape and density of each) and tied
    (JSON: name → name under which the tensor is). The model itself is not changed.

    Raises:
        MaskError: the mask does not fit the model, or an entry of its state is no tensor of values.
        SettingError: ``metadata`` has one of these names, or a value that is no text.
        OutputError: the file cannot be written.
    """
    check_fits(model, mask)
    state, tied = stored_once(model.state_dict())
    for name, layer in mask.items():
        first = tied.get(name, name)
        if name != first and first in mask and not torch.equal(layer, mask[first]):
            raise MaskError(f"{first!r} and {name!r} share their memory: give both one mask")
        state[first] = state[first].masked_fill(~layer.cpu(), 0)
    masks = {name + SUFFIX: uint8(layer) for name, layer in mask.items()}
    own = {"format": FORMAT, **describe(mask), "tied": json.dumps(tied)}
    data: bytes = safetensors.torch.save({**state, **masks}, with_notes(own, metadata))
    return write_atomic(path, data)


def read_model(path: str | os.PathLike[str]) -> SavedModel:
    """Read what :func:`save_model` wrote.

    Raises:
        MaskError: the file is missing, damaged, or no such file.
    """
    tensors, notes = read_safetensors(path)
    return model_in(tensors, notes, path)


def load_model(model: nn.Module, path: str | os.PathLike[str]) -> tuple[nn.Module, Mask]:
    """Return a copy of ``model`` with the weights of a file of :func:`save_model`, and its mask.

    Raises:
        MaskError: the file is missing, damaged, no such file, or another model's.
    """
    saved = read_model(path)
    wanted = model.state_dict()
    _check_same(saved.state, wanted, path)
    for name, first in aliases(wanted).items():
        if name != first and not torch.equal(saved.state[name], saved.state[first]):
            raise MaskError(
                f"{str(path)!r} has different weights for {first!r} and {name!r}, which the model "
                "has tied: untie them, or use the file of a model that ties them"
            )
    check_fits(model, saved.mask)
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(saved.state)
    return loaded, saved.mask


def load_state(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Return a copy of ``model`` with the weights of a file, whoever wrote it.

    A safetensors file, one of :func:`save_model` among them, or a state dict of ``torch.save``.

    Raises:
        MaskError: the file is missing, of neither kind, or another model's.
    """
    tensors, notes = read_state(path)
    state = model_in(tensors, notes, path).state if notes.get("format") == FORMAT else tensors
    wanted = model.state_dict()
    # Whoever writes safetensors leaves out the second name of a tied tensor.
    state = dict(state)
    for name, first in aliases(wanted).items():
        if name not in state and first in state:
            state[name] = state[first]
    _check_same(state, wanted, path)
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(state)
    return loaded


def model_in(tensors: Tensors, notes: dict[str, str], path: str | os.PathLike[str]) -> SavedModel:
    """Return the model and the mask among the tensors of a file."""
    if notes.get("format") != FORMAT:
        raise MaskError(f"{str(path)!r} holds no bogp model: save one with save_model")
    masks = {n.removesuffix(SUFFIX): t for n, t in tensors.items() if n.endswith(SUFFIX)}
    state = {name: tensor for name, tensor in tensors.items() if not name.endswith(SUFFIX)}
    try:
        state |= {name: state[first] for name, first in json.loads(notes["tied"]).items()}
    except (KeyError, ValueError, AttributeError) as error:
        raise _damaged(path) from error
    return SavedModel(state, mask_in(masks, notes, path), notes)


def mask_in(masks: Tensors, notes: Mapping[str, str], path: str | os.PathLike[str]) -> Mask:
    """Return the masks in the order in which they were saved, which safetensors does not keep."""
    try:
        # Files of bogp 0.1 before this note have their masks in the order of safetensors.
        order = list(json.loads(notes["layers"])) if "layers" in notes else list(masks)
        mask = Mask({name: masks[name] != 0 for name in order})
    except (KeyError, ValueError) as error:
        raise _damaged(path) from error
    if len(order) != len(masks) or notes.get("key", mask.fingerprint) != mask.fingerprint:
        raise _damaged(path)
    return mask


def describe(mask: Mask) -> dict[str, str]:
    """Return the notes on ``mask`` that a file of it has."""
    layers = {
        name: {"shape": list(layer.shape), "density": int(layer.sum()) / layer.numel()}
        for name, layer in mask.items()
    }
    return {
        "bogp": packages.version("bogp"),
        "key": mask.fingerprint,
        "kept": str(mask.kept),
        "total": str(mask.total),
        "layers": json.dumps(layers),
    }


def with_notes(own: dict[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    """Return both, or raise SettingError where what the user gave cannot stand beside ``own``."""
    for name, value in (given or {}).items():
        if name in own:
            raise SettingError(f"metadata {name!r} is bogp's own: choose another name")
        if not isinstance(value, str):
            raise SettingError(f"metadata {name!r} is {value!r}: give a text, str(...) say")
    return {**own, **(given or {})}


def uint8(layer: Tensor) -> Tensor:
    """Return a layer's mask as safetensors keeps it."""
    return layer.to(torch.uint8).cpu().contiguous()


def _check_same(state: Tensors, wanted: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Raise MaskError unless both have the same names and shapes."""
    for name, tensor in wanted.items():
        if name in state and state[name].shape != tensor.shape:
            raise MaskError(
                f"{name!r} is {tuple(state[name].shape)} in {str(path)!r} and "
                f"{tuple(tensor.shape)} in the model: use the file made for this model"
            )
    for name in wanted:
        if name not in state:
            raise MaskError(
                f"{str(path)!r} has no {name!r}, which the model has: use the file made for it"
            )
    for name in state:
        if name not in wanted:
            raise MaskError(
                f"{str(path)!r} has {name!r}, which the model does not: use the file made for it"
            )


def _damaged(path: str | os.PathLike[str]) -> MaskError:
    return MaskError(
        f"the masks in {str(path)!r} are not those that it was saved with: save it again"
    )
