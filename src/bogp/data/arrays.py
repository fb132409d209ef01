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

_PARTS = ("train", "test")


def build_dataset(name: str, arrays: dict[str, npt.NDArray[Any]]) -> Dataset:
    """Return the dataset of ``arrays`` x_train, y_train, x_test and y_test (keras' names).

    uint8 inputs are divided by 255, floats are left as they are. Labels are whole numbers from 0 in
    an array (N,) or (N, 1); the number of classes is the highest label of both sets plus one.

    Raises:
        DataError: an array is of another type or shape, or the result is no sound `Dataset`.
    """
    targets = {part: _targets(arrays[f"y_{part}"], f"y_{part} of {name!r}") for part in _PARTS}
    highest = max((int(labels.max()) for labels in targets.values() if labels.numel()), default=0)
    if highest >= max(LABEL_LIMIT, len(targets["train"])):
        raise DataError(
            f"dataset {name!r} has label {highest} with {len(targets['train'])} training examples: "
            "number the classes 0, 1, 2, ..."
        )
    inputs = {part: _inputs(arrays[f"x_{part}"], f"x_{part} of {name!r}") for part in _PARTS}
    return Dataset(
        name=name,
        train_inputs=inputs["train"],
        train_targets=targets["train"],
        test_inputs=inputs["test"],
        test_targets=targets["test"],
        classes=highest + 1,
    )


def _inputs(array: npt.NDArray[Any], where: str) -> torch.Tensor:
    if array.ndim < 2:
        raise DataError(f"{where} has shape {array.shape}: it must be (N, ...)")
    if array.dtype == np.uint8:
        return torch.from_numpy(array.astype(np.float32)).div_(255)
    if array.dtype.kind != "f":
        raise DataError(
            f"{where} holds {array.dtype} values: store uint8 (divided by 255 on loading) or floats"
        )
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite: Dataset says so
        return torch.from_numpy(array.astype(np.float32))


def _targets(array: npt.NDArray[Any], where: str) -> torch.Tensor:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
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
