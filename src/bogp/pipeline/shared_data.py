"""Data that several processes work on: each loads and splits them once, and checks them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bogp.data import DATASETS, Dataset, Split, load_dataset, split
from bogp.errors import DataError, OutputError

_TENSORS = (
    *("train_inputs", "train_targets", "test_inputs", "test_targets"),
    *("select_inputs", "select_targets"),
)

_ALIGNED = 64
"""Bytes at whose multiples torch's own memory begins."""


@dataclass(frozen=True)
class DataSource:
    """Where a process finds a dataset: small, and the same text for every worker.

    Attributes:
        name: the dataset's.
        fingerprint: of its content; data of another are refused.
        source: what :func:`bogp.data.load_dataset` takes, or, if ``stored``, a file that
            :func:`shared_data` wrote. None where only the process that holds the data can use them.
        stored: whether ``source`` is such a file.
    """

    name: str
    fingerprint: str
    source: str | None = None
    stored: bool = False

    def dataset(self) -> Dataset:
        """Return the dataset: the one this process holds, or the one at the source.

        Raises:
            DataError: there are no data at the source, or other ones.
        """
        held = _held.get(self.fingerprint)
        return held[-1] if held else _loaded(self)

    def split(self, protocol: str) -> Split:
        """Return the parts under ``protocol``; the process keeps the last ones.

        Raises:
            DataError: there are no data at the source, or other ones.
        """
        return _split(self, protocol)


_held: dict[str, list[Dataset]] = {}
"""Fingerprint → the datasets of the blocks that run in this process, which needs no other copy."""


@contextlib.contextmanager
def shared_data(
    data: Dataset | str | os.PathLike[str], *, stored: bool = False, named: bool = True
) -> Iterator[tuple[Dataset, DataSource]]:
    """Load ``data`` and say where others find them, for as long as the block runs.

    Args:
        data: a dataset, or its name or path.
        stored: whether to write what has no name or path to a temporary file, which is removed at
            the end (after a SIGKILL it is left to the system). Workers read it, so that a dataset
            does not travel with each task.
        named: whether others may call the function of a ``"package.module:function"`` themselves;
            it is then to return the same data each time.

    Raises:
        DataError, UnknownNameError: see :func:`bogp.data.load_dataset`.
        OutputError: the temporary file cannot be written.
    """
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    found = DataSource(dataset.name, dataset.fingerprint, _place(data, named))
    held = _held.setdefault(dataset.fingerprint, [])
    held.append(dataset)
    with contextlib.ExitStack() as stack:
        if stored and found.source is None:
            path = stack.enter_context(_written(dataset))
            found = replace(found, source=path, stored=True)
        try:
            yield dataset, found
        finally:
            _split.cache_clear()
            held.remove(dataset)
            if not held:
                _held.pop(dataset.fingerprint, None)


def _place(data: Dataset | str | os.PathLike[str], named: bool) -> str | None:
    """Return where ``data`` are for a process in whatever folder, or None without name or path."""
    if isinstance(data, Dataset):
        return None
    text = os.fspath(data)
    if text in DATASETS:
        return text
    path = Path(text).expanduser()
    if path.exists():
        return str(path.resolve())
    return text if named else None


@contextlib.contextmanager
def _written(dataset: Dataset) -> Iterator[str]:
    """Write a dataset to a temporary file for as long as the block runs."""
    # By numpy: safetensors takes no tensors that share memory, as those of a user may.
    tensors = {name: getattr(dataset, name) for name in _TENSORS}
    arrays = {n: value.detach().cpu().numpy() for n, value in tensors.items() if value is not None}
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bogp-data-"))
            path = Path(folder) / "data.npz"
            with path.open("wb") as file:
                np.savez(file, name=np.array(dataset.name), classes=dataset.classes, **arrays)
        except OSError as error:
            raise OutputError(
                f"cannot write the data for the workers to {tempfile.gettempdir()!r} ({error}): "
                "set TMPDIR to a folder that has room, or use one worker"
            ) from error
        yield str(path)


@lru_cache(maxsize=1)
def _loaded(source: DataSource) -> Dataset:
    if source.source is None:
        raise DataError(
            f"dataset {source.name!r} is held by another process alone: "
            "give its name or path, or let shared_data write it to a file"
        )
    found = _read(source) if source.stored else load_dataset(source.source)
    if found.fingerprint != source.fingerprint:
        raise DataError(
            f"the data of {source.source!r} differ between the processes of one study "
            f"(fingerprints {found.fingerprint[:12]} here, {source.fingerprint[:12]} there): "
            "give all of them the same files"
        )
    return found


def _read(source: DataSource) -> Dataset:
    assert source.source is not None
    try:
        with np.load(source.source, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"dataset {source.name!r} is not to be read from {source.source!r} ({error}): "
            "workers on other machines need data by a name or path that they have too"
        ) from error
    tensors = {name: torch.from_numpy(arrays[name]) for name in _TENSORS if name in arrays}
    return Dataset(str(arrays["name"]), classes=int(arrays["classes"]), **tensors)


@lru_cache(maxsize=1)
def _split(source: DataSource, protocol: str) -> Split:
    parts = split(source.dataset(), protocol, seed=0)
    tensors: dict[str, Any] = {
        name: _aligned(value)
        for name, value in vars(parts).items()
        if isinstance(value, torch.Tensor)
    }
    return replace(parts, **tensors)


def _aligned(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in memory of torch's own: a matrix product may round by where data lie."""
    whole = tensor.contiguous()
    return whole if whole.data_ptr() % _ALIGNED == 0 else whole.clone()
