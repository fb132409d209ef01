import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bogp.cores import available_cores
from bogp.errors import SettingError, WorkerLostError
from bogp.processes import WorkerProcesses

SCRIPT = """
import os, signal, sys, time
from bogp.processes import WorkerProcesses

def work(seconds):
    print("worker", os.getpid(), flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    here = WorkerProcesses(1)
    future = here.submit(work, 15)
    while not here.started:
        time.sleep(0.001)
    try:
        print("parent", flush=True)
        future.result()
    except KeyboardInterrupt:
        (worker,) = here.started
        print("interrupted", worker.process.is_alive(), flush=True)
        time.sleep(15)
"""

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def parent(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@POSIX
def test_a_worker_heeds_no_ctrl_c_and_ends_with_its_parent(parent):
    first = parent.stdout.readline()
    assert first == "parent\n", first + parent.stderr.read()
    # The worker is still starting: what it inherits keeps it safe.
    os.killpg(parent.pid, signal.SIGINT)
    said, worker = sorted((parent.stdout.readline(), parent.stdout.readline()))
    assert said == "interrupted True\n"
    worker = int(worker.removeprefix("worker "))
    os.kill(worker, signal.SIGINT)
    time.sleep(0.2)
    assert alive(worker)
    parent.kill()
    end = time.monotonic() + 10
    while alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(worker)
    assert parent.stderr.read() == ""


@pytest.fixture(scope="module")
def two():
    """Two processes, which cost a second to start."""
    with WorkerProcesses(2) as opened:
        yield opened


def sleep(progress, seconds=60):
    progress(0, 1)
    time.sleep(seconds)


def busy(opened):
    """Return the Future of a task that takes a minute and has begun."""
    begun = threading.Event()
    future = opened.submit(sleep, progress=lambda done, total: begun.set())
    assert begun.wait(60)
    return future


def divide(a, b, progress=None):
    if progress is not None:
        progress(1, 2)
        progress(2, 2)
    return a / b


def refuse(value):
    raise SettingError(f"value = {value} is wrong: give another")


class Strange(Exception):  # noqa: N818
    """An error that does not survive pickle."""

    def __init__(self, one, two):
        super().__init__(one)


def strange():
    raise Strange(1, 2)


def test_arguments_go_there_and_results_come_back(two):
    assert two.submit(divide, 6, b=3).result(60) == 2
    assert list(two.map(pow, (2, 3), (5, 2))) == [32, 9]
    assert two.submit(os.getpid).result(60) != os.getpid()
    assert two.capacity == 2
    assert two.submit(available_cores).result(60) == two.threads == max(1, available_cores() // 2)


def test_progress_is_told_here_before_the_result_is_there(two):
    seen = []
    assert two.submit(divide, 1, 2, progress=lambda *step: seen.append(step)).result(60) == 0.5
    assert seen == [(1, 2), (2, 2)]


def test_errors_come_back_with_where_they_were(two):
    with pytest.raises(SettingError) as ours:
        two.submit(refuse, 3).result(60)
    assert str(ours.value) == "value = 3 is wrong: give another"
    assert not hasattr(ours.value, "__notes__")
    with pytest.raises(ZeroDivisionError) as fault:
        two.submit(divide, 1, 0).result(60)
    assert "in divide" in "".join(fault.value.__notes__)
    with pytest.raises(RuntimeError, match="in strange"):
        two.submit(strange).result(60)
    with pytest.raises(Exception, match="pickle"):  # the result
        two.submit(threading.Lock).result(60)
    with pytest.raises(Exception, match="pickle"):  # the task
        two.submit(divide, threading.Lock(), 1)


@POSIX
def test_a_lost_process_fails_its_own_task_alone(two):
    lost, other = two.submit(os._exit, 3), two.submit(divide, 6, 3)
    with pytest.raises(WorkerLostError, match="ended with status 3, by lack of memory") as error:
        lost.result(60)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    assert other.result(60) == 2
    again = [two.submit(os.getpid) for _ in range(4)]
    assert {future.result(60) for future in again} <= {one.process.pid for one in two.started}


def test_an_error_that_leaves_the_block_ends_what_is_under_way():
    """SLOW: two more processes."""
    with contextlib.suppress(KeyboardInterrupt), WorkerProcesses(1, threads=1) as opened:
        running, waiting = busy(opened), opened.submit(divide, 6, 3)
        (process,) = opened.started
        raise KeyboardInterrupt
    with pytest.raises(WorkerLostError):
        running.result(0)
    assert waiting.cancelled()
    assert not process.process.is_alive()
    with WorkerProcesses(1) as opened:
        done = opened.submit(divide, 6, 3)
    assert done.result(0) == 2
    assert not opened.started
    with pytest.raises(RuntimeError, match="after shutdown"):
        opened.submit(divide, 6, 3)
