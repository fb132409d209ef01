"""What a study holds, as plain values: batches, trials, and whole studies read from a storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from bogp.errors import StudyError
from bogp.study.lease import Lease

ARMS = ("search", "random")
"""The arms of a study; each is an Optuna study of its own, so that a dashboard compares them."""

FORMAT = 2
"""Raised when a change makes older studies unreadable; those without a number are of format 1."""

MARK, COORDINATOR = "bogp", "coordinator"
_BATCH, _NOTE = "batch ", "note "
_STATES = {
    TrialState.COMPLETE: "ended",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a batch.

    Attributes:
        point: a JSON object, all that is needed to run the trial again.
        parameters: what a dashboard shows of it.
    """

    point: Mapping[str, Any]
    parameters: Mapping[str, float | int | str]


@dataclass(frozen=True)
class Batch:
    """The trials that were asked at one time, and the engine's state just after.

    Attributes:
        first: how many trials the batches before it hold.
    """

    arm: str
    number: int
    trials: tuple[PlannedTrial, ...]
    state: Mapping[str, Any] | None
    first: int = 0


@dataclass(frozen=True)
class FinishedTrial:
    """One training of a point: what was asked, what it got, and its whole record.

    Attributes:
        number: of the trial among all that its arm asked, from 0.
        point: what was asked, as in :class:`PlannedTrial`.
        value: the first objective.
        record: a JSON object, everything that was measured.
        stopped: it ended early; ``value`` is what it had by then.
        batch, position: the place of the trial: the batch it was asked in, its place there.
        arm: ``"search"`` or ``"random"``.
        second: the second objective, if the study has two.
        steps: the values after epoch 1, 2, ...
    """

    number: int
    point: Mapping[str, Any]
    value: float
    record: Mapping[str, Any]
    stopped: bool = False
    batch: int = 0
    position: int = 0
    arm: str = "search"
    second: float | None = None
    steps: tuple[float, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """One attempt at a trial, as it is stored.

    Attributes:
        state: ``"ended"``, ``"stopped"``, ``"failed"`` or ``"running"``.
        attempt: 1, 2, ... of the attempts at this place.
        reason: why it failed.
        counts: whether the failure counts towards the retries; a trial that its own process gave
            back does not.
        lease: who ran it and until when.
        begun, finished: times with their offset, ISO 8601.
        stored: its number in the storage, which counts attempts.
    """

    arm: str
    number: int
    batch: int
    position: int
    attempt: int
    state: str
    point: Mapping[str, Any]
    parameters: Mapping[str, Any]
    value: float | None
    second: float | None
    steps: tuple[float, ...]
    record: Mapping[str, Any] | None
    reason: str | None
    counts: bool
    lease: Lease | None
    begun: str | None
    finished: str | None
    stored: int

    def finished_trial(self) -> FinishedTrial:
        """Return an ended or stopped trial as the study gives it out."""
        if self.value is None or self.record is None:
            raise StudyError(f"trial {self.number} has no result: the study is damaged")
        return FinishedTrial(
            self.number,
            self.point,
            self.value,
            self.record,
            self.state == "stopped",
            self.batch,
            self.position,
            self.arm,
            self.second,
            self.steps,
        )


def batch_key(number: int) -> str:
    """Return the name under which a batch is stored."""
    return f"{_BATCH}{number:06d}"


def note_key(name: str) -> str:
    """Return the name under which a note is stored."""
    return f"{_NOTE}{name}"


def batch_fields(batch: Batch) -> dict[str, Any]:
    """Return a batch as the JSON object that is stored."""
    asked = [{"point": one.point, "parameters": one.parameters} for one in batch.trials]
    return {"asked": asked, "state": batch.state}


def batch_of(arm: str, number: int, first: int, fields: Mapping[str, Any]) -> Batch:
    """Return the batch that :func:`batch_fields` made a JSON object of."""
    asked = tuple(PlannedTrial(one["point"], one["parameters"]) for one in fields["asked"])
    return Batch(arm, number, asked, fields["state"], first)


def notes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes among the attributes of a study."""
    size = len(_NOTE)
    return {key[size:]: value for key, value in attributes.items() if key.startswith(_NOTE)}


def batches(arm: str, attributes: Mapping[str, Any]) -> tuple[Batch, ...]:
    """Return the batches among the attributes of an arm's study.

    Raises:
        StudyError: one in the middle is missing.
    """
    keys = sorted(key for key in attributes if key.startswith(_BATCH))
    found: list[Batch] = []
    first = 0
    for number, key in enumerate(keys):
        if key != batch_key(number):
            raise StudyError(f"batch {number} of arm {arm} is not there: the study is damaged")
        batch = batch_of(arm, number, first, attributes[key])
        found.append(batch)
        first += len(batch.trials)
    return tuple(found)


_NO_RESULT: Mapping[str, Any] = {"value": None, "second": None, "steps": (), "record": None}


def trial_record(arm: str, known: Sequence[Batch], trial: FrozenTrial) -> Attempt | None:
    """Return a stored trial; None for one that somebody else added, which is of no batch.

    Raises:
        StudyError: its batch is not there.
    """
    stored = trial.user_attrs
    if not {"batch", "position", "point"} <= set(stored) or trial.state == TrialState.WAITING:
        return None
    batch, position = int(stored["batch"]), int(stored["position"])
    if batch >= len(known) or position >= len(known[batch].trials):
        raise StudyError(f"batch {batch} of arm {arm} is not there: the study is damaged")
    state, failure = _STATES[trial.state], stored.get("failure") or {}
    # A trial that is running may have a result already: it was killed before its state was told.
    done = state in {"ended", "stopped"}
    result = (stored.get("result") if done else None) or _NO_RESULT
    return Attempt(
        arm,
        known[batch].first + position,
        batch,
        position,
        int(stored.get("attempt", 1)),
        state,
        stored["point"],
        dict(trial.params),
        result["value"],
        result["second"],
        tuple(result["steps"]),
        result["record"],
        failure.get("reason"),
        bool(failure.get("counts", True)),
        Lease.of(stored.get("lease")),
        _iso(trial.datetime_start),
        _iso(trial.datetime_complete),
        trial.number,
    )


def first_ended(trials: Iterable[Attempt]) -> dict[tuple[int, int], Attempt]:
    """Return (batch, position) → the attempt that ended, the first one if there were two."""
    ended: dict[tuple[int, int], Attempt] = {}
    for trial in sorted(trials, key=lambda one: one.stored):
        if trial.state in {"ended", "stopped"}:
            ended.setdefault((trial.batch, trial.position), trial)
    return dict(sorted(ended.items()))


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone().isoformat(timespec="milliseconds")
