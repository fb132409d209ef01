import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bogp import processes

# It imports the module alone, as a file, since the package takes seconds.
SCRIPT = """
import multiprocessing, signal, sys, time
import processes

def work(seconds):
    processes.start_worker()
    print("worker", flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with processes.interrupts_deferred():
        worker = multiprocessing.get_context("spawn").Process(target=work, args=(15,))
        worker.start()
    try:
        print("parent", worker.pid, flush=True)
        worker.join()
    except KeyboardInterrupt:
        print("interrupted", worker.is_alive(), flush=True)
        time.sleep(15)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


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
        env=os.environ | {"PYTHONPATH": str(Path(processes.__file__).parent)},
    ) as process:
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_worker_heeds_no_ctrl_c_and_ends_with_its_parent(parent):
    first = parent.stdout.readline()
    assert first.startswith("parent "), first + parent.stderr.read()
    worker = int(first.split()[1])
    # The worker is still starting: what it inherits keeps it safe.
    os.killpg(parent.pid, signal.SIGINT)
    said = {parent.stdout.readline(), parent.stdout.readline()}
    assert said == {"interrupted True\n", "worker\n"}
    os.kill(worker, signal.SIGINT)
    time.sleep(0.2)
    assert alive(worker)
    parent.kill()
    end = time.monotonic() + 10
    while alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(worker)
    assert parent.stderr.read() == ""
