"""Which process may write to a study whose storage has no lock: a lease that the study keeps."""

from __future__ import annotations

import time

from optuna.storages import BaseStorage

from bogp.errors import StudyError
from bogp.study.lease import Lease, Owner
from bogp.study.records import COORDINATOR

CONFIRM_SECONDS = 0.05
"""How long a claim waits before it looks whether another claimed at the same moment."""


def check_free(backend: BaseStorage, study_id: int, owner: Owner, now: float, called: str) -> None:
    """Raise unless ``owner`` may take a study.

    Raises:
        StudyError: another's lease is live.
    """
    held = held_lease(backend, study_id)
    if held is not None and held.owner != owner and not held.expired(now):
        raise StudyError(
            f"{called} is in use by {held} unless it renews: wait for it, or give another "
            "name or storage"
        )


def claim(
    backend: BaseStorage, study_id: int, owner: Owner, now: float, seconds: float, called: str
) -> None:
    """Take a study for ``owner``.

    Optuna's storages cannot compare and set, so that a claim is written, and read again a moment
    later: of two that claim at once the later one has it. Should both believe that they have it,
    the one whose lease is gone is refused at its next write.

    Raises:
        StudyError: another's lease is live, or another claimed at the same moment.
    """
    check_free(backend, study_id, owner, now, called)
    renew(backend, study_id, owner, now, seconds)
    time.sleep(CONFIRM_SECONDS)
    check_held(backend, study_id, owner, called)


def renew(backend: BaseStorage, study_id: int, owner: Owner, now: float, seconds: float) -> None:
    """Write the lease of ``owner`` from ``now`` on."""
    lease = Lease(owner, now + seconds)
    backend.set_study_user_attr(study_id, COORDINATOR, lease.fields())


def release(backend: BaseStorage, study_id: int) -> None:
    """Let anyone take the study."""
    backend.set_study_user_attr(study_id, COORDINATOR, None)


def check_held(backend: BaseStorage, study_id: int, owner: Owner, called: str) -> None:
    """Raise unless the study is still held by ``owner``.

    Raises:
        StudyError: another process has taken it.
    """
    held = held_lease(backend, study_id)
    if held is None or held.owner != owner:
        by = "another process" if held is None else str(held.owner)
        raise StudyError(f"{called} was taken over by {by}: this process stops writing")


def held_lease(backend: BaseStorage, study_id: int) -> Lease | None:
    """Return the lease that a study keeps, live or not."""
    return Lease.of(backend.get_study_user_attrs(study_id).get(COORDINATOR))
