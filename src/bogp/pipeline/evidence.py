"""Evidence: what the winner of a search is worth, and what its wiring has to do with it.

The winner is trained again on seeds that no selection saw, beside the winner of random search and
beside controls that take one thing away each. All networks of one seed see the same mini-batches,
so that differences are paired. Only then is the report set opened, once, for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bogp.analysis import (
    Interval,
    ReplicateComponents,
    Winner,
    mean_interval,
    paired_interval,
    replicate_components,
    shrunken,
    tell_apart_sentence,
    winner_interval,
)
from bogp.controls import (
    CONTROLS,
    erk_random,
    measure_change,
    random_like,
    rewire,
    shuffle_layers,
    why_not,
)
from bogp.controls.names import EQUAL, ERK, INVERT, NO_SUPPORT, REINITIALISE, REWIRE, SHUFFLE
from bogp.graphs import RelationalGraph
from bogp.keys import derive_seed
from bogp.masks import Mask
from bogp.pipeline.arm import Arm, Bench
from bogp.pipeline.evaluation import Evaluated, Plan
from bogp.pipeline.methods import GRAPH
from bogp.pipeline.pruning import support_mask
from bogp.pipeline.scoring import INVERTED
from bogp.pipeline.space import Point
from bogp.search import FinishedTrial
from bogp.training import initialise, model_factory

WINNER = "winner"
RANDOM = "random search's winner"


@dataclass(frozen=True)
class Final:
    """One network of the evidence: trained on one fresh seed, measured on both sets.

    Attributes:
        name: ``"winner"``, ``"random search's winner"``, or a control of
            :data:`bogp.controls.CONTROLS`.
        seed: of the initial weights.
        selected: accuracy on the data that selects.
        accuracy: on the report data.
        loss: on the report data; None where it was no number.
        epochs: of training.
        mask: fingerprint of its mask.
        change: what a control did to the winner's mask.
    """

    name: str
    seed: int
    selected: float
    accuracy: float
    loss: float | None
    epochs: int
    mask: str
    change: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Comparison:
    """Something beside the winner: its accuracy on the report data, and the winner's lead."""

    name: str
    accuracy: Interval
    lead: Interval  # winner − this, paired by seed
    why_not: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What there is to say for a winner.

    Attributes:
        selected: value of the best single trial of the winner: what a naive report would give.
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
    components: ReplicateComponents | None
    runner_up: str | None
    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, str]
    runs: tuple[Final, ...]


@dataclass(frozen=True)
class Contender:
    """A point that the evidence trains, with the arm that it won."""

    name: str
    point: Point


@dataclass(frozen=True)
class Finals:
    """What was trained on fresh seeds.

    Attributes:
        runs: all networks, seed by seed.
        left_out: controls that do not apply, and why.
        masks: of each contender on the first seed.
    """

    runs: tuple[Final, ...]
    left_out: Mapping[str, str]
    masks: Mapping[str, Mask]


def run_finals(
    bench: Bench, contenders: Sequence[Contender], count: int, *, controls: bool
) -> Finals:
    """Train contenders, and controls of the first, on fresh seeds; open the report data.

    Each seed is in the study before the next begins.
    """
    runs: list[Final] = []
    left_out: dict[str, str] = {}
    masks: dict[str, Mask] = {}
    for number in range(count):
        name = f"final {number} of {' | '.join(str(entry.point) for entry in contenders)}"
        stored = bench.study.noted(name)
        if stored is None:
            stored = _one_seed(bench, contenders, number, controls)
            bench.study.note(name, stored)
        bench.tick(1)
        runs += [Final(**entry) for entry in stored["runs"]]
        left_out |= stored["left out"]
        if number == 0:
            masks = {name: _unpacked(packed) for name, packed in stored["masks"].items()}
    return Finals(tuple(runs), left_out, masks)


def _one_seed(
    bench: Bench, contenders: Sequence[Contender], number: int, controls: bool
) -> dict[str, Any]:
    """Train everything on one fresh seed and return it as a JSON object."""
    seed = derive_seed(bench.settings.seed, "final", number)
    order = derive_seed(bench.settings.seed, "final order", number)
    names = [entry.name for entry in contenders]
    plans = [bench.plan(entry.point, seed) for entry in contenders]
    found = _evaluate(bench, plans, order)
    winner = found[0].mask
    assert winner is not None
    runs = [_final(*pair, seed, None) for pair in zip(names, found, strict=True)]
    left_out: dict[str, str] = {}
    if controls:
        made, left_out = _controls(bench, plans[0], winner, seed)
        others = _evaluate(bench, list(made.values()), order)
        for name, plan, evaluated in zip(made, made.values(), others, strict=True):
            assert evaluated.mask is not None
            change = measure_change(
                name, winner, evaluated.mask, weights_changed=plan.seed != plans[0].seed
            )
            runs.append(_final(name, evaluated, plan.seed, change.record()))
    return {
        "runs": [vars(run) for run in runs],
        "left out": left_out,
        "masks": {
            name: _packed(evaluated.mask)
            for name, evaluated in zip(names, found, strict=True)
            if evaluated.mask is not None and number == 0
        },
    }


def _evaluate(bench: Bench, plans: Sequence[Plan], order: int) -> tuple[Evaluated, ...]:
    task = bench.task(plans, order, report=True, keep=True)
    return bench.evaluator.submit(task).result()


def _final(name: str, found: Evaluated, seed: int, change: Mapping[str, Any] | None) -> Final:
    assert found.report is not None
    loss = found.report.loss if math.isfinite(found.report.loss) else None
    return Final(
        name=name,
        seed=seed,
        selected=found.record["accuracy"],
        accuracy=found.report.accuracy,
        loss=loss,
        epochs=found.epochs,
        mask=found.record["mask"],
        change=change,
    )


def _controls(
    bench: Bench, plan: Plan, mask: Mask, seed: int
) -> tuple[dict[str, Plan], dict[str, str]]:
    """Return the controls of a winner as plans, and those that do not apply with the reason."""
    draw = derive_seed(seed, "control")
    graph = plan.support if isinstance(plan.support, RelationalGraph) else None
    dataset = bench.evaluator.dataset
    factory = model_factory(bench.settings.model, dataset.features, dataset.classes)
    model = initialise(factory, 0)
    support = support_mask(plan.support, model, tuple(mask))
    fixed = replace(plan, method=GRAPH, sparsity=mask.sparsity)
    inverted = replace(plan.method, criterion=INVERTED + plan.method.criterion)
    makers: dict[str, Callable[[], Plan]] = {
        SHUFFLE: lambda: replace(fixed, support=shuffle_layers(mask, draw)),
        REWIRE: lambda: replace(plan, support=rewire(_present(graph), draw)),
        REINITIALISE: lambda: replace(fixed, support=mask, seed=derive_seed(seed, "other weights")),
        INVERT: lambda: replace(plan, method=inverted),
        EQUAL: lambda: replace(fixed, support=random_like(mask, draw)),
        ERK: lambda: replace(fixed, support=erk_random(mask, draw)),
        NO_SUPPORT: lambda: replace(plan, support=None),
    }
    made: dict[str, Plan] = {}
    left_out: dict[str, str] = {}
    for name in CONTROLS:
        reason = why_not(name, mask, graph=graph, support=support, criterion=plan.method.criterion)
        if reason is None:
            made[name] = makers[name]()
        else:
            left_out[name] = reason
    return made, left_out


def _present(graph: RelationalGraph | None) -> RelationalGraph:
    assert graph is not None  # why_not has seen to it
    return graph


def weigh(arm: Arm, best: int, finals: Finals) -> Evidence:
    """Return the evidence for the candidate ``best`` of an arm."""
    runs, left_out = finals.runs, finals.left_out
    whole = [trial for trial in arm.told if not trial.stopped]
    values = _by_candidate(whole)
    own = values.get(best, [])
    mean, deviation = arm.engine.posterior([best])
    components = _components(values)
    corrected = _corrected(values, best, components)
    winner = [run for run in runs if run.name == WINNER]
    return Evidence(
        selected=max(own) if own else float("nan"),
        posterior=(float(mean[0]), float(deviation[0])),
        shrunken=corrected[0],
        conditional=corrected[1],
        fresh=_interval([run.selected for run in winner]),
        sealed=_interval([run.accuracy for run in winner]),
        components=components,
        runner_up=_runner_up(values, best, components),
        comparisons=_comparisons(runs),
        left_out=dict(left_out),
        runs=tuple(runs),
    )


def _by_candidate(trials: Sequence[FinishedTrial]) -> dict[int, list[float]]:
    values: dict[int, list[float]] = {}
    for trial in trials:
        values.setdefault(trial.point["index"], []).append(trial.value)
    return values


def _components(values: Mapping[int, Sequence[float]]) -> ReplicateComponents | None:
    if len(values) < 2 or all(len(each) < 2 for each in values.values()):
        return None
    return replicate_components([list(each) for each in values.values()])


def _corrected(
    values: Mapping[int, Sequence[float]], best: int, components: ReplicateComponents | None
) -> tuple[Winner | None, Winner | None]:
    """Return what the winner is worth, given that it was chosen among all that ended whole."""
    if components is None or not components.within_sd > 0 or best not in values:
        return None, None
    means = [float(np.mean(each)) for each in values.values()]
    errors = np.array([components.within_sd / math.sqrt(len(each)) for each in values.values()])
    place = list(values).index(best)
    return shrunken(means, errors**2).corrected(place), winner_interval(means, errors, winner=place)


def _runner_up(
    values: Mapping[int, Sequence[float]], best: int, components: ReplicateComponents | None
) -> str | None:
    others = [float(np.mean(each)) for index, each in values.items() if index != best]
    if components is None or not others or best not in values:
        return None
    return tell_apart_sentence(float(np.mean(values[best])) - max(others), components.within_sd)


def _comparisons(runs: Sequence[Final]) -> tuple[Comparison, ...]:
    winner = [run.accuracy for run in runs if run.name == WINNER]
    names = dict.fromkeys(run.name for run in runs if run.name != WINNER)
    found = []
    for name in names:
        own = [run.accuracy for run in runs if run.name == name]
        accuracy, lead = mean_interval(own), paired_interval(winner, own)
        found.append(Comparison(name, accuracy, lead))
    return tuple(found)


def _interval(values: Sequence[float]) -> Interval | None:
    return mean_interval(values) if values else None


def _packed(mask: Mask) -> dict[str, Any]:
    return {
        name: {
            "shape": list(layer.shape),
            "bits": np.packbits(layer.cpu().numpy().ravel()).tobytes().hex(),
        }
        for name, layer in mask.items()
    }


def _unpacked(stored: Mapping[str, Any]) -> Mask:
    import torch

    layers = {}
    for name, entry in stored.items():
        count = math.prod(entry["shape"])
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(entry["bits"]), np.uint8), count=count)
        layers[name] = torch.from_numpy(bits.astype(bool)).reshape(entry["shape"])
    return Mask(layers)
