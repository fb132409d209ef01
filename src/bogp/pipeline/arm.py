"""One arm of a study: an engine that asks, the trials it asked for, and what it was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bogp.analysis import predict_final
from bogp.keys import derive_seed
from bogp.pipeline.evaluation import DataSource, Evaluated, Plan, PopulationTask
from bogp.pipeline.pool_settings import PoolSettings
from bogp.pipeline.pruning import Support
from bogp.pipeline.space import CandidateSpace, Point
from bogp.pipeline.workers import Evaluator, WorkerLostError
from bogp.search import Asked, Batch, FinishedTrial, ParetoSearch, PoolSearch, Study
from bogp.training import recipe

_SEEDS = 4
"""Seeds that each of the leaders gets in the last batch."""

OnTrial = Callable[[FinishedTrial], None]
Tick = Callable[[int], None]


@dataclass(frozen=True)
class Bench:
    """What all arms of a study share."""

    settings: PoolSettings
    space: CandidateSpace
    supports: Callable[[Point], Support]
    data: DataSource
    study: Study
    evaluator: Evaluator
    tick: Tick  # called with the number of trainings that ended
    on_trial: OnTrial | None = None

    def task(self, plans: Sequence[Plan], order_seed: int, **options: Any) -> PopulationTask:
        """Return the training of ``plans`` together."""
        chosen = self.settings
        return PopulationTask(
            model=chosen.model,
            layers=chosen.layers,
            recipe=recipe(chosen.recipe),
            protocol=chosen.protocol,
            data=self.data,
            plans=tuple(plans),
            order_seed=order_seed,
            **options,
        )

    def plan(self, point: Point, seed: int) -> Plan:
        """Return one training of a point: ``seed`` decides the weights and what is drawn."""
        return Plan(
            support=self.supports(point),
            method=point.method,
            sparsity=point.sparsity,
            mask_seed=derive_seed(seed, "mask"),
            seed=seed,
        )

    def objective(self, accuracy: float, point: Point) -> float:
        """Return what the search maximises."""
        alpha = self.settings.alpha
        return accuracy if alpha is None else accuracy + alpha * point.sparsity


@dataclass
class Arm:
    """One side of a study: the search itself, or random search at equal cost.

    Both sides differ in what proposes new candidates and in nothing else: halving, replicates and
    the choice of the winner are the same.
    """

    name: str
    engine: PoolSearch | ParetoSearch
    bench: Bench
    told: list[FinishedTrial] = field(default_factory=list)
    hypervolumes: list[float] = field(default_factory=list)

    @property
    def trials(self) -> tuple[FinishedTrial, ...]:
        """The trials that ended, in the order in which they were asked."""
        return self.bench.study.trials(self.name)

    @property
    def epochs(self) -> int:
        """Epochs of training that the arm has spent."""
        return sum(int(trial.record["epochs"]) for trial in self.told)

    def run(self, trials: int, epochs: int = 0) -> None:
        """Ask and train until there are ``trials`` and ``epochs`` are spent.

        A study that was killed goes on with the batch that it died in, as it was asked.
        """
        known = list(self.bench.study.batches(self.name))
        for batch in known[:-1]:
            self._train(batch)
            self._tell(batch)
        for batch in known[-1:]:
            self.engine.restore(dict(batch.state or {}))
            self._train(batch)
            self._tell(batch)
        while (left := trials - len(self.told)) > 0 or self.epochs < epochs:
            size = self.bench.settings.batch
            batch = self._ask(min(size, left) if left > 0 else size, last=0 < left <= size)
            self._train(batch)
            self._tell(batch)

    def _ask(self, count: int, last: bool) -> Batch:
        """Choose the next trials and write them down before any begins.

        The last batch trains the leaders alone, on a few seeds each: they decide the winner.
        """
        settings = self.bench.settings
        finished = len({trial.point["index"] for trial in self.told if not trial.stopped})
        free = len(self.bench.space.points) - len(self.engine.told)
        again = min(round(settings.replicates * count), finished)
        if last and finished and settings.replicates:
            again = count
        again = max(again, count - free)
        leaders = -(-again // _SEEDS) if last else again
        repeated = self.engine.replicate(min(leaders, finished)) if again and finished else []
        seeds = -(-again // len(repeated)) if repeated else 0
        fresh = self.engine.ask(min(free, count - again)) if count > again else []
        asked = [
            *self._asked(fresh, halved=True),
            *self._asked((repeated * seeds)[:again], halved=False),
        ]
        return self.bench.study.open_batch(self.name, asked, self.engine.state())

    def _asked(self, indices: Sequence[int], halved: bool) -> Iterator[Asked]:
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
            yield Asked(point, space.parameters(index))

    def _train(self, batch: Batch) -> None:
        """Train what has not ended of a batch, population by population."""
        missing = set(self.bench.study.missing(batch))
        waiting = [group for group in _populations(batch) if missing & set(group)]
        running: dict[Future[tuple[Evaluated, ...]], list[int]] = {}
        while waiting or running:
            while waiting and len(running) < self.bench.evaluator.capacity:
                group = waiting.pop(0)
                self.bench.study.begin(batch, sorted(missing & set(group)))
                running[self.bench.evaluator.submit(self._task(batch, group))] = group
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                group = running.pop(future)
                positions = [position for position in group if position in missing]
                try:
                    found = future.result()
                except WorkerLostError as error:
                    for position in positions:
                        self.bench.study.fail(batch, position, str(error))
                    waiting.append(group)
                    continue
                for position, evaluated in zip(group, found, strict=True):
                    if position in missing:
                        self._finish(batch, position, evaluated)

    def _task(self, batch: Batch, group: Sequence[int]) -> PopulationTask:
        """Return the training of one population, whole: halving compares all of it."""
        settings = self.bench.settings
        plans = [self._plan(batch, position) for position in group]
        first = batch.asked[group[0]].point
        order = derive_seed(
            settings.seed, "order", self.name, batch.number, str(first["population"])
        )
        halving = settings.halving if first["halved"] else None
        return self.bench.task(plans, order, halving=halving)

    def _plan(self, batch: Batch, position: int) -> Plan:
        asked = batch.asked[position].point
        point = Point.from_record(asked)
        return self.bench.plan(
            point, trial_seed(self.bench.settings.seed, point, asked["replicate"])
        )

    def _finish(self, batch: Batch, position: int, evaluated: Evaluated) -> None:
        point = Point.from_record(batch.asked[position].point)
        value = self.bench.objective(evaluated.record["accuracy"], point)
        trial = self.bench.study.finish(
            batch,
            position,
            value,
            evaluated.record,
            stopped=evaluated.ended == "rung",
            steps=evaluated.accuracies,
            second=point.sparsity if self.bench.settings.pareto else None,
        )
        self.bench.tick(1)
        if self.bench.on_trial:
            self.bench.on_trial(trial)

    def _tell(self, batch: Batch) -> None:
        """Tell the engine what came of a batch, the stopped ones by what they would have become."""
        own = [trial for trial in self.trials if trial.batch == batch.number]
        self.told += own
        for trial in own:
            point = Point.from_record(trial.point)
            if trial.stopped:
                accuracy, variance = self._predicted(trial)
                self.engine.tell(
                    trial.point["index"], self.bench.objective(accuracy, point), variance
                )
            else:
                self.engine.tell(trial.point["index"], trial.value)
        if isinstance(self.engine, ParetoSearch):
            self.hypervolumes.append(self.engine.hypervolume())

    def _predicted(self, trial: FinishedTrial) -> tuple[float, float]:
        """Return the accuracy that a stopped trial would have had, and its variance."""
        epoch = len(trial.record["accuracies"])
        rounds = trial.point["rounds"]
        pairs = [
            (other.record["accuracies"][epoch - 1], other.record["accuracies"][-1])
            for other in self.told
            if not other.stopped
            and other.point["rounds"] == rounds
            and len(other.record["accuracies"]) > epoch
        ]
        early, final = np.array(pairs).reshape(-1, 2).T
        mean, variance = predict_final(trial.record["accuracies"][-1:], early, final)
        return float(mean[0]), float(variance[0])


def trial_seed(seed: int, point: Point, replicate: int) -> int:
    """Return the seed of a point's training: the same whoever asks for it, and when."""
    return derive_seed(seed, "trial", point.key, replicate)


def _populations(batch: Batch) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for position, asked in enumerate(batch.asked):
        groups.setdefault(asked.point["population"], []).append(position)
    return list(groups.values())
