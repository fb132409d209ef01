"""One arm of an open study: the Optuna study that holds it, and what it holds."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from bogp.errors import StudyError
from bogp.study import records
from bogp.study.parameters import Space, distributions
from bogp.study.records import ARMS, COORDINATOR, FORMAT, MARK, Attempt, Batch, FinishedTrial

Place = tuple[int, int]
"""(number of the batch, position in it)."""


@dataclass
class Arm:
    """What the one process that writes to an arm knows of it.

    Attributes:
        study_id: of the Optuna study.
        ended: the trials that ended or were stopped.
        running: storage ids of the trials that this process began.
        attempts: how often a trial was begun.
        reasons: why those attempts failed that count towards the retries.
    """

    name: str
    study_id: int
    batches: list[Batch] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    ended: dict[Place, FinishedTrial] = field(default_factory=dict)
    running: dict[Place, int] = field(default_factory=dict)
    attempts: dict[Place, int] = field(default_factory=dict)
    reasons: dict[Place, list[str]] = field(default_factory=dict)


def study_name(name: str, arm: str) -> str:
    """Return the name of an arm's Optuna study.

    >>> study_name("bogp", "search"), study_name("bogp", "random")
    ('bogp', 'bogp/random')
    """
    return name if arm == ARMS[0] else f"{name}/{arm}"


def find(backend: BaseStorage, name: str) -> int | None:
    """Return the id of the Optuna study called ``name``, None if there is none."""
    try:
        return backend.get_study_id_from_name(name)
    except KeyError:
        return None


def create(backend: BaseStorage, name: str, objectives: tuple[str, ...]) -> int:
    """Create an Optuna study and return its id; another process may have been quicker."""
    with contextlib.suppress(DuplicatedStudyError):
        return backend.create_new_study(maximise(objectives), name)
    return backend.get_study_id_from_name(name)


def name_objectives(backend: BaseStorage, name: str, objectives: tuple[str, ...]) -> None:
    """Tell Optuna what the objectives are called, for its dashboard."""
    study = optuna.load_study(study_name=name, storage=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(objectives))


def maximise(objectives: tuple[str, ...]) -> list[StudyDirection]:
    """Return Optuna's directions of the objectives, which are all maximised."""
    return [StudyDirection.MAXIMIZE] * len(objectives)


def mark(
    arm: str, key: str, settings: Mapping[str, Any], objectives: tuple[str, ...]
) -> dict[str, Any]:
    """Return what says that an Optuna study is an arm of ours."""
    return {
        "format": FORMAT,
        "arm": arm,
        "key": key,
        "settings": dict(settings),
        "objectives": list(objectives),
    }


def check_mark(
    backend: BaseStorage,
    study_id: int,
    wanted: Mapping[str, Any],
    what: str,
) -> bool:
    """Return whether a study carries our mark; one that was just created carries none yet.

    Raises:
        StudyError: it is not ours, of another format, or of other settings or objectives.
    """
    attributes = backend.get_study_user_attrs(study_id)
    found = attributes.get(MARK)
    if found is None:
        _check_empty(backend, study_id, attributes, len(wanted["objectives"]), what)
        return False
    if found.get("format") != FORMAT or found.get("arm") != wanted["arm"]:
        raise StudyError(f"{what} was made by another version of bogp: give another file or name")
    for part in ("objectives", "settings"):
        other = first_difference(found[part], wanted[part], "" if part == "settings" else part)
        if other is not None:
            field_name, stored, given = other
            raise StudyError(
                f"{what} was made with {field_name} = {stored!r}, not {given!r}: give the same "
                "settings to resume it, or another file or name"
            )
    return True


def _check_empty(
    backend: BaseStorage, study_id: int, attributes: Mapping[str, Any], objectives: int, what: str
) -> None:
    if {"settings", "key"} <= set(attributes):
        raise StudyError(
            f"{what} was made by an earlier bogp, which stored trials another way: "
            "give another file or name"
        )
    directions = backend.get_study_directions(study_id)
    fresh = set(attributes) <= {COORDINATOR} and directions == maximise(("",) * objectives)
    if not fresh or backend.get_all_trials(study_id, deepcopy=False):
        raise StudyError(f"{what} is a study that bogp did not make: give another file or name")


def first_difference(stored: Any, wanted: Any, name: str) -> tuple[str, Any, Any] | None:
    """Return (dotted name, stored, wanted) of the first field of two objects that differs.

    >>> first_difference({"a": 1, "r": {"e": 3}}, {"a": 1, "r": {"e": 5}}, "")
    ('r.e', 3, 5)
    """
    if not (isinstance(stored, dict) and isinstance(wanted, dict)):
        return None if stored == wanted else (name, stored, wanted)
    for key in sorted({*stored, *wanted}):
        inner = f"{name}.{key}" if name else key
        found = first_difference(stored.get(key), wanted.get(key), inner)
        if found is not None:
            return found
    return None


def load(backend: BaseStorage, name: str, study_id: int) -> tuple[Arm, tuple[Attempt, ...]]:
    """Return an arm as it is stored, and those of its trials that are running.

    Raises:
        StudyError: a batch is missing.
    """
    attributes = backend.get_study_user_attrs(study_id)
    arm = Arm(name, study_id, list(records.batches(name, attributes)), records.notes(attributes))
    stored = backend.get_all_trials(study_id, deepcopy=False)
    read = (records.trial_record(name, arm.batches, trial) for trial in stored)
    trials = [trial for trial in read if trial is not None]
    for place, trial in records.first_ended(trials).items():
        arm.ended[place] = trial.finished_trial()
    for trial in trials:
        place = trial.batch, trial.position
        arm.attempts[place] = max(arm.attempts.get(place, 0), trial.attempt)
        if trial.state == "failed" and trial.counts:
            failed(arm, place, trial.reason or "its process ended")
    return arm, tuple(trial for trial in trials if trial.state == "running")


def finished(arm: Arm | None) -> tuple[FinishedTrial, ...]:
    """Return the trials that ended, in the order in which they were asked."""
    return () if arm is None else tuple(trial for _, trial in sorted(arm.ended.items()))


def check_free(arm: Arm, batch: Batch, position: int) -> None:
    """Raise unless a trial may be begun.

    Raises:
        StudyError: it is not in the batch, has ended, or is running.
    """
    size = len(batch.trials)
    if not 0 <= position < size:
        raise StudyError(f"position {position} is not in batch {batch.number}, which has {size}")
    for state, places in (("has ended", arm.ended), ("is running", arm.running)):
        if (batch.number, position) in places:
            raise StudyError(f"{_called(batch, position)} {state}: it cannot be begun again")


def check_attempts(arm: Arm, batch: Batch, position: int, retries: int, called: str) -> None:
    """Raise if a trial has failed more often than it may be retried.

    Raises:
        StudyError: with the last reason.
    """
    reasons = arm.reasons.get((batch.number, position), [])
    if len(reasons) > retries:
        raise StudyError(
            f"{_called(batch, position)} of {called} failed {len(reasons)} times, the "
            f"last time because {reasons[-1]}: mend that, or resume with more than {retries} "
            "retries"
        )


def running_id(arm: Arm, batch: Batch, position: int) -> int:
    """Return the storage id of a trial that this process began and that has not ended.

    Raises:
        StudyError: it is not running.
    """
    place = batch.number, position
    if place not in arm.running:
        state = "has ended already" if place in arm.ended else "was not begun"
        raise StudyError(f"{_called(batch, position)} {state}")
    return arm.running[place]


def running(
    arm: Arm, batch: Batch, position: int, lease: Mapping[str, Any], space: Space | None
) -> FrozenTrial:
    """Return a trial as it is stored when it begins."""
    asked = batch.trials[position]
    return create_trial(
        state=TrialState.RUNNING,
        params=dict(asked.parameters),
        distributions=distributions(asked.parameters, space),
        user_attrs={
            "batch": batch.number,
            "position": position,
            "attempt": arm.attempts.get((batch.number, position), 0) + 1,
            "point": dict(asked.point),
            "lease": dict(lease),
        },
    )


def began(arm: Arm, place: Place, trial_id: int) -> None:
    """Take note of a trial that was stored as running."""
    arm.running[place] = trial_id
    arm.attempts[place] = arm.attempts.get(place, 0) + 1


def ended(
    arm: Arm, batch: Batch, position: int, result: Mapping[str, Any], stopped: bool
) -> FinishedTrial:
    """Take note of a trial that was stored as ended, and return it."""
    place = batch.number, position
    trial = FinishedTrial(
        batch.first + position,
        batch.trials[position].point,
        result["value"],
        result["record"],
        stopped,
        batch.number,
        position,
        batch.arm,
        result["second"],
        tuple(result["steps"]),
    )
    arm.ended[place] = trial
    del arm.running[place]
    return trial


def failed(arm: Arm, place: Place, reason: str) -> None:
    """Take note of an attempt that was stored as failed and counts towards the retries."""
    arm.running.pop(place, None)
    arm.reasons.setdefault(place, []).append(reason)


def _called(batch: Batch, position: int) -> str:
    number = batch.first + position
    return f"trial {number} (arm {batch.arm}, batch {batch.number}, position {position})"
