"""A dataset that a function of the user's returns as torch Datasets."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bogp.data.dataset import Dataset
from bogp.data.torch_datasets import from_datasets, kind, reason
from bogp.errors import BogpError, DataError


def load_function(source: str) -> Dataset:
    """Return the dataset of ``"package.module:function"``, loaded into memory.

    The function is called without arguments and returns two map-style torch Datasets, training and
    test, or three, training, validation and test, as :func:`from_datasets` takes them. Every item
    is asked for once, so that a transform that draws at random is frozen into one draw.

    Raises:
        DataError: the import, the function, the call or an item fails or is of a wrong shape.
    """
    with current_folder_importable():
        function = import_function(source, "dataset", "datasets", DataError)
        try:
            result = function()
        except (Exception, SystemExit) as error:
            raise DataError(f"{source!r} failed when called: {reason(error)}") from error
        if not isinstance(result, tuple | list) or len(result) not in (2, 3):
            raise DataError(
                f"{source!r} returned {kind(result)}: it must return (train_dataset, test_dataset) "
                "or (train_dataset, validation_dataset, test_dataset)"
            )
        train, *select, test = result
        return from_datasets(train, select[0] if select else None, test, name=source)


@contextmanager
def current_folder_importable() -> Iterator[None]:
    """Let imports find the current folder, as ``python -m`` does, and then no longer."""
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
    """Return the function ``"package.module:function"`` of a ``what`` that returns a ``result``.

    Raises:
        failure: the module or the function is not there.
    """
    module_name, _, name = source.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise failure(
            f"cannot import module {module_name!r} of {what} {source!r}: {reason(error)}"
        ) from error
    function: Any = getattr(module, name, None)
    if not callable(function):
        fault = "has no function" if function is None else "holds no function under the name"
        raise failure(f"module {module_name!r} {fault} {name!r}: name one that returns {result}")
    return function  # type: ignore[no-any-return]
