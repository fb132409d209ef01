"""The pool's strategy: points of a finite space, replicates for leaders, halving for the new."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np

from bogp.analysis import predict_final
from bogp.engines import ParetoSearch, PoolSearch, front, hypervolume
from bogp.keys import derive_seed
from bogp.pipeline.candidate import Candidate, TrainingResult
from bogp.pipeline.loop import Measured
from bogp.pipeline.records import search_halving
from bogp.pipeline.space import CandidateSpace, Point
from bogp.pipeline.trainer import TrainingTask
from bogp.settings.search import SearchSettings
from bogp.study import Batch, FinishedTrial, PlannedTrial
from bogp.types import Floats

_SEEDS = 4
"""Seeds that each of the leaders gets in the last batch."""

_BINOMIAL_WEIGHT = 2
"""Replicates that the binomial law of an accuracy is worth as an estimate of the noise."""


@final
class PoolStrategy:
    """Chooses points of a finite space with an engine; random search differs in its engine alone.

    A batch has new points and, by ``replicate_share``, promising ones on another seed; the last
    batch trains the leaders alone, on a few seeds each, and decides the winner.

    Args:
        settings: of the search.
        space: the points to choose from.
        candidate: from a point and the seed of a network to how its mask is made.
        engine: proposes points and is told their values.
        reference: whence the hypervolume of a trade-off is measured: an accuracy and a sparsity.
    """

    def __init__(
        self,
        settings: SearchSettings,
        space: CandidateSpace,
        candidate: Callable[[Point, int], Candidate],
        engine: PoolSearch | ParetoSearch,
        reference: tuple[float, float],
    ) -> None:
        self.settings, self.space, self.candidate = settings, space, candidate
        self.engine, self.reference = engine, reference
        self.batch = settings.asked_together
        self.overlapping = settings.asynchronous
        self.tasks = -(-settings.batch // self.batch) if self.overlapping else None
        self.epochs: int = settings.recipe.epochs
        self.trainings = max(settings.rounds)
        self.told: list[FinishedTrial] = []

    def ask(self, count: int, last: bool) -> list[PlannedTrial]:
        """Choose the next trials: new candidates, and promising ones on further seeds."""
        share = self.settings.replicate_share
        told, pending = set(self.engine.told), set(self.engine.pending)
        free = len(self.space.points) - len(told | pending)
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
        size = self.settings.population
        trained = Counter(trial.point["index"] for trial in self.told)
        for position, index in enumerate(indices):
            point = self.space.points[index].record() | {
                "index": index,
                "replicate": trained[index],
                "population": f"{'new' if halved else 'again'} {position // size}",
                "halved": halved,
            }
            trained[index] += 1
            yield PlannedTrial(point, self.space.parameters(index))

    def task(self, batch: Batch, positions: Sequence[int]) -> TrainingTask:
        """Return the training of one population, whole: halving compares all of it."""
        seed, candidates, seeds = self.settings.seed, [], []
        for position in positions:
            asked = batch.trials[position].point
            point = Point.from_record(asked)
            # The same whoever asks for the point, and when.
            own = derive_seed(seed, "trial", point.key, asked["replicate"])
            candidates.append(self.candidate(point, own))
            seeds.append(own)
        first = batch.trials[positions[0]].point
        order = derive_seed(seed, "order", batch.arm, batch.number, str(first["population"]))
        halving = search_halving(self.settings) if first["halved"] else None
        return TrainingTask(tuple(candidates), tuple(seeds), order, halving)

    def measure(self, point: Mapping[str, Any], result: TrainingResult) -> Measured:
        """Return the value of a trial: its accuracy, with alpha and a bonus for its sparsity."""
        chosen = Point.from_record(point)
        second = chosen.sparsity if self.settings.pareto else None
        return Measured(self.value(result.selected.accuracy, chosen), result.record(), second)

    def value(self, accuracy: float, point: Point) -> float:
        """Return what the search maximises."""
        alpha = self.settings.alpha
        return accuracy if alpha is None else accuracy + alpha * point.sparsity

    def tell(self, trials: Sequence[FinishedTrial]) -> None:
        """Tell the engine what came of a batch, the stopped ones by what they would have become."""
        self.told += trials
        noise = noise_variance(self.told)
        for trial in trials:
            if trial.stopped and not trial.record["diverged"]:
                accuracy, variance = predicted(trial, self.told)
                value = self.value(accuracy, Point.from_record(trial.point))
                # Of the candidate's true mean: that one final value is predicted, itself noisy.
                self.engine.tell(trial.point["index"], value, variance + noise)
            else:
                self.engine.tell(trial.point["index"], trial.value)

    def state(self) -> Any:
        """Return the engine's state."""
        return self.engine.state()

    def restore(self, state: Any) -> None:
        """Take the state that :meth:`state` gave."""
        self.engine.restore(state)

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

    def score(self) -> float | None:
        """Return the hypervolume of the front by what has been told; None without pareto."""
        if not self.settings.pareto:
            return None
        return hypervolume(self._points(self._whole()), self.reference)

    def _whole(self) -> list[int]:
        return list(dict.fromkeys(t.point["index"] for t in self.told if not t.stopped))

    def _points(self, indices: Sequence[int]) -> Floats:
        """Return posterior mean and sparsity of candidates, (len(indices), 2)."""
        means = self.engine.posterior(indices)[0]
        return np.column_stack((means, self.space.sparsities[list(indices)]))


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
            examples = max(1, trial.record["examples"])
            binomial.append(accuracy * (1.0 - accuracy) / examples)
    if not binomial:
        return 0.0
    squares = math.fsum(sum((v - np.mean(own)) ** 2 for v in own) for own in values.values())
    freedom = sum(len(own) - 1 for own in values.values())
    weighted = squares + _BINOMIAL_WEIGHT * float(np.mean(binomial))
    return weighted / (freedom + _BINOMIAL_WEIGHT)
