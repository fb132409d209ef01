"""Leases: live ones are respected, those of the dead and the late are not."""

import contextlib
import dataclasses
import importlib
import os
import subprocess
import sys
import threading
import time

import pytest
from study_backends import BACKENDS, Clock, abandoned, asked, opened, run

from bogp.errors import StudyError
from bogp.study import leases
from bogp.study.leases import STUDY_LEASE, Lease, Owner, StudyLease, is_gone, new_owner
from bogp.study.reading import read_storage
from bogp.study.storage import open_storage

SHARED = [name for name in BACKENDS if name != "file"]


@pytest.fixture(params=SHARED)
def storage(request, tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "CONFIRM_SECONDS", 0.0)
    return BACKENDS[request.param](tmp_path)


def test_a_process_is_gone_when_its_number_is_free_or_another_s():
    here = new_owner()
    assert here.pid == os.getpid()
    assert not is_gone(here)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        there = dataclasses.replace(here, pid=child.pid, started=None)
        assert not is_gone(there)
        if here.started is not None:
            assert is_gone(dataclasses.replace(there, started=here.started + 10**6))
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        # It has ended, but its parent has not asked yet: a zombie runs nothing.
        assert is_gone(dataclasses.replace(there, started=here.started))
    assert is_gone(there)


def test_what_runs_elsewhere_is_never_known_to_be_gone():
    here = new_owner()
    free = dataclasses.replace(here, pid=2**22 + 1)
    assert is_gone(free)
    assert not is_gone(dataclasses.replace(free, place="another machine"))
    assert not is_gone(dataclasses.replace(free, place=""))


def test_a_lease_ends_with_its_deadline_or_its_owner():
    here = new_owner()
    lease = Lease(here, 100.0)
    assert [lease.expired(now) for now in (99.9, 100.0)] == [False, True]
    assert Lease(dataclasses.replace(here, pid=2**22 + 1), 100.0).expired(0.0)
    assert str(lease).startswith(f"process {here.pid} on {here.host} until 19")


STUDY, LEASE = map(importlib.import_module, ("bogp.study.study", "bogp.study.leases"))


@contextlib.contextmanager
def elsewhere(storage, clock):
    """Open a study as a process of another machine, which then dies."""
    owner = Owner("elsewhere", 7, 1, "elsewhere boot", "token")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STUDY, "new_owner", lambda: owner)
        patch.setattr(STUDY, "is_this_process", lambda owner: True)
        with abandoned(storage, clock=clock) as study:
            yield study


def test_a_live_lease_of_another_is_refused_by_name_and_time(storage):
    clock = Clock()
    with elsewhere(storage, clock) as study:
        study.begin(study.open_batch("search", asked(2)), (0,))
    clock.now += 59
    said = r"is in use by process 7 on elsewhere until 2001-09-09 .* unless it renews"
    with pytest.raises(StudyError, match=said):
        opened(storage, clock=clock)
    clock.now += 2
    with opened(storage, clock=clock) as study:
        assert study.missing(study.batches()[0]) == (0, 1)
        run(study, study.batches()[0])
        assert len(study.trials()) == 2
    (found,) = read_storage(storage).studies
    assert found.lease is None
    assert found.arms["search"].attempts[0].reason == "process 7 on elsewhere ended before it did"


def test_a_live_lease_of_a_trial_is_respected_where_the_study_s_own_is_gone(storage):
    clock = Clock()
    with elsewhere(storage, clock) as study:
        batch = study.open_batch("search", asked(2))
        clock.now += 30
        study.begin(batch, (1,))
    clock.now += 40
    with pytest.raises(StudyError, match=r"trial 1 of .* is run by process 7 on elsewhere until"):
        opened(storage, clock=clock)
    clock.now += 25
    with opened(storage, clock=clock) as study:
        assert study.missing(batch) == (0, 1)


def test_two_openings_of_one_process_are_two(storage):
    with opened(storage) as study:
        run(study, study.open_batch("search", asked(1)))
        with pytest.raises(StudyError, match=f"is in use by process {os.getpid()} on"):
            opened(storage)
        run(study, study.open_batch("search", asked(1)))
    with opened(storage) as study:
        assert len(study.trials()) == 2


def test_a_process_that_is_gone_is_not_waited_for(storage, monkeypatch):
    clock = Clock()
    with abandoned(storage, clock=clock) as study:
        study.begin(study.open_batch("search", asked(1)), (0,))
    monkeypatch.setattr(LEASE, "_started", lambda pid: 0)  # its number is another's
    with opened(storage, clock=clock) as study:
        assert study.missing(study.batches()[0]) == (0,)


def test_who_was_taken_over_stops_writing_and_takes_nothing_back(storage):
    clock = Clock()
    first = opened(storage, clock=clock)
    batch = first.open_batch("search", asked(2))
    first.begin(batch, (0, 1))
    clock.now += 61  # asleep, say
    with opened(storage, clock=clock) as second:
        second.begin(batch, (0, 1))
        second.finish(batch, 1, 0.75, {})
        for late in (
            lambda: first.finish(batch, 0, 0.5, {}),
            lambda: first.open_batch("search", asked(1)),
            lambda: first.note("x", 1),
        ):
            with pytest.raises(StudyError, match="was taken over by process"):
                late()
        first.renew()
        with pytest.raises(StudyError, match="was taken over by process"):
            first.begin(batch, (0,))
        first.close()
        second.finish(batch, 0, 0.25, {})  # what first gave back was not its own
        assert [trial.value for trial in second.trials()] == [0.25, 0.75]
    (found,) = read_storage(storage).studies
    assert found.arms["search"].counts() == {"ended": 2, "stopped": 0, "failed": 2, "running": 0}


def test_of_two_that_claim_at_once_one_is_refused(storage, monkeypatch):
    """The second claims between the first one's claim and its second look."""
    other = Owner("other", 7, 1, "other boot", "token")

    def meanwhile(seconds):
        backend = open_storage(storage, write=True).backend
        study_id = backend.get_study_id_from_name("bogp")
        StudyLease(backend, study_id, other, 60, "theirs").renew(time.time())

    monkeypatch.setattr(leases, "time", type("T", (), {"sleep": staticmethod(meanwhile)}))
    with pytest.raises(StudyError, match="was taken over by process 7 on other"):
        opened(storage)
    backend = open_storage(storage, write=True).backend
    held = backend.get_study_user_attrs(backend.get_study_id_from_name("bogp"))[STUDY_LEASE]
    assert Lease.of(held).owner == other


def test_renewing_moves_the_deadlines(storage):
    clock = Clock()
    with opened(storage, clock=clock) as study:
        batch = study.open_batch("search", asked(2))
        study.begin(batch, (0, 1))
        study.finish(batch, 0, 0.5, {})
        clock.now += 50
        study.renew()
        (found,) = read_storage(storage).studies
        deadlines = [trial.lease.deadline for trial in found.arms["search"].attempts]
        assert deadlines == [1e9 + 60, 1e9 + 110]
        assert found.lease.deadline == 1e9 + 110
        clock.now += 50
        with pytest.raises(StudyError, match="in use"):
            opened(storage, clock=clock)
        study.finish(batch, 1, 0.5, {})


@pytest.mark.parametrize("kind", ["file", "shared"])
def test_a_thread_renews_them_and_ends_with_the_study(kind, tmp_path):
    storage = BACKENDS[kind](tmp_path)
    with opened(storage, lease_seconds=0.3) as study:
        batch = study.open_batch("search", asked(1))
        study.begin(batch, (0,))
        began = lease_of(storage).deadline
        until = time.monotonic() + 20
        while lease_of(storage).deadline == began and time.monotonic() < until:
            time.sleep(0.02)
        assert lease_of(storage).deadline > began
        study.finish(batch, 0, 0.5, {})
    assert "bogp-lease" not in [thread.name for thread in threading.enumerate()]
    with opened(storage) as study:
        assert len(study.trials()) == 1


def lease_of(storage):
    (found,) = read_storage(storage).studies
    return found.arms["search"].attempts[-1].lease


def test_a_fork_neither_writes_nor_closes(storage, monkeypatch):
    with opened(storage) as study:
        batch = study.open_batch("search", asked(1))
        with monkeypatch.context() as patch:
            patch.setattr(STUDY, "is_this_process", lambda owner: False)
            with pytest.raises(StudyError, match=f"is open in process {study._owner.pid}"):
                study.begin(batch, (0,))
            study.close()
        run(study, batch)
        assert len(study.trials()) == 1
