"""Values from outside, files of any origin say: checked before they are used or make room."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import pydantic

UNFOLDED_BYTES = 1 << 28
"""A packed file may unfold to so many bytes whatever its size."""

UNFOLDED_SHARE = 100
"""A larger one may unfold to so many times its size; images and tables stay far below."""


def parsed(kind: Any, text: str | bytes) -> Any:
    """Return the JSON ``text`` as a value of the type ``kind``: nothing is taken for another type.

    Arrays become the tuples and objects the dataclasses that the type has. ``Any`` takes what it
    gets, nested up to about 200 deep.

    Raises:
        ValueError: the text is no JSON, nested too deeply, or of another type.

    >>> parsed(dict[str, tuple[int, ...]], '{"shape": [2, 3]}')
    {'shape': (2, 3)}
    >>> parsed(tuple[str, ...], "[1]")
    Traceback (most recent call last):
    ValueError: 0: Input should be a valid string, got 1
    """
    try:
        return _adapter(kind).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        raise ValueError(_first(error)) from None


def conforming(kind: Any, value: Any) -> Any:
    """Return a JSON value, which another library has read, as :func:`parsed` returns its text.

    Raises:
        ValueError: it is of another type, no JSON, or nested too deeply.

    >>> conforming(tuple[float, ...], [0.5, "1"])
    Traceback (most recent call last):
    ValueError: 1: Input should be a valid number, got '1'
    """
    try:
        text = json.dumps(value)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return parsed(kind, text)


def check_unfolded(packed: int, unfolded: int) -> None:
    """Raise unless a file of ``packed`` bytes may be unfolded to as many as it claims.

    Raises:
        ValueError: it claims more than any file of measured values does.

    >>> check_unfolded(1 << 20, 1 << 30)
    Traceback (most recent call last):
    ValueError: 1048576 bytes would unfold to 1073741824
    """
    if unfolded > max(UNFOLDED_BYTES, UNFOLDED_SHARE * packed):
        raise ValueError(f"{packed} bytes would unfold to {unfolded}")


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind)


def _first(error: pydantic.ValidationError) -> str:
    """Return the first thing that is wrong, in one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    given = repr(first["input"])
    shown = "" if first["type"] == "json_invalid" else f", got {given[:40]}"
    return f"{where}: {first['msg']}{shown}" if where else f"{first['msg']}{shown}"
