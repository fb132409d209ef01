"""The study: what was asked and what came of it, stored before anything else is done."""

from __future__ import annotations

import contextlib
import copy
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, final

from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from sqlalchemy.exc import SQLAlchemyError

from bogp.errors import StudyError, UnknownNameError
from bogp.study.arm import OpenArm
from bogp.study.identity import Identity, plain
from bogp.study.leases import Lease, StudyLease, is_this_process, new_owner
from bogp.study.parameters import Space
from bogp.study.records import ARMS, Batch, FinishedTrial, PlannedTrial
from bogp.study.storage import Storage, open_storage, readable


@final
class Study:
    """One optimisation, kept in an Optuna storage and written to by one process at a time.

    A batch of trials is one write, before any of them begins. Whatever dies afterwards, the batch
    stays what it is: opened again, the study says which of its trials are :meth:`missing`. A trial
    that ended is never run or stored twice.

    A file is held by a lock, which the operating system drops with the process. For any other
    storage the study holds a lease of its own and gives each running trial one; a thread renews
    them every third of ``lease_seconds``. A lease ends with its deadline, or when its owner is a
    process of this machine that is gone. Clocks of machines that share a study should agree to a
    few seconds.

    Args:
        storage: a file, an address (``sqlite:///study.db``, ``postgresql://...``), a storage
            object of Optuna's, or None: memory.
        settings: a JSON object, every input that can change a result; a study that was made with
            others is refused.
        name: what the study is called in the storage, which may hold several.
        objectives: what is maximised, one or two names.
        space: ranges and choices of the parameters that are shown (:mod:`bogp.study.parameters`).
        lease_seconds: how long a storage that is no file is held after its process died elsewhere.
        retries: how often a trial that failed, or whose process died, is run again.
        clock: seconds since 1970.

    Raises:
        StudyError: in use, no study, another's study, damaged, or made with other settings.
    """

    def __init__(
        self,
        storage: Storage,
        settings: Mapping[str, Any],
        *,
        name: str = "bogp",
        objectives: Sequence[str] = ("accuracy",),
        space: Space | None = None,
        lease_seconds: float = 60.0,
        retries: int = 2,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _check(name, objectives, lease_seconds, retries)
        self.name, self.retries = name, retries
        self._objectives, self._space = tuple(objectives), space
        self._seconds, self._clock, self._owner = lease_seconds, clock, new_owner()
        self._lock, self._stop = threading.RLock(), threading.Event()
        self._arms: dict[str, OpenArm] = {}
        self._study_lease: StudyLease | None = None  # a file needs none: it has a lock
        self._closed, self._lost = False, ""
        self._renewing = threading.Thread(target=self._keep, name="bogp-lease", daemon=True)
        self._opened = open_storage(storage, write=True)
        try:
            with readable(self.address):
                self._open(plain(dict(settings), "the settings"))
        except BaseException:
            self.close()
            raise
        if self._opened.shared:
            self._renewing.start()

    @property
    def address(self) -> str:
        """Where the study is kept, for people."""
        return self._opened.address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is running and let another process open the study.

        A trial that is given back does not count as failed; closing twice is harmless.
        """
        if not is_this_process(self._owner):
            return  # a fork: the connections and the study are its parent's
        self._stop.set()
        with self._lock:
            if not self._closed:
                self._closed = True
                # What cannot be given back now expires later.
                try:
                    with contextlib.suppress(SQLAlchemyError, OptunaError, StudyError):
                        self._give_back()
                finally:
                    self._opened.close()
        if self._renewing.is_alive():
            self._renewing.join()

    def trials(self, arm: str = "search") -> tuple[FinishedTrial, ...]:
        """Return the trials that ended, stopped ones too, in the order in which they were asked."""
        with self._lock:
            held = self._arms.get(_known(arm))
            return () if held is None else tuple(held.ended[place] for place in sorted(held.ended))

    def batches(self, arm: str = "search") -> tuple[Batch, ...]:
        """Return the batches of an arm."""
        with self._lock:
            held = self._arms.get(_known(arm))
            return () if held is None else tuple(held.batches)

    def attempts(self, arm: str = "search") -> dict[tuple[int, int], int]:
        """Return how often each trial was begun, by its batch and position."""
        with self._lock:
            held = self._arms.get(_known(arm))
            return {} if held is None else dict(held.attempts)

    def missing(self, batch: Batch) -> tuple[int, ...]:
        """Return the positions of a batch that have not ended."""
        with self._lock:
            return self._held(batch).missing(batch)

    def open_batch(
        self, arm: str, trials: Sequence[PlannedTrial], state: Mapping[str, Any] | None = None
    ) -> Batch:
        """Store a batch, and the engine's state after asking for it, in one write.

        Raises:
            StudyError: it is empty, JSON cannot hold it, or a parameter is not in the space.
        """
        if not trials:
            raise StudyError("a batch of no trials: ask for at least one")
        with self._writing():
            return self._arm(_known(arm)).open_batch(trials, state)

    def begin(self, batch: Batch, positions: Sequence[int]) -> None:
        """Record that trials are being run, by whom and until when.

        Raises:
            StudyError: one has ended, is running, is not in the batch, or has failed too often.
        """
        with self._writing():
            self._held(batch).begin(batch, positions, self._lease())

    def finish(
        self,
        batch: Batch,
        position: int,
        value: float,
        record: Mapping[str, Any],
        *,
        stopped: bool = False,
        steps: Sequence[float] = (),
        second: float | None = None,
    ) -> FinishedTrial:
        """Record how a trial ended, before anything else is done.

        Args:
            batch: the batch that the trial is in.
            position: its place there, of which :meth:`begin` was told.
            value: the first objective.
            record: a JSON object, everything that was measured.
            stopped: it ended early. Optuna's word for that is PRUNED.
            steps: the values after epoch 1, 2, ...
            second: the second objective, where the study has two.

        Raises:
            StudyError: the trial is not running, or a number is missing or not finite.
        """
        values = [value] if second is None else [value, second]
        if len(values) != len(self._objectives):
            raise StudyError(
                f"{len(values)} values for {len(self._objectives)} objectives "
                f"({', '.join(self._objectives)}): tell one each"
            )
        if not all(map(math.isfinite, [*values, *steps])):
            raise StudyError(f"values {values} and steps {list(steps)} must be finite numbers")
        result = {
            "value": float(value),
            "second": None if second is None else float(second),
            "steps": [float(step) for step in steps],
            "record": plain(dict(record), "the record of a trial"),
        }
        with self._writing():
            return self._held(batch).finish(batch, position, result, stopped=stopped)

    def fail(self, batch: Batch, position: int, reason: str) -> None:
        """Record that a running trial failed, so that it is missing again.

        Raises:
            StudyError: it is not running; or it has failed too often, with the last reason.
        """
        with self._writing():
            self._held(batch).fail(batch, position, str(reason))

    def note(self, name: str, value: Any) -> None:
        """Record a JSON value of the study as a whole, in one write."""
        with self._writing():
            self._arms["search"].note(name, value)

    def noted(self, name: str, default: Any = None) -> Any:
        """Return what :meth:`note` recorded."""
        with self._lock:
            notes = self._arms["search"].notes
            return copy.deepcopy(notes[name]) if name in notes else default

    def renew(self) -> None:
        """Renew the leases of the study and of its running trials, as a thread does by itself."""
        with self._lock:
            if self._closed or self._lost:
                return
            if self._study_lease is not None:
                try:
                    self._study_lease.check()
                except StudyError as lost:
                    self._lost = str(lost)
                    return
                self._study_lease.renew(self._clock())
            for arm in self._arms.values():
                arm.renew(self._lease())

    def _open(self, settings: Mapping[str, Any]) -> None:
        """Find or make the study, take it, and fail what a process that is gone left running."""
        backend, name = self._opened.backend, self.name
        self._identity = Identity(backend, self.address, name, settings, self._objectives)
        # All arms are looked at before anything is written: what is not ours is left as it is.
        there = [arm for arm in ARMS if self._identity.find(arm) is not None]
        if not self._opened.exclusive:
            study_id = self._identity.create(ARMS[0])
            lease = StudyLease(
                backend, study_id, self._owner, self._seconds, self._identity.called()
            )
            lease.claim(self._clock())
            self._study_lease = lease
        for arm in dict.fromkeys((ARMS[0], *there)):
            self._arm(arm)

    def _give_back(self) -> None:
        if self._lost:
            return
        if self._study_lease is not None:
            self._study_lease.check()  # what another process has taken over is not ours
        for arm in self._arms.values():
            arm.give_back()
        if self._study_lease is not None:
            self._study_lease.release()

    def _keep(self) -> None:
        """Renew the leases until the study is closed."""
        while not self._stop.wait(self._seconds / 3):
            # A storage that cannot be reached for a while is tried again before the lease ends.
            with contextlib.suppress(SQLAlchemyError, OptunaError):
                self.renew()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Write alone, as the one who holds the study."""
        called = self._identity.called()
        with self._lock:
            if self._closed:
                raise StudyError(f"{called} is closed: open it again")
            if self._lost:
                raise StudyError(self._lost)
            if not is_this_process(self._owner):
                raise StudyError(f"{called} is open in process {self._owner.pid}")
            try:
                if self._study_lease is not None:
                    self._study_lease.check()
                yield
            except UpdateFinishedTrialError as error:
                self._lost = f"{called} was written to by another process ({error})"
                raise StudyError(self._lost) from error
            except (SQLAlchemyError, OptunaError) as error:
                reason = str(error.__cause__ or error).splitlines()[0]
                raise StudyError(
                    f"{called} cannot be written ({reason}): mend that and resume"
                ) from error

    def _lease(self) -> Lease:
        return Lease(self._owner, self._clock() + self._seconds)

    def _arm(self, name: str) -> OpenArm:
        """Return an arm, which is made if need be; what another process left running is failed."""
        if name not in self._arms:
            arm = OpenArm(
                self._opened.backend,
                self._identity.create_marked(name),
                name,
                self._identity.called(name),
                self._space,
                self.retries,
                self._clock,
            )
            arm.fail_left(None if self._opened.exclusive else self._clock())
            self._arms[name] = arm
        return self._arms[name]

    def _held(self, batch: Batch) -> OpenArm:
        """Return the arm of a batch."""
        held = self._arms.get(batch.arm)
        if held is None or batch.number >= len(held.batches):
            raise StudyError(f"batch {batch.number} of arm {batch.arm} is not of this study")
        return held


def _known(arm: str) -> str:
    if arm not in ARMS:
        raise UnknownNameError("arm", arm, ARMS)
    return arm


def _check(name: str, objectives: Sequence[str], seconds: float, retries: int) -> None:
    if not name or "/" in name:
        raise StudyError(f"study name {name!r} is empty or has a slash: give a word, mnist say")
    if not 1 <= len(objectives) <= 2:
        raise StudyError(f"{len(objectives)} objectives: give one or two")
    if not seconds > 0 or retries < 0:
        raise StudyError(f"lease_seconds {seconds} and retries {retries}: give > 0 and >= 0")
