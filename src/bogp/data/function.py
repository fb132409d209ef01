"""A dataset that a function of the user's returns as torch Datasets."""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bogp.data.arrays import build_dataset
from bogp.data.dataset import Dataset
from bogp.errors import DataError


def load_function(source: str) -> Dataset:
    """Return the dataset of ``"package.module:function"``, loaded into memory.

    The function is called without arguments and returns two map-style torch Datasets, training and
    test, whose items are pairs (tensor, int). Every item is asked for once, so that a transform
    that draws at random is frozen into one draw.

    Raises:
        DataError: the import, the function, the call or an item fails or is of a wrong shape.
    """
    with _current_folder_importable():
        function = _import(source)
        try:
            result = function()
        except (Exception, SystemExit) as error:
            raise DataError(f"{source!r} failed when called: {_reason(error)}") from error
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise DataError(
                f"{source!r} returned {_kind(result)}: it must return (train_dataset, test_dataset)"
            )
        x_train, y_train = _collect(result[0], f"the training set of {source!r}")
        x_test, y_test = _collect(result[1], f"the test set of {source!r}")
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return build_dataset(source, arrays)


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    """Let imports find the current folder, as ``python -m`` does, and then no longer."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _import(source: str) -> Callable[[], Any]:
    module_name, _, name = source.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise DataError(
            f"cannot import module {module_name!r} of dataset {source!r}: {_reason(error)}"
        ) from error
    function: Any = getattr(module, name, None)
    if not callable(function):
        fault = "has no function" if function is None else "holds no function under the name"
        raise DataError(f"module {module_name!r} {fault} {name!r}: name one that returns datasets")
    return function  # type: ignore[no-any-return]


def _collect(dataset: Any, where: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the inputs (N, *shape) and labels (N,) of a map-style dataset."""
    try:
        length = len(dataset)
    except Exception as error:
        raise DataError(
            f"{where} is {_kind(dataset)} without a length: return a map-style torch Dataset"
        ) from error
    inputs: list[npt.NDArray[Any]] = []
    labels: list[np.int64] = []
    for index in range(length):
        value, label = _item(dataset, index, where)
        if inputs and (value.shape != inputs[0].shape or value.dtype != inputs[0].dtype):
            raise DataError(
                f"example {index} of {where} is {value.dtype} of shape {value.shape} but the first "
                f"is {inputs[0].dtype} of shape {inputs[0].shape}: give all one type and shape"
            )
        inputs.append(value)
        labels.append(label)
    if not inputs:
        raise DataError(f"{where} is empty: it needs at least one example")
    return np.stack(inputs), np.array(labels, dtype=np.int64)


def _item(dataset: Any, index: int, where: str) -> tuple[npt.NDArray[Any], np.int64]:
    try:
        item = dataset[index]
    except Exception as error:
        raise DataError(f"example {index} of {where} cannot be read: {_reason(error)}") from error
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"example {index} of {where} is {_kind(item)}: it must be (tensor, int)")
    value, label = item
    if not isinstance(value, torch.Tensor | np.ndarray) or not value.ndim:
        raise DataError(
            f"example {index} of {where} has {_kind(value)} as its input: return a tensor of at "
            "least one dimension (a ToTensor transform makes one of an image)"
        )
    try:
        array = np.asarray(torch.as_tensor(value).detach().cpu().numpy())
        return array, np.int64(operator.index(label))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise DataError(
            f"example {index} of {where} is not a pair (tensor, int): {_reason(error)}"
        ) from error


def _kind(value: Any) -> str:
    size = f" of length {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines() or ["no reason given"]
    return f"{type(error).__name__}: {lines[0][:200]}"
