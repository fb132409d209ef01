"""The ledger of a search over a pool: what was asked, what was told, and what is left."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex, final

import numpy as np
import numpy.typing as npt

from bogp.engines.tells import Tell
from bogp.errors import SettingError

STATE_VERSION = 1


@final
class Ledger:
    """Which candidates were told, are pending, or will not be told, and how often one was asked.

    Raises:
        SettingError: an initial candidate that the pool does not have, or that is given twice.
    """

    def __init__(self, size: int, initial: Iterable[int] = ()) -> None:
        self.size = size
        self.tells: list[Tell] = []
        self.asks = 0
        self._pending: dict[int, None] = {}  # a set that keeps its order
        self._forgotten: dict[int, None] = {}
        self._told: dict[int, None] = {}
        self.initial = tuple(self.checked(index) for index in initial)
        if len(set(self.initial)) < len(self.initial):
            raise SettingError(f"initial {list(self.initial)} names a candidate twice")

    @property
    def pending(self) -> tuple[int, ...]:
        """Candidates that were asked and neither told nor forgotten, in the order of asking."""
        return tuple(self._pending)

    @property
    def told(self) -> tuple[int, ...]:
        """Candidates with at least one tell, in the order of their first."""
        return tuple(self._told)

    @property
    def free(self) -> npt.NDArray[np.bool_]:
        """Candidates that may be asked: never told, not pending, not forgotten; (N,)."""
        free = np.ones(self.size, dtype=bool)
        free[[*self._told, *self._pending, *self._forgotten]] = False
        return free

    @property
    def repeatable(self) -> npt.NDArray[np.bool_]:
        """Candidates that may be asked again: told and not pending; (N,)."""
        chosen = np.zeros(self.size, dtype=bool)
        chosen[list(self._told)] = True
        chosen[list(self._pending)] = False
        return chosen

    def next_initial(self, count: int) -> list[int]:
        """Return the first so many initial candidates that are still free."""
        free = self.free
        return [index for index in self.initial if free[index]][:count]

    def open(self, indices: Iterable[int]) -> None:
        """Note that candidates were asked together."""
        self.asks += 1
        self._pending.update(dict.fromkeys(indices))

    def tell(self, index: SupportsIndex, value: float, variance: float | None) -> None:
        """Note a value.

        Raises:
            SettingError: no such candidate, a value that is not finite, a variance below 0.
        """
        row = self.checked(index)
        if not math.isfinite(value):
            raise SettingError(
                f"value {value} of candidate {row} is not finite: call forget({row}) where an "
                "evaluation has failed"
            )
        if variance is not None and not (math.isfinite(variance) and variance >= 0):
            raise SettingError(
                f"variance {variance} of candidate {row} is not a finite number of at least 0: "
                "leave it out where it is not known"
            )
        self.tells.append(Tell(row, float(value), None if variance is None else float(variance)))
        self._told[row] = None
        self._pending.pop(row, None)
        self._forgotten.pop(row, None)

    def forget(self, index: SupportsIndex) -> None:
        """Note that a candidate will not be told; one that never was is not asked again."""
        row = self.checked(index)
        self._pending.pop(row, None)
        if row not in self._told:
            self._forgotten[row] = None

    def checked(self, index: SupportsIndex) -> int:
        """Return an index as an int, or raise where the pool has no such row.

        Raises:
            SettingError: not an integer, or out of range.
        """
        try:
            row = operator.index(index)
        except TypeError:
            raise SettingError(f"index {index!r} is not an integer: give a row number") from None
        if not 0 <= row < self.size:
            raise SettingError(
                f"index {row} is not in the pool: give a row number from 0 to {self.size - 1}"
            )
        return row

    def room(self, count: int, available: int, what: str) -> int:
        """Return a number of candidates to ask, or raise where there are not so many."""
        if count < 1:
            raise SettingError(f"q = {count}: ask for at least 1 candidate")
        if count > available:
            raise SettingError(f"q = {count}, but {available} {what}: ask for at most so many")
        return count

    def state(self) -> dict[str, Any]:
        """Return what is not in the tells, in JSON's types."""
        return {
            "version": STATE_VERSION,
            "size": self.size,
            "tells": len(self.tells),
            "asks": self.asks,
            "pending": list(self._pending),
            "forgotten": list(self._forgotten),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state; what was told after it was written is no longer pending.

        Raises:
            SettingError: of another version, of another pool, or before all its tells.
        """
        if state.get("version") != STATE_VERSION:
            raise SettingError(
                f"the state is of version {state.get('version')!r}, not {STATE_VERSION}: "
                "begin a new search, or use the version of bogp that wrote it"
            )
        if state["size"] != self.size:
            raise SettingError(
                f"the state is of a pool of {state['size']} candidates, not {self.size}: "
                "give the pool that the search began with"
            )
        if state["tells"] > len(self.tells):
            raise SettingError(
                f"the state was written after {state['tells']} tells and {len(self.tells)} are "
                "told: tell all of them again first, in the same order"
            )
        later = {tell.index for tell in self.tells[state["tells"] :]}
        self.asks = int(state["asks"])
        self._pending = {int(i): None for i in state["pending"] if i not in later}
        self._forgotten = {int(i): None for i in state["forgotten"] if i not in later}
