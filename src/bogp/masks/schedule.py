"""The density at each pruning round, from where it starts to where it must end."""

from __future__ import annotations

from collections.abc import Callable

from bogp.errors import SettingError, UnknownNameError


def exponential(start: float, end: float, rounds: int) -> list[float]:
    """Remove the same share of the remaining weights each round (Frankle & Carbin 2018).

    >>> [round(d, 3) for d in exponential(1.0, 0.1, 2)]
    [0.316, 0.1]
    """
    steps = [start * (end / start) ** (k / rounds) for k in range(1, rounds)]
    return [*steps, end]


def linear(start: float, end: float, rounds: int) -> list[float]:
    """Remove the same number of weights each round.

    >>> linear(1.0, 0.5, 2)
    [0.75, 0.5]
    """
    steps = [start + (end - start) * k / rounds for k in range(1, rounds)]
    return [*steps, end]


def cubic(start: float, end: float, rounds: int) -> list[float]:
    """Remove many weights at first and few at last (Zhu & Gupta 2017, arXiv 1710.01878, eq. 1).

    Their gradual pruning of n steps, s_t = s_f + (s_i - s_f)(1 - t / n)^3 in sparsities, at the
    steps t = 1, ..., n; in densities the equation is the same.

    >>> [round(d, 3) for d in cubic(1.0, 0.2, 2)]
    [0.3, 0.2]
    """
    steps = [end + (start - end) * (1.0 - k / rounds) ** 3 for k in range(1, rounds)]
    return [*steps, end]


def one_shot(start: float, end: float, rounds: int) -> list[float]:
    """Remove all that is to go in the first round; the others train on with the same mask.

    >>> one_shot(1.0, 0.1, 3)
    [0.1, 0.1, 0.1]
    """
    return [end] * rounds


SCHEDULES: dict[str, Callable[[float, float, int], list[float]]] = {
    "cubic": cubic,
    "exponential": exponential,
    "linear": linear,
    "one_shot": one_shot,
}


def densities(schedule: str, start: float, end: float, rounds: int) -> list[float]:
    """Return the density after each of ``rounds`` pruning rounds; the last is exactly ``end``.

    It never rises from one round to the next.

    Raises:
        UnknownNameError: no such schedule.
        SettingError: fewer than one round, or ``end`` not in (0, ``start``].
    """
    if schedule not in SCHEDULES:
        raise UnknownNameError("schedule", schedule, SCHEDULES)
    if rounds < 1:
        raise SettingError(f"{rounds} pruning rounds is too few: give 1 or more")
    if not 0.0 < end <= start <= 1.0:
        raise SettingError(f"cannot prune from density {start} to {end}: 0 < end <= start <= 1")
    return SCHEDULES[schedule](start, end, rounds)
