"""Masks as safetensors files, with what they are for in the metadata."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from bogp.errors import MaskError
from bogp.files import write_atomic
from bogp.masks.mask import Mask


def save_mask(
    mask: Mask, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write ``mask`` as one uint8 tensor a layer, with ``metadata`` and the kept counts.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {name: layer.to(torch.uint8).cpu().contiguous() for name, layer in mask.items()}
    notes = {"format": "bogp.mask", "kept": str(mask.kept), "total": str(mask.total)}
    data: bytes = safetensors.torch.save(tensors, {**notes, **dict(metadata or {})})
    return write_atomic(path, data)


def load_mask(path: str | os.PathLike[str]) -> Mask:
    """Read a mask that :func:`save_mask` wrote.

    Raises:
        MaskError: the file is missing, is no safetensors file or holds no bogp mask.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            notes = file.metadata() or {}
            layers = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise MaskError(f"{str(path)!r} is not a readable safetensors file ({error})") from error
    if notes.get("format") != "bogp.mask":
        raise MaskError(f"{str(path)!r} holds no bogp mask: save one with save_mask")
    order = {name: layer != 0 for name, layer in layers.items()}
    return Mask(order)
