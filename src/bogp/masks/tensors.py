"""Named tensors in files: safetensors with their notes, and state dicts of ``torch.save``."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bogp.checksums import checksum
from bogp.errors import MaskError, first_line
from bogp.files import write_atomic
from bogp.outside import check_unfolded

Tensors = dict[str, Tensor]

WRAPPINGS = ("state_dict", "model_state_dict", "model")
"""Keys under which checkpoints of training scripts keep the state dict."""


OWN = "bogp."
"""What the note ``format`` begins with in the files that bogp writes."""

CHECKSUM = "bogp.checksum"
"""The note of such a file that holds the checksum of its tensors and of its other notes."""


def write_safetensors(
    path: str | os.PathLike[str], tensors: Tensors, notes: Mapping[str, str]
) -> Path:
    """Write tensors and notes to a file of bogp's, with their checksum.

    Raises:
        OutputError: the file cannot be written.
    """
    sealed = {**notes, CHECKSUM: _checksum(tensors, notes)}
    data: bytes = safetensors.torch.save(tensors, sealed)
    return write_atomic(path, data)


def read_safetensors(path: str | os.PathLike[str]) -> tuple[Tensors, dict[str, str]]:
    """Return the tensors of a safetensors file, and its notes.

    A file of bogp's is compared with its checksum.

    Raises:
        MaskError: the file is missing, truncated, damaged or no safetensors file.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            notes = dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError, UnicodeError) as error:
        raise MaskError(
            f"{str(path)!r} is not a readable safetensors file ({first_line(error)}): save it again"
        ) from error
    stored = notes.pop(CHECKSUM, None)
    ours = stored is not None or notes.get("format", "").startswith(OWN)
    if ours and stored != _checksum(tensors, notes):
        raise MaskError(
            f"{str(path)!r} is damaged (its tensors and notes are not those of its checksum): "
            "restore a copy of it, or save it again"
        )
    return tensors, notes


def _checksum(tensors: Tensors, notes: Mapping[str, str]) -> str:
    names = sorted(tensors)
    kinds = [[name, str(tensors[name].dtype), list(tensors[name].shape)] for name in names]
    blobs = [tensors[name].reshape(-1).view(torch.uint8).numpy() for name in names]
    return checksum([kinds, dict(notes)], *blobs)


def read_state(path: str | os.PathLike[str]) -> tuple[Tensors, dict[str, str]]:
    """Return the tensors of a safetensors file, or of a state dict that ``torch.save`` wrote.

    A checkpoint may hold the state dict under one of the keys ``WRAPPINGS``. Pickled code is not
    run (``weights_only``). A torch file has no notes.

    Raises:
        MaskError: the file is missing, of neither kind, truncated, or holds pickled code or no
            state dict.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise MaskError(
            f"{str(path)!r} cannot be read ({error.strerror or error}): name a safetensors file "
            "or a state dict saved by torch.save"
        ) from error
    # The JSON header of safetensors follows the 8 bytes of its length; a torch file is a zip
    # archive or, before torch 1.6, a pickle.
    if head[8:] != b"{" and head.startswith((b"PK", b"\x80")):
        return _state_in(_torch_load(path), path), {}
    return read_safetensors(path)


def as_mask(name: str, values: Tensor) -> Tensor:
    """Return the mask of the weight ``name``, given in numbers, as bools.

    Raises:
        MaskError: a number is neither 0 nor 1.
    """
    layer = values.detach() != 0
    wrong = layer & (values != 1)
    if wrong.any():
        raise MaskError(
            f"the mask of {name!r} holds {float(values[wrong][0]):g}: give one of zeros and ones"
        )
    return layer


def aliases(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return, for each name, the first name of the same tensor; for most that is the name itself.

    >>> tensor = torch.ones(2, 2)
    >>> aliases({"a": tensor, "b": tensor.detach(), "c": tensor.T})
    {'a': 'a', 'b': 'a', 'c': 'c'}
    """
    firsts: dict[object, str] = {}
    found = {}
    for name, tensor in state.items():
        place = (tensor.device, tensor.untyped_storage().data_ptr(), tensor.storage_offset())
        view = (*place, tensor.shape, tensor.stride(), tensor.dtype)
        # Tensors without values have no place in memory.
        found[name] = firsts.setdefault(view if tensor.numel() else name, name)
    return found


def stored_once(state: Mapping[str, Tensor]) -> tuple[Tensors, dict[str, str]]:
    """Return a copy of each tensor, under its first name, and further name → first name.

    Raises:
        MaskError: an entry is no dense tensor, or has no values.
    """
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or tensor.is_meta or tensor.layout != torch.strided:
            what = getattr(tensor, "layout", type(tensor).__name__)
            what = "on device meta" if getattr(tensor, "is_meta", False) else what
            raise MaskError(
                f"{name!r} of the model's state is no dense tensor with values ({what}): a "
                "safetensors file cannot hold it"
            )
    firsts = aliases(state)
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
        if firsts[name] == name
    }
    return copies, {name: first for name, first in firsts.items() if name != first}


def _torch_load(path: str | os.PathLike[str]) -> Any:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
            check_unfolded(Path(path).stat().st_size, size)
        with warnings.catch_warnings():
            # Old archives make torch warn of what does not matter to a state dict.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged archive brings about
        # torch's own words would be to load it with weights_only=False, which runs its code.
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            raise MaskError(
                f"{str(path)!r} is damaged or holds pickled code, which is not run: save the "
                "model's state_dict() instead of the model"
            ) from error
        raise MaskError(
            f"{str(path)!r} is not a readable torch file ({first_line(error)}): "
            "save the model's state_dict() with torch.save or safetensors"
        ) from error


def _state_in(content: Any, path: str | os.PathLike[str]) -> Tensors:
    """Return the tensors by name in what a torch file holds."""
    places = [content]
    if isinstance(content, Mapping):
        places += [content[key] for key in WRAPPINGS if key in content]
    for place in places:
        if isinstance(place, Mapping):
            tensors = {str(k): v for k, v in place.items() if isinstance(v, Tensor)}
            if tensors:
                return tensors
    raise MaskError(f"{str(path)!r} holds no state dict: save the model's state_dict() in it")
