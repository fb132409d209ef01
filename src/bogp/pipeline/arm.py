"""One arm of a study: an engine that asks, the trials it asked for, and what it was told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bogp.analysis import predict_final
from bogp.engines import ParetoSearch, PoolSearch, front, hypervolume
from bogp.pipeline.bench import Bench
from bogp.pipeline.flight import Flight, populations
from bogp.pipeline.space import Point
from bogp.study import Batch, FinishedTrial, PlannedTrial
from bogp.training import recipe

_SEEDS = 4
"""Seeds that each of the leaders gets in the last batch."""

_BINOMIAL_WEIGHT = 2
"""Replicates that the binomial law of an accuracy is worth as an estimate of the noise."""


@dataclass
class Arm:
    """One side of a study: the search itself, or random search at equal cost.

    Both sides differ in what proposes new candidates and in nothing else: halving, replicates and
    the choice of the winner are the same.

    Attributes:
        told: the trials that the engine was told, in that order.
        order: the numbers of their batches.
        hypervolumes: of the front after each of them, with pareto alone.
    """

    name: str
    engine: PoolSearch | ParetoSearch
    bench: Bench
    told: list[FinishedTrial] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    hypervolumes: list[float] = field(default_factory=list)

    @property
    def trials(self) -> tuple[FinishedTrial, ...]:
        """The trials that ended, in the order in which they were asked."""
        return self.bench.study.trials(self.name)

    @property
    def epochs(self) -> int:
        """Epochs of training of the trials that ended."""
        return sum(int(trial.record["epochs"]) for trial in self.told)

    @property
    def lost(self) -> int:
        """Epochs that a kill or a lost worker took, at most: a population is run again whole."""
        begun, each = self.bench.study.attempts(self.name), recipe(self.bench.settings.recipe)
        found = 0
        for batch in self.bench.study.batches(self.name):
            for group in populations(batch):
                again = max(begun.get((batch.number, position), 1) for position in group) - 1
                rounds = sum(batch.trials[position].point["rounds"] for position in group)
                found += again * each.epochs * rounds
        return found

    def run(self, trials: int, epochs: int = 0) -> None:
        """Ask and train until there are ``trials`` and at least ``epochs`` are spent.

        A study that was killed goes on with what it died in, as it was asked. Where the asking is
        asynchronous, a batch is asked as soon as there is room for it, with what is under way
        pending, and told when it ends.

        Raises:
            StudyError: a trial has failed too often.
        """
        flight = Flight(self.bench)
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

    def best(self) -> int:
        """Return the candidate of highest posterior mean of those that trained to the end."""
        whole, best = self._whole(), self.engine.recommend()
        if best in whole or not whole:
            return best
        return whole[int(np.argmax(self.engine.posterior(whole)[0]))]

    def front(self) -> list[int]:
        """Return the candidates on the front by posterior mean, ascending in sparsity.

        Of those that trained to the end: what a stopped one would have reached is a guess.
        """
        whole = self._whole()
        return [whole[place] for place in front(self._points(whole)).tolist()]

    def _whole(self) -> list[int]:
        return list(dict.fromkeys(t.point["index"] for t in self.told if not t.stopped))

    def _points(self, indices: Sequence[int]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Return posterior mean and sparsity of candidates, (len(indices), 2)."""
        means = self.engine.posterior(indices)[0]
        return np.column_stack((means, self.bench.space.sparsities[list(indices)]))

    def _resume(self, flight: Flight) -> None:
        """Tell what ended, in the order in which it was told, and take on what did not."""
        batches = self.bench.study.batches(self.name)
        if not batches:
            return
        state = batches[-1].state or {}
        for number in state["told"]:
            self._tell(batches[number])
        self.engine.restore(state["engine"])
        for batch in batches:
            if batch.number in self.order:
                continue
            if self.bench.study.missing(batch):
                flight.add(batch)
            else:
                self._tell(batch)

    def _next(self, flight: Flight, trials: int, epochs: int) -> Batch | None:
        """Return the next batch, None where none is due yet."""
        settings = self.bench.settings
        if not (flight.room if settings.asynchronous else flight.idle):
            return None
        size = settings.asked_together
        left = trials - sum(len(batch.trials) for batch in self.bench.study.batches(self.name))
        if left > 0:
            count, last = min(size, left), left <= size
        else:
            # What the trials cost is short of what the other arm's did: more seeds for the leaders.
            short = epochs - self.epochs if flight.idle else 0
            dearest = recipe(settings.recipe).epochs * max(settings.rounds)
            count, last = min(size, -(-short // dearest)), True
        if count < 1 or (last and not flight.idle):
            return None
        asked = self._ask(count, last)
        if not asked:
            return None  # all candidates are pending
        if left <= 0:
            self.bench.counter.expect(len(asked))
        state = {"engine": self.engine.state(), "told": list(self.order)}
        return self.bench.study.open_batch(self.name, asked, state)

    def _ask(self, count: int, last: bool) -> list[PlannedTrial]:
        """Choose the next trials: new candidates, and promising ones on further seeds.

        The last batch trains the leaders alone, on a few seeds each: they decide the winner.
        """
        share = self.bench.settings.replicates
        told, pending = set(self.engine.told), set(self.engine.pending)
        free = len(self.bench.space.points) - len(told | pending)
        again = count if last and share else round(share * count)
        again = max(again, count - free) if told - pending else 0
        leaders = min(-(-again // _SEEDS) if last else again, len(told - pending))
        repeated = self.engine.replicate(leaders) if leaders else []
        seeds = -(-again // len(repeated)) if repeated else 0
        new = min(free, count - again)
        fresh = self.engine.ask(new) if new > 0 else []
        return [
            *self._asked(fresh, halved=True),
            *self._asked((repeated * seeds)[:again], halved=False),
        ]

    def _asked(self, indices: Sequence[int], halved: bool) -> Iterator[PlannedTrial]:
        size = self.bench.settings.population
        space = self.bench.space
        trained = Counter(trial.point["index"] for trial in self.told)
        for position, index in enumerate(indices):
            point = space.points[index].record() | {
                "index": index,
                "replicate": trained[index],
                "population": f"{'new' if halved else 'again'} {position // size}",
                "halved": halved,
            }
            trained[index] += 1
            yield PlannedTrial(point, space.parameters(index))

    def _tell(self, batch: Batch) -> None:
        """Tell the engine what came of a batch, the stopped ones by what they would have become."""
        own = [trial for trial in self.trials if trial.batch == batch.number]
        self.told += own
        self.order.append(batch.number)
        noise = noise_variance(self.told)
        for trial in own:
            if trial.stopped and not trial.record["diverged"]:
                accuracy, variance = predicted(trial, self.told)
                value = self.bench.objective(accuracy, Point.from_record(trial.point))
                # Of the candidate's true mean: that one final value is predicted, itself noisy.
                self.engine.tell(trial.point["index"], value, variance + noise)
            else:
                self.engine.tell(trial.point["index"], trial.value)
        if self.bench.settings.pareto:
            self._note_hypervolume()

    def _note_hypervolume(self) -> None:
        """Record the hypervolume after the latest batch, unless an earlier process did."""
        name = f"hypervolumes of {self.name}"
        noted = self.bench.study.noted(name, [])
        if len(noted) < len(self.order):
            noted = [*noted, hypervolume(self._points(self._whole()), self.bench.reference)]
            self.bench.study.note(name, noted)
        self.hypervolumes = noted[: len(self.order)]


def predicted(trial: FinishedTrial, told: Sequence[FinishedTrial]) -> tuple[float, float]:
    """Return the accuracy that a stopped trial would have had, and the variance of that.

    From the trials of as many pruning rounds that went on, but for those that diverged.
    """
    epoch = len(trial.record["accuracies"])
    curves = [
        other.record["accuracies"]
        for other in told
        if not other.stopped
        and not other.record["diverged"]
        and other.point["rounds"] == trial.point["rounds"]
    ]
    pairs = [(curve[epoch - 1], curve[-1]) for curve in curves if len(curve) > epoch]
    early, final = np.array(pairs).reshape(-1, 2).T
    mean, variance = predict_final(trial.record["accuracies"][-1:], early, final)
    return float(mean[0]), float(variance[0])


def noise_variance(trials: Sequence[FinishedTrial]) -> float:
    """Return the variance of one evaluation of a candidate, over seeds.

    Pooled over the replicates of each candidate that trained to the end. Until there are some it
    is the binomial variance of the accuracies, which weighs as two replicates.
    """
    values: dict[int, list[float]] = {}
    binomial = []
    for trial in trials:
        if not trial.stopped and not trial.record["diverged"]:
            accuracy = trial.record["accuracy"]
            values.setdefault(trial.point["index"], []).append(accuracy)
            binomial.append(accuracy * (1.0 - accuracy) / trial.record["examples"])
    if not binomial:
        return 0.0
    squares = math.fsum(sum((v - np.mean(own)) ** 2 for v in own) for own in values.values())
    freedom = sum(len(own) - 1 for own in values.values())
    weighted = squares + _BINOMIAL_WEIGHT * float(np.mean(binomial))
    return weighted / (freedom + _BINOMIAL_WEIGHT)
