"""Latencies with a clock of our own: what is called when, and what is made of the times."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bogp.errors import SettingError
from bogp.export import measure
from bogp.export.measure import median_interval


class Clock:
    """Time that passes only when a model runs; in round r all is r times slower."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[str, int]] = []

    def __call__(self) -> float:
        return self.now

    def model(self, name: str, seconds: list[float]):
        runs = iter(range(10**9))

        def run(x: torch.Tensor) -> None:
            self.calls.append((name, len(x)))
            self.now += seconds[next(runs) % len(seconds)]

        return run


def test_ratios_are_taken_within_rounds_and_the_order_turns() -> None:
    clock = Clock()
    drift = [float(2**k) for k in range(8)]  # both slow down alike, by far more than they differ
    models = {
        "dense": clock.model("dense", [4 * each for each in drift]),
        "fast": clock.model("fast", [2 * each for each in drift]),
        "same": clock.model("same", [4 * each for each in drift]),
    }
    dense, fast, same = measure(
        models, torch.zeros(3, 2), batches=(5,), repeats=8, clock=clock, least=0.0
    )
    assert (dense.calls, dense.speed) == (1, None)
    assert (fast.speed.estimate, fast.speed.low, fast.speed.high) == (2.0, 2.0, 2.0)
    assert same.speed.estimate == 1.0
    assert not same.speed.excludes(1.0)
    assert dense.seconds.estimate == pytest.approx(4 * float(np.median(drift)))
    assert {size for _, size in clock.calls} == {5}
    rounds = [name for name, _ in clock.calls][12:]  # after warming up and counting, 4 calls each
    assert rounds[:9] == ["dense", "fast", "same", "fast", "same", "dense", "same", "dense", "fast"]


def test_short_calls_are_repeated_within_one_timing() -> None:
    clock = Clock()
    models = {"dense": clock.model("dense", [0.25]), "b": clock.model("b", [0.5])}
    dense, b = measure(models, torch.zeros(1, 2), batches=(1,), repeats=6, clock=clock, least=2.0)
    assert (dense.calls, b.calls) == (8, 4)
    assert (dense.seconds.estimate, b.seconds.estimate) == (0.25, 0.5)
    assert b.speed.estimate == 0.5


def test_every_batch_and_progress() -> None:
    clock, steps = Clock(), []
    found = measure(
        {"dense": clock.model("dense", [1.0])},
        torch.zeros(3, 2),
        repeats=6,
        clock=clock,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert [each.batch for each in found] == [1, 256]
    assert steps == [(k, 12) for k in range(1, 13)]


def test_torch_has_the_threads_asked_for_and_then_those_it_had() -> None:
    before, seen = torch.get_num_threads(), []

    def model(_: torch.Tensor) -> None:
        seen.append(torch.get_num_threads())

    measure({"dense": model}, torch.zeros(1, 1), batches=(1,), repeats=6, threads=2, least=0.0)
    assert set(seen) == {2}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"repeats": 5}, "5 rounds give no interval"),
        ({"threads": 0}, "0 threads"),
        ({"batches": (0,)}, r"batches \[0\]"),
        ({"baseline": "other"}, "there is no 'other'"),
    ],
)
def test_bad_settings(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        measure({"dense": lambda x: x}, torch.zeros(1, 1), **settings)


def test_the_medians_interval_covers_what_it_says() -> None:
    draws = np.random.default_rng(0).exponential(size=(4000, 15))
    found = [median_interval(row) for row in draws]
    covered = np.mean([each.low <= np.log(2) <= each.high for each in found])
    # 1 - 2 P(B(15, 1/2) <= 3) = 0.9648; four standard errors of the share are 0.012.
    assert covered == pytest.approx(0.9648, abs=0.012)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_the_medians_interval_holds_the_median(values: list[float]) -> None:
    found = median_interval(values)
    assert found.estimate == np.median(values)
    assert (found.low is None) == (len(values) < 6)
    if found.low is not None:
        assert found.low <= found.estimate <= found.high
