"""The kept weights alone: in small files, and in linear layers that multiply by them.

A layer holds its weights in rows (CSR) or in square blocks (BSR), and computes with these.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bogp.coupling.copies import first_line, plain_copy
from bogp.coupling.tracing import is_torchs
from bogp.errors import ExportError, MaskError
from bogp.masks import Mask, check_fits
from bogp.masks.files import with_state
from bogp.masks.tensors import read_safetensors, stored_once, write_safetensors
from bogp.outside import parsed

BLOCKS = (32, 16, 8, 4)
"""Sides of the square blocks that are tried."""

LARGEST_SHARE = 0.5
"""Blocks are used where they hold at most this share of a weight."""

FORMAT = "bogp.sparse"
_BITS, _GAPS, _VALUES = ".bogp_bits", ".bogp_gaps", ".bogp_values"


@final
class SparseLinear(nn.Module):
    """A linear layer for inference whose weight is a sparse tensor (out, in), CSR or BSR."""

    weight: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs W' + b (..., out)."""
        flat = inputs.reshape(-1, inputs.shape[-1])
        found = functional.linear(flat, self.weight)
        if self.bias is not None:
            found = found + self.bias
        return found.reshape(*inputs.shape[:-1], found.shape[-1])

    def extra_repr(self) -> str:
        """Return the sizes, as torch's layers do."""
        out, features = self.weight.shape
        return f"in_features={features}, out_features={out}, layout={self.weight.layout}"


def to_csr(model: nn.Module, mask: Mask | None = None) -> nn.Module:
    """Return a copy of ``model`` for inference whose pruned linear layers are CSR.

    Args:
        model: not changed; its other layers stay dense.
        mask: what is pruned; None takes the weights that are exactly 0.

    Raises:
        ExportError: no linear layer is pruned, or torch has no such product on this machine.
        MaskError: the mask does not fit the model.

    >>> network = nn.Sequential(nn.Linear(2, 2))
    >>> mask = Mask({"0.weight": torch.eye(2, dtype=torch.bool)})
    >>> to_csr(network, mask)[0].weight.values().numel()
    2
    """
    return _with_sparse(model, mask, _csr, "no linear layer is pruned")


def to_bsr(model: nn.Module, mask: Mask | None = None, block: int | None = None) -> nn.Module:
    """Return a copy of ``model`` for inference whose linear layers hold blocks (BSR).

    Args:
        model: not changed; layers without blocks stay dense.
        mask: what is pruned; None takes the weights that are exactly 0.
        block: the side of the blocks; None takes, layer by layer, the one of `BLOCKS` that stores
            the fewest weights, the largest of equals.

    Raises:
        ExportError: no linear layer has blocks of zeros, or torch cannot run them here.
        MaskError: the mask does not fit the model.
    """
    sides = BLOCKS if block is None else (block,)
    tried = ", ".join(map(str, sides))
    missing = f"no linear layer has enough blocks of zeros (sides tried: {tried})"
    return _with_sparse(model, mask, lambda weight: _bsr(weight, sides), missing)


def save_sparse(model: nn.Module, mask: Mask, path: str | os.PathLike[str]) -> Path:
    """Write the state of ``model`` with only the kept weights of the layers in ``mask``.

    The file has a layer's kept weights in order, and their places: a bit for each weight or, where
    that is shorter, the gap from each kept weight to the next in 1, 2 or 4 bytes. All other tensors
    are written as they are, each shared one once.

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
    return write_safetensors(path, tensors, notes)


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
    wanted = model.state_dict()
    try:
        for name, shape in parsed(dict[str, tuple[int, ...]], notes["shapes"]).items():
            if name not in wanted or wanted[name].shape != shape:  # before there is room for it
                raise ValueError(f"{name!r} of shape {shape} is not the model's")
            values = tensors[name + _VALUES]
            kept = _kept(tensors, name, wanted[name].numel())
            weight = torch.zeros(len(kept), dtype=values.dtype)
            weight[kept] = values
            state[name], layers[name] = weight.reshape(shape), kept.reshape(shape)
        for name, first in parsed(dict[str, str], notes["tied"]).items():
            state[name] = state[first]
    except (LookupError, ValueError, RuntimeError) as error:
        raise MaskError(
            f"{str(path)!r} is not the sparse file of this model ({first_line(error)}): use the "
            "model that it was saved from"
        ) from error
    mask = Mask(layers)
    loaded = with_state(plain_copy(model), state, path)
    check_fits(loaded, mask)
    return loaded, mask


def _with_sparse(
    model: nn.Module, mask: Mask | None, convert: Callable[[Tensor], Tensor | None], missing: str
) -> nn.Module:
    sparse = plain_copy(model, mask)
    found = False
    for name, layer in list(sparse.named_modules()):
        if type(layer) is not nn.Linear or not _may_go(sparse, name):
            continue
        if bool((layer.weight == 0).any()):
            try:
                weight = _converted(layer.weight.detach(), convert)
            except RuntimeError as error:
                raise ExportError(
                    f"torch {torch.__version__} cannot multiply by a sparse {name!r} on this "
                    f"machine ({first_line(error)}): choose another format"
                ) from error
            if weight is not None:
                found = True
                bias = None if layer.bias is None else layer.bias.detach()
                new = SparseLinear(weight, bias).eval()
                if not name:
                    return new
                sparse.set_submodule(name, new)
    if not found:
        raise ExportError(f"{missing}: choose another format, compact say")
    return sparse


def _may_go(model: nn.Module, name: str) -> bool:
    """Return whether a layer may be replaced: layers inside torch's own have their weights read."""
    parent = model.get_submodule(name.rpartition(".")[0])
    containers = nn.ModuleList | nn.ModuleDict
    return not name or isinstance(parent, containers) or not is_torchs(parent)


def _converted(weight: Tensor, convert: Callable[[Tensor], Tensor | None]) -> Tensor | None:
    """Return the sparse weight, after one product that shows whether torch can compute with it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse .* tensor support is in beta")
        sparse = convert(weight)
        if sparse is not None:
            functional.linear(weight.new_zeros(1, weight.shape[1]), sparse)
    return sparse


def _csr(weight: Tensor) -> Tensor:
    return weight.to_sparse_csr()


def _bsr(weight: Tensor, sides: tuple[int, ...]) -> Tensor | None:
    """Return the weight in the blocks that store the fewest weights; None if these are too many."""
    best: Tensor | None = None
    stored = LARGEST_SHARE * weight.numel()
    for side in sorted(sides, reverse=True):
        if weight.shape[0] % side == 0 and weight.shape[1] % side == 0:
            found = weight.to_sparse_bsr((side, side))
            if found.values().numel() < stored or (
                best is None and found.values().numel() == stored
            ):
                best, stored = found, found.values().numel()
    return best


def _places(kept: Tensor) -> tuple[str, Tensor]:
    """Return the places of the kept weights (N,) in the shorter of two ways, after its suffix."""
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
