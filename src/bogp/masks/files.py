"""Masks and pruned models in files: bogp's own, and what other programs have pruned."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bogp.errors import MaskError, SettingError
from bogp.masks.choice import matching
from bogp.masks.mask import Mask, check_fits
from bogp.masks.tensors import (
    CHECKSUM,
    Tensors,
    aliases,
    read_safetensors,
    read_state,
    stored_once,
    write_safetensors,
)
from bogp.masks.torch_prune import masks_in_state
from bogp.outside import parsed

MASK_FORMAT = "bogp.mask"
MODEL_FORMAT = "bogp.model"
SUFFIX = ".bogp_mask"
"""What follows a parameter's name in the name of its mask, in the file of a model."""

Source = str | os.PathLike[str]


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


def save_mask(mask: Mask, path: Source, metadata: Mapping[str, str] | None = None) -> Path:
    """Write ``mask`` as one uint8 tensor for each layer, with ``metadata`` and notes on the mask.

    The notes are: format, bogp (the version), key (the mask's fingerprint), kept, total, layers
    (JSON: the shape and density of each) and bogp.checksum, of everything in the file.

    Raises:
        OutputError: the file cannot be written.
        SettingError: ``metadata`` has one of these names, or a value that is no text.
    """
    notes = _notes(MASK_FORMAT, mask, metadata)
    return write_safetensors(path, {name: _uint8(layer) for name, layer in mask.items()}, notes)


def load_mask(path: Source) -> Mask:
    """Read a mask that :func:`save_mask` wrote.

    Raises:
        MaskError: the file is missing, damaged, no safetensors file or holds no bogp mask.
    """
    tensors, notes = read_safetensors(path)
    if notes.get("format") != MASK_FORMAT:
        raise MaskError(
            f"{str(path)!r} holds no bogp mask: save one with save_mask, or take the mask of "
            "another file with read_mask"
        )
    return _mask_in(tensors, notes, path)


def save_model(
    model: nn.Module, mask: Mask, path: Source, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write the state dict of ``model``, pruned weights exactly 0, and ``mask`` to one file.

    Each mask is a uint8 tensor ``<parameter>.bogp_mask``. A tensor that the state dict has under
    several names is written once. The notes are those of :func:`save_mask` and tied (JSON: name →
    name under which the tensor is). The model itself is not changed.

    Raises:
        MaskError: the mask does not fit the model, or an entry of its state is no tensor of values.
        SettingError: ``metadata`` has the name of a note, or a value that is no text.
        OutputError: the file cannot be written.
    """
    check_fits(model, mask)
    state, tied = stored_once(model.state_dict())
    for name, layer in mask.items():
        first = tied.get(name, name)
        if name != first and first in mask and not torch.equal(layer, mask[first]):
            raise MaskError(f"{first!r} and {name!r} share their memory: give both one mask")
        state[first] = state[first].masked_fill(~layer.cpu(), 0)
    masks = {name + SUFFIX: _uint8(layer) for name, layer in mask.items()}
    notes = _notes(MODEL_FORMAT, mask, metadata, tied=json.dumps(tied))
    return write_safetensors(path, {**state, **masks}, notes)


def read_model(path: Source) -> SavedModel:
    """Read what :func:`save_model` wrote.

    Raises:
        MaskError: the file is missing, damaged, or no such file.
    """
    tensors, notes = read_safetensors(path)
    return _model_in(tensors, notes, path)


def load_model(model: nn.Module, path: Source) -> tuple[nn.Module, Mask]:
    """Return a copy of ``model`` with the weights of a file of :func:`save_model`, and its mask.

    Raises:
        MaskError: the file is missing, damaged, no such file, or another model's.
    """
    saved = read_model(path)
    loaded = with_state(model, saved.state, path)
    for name, first in aliases(model.state_dict()).items():
        if name != first and not torch.equal(saved.state[name], saved.state[first]):
            raise MaskError(
                f"{str(path)!r} has different weights for {first!r} and {name!r}, which the model "
                "has tied: untie them, or use the file of a model that ties them"
            )
    check_fits(model, saved.mask)
    return loaded, saved.mask


def load_state(model: nn.Module, path: Source) -> nn.Module:
    """Return a copy of ``model`` with the weights of a file, whoever wrote it.

    The file is a safetensors file, one of :func:`save_model` say, or a state dict of
    ``torch.save``.

    Raises:
        MaskError: the file is missing, of neither kind, or another model's.
    """
    tensors, notes = read_state(path)
    state = tensors
    if notes.get("format") == MODEL_FORMAT:
        state = _model_in(tensors, notes, path).state
    # Whoever writes safetensors leaves out the second name of a tied tensor.
    firsts = aliases(model.state_dict())
    tied = {name: state[first] for name, first in firsts.items() if first in state}
    return with_state(model, tied | state, path)


def read_mask(
    path: Source,
    *,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
) -> Mask:
    """Return the mask that a file holds, whoever wrote it.

    The file is one of :func:`save_mask` or :func:`save_model`, or any safetensors or torch file
    with a state dict. In a state dict the masks are those of ``torch.nn.utils.prune`` where it has
    some; otherwise a weight is pruned where it is exactly 0. Without the model nothing tells
    embeddings from other weights of two or more dimensions: leave them out by their names.

    Args:
        path: the file; a torch file is read without running code.
        include: shell patterns of the weights to read.
        exclude: shell patterns of weights to leave out, ``"*embedding*"`` say.

    Raises:
        MaskError: the file is missing, truncated, of no such kind or holds pickled code; there is
            no weight in it, or a pattern matches none.
    """
    tensors, notes = read_state(path)
    if notes.get("format") == MASK_FORMAT:
        layers: Mapping[str, Tensor] = _mask_in(tensors, notes, path)
    elif notes.get("format") == MODEL_FORMAT:
        layers = _model_in(tensors, notes, path).mask
    else:
        layers = masks_in_state(tensors) or _where_not_zero(tensors)
    if not layers:
        raise MaskError(f"{str(path)!r} has no weight of two or more dimensions: nothing is pruned")
    names = set(layers)
    spellings = {name: (name,) for name in layers}
    owner = f"weight: the file has {', '.join(layers)}"
    if include is not None:
        names &= matching(spellings, include, "pattern", owner)
    if exclude is not None:
        names -= matching(spellings, exclude, "pattern", owner)
    if not names:
        raise MaskError(f"no weight of {str(path)!r} is left to read: exclude fewer of them")
    return Mask({name: layer for name, layer in layers.items() if name in names})


def with_state(model: nn.Module, state: Tensors, path: Source) -> nn.Module:
    """Return a copy of ``model`` with the tensors ``state`` of a file.

    Raises:
        MaskError: the state's names or shapes are not the model's.
    """
    wanted = model.state_dict()
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
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(state)
    return loaded


def _model_in(tensors: Tensors, notes: dict[str, str], path: Source) -> SavedModel:
    """Return the model and the mask among the tensors of a file."""
    if notes.get("format") != MODEL_FORMAT:
        raise MaskError(f"{str(path)!r} holds no bogp model: save one with save_model")
    masks = {n.removesuffix(SUFFIX): t for n, t in tensors.items() if n.endswith(SUFFIX)}
    state = {name: tensor for name, tensor in tensors.items() if not name.endswith(SUFFIX)}
    try:
        tied = parsed(dict[str, str], notes["tied"])
        state |= {name: state[first] for name, first in tied.items()}
    except (KeyError, ValueError) as error:
        raise _damaged(path) from error
    return SavedModel(state, _mask_in(masks, notes, path), notes)


def _mask_in(masks: Tensors, notes: Mapping[str, str], path: Source) -> Mask:
    """Return the masks in the order in which they were saved, which safetensors does not keep."""
    try:
        order = list(parsed(dict[str, Any], notes["layers"]))
        mask = Mask({name: masks[name] != 0 for name in order})
        intact = len(order) == len(masks) and notes["key"] == mask.fingerprint
    except (KeyError, ValueError) as error:
        raise _damaged(path) from error
    if not intact:
        raise _damaged(path)
    return mask


def _damaged(path: Source) -> MaskError:
    return MaskError(
        f"the masks in {str(path)!r} are not those that it was saved with: save it again"
    )


def _notes(
    kind: str, mask: Mask, given: Mapping[str, str] | None, **further: str
) -> dict[str, str]:
    """Return the notes of a file, bogp's own and those that the user gave.

    Raises:
        SettingError: one that the user gave has a name of bogp's, or is no text.
    """
    layers = {
        name: {"shape": list(layer.shape), "density": int(layer.sum()) / layer.numel()}
        for name, layer in mask.items()
    }
    own = {
        "format": kind,
        "bogp": packages.version("bogp"),
        "key": mask.fingerprint,
        "kept": str(mask.kept),
        "total": str(mask.total),
        "layers": json.dumps(layers),
        **further,
    }
    for name, value in (given or {}).items():
        if name in own or name == CHECKSUM:
            raise SettingError(f"metadata {name!r} is bogp's own: choose another name")
        if not isinstance(value, str):
            raise SettingError(f"metadata {name!r} is {value!r}: give a text, str(...) say")
    return {**own, **(given or {})}


def _uint8(layer: Tensor) -> Tensor:
    """Return a layer's mask as safetensors keeps it."""
    return layer.to(torch.uint8).cpu().contiguous()


def _where_not_zero(state: Tensors) -> Tensors:
    """Return where the weights of a state dict are not 0, a tied one under its first name."""
    weights = {
        name: tensor
        for name, tensor in state.items()
        if tensor.dim() > 1 and tensor.is_floating_point() and tensor.numel() > 0
    }
    firsts = aliases(weights)
    return {name: tensor != 0 for name, tensor in weights.items() if firsts[name] == name}
