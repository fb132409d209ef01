"""What a function is for, in one line of its docstring: for lists, help and tables."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def summary(function: Callable[..., Any]) -> str:
    """Return what the first paragraph of a docstring says that its function returns.

    >>> summary(summary)
    'what the first paragraph of a docstring says that its function returns'
    """
    first = (inspect.getdoc(function) or "").split("\n\n")[0]
    return " ".join(first.replace("``", "").split()).removeprefix("Return ").rstrip(".")
