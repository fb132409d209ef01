"""From arrays of any origin to the float32 inputs and int64 targets of a Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bogp.data.dataset import Dataset
from bogp.data.split import held_out
from bogp.errors import DataError
from bogp.keys import derive_seed

Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""The inputs (N, *shape) and the targets of one part of a dataset, of whatever types."""

_LABEL_LIMIT = 1000
"""Labels below this are believed even where there are fewer training examples than that."""

_PUT_BY = {"train": 1 / 6, "select": 1 / 2}
"""The share of a part that becomes the test set, where the test set is drawn from that part."""


def make_dataset(
    name: str, parts: Mapping[str, Arrays], *, tokens: bool = False, seed: int = 0
) -> Dataset:
    """Return the dataset of the arrays of its parts: train, and perhaps test and select.

    Inputs of bytes are divided by 255 and floats are left as they are. Targets are whole numbers
    from 0 in an array (N,) or (N, 1); the number of classes is the highest of all parts plus one.
    A test set that is missing is drawn by ``seed``, class by class, and put by: half of select, or
    a sixth of train where that is missing too.

    Args:
        name: the name that tables and errors give the dataset.
        parts: the inputs and targets of ``"train"``, ``"test"`` and ``"select"``.
        tokens: whether int64 inputs are token numbers, which are left as they are, and targets
            may be (N, T).
        seed: draws a test set that is missing.

    Raises:
        DataError: an array is of another type or shape, a part is too small to be shared out, or
            the result is no sound `Dataset`.
    """
    pairs = {
        part: (
            _inputs(inputs, f"x_{part} of {name!r}", tokens),
            _targets(targets, f"y_{part} of {name!r}", tokens),
        )
        for part, (inputs, targets) in parts.items()
    }
    train = pairs["train"][1]
    highest = max((int(y.max()) for _, y in pairs.values() if y.numel()), default=0)
    if highest >= max(_LABEL_LIMIT, train.numel()):
        raise DataError(
            f"dataset {name!r} has label {highest} with {len(train)} training examples: "
            "number the classes 0, 1, 2, ..."
        )
    if "test" not in pairs:
        pairs |= _put_by(name, pairs, seed)
    return Dataset(
        name, *pairs["train"], *pairs["test"], highest + 1, *pairs.get("select", (None, None))
    )


def _put_by(
    name: str, pairs: Mapping[str, tuple[Tensor, Tensor]], seed: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return a test set that is drawn from the last of ``pairs``, and what is left of that part."""
    part = "select" if "select" in pairs else "train"
    inputs, targets = pairs[part]
    count = round(_PUT_BY[part] * len(targets))
    if not 0 < count < len(targets):
        what = "training" if part == "train" else "validation"
        raise DataError(
            f"the {what} set of {name!r} has {len(targets)} examples, too few to put some by as "
            "the test set: give a test set, or more examples"
        )
    keep, hold = held_out(targets, count, derive_seed(seed, "put by"))
    return {part: (inputs[keep], targets[keep]), "test": (inputs[hold], targets[hold])}


def _inputs(array: npt.NDArray[Any], where: str, tokens: bool) -> Tensor:
    """Return inputs as float32, or as int64 where they are token numbers."""
    if array.ndim < 2:
        raise DataError(f"{where} has shape {array.shape}: it must be (N, ...)")
    if array.dtype == np.uint8:
        return torch.from_numpy(array.astype(np.float32)).div_(255)
    if tokens and array.dtype == np.int64:
        return torch.from_numpy(np.ascontiguousarray(array))
    if array.dtype.kind != "f":
        raise DataError(
            f"{where} holds {array.dtype} values: store uint8 (divided by 255 on loading) or floats"
        )
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite: Dataset says so
        return torch.from_numpy(array.astype(np.float32))


def _targets(array: npt.NDArray[Any], where: str, tokens: bool) -> Tensor:
    """Return targets as int64 (N,), or (N, T) where they are those of token numbers."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 and not (tokens and array.ndim == 2):
        raise DataError(
            f"{where} has shape {array.shape}: it must be (N,), one class number an example"
        )
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} holds {array.dtype} values: labels must be whole numbers from 0")
    # NaN fails both comparisons; the upper one keeps the cast to int64 exact.
    bad = ~((array >= 0) & (array < 2**53)) | (array != np.floor(array))
    if bad.any():
        value = array[bad][0].item()
        raise DataError(f"{where} has label {value}: number the classes by whole numbers from 0")
    return torch.from_numpy(array.astype(np.int64))
