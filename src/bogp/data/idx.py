"""IDX, the file format of MNIST and of the datasets made to look like it.

A file is a magic number (two zero bytes, the type 8 = unsigned byte, the number of dimensions), the
dimensions as big-endian 32-bit numbers, then the bytes.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bogp.data.arrays import Arrays, make_dataset
from bogp.data.dataset import Dataset
from bogp.errors import DataError
from bogp.outside import check_unfolded

IDX_FILES = {
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}
"""The standard names, in the order training images, training labels, test images, test labels,
with the number of dimensions of each."""


def read_idx_folder(folder: Path) -> dict[str, bytes]:
    """Return the four files of ``folder``, unzipped and checked, under their standard names.

    Each may be plain or end in .gz, and may be written with a dot, as train-images.idx3-ubyte.

    Raises:
        DataError: a file is missing, is no IDX file, or is longer or shorter than it says.
    """
    try:
        paths = {name: _find(folder, name) for name in IDX_FILES}
    except OSError as error:
        raise DataError(f"cannot look into {str(folder)!r} ({error.strerror}): check it") from error
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"folder {str(folder)!r} has no {', '.join(missing)} (plain or .gz): "
            "put the four IDX files there or name another folder"
        )
    files = {}
    for name, path in paths.items():
        assert path is not None  # the missing ones were reported above
        files[name] = _read(path)
        parse_idx(files[name], IDX_FILES[name], str(path))
    return files


def idx_dataset(name: str, files: Mapping[str, bytes]) -> Dataset:
    """Return the dataset of the four files, given unzipped under their standard names.

    Raises:
        DataError: a file does not match its own header, or images and labels do not match.
    """
    images, labels, test_images, test_labels = (
        parse_idx(files[file], dimensions, file) for file, dimensions in IDX_FILES.items()
    )
    parts: dict[str, Arrays] = {"train": (images, labels), "test": (test_images, test_labels)}
    return make_dataset(name, parts)


def parse_idx(content: bytes, dimensions: int, where: str) -> npt.NDArray[np.uint8]:
    """Return the bytes of one IDX file as an array of that many ``dimensions`` (a read-only view).

    Raises:
        DataError: the content, named by ``where``, does not match its own header.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), 1, "labels")
    array([7, 8, 9], dtype=uint8)
    """
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, 8, dimensions])
    if content[:4] != magic[: len(content)]:
        raise DataError(
            f"{where} is not an IDX file of {dimensions} dimension(s): it begins with "
            f"{content[:4].hex()} instead of {magic.hex()}"
        )
    if len(content) < header:
        raise DataError(
            f"{where} is truncated: expected at least {header} bytes, found {len(content)}; "
            "fetch it again"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise DataError(
            f"{where} is {fault}: expected {expected} bytes for dimensions {shape}, "
            f"found {len(content)}; fetch it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def format_idx(array: npt.NDArray[np.uint8]) -> bytes:
    """Return ``array`` as the content of an IDX file.

    >>> format_idx(np.array([7, 8, 9], dtype=np.uint8)).hex()
    '0000080100000003070809'
    """
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def _find(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")
    choices = (folder / f"{stem}{end}" for end in ("", ".gz") for stem in (name, dotted))
    return next((path for path in choices if path.is_file()), None)


def _read(path: Path) -> bytes:
    """Return the content of a file, unzipped where its name ends in .gz."""
    try:
        return _unzip(path) if path.suffix == ".gz" else path.read_bytes()
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is corrupt ({error}): fetch it again") from error
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error.strerror or error}): check its permissions"
        ) from error


def _unzip(path: Path) -> bytes:
    """Return the whole of a gzip file, or raise DataError, which says how far a cut one got."""
    content, whole = bytearray(), True
    with gzip.open(path) as file:
        try:
            while part := file.read1():
                content += part
                check_unfolded(path.stat().st_size, len(content))
        except EOFError:
            whole = False
        except ValueError as error:
            raise DataError(f"{path} is no file of a dataset ({error}): give another") from error
    if content and whole:
        return bytes(content)
    raise DataError(
        f"{path} is truncated: expected {_expected_bytes(content)} unzipped bytes, found "
        f"{len(content)} in a gzip file without its end; fetch it again"
    )


def _expected_bytes(content: bytearray) -> str:
    """Return how long the beginning of an IDX file says that the whole is, in words."""
    dimensions = content[3] if len(content) > 3 else 0
    header = 4 + 4 * dimensions
    if len(content) < header or dimensions == 0:
        return "more"
    return str(header + math.prod(struct.unpack(f">{dimensions}I", content[4:header])))
