"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bogp.errors import OutputError


def output_folder(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as an existing, writable folder, making it if need be.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to folder {str(folder)!r} ({error.strerror or error}): "
            "choose another folder or change its permissions"
        ) from error
    return folder


@contextlib.contextmanager
def kept_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make ``path`` a writable folder; one that is new and still empty goes if the block fails.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    there = Path(path).exists()
    folder = output_folder(path)
    try:
        yield folder
    except BaseException:
        if not there:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write ``content`` to ``path`` so that a kill leaves either the old file or the new one.

    Raises:
        OutputError: the file cannot be written.
    """
    target = Path(path)
    with new_file(target) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return target


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the name of a new file, which takes the place of ``path`` once the block has ended.

    Raises:
        OutputError: the file cannot be written.
    """
    output_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            yield Path(name)
            with Path(name).open("rb") as file:
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r} ({error.strerror or error})") from error
