"""The one checksum of everything that bogp writes and reads again, so that damage is noticed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

KEY = "checksum"
"""The field of a JSON object that holds the checksum of all the others."""


def checksum(fields: Any, *blobs: Any) -> str:
    """Return 8 hex digits over a JSON value and the bytes that go with it, CRC-32.

    CRC-32 finds every damage of up to 32 bits in a row, and misses one in 4·10⁹ of any other. It
    is there against disks, cables and slips of the hand; who changes a file on purpose can change
    its checksum too.

    Args:
        fields: a JSON value; its keys may stand in any order.
        blobs: bytes, or arrays of them that lie in one piece.

    >>> checksum({"accuracy": 0.97, "epochs": 3}) == checksum({"epochs": 3, "accuracy": 0.97})
    True
    >>> checksum([2], bytes([1, 2])) == checksum([2], bytes([1, 3]))
    False
    """
    sizes = [memoryview(blob).nbytes for blob in blobs]
    found = zlib.crc32(json.dumps([fields, sizes], sort_keys=True).encode())
    for blob in blobs:
        found = zlib.crc32(blob, found)
    return f"{found:08x}"


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object together with its checksum.

    >>> sealed({"accuracy": 0.97})
    {'accuracy': 0.97, 'checksum': '18d9ed4f'}
    """
    return {**fields, KEY: checksum(dict(fields))}


def unsealed(stored: Any) -> dict[str, Any]:
    """Return the JSON object that :func:`sealed` was given.

    Raises:
        ValueError: it is no object, or not the one that was written.

    >>> unsealed(sealed({"accuracy": 0.97}))
    {'accuracy': 0.97}
    >>> unsealed(sealed({"accuracy": 0.97}) | {"accuracy": 0.98})
    Traceback (most recent call last):
    ValueError: its checksum does not match
    """
    if not isinstance(stored, dict) or KEY not in stored:
        raise ValueError("it has no checksum")
    fields = {name: value for name, value in stored.items() if name != KEY}
    if stored[KEY] != checksum(fields):
        raise ValueError("its checksum does not match")
    return fields
