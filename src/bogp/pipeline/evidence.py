"""Evidence: what the winner of a search is worth, and what its wiring has to do with it.

The winner is trained again on seeds that no selection saw, beside the winner of random search and
beside controls that take one thing away each (:mod:`bogp.pipeline.finals`). All networks of one
seed see the same mini-batches, so that differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bogp.analysis import (
    Interval,
    VarianceComponents,
    Winner,
    mean_interval,
    paired_interval,
    shrunken,
    tell_apart_sentence,
    variance_components,
    winner_interval,
)
from bogp.pipeline.finals import Final as Final
from bogp.pipeline.finals import Finals as Finals
from bogp.pipeline.pool import PoolStrategy
from bogp.study import FinishedTrial

WINNER = "winner"
RANDOM = "random search's winner"


@dataclass(frozen=True)
class Comparison:
    """Something beside the winner: its accuracy on the report data, and the winner's lead."""

    name: str
    accuracy: Interval
    lead: Interval  # winner − this, paired by seed
    epochs: int  # of training, on one seed


@dataclass(frozen=True)
class Evidence:
    """What there is to say for a winner.

    All values are accuracies: with alpha, values less alpha · sparsity of the winner.

    Attributes:
        selected: the best single trial of the winner: what a naive report would give.
        posterior: mean and standard deviation of the winner's true value under the surrogate.
        shrunken: the empirical-Bayes estimate of its true value, which allows for the winner's
            having been chosen; None without replicates, which say how noisy a trial is.
        conditional: the same from the law of a winner alone, wider and with fewer assumptions.
        fresh: accuracy on the data that selects, over fresh seeds.
        sealed: accuracy on the report data, over fresh seeds.
        components: variance between candidates and between seeds, over the trials that ended
            whole; None without replicates.
        runner_up: sentence that says how many seeds would tell the winner from the second best.
        comparisons: random search's winner and the controls.
        left_out: controls that do not apply, and why.
        runs: all networks behind it, seed by seed.
    """

    selected: float
    posterior: tuple[float, float]
    shrunken: Winner | None
    conditional: Winner | None
    fresh: Interval | None
    sealed: Interval | None
    components: VarianceComponents | None
    runner_up: str | None
    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, str]
    runs: tuple[Final, ...]


def weigh(strategy: PoolStrategy, best: int, finals: Finals) -> Evidence:
    """Return the evidence for the candidate ``best`` of a search."""
    runs, left_out = finals.runs, finals.left_out
    # With alpha the bonus of the winner's own sparsity is taken off again.
    bonus = strategy.value(0.0, strategy.space.points[best])
    whole = [trial for trial in strategy.told if not trial.stopped]
    values = _by_candidate(whole, bonus)
    own = values.get(best, [])
    mean, deviation = strategy.engine.posterior([best])
    components = _components(values)
    corrected = _corrected(values, best, components)
    winner = [run for run in runs if run.name == WINNER]
    return Evidence(
        selected=max(own) if own else float("nan"),
        posterior=(float(mean[0]) - bonus, float(deviation[0])),
        shrunken=corrected[0],
        conditional=corrected[1],
        fresh=_interval([run.selected for run in winner]),
        sealed=_interval([run.accuracy for run in winner]),
        components=components,
        runner_up=_runner_up(values, best, components),
        comparisons=comparisons(runs, left_out),
        left_out=dict(left_out),
        runs=tuple(runs),
    )


def _by_candidate(trials: Sequence[FinishedTrial], bonus: float) -> dict[int, list[float]]:
    values: dict[int, list[float]] = {}
    for trial in trials:
        values.setdefault(trial.point["index"], []).append(trial.value - bonus)
    return values


def _components(values: Mapping[int, Sequence[float]]) -> VarianceComponents | None:
    if len(values) < 2 or all(len(each) < 2 for each in values.values()):
        return None
    return variance_components([list(each) for each in values.values()])


def _corrected(
    values: Mapping[int, Sequence[float]], best: int, components: VarianceComponents | None
) -> tuple[Winner | None, Winner | None]:
    """Return what the winner is worth, given that it was chosen among all that ended whole."""
    if components is None or not components.within_sd > 0 or best not in values:
        return None, None
    means = [float(np.mean(each)) for each in values.values()]
    errors = np.array([components.within_sd / math.sqrt(len(each)) for each in values.values()])
    place = list(values).index(best)
    return shrunken(means, errors**2).corrected(place), winner_interval(means, errors, winner=place)


def _runner_up(
    values: Mapping[int, Sequence[float]], best: int, components: VarianceComponents | None
) -> str | None:
    others = [float(np.mean(each)) for index, each in values.items() if index != best]
    if components is None or not others or best not in values:
        return None
    return tell_apart_sentence(float(np.mean(values[best])) - max(others), components.within_sd)


def comparisons(runs: Sequence[Final], left_out: Mapping[str, str]) -> tuple[Comparison, ...]:
    """Return what stood beside the winner, but for controls that are none."""
    winner = {run.number: run.accuracy for run in runs if run.name == WINNER}
    names = dict.fromkeys(run.name for run in runs if run.name not in {WINNER, *left_out})
    found = []
    for name in names:
        own = {run.number: run.accuracy for run in runs if run.name == name}
        lead = paired_interval([winner[number] for number in own], list(own.values()))
        accuracy = mean_interval(list(own.values()))
        found.append(Comparison(name, accuracy, lead, epochs_a_seed(runs, name)))
    return tuple(found)


def epochs_a_seed(runs: Sequence[Final], name: str) -> int:
    """Return how many epochs a network of a name is trained for on one seed.

    A network that goes by two names was trained once, and each has its epochs.
    """
    own = [run for run in runs if run.name == name]
    trained = {(run.number, run.seed, run.mask): run.epochs for run in runs if run.epochs}
    return max(run.epochs or trained.get((run.number, run.seed, run.mask), 0) for run in own)


def _interval(values: Sequence[float]) -> Interval | None:
    return mean_interval(values) if values else None
