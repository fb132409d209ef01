"""The pruning mask: parameter name → bool tensor, True keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from bogp.errors import MaskError


@final
class Mask(Mapping[str, Tensor]):
    """An immutable mapping from parameter names to bool tensors; True keeps the weight.

    Raises:
        MaskError: no layer at all, or an entry that is not a bool tensor with weights in it.

    >>> mask = Mask({"0.weight": torch.tensor([[True, False], [False, False]])})
    >>> mask.kept, mask.total, mask.sparsity
    (1, 4, 0.75)
    """

    def __init__(self, layers: Mapping[str, Tensor]) -> None:
        if not layers:
            raise MaskError("a mask needs at least one layer: name a parameter to prune")
        for name, layer in layers.items():
            if not isinstance(layer, Tensor) or layer.dtype != torch.bool:
                kind = getattr(layer, "dtype", type(layer).__name__)
                raise MaskError(f"mask of {name!r} is {kind}: give a torch.bool tensor")
            if layer.numel() == 0:
                raise MaskError(f"mask of {name!r} has no weights: leave that parameter out")
        self._layers = {name: layer.detach().clone() for name, layer in layers.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return list(self) == list(other) and all(
            torch.equal(layer, other[name]) for name, layer in self.items()
        )

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Mask({len(self)} layers, {self.kept} of {self.total} weights kept)"

    def apply(self, model: nn.Module) -> None:
        """Set the pruned weights of ``model`` to exactly 0, in place.

        The others keep their values, and so do biases and layers that the mask does not name.
        Training would change the zeros again: call this after each step of the optimiser, or let
        :func:`bogp.with_torch_prune` hold them.

        Raises:
            MaskError: the model lacks a parameter that the mask names, has it in another shape, or
                has been pruned by ``torch.nn.utils.prune``.

        >>> layer = nn.Linear(2, 1)
        >>> Mask({"weight": torch.tensor([[True, False]])}).apply(layer)
        >>> (layer.weight != 0).tolist()
        [[True, False]]
        """
        check_fits(model, self)
        with torch.no_grad():
            for name, layer in self.items():
                parameter = model.get_parameter(name)
                # Not a product: NaN and infinities times 0 are NaN, and -1 times 0 is -0.
                parameter.masked_fill_(~layer.to(parameter.device), 0.0)

    @property
    def kept(self) -> int:
        """Number of weights kept."""
        return sum(number_kept(layer) for layer in self.values())

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        return sum(layer.numel() for layer in self.values())

    @property
    def density(self) -> float:
        """Kept weights divided by prunable weights."""
        return self.kept / self.total

    @property
    def sparsity(self) -> float:
        """Pruned weights divided by prunable weights, 1 − density."""
        return 1.0 - self.density

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of names, shapes and bits: equal masks have equal fingerprints."""
        digest = hashlib.sha256()
        for name, layer in self.items():
            digest.update(f"{name}{tuple(layer.shape)}".encode())
            digest.update(layer.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def number_kept(layer: Tensor) -> int:
    """Return how often a bool tensor is True.

    >>> number_kept(torch.tensor([[True, False], [True, True]]))
    3
    """
    # NumPy counts several times as fast as torch does, where it can reach the numbers.
    return int(np.count_nonzero(layer) if layer.device.type == "cpu" else layer.count_nonzero())


def complete_mask(model: nn.Module, names: tuple[str, ...]) -> Mask:
    """Return the mask that keeps every weight of the parameters ``names`` of ``model``."""
    parameters = dict(model.named_parameters())
    missing = [name for name in names if name not in parameters]
    if missing:
        raise MaskError(f"the model has no parameter {missing[0]!r}: it has {sorted(parameters)}")
    return Mask({name: torch.ones_like(parameters[name], dtype=torch.bool) for name in names})


def check_fits(model: nn.Module, mask: Mask) -> None:
    """Raise :class:`MaskError` unless every layer of ``mask`` is a parameter of its shape."""
    parameters = dict(model.named_parameters())
    for name, layer in mask.items():
        if f"{name}_orig" in parameters:
            raise MaskError(
                f"{name!r} is held by torch.nn.utils.prune: call torch.nn.utils.prune.remove first"
            )
        if name not in parameters:
            raise MaskError(f"the mask prunes {name!r}, which the model does not have")
        if parameters[name].shape != layer.shape:
            raise MaskError(
                f"the mask of {name!r} is {tuple(layer.shape)}, the model's parameter is "
                f"{tuple(parameters[name].shape)}: use the mask made for this model"
            )


def collapsed(mask: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the layers of which ``mask`` keeps no weight: layer collapse.

    Such a layer lets nothing through, so that a network without a way around it cannot be trained
    (Tanaka et al. 2020, arXiv 2006.05467, section 3).

    >>> collapsed({"a": torch.tensor([True]), "b": torch.tensor([False])})
    ('b',)
    """
    return tuple(name for name, layer in mask.items() if not layer.any())
