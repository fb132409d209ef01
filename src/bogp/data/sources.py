"""`load_dataset`: a dataset by name, path or function."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.data.arrays import build_dataset
from bogp.data.dataset import Dataset
from bogp.data.function import load_function
from bogp.data.idx import IDX_FILES, parse_idx, read_idx_folder
from bogp.data.mnist import is_canonical, mnist_files
from bogp.data.split import stratified_draw
from bogp.data.text import load_text
from bogp.errors import DataError, UnknownNameError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""The arrays of an .npz file (keras' names)."""

DIGITS_TEST = 360
DIGITS_SEED = 0


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
    text = os.fspath(source)
    if text in DATASETS:
        return DATASETS[text]()
    path, exists, is_folder = _look_up(text)
    if is_folder:
        return load_idx(path)
    if path.suffix.lower() == ".npz":
        return load_npz(path)
    if re.fullmatch(r"[^\W\d]\w*(\.\w+)*:[^\W\d]\w*", text):
        return load_function(text)
    if exists:
        raise DataError(f"file {text!r} is not an .npz file: give one, or a folder of IDX files")
    if path.name != text or path.suffix or ":" in text:
        raise DataError(
            f"no data at {text!r}: give an existing .npz file or folder of IDX files, "
            f"package.module:function, or one of {', '.join(sorted(DATASETS))}"
        )
    raise UnknownNameError("dataset", text, DATASETS)


def load_mnist() -> Dataset:
    """Return MNIST from the checked cache, which is made by a download if need be.

    Raises:
        DataError: it is not in the cache and cannot be fetched.
    """
    return _from_idx("mnist", mnist_files())


def load_digits() -> Dataset:
    """Return scikit-learn's 8 x 8 digits, the values 0 to 16 divided by 16.

    The 360 test images are a stratified draw (`stratified_draw`) with a seed of its own, the same
    for everyone: no seed of a search moves an image from one set to the other.
    """
    # Imported here: scikit-learn takes a second to import and only this source needs it.
    from sklearn.datasets import load_digits as sklearn_digits

    digits = sklearn_digits()
    inputs, targets = (digits.images / 16).astype(np.float32), digits.target.astype(np.int64)
    test = stratified_draw(targets, DIGITS_TEST, DIGITS_SEED)
    parts = inputs[~test], targets[~test], inputs[test], targets[test]
    return build_dataset("digits", dict(zip(ARRAYS, parts, strict=True)))


def load_idx(folder: Path) -> Dataset:
    """Return the dataset of a ``folder`` of four IDX files, each plain or .gz.

    It is called after the folder, except that MNIST itself is called mnist wherever it lies.

    Raises:
        DataError: a file is missing, corrupt or truncated, or images and labels do not match.
    """
    files = read_idx_folder(folder)
    name = "mnist" if is_canonical(files) else folder.resolve().name
    return _from_idx(name, files)


def load_npz(path: Path) -> Dataset:
    """Return the dataset of an .npz file with arrays x_train, y_train, x_test and y_test.

    Raises:
        DataError: the file or an array is missing, corrupt, or of a wrong type or shape.
    """
    if not path.is_file():
        raise DataError(f"no data at {str(path)!r}: give an existing .npz file")
    return build_dataset(path.stem, _npz_arrays(path))


DATASETS: dict[str, Callable[[], Dataset]] = {
    "mnist": load_mnist,
    "digits": load_digits,
    "text": load_text,
}
"""The datasets known by name."""


def _look_up(text: str) -> tuple[Path, bool, bool]:
    """Return the path that ``text`` may be, whether it exists and whether it is a folder."""
    try:
        path = Path(text).expanduser()
        return path, bool(text) and path.exists(), bool(text) and path.is_dir()
    except (OSError, RuntimeError) as error:  # no permission, too long, or no such ~user
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot look at {text!r} ({reason}): give another path") from error


def _from_idx(name: str, files: dict[str, bytes]) -> Dataset:
    """Return the dataset of four IDX files given by standard name."""
    parts = [parse_idx(files[file], IDX_FILES[file], file) for file in IDX_FILES]
    return build_dataset(name, dict(zip(ARRAYS, parts, strict=True)))


_UNREADABLE = (
    *(OSError, ValueError, EOFError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile raise on a file that is damaged or holds Python objects."""


def _npz_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
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
            return {name: np.asarray(file[name]) for name in ARRAYS}
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot read {str(path)!r} ({reason}): save it again with numpy.savez"
        ) from error
