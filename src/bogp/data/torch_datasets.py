"""From torch Datasets to a dataset in memory."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import TensorDataset

from bogp.data.arrays import LABEL_LIMIT, build_dataset
from bogp.data.dataset import Dataset
from bogp.data.split import held_out
from bogp.errors import DataError
from bogp.keys import derive_seed

Arrays = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]

SHARE = 1 / 6
"""Of the training set that is put by as the test set, where there is neither that nor another."""


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
    parts = {"train": _collect(train, f"the training set of {name!r}")}
    if select is not None:
        parts["select"] = _collect(select, f"the validation set of {name!r}")
    if test is not None:
        parts["test"] = _collect(test, f"the test set of {name!r}")
    else:
        source, share = ("train", SHARE) if select is None else ("select", 0.5)
        parts |= _put_by(parts[source], source, share, name, seed)
    arrays = {f"x_{part}": pair[0] for part, pair in parts.items()}
    arrays |= {f"y_{part}": pair[1] for part, pair in parts.items()}
    return build_dataset(name, arrays, tokens=True)


def _put_by(pair: Arrays, source: str, share: float, name: str, seed: int) -> dict[str, Arrays]:
    """Return what is left of a part, and the test set that is drawn from it."""
    inputs, targets = pair
    count = round(share * len(targets))
    if not 0 < count < len(targets):
        what = "training" if source == "train" else "validation"
        raise DataError(
            f"the {what} set of {name!r} has {len(targets)} examples, too few to put some by as "
            "the test set: give a test set, or more examples"
        )
    if targets.min() < 0 or targets.max() >= max(LABEL_LIMIT, targets.size):
        wrong = targets.min() if targets.min() < 0 else targets.max()
        raise DataError(f"{name!r} has label {wrong}: number the classes 0, 1, 2, ...")
    drawn = held_out(torch.from_numpy(targets), count, derive_seed(seed, "put by"))
    keep, hold = (rows.numpy() for rows in drawn)
    return {source: (inputs[keep], targets[keep]), "test": (inputs[hold], targets[hold])}


def _collect(dataset: Any, where: str) -> Arrays:
    """Return the inputs (N, *shape) and targets (N,) or (N, T) of a map-style dataset."""
    whole = _whole(dataset, where)
    if whole is not None:
        return whole
    try:
        length = len(dataset)
    except Exception as error:
        raise DataError(
            f"{where} is {kind(dataset)} without a length: return a map-style torch Dataset"
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
    try:
        item = dataset[index]
    except Exception as error:
        raise DataError(f"example {index} of {where} cannot be read: {reason(error)}") from error
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"example {index} of {where} is {kind(item)}: it must be (tensor, int)")
    value, label = item
    if not isinstance(value, torch.Tensor | np.ndarray) or not value.ndim:
        raise DataError(
            f"example {index} of {where} has {kind(value)} as its input: return a tensor of at "
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
            f"example {index} of {where} is not a pair (tensor, int): {reason(error)}"
        ) from error


def kind(value: Any) -> str:
    """Return what a value is, in words."""
    size = f" of length {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"


def reason(error: BaseException) -> str:
    """Return the first line of an error."""
    lines = str(error).splitlines() or ["no reason given"]
    return f"{type(error).__name__}: {lines[0][:200]}"
