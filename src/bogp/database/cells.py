"""The cells of a table, checked: text or numbers to arrays, with the row of what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.database.blocks import (
    TYPES,
    UNKNOWN_SEED,
    Bytes,
    Ids,
    Origin,
    triangle_bytes,
)
from bogp.errors import DatabaseError
from bogp.keys import canonical_json
from bogp.types import Floats

_EXACT = 1 << 53
"""Whole numbers below it are exact in a float64."""


@dataclass(frozen=True)
class Cells:
    """Some cells of one column; ``first`` is the number of their first row, counted from 1."""

    path: Path
    name: str
    first: int
    values: Sequence[Any]

    def error(self, row: int, what: str) -> DatabaseError:
        """Return the error of the cell in ``row``, an index of ``values``."""
        return DatabaseError(
            f"row {self.first + row} of {str(self.path)!r}: {self.name} "
            f"{_shown(self.values[row])} {what}"
        )

    def floats(self, *, missing: bool = False) -> Floats:
        """Return finite numbers, float64; with ``missing``, NaN for an empty cell or NaN."""
        try:
            numbers = np.array(self.values, dtype=np.float64)
        except (ValueError, TypeError):
            numbers = np.array([self._float(row, missing) for row in range(len(self.values))])
        for row in np.flatnonzero(~np.isfinite(numbers)).tolist():
            if not (missing and np.isnan(numbers[row])):
                raise self.error(row, "is not a finite number: give one, or leave the row out")
        return numbers

    def whole(self, least: int, most: int) -> list[int | None]:
        """Return whole numbers from ``least`` to ``most``; None for an empty cell."""
        return [self._whole(row, least, most) for row in range(len(self.values))]

    def ids(self) -> Ids:
        """Return ids, int64."""
        numbers = self.whole(0, (1 << 63) - 1)
        if None in numbers:
            raise self.error(numbers.index(None), "is no id: give a whole number of 0 or more")
        return np.array(numbers, dtype=np.int64)

    def seeds(self) -> npt.NDArray[np.uint64]:
        """Return seeds, uint64; the unknown one for an empty cell."""
        numbers = self.whole(0, UNKNOWN_SEED - 1)
        return np.array([UNKNOWN_SEED if n is None else n for n in numbers], dtype=np.uint64)

    def texts(self) -> list[str | None]:
        """Return texts, None for an empty cell."""
        return [None if _empty(value) else str(value) for value in self.values]

    def packed(self, width: int, what: str) -> Bytes:
        """Return hexadecimal cells of ``width`` bytes, uint8 (rows, width)."""
        parts = []
        for row, value in enumerate(self.values):
            try:
                part = bytes.fromhex("" if value is None else str(value))
            except ValueError as error:
                raise self.error(
                    row, "is not hexadecimal: write each byte as two digits"
                ) from error
            if len(part) != width:
                raise self.error(row, f"has {len(part)} bytes: {what} has {width}")
            parts.append(part)
        return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(parts), width)

    def _float(self, row: int, missing: bool) -> float:
        value = self.values[row]
        if _empty(value):
            if missing:
                return np.nan
            raise self.error(row, "is not a finite number: give one, or leave the row out")
        try:
            return float(value)
        except (ValueError, TypeError) as error:
            raise self.error(row, "is not a number: give one") from error

    def _whole(self, row: int, least: int, most: int) -> int | None:
        value = self.values[row]
        if _empty(value):
            return None
        try:
            number = int(value) if not isinstance(value, float) else None
        except (ValueError, TypeError):
            number = None
        if number is None:  # 12.0 is what many a library makes of 12 in a column with gaps
            number = self._whole_float(row)
        if not least <= number <= most:
            raise self.error(row, f"is out of range: give {least} to {most}")
        return number

    def _whole_float(self, row: int) -> int:
        try:
            number = float(self.values[row])
        except (ValueError, TypeError, OverflowError):
            number = math.nan
        if not number.is_integer():
            raise self.error(row, "is not a whole number: give one")
        if abs(number) >= _EXACT:
            raise self.error(
                row,
                "is a floating-point number too large to be exact: write the column as whole "
                "numbers",
            )
        return int(number)


class Origins:
    """Origins of graphs, numbered as they are met."""

    def __init__(self, columns: int = 0) -> None:
        self.columns = columns
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._origins: list[Origin] = []

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All that were met."""
        return tuple(self._origins)

    def add(self, family: str, parameters: dict[str, Any]) -> tuple[int, list[float]]:
        """Return the origin of a graph and the numbers that it has of its own."""
        own: dict[str, tuple[str, int]] = {}
        fixed: dict[str, Any] = {}
        numbers: list[float] = []
        for name, value in parameters.items():
            kind = type(value).__name__
            if kind in TYPES and (kind != "int" or abs(value) < _EXACT):
                own[name] = kind, len(numbers)
                numbers.append(float(value))
            else:
                fixed[name] = value
        key = family, canonical_json(fixed), json.dumps(own)
        if key not in self._numbers:
            self._numbers[key] = len(self._origins)
            self._origins.append(Origin(family, fixed, own))
            self.columns = max(self.columns, len(numbers))
        return self._numbers[key], numbers


def parameters(cells: Cells) -> list[dict[str, Any]]:
    """Return JSON objects, an empty one for an empty cell."""
    found: list[dict[str, Any]] = []
    for row, text in enumerate(cells.texts()):
        try:
            value = {} if text is None else json.loads(text, parse_constant=_refuse)
        except ValueError as error:
            raise cells.error(row, "is not JSON: give an object, {} say") from error
        if not isinstance(value, dict):
            raise cells.error(row, "is not a JSON object: give one, {} say")
        found.append(value)
    return found


def nodes_of(cells: Cells) -> int:
    """Return the number of nodes that the first graph of ``cells`` has by its bytes."""
    width = len("" if cells.values[0] is None else str(cells.values[0])) // 2
    most = math.isqrt(16 * width) + 1  # as n (n - 1) / 2 is 8 width at most
    fitting = [n for n in range(2, most + 1) if triangle_bytes(n) == width]
    if len(fitting) != 1:
        raise DatabaseError(
            f"the graphs of {str(cells.path)!r} have {width} bytes each, which does not tell how "
            "many nodes they have: give nodes"
        )
    return fitting[0]


def check_padding(cells: Cells, packed: Bytes, bits: int, what: str) -> None:
    """Raise DatabaseError if a graph has bits set beyond its last pair of nodes."""
    if bits % 8 == 0:
        return
    over = np.flatnonzero(packed[:, -1] & ((1 << (8 - bits % 8)) - 1))
    if len(over):
        raise cells.error(int(over[0]), f"has bits beyond those of {what}: give the right number")


def _empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or bool(value != value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
