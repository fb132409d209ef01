"""How many seeds tell two candidates apart, and what difference a number of seeds can show."""

from __future__ import annotations

import bisect
import math

from scipy import optimize, stats

from bogp.analysis.checks import check_level, check_sd, check_share
from bogp.errors import SettingError

_MANY = 1_000_000
"""Degrees of freedom from which on Student's t is the normal to more digits than matter."""

MOST_SEEDS = 10**15
"""More seeds than this are no feasible number."""


def t_test_power(
    difference: float, sd: float, seeds: int, *, level: float = 0.95, paired: bool = False
) -> float:
    """Return the chance that the two-sided t test sees a true difference.

    Two candidates of ``seeds`` values each differ by ``difference`` in truth. The statistic of
    Student's t test has the noncentral t distribution (Cohen 1988, "Statistical Power Analysis";
    Johnson and Welch 1940, Biometrika 31): of 2 n - 2 degrees of freedom and noncentrality
    (d / sd) sqrt(n / 2), or, where ``paired``, of n - 1 and (d / sd) sqrt(n). Both tails count.

    Args:
        difference: the true difference of the two means, in the unit of ``sd``; its sign is free.
        sd: the SD of one value over seeds; where ``paired``, of the difference on one seed.
        seeds: values of each candidate; a single one has no test, and power 0.
        level: 1 - the chance of a false alarm, in (0, 1).
        paired: whether both are measured on the same seeds and compared seed by seed.

    Raises:
        SettingError: an SD below 0, fewer than 1 seed, or a number that is not finite.

    >>> round(t_test_power(0.5, 1.0, 64), 4)
    0.8015
    """
    difference, sd, level = *_checked(difference, sd), check_level(level)
    if seeds < 1:
        raise SettingError(f"{seeds} seeds give no value to test: give at least 1")
    return _power(_effect(difference, sd), int(seeds), level, paired)


def seeds_to_tell_apart(
    difference: float,
    sd: float,
    *,
    power: float = 0.8,
    level: float = 0.95,
    paired: bool = False,
) -> int | None:
    """Return the seeds that each of two candidates needs for the t test to see a difference.

    The smallest number whose :func:`t_test_power` reaches ``power``, and never below 2. None
    where the difference is 0, or so small beside the SD that :data:`MOST_SEEDS` would not do.

    Raises:
        SettingError: as :func:`t_test_power`, or a ``power`` that is not in (0, 1).

    >>> seeds_to_tell_apart(0.5, 1.0), seeds_to_tell_apart(0.5, 1.0, paired=True)
    (64, 34)
    >>> seeds_to_tell_apart(0.0, 1.0) is None
    True
    """
    difference, sd, level = *_checked(difference, sd), check_level(level)
    power = check_share(power, "power", 0.8)
    if difference == 0.0:
        return None
    effect = _effect(difference, sd)
    numbers = range(2, MOST_SEEDS)
    # The power grows with the number of seeds.
    place = bisect.bisect_left(numbers, power, key=lambda n: _power(effect, n, level, paired))
    return numbers[place] if place < len(numbers) else None


def detectable_difference(
    sd: float, seeds: int, *, power: float = 0.8, level: float = 0.95, paired: bool = False
) -> float | None:
    """Return the least true difference that so many seeds each see with the given power.

    The inverse of :func:`t_test_power` in the difference, in the unit of ``sd``. None for a single
    seed, which sees nothing.

    >>> round(detectable_difference(0.002, 5), 5)
    0.00405
    """
    sd, level, power = check_sd(sd, "sd"), check_level(level), check_share(power, "power", 0.8)
    if seeds < 1:
        raise SettingError(f"{seeds} seeds give no value to test: give at least 1")
    if seeds < 2:
        return None
    if 1.0 - level >= power:
        return 0.0
    high = 1.0
    while _power(high, seeds, level, paired) < power:
        high *= 2.0
    root = optimize.brentq(
        lambda effect: _power(effect, seeds, level, paired) - power, 0.0, high, xtol=1e-12
    )
    return float(root) * sd


def tell_apart_sentence(
    difference: float,
    sd: float,
    *,
    power: float = 0.8,
    level: float = 0.95,
    paired: bool = False,
) -> str:
    """Return :func:`seeds_to_tell_apart` as a sentence for a report.

    >>> tell_apart_sentence(0.002, 0.002)
    'you need 17 seeds each to tell these apart (difference 0.002, seed SD 0.002, power 80 %)'
    >>> tell_apart_sentence(0.0, 0.002)
    'no number of seeds tells these apart: they do not differ'
    """
    seeds = seeds_to_tell_apart(difference, sd, power=power, level=level, paired=paired)
    if seeds is None and difference == 0.0:
        return "no number of seeds tells these apart: they do not differ"
    size = f"difference {abs(difference):.3g}"
    spread = f"{'SD of the paired differences' if paired else 'seed SD'} {sd:.3g}"
    if seeds is None:
        return f"no feasible number of seeds tells these apart ({size}, {spread})"
    return (
        f"you need {seeds} seeds each to tell these apart "
        f"({size}, {spread}, power {100 * power:.3g} %)"
    )


def _power(effect: float, seeds: int, level: float, paired: bool) -> float:
    """Return the power at an effect of ``effect`` SDs."""
    if seeds < 2:
        return 0.0
    freedom = seeds - 1 if paired else 2 * seeds - 2
    shift = effect * math.sqrt(seeds if paired else seeds / 2)
    if freedom >= _MANY:
        edge = float(stats.norm.isf((1.0 - level) / 2))
        return float(stats.norm.sf(edge - shift) + stats.norm.sf(edge + shift))
    edge = float(stats.t.isf((1.0 - level) / 2, freedom))
    if shift < 1e-6:
        return 1.0 - level
    # The square of a noncentral t is a noncentral F; scipy's noncentral t is NaN here and there.
    return float(stats.ncf.sf(edge**2, 1, freedom, min(shift, 1e6) ** 2))


def _effect(difference: float, sd: float) -> float:
    """Return the difference in SDs: infinite without noise, 0 where nothing differs."""
    if difference == 0.0:
        return 0.0
    return difference / sd if sd > 0.0 else math.inf


def _checked(difference: float, sd: float) -> tuple[float, float]:
    """Return the size of the difference and the SD, or raise SettingError."""
    if not math.isfinite(difference):
        raise SettingError(f"difference {difference} is not a finite number: give one")
    return abs(float(difference)), check_sd(sd, "sd")
