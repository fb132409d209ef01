"""Masks in files: alone, with their model, or read off what other programs have pruned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import safetensors.torch
from torch import Tensor

from bogp.errors import MaskError
from bogp.files import write_atomic
from bogp.masks.mask import Mask
from bogp.masks.model_file import FORMAT as MODEL_FORMAT
from bogp.masks.model_file import SavedModel as SavedModel
from bogp.masks.model_file import describe, mask_in, model_in, uint8, with_notes
from bogp.masks.model_file import load_model as load_model
from bogp.masks.model_file import read_model as read_model
from bogp.masks.model_file import save_model as save_model
from bogp.masks.tensors import Tensors, aliases, read_safetensors, read_state
from bogp.masks.torch_prune import masks_in_state

FORMAT = "bogp.mask"


def save_mask(
    mask: Mask, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write ``mask`` as one uint8 tensor a layer, with ``metadata`` and what it is.

    Beside ``metadata`` there are: format, bogp (the version), key (the mask's fingerprint), kept,
    total and layers (JSON: the shape and density of each).

    Raises:
        OutputError: the file cannot be written.
        SettingError: ``metadata`` has one of these names, or a value that is no text.
    """
    tensors = {name: uint8(layer) for name, layer in mask.items()}
    notes = with_notes({"format": FORMAT, **describe(mask)}, metadata)
    data: bytes = safetensors.torch.save(tensors, notes)
    return write_atomic(path, data)


def load_mask(path: str | os.PathLike[str]) -> Mask:
    """Read a mask that :func:`save_mask` wrote.

    Raises:
        MaskError: the file is missing, damaged, no safetensors file or holds no bogp mask.
    """
    tensors, notes = read_safetensors(path)
    if notes.get("format") != FORMAT:
        raise MaskError(
            f"{str(path)!r} holds no bogp mask: save one with save_mask, or take the mask of "
            "another file with read_mask"
        )
    return mask_in(tensors, notes, path)


def read_mask(
    path: str | os.PathLike[str],
    *,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
) -> Mask:
    """Return the mask that a file holds, whoever wrote it.

    The file is one of :func:`save_mask` or :func:`save_model`, or any safetensors or torch file
    with a state dict. In a state dict the masks are those of ``torch.nn.utils.prune`` where it has
    some, else a weight is pruned where it is exactly 0. Without the model nothing tells embeddings
    from other weights of two or more dimensions: leave them out by their names.

    Args:
        path: the file; a torch file is read without running code.
        include: shell patterns of the weights to read.
        exclude: shell patterns of weights to leave out, ``"*embedding*"`` say.

    Raises:
        MaskError: the file is missing, truncated, of no such kind or holds pickled code; there is
            no weight in it, or a pattern matches none.
    """
    tensors, notes = read_state(path)
    if notes.get("format") == FORMAT:
        layers: Mapping[str, Tensor] = mask_in(tensors, notes, path)
    elif notes.get("format") == MODEL_FORMAT:
        layers = model_in(tensors, notes, path).mask
    else:
        layers = masks_in_state(tensors) or _zeros(tensors)
    if not layers:
        raise MaskError(f"{str(path)!r} has no weight of two or more dimensions: nothing is pruned")
    names = set(layers)
    if include is not None:
        names &= _matching(layers, include)
    if exclude is not None:
        names -= _matching(layers, exclude)
    if not names:
        raise MaskError(f"no weight of {str(path)!r} is left to read: exclude fewer of them")
    return Mask({name: layer for name, layer in layers.items() if name in names})


def _zeros(state: Tensors) -> Tensors:
    """Return where the weights of a state dict are not 0, of a tied one under its first name."""
    weights = {
        name: tensor
        for name, tensor in state.items()
        if tensor.dim() > 1 and tensor.is_floating_point() and tensor.numel() > 0
    }
    firsts = aliases(weights)
    return {name: tensor != 0 for name, tensor in weights.items() if firsts[name] == name}


def _matching(layers: Mapping[str, Tensor], patterns: str | Sequence[str]) -> set[str]:
    found: set[str] = set()
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        names = {name for name in layers if fnmatchcase(name, pattern)}
        if not names:
            raise MaskError(
                f"pattern {pattern!r} matches no weight: the file has {', '.join(layers)}"
            )
        found |= names
    return found
