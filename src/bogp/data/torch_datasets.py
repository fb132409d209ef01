"""From torch Datasets, and from a function that returns them, to a dataset in memory."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import TensorDataset

from bogp.data.arrays import Arrays, make_dataset
from bogp.data.dataset import Dataset
from bogp.errors import DataError, first_line
from bogp.user_functions import current_folder_importable, import_function


def from_datasets(
    train: Any, select: Any = None, test: Any = None, *, name: str = "own", seed: int = 0
) -> Dataset:
    """Return map-style torch Datasets as one dataset in memory.

    Items are pairs (tensor, int): images of bytes become floats in [0, 1] (byte / 255), floats are
    taken as float32. Token sequences are int64 tensors (T,), and their targets an int or int64
    (T,). Every item is asked for once. A pair of whole tensors, inputs and targets, is taken too.

    A test set that is not given is drawn by ``seed``, class by class, and put by: half of
    ``select``, or a sixth of ``train`` where that is not given either. Without ``select``,
    :func:`split` holds out a part of ``train``.

    Raises:
        DataError: a dataset has no length, cannot be read, is empty or too small to be shared out,
            or the shapes, types or labels do not fit together.

    >>> pair = torch.zeros(12, 3), torch.tensor([0, 1] * 6)
    >>> own = from_datasets(pair)
    >>> len(own.train_inputs), len(own.test_inputs)
    (10, 2)
    """
    given = {"train": ("training", train), "select": ("validation", select), "test": ("test", test)}
    parts = {
        part: _collect(dataset, f"the {what} set of {name!r}")
        for part, (what, dataset) in given.items()
        if dataset is not None or part == "train"
    }
    return make_dataset(name, parts, tokens=True, seed=seed)


def load_function(source: str) -> Dataset:
    """Return the dataset of ``"package.module:function"``, loaded into memory.

    The function is called without arguments and returns two map-style torch Datasets, training and
    test, or three, training, validation and test, as :func:`from_datasets` takes them. Every item
    is asked for once, so that a transform that draws at random is frozen into one draw.

    Raises:
        DataError: the import, the function, the call or an item fails or is of a wrong shape.
    """
    result = import_function(source, "dataset", "datasets", DataError)()
    if not isinstance(result, tuple | list) or len(result) not in (2, 3):
        raise DataError(
            f"{source!r} returned {_kind(result)}: it must return (train_dataset, test_dataset) "
            "or (train_dataset, validation_dataset, test_dataset)"
        )
    train, *select, test = result
    with current_folder_importable():
        return from_datasets(train, select[0] if select else None, test, name=source)


def _collect(dataset: Any, where: str) -> Arrays:
    """Return the inputs (N, *shape) and targets (N,) or (N, T) of a map-style dataset."""
    whole = _whole(dataset, where)
    if whole is not None:
        return whole
    try:
        length = len(dataset)
    except Exception as error:
        raise DataError(
            f"{where} is {_kind(dataset)} without a length: return a map-style torch Dataset"
        ) from error
    inputs: list[npt.NDArray[Any]] = []
    labels: list[npt.NDArray[np.int64]] = []
    for index in range(length):
        value, label = _item(dataset, index, where)
        if inputs and (value.shape != inputs[0].shape or value.dtype != inputs[0].dtype):
            raise DataError(
                f"example {index} of {where} is {value.dtype} of shape {value.shape} but the first "
                f"is {inputs[0].dtype} of shape {inputs[0].shape}: give all one type and shape"
            )
        if labels and label.shape != labels[0].shape:
            raise DataError(
                f"the target of example {index} of {where} has shape {label.shape} but that of "
                f"the first {labels[0].shape}: give all one shape"
            )
        inputs.append(value)
        labels.append(label)
    if not inputs:
        raise DataError(f"{where} is empty: it needs at least one example")
    return np.stack(inputs), np.stack(labels)


def _whole(dataset: Any, where: str) -> Arrays | None:
    """Return the tensors of a pair or a TensorDataset without asking for items one by one."""
    tensors = dataset.tensors if isinstance(dataset, TensorDataset) else dataset
    if type(tensors) is not tuple or len(tensors) != 2:
        return None
    inputs, targets = tensors
    if not all(isinstance(value, torch.Tensor | np.ndarray) for value in (inputs, targets)):
        return None
    values, labels = torch.as_tensor(inputs), torch.as_tensor(targets)
    if labels.is_floating_point() or labels.is_complex():
        raise DataError(f"the targets of {where} are {labels.dtype}: give class numbers, .long()")
    if values.dim() < 1 or labels.dim() < 1 or len(values) != len(labels):
        raise DataError(
            f"{where} is a pair of tensors of shapes {tuple(values.shape)} and "
            f"{tuple(labels.shape)}: give as many targets as inputs"
        )
    try:
        return values.detach().cpu().numpy(), labels.long().cpu().numpy()
    except (TypeError, RuntimeError) as error:
        raise DataError(
            f"the inputs of {where} are {values.dtype} ({values.layout}): give dense float32"
        ) from error


def _item(dataset: Any, index: int, where: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the input and the target, () or (T,), of one example."""
    try:
        item = dataset[index]
    except Exception as error:
        raise DataError(
            f"example {index} of {where} cannot be read: {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
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
        if isinstance(label, torch.Tensor | np.ndarray) and label.ndim == 1:
            numbers = torch.as_tensor(label)
            if numbers.is_floating_point() or numbers.is_complex():
                raise TypeError(f"its target holds {numbers.dtype}")
            return array, numbers.long().cpu().numpy()
        return array, np.array(operator.index(label), dtype=np.int64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise DataError(
            f"example {index} of {where} is not a pair (tensor, int): {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error


def _kind(value: Any) -> str:
    """Return what a value is, in words."""
    size = f" of length {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"
