"""What a study holds, as plain values: batches of planned trials, attempts, finished trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from bogp.checksums import KEY, checksum, sealed, unsealed
from bogp.outside import conforming
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
class _Note:
    """What is stored of a note, with a checksum."""

    name: str
    value: Any


@dataclass(frozen=True)
class _Begun:
    """What is stored of a trial that begins; the checksum is of this and of the parameters."""

    batch: int
    position: int
    attempt: int
    point: dict[str, Any]
    begun: float  # seconds since 1970


_OURS = {"batch", "position", "attempt", "point", "begun", KEY}


@dataclass(frozen=True)
class _Result:
    """What is stored of a trial that ended or was stopped, with a checksum."""

    value: float
    second: float | None
    steps: tuple[float, ...]
    record: dict[str, Any]
    stopped: bool
    finished: float  # seconds since 1970


@dataclass(frozen=True)
class _Failure:
    """What is stored of an attempt that failed, with a checksum."""

    reason: str
    counts: bool
    finished: float


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
class _Asked:
    """What is stored of a batch, with a checksum."""

    arm: str
    number: int
    asked: tuple[PlannedTrial, ...]
    state: dict[str, Any] | None


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


def batch_fields(
    arm: str, number: int, trials: Iterable[PlannedTrial], state: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the JSON object that is stored of a batch, but for its checksum."""
    planned = [{"point": trial.point, "parameters": trial.parameters} for trial in trials]
    return {"arm": arm, "number": number, "asked": planned, "state": state}


def batch_of(arm: str, before: Sequence[Batch], fields: Any) -> Batch:
    """Return the batch that follows those ``before``, from what is stored of it.

    Raises:
        ValueError: it is not what was written, or another batch.
    """
    asked = _fields(_Asked, fields, f"batch {len(before)} of arm {arm}")
    if (asked.arm, asked.number) != (arm, len(before)):
        raise _missing(arm, len(before))
    first = before[-1].first + len(before[-1].trials) if before else 0
    return Batch(arm, len(before), asked.asked, asked.state, first)


def batches(arm: str, attributes: Mapping[str, Any]) -> tuple[Batch, ...]:
    """Return the batches among the attributes of an arm's study.

    Raises:
        ValueError: one in the middle is missing, or is not what was written.
    """
    found: list[Batch] = []
    for key in sorted(key for key in attributes if key.startswith(_BATCH)):
        if key != batch_key(len(found)):
            raise _missing(arm, len(found))
        found.append(batch_of(arm, found, attributes[key]))
    return tuple(found)


def note_fields(name: str, value: Any) -> dict[str, Any]:
    """Return the JSON object that is stored of a note."""
    return sealed({"name": name, "value": value})


def notes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes among the attributes of a study.

    Raises:
        ValueError: one is not what was written.
    """
    found = {}
    for key, stored in attributes.items():
        if key.startswith(_NOTE):
            name = key.removeprefix(_NOTE)
            note = _fields(_Note, stored, f"note {name!r}")
            if note.name != name:
                raise ValueError(f"note {name!r} is that of {note.name!r}")
            found[name] = note.value
    return found


def begun_fields(begun: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a trial that begins, with the checksum of all that is asked."""
    return {**begun, KEY: checksum({**begun, "parameters": dict(parameters)})}


def attempt_of(arm: str, known: Sequence[Batch], trial: FrozenTrial) -> Attempt | None:
    """Return a stored trial; None for one that somebody else added, which is of no batch.

    Raises:
        ValueError: it is not what was written, or its batch is not there.
    """
    stored = trial.user_attrs
    # A name that is damaged makes no stranger of it.
    if len(_OURS & set(stored)) <= len(_OURS) // 2 or trial.state == TrialState.WAITING:
        return None
    called = f"trial {trial.number} of arm {arm}"
    fields = {name: stored.get(name) for name in _OURS - {KEY}}
    if stored.get(KEY) != begun_fields(fields, external(trial))[KEY]:
        raise ValueError(f"{called}: its checksum does not match")
    begun: _Begun = conforming(_Begun, fields)
    batch, position = begun.batch, begun.position
    if not (0 <= batch < len(known) and 0 <= position < len(known[batch].trials)):
        raise ValueError(f"{called}: there is no position {position} in batch {batch}")
    result, failure = _ending(called, trial)
    ended = result or failure
    return Attempt(
        arm=arm,
        number=known[batch].first + position,
        batch=batch,
        position=position,
        attempt=begun.attempt,
        state=_STATES[trial.state],
        point=begun.point,
        parameters=dict(trial.params),
        value=None if result is None else result.value,
        second=None if result is None else result.second,
        steps=() if result is None else result.steps,
        record=None if result is None else result.record,
        reason=None if failure is None else failure.reason,
        counts=failure is None or failure.counts,
        lease=_lease(called, stored),
        begun=_iso(begun.begun),
        finished=None if ended is None else _iso(ended.finished),
        stored=trial.number,
    )


def _lease(called: str, stored: Mapping[str, Any]) -> Lease | None:
    try:
        return Lease.of(stored["lease"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{called}: {error} of its lease") from None


def external(trial: FrozenTrial) -> dict[str, Any]:
    """Return the parameters of a trial as each storage gives them back."""
    return {
        name: kind.to_external_repr(kind.to_internal_repr(trial.params[name]))
        for name, kind in trial.distributions.items()
    }


def _ending(called: str, trial: FrozenTrial) -> tuple[_Result | None, _Failure | None]:
    """Return the result or the failure that counts for the state of a trial, which is stored last.

    Optuna keeps the numbers and the state too, where its dashboard looks for them.

    Raises:
        ValueError: it is not what was written.
    """
    stored, state = trial.user_attrs, _STATES[trial.state]
    if state in _DONE:
        result: _Result = _fields(_Result, stored.get("result"), f"the result of {called}")
        values = [one for one in (result.value, result.second) if one is not None]
        steps = dict(enumerate(result.steps, 1))
        same = trial.values == values and trial.intermediate_values == steps
        if not same or result.stopped != (state == "stopped"):
            raise ValueError(f"the values or the state of {called} are not those of its result")
        return result, None
    if trial.values is not None:
        raise ValueError(f"{called} has values and is {state}")
    if state == "failed":
        return None, _fields(_Failure, stored.get("failure"), f"the failure of {called}")
    return None, None


def _fields(kind: Any, stored: Any, called: str) -> Any:
    try:
        return conforming(kind, unsealed(stored))
    except ValueError as error:
        raise ValueError(f"{called}: {error}") from None


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


def _missing(arm: str, batch: int) -> ValueError:
    return ValueError(f"batch {batch} of arm {arm} is not there")


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")
