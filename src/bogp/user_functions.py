"""Functions of the user's own, named as ``package.module:function``."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bogp.errors import BogpError, first_line

_PATH = re.compile(r"[^\W\d]\w*(\.\w+)*:[^\W\d]\w*")


def is_function_path(text: str) -> bool:
    """Return whether ``text`` has the form of ``package.module:function``.

    >>> is_function_path("my.models:small"), is_function_path("mlp:128")
    (True, False)
    """
    return _PATH.fullmatch(text) is not None


def qualified_name(function: Any) -> str | None:
    """Return module and name of a function that is defined with def; None for any other thing.

    >>> qualified_name(is_function_path), qualified_name(lambda: 0)
    ('bogp.user_functions.is_function_path', None)
    """
    name = getattr(function, "__qualname__", None)
    if not callable(function) or name is None or "<lambda>" in name:
        return None
    return f"{function.__module__}.{name}"


@contextmanager
def current_folder_importable() -> Iterator[None]:
    """Let imports find the current folder, as ``python -m`` does, while the block runs."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def import_function(
    source: str, what: str, result: str, failure: type[BogpError]
) -> Callable[[], Any]:
    """Return the function ``"package.module:function"``, which is called without arguments.

    It is found as ``python -m`` would find it, from the current folder, and so is whatever it
    imports when it is called. A class will do as well.

    Args:
        source: the module and the function.
        what: what the function makes, for errors: "model", say.
        result: what it must return, for errors: "an nn.Module", say.
        failure: the error to raise, here and where a later call fails.

    Raises:
        failure: the module or the function is not there.
    """
    module_name, _, name = source.partition(":")
    try:
        with current_folder_importable():
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise failure(
            f"cannot import module {module_name!r} of {what} {source!r}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    function: Any = getattr(module, name, None)
    if not callable(function):
        fault = "has no function" if function is None else "holds no function under the name"
        raise failure(f"module {module_name!r} {fault} {name!r}: name one that returns {result}")

    def call() -> Any:
        try:
            with current_folder_importable():
                return function()
        except (Exception, SystemExit) as error:
            raise failure(
                f"{source!r} failed when called: {type(error).__name__}: {first_line(error)}"
            ) from error

    return call
