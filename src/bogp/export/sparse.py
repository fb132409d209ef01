"""Linear layers that hold their weights sparse, in rows (CSR) or in blocks (BSR)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bogp.export.copies import first_line, plain_copy
from bogp.export.errors import ExportError
from bogp.export.tracing import is_torchs
from bogp.masks import Mask

BLOCKS = (32, 16, 8, 4)
"""Sides of the square blocks that are tried."""

LARGEST_SHARE = 0.5
"""Blocks are used where they hold at most this share of a weight."""


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
    """Say whether nobody reads the layer's weight past its forward, as torch's layers do."""
    parent = model.get_submodule(name.rpartition(".")[0])
    containers = nn.ModuleList | nn.ModuleDict
    return not name or isinstance(parent, containers) or not is_torchs(parent)


def _converted(weight: Tensor, convert: Callable[[Tensor], Tensor | None]) -> Tensor | None:
    """Return the sparse weight, after one product with it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse .* tensor support is in beta")
        sparse = convert(weight)
        if sparse is not None:
            functional.linear(weight.new_zeros(1, weight.shape[1]), sparse)
    return sparse


def _csr(weight: Tensor) -> Tensor:
    return weight.to_sparse_csr()


def _bsr(weight: Tensor, sides: tuple[int, ...]) -> Tensor | None:
    """Return the weight in the blocks that store least, or None where they hold too much."""
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
