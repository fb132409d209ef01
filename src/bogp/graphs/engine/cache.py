"""Where compiled kernels are kept between starts, and when they are out of date.

Numba keeps the machine code of a function on disk and compiles anew when the function's own file
has changed. But the code of a kernel holds that of the kernels it calls, which may lie in other
files. So here the name of each kept file ends in a stamp of the sources that a kernel may call, all
in its own folder and in this one: code of other sources is never found, whoever writes at the same
time. Folders are numba's: that of the
variable NUMBA_CACHE_DIR, ``__pycache__`` beside the source, or the user's. Where none can be
written, kernels are compiled at every start.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import caching

_numba: Any = caching  # has no types of its own
_ENGINE = Path(__file__).resolve().parent


def keep(dispatcher: Any) -> Any:
    """Let the machine code of a numba dispatcher be kept on disk, where it can be; return it."""
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError:  # numba found no folder
        _warn()
    return dispatcher


@cache
def stamp(folder: Path) -> str:
    """Return a name for the sources in a folder and in the engine, and for what compiles them."""
    found = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for place in dict.fromkeys((_ENGINE, folder)):
        for path in sorted(place.glob("*.py")):
            content = path.read_bytes()
            found.update(f"\n{path.name} {len(content)}\n".encode())
            found.update(content)
    return found.hexdigest()[:12]


class _KernelFiles(_numba.CompileResultCacheImpl):  # type: ignore[misc]
    """Numba's files of one function, the stamp at the end of their names."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._stamp = stamp(Path(inspect.getfile(function)).resolve().parent)
        super().__init__(function)

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-{self._stamp}"

    def remove_stale(self) -> None:
        """Delete what this version of Python kept of the function from other sources."""
        name, version = self.filename_base.removesuffix(f"-{self._stamp}").rsplit("-", 1)
        version = version.rpartition(".")[2]
        kept = re.compile(rf"{re.escape(name)}-\w+\.{version}(-[0-9a-f]+)?(\.\d+)?\.nb[ic]")
        for path in Path(self.locator.get_cache_path()).iterdir():
            match = kept.fullmatch(path.name)
            if match and match[1] != f"-{self._stamp}":
                path.unlink(missing_ok=True)


class _KernelCache(_numba.FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function; a file that cannot be read or written is done without."""

    _impl_class = _KernelFiles

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            self._impl.remove_stale()
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


@cache
def _warn() -> None:
    """Say, for the first of many functions only, why every start will be slow."""
    warnings.warn(
        "no folder for compiled kernels can be written, so each start compiles those it needs: set "
        "NUMBA_CACHE_DIR to a folder that can",
        RuntimeWarning,
        stacklevel=3,
    )
