"""The parameters that a dashboard shows of a trial, as Optuna's distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bogp.errors import StudyError

Space = Mapping[str, tuple[Any, ...]]
"""Name → (lowest, highest), both whole numbers for a whole parameter, or the choices: two or more
that are not two numbers, or one."""


def distributions(
    parameters: Mapping[str, float | int | str], space: Space | None
) -> dict[str, BaseDistribution]:
    """Return the distribution of each parameter.

    A number that its range does not hold, or that has none, widens the range of its own trial:
    what is asked is decided elsewhere, and a study refuses no trial for the way it is shown.

    Raises:
        StudyError: a word that is not among the choices, which Optuna cannot add later.

    >>> distributions({"rounds": 3, "p": 0.1}, {"rounds": (1, 5)})["p"]
    FloatDistribution(high=0.1, log=False, low=0.1, step=None)
    """
    known = space or {}
    return {name: _distribution(name, value, known.get(name)) for name, value in parameters.items()}


def _distribution(name: str, value: Any, given: tuple[Any, ...] | None) -> BaseDistribution:
    if given is not None and not _is_range(given):
        if value not in given:
            raise StudyError(
                f"parameter {name} = {value!r} is not one of {', '.join(map(str, given))}: "
                "name every choice in the study's space"
            )
        return CategoricalDistribution(list(given))
    if not _is_number(value):
        raise StudyError(
            f"parameter {name} = {value!r} is not a finite number: name its choices in the "
            "study's space"
        )
    low, high = given or (value, value)
    low, high = min(low, value), max(high, value)
    whole = given is not None and all(isinstance(bound, int) for bound in given)
    if whole and int(value) == value:
        return IntDistribution(int(low), int(high))
    if whole:
        raise StudyError(f"parameter {name} = {value!r} is not whole: give its range as floats")
    return FloatDistribution(float(low), float(high))


def _is_range(given: tuple[Any, ...]) -> bool:
    return len(given) == 2 and all(map(_is_number, given))


def _is_number(value: Any) -> bool:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return numeric and math.isfinite(value)
