"""Latency of several models, measured side by side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from bogp.analysis import Interval
from bogp.cores import torch_threads
from bogp.coupling.copies import Example, as_inputs, rows
from bogp.errors import SettingError
from bogp.types import Progress

BASELINE = "dense"
"""The name of the model that speeds are relative to."""

FEWEST = 6
"""The fewest rounds for which the median has a 95 % interval: 2 * 0.5^5 is above 0.05."""


@dataclass(frozen=True)
class Latency:
    """How long one model takes for one batch.

    Attributes:
        name: the model's name.
        batch: how many rows the batch has.
        seconds: how long a call takes, the median over the rounds.
        speed: the seconds of what it is ``beside`` over its own, the median of the ratios within a
            round; None for the dense model itself.
        calls: how many calls a round takes the mean of.
        beside: the name of what its speed is relative to.
    """

    name: str
    batch: int
    seconds: Interval
    speed: Interval | None
    calls: int
    beside: str = BASELINE


def measure(
    callables: Mapping[str, Callable[..., Any]],
    example: Example,
    *,
    batches: Sequence[int] = (1, 256),
    repeats: int = 30,
    threads: int = 1,
    least: float = 0.002,
    baseline: str = BASELINE,
    beside: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
) -> tuple[Latency, ...]:
    """Return the latency of each of ``callables`` at each batch size.

    A round times each model once, and each round begins with another model, so that all suffer
    alike from whatever else the machine does. Speeds are ratios within a round. One timing repeats
    the call until it has taken ``least`` seconds.

    Args:
        callables: name → function of the inputs; one of them is the ``baseline``.
        example: inputs (N, ...), repeated to the size of the batch.
        batches: the batch sizes.
        repeats: how many rounds.
        threads: CPU threads of torch; whoever makes a function tells other runtimes theirs.
        least: the least seconds of one timing.
        baseline: the model that speeds are relative to.
        beside: name → another of them that its speed is relative to.
        clock: returns seconds.
        progress: called with (rounds done, rounds in all).

    Raises:
        SettingError: no baseline, fewer than 6 rounds, or a batch or threads below 1.
    """
    check_timing(callables, batches, repeats, threads, baseline)
    inputs = as_inputs(example)
    found: list[Latency] = []
    done, total = 0, repeats * len(batches)
    with torch_threads(threads), torch.no_grad():
        for batch in batches:
            given = rows(inputs, batch)
            calls = {name: _calls(call, given, least, clock) for name, call in callables.items()}
            times: dict[str, list[float]] = {name: [] for name in callables}
            order = deque(callables)
            for _ in range(repeats):
                for name in order:
                    seconds = _time(callables[name], given, calls[name], clock)
                    times[name].append(seconds / calls[name])
                order.rotate(-1)
                done += 1
                if progress is not None:
                    progress(done, total)
            found += _latencies(times, batch, calls, baseline, beside or {})
    return tuple(found)


def median_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the median and its interval of order statistics, which assumes no distribution.

    The bounds are the r-th smallest and the r-th largest value, with the largest r for which
    1 - 2 P(B(n, 1/2) < r) >= ``level`` (Hahn & Meeker 1991, section 5.2). Fewer than 6 values have
    no bounds at 95 %.

    >>> median_interval([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    Interval(estimate=3.5, low=1.0, high=6.0, count=6, level=0.95)
    """
    middle = float(np.median(values))
    bounds: Any = stats.quantile_test(values, q=middle, p=0.5).confidence_interval(level)
    if np.isnan(bounds.low):
        return Interval(middle, None, None, len(values), level)
    return Interval(middle, float(bounds.low), float(bounds.high), len(values), level)


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
    times: Mapping[str, list[float]],
    batch: int,
    calls: Mapping[str, int],
    baseline: str,
    beside: Mapping[str, str],
) -> Iterator[Latency]:
    for name, seconds in times.items():
        speed = None
        other = beside.get(name, baseline)
        if name != other:
            ratios = np.asarray(times[other]) / np.asarray(seconds)
            speed = median_interval(ratios.tolist())
        yield Latency(name, batch, median_interval(seconds), speed, calls[name], other)
