"""Reading the studies of a storage, whoever is writing to them: nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import BaseStorage

from bogp.errors import StudyError, UnknownNameError
from bogp.study import records
from bogp.study.identity import FORMAT, MARK, find, study_name
from bogp.study.leases import STUDY_LEASE, Lease
from bogp.study.records import ARMS, Attempt, Batch
from bogp.study.storage import Storage, open_storage, readable


@dataclass(frozen=True)
class ArmRecord:
    """What an arm holds: its batches, and every attempt at a trial in the order they began."""

    batches: tuple[Batch, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def asked(self) -> int:
        """How many trials were asked for."""
        return sum(len(batch.trials) for batch in self.batches)

    def counts(self) -> dict[str, int]:
        """Return how many trials ended and were stopped, and how many attempts failed or run."""
        done = [attempt.state for attempt in self.done()]
        others = [attempt.state for attempt in self.attempts]
        return {
            "ended": done.count("ended"),
            "stopped": done.count("stopped"),
            "failed": others.count("failed"),
            "running": others.count("running"),
        }

    def done(self) -> tuple[Attempt, ...]:
        """Return the trials that ended or were stopped, in the order in which they were asked."""
        return tuple(records.first_done(self.attempts).values())

    def whole(self) -> tuple[Attempt, ...]:
        """Return the trials that ended and were not stopped early, the best first."""
        ended = [attempt for attempt in self.done() if attempt.state == "ended"]
        return tuple(sorted(ended, key=lambda one: (-(one.value or 0.0), one.number)))

    def epochs(self) -> int:
        """Return the epochs that the trials took, as far as their records say."""
        return sum((one.record or {}).get("epochs", len(one.steps)) for one in self.done())


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
        attempts = [attempt for arm in self.arms.values() for attempt in arm.attempts]
        times = [time for one in attempts for time in (one.begun, one.finished) if time is not None]
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
        found = {study.name: study for study in self.studies}
        if not found:
            raise StudyError(f"{self.address!r} holds no study that bogp made")
        if name is None and len(found) > 1:
            raise StudyError(
                f"{self.address!r} holds {len(found)} studies: name one with --name, "
                f"{' or '.join(found)}"
            )
        wanted = next(iter(found)) if name is None else name
        if wanted not in found:
            raise UnknownNameError("study", wanted, found)
        return found[wanted]


def read_storage(storage: Storage) -> StorageRecord:
    """Return all that a storage holds, also while a search writes to it.

    Raises:
        StudyError: there is none, it cannot be read, or a study in it is damaged.
    """
    opened = open_storage(storage, write=False)
    try:
        with readable(opened.address):
            names = sorted(study.study_name for study in opened.backend.get_all_studies())
            found = [_read(opened.backend, name) for name in names]
    finally:
        opened.close()
    ours = tuple(study for study in found if study is not None)
    held = {study_name(study.name, arm) for study in ours for arm in ARMS}
    return StorageRecord(opened.address, ours, tuple(name for name in names if name not in held))


def read_arm(backend: BaseStorage, arm: str, study_id: int) -> ArmRecord:
    """Return what an arm holds, given the id of its Optuna study.

    Raises:
        StudyError: a batch is missing.
    """
    # The trials come first: whoever writes meanwhile stores a batch before any trial of it.
    stored = backend.get_all_trials(study_id, deepcopy=False)
    known = records.batches(arm, backend.get_study_user_attrs(study_id))
    read = (records.attempt_of(arm, known, trial) for trial in stored)
    return ArmRecord(known, tuple(attempt for attempt in read if attempt is not None))


def _read(backend: BaseStorage, name: str) -> StudyRecord | None:
    """Return a study by the name of its first arm, None if there is none of ours."""
    ids = {arm: find(backend, study_name(name, arm)) for arm in ARMS}
    first = ids[ARMS[0]]
    attributes = {} if first is None else backend.get_study_user_attrs(first)
    mark = attributes.get(MARK, {})
    if mark.get("format") != FORMAT or mark.get("arm") != ARMS[0]:
        return None
    return StudyRecord(
        name=name,
        key=mark["key"],
        settings=mark["settings"],
        objectives=tuple(mark["objectives"]),
        notes=records.notes(attributes),
        lease=Lease.of(attributes.get(STUDY_LEASE)),
        arms={arm: read_arm(backend, arm, id_) for arm, id_ in ids.items() if id_ is not None},
    )
