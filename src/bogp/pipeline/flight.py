"""Batches under way: their populations are submitted, stored as they end, and tried again."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import final

from bogp.keys import derive_seed
from bogp.pipeline.bench import Bench
from bogp.pipeline.evaluation import Evaluated, PopulationTask, Result
from bogp.pipeline.space import Point
from bogp.pipeline.workers import WorkerLostError
from bogp.study import Batch

_TICK = 0.2
"""Seconds between two looks at what is done."""

Group = tuple[Batch, list[int]]  # the positions of a population


def trial_seed(seed: int, point: Point, replicate: int) -> int:
    """Return the seed of a point's training: the same whoever asks for it, and when."""
    return derive_seed(seed, "trial", point.key, replicate)


@final
class Flight:
    """The batches of an arm that have not ended.

    Each trial is in the study as it ends. What a lost worker was at is run again, as often as the
    study allows.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._waiting: deque[Group] = deque()
        self._running: dict[Future[Result], tuple[int, Group]] = {}
        self._begun = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not self._waiting and not self._running

    @property
    def room(self) -> bool:
        """Whether something more could be begun at once."""
        return not self._waiting and len(self._running) < self._most

    @property
    def _most(self) -> int:
        """Tasks at one time: nobody knows how many an executor of somebody else's works on."""
        settings, capacity = self._bench.settings, self._bench.evaluator.capacity
        if settings.asynchronous and capacity == sys.maxsize:
            return -(-settings.batch // settings.asked_together)
        return capacity

    def add(self, batch: Batch) -> None:
        """Take on the populations of a batch that have not ended whole, and begin with them."""
        missing = set(self._bench.study.missing(batch))
        self._waiting += [(batch, group) for group in populations(batch) if missing & set(group)]
        self._launch()

    def step(self) -> list[Batch]:
        """Begin what there is room for, wait a while, and return the batches that ended.

        Raises:
            StudyError: a trial has failed too often.
        """
        self._launch()
        ended, _ = wait(self._running, timeout=_TICK, return_when=FIRST_COMPLETED)
        self._bench.counter.report()
        whole = []
        for future in [future for future in self._running if future in ended]:
            batch = self._end(future)
            if batch is not None and not self._bench.study.missing(batch):
                whole.append(batch)
        return whole

    def cancel(self) -> None:
        """Cancel what has not begun to run: nobody waits for it."""
        for future in self._running:
            future.cancel()

    def _launch(self) -> None:
        while self._waiting and len(self._running) < self._most:
            self._begin(self._waiting.popleft())

    def _begin(self, group: Group) -> None:
        batch, positions = group
        missing = set(positions).intersection(self._bench.study.missing(batch))
        self._bench.study.begin(batch, sorted(missing))
        self._begun += 1
        task = population_task(self._bench, batch, positions)
        note = partial(_note, self._bench.counter.fly, self._begun, len(missing))
        self._running[self._bench.evaluator.submit(task, note)] = self._begun, group

    def _end(self, future: Future[Result]) -> Batch | None:
        """Store what came of a task; return its batch unless it is to be run again."""
        key, (batch, group) = self._running.pop(future)
        self._bench.counter.land(key)
        missing = self._bench.study.missing(batch)
        try:
            found = future.result()
        except WorkerLostError as error:
            self._waiting.append((batch, group))
            for position in group:
                if position in missing:
                    self._bench.study.fail(batch, position, str(error))
            return None
        for position, evaluated in zip(group, found, strict=True):
            if position in missing:
                self._finish(batch, position, evaluated)
        return batch

    def _finish(self, batch: Batch, position: int, evaluated: Evaluated) -> None:
        bench, point = self._bench, Point.from_record(batch.trials[position].point)
        trial = bench.study.finish(
            batch,
            position,
            bench.objective(evaluated.record["accuracy"], point),
            evaluated.record,
            stopped=evaluated.ended == "rung",
            steps=evaluated.accuracies,
            second=point.sparsity if bench.settings.pareto else None,
        )
        bench.counter.add(1)
        if bench.on_trial:
            bench.on_trial(trial)


def population_task(bench: Bench, batch: Batch, group: Sequence[int]) -> PopulationTask:
    """Return the training of one population, whole: halving compares all of it."""
    seed, plans = bench.settings.seed, []
    for position in group:
        asked = batch.trials[position].point
        point = Point.from_record(asked)
        plans.append(bench.plan(point, trial_seed(seed, point, asked["replicate"])))
    first = batch.trials[group[0]].point
    order = derive_seed(seed, "order", batch.arm, batch.number, str(first["population"]))
    return bench.task(plans, order, halving=bench.settings.halving if first["halved"] else None)


def populations(batch: Batch) -> list[list[int]]:
    """Return the positions of each population of a batch."""
    groups: dict[str, list[int]] = {}
    for position, asked in enumerate(batch.trials):
        groups.setdefault(asked.point["population"], []).append(position)
    return list(groups.values())


def _note(fly: Callable[[int, float], None], key: int, size: int, done: int, total: int) -> None:
    fly(key, size * done / total if total else 0.0)
