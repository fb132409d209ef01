"""What every source of data becomes: tensors in memory, checked."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bogp.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification dataset in memory: inputs float32 or int64 (N, *shape), targets int64.

    Targets are (N,), one class an example, or (N, T), one class a position: of inputs that are
    token numbers (N, T), say, the next tokens. Images are floats in [0, 1] (byte / 255). Training
    and test inputs have one shape and type, every input is finite and every target lies in
    [0, classes). Treat the tensors as read-only: whoever holds the dataset shares them, and
    `fingerprint` is computed once.

    Attributes:
        name: the name that tables give it.
        train_inputs, train_targets: the training set.
        test_inputs, test_targets: the test set, to report on.
        classes: number of classes.
        select_inputs, select_targets: the validation set, to select on, if there is one; without it
            a part of the training set is held out (:func:`split`).

    Raises:
        DataError: one of these does not hold.

    >>> inputs, targets = torch.zeros(4, 2, 3), torch.tensor([0, 1, 0, 1])
    >>> Dataset("zeros", inputs, targets, inputs[:2], targets[:2], classes=2).features
    6
    """

    name: str
    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    classes: int
    select_inputs: Tensor | None = None
    select_targets: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.select_inputs is None) != (self.select_targets is None):
            raise DataError(
                f"dataset {self.name!r} has validation inputs or targets alone: give both or none"
            )
        for part, pair in self._parts().items():
            self._check_part(f"the {part} set of dataset {self.name!r}", *pair)
        for part, (inputs, targets) in self._parts().items():
            for what, given, wanted in (
                ("inputs of shape", tuple(inputs.shape[1:]), self.shape),
                ("inputs of type", inputs.dtype, self.train_inputs.dtype),
                ("targets of shape", targets.shape[1:], self.train_targets.shape[1:]),
            ):
                if given != wanted:
                    raise DataError(
                        f"dataset {self.name!r} has training {what} {wanted} but {part} {what} "
                        f"{given}: give both the same {what.split()[-1]}"
                    )
        if self.classes < 2:
            raise DataError(
                f"dataset {self.name!r} has {self.classes} class(es): at least 2 are needed"
            )

    def _parts(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the inputs and targets of each part, by its name in errors."""
        parts = {
            "training": (self.train_inputs, self.train_targets),
            "test": (self.test_inputs, self.test_targets),
        }
        if self.select_inputs is not None and self.select_targets is not None:
            parts["validation"] = (self.select_inputs, self.select_targets)
        return parts

    def _check_part(self, where: str, inputs: Tensor, targets: Tensor) -> None:
        """Raise DataError, naming the part by ``where``, unless its tensors are sound."""
        if inputs.dtype not in (torch.float32, torch.int64) or targets.dtype != torch.int64:
            raise DataError(
                f"{where} holds {inputs.dtype} inputs and {targets.dtype} targets: "
                "convert them to torch.float32 (or int64 token numbers) and torch.int64"
            )
        sequences = targets.ndim == 2 and targets.shape[1] > 1
        if inputs.ndim < 2 or not (targets.ndim == 1 or sequences):
            raise DataError(
                f"{where} has inputs of shape {tuple(inputs.shape)} and targets of shape "
                f"{tuple(targets.shape)}: they must be (N, ...) and (N,), or (N, T) for tokens"
            )
        if len(inputs) != len(targets):
            raise DataError(
                f"{where} has {len(inputs)} inputs but {len(targets)} targets: give one each"
            )
        if inputs.numel() == 0 or targets.numel() == 0:
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
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.train_inputs.shape[1:])

    @property
    def features(self) -> int:
        """The number of values in one input, flattened."""
        return math.prod(self.shape)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the content (classes, shapes and values; not the name), 64 hex digits."""
        digest = hashlib.sha256(f"classes {self.classes}".encode())
        for pair in self._parts().values():
            for tensor in pair:
                kind = "<f4" if tensor.is_floating_point() else "<i8"
                digest.update(f";{kind} {tuple(tensor.shape)}:".encode())
                array = tensor.detach().cpu().contiguous().numpy()
                digest.update(array.astype(kind, copy=False).data)
        return digest.hexdigest()
