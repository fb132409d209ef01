"""Latency of several models, measured side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from bogp.analysis import Interval
from bogp.errors import SettingError
from bogp.export.copies import Example, as_inputs, rows

BASELINE = "dense"
FEWEST = 6
"""Rounds below which the median has no 95 % interval: 2 * 0.5^5 is above 0.05."""


@dataclass(frozen=True)
class Latency:
    """How long one model takes for one batch.

    Attributes:
        name: the model's name.
        batch: the rows of the batch.
        seconds: a call, the median over the rounds.
        speed: the dense model's seconds over this one's, the median of the ratios within a round;
            None for the dense model itself.
        calls: calls that one round is the mean of.
    """

    name: str
    batch: int
    seconds: Interval
    speed: Interval | None
    calls: int


def measure(
    callables: Mapping[str, Callable[..., Any]],
    example: Example,
    *,
    batches: Sequence[int] = (1, 256),
    repeats: int = 30,
    threads: int = 1,
    least: float = 0.002,
    baseline: str = BASELINE,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Latency, ...]:
    """Return the latency of each of ``callables`` at each batch size.

    A round times each model once, in turn, beginning with another each time, so that what else the
    machine does hits all alike; speeds are ratios within a round. One timing is of as many calls as
    take ``least`` seconds.

    Args:
        callables: name → function of the inputs; one of them is the ``baseline``.
        example: inputs (N, ...), repeated to the size of the batch.
        batches: the batch sizes.
        repeats: the rounds.
        threads: what torch may use; other runtimes are told by whoever makes the function.
        least: the seconds of one timing at least.
        baseline: the model that speeds are relative to.
        clock: a function that returns seconds.
        progress: called with (rounds done, rounds in all).

    Raises:
        SettingError: no baseline, fewer than 6 rounds, or a batch or threads below 1.
    """
    check_timing(callables, batches, repeats, threads, baseline)
    inputs = as_inputs(example)
    found: list[Latency] = []
    done, total = 0, repeats * len(batches)
    with _threads(threads), torch.no_grad():
        for batch in batches:
            given = rows(inputs, batch)
            calls = {name: _calls(call, given, least, clock) for name, call in callables.items()}
            times: dict[str, list[float]] = {name: [] for name in callables}
            for turn in range(repeats):
                for name in _order(list(callables), turn):
                    seconds = _time(callables[name], given, calls[name], clock)
                    times[name].append(seconds / calls[name])
                done += 1
                if progress is not None:
                    progress(done, total)
            found += _latencies(times, batch, calls, baseline)
    return tuple(found)


def median_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the median and its interval of order statistics, which assumes no distribution.

    Its bounds are the r-th smallest and the r-th largest value, r as large as the binomial
    distribution allows: 1 - 2 P(B(n, 1/2) < r) >= ``level`` (Hahn & Meeker 1991, section 5.2).
    Fewer than 6 values have no bounds at 95 %.

    >>> median_interval([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    Interval(estimate=3.5, low=1.0, high=6.0, count=6, level=0.95)
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    count = len(ordered)
    below = stats.binom.cdf(np.arange(count), count, 0.5) <= (1 - level) / 2
    skipped = int(below.sum()) - 1
    middle = float(np.median(ordered))
    if skipped < 0:
        return Interval(middle, None, None, count, level)
    low, high = float(ordered[skipped]), float(ordered[count - 1 - skipped])
    return Interval(middle, low, high, count, level)


def check_timing(
    callables: Mapping[str, Any], batches: Sequence[int], repeats: int, threads: int, baseline: str
) -> None:
    """Raise SettingError unless this can be timed (see :func:`measure`)."""
    if baseline not in callables:
        raise SettingError(f"there is no {baseline!r} to compare with: measure it too")
    if repeats < FEWEST:
        raise SettingError(f"{repeats} rounds give no interval: give {FEWEST} or more")
    if threads < 1:
        raise SettingError(f"{threads} threads cannot be: give 1 or more")
    if not batches or min(batches) < 1:
        raise SettingError(f"batches {list(batches)} cannot be: give sizes of 1 or more")


def _order(names: list[str], turn: int) -> list[str]:
    start = turn % len(names)
    return names[start:] + names[:start]


def _calls(
    call: Callable[..., Any], inputs: tuple[Any, ...], least: float, clock: Callable[[], float]
) -> int:
    """Return the calls that take ``least`` seconds, after the first ones have warmed up."""
    for _ in range(2):
        call(*inputs)
    each = max(_time(call, inputs, 2, clock) / 2, 1e-7)
    return max(1, int(np.ceil(least / each)))


def _time(
    call: Callable[..., Any], inputs: tuple[Any, ...], count: int, clock: Callable[[], float]
) -> float:
    start = clock()
    for _ in range(count):
        call(*inputs)
    return clock() - start


def _latencies(
    times: Mapping[str, list[float]], batch: int, calls: Mapping[str, int], baseline: str
) -> Iterator[Latency]:
    reference = np.asarray(times[baseline])
    for name, seconds in times.items():
        speed = None
        if name != baseline:
            speed = median_interval((reference / np.asarray(seconds)).tolist())
        yield Latency(name, batch, median_interval(seconds), speed, calls[name])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
