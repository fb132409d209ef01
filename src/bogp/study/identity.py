"""Whose an Optuna study is: a mark says that it is an arm of ours, and made with which settings."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from bogp.checksums import KEY, sealed, unsealed
from bogp.errors import StudyError
from bogp.keys import content_key
from bogp.outside import conforming
from bogp.study.leases import STUDY_LEASE
from bogp.study.records import ARMS

FORMAT = 3
"""The version of what is stored; raised when a change makes older studies unreadable."""

MARK = "bogp"
"""The attribute of an Optuna study that says it is an arm of ours."""


def study_name(name: str, arm: str) -> str:
    """Return the name of the Optuna study that holds an arm.

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


@dataclass(frozen=True)
class Mark:
    """What marks an arm of ours, with a checksum."""

    format: int
    arm: str
    key: str
    settings: dict[str, Any]
    objectives: tuple[str, ...]


def mark_fields(stored: Any) -> Mark:
    """Return a mark; only its format and arm count where the format is another.

    Raises:
        ValueError: it is not what was written.
    """
    there = stored if isinstance(stored, dict) else {}
    if there.get("format") != FORMAT and KEY not in there:
        return Mark(format=0, arm=ARMS[0], key="", settings={}, objectives=())
    try:
        found: Mark = conforming(Mark, unsealed(stored))
    except ValueError as error:
        raise ValueError(f"its settings: {error}") from None
    return found


@dataclass(frozen=True)
class Identity:
    """A study of ours in a storage, whether or not it is there yet.

    Attributes:
        address: where the storage is, for people.
    """

    backend: BaseStorage
    address: str
    name: str
    settings: Mapping[str, Any]
    objectives: tuple[str, ...]

    def called(self, arm: str = ARMS[0]) -> str:
        """Return what people know an arm by: its name too, where it is not the usual one."""
        name = study_name(self.name, arm)
        return f"study {self.address!r}" + ("" if name == "bogp" else f", {name!r}")

    def find(self, arm: str) -> int | None:
        """Return the id of an arm's Optuna study, None if there is none, and write nothing.

        Raises:
            StudyError: it is another's, or was made with other settings.
        """
        study_id = find(self.backend, study_name(self.name, arm))
        if study_id is not None:
            mark = self.backend.get_study_user_attrs(study_id).get(MARK)
            if mark is None:
                self._check_empty(study_id, arm)
            else:
                self._check_mark(mark_fields(mark), arm)
        return study_id

    def create(self, arm: str) -> int:
        """Return the id of an arm's Optuna study, which is made if need be, without its mark.

        Raises:
            StudyError: as :meth:`find` does.
        """
        found = self.find(arm)
        if found is not None:
            return found
        name = study_name(self.name, arm)
        with contextlib.suppress(DuplicatedStudyError):  # another process may have been quicker
            return self.backend.create_new_study(self._directions, name)
        return self.backend.get_study_id_from_name(name)

    def create_marked(self, arm: str) -> int:
        """Return the id of an arm's Optuna study, which is made and marked if need be.

        The mark comes last: a study that a kill left without it is finished here.

        Raises:
            StudyError: as :meth:`find` does.
        """
        study_id = self.create(arm)
        if MARK not in self.backend.get_study_user_attrs(study_id):
            study = optuna.load_study(study_name=study_name(self.name, arm), storage=self.backend)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names(list(self.objectives))  # for the dashboard
            self.backend.set_study_user_attr(study_id, MARK, sealed(asdict(self._mark(arm))))
        return study_id

    @property
    def _directions(self) -> list[StudyDirection]:
        return [StudyDirection.MAXIMIZE] * len(self.objectives)

    def _mark(self, arm: str) -> Mark:
        return Mark(
            format=FORMAT,
            arm=arm,
            key=content_key(self.settings),
            settings=dict(self.settings),
            objectives=self.objectives,
        )

    def _check_mark(self, found: Mark, arm: str) -> None:
        wanted = self._mark(arm)
        if (found.format, found.arm) != (FORMAT, arm):
            raise StudyError(
                f"{self.called(arm)} was made by another version of bogp: give another file or name"
            )
        pairs = (
            ("objectives", list(found.objectives), list(wanted.objectives)),
            ("", found.settings, wanted.settings),
        )
        for name, theirs, ours in pairs:
            other = first_difference(theirs, ours, name)
            if other is not None:
                field, stored, given = other
                raise StudyError(
                    f"{self.called(arm)} was made with {field} = {stored!r}, not {given!r}: give "
                    "the same settings to resume it, or another file or name"
                )

    def _check_empty(self, study_id: int, arm: str) -> None:
        """Raise unless an Optuna study without a mark is one that we had just created."""
        attributes = set(self.backend.get_study_user_attrs(study_id))
        same = self.backend.get_study_directions(study_id) == self._directions
        if not same or attributes - {STUDY_LEASE} or self.backend.get_n_trials(study_id):
            raise StudyError(
                f"{self.called(arm)} is a study that bogp did not make: give another file or name"
            )


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


def plain(value: Any, what: str) -> Any:
    """Return ``value`` as JSON will give it back.

    Raises:
        StudyError: JSON cannot hold it.

    >>> plain({"a": (1, 2)}, "this")
    {'a': [1, 2]}
    """
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise StudyError(f"{what} cannot be stored as JSON ({error})") from error
