"""Finding or making a study in a storage, and taking over what another process left in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from bogp.errors import StudyError
from bogp.keys import content_key
from bogp.study import arm as arms
from bogp.study.arm import Arm
from bogp.study.records import ARMS, MARK, Attempt
from bogp.study.rows import end_trial
from bogp.study.storage import Opened


@dataclass(frozen=True)
class Named:
    """A study by its name in an open storage, whether or not it is there yet."""

    opened: Opened
    name: str
    settings: Mapping[str, Any]
    objectives: tuple[str, ...]

    @property
    def backend(self) -> BaseStorage:
        """The storage, as Optuna has it."""
        return self.opened.backend

    def called(self, arm: str = ARMS[0]) -> str:
        """Return what people know an arm by: its name too, where it is not the usual one."""
        name = arms.study_name(self.name, arm)
        return f"study {self.opened.address!r}" + ("" if name == "bogp" else f", {name!r}")

    def mark(self, arm: str) -> dict[str, Any]:
        """Return what the Optuna study of an arm is marked with."""
        return arms.mark(arm, content_key(self.settings), self.settings, self.objectives)

    def check(self) -> tuple[str, ...]:
        """Return the arms that are there, and write nothing.

        Raises:
            StudyError: one is another's, or was made with other settings.
        """
        there = []
        for arm in ARMS:
            study_id = arms.find(self.backend, arms.study_name(self.name, arm))
            if study_id is not None:
                arms.check_mark(self.backend, study_id, self.mark(arm), self.called(arm))
                there.append(arm)
        return tuple(there)

    def study_id(self, arm: str = ARMS[0]) -> int:
        """Return the id of an arm's Optuna study, which is made if need be."""
        name = arms.study_name(self.name, arm)
        found = arms.find(self.backend, name)
        return arms.create(self.backend, name, self.objectives) if found is None else found

    def load(self, name: str, now: float) -> Arm:
        """Return an arm, made if need be; what is left running in it is failed.

        Raises:
            StudyError: a trial has a live lease; the arm is another's or was made with others.
        """
        study_id = self.study_id(name)
        if not arms.check_mark(self.backend, study_id, self.mark(name), self.called(name)):
            # The mark comes last: a study that was killed before it is made again.
            arms.name_objectives(self.backend, arms.study_name(self.name, name), self.objectives)
            self.backend.set_study_user_attr(study_id, MARK, self.mark(name))
        arm, left = arms.load(self.backend, name, study_id)
        for trial in left:
            self._fail_left(arm, trial, now)
        return arm

    def _fail_left(self, arm: Arm, trial: Attempt, now: float) -> None:
        lease = trial.lease
        if not (self.opened.exclusive or lease is None or lease.expired(now)):
            raise StudyError(
                f"trial {trial.number} of {self.called(arm.name)} is run by {lease}: wait until "
                "then, or give another name or storage"
            )
        reason = f"{'its process' if lease is None else lease.owner} ended before it did"
        self.fail(
            self.backend.get_trial_id_from_study_id_trial_number(arm.study_id, trial.stored),
            reason,
            counts=True,
        )
        arms.failed(arm, (trial.batch, trial.position), reason)

    def fail(self, trial_id: int, reason: str, *, counts: bool) -> None:
        """Store that a trial failed, and whether that counts towards its retries."""
        failure = {"reason": reason, "counts": counts}
        end_trial(self.backend, trial_id, TrialState.FAIL, {"failure": failure})


def plain(value: Any, what: str) -> Any:
    """Return ``value`` as it will be read back.

    Raises:
        StudyError: JSON cannot hold it.

    >>> plain({"a": (1, 2)}, "this")
    {'a': [1, 2]}
    """
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise StudyError(f"{what} cannot be stored as JSON ({error})") from error
