"""The one loop of every study: ask, train, store, tell.

A :class:`Strategy` says what to train next and what came of it: the engines pool, paper and random,
random search beside the first, and a screening are one each. Everything else (batches, populations
under way, retries, what a killed process left, progress) stands here once.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, final

from bogp.errors import WorkerLostError
from bogp.pipeline.candidate import TrainingResult
from bogp.pipeline.session import Session
from bogp.pipeline.trainer import Results, TrainingTask
from bogp.study import Batch, FinishedTrial, PlannedTrial

TICK = 0.2
"""Seconds between two looks at what is done."""

Group = tuple[Batch, list[int]]  # the positions of a population


class Strategy(Protocol):
    """What one arm of a study does: all in which studies differ.

    Attributes:
        batch: trials that are asked at one time.
        overlapping: whether a batch is asked while others are under way.
        tasks: how many are under way at one time on an executor of unknown capacity; None is all.
        epochs: epochs of one training.
        trainings: trainings of the dearest trial.
    """

    batch: int
    overlapping: bool
    tasks: int | None
    epochs: int
    trainings: int

    def ask(self, count: int, last: bool) -> list[PlannedTrial]:
        """Return the next trials, at most ``count``; none where all are under way or done.

        Args:
            count: of the batch.
            last: whether no batch comes after it.
        """

    def task(self, batch: Batch, positions: Sequence[int]) -> TrainingTask:
        """Return the training of one population, whole: halving compares all of it."""

    def measure(self, point: Mapping[str, Any], result: TrainingResult) -> Measured:
        """Return what a trial tells the study."""

    def tell(self, trials: Sequence[FinishedTrial]) -> None:
        """Take in a batch that has ended."""

    def score(self) -> float | None:
        """Return what is to be noted after each batch; None for nothing."""

    def state(self) -> Any:
        """Return what :meth:`restore` needs beside the tells, as a JSON value."""

    def restore(self, state: Any) -> None:
        """Go on where the process that returned ``state`` was."""


@dataclass(frozen=True)
class Measured:
    """What a trial tells the study: its value, a second one beside it, and its record."""

    value: float
    record: dict[str, Any]
    second: float | None = None


@dataclass
class Arm:
    """One side of a study: the search itself, or random search at equal cost.

    Attributes:
        name: ``"search"`` or ``"random"``.
        strategy: what it asks, and how that is trained.
        told: the trials that the strategy was told, in that order.
        order: the numbers of their batches.
        scores: the strategy's score after each of them, where it has one.
    """

    name: str
    strategy: Strategy
    session: Session
    told: list[FinishedTrial] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def trials(self) -> tuple[FinishedTrial, ...]:
        """The trials that ended, in the order in which they were asked."""
        return self.session.study.trials(self.name)

    @property
    def epochs(self) -> int:
        """Epochs of training of the trials that ended."""
        return sum(int(trial.record["epochs"]) for trial in self.told)

    @property
    def lost(self) -> int:
        """Epochs that a kill or a lost worker took, at most: a population is run again whole."""
        begun, found = self.session.study.attempts(self.name), 0
        for batch in self.session.study.batches(self.name):
            for group in populations(batch):
                again = max(begun.get((batch.number, position), 1) for position in group) - 1
                rounds = sum(batch.trials[position].point.get("rounds", 1) for position in group)
                found += again * self.strategy.epochs * rounds
        return found

    def run(self, trials: int, epochs: int = 0) -> None:
        """Ask and train until there are ``trials`` and at least ``epochs`` are spent.

        A study that was killed goes on with what it died in, as it was asked. Where batches
        overlap, one is asked as soon as there is room for it, with what is under way pending, and
        told when it ends.

        Raises:
            StudyError: a trial has failed too often.
        """
        flight = _UnderWay(self.strategy, self.session)
        try:
            self._resume(flight)
            while True:
                while (batch := self._next(flight, trials, epochs)) is not None:
                    flight.add(batch)
                if flight.idle:
                    return
                for batch in flight.step():
                    self._tell(batch)
        finally:
            flight.cancel()

    def _resume(self, flight: _UnderWay) -> None:
        """Tell what ended, in the order in which it was told, and take on what did not."""
        study = self.session.study
        batches = study.batches(self.name)
        if not batches:
            return
        state = batches[-1].state or {}
        for number in state["told"]:
            self._tell(batches[number])
        self.strategy.restore(state["engine"])
        for batch in batches:
            if batch.number in self.order:
                continue
            if study.missing(batch):
                flight.add(batch)
            else:
                self._tell(batch)

    def _next(self, flight: _UnderWay, trials: int, epochs: int) -> Batch | None:
        """Return the next batch, None where none is due yet."""
        strategy, study = self.strategy, self.session.study
        if not (flight.room if strategy.overlapping else flight.idle):
            return None
        left = trials - sum(len(batch.trials) for batch in study.batches(self.name))
        if left > 0:
            count, last = min(strategy.batch, left), left <= strategy.batch
        else:
            # What the trials cost is short of what the other arm's did: more of them.
            short = epochs - self.epochs if flight.idle else 0
            dearest = strategy.epochs * strategy.trainings
            count, last = min(strategy.batch, -(-short // dearest)), True
        if count < 1 or (last and not flight.idle):
            return None
        asked = strategy.ask(count, last)
        if not asked:
            return None
        if left <= 0:
            self.session.counter.expect(len(asked))
        state = {"engine": strategy.state(), "told": list(self.order)}
        return study.open_batch(self.name, asked, state)

    def _tell(self, batch: Batch) -> None:
        own = [trial for trial in self.trials if trial.batch == batch.number]
        self.told += own
        self.order.append(batch.number)
        self.strategy.tell(own)
        self._note_score()

    def _note_score(self) -> None:
        """Note the score after the latest batch, unless an earlier process did."""
        name, study = f"scores of {self.name}", self.session.study
        noted: list[float] = study.noted(name, [])
        if len(noted) < len(self.order):
            score = self.strategy.score()
            if score is None:
                return
            noted = [*noted, score]
            study.note(name, noted)
        self.scores = noted[: len(self.order)]


@final
class _UnderWay:
    """The batches of an arm that have not ended.

    Each trial is in the study as it ends. What a lost worker was at is run again, as often as the
    study allows.
    """

    def __init__(self, strategy: Strategy, session: Session) -> None:
        self._strategy, self._session = strategy, session
        self._waiting: deque[Group] = deque()
        self._running: dict[Future[Results], tuple[int, Group]] = {}
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
        """Tasks at one time."""
        capacity = self._session.workers.capacity
        unknown = capacity == sys.maxsize and self._strategy.tasks is not None
        return self._strategy.tasks or capacity if unknown else capacity

    def add(self, batch: Batch) -> None:
        """Take on the populations of a batch that have not ended whole, and begin with them."""
        missing = set(self._session.study.missing(batch))
        self._waiting += [(batch, group) for group in populations(batch) if missing & set(group)]
        self._launch()

    def step(self) -> list[Batch]:
        """Begin what there is room for, wait a while, and return the batches that ended.

        Raises:
            StudyError: a trial has failed too often.
        """
        self._launch()
        ended, _ = wait(self._running, timeout=TICK, return_when=FIRST_COMPLETED)
        self._session.counter.report()
        whole = []
        for future in [future for future in self._running if future in ended]:
            batch = self._end(future)
            if batch is not None and not self._session.study.missing(batch):
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
        session = self._session
        missing = set(positions).intersection(session.study.missing(batch))
        session.study.begin(batch, sorted(missing))
        self._begun += 1
        task = self._strategy.task(batch, positions)
        note = partial(session.counter.under_way, self._begun, len(missing))
        future = session.workers.submit(session.trainer, task, note)
        self._running[future] = self._begun, group

    def _end(self, future: Future[Results]) -> Batch | None:
        """Store what came of a task; return its batch unless it is to be run again."""
        key, (batch, group) = self._running.pop(future)
        study = self._session.study
        self._session.counter.ended(key)
        missing = study.missing(batch)
        try:
            found = future.result()
        except WorkerLostError as error:
            self._waiting.append((batch, group))
            for position in group:
                if position in missing:
                    study.fail(batch, position, str(error))
            return None
        for position, result in zip(group, found, strict=True):
            if position in missing:
                self._finish(batch, position, result)
        return batch

    def _finish(self, batch: Batch, position: int, result: TrainingResult) -> None:
        measured = self._strategy.measure(batch.trials[position].point, result)
        trial = self._session.study.finish(
            batch,
            position,
            measured.value,
            measured.record,
            stopped=result.ended == "rung",
            steps=result.accuracies,
            second=measured.second,
        )
        self._session.counter.add(1)
        if self._session.on_trial:
            self._session.on_trial(trial)


def populations(batch: Batch) -> list[list[int]]:
    """Return the positions of each population of a batch: what is trained together."""
    groups: dict[str, list[int]] = {}
    for position, asked in enumerate(batch.trials):
        groups.setdefault(asked.point.get("population", str(position)), []).append(position)
    return list(groups.values())
