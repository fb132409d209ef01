"""What every source of data becomes: four tensors in memory, checked."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import torch

from bogp.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification dataset in memory: inputs float32 (N, *shape), targets int64 (N,).

    Images are floats in [0, 1] (byte / 255). The training and the test inputs have one shape, every
    input is finite and every target lies in [0, classes). Treat the tensors as read-only: they are
    shared by whoever holds the dataset, and `fingerprint` is computed once.

    Raises:
        DataError: one of these does not hold.

    >>> inputs, targets = torch.zeros(4, 2, 3), torch.tensor([0, 1, 0, 1])
    >>> Dataset("zeros", inputs, targets, inputs[:2], targets[:2], classes=2).features
    6
    """

    name: str
    train_inputs: torch.Tensor
    train_targets: torch.Tensor
    test_inputs: torch.Tensor
    test_targets: torch.Tensor
    classes: int

    def __post_init__(self) -> None:
        for part in ("training", "test"):
            self._check(part)
        shapes = tuple(self.train_inputs.shape[1:]), tuple(self.test_inputs.shape[1:])
        if shapes[0] != shapes[1]:
            raise DataError(
                f"dataset {self.name!r} has training inputs of shape {shapes[0]} but test inputs "
                f"of shape {shapes[1]}: give both the same shape"
            )
        if self.classes < 2:
            raise DataError(
                f"dataset {self.name!r} has {self.classes} class(es): at least 2 are needed"
            )

    def _part(self, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        if part == "training":
            return self.train_inputs, self.train_targets
        return self.test_inputs, self.test_targets

    def _check(self, part: str) -> None:
        """Raise DataError, naming the ``part``, unless its inputs and targets are sound."""
        inputs, targets = self._part(part)
        where = f"the {part} set of dataset {self.name!r}"
        if inputs.dtype != torch.float32 or targets.dtype != torch.int64:
            raise DataError(
                f"{where} holds {inputs.dtype} inputs and {targets.dtype} targets: "
                "convert them to torch.float32 and torch.int64"
            )
        if inputs.ndim < 2 or targets.ndim != 1:
            raise DataError(
                f"{where} has inputs of shape {tuple(inputs.shape)} and targets of shape "
                f"{tuple(targets.shape)}: they must be (N, ...) and (N,)"
            )
        if len(inputs) != len(targets):
            raise DataError(
                f"{where} has {len(inputs)} inputs but {len(targets)} targets: give one each"
            )
        if inputs.numel() == 0:
            raise DataError(
                f"{where} is empty: it needs at least one example of at least one value"
            )
        # A float64 sum of float32 numbers cannot overflow, so it is finite exactly if they all are;
        # unlike isfinite().all() it needs no second array.
        if not math.isfinite(inputs.sum(dtype=torch.float64).item()):
            raise DataError(f"{where} holds inputs that are NaN or infinite: clean the data first")
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= self.classes:
            raise DataError(
                f"{where} has label {low if low < 0 else high}, which is not in "
                f"[0, {self.classes}): number the classes from 0"
            )

    @property
    def features(self) -> int:
        """The number of values in one input, flattened."""
        return math.prod(self.train_inputs.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the content (classes, shapes and values; not the name), 64 hex digits."""
        digest = hashlib.sha256(f"classes {self.classes}".encode())
        for part in ("training", "test"):
            for tensor, kind in zip(self._part(part), ("<f4", "<i8"), strict=True):
                digest.update(f";{kind} {tuple(tensor.shape)}:".encode())
                array = tensor.detach().cpu().contiguous().numpy()
                digest.update(array.astype(kind, copy=False).data)
        return digest.hexdigest()
