"""What a study holds, as plain values: batches of planned trials, attempts, finished trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from bogp.errors import StudyError
from bogp.study.leases import Lease

ARMS = ("search", "random")
"""The arms of a study; each is an Optuna study of its own, so that a dashboard compares them."""

Place = tuple[int, int]
"""Where a trial stands: the number of its batch, and its position in the batch."""

_BATCH, _NOTE = "batch ", "note "
_STATES = {
    TrialState.COMPLETE: "ended",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}
_DONE = ("ended", "stopped")


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
    """The trials that were asked for at one time, and the engine's state just after.

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
    """One training of a point: what was planned, the value it got, and its whole record.

    Attributes:
        number: counts all trials that the arm has asked for, from 0.
        point: as in :class:`PlannedTrial`.
        value: the first objective.
        record: a JSON object, everything that was measured.
        stopped: it ended early; ``value`` is what it had by then.
        batch, position: the batch it was asked for in, and its place there.
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
    """One attempt at a trial, as it is stored; its fields are those of an exported study.

    Attributes:
        number: counts trials, as in :class:`FinishedTrial`.
        attempt: 1, 2, ... of the attempts at this trial.
        state: ``"ended"``, ``"stopped"``, ``"failed"`` or ``"running"``.
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

    @property
    def place(self) -> Place:
        """The batch and the position of the trial."""
        return self.batch, self.position


def batch_key(number: int) -> str:
    """Return the name of the attribute that holds a batch."""
    return f"{_BATCH}{number:06d}"


def note_key(name: str) -> str:
    """Return the name of the attribute that holds a note."""
    return f"{_NOTE}{name}"


def batch_fields(trials: Iterable[PlannedTrial], state: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the JSON object that is stored of a batch."""
    planned = [{"point": trial.point, "parameters": trial.parameters} for trial in trials]
    return {"asked": planned, "state": state}


def batch_of(arm: str, before: Sequence[Batch], fields: Mapping[str, Any]) -> Batch:
    """Return the batch that follows those ``before``, from what :func:`batch_fields` made of it."""
    trials = tuple(PlannedTrial(one["point"], one["parameters"]) for one in fields["asked"])
    first = before[-1].first + len(before[-1].trials) if before else 0
    return Batch(arm, len(before), trials, fields["state"], first)


def batches(arm: str, attributes: Mapping[str, Any]) -> tuple[Batch, ...]:
    """Return the batches among the attributes of an arm's study.

    Raises:
        StudyError: one in the middle is missing.
    """
    found: list[Batch] = []
    for key in sorted(key for key in attributes if key.startswith(_BATCH)):
        if key != batch_key(len(found)):
            raise _damaged(arm, len(found))
        found.append(batch_of(arm, found, attributes[key]))
    return tuple(found)


def notes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes among the attributes of a study."""
    size = len(_NOTE)
    return {key[size:]: value for key, value in attributes.items() if key.startswith(_NOTE)}


def attempt_of(arm: str, known: Sequence[Batch], trial: FrozenTrial) -> Attempt | None:
    """Return a stored trial; None for one that somebody else added, which is of no batch.

    Raises:
        StudyError: its batch is not there.
    """
    stored = trial.user_attrs
    if not {"batch", "position", "point"} <= set(stored) or trial.state == TrialState.WAITING:
        return None
    batch, position = int(stored["batch"]), int(stored["position"])
    if batch >= len(known) or position >= len(known[batch].trials):
        raise _damaged(arm, batch)
    state, failure = _STATES[trial.state], stored.get("failure", {})
    # The state is stored last: what is still running may have a result, which does not count.
    result = stored.get("result", {}) if state in _DONE else {}
    return Attempt(
        arm=arm,
        number=known[batch].first + position,
        batch=batch,
        position=position,
        attempt=stored["attempt"],
        state=state,
        point=stored["point"],
        parameters=dict(trial.params),
        value=result.get("value"),
        second=result.get("second"),
        steps=tuple(result.get("steps", ())),
        record=result.get("record"),
        reason=failure.get("reason"),
        counts=failure.get("counts", True),
        lease=Lease.of(stored.get("lease")),
        begun=_iso(trial.datetime_start),
        finished=_iso(trial.datetime_complete),
        stored=trial.number,
    )


def finished_trial(
    batch: Batch, position: int, result: Mapping[str, Any], *, stopped: bool
) -> FinishedTrial:
    """Return a trial that ended with a result: ``value``, ``second``, ``steps`` and ``record``."""
    return FinishedTrial(
        number=batch.first + position,
        point=batch.trials[position].point,
        value=result["value"],
        record=result["record"],
        stopped=stopped,
        batch=batch.number,
        position=position,
        arm=batch.arm,
        second=result["second"],
        steps=tuple(result["steps"]),
    )


def first_done(attempts: Iterable[Attempt]) -> dict[Place, Attempt]:
    """Return the attempt of each trial that ended or was stopped, the first if there are two."""
    done: dict[Place, Attempt] = {}
    for attempt in sorted(attempts, key=lambda one: one.stored):
        if attempt.state in _DONE:
            done.setdefault(attempt.place, attempt)
    return dict(sorted(done.items()))


def _damaged(arm: str, batch: int) -> StudyError:
    return StudyError(f"batch {batch} of arm {arm} is not there: the study is damaged")


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone().isoformat(timespec="milliseconds")
