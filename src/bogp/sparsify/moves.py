"""How a mask moves while it trains, as a value: when, how far it falls, and what it regrows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bogp.criteria import Context, Criterion, Scores, criterion
from bogp.errors import SettingError, UnknownNameError
from bogp.masks import SCHEDULES
from bogp.user_functions import qualified_name

When = int | float
"""A step, counted from 0, as a whole number, or a share of all steps as a float in [0, 1]."""

Given = str | Criterion | Callable[[Context], Scores]

DECAYS = ("constant", "cosine")
"""How the share that is regrown changes from the first update to the last."""


@dataclass(frozen=True)
class Moves:
    """When a mask moves within one training, and what it does then.

    The mask moves at the steps ``begin + every``, ``begin + 2 * every``, … up to ``end``. At each
    it falls to the number of weights that ``schedule`` says, by the method's own criterion and
    scope. Then, in each layer, the share ``regrow`` of the kept weights is dropped, the lowest
    first by ``drop``, and as many others inside the support are grown, the highest first by
    ``grow``. A weight that is grown begins at zero. After the last move the mask is fixed.

    Gradual magnitude pruning (Zhu & Gupta 2017, arXiv 1710.01878) is the schedule ``"cubic"`` with
    nothing regrown. SET (Mocanu et al. 2018, arXiv 1707.04780) and RigL (Evci et al. 2020, arXiv
    1911.11134) have the final density from the start, and regrow: at random, or where the gradient
    is largest.

    Attributes:
        begin: where moving begins: a step, or a share of all steps.
        end: after it the mask moves no more.
        every: steps from one move to the next.
        schedule: the density at each move: a name of :data:`bogp.masks.SCHEDULES`, which lead from
            1 to the final density (``"one_shot"`` has the final one from the first step on), or a
            function of the step that returns the density. The last move always has the final one.
        regrow: the share of the kept weights that is dropped and regrown, or a function of the
            step that returns it.
        decay: ``"cosine"`` lets the share fall to 0 at ``end`` (Evci et al. 2020, section 3);
            ``"constant"`` leaves it. It does not go with a function.
        drop, grow: criteria, each a name, a function or a :class:`bogp.criteria.Criterion`.

    Raises:
        SettingError: a value out of range, or a criterion without a name.
        UnknownNameError: no such schedule, decay or criterion.

    >>> Moves(every=100).schedule
    'cubic'
    """

    begin: When = 0.0
    end: When = 0.7
    every: int = 20
    schedule: str | Callable[[int], float] = "cubic"
    regrow: float | Callable[[int], float] = 0.0
    decay: str = "cosine"
    drop: Given = "magnitude"
    grow: Given = "random"

    def __post_init__(self) -> None:
        for name in ("begin", "end"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole and value >= 0) and not (isinstance(value, float) and 0 <= value <= 1):
                raise SettingError(
                    f"{name} = {value!r} of moves: give a step from 0 on, or a share of all steps "
                    "as a float in [0.0, 1.0]"
                )
        if not isinstance(self.every, int) or isinstance(self.every, bool) or self.every < 1:
            raise SettingError(f"every = {self.every!r} of moves: give 1 or more steps")
        if isinstance(self.schedule, str) and self.schedule not in SCHEDULES:
            raise UnknownNameError("schedule", self.schedule, SCHEDULES)
        if not callable(self.regrow) and not 0.0 <= self.regrow <= 1.0:
            raise SettingError(f"regrow = {self.regrow!r} of moves: give a share in [0, 1]")
        if self.decay not in DECAYS:
            raise UnknownNameError("decay", self.decay, DECAYS)
        for given in (self.drop, self.grow):
            criterion(given)

    @property
    def regrows(self) -> bool:
        """Whether weights that are pruned may come back."""
        return callable(self.regrow) or self.regrow > 0.0

    def record(self) -> dict[str, Any]:
        """Return the moves as a JSON object, for the keys of records.

        Raises:
            SettingError: a function of the step has no name, as a lambda has none.

        >>> Moves().record()["every"]
        20
        """
        return {
            "begin": self.begin,
            "end": self.end,
            "every": self.every,
            "schedule": _named("schedule", self.schedule),
            "regrow": _named("regrow", self.regrow),
            "decay": self.decay,
            "drop": criterion(self.drop).name,
            "grow": criterion(self.grow).name,
        }


def _named(what: str, given: Any) -> Any:
    """Return a plain value as it is, and the name of a function."""
    if not callable(given):
        return given
    name = qualified_name(given)
    if name is None:
        raise SettingError(
            f"{what} {given!r} has no name for records: give a function that is defined with def"
        )
    return name
