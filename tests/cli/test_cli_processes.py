import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A test run in the background of a script ignores Ctrl-C, and so would what it starts.
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{HEED}; from bogp.cli import main; main()"]
WORDS = ["reproduce", "table1", "--quick", "--data", "digits", "--recipe", "written", "--out", "o"]

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def members(group):
    """Return the command lines of the processes of a process group that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(command)
    return found


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def start(folder):
    """Start a replication in a process group of its own; return it and its first lines."""
    process = subprocess.Popen(
        [*COMMAND, *WORDS],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=folder,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if "trainings: 0 of" in line:
            break
    assert wait_until(lambda: len(members(process.pid)) > 3), members(process.pid)
    return process


@pytest.mark.parametrize("pause", [0.0, 8.0], ids=["workers starting", "workers at work"])
def test_ctrl_c_in_a_terminal_ends_the_workers_and_says_how_to_go_on(pause, tmp_path):
    with start(tmp_path) as process:
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert "Traceback" not in rest
    assert rest.splitlines()[-1] == (
        "stopped: what is trained is in o, and the same command goes on from there"
    )
    assert wait_until(lambda: not members(process.pid), 30), members(process.pid)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    process = start(tmp_path)
    process.kill()
    process.wait()
    gone = wait_until(lambda: not members(process.pid), 60)
    left = members(process.pid)
    if left:
        os.killpg(process.pid, signal.SIGKILL)
    process.stderr.close()
    assert gone, left
