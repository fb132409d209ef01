"""Networks on fresh seeds: the winners and the controls, trained once all selection is over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bogp.controls import CONTROLS
from bogp.errors import SettingError, StudyError, WorkerLostError
from bogp.keys import content_key, derive_seed
from bogp.masks import Mask
from bogp.pipeline.candidate import Candidate, TrainingResult, finite_or_none
from bogp.pipeline.control_candidates import ControlMaker
from bogp.pipeline.session import Session
from bogp.pipeline.trainer import TrainingTask


@dataclass(frozen=True)
class Final:
    """One network of the evidence: trained on one fresh seed, measured on both sets.

    Attributes:
        name: of a contender, ``"winner"`` say, or of a control of :data:`bogp.controls.CONTROLS`.
        number: number of the fresh seed, from 0: networks of one number are paired.
        seed: seed of the initial weights.
        selected: accuracy on the data that selects.
        accuracy: accuracy on the report data.
        loss: loss on the report data; None where it was no number.
        epochs: epochs of training; 0 where another of this number is the same network.
        mask: fingerprint of its mask; None of a network that is not pruned.
        change: what a control did to the winner's mask.
    """

    name: str
    number: int
    seed: int
    selected: float
    accuracy: float
    loss: float | None
    epochs: int
    mask: str | None
    change: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Contender:
    """Something that is trained on fresh seeds, with the name that it goes by.

    Attributes:
        name: what the evidence calls it.
        record: a JSON value that tells it from others; two of one record are trained once.
        candidate: from the seed of a network to how its mask is made.
    """

    name: str
    record: Any
    candidate: Callable[[int], Candidate]


ByMask = Callable[[Mask], Sequence[Contender]]
"""From the mask of the first contender on the first fresh seed to further contenders."""

DENSE = "dense"
"""The network that is not pruned, trained like the winner."""


@dataclass(frozen=True)
class Finals:
    """What was trained on fresh seeds.

    Attributes:
        runs: all networks, seed by seed.
        left_out: controls that do not apply, and why.
        masks: mask of each contender on the first seed, where the trainer returned one.
        weights: state dict of each contender on the first seed, where this process trained it.
        epochs: epochs of all trainings.
        lost: epochs that a kill or a lost worker took, at most.
    """

    runs: tuple[Final, ...]
    left_out: Mapping[str, str]
    masks: Mapping[str, Mask]
    weights: Mapping[str, Mapping[str, Tensor]]
    epochs: int
    lost: int


@dataclass(frozen=True)
class FinalRuns:
    """How networks are trained on fresh seeds.

    Attributes:
        session: what is open.
        seed: master seed of the study.
        count: fresh seeds; without any each contender is trained once all the same, for its mask,
            and the report data stay closed.
        epochs: epochs of one training.
        together: whether networks of one seed share the order of their mini-batches, so that
            differences between them are paired.
        controls: makes the controls of the first contender; None trains none.
        by_mask: gives further contenders, the same on all seeds; None gives none.
    """

    session: Session
    seed: int
    count: int
    epochs: int
    together: bool = True
    controls: ControlMaker | None = None
    by_mask: ByMask | None = None

    def run(self, contenders: Sequence[Contender]) -> Finals:
        """Train contenders, those by mask, and controls of the first; open the report data.

        Each seed is in the study before the next begins.

        Raises:
            StudyError: workers were lost too often.
        """
        study, left_out = self.session.study, dict[str, str]()
        entries: list[dict[str, Any]] = []
        weights: dict[str, Mapping[str, Tensor]] = {}
        named = {"contenders": [[each.name, each.record] for each in contenders]}
        key = content_key(named if self.by_mask is None else {**named, "by mask": True})
        for number in range(max(1, self.count)):
            name = f"final {number} of {key}" if self.count else f"masks of {key}"
            entry = study.noted(name)
            if entry is None:
                stored = entries[0]["masks"].get(contenders[0].name) if entries else None
                one = _OneSeed(self, name, number, None if stored is None else _unpacked(stored))
                entry = one.run(contenders)
                study.note(name, entry)
                weights |= one.weights
            if self.count:
                self.session.counter.add(1)
            left_out |= entry["left out"]
            entries.append(entry)
        runs = tuple(Final(**run) for entry in entries for run in entry["runs"])
        ran = {run.name for run in runs if not (run.change or {}).get("problem")}
        return Finals(
            runs,
            {name: why for name, why in left_out.items() if name not in ran},
            {name: _unpacked(packed) for name, packed in entries[0]["masks"].items()},
            weights,
            sum(entry["epochs"] for entry in entries),
            sum(entry["lost"] for entry in entries),
        )

    def train(
        self, seeded: Sequence[tuple[Candidate, int]], number: int, what: str, name: str
    ) -> tuple[tuple[TrainingResult, ...], int]:
        """Train candidates, each with its seed; what workers lost is run again.

        Returns:
            The results, and the epochs that were lost.

        Raises:
            StudyError: workers were lost more often than trials may be.
        """
        study = self.session.study
        order = derive_seed(self.seed, "final order", number) if self.together else None
        candidates, seeds = zip(*seeded, strict=True)
        task = TrainingTask(candidates, seeds, order, report=self.count > 0, keep=True)
        note = f"{what} begun, {name}"
        for failed in range(1, study.retries + 2):
            study.note(note, begun := study.noted(note, 0) + 1)
            try:
                found = self.session.workers.submit(self.session.trainer, task).result()
            except WorkerLostError as error:
                if failed > study.retries:
                    raise StudyError(
                        f"the training of the {what} on fresh seed {number} failed {failed} "
                        f"times, the last time because {error}: mend that, or resume with more "
                        f"than {study.retries} retries"
                    ) from error
                continue
            return found, (begun - 1) * task.trainings * self.epochs
        raise AssertionError("retries are at least 0")


@dataclass
class _OneSeed:
    """Everything on one fresh seed; ``mask`` is the first contender's on the first, if known."""

    finals: FinalRuns
    name: str
    number: int
    mask: Mask | None = None
    epochs: int = 0
    lost: int = 0
    weights: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def run(self, contenders: Sequence[Contender]) -> dict[str, Any]:
        """Return what came of it as a JSON object."""
        seed, report = derive_seed(self.finals.seed, "final", self.number), self.finals.count > 0
        distinct = {content_key({"record": each.record}): each for each in contenders}
        candidates = {key: each.candidate(seed) for key, each in distinct.items()}
        trained = self._train([(each, seed) for each in candidates.values()], "winners")
        found = dict(zip(candidates, trained, strict=True))
        runs: list[Final] = []
        masks: dict[str, Any] = {}
        seen = set[str]()
        for each in contenders:
            key = content_key({"record": each.record})
            if report:
                run = _final(each.name, self.number, seed, found[key])
                runs.append(replace(run, epochs=0) if key in seen else run)
            seen.add(key)
            if self.number == 0:
                if (mask := found[key].mask) is not None:
                    masks[each.name] = _packed(mask)
                if (weights := found[key].weights) is not None:
                    self.weights[each.name] = weights
        left_out: dict[str, str] = {}
        first = next(iter(candidates))
        if report:
            runs += self._by_mask(found[first].mask if self.mask is None else self.mask, seed)
        if self.finals.controls is not None and report:
            if (mask := found[first].mask) is None:
                left_out = dict.fromkeys(CONTROLS, "the trainer returned no mask to change")
            else:
                beside, left_out = self._controls(candidates[first], mask, seed)
                runs += beside
        return {
            "runs": [vars(run) for run in runs],
            "left out": left_out,
            "masks": masks,
            "epochs": self.epochs,
            "lost": self.lost,
        }

    def _by_mask(self, mask: Mask | None, seed: int) -> list[Final]:
        if self.finals.by_mask is None or mask is None:
            return []
        further = self.finals.by_mask(mask)
        found = self._train([(each.candidate(seed), seed) for each in further], "networks beside")
        return [
            _final(each.name, self.number, seed, result)
            for each, result in zip(further, found, strict=True)
        ]

    def _controls(
        self, winner: Candidate, mask: Mask, seed: int
    ) -> tuple[list[Final], dict[str, str]]:
        maker, runs = self.finals.controls, list[Final]()
        assert maker is not None
        made, left_out = maker.make(winner, mask, seed)
        if not made:
            return runs, left_out
        found = self._train(list(made.values()), "controls")
        for (name, control), result in zip(made.items(), found, strict=True):
            if result.mask is None:
                raise SettingError(
                    f"the trainer returned a mask of the winner and none of {name!r}: return those "
                    "of all candidates, or of none"
                )
            change = maker.change(name, (winner, seed), control, mask, result.mask)
            if change.problem is not None:
                left_out[name] = f"it is no control here: {change.problem}"
            run = _final(name, self.number, control[1], result)
            runs.append(replace(run, change=change.record()))
        return runs, left_out

    def _train(
        self, seeded: Sequence[tuple[Candidate, int]], what: str
    ) -> tuple[TrainingResult, ...]:
        found, lost = self.finals.train(seeded, self.number, what, self.name)
        self.epochs += sum(each.epochs for each in found)
        self.lost += lost
        return found


def _final(name: str, number: int, seed: int, found: TrainingResult) -> Final:
    assert found.reported is not None
    return Final(
        name=name,
        number=number,
        seed=seed,
        selected=found.selected.accuracy,
        accuracy=found.reported.accuracy,
        loss=finite_or_none(found.reported.loss),
        epochs=found.epochs,
        mask=found.fingerprint,
    )


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
