"""`load_dataset`: a dataset by name, file, folder or function."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from bogp.data.arrays import Arrays, make_dataset
from bogp.data.dataset import Dataset
from bogp.data.idx import idx_dataset, read_idx_folder
from bogp.data.mnist import is_canonical
from bogp.data.named import DATASETS
from bogp.data.torch_datasets import load_function
from bogp.errors import DataError, UnknownNameError, first_line
from bogp.outside import check_unfolded
from bogp.user_functions import is_function_path

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""The arrays of an .npz file (keras' names)."""


def load_dataset(source: str | os.PathLike[str]) -> Dataset:
    """Return the dataset that ``source`` names, in memory.

    - ``"mnist"``: 60,000 and 10,000 images (28, 28), downloaded once (20 MB) into `cache_folder`.
    - ``"digits"``: scikit-learn's 1797 images (8, 8), a fixed 1437 to train and 360 to test.
    - ``"text"``: the help topics that come with Python as sequences of 32 characters (T,), their
      targets the next characters (T,): for token models.
    - a folder with the four IDX files of MNIST or of a dataset with the same names.
    - a path that ends in ``.npz``, with arrays x_train, y_train, x_test and y_test.
    - ``"package.module:function"``: the function, called without arguments, returns the training
      and the test set, or training, validation and test set, as torch Datasets of (tensor, int)
      pairs; modules of the current folder are found too.

    Images of bytes become floats in [0, 1] (byte / 255); floats are left as they are. A name comes
    before a file of the same name: write ``./digits`` for a folder called digits.

    Raises:
        UnknownNameError: ``source`` is no known name and does not look like a path.
        DataError: the data cannot be found, read or made sense of.

    >>> digits = load_dataset("digits")
    >>> digits.train_inputs.shape, digits.test_inputs.shape, digits.classes
    (torch.Size([1437, 8, 8]), torch.Size([360, 8, 8]), 10)
    """
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"data {source!r} are none: give a bogp.Dataset, or the name or path of one"
        )
    text = os.fspath(source)
    if text in DATASETS:
        return DATASETS[text]()
    try:
        path = Path(text).expanduser()
        exists, is_folder = bool(text) and path.exists(), bool(text) and path.is_dir()
    except (OSError, RuntimeError) as error:  # no permission, too long, or no such ~user
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot look at {text!r} ({reason}): give another path") from error
    if is_folder:
        return _load_idx(path)
    if path.suffix.lower() == ".npz":
        return _load_npz(path)
    if is_function_path(text):
        return load_function(text)
    if exists:
        raise DataError(f"file {text!r} is not an .npz file: give one, or a folder of IDX files")
    if path.name != text or path.suffix or ":" in text:
        raise DataError(
            f"no data at {text!r}: give an existing .npz file or folder of IDX files, "
            f"package.module:function, or one of {', '.join(sorted(DATASETS))}"
        )
    raise UnknownNameError("dataset", text, DATASETS)


def _load_idx(folder: Path) -> Dataset:
    """Return the dataset of a folder of four IDX files, each plain or .gz.

    It is called after the folder, except that MNIST itself is called mnist wherever it lies.

    Raises:
        DataError: a file is missing, corrupt or truncated, or images and labels do not match.
    """
    files = read_idx_folder(folder)
    return idx_dataset("mnist" if is_canonical(files) else folder.resolve().name, files)


_UNREADABLE = (
    *(OSError, ValueError, EOFError, RuntimeError, MemoryError, KeyError),
    *(SyntaxError, tokenize.TokenError),  # from the header of an array
    *(zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile raise on a file that is damaged or holds Python objects."""


def _load_npz(path: Path) -> Dataset:
    """Return the dataset of an .npz file, called after the file.

    Raises:
        DataError: the file or an array is missing, corrupt, or of a wrong type or shape.
    """
    if not path.is_file():
        raise DataError(f"no data at {str(path)!r}: give an existing .npz file")
    try:
        # np.load takes what is no zip file for something else and then complains about that.
        if not zipfile.is_zipfile(path):
            raise DataError(f"{str(path)!r} is no .npz file, or a corrupt or truncated one")
        # Opened here because np.load leaves a file open whose directory of members is damaged.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file.files]
            if missing:
                raise DataError(
                    f"{str(path)!r} has no array {', '.join(missing)} (it has "
                    f"{', '.join(sorted(file.files)) or 'none'}): save {', '.join(ARRAYS)}"
                )
            _check_members(path)
            x_train, y_train, x_test, y_test = (np.asarray(file[name]) for name in ARRAYS)
    except _UNREADABLE as error:
        raise DataError(
            f"cannot read {str(path)!r} ({first_line(error)}): save it again with numpy.savez"
        ) from error
    parts: dict[str, Arrays] = {"train": (x_train, y_train), "test": (x_test, y_test)}
    return make_dataset(path.stem, parts)


def _check_members(path: Path) -> None:
    """Raise ValueError if an array claims to be larger than it is, or the file than it can be.

    numpy makes room for what the header of an array claims before it reads the array.
    """
    with zipfile.ZipFile(path) as archive:
        members = [archive.getinfo(f"{name}.npy") for name in ARRAYS]
        check_unfolded(path.stat().st_size, sum(member.file_size for member in members))
        for member in members:
            with archive.open(member) as file:
                if np.lib.format.read_magic(file) == (1, 0):
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                else:
                    shape, _, dtype = np.lib.format.read_array_header_2_0(file)
                size = file.tell() + math.prod(shape) * dtype.itemsize
            if size != member.file_size and not dtype.hasobject:
                raise ValueError(
                    f"{member.filename} says that it has {size} bytes, and has {member.file_size}"
                )
