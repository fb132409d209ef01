"""Networks on fresh seeds: the winners and the controls, trained once all selection is over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from bogp.controls import CONTROLS, Change, Drawn, Winner, differing_share
from bogp.criteria import criterion
from bogp.errors import StudyError
from bogp.keys import content_key, derive_seed
from bogp.masks import Mask
from bogp.pipeline.bench import Bench
from bogp.pipeline.evaluation import Evaluated, Plan
from bogp.pipeline.given import GivenModel, network_factory
from bogp.pipeline.methods import GRAPH, Method, inverted
from bogp.pipeline.pruning import initial_seed, support_mask
from bogp.pipeline.sharing import one_graph
from bogp.pipeline.space import Point
from bogp.pipeline.workers import WorkerLostError
from bogp.training import ModelFactory, initialise


@dataclass(frozen=True)
class Final:
    """One network of the evidence: trained on one fresh seed, measured on both sets.

    Attributes:
        name: ``"winner"``, ``"random search's winner"``, or a control of
            :data:`bogp.controls.CONTROLS`.
        number: of the fresh seed, from 0: networks of one number are paired.
        seed: of the initial weights.
        selected: accuracy on the data that selects.
        accuracy: on the report data.
        loss: on the report data; None where it was no number.
        epochs: of training; 0 where another of this number is the same network.
        mask: fingerprint of its mask.
        change: what a control did to the winner's mask.
    """

    name: str
    number: int
    seed: int
    selected: float
    accuracy: float
    loss: float | None
    epochs: int
    mask: str
    change: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Contender:
    """A point that the evidence trains, with the name that it goes by.

    A ``method`` says more of how it is pruned than its point does.
    """

    name: str
    point: Point
    method: Method | None = None

    def record(self) -> list[Any]:
        """Return it as JSON."""
        known = [self.name, self.point.record()]
        return known if self.method is None else [*known, self.method.record()]


DENSE = "dense"
"""The network that is not pruned, trained like the winner."""


def dense(trainings: int = 1) -> Contender:
    """Return the contender that keeps every weight, through as many trainings as the winner."""
    return Contender(DENSE, Point(None, 0.0, "random", "uniform", trainings, 0.0))


@dataclass(frozen=True)
class Finals:
    """What was trained on fresh seeds.

    Attributes:
        runs: all networks, seed by seed.
        left_out: controls that do not apply, and why.
        masks: of each contender on the first seed.
        epochs: of all trainings.
        lost: epochs that a kill or a lost worker took, at most.
    """

    runs: tuple[Final, ...]
    left_out: Mapping[str, str]
    masks: Mapping[str, Mask]
    epochs: int
    lost: int


def run_finals(
    bench: Bench, contenders: Sequence[Contender], count: int, *, controls: bool
) -> Finals:
    """Train contenders, and controls of the first, on fresh seeds; open the report data.

    Each seed is in the study before the next begins. Without a seed each contender is trained once
    all the same, for its mask; the report data stay closed.

    Raises:
        StudyError: workers were lost too often.
    """
    runs: list[Final] = []
    left_out: dict[str, str] = {}
    masks: dict[str, Mask] = {}
    epochs = lost = 0
    key = content_key({"contenders": [each.record() for each in contenders]})
    for number in range(max(1, count)):
        name = f"final {number} of {key}" if count else f"masks of {key}"
        stored = bench.study.noted(name)
        if stored is None:
            stored = _OneSeed(bench, name, number, report=count > 0).run(contenders, controls)
            bench.study.note(name, stored)
        if count:
            bench.counter.add(1)
        runs += [Final(**entry) for entry in stored["runs"]]
        left_out |= stored["left out"]
        epochs, lost = epochs + stored["epochs"], lost + stored["lost"]
        if number == 0:
            masks = {name: _unpacked(packed) for name, packed in stored["masks"].items()}
    ran = {run.name for run in runs if not (run.change or {}).get("problem")}
    left_out = {name: why for name, why in left_out.items() if name not in ran}
    return Finals(tuple(runs), left_out, masks, epochs, lost)


@dataclass
class _OneSeed:
    """Everything on one fresh seed."""

    bench: Bench
    name: str
    number: int
    report: bool
    epochs: int = 0
    lost: int = 0

    def run(self, contenders: Sequence[Contender], controls: bool) -> dict[str, Any]:
        """Return what came of it as a JSON object."""
        bench, number = self.bench, self.number
        seed = derive_seed(bench.settings.seed, "final", number)
        plans = {
            (entry.point, entry.method): bench.plan(entry.point, seed, entry.method)
            for entry in contenders
        }
        found = dict(zip(plans, self._trained(list(plans.values())), strict=True))
        runs: list[Final] = []
        left_out: dict[str, str] = {}
        seen = set[Any]()
        for entry in contenders:
            how = (entry.point, entry.method)
            run = _final(entry.name, number, seed, found[how]) if self.report else None
            if run is not None:
                runs.append(replace(run, epochs=0) if how in seen else run)
            seen.add(how)
        if controls and self.report:
            first = contenders[0].point, contenders[0].method
            beside, left_out = self._controls(plans[first], _mask(found[first]), seed)
            runs += beside
        return {
            "runs": [vars(run) for run in runs],
            "left out": left_out,
            "masks": {
                entry.name: _packed(_mask(found[entry.point, entry.method]))
                for entry in contenders
                if number == 0
            },
            "epochs": self.epochs,
            "lost": self.lost,
        }

    def _controls(self, plan: Plan, winner: Mask, seed: int) -> tuple[list[Final], dict[str, str]]:
        bench, runs = self.bench, list[Final]()
        factory = network_factory(bench.settings.model, bench.evaluator.dataset)
        source = bench.settings.model
        known = Winner(
            mask=winner,
            support=plan.support,
            available=support_mask(plan.support, initialise(factory, 0), tuple(winner)),
            graph=one_graph(plan.support),
            criterion=criterion(plan.method.criterion).name,
            fixed_weights=isinstance(source, GivenModel) and not source.fresh,
        )
        made: dict[str, Plan] = {}
        left_out: dict[str, str] = {}
        for name, control in CONTROLS.items():
            if (reason := control.why_not(known)) is not None:
                left_out[name] = reason
                continue
            drawn = control.draw(known, derive_seed(seed, "control"))
            made[name] = _control_plan(plan, drawn, winner.sparsity)
        if not made:
            return runs, left_out
        found = self._trained(list(made.values()), "controls")
        for (name, changed), evaluated in zip(made.items(), found, strict=True):
            change = _change(name, factory, plan, changed, winner, _mask(evaluated))
            if change.problem is not None:
                left_out[name] = f"it is no control here: {change.problem}"
            run = _final(name, self.number, changed.seed, evaluated)
            runs.append(replace(run, change=change.record()))
        return runs, left_out

    def _trained(self, plans: Sequence[Plan], what: str = "winners") -> tuple[Evaluated, ...]:
        """Return the trained plans; what workers lost is run again, as often as trials are."""
        study = self.bench.study
        order = derive_seed(self.bench.settings.seed, "final order", self.number)
        task = self.bench.task(plans, order, report=self.report, keep=True)
        note = f"{what} begun, {self.name}"
        for failed in range(1, study.retries + 2):
            study.note(note, begun := study.noted(note, 0) + 1)
            try:
                found = self.bench.evaluator.submit(task).result()
            except WorkerLostError as error:
                if failed > study.retries:
                    raise StudyError(
                        f"the training of the {what} on fresh seed {self.number} failed {failed} "
                        f"times, the last time because {error}: mend that, or resume with more "
                        f"than {study.retries} retries"
                    ) from error
                continue
            self.epochs += sum(each.epochs for each in found)
            self.lost += (begun - 1) * task.epochs
            return found
        raise AssertionError("retries are at least 0")


def _final(name: str, number: int, seed: int, found: Evaluated) -> Final:
    assert found.report is not None
    loss = found.report.loss if math.isfinite(found.report.loss) else None
    return Final(
        name=name,
        number=number,
        seed=seed,
        selected=found.record["accuracy"],
        accuracy=found.report.accuracy,
        loss=loss,
        epochs=found.epochs,
        mask=found.record["mask"],
    )


def _mask(found: Evaluated) -> Mask:
    assert found.mask is not None  # the tasks of finals keep them
    return found.mask


def _control_plan(plan: Plan, drawn: Drawn, sparsity: float) -> Plan:
    """Return the winner's plan with what a control takes away from it."""
    method = inverted(plan.method) if drawn.inverted else plan.method
    if drawn.whole:
        # A mask that is given is trained as often as the winner's, and stays.
        method = replace(method, criterion=GRAPH.criterion, scope=GRAPH.scope)
    return replace(
        plan,
        support=drawn.support,
        method=method,
        sparsity=sparsity if drawn.whole else plan.sparsity,
        seed=derive_seed(plan.seed, "other weights") if drawn.other_weights else plan.seed,
    )


def _change(
    name: str, factory: ModelFactory, plan: Plan, control: Plan, before: Mask, after: Mask
) -> Change:
    """Return what a control did to the winner's mask, graph and initial weights."""
    graphs, differing = None, 0.0
    before_it, after_it = one_graph(plan.support), one_graph(control.support)
    if before_it is not None and after_it is not None:
        graphs = before_it, after_it
    if control.seed != plan.seed:
        first, second = (
            initialise(factory, initial_seed(each.seed)).state_dict() for each in (plan, control)
        )
        differing = differing_share(before, first, second)
    return CONTROLS[name].change(before, after, graphs=graphs, weights_changed=differing)


def _packed(mask: Mask) -> dict[str, Any]:
    return {
        name: {
            "shape": list(layer.shape),
            "bits": np.packbits(layer.cpu().numpy().ravel()).tobytes().hex(),
        }
        for name, layer in mask.items()
    }


def _unpacked(stored: Mapping[str, Any]) -> Mask:
    layers = {}
    for name, entry in stored.items():
        count = math.prod(entry["shape"])
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(entry["bits"]), np.uint8), count=count)
        layers[name] = torch.from_numpy(bits.astype(bool)).reshape(entry["shape"])
    return Mask(layers)
