"""Reading the studies of a storage, whoever is writing to them: nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import BaseStorage

from bogp.errors import StudyError, UnknownNameError
from bogp.study import arm as arms
from bogp.study import records
from bogp.study.lease import Lease
from bogp.study.records import ARMS, COORDINATOR, FORMAT, MARK, Attempt, Batch
from bogp.study.storage import Storage, open_storage, readable


@dataclass(frozen=True)
class ArmRecord:
    """What an arm holds: its batches, and every attempt at a trial in the order they began."""

    batches: tuple[Batch, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def asked(self) -> int:
        """Trials that were asked."""
        return sum(len(batch.trials) for batch in self.batches)

    def counts(self) -> dict[str, int]:
        """Return how many trials ended and were stopped, and how many attempts failed or run."""
        done = [trial.state for trial in records.first_ended(self.attempts).values()]
        others = [trial.state for trial in self.attempts]
        return {
            "ended": done.count("ended"),
            "stopped": done.count("stopped"),
            "failed": others.count("failed"),
            "running": others.count("running"),
        }

    def done(self) -> tuple[Attempt, ...]:
        """Return the trials that ended or were stopped, in the order in which they were asked."""
        return tuple(records.first_ended(self.attempts).values())

    def best(self) -> Attempt | None:
        """Return the trial of the highest value among those that ran to their end."""
        whole = [trial for trial in self.done() if trial.state == "ended"]
        return max(whole, key=lambda trial: trial.value or 0.0, default=None)

    def epochs(self) -> int:
        """Return the epochs that the trials took, as far as their records say."""
        return sum(_epochs(trial) for trial in self.done())


@dataclass(frozen=True)
class StudyRecord:
    """One study as it is stored.

    Attributes:
        key: hash of its settings.
        notes: what was noted of the study as a whole.
        lease: who holds it, in a storage that has no lock.
        arms: ``"search"``, and ``"random"`` where there is one.
    """

    name: str
    key: str
    settings: Mapping[str, Any]
    objectives: tuple[str, ...]
    notes: Mapping[str, Any]
    lease: Lease | None
    arms: Mapping[str, ArmRecord] = field(default_factory=dict)

    @property
    def changed(self) -> str | None:
        """When a trial last began or ended, ISO 8601."""
        times = [
            time
            for arm in self.arms.values()
            for trial in arm.attempts
            for time in (trial.begun, trial.finished)
            if time is not None
        ]
        return max(times, default=None)


@dataclass(frozen=True)
class StorageRecord:
    """The studies of a storage; ``others`` names those that are not ours, or of another format."""

    address: str
    studies: tuple[StudyRecord, ...]
    others: tuple[str, ...]

    def study(self, name: str | None) -> StudyRecord:
        """Return the study called ``name``, or the only one.

        Raises:
            UnknownNameError: there is none of that name.
            StudyError: there is none at all, or several and no name.
        """
        names = [study.name for study in self.studies]
        if not names:
            raise StudyError(f"{self.address!r} holds no study that bogp made")
        if name is None and len(names) > 1:
            raise StudyError(
                f"{self.address!r} holds {len(names)} studies: name one with --name, "
                f"{' or '.join(names)}"
            )
        wanted = names[0] if name is None else name
        if wanted not in names:
            raise UnknownNameError("study", wanted, names)
        return self.studies[names.index(wanted)]


def read_storage(storage: Storage) -> StorageRecord:
    """Return all that a storage holds, also while a search writes to it.

    Raises:
        StudyError: there is none, it cannot be read, or a study in it is damaged.
    """
    opened = open_storage(storage, write=False)
    try:
        with readable(opened.address):
            names = [study.study_name for study in opened.backend.get_all_studies()]
            found = {name: _read(opened.backend, name) for name in sorted(names)}
    finally:
        opened.close()
    ours = tuple(study for study in found.values() if study is not None)
    held = {arms.study_name(study.name, arm) for study in ours for arm in ARMS}
    return StorageRecord(opened.address, ours, tuple(name for name in found if name not in held))


def _read(backend: BaseStorage, name: str) -> StudyRecord | None:
    """Return a study by the name of its first arm, None if there is none of ours."""
    study_id = backend.get_study_id_from_name(name)
    attributes = backend.get_study_user_attrs(study_id)
    mark = attributes.get(MARK) or {}
    if mark.get("format") != FORMAT or mark.get("arm") != ARMS[0]:
        return None
    read = {ARMS[0]: _read_arm(backend, ARMS[0], study_id)}
    for arm in ARMS[1:]:
        other = arms.find(backend, arms.study_name(name, arm))
        if other is not None:
            read[arm] = _read_arm(backend, arm, other)
    return StudyRecord(
        name,
        mark["key"],
        mark["settings"],
        tuple(mark["objectives"]),
        records.notes(attributes),
        Lease.of(attributes.get(COORDINATOR)),
        read,
    )


def _read_arm(backend: BaseStorage, arm: str, study_id: int) -> ArmRecord:
    # The trials come first: whoever writes meanwhile stores a batch before any trial of it.
    stored = backend.get_all_trials(study_id, deepcopy=False)
    known = records.batches(arm, backend.get_study_user_attrs(study_id))
    read = (records.trial_record(arm, known, trial) for trial in stored)
    return ArmRecord(known, tuple(trial for trial in read if trial is not None))


def _epochs(trial: Attempt) -> int:
    told = (trial.record or {}).get("epochs")
    return told if isinstance(told, int) else len(trial.steps)
