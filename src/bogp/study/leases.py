"""Leases: who runs something, and until when nobody else may take it over."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, final

from optuna.storages import BaseStorage

from bogp.checksums import sealed, unsealed
from bogp.errors import StudyError
from bogp.outside import conforming

STUDY_LEASE = "coordinator"
"""The attribute of an Optuna study that holds the lease of the process that may write to it."""

CONFIRM_SECONDS = 0.05
"""How long a claim waits before it looks whether another claimed at the same moment."""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """One opening of a study by one process.

    Attributes:
        host: name of the machine, for people.
        pid: number of the process on it.
        started: when the process started, in clock ticks since the machine did; None: unknown.
        place: the machine since it was started and the process namespace in it, which is where
            ``pid`` means something; "" where the system does not tell.
        token: tells two openings by one process apart.
    """

    host: str
    pid: int
    started: int | None
    place: str
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class Lease:
    """What ``owner`` holds until ``deadline``, in seconds since 1970."""

    owner: Owner
    deadline: float

    def expired(self, now: float) -> bool:
        """Return whether the deadline has passed or the owner, a process of this host, is gone."""
        return now >= self.deadline or is_gone(self.owner)

    def fields(self) -> dict[str, Any]:
        """Return the lease as a JSON object, with its checksum."""
        return sealed(asdict(self))

    @classmethod
    def of(cls, fields: Mapping[str, Any] | None) -> Lease | None:
        """Return the lease that :meth:`fields` described; None for None.

        Raises:
            ValueError: it is not what was written.

        >>> Lease.of(None)
        >>> lease = Lease(Owner("here", 1, None, "", "t"), 60.0)
        >>> Lease.of(lease.fields()) == lease
        True
        """
        if fields is None:
            return None
        found: Lease = conforming(cls, unsealed(fields))
        return found

    def __str__(self) -> str:
        return f"{self.owner} until {clock_time(self.deadline)}"


def clock_time(seconds: float) -> str:
    """Return a time in seconds since 1970 as people of this place write it."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def new_owner() -> Owner:
    """Return this process as the owner of one more opening."""
    pid = os.getpid()
    token = uuid.uuid4().hex
    return Owner(socket.gethostname(), pid, _started(pid), _place(), token)


def is_this_process(owner: Owner) -> bool:
    """Return whether ``owner`` is this process, and not the one that it was forked from."""
    return owner.pid == os.getpid()


def is_gone(owner: Owner) -> bool:
    """Return whether the owner is known to have ended: never of a process of another machine.

    A number that another process has by now, as its start tells, is as good as none.
    """
    if not owner.place or owner.place != _place():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # somebody else's process is a process
    started = _started(owner.pid)
    return started is not None and owner.started is not None and started != owner.started


def _started(pid: int) -> int | None:
    """Return when a process started in ticks, -1 for one that has ended but not been waited for."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return -1 if fields[0] in "ZX" else int(fields[19])


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


@final
class StudyLease:
    """The lease that a study keeps in a storage without a lock: who may write to the study.

    Optuna's storages cannot compare and set, so that a claim is written, and read again a moment
    later: of two that claim at once the later one has it. Should both believe that they have it,
    the one whose lease is gone is refused at its next write.

    Args:
        backend: the storage.
        study_id: the Optuna study whose attribute holds the lease.
        owner: this process, for this opening of the study.
        seconds: how long the lease lasts.
        called: what people know the study by.
    """

    def __init__(
        self, backend: BaseStorage, study_id: int, owner: Owner, seconds: float, called: str
    ) -> None:
        self._backend, self._study_id = backend, study_id
        self._owner, self._seconds, self._called = owner, seconds, called

    def claim(self, now: float) -> None:
        """Take the study.

        Raises:
            StudyError: another's lease is live, or another claimed at the same moment.
        """
        held = self._held()
        if held is not None and held.owner != self._owner and not held.expired(now):
            raise StudyError(
                f"{self._called} is in use by {held} unless it renews: wait for it, or give "
                "another name or storage"
            )
        self.renew(now)
        time.sleep(CONFIRM_SECONDS)
        self.check()

    def renew(self, now: float) -> None:
        """Write the lease anew, to last from ``now`` on."""
        lease = Lease(self._owner, now + self._seconds)
        self._backend.set_study_user_attr(self._study_id, STUDY_LEASE, lease.fields())

    def release(self) -> None:
        """Let anyone take the study."""
        self._backend.set_study_user_attr(self._study_id, STUDY_LEASE, None)

    def check(self) -> None:
        """Raise unless the study is still held.

        Raises:
            StudyError: another process has taken it.
        """
        held = self._held()
        if held is None or held.owner != self._owner:
            by = "another process" if held is None else str(held.owner)
            raise StudyError(f"{self._called} was taken over by {by}: this process stops writing")

    def _held(self) -> Lease | None:
        stored = self._backend.get_study_user_attrs(self._study_id).get(STUDY_LEASE)
        try:
            return Lease.of(stored)
        except ValueError as error:
            raise StudyError(
                f"{self._called} is damaged ({error}): restore a copy of it"
            ) from error
