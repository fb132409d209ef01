"""Reading the studies of a storage, whoever is writing to them: nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import text

from bogp.errors import StudyError, UnknownNameError, first_line
from bogp.study import records
from bogp.study.identity import FORMAT, MARK, find, mark_fields, study_name
from bogp.study.leases import STUDY_LEASE, Lease
from bogp.study.records import ARMS, Attempt, Batch
from bogp.study.storage import Storage, damaged, open_storage, readable


@dataclass(frozen=True)
class ArmRecord:
    """What an arm holds: its batches, and every attempt at a trial in the order they began.

    ``damage`` says of each trial that is not what was written why; it is not among ``attempts``.
    """

    batches: tuple[Batch, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    damage: tuple[str, ...] = ()

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
    def damage(self) -> tuple[str, ...]:
        """What is not what was written, in a few words each."""
        return tuple(why for arm in self.arms.values() for why in arm.damage)

    @property
    def changed(self) -> str | None:
        """When a trial last began or ended, ISO 8601."""
        attempts = [attempt for arm in self.arms.values() for attempt in arm.attempts]
        times = [time for one in attempts for time in (one.begun, one.finished) if time is not None]
        return max(times, default=None)


@dataclass(frozen=True)
class StorageRecord:
    """The studies of a storage.

    Attributes:
        address: for people.
        studies: those that can be read; single trials of them may be damaged.
        others: names of those that are not ours, or of another format.
        unread: name → why, of those of which nothing can be shown.
        faults: what SQLite finds wrong with the file as a whole.
    """

    address: str
    studies: tuple[StudyRecord, ...]
    others: tuple[str, ...]
    unread: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def damage(self, name: str | None = None) -> list[str]:
        """Return a sentence for whatever is not what was written (to the study called ``name``)."""
        words = [
            f"study {study.name!r}, {why}"
            for study in self.studies
            if name in (None, study.name)
            for why in study.damage
        ]
        words += [
            f"study {other!r}, {why}" for other, why in self.unread.items() if name in (None, other)
        ]
        return [str(damaged(self.address, why)) for why in (*words, *self.faults)]

    def require_sound(self, name: str | None = None) -> None:
        """Raise StudyError with the first of :meth:`damage`, if there is any."""
        if found := self.damage(name):
            more = f"; and {len(found) - 1} more, which `bogp study check` lists"
            raise StudyError(found[0] + (more if len(found) > 1 else ""))

    def study(self, name: str | None) -> StudyRecord:
        """Return the study called ``name``, or the only one.

        Raises:
            UnknownNameError: there is none of that name.
            StudyError: there is none at all, several and no name, or it is damaged as a whole.
        """
        found = {study.name: study for study in self.studies}
        if name in self.unread or (not found and (self.unread or self.faults)):
            self.require_sound(name)
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

    A trial that is damaged leaves the others of its study as they are, and a study that is damaged
    as a whole leaves the other studies.

    Raises:
        StudyError: there is none, or it cannot be read at all.
    """
    opened = open_storage(storage, write=False)
    studies, unread = list[StudyRecord](), dict[str, str]()
    try:
        with readable(opened.address):
            names = sorted(_names(opened.backend))
        for name in names:
            try:
                found = _read(opened.backend, name)
            except OSError:
                raise
            except Exception as error:  # whatever Optuna makes of what is damaged
                unread[name] = first_line(error)
            else:
                studies += [] if found is None else [found]
    finally:
        opened.close()
    held = {study_name(name, arm) for name in (*unread, *(s.name for s in studies)) for arm in ARMS}
    others = tuple(name for name in names if name not in held)
    return StorageRecord(opened.address, tuple(studies), others, unread, opened.faults)


def read_arm(backend: BaseStorage, arm: str, study_id: int) -> ArmRecord:
    """Return what an arm holds, given the id of its Optuna study.

    Raises:
        ValueError: a batch is missing or damaged.
    """
    # The trials come first: whoever writes meanwhile stores a batch before any trial of it.
    stored = _trials(backend, study_id)
    known = records.batches(arm, backend.get_study_user_attrs(study_id))
    attempts, damage, expected = list[Attempt](), list[str](), 0
    for number, trial in stored:
        if number > expected:
            damage.append(f"trial {expected} of arm {arm} is not there")
        expected = number + 1
        try:
            if isinstance(trial, Exception):
                raise ValueError(f"trial {number} of arm {arm}: {first_line(trial)}")
            attempt = records.attempt_of(arm, known, trial)
        except (ValueError, TypeError, LookupError) as error:
            damage.append(first_line(error))
        else:
            attempts += [] if attempt is None else [attempt]
    return ArmRecord(known, tuple(attempts), tuple(damage))


def _trials(backend: BaseStorage, study_id: int) -> list[tuple[int, FrozenTrial | Exception]]:
    """Return the trials of a study by number, and in the place of one why it cannot be read."""
    try:
        stored = backend.get_all_trials(study_id, deepcopy=False)
        return [(trial.number, trial) for trial in stored]
    except Exception:  # one trial that cannot be understood: Optuna gives all or none
        if not isinstance(backend, RDBStorage):
            raise
    query = "SELECT trial_id, number FROM trials WHERE study_id = :study ORDER BY trial_id"
    found: list[tuple[int, FrozenTrial | Exception]] = []
    for trial_id, number in _rows(backend, query, study=study_id):
        try:
            found.append((int(number), backend.get_trial(trial_id)))
        except Exception as error:
            found.append((int(number), error))
    return found


def _names(backend: BaseStorage) -> list[str]:
    try:
        return [study.study_name for study in backend.get_all_studies()]
    except Exception:  # as above
        if not isinstance(backend, RDBStorage):
            raise
    return [str(name) for (name,) in _rows(backend, "SELECT study_name FROM studies")]


def _rows(backend: RDBStorage, query: str, **values: Any) -> list[Any]:
    with backend.engine.connect() as connection:
        return list(connection.execute(text(query), values))


def _read(backend: BaseStorage, name: str) -> StudyRecord | None:
    """Return a study by the name of its first arm, None if there is none of ours."""
    ids = {arm: find(backend, study_name(name, arm)) for arm in ARMS}
    first = ids[ARMS[0]]
    attributes = {} if first is None else backend.get_study_user_attrs(first)
    if MARK not in attributes:
        return None
    mark = mark_fields(attributes[MARK])
    if (mark.format, mark.arm) != (FORMAT, ARMS[0]):
        return None
    return StudyRecord(
        name=name,
        key=mark.key,
        settings=mark.settings,
        objectives=mark.objectives,
        notes=records.notes(attributes),
        lease=Lease.of(attributes.get(STUDY_LEASE)),
        arms={arm: read_arm(backend, arm, id_) for arm, id_ in ids.items() if id_ is not None},
    )
