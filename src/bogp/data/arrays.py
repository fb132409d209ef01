"""From arrays of any origin to the float32 inputs and int64 targets of a Dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bogp.data.dataset import Dataset
from bogp.errors import DataError

LABEL_LIMIT = 1000
"""Labels up to this are believed even if there are fewer examples than that."""

_PARTS = ("train", "test", "select")


def build_dataset(
    name: str, arrays: dict[str, npt.NDArray[Any]], *, tokens: bool = False
) -> Dataset:
    """Return the dataset of ``arrays`` x_train, y_train, x_test and y_test (keras' names).

    uint8 inputs are divided by 255, floats are left as they are. Labels are whole numbers from 0 in
    an array (N,) or (N, 1); the number of classes is the highest label of all sets plus one. With
    ``tokens``, int64 inputs are token numbers and left as they are, and labels may be (N, T).
    x_select and y_select are a validation set, if there is one.

    Raises:
        DataError: an array is of another type or shape, or the result is no sound `Dataset`.
    """
    parts = [part for part in _PARTS if f"x_{part}" in arrays]
    targets = {
        part: _targets(arrays[f"y_{part}"], f"y_{part} of {name!r}", tokens) for part in parts
    }
    highest = max((int(labels.max()) for labels in targets.values() if labels.numel()), default=0)
    if highest >= max(LABEL_LIMIT, targets["train"].numel()):
        raise DataError(
            f"dataset {name!r} has label {highest} with {len(targets['train'])} training examples: "
            "number the classes 0, 1, 2, ..."
        )
    inputs = {part: _inputs(arrays[f"x_{part}"], f"x_{part} of {name!r}", tokens) for part in parts}
    return Dataset(
        name=name,
        train_inputs=inputs["train"],
        train_targets=targets["train"],
        test_inputs=inputs["test"],
        test_targets=targets["test"],
        classes=highest + 1,
        select_inputs=inputs.get("select"),
        select_targets=targets.get("select"),
    )


def _inputs(array: npt.NDArray[Any], where: str, tokens: bool) -> torch.Tensor:
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


def _targets(array: npt.NDArray[Any], where: str, tokens: bool) -> torch.Tensor:
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
        raise DataError(f"{where} has label {value}: labels must be whole numbers from 0")
    return torch.from_numpy(array.astype(np.int64))
