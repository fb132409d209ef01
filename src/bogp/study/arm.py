"""One arm of a study that this process writes to: an Optuna study, and what it holds."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState, create_trial

from bogp.checksums import sealed
from bogp.errors import StudyError
from bogp.study import records
from bogp.study.identity import plain
from bogp.study.leases import Lease
from bogp.study.parameters import Space, distributions
from bogp.study.reading import read_arm
from bogp.study.records import Batch, FinishedTrial, Place, PlannedTrial


@final
class OpenArm:
    """One arm of an open study, as the only process that writes to it knows it.

    Args:
        backend: the storage.
        study_id: the Optuna study that holds the arm.
        name: ``"search"`` or ``"random"``.
        called: what people know the study by.
        space: ranges and choices of the parameters that are shown.
        retries: how often a trial that failed is run again.
        clock: seconds since 1970.

    Attributes:
        batches: those asked for, in that order.
        notes: what was noted of the study as a whole.
        ended: the trials that ended or were stopped.
        attempts: how often each trial was begun.

    Raises:
        ValueError: something in it is not what was written.
    """

    def __init__(
        self,
        backend: BaseStorage,
        study_id: int,
        name: str,
        called: str,
        space: Space | None,
        retries: int,
        clock: Callable[[], float],
    ) -> None:
        self._backend, self._study_id = backend, study_id
        self._name, self._called = name, called
        self._space, self._retries, self._clock = space, retries, clock
        found = read_arm(backend, name, study_id)
        if found.damage:
            raise ValueError(found.damage[0])
        self.batches = list(found.batches)
        self.notes = records.notes(backend.get_study_user_attrs(study_id))
        self.ended: dict[Place, FinishedTrial] = {}
        for attempt in found.done():
            self.ended[attempt.place] = records.finished_trial(
                self.batches[attempt.batch],
                attempt.position,
                vars(attempt),
                stopped=attempt.state == "stopped",
            )
        self.attempts: Counter[Place] = Counter()
        self._running: dict[Place, int] = {}  # ids of the trials that this process began
        self._reasons: dict[Place, list[str]] = defaultdict(list)  # of failures that count
        for attempt in found.attempts:
            self.attempts[attempt.place] = max(self.attempts[attempt.place], attempt.attempt)
            if attempt.state == "failed" and attempt.counts:
                self._reasons[attempt.place].append(attempt.reason or "its process ended")
        self._left = [attempt for attempt in found.attempts if attempt.state == "running"]

    def fail_left(self, now: float | None) -> None:
        """Fail the trials that another process left running.

        Args:
            now: the time at which their leases must have passed; None where no other process can
                be writing.

        Raises:
            StudyError: a lease is live.
        """
        for attempt in self._left:
            lease = attempt.lease
            if not (now is None or lease is None or lease.expired(now)):
                raise StudyError(
                    f"trial {attempt.number} of {self._called} is run by {lease}: wait until "
                    "then, or give another name or storage"
                )
            trial_id = self._backend.get_trial_id_from_study_id_trial_number(
                self._study_id, attempt.stored
            )
            reason = f"{'its process' if lease is None else lease.owner} ended before it did"
            self._store_failure(trial_id, reason, counts=True)
            self._reasons[attempt.place].append(reason)
        self._left = []

    def open_batch(self, trials: Sequence[PlannedTrial], state: Mapping[str, Any] | None) -> Batch:
        """Store a batch in one write.

        Raises:
            StudyError: JSON cannot hold it, or a parameter is not in the space.
        """
        for trial in trials:
            distributions(trial.parameters, self._space)
        number = len(self.batches)
        fields = records.batch_fields(self._name, number, trials, state)
        fields = sealed(plain(fields, f"batch {number} of arm {self._name}"))
        self._backend.set_study_user_attr(self._study_id, records.batch_key(number), fields)
        self.batches.append(records.batch_of(self._name, self.batches, fields))
        return self.batches[-1]

    def missing(self, batch: Batch) -> tuple[int, ...]:
        """Return the positions of a batch that have not ended."""
        places = range(len(batch.trials))
        return tuple(place for place in places if (batch.number, place) not in self.ended)

    def begin(self, batch: Batch, positions: Sequence[int], lease: Lease) -> None:
        """Store that trials are running.

        Raises:
            StudyError: one has ended, is running, is not in the batch, or has failed too often.
        """
        if len(set(positions)) != len(positions):
            raise StudyError(f"positions {list(positions)} name one twice: name each once")
        for position in positions:
            self._check_free(batch, position)
            self._check_retries(batch, position)
        for position in positions:
            place, planned = (batch.number, position), batch.trials[position]
            trial = create_trial(
                state=TrialState.RUNNING,
                params=dict(planned.parameters),
                distributions=distributions(planned.parameters, self._space),
            )
            begun = {
                "batch": batch.number,
                "position": position,
                "attempt": self.attempts[place] + 1,
                "point": dict(planned.point),
                "begun": self._clock(),
            }
            attributes = records.begun_fields(begun, records.external(trial))
            trial.user_attrs = {**attributes, "lease": lease.fields()}
            self._running[place] = self._backend.create_new_trial(self._study_id, trial)
            self.attempts[place] += 1

    def finish(
        self, batch: Batch, position: int, result: Mapping[str, Any], *, stopped: bool
    ) -> FinishedTrial:
        """Store how a running trial ended; its state is last, so that what has ended is whole.

        Args:
            batch: the batch that the trial is in.
            position: its place there.
            result: ``value``, ``second`` (None with one objective), ``steps`` and ``record``.
            stopped: it ended early. Optuna's word for that is PRUNED.

        Raises:
            StudyError: the trial is not running.
        """
        trial_id, backend = self._running_id(batch, position), self._backend
        whole = {**result, "stopped": stopped, "finished": self._clock()}
        backend.set_trial_user_attr(trial_id, "result", sealed(whole))
        for epoch, value in enumerate(result["steps"], 1):
            backend.set_trial_intermediate_value(trial_id, epoch, value)
        values = [number for number in (result["value"], result["second"]) if number is not None]
        state = TrialState.PRUNED if stopped else TrialState.COMPLETE
        backend.set_trial_state_values(trial_id, state, values)
        place = batch.number, position
        del self._running[place]
        self.ended[place] = records.finished_trial(batch, position, result, stopped=stopped)
        return self.ended[place]

    def fail(self, batch: Batch, position: int, reason: str) -> None:
        """Store that a running trial failed.

        Raises:
            StudyError: it is not running; or it has failed too often, with the last reason.
        """
        self._store_failure(self._running_id(batch, position), reason, counts=True)
        place = batch.number, position
        del self._running[place]
        self._reasons[place].append(reason)
        self._check_retries(batch, position)

    def renew(self, lease: Lease) -> None:
        """Write the leases of the running trials anew."""
        for trial_id in self._running.values():
            self._backend.set_trial_user_attr(trial_id, "lease", lease.fields())

    def give_back(self) -> None:
        """Store that what is running failed, which does not count towards the retries."""
        for trial_id in self._running.values():
            with contextlib.suppress(UpdateFinishedTrialError):
                self._store_failure(trial_id, "its process gave it back", counts=False)
        self._running.clear()

    def note(self, name: str, value: Any) -> None:
        """Store a JSON value of the study as a whole, in one write."""
        stored = plain(value, f"note {name!r}")
        fields = records.note_fields(name, stored)
        self._backend.set_study_user_attr(self._study_id, records.note_key(name), fields)
        self.notes[name] = stored

    def _store_failure(self, trial_id: int, reason: str, *, counts: bool) -> None:
        failure = {"reason": reason, "counts": counts, "finished": self._clock()}
        self._backend.set_trial_user_attr(trial_id, "failure", sealed(failure))
        self._backend.set_trial_state_values(trial_id, TrialState.FAIL)

    def _check_free(self, batch: Batch, position: int) -> None:
        size = len(batch.trials)
        if not 0 <= position < size:
            raise StudyError(
                f"position {position} is not in batch {batch.number}, which has {size}"
            )
        for state, places in (("has ended", self.ended), ("is running", self._running)):
            if (batch.number, position) in places:
                raise StudyError(f"{_called(batch, position)} {state}: it cannot be begun again")

    def _check_retries(self, batch: Batch, position: int) -> None:
        reasons = self._reasons.get((batch.number, position), [])
        if len(reasons) > self._retries:
            raise StudyError(
                f"{_called(batch, position)} of {self._called} failed {len(reasons)} times, the "
                f"last time because {reasons[-1]}: mend that, or resume with more than "
                f"{self._retries} retries"
            )

    def _running_id(self, batch: Batch, position: int) -> int:
        """Return the storage id of a trial that this process began and that has not ended."""
        place = batch.number, position
        if place not in self._running:
            state = "has ended already" if place in self.ended else "was not begun"
            raise StudyError(f"{_called(batch, position)} {state}")
        return self._running[place]


def _called(batch: Batch, position: int) -> str:
    number = batch.first + position
    return f"trial {number} (arm {batch.arm}, batch {batch.number}, position {position})"
