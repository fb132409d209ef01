"""Pruned models as small files: the kept weights and where they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from bogp.errors import MaskError
from bogp.export.copies import plain_copy
from bogp.files import write_atomic
from bogp.masks import Mask, check_fits
from bogp.masks.tensors import read_safetensors, stored_once

FORMAT = "bogp.sparse"
_BITS, _GAPS, _VALUES = ".bogp_bits", ".bogp_gaps", ".bogp_values"


def save_sparse(model: nn.Module, mask: Mask, path: str | os.PathLike[str]) -> Path:
    """Write the state of ``model`` with only the kept weights of the layers in ``mask``.

    A layer is its kept weights in order and their places: a bit for each weight or, where that is
    shorter, the gap from each kept weight to the next in 1, 2 or 4 bytes. Everything else is
    written as it is, a tensor of several names once.

    Raises:
        MaskError: the mask does not fit the model.
        OutputError: the file cannot be written.
    """
    state, tied = stored_once(plain_copy(model, mask).state_dict())
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for name, value in state.items():
        if name in mask:
            kept = mask[name].flatten().cpu()
            shapes[name] = list(value.shape)
            tensors[name + _VALUES] = value.flatten()[kept].contiguous()
            suffix, places = _places(kept)
            tensors[name + suffix] = places
        else:
            tensors[name] = value.contiguous()
    notes = {"format": FORMAT, "shapes": json.dumps(shapes), "tied": json.dumps(tied)}
    data: bytes = safetensors.torch.save(tensors, notes)
    return write_atomic(path, data)


def load_sparse(model: nn.Module, path: str | os.PathLike[str]) -> tuple[nn.Module, Mask]:
    """Return a copy of ``model`` with the weights of a file of `save_sparse`, and its mask.

    Raises:
        MaskError: the file is missing, is of another kind, or of another model.
    """
    tensors, notes = read_safetensors(path)
    if notes.get("format") != FORMAT:
        raise MaskError(f"{str(path)!r} holds no sparse model: save one with save_sparse")
    layers: dict[str, Tensor] = {}
    state = {
        name: value for name, value in tensors.items() if not name.endswith((_BITS, _GAPS, _VALUES))
    }
    for name, shape in json.loads(notes["shapes"]).items():
        values = tensors[name + _VALUES]
        kept = _kept(tensors, name, int(np.prod(shape)))
        weight = torch.zeros(len(kept), dtype=values.dtype)
        weight[kept] = values
        state[name], layers[name] = weight.reshape(shape), kept.reshape(shape)
    for name, first in json.loads(notes["tied"]).items():
        state[name] = state[first]
    loaded = plain_copy(model)
    mask = Mask(layers)
    check_fits(loaded, mask)
    _check_state(loaded, state, path)
    loaded.load_state_dict(state)
    return loaded, mask


def _check_state(model: nn.Module, state: dict[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Raise MaskError, naming a tensor, unless the state is one of the model's shapes."""
    own = model.state_dict()
    for name in sorted(own.keys() | state.keys()):
        ours, theirs = (
            str(tuple(each[name].shape)) if name in each else "missing" for each in (own, state)
        )
        if ours != theirs:
            raise MaskError(
                f"{name!r} is {theirs} in {str(path)!r} and {ours} in the model: give the model "
                "that the file was written of"
            )


def _places(kept: Tensor) -> tuple[str, Tensor]:
    """Return the places of the kept weights (N,) in the shorter of two ways, and which it is."""
    bits = torch.from_numpy(np.packbits(kept.numpy()))
    positions = kept.nonzero().flatten().numpy()
    gaps = np.diff(positions, prepend=0)
    largest = int(gaps.max(initial=0))
    kind = np.uint8 if largest < 2**8 else np.int16 if largest < 2**15 else np.int32
    packed = torch.from_numpy(gaps.astype(kind))
    if packed.nbytes < bits.nbytes and largest < 2**31:
        return _GAPS, packed
    return _BITS, bits


def _kept(tensors: dict[str, Tensor], name: str, count: int) -> Tensor:
    """Return which weights are kept (N,)."""
    if name + _BITS in tensors:
        bits = np.unpackbits(tensors[name + _BITS].numpy(), count=count)
        return torch.from_numpy(bits.astype(bool))
    kept = torch.zeros(count, dtype=torch.bool)
    kept[tensors[name + _GAPS].long().cumsum(0)] = True
    return kept
