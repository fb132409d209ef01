"""Evaluation on worker processes and on executors of any kind.

A process costs seconds to start, so that the tests share what they can.
"""

import operator
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import comparable

from bogp import processes
from bogp.data import Dataset
from bogp.errors import SettingError, SparsityError, WorkerLostError
from bogp.pipeline import Candidate, FunctionTrainer, PopulationTrainer, TrainingTask
from bogp.pipeline.shared_data import shared_data
from bogp.pipeline.workers import open_workers
from bogp.sparsify import Method
from bogp.training import Recipe

METHODS = (Method("random"), Method("magnitude", "global", rounds=2))
PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@pytest.fixture(scope="module")
def dataset():
    """Data of no name, which workers have to be given."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(400, 30, generator=generator)
    targets = (inputs[:, 0] > 0).long() + 2 * (inputs[:, 1] > 0).long()
    return Dataset("ours", inputs[:300], targets[:300], inputs[300:], targets[300:], classes=4)


def task(number=0, sparsity=0.5):
    candidates = tuple(Candidate(None, METHODS[k % 2], sparsity, k) for k in range(4))
    seeds = tuple(10 * number + k for k in range(4))
    return TrainingTask(candidates, seeds, number, report=True, keep=True)


def submit(opened, asked=None, progress=None, epochs=2):
    """Train a task of 6 trainings, of ``epochs`` each."""
    recipe = Recipe(learning_rate=0.01, batch_size=64, epochs=epochs)
    trainer = PopulationTrainer("mlp:16", "hidden", recipe, "holdout", opened.data)
    return opened.submit(trainer, task() if asked is None else asked, progress)


def submit_long(opened, progress=None):
    """Train for hours."""
    return submit(opened, progress=progress, epochs=100_000)


def results(opened, progress=None):
    """Return the results of three tasks, in their order."""
    futures = [submit(opened, task(k), progress) for k in range(3)]
    return [comparable(future.result(120)) for future in futures]


@pytest.fixture(scope="module")
def here(dataset):
    with open_workers(dataset) as opened:
        yield opened


@pytest.fixture(scope="module")
def expected(here):
    return results(here)


@pytest.fixture(scope="module")
def two(dataset):
    """Two worker processes."""
    with open_workers(dataset, workers=2) as opened:
        yield opened


def test_in_this_process_a_future_is_done_when_it_is_given(here, expected):
    assert results(here) == expected
    steps = []
    future = submit(here, progress=lambda *step: steps.append(step))
    assert future.done()
    assert (steps[0], steps[-1]) == ((0, 12), (12, 12))
    assert steps == sorted(steps)
    assert len(set(steps)) > 3
    assert here.capacity == 1


def unreachable(candidate, seed):
    raise ConnectionError("the cluster is down")


def test_an_error_of_the_trainer_in_this_process_is_its_own(here):
    """No worker is lost, and another try would not mend it."""
    future = here.submit(FunctionTrainer(unreachable), task())
    with pytest.raises(ConnectionError, match="the cluster is down"):
        future.result(0)


def test_a_trainer_that_cannot_travel_is_one_sentence(here, two, dataset):
    local = FunctionTrainer(lambda candidate, seed: 0.5)
    assert [one.selected.accuracy for one in here.submit(local, task()).result()] == [0.5] * 4
    with open_workers(dataset, executor=ByHand()) as elsewhere:
        for opened in (two, elsewhere):
            with pytest.raises(SettingError, match=r"cannot be sent to other .*use one worker"):
                opened.submit(local, task())


def test_ctrl_c_gets_through_at_once(here):
    with pytest.raises(KeyboardInterrupt):
        submit(here, progress=lambda done, total: signal.raise_signal(signal.SIGINT))
    assert len(submit(here).result()) == 4


def test_worker_processes_give_the_same_bits(two, expected):
    """SLOW: each of the two processes takes seconds to start."""
    seen, threads = [], set()

    def progress(*step):
        seen.append(step)
        threads.add(threading.get_ident())

    assert results(two, progress) == expected
    assert (min(seen), max(seen)) == ((0, 12), (12, 12))
    assert threading.get_ident() not in threads
    assert two.capacity == 2
    assert len(two.executor.started) == 2
    steps = []
    submit(two, progress=lambda *step: steps.append(step)).result()
    assert steps == sorted(steps)
    assert steps[-1] == (12, 12)
    assert len(set(steps)) > 3


def test_errors_of_ours_come_through_a_process_as_they_are(two, here):
    with pytest.raises(SparsityError) as mine:
        submit(here, task(sparsity=1.5)).result()
    with pytest.raises(SparsityError) as theirs:
        submit(two, task(sparsity=1.5)).result()
    assert str(theirs.value) == str(mine.value)
    # A fault brings along where it was.
    with pytest.raises(AttributeError) as fault:
        submit(replace(two, data=None)).result()
    assert "in __call__" in "".join(fault.value.__notes__)


def start_long(opened, monkeypatch):
    """Return the Future of a task that would take hours, and its worker, which is at work."""
    at_work, run = [], processes._Process.run

    def noted(worker, *arguments):
        at_work.append(worker)
        return run(worker, *arguments)

    started = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(processes._Process, "run", noted)
        future = submit_long(opened, lambda done, total: done and started.set())
        assert started.wait(60)
    (worker,) = at_work
    return future, worker


def test_a_killed_worker_is_lost_alone_and_the_next_submit_works(two, expected, monkeypatch):
    """SLOW: lost workers are started anew."""
    deadly, busy = start_long(two, monkeypatch)
    other = submit(two, task(1))
    os.kill(busy.process.pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError, match=r"was killed by signal 9, by lack of memory") as lost:
        deadly.result(60)
    assert str(pickle.loads(pickle.dumps(lost.value))) == str(lost.value)
    assert comparable(other.result(60)) == expected[1]
    assert results(two) == expected
    assert len(two.executor.started) == 2


def test_a_worker_whose_progress_fails_is_ended_with_its_task(two):
    def fail(done, total):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        submit_long(two, fail).result(60)
    assert len(two.executor.started) == 1
    assert len(submit(two).result(60)) == 4


def test_ended_workers_end_what_they_do(two, monkeypatch):
    running, worker = start_long(two, monkeypatch)
    waiting = [submit_long(two) for _ in range(3)]
    started = [each.process for each in two.executor.started]
    assert worker.process in started
    two.executor.terminate_workers()
    assert all(future.done() for future in (running, *waiting))
    with pytest.raises(WorkerLostError):
        running.result(0)
    assert not any(process.is_alive() for process in started)
    two.executor.terminate_workers()


def test_the_end_of_the_block_ends_the_workers(dataset, monkeypatch):
    """However it ends."""
    ended, inner = [], processes.WorkerProcesses.terminate_workers
    monkeypatch.setattr(
        processes.WorkerProcesses, "terminate_workers", lambda own: ended.append(own) or inner(own)
    )
    with open_workers(dataset, workers=2) as opened:
        pass
    with pytest.raises(ZeroDivisionError), open_workers(dataset, workers=2) as other:
        raise ZeroDivisionError
    assert ended == [opened.executor, other.executor]


class ByHand(Executor):
    """An executor as anybody might write one: it does its work when it is asked to."""

    def __init__(self):
        self.queue, self.sent = [], []

    def submit(self, function, /, *arguments, **named):
        self.sent.append(len(pickle.dumps((function, arguments, named))))
        future = Future()
        self.queue.append((future, function, arguments, named))
        return future

    def work(self, error=None):
        for future, function, arguments, named in self.queue:
            if not future.set_running_or_notify_cancel():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(function(*arguments, **named))
        self.queue = []


def test_an_executor_by_hand(dataset, expected):
    executor = ByHand()
    with open_workers(dataset, executor=executor) as opened:
        futures = [submit(opened, task(k)) for k in range(3)]
        assert not any(future.done() for future in futures)
        executor.work()
        assert [comparable(future.result(0)) for future in futures] == expected
        assert max(executor.sent) < 5000  # the data stay where they are
        # Whoever no longer wants a result takes the task back.
        future = submit(opened)
        assert future.cancel()
        assert executor.queue[0][0].cancelled()
        executor.work()


@pytest.mark.parametrize("name", ["KilledWorker", "EOFError", "CommClosedError"])
def test_what_executors_call_a_lost_worker(dataset, name):
    kind = {"EOFError": EOFError}.get(name) or type(name, (Exception,), {})
    executor = ByHand()
    with open_workers(dataset, executor=executor) as opened:
        lost, fault, taken = (submit(opened) for _ in range(3))
        queue, executor.queue = executor.queue, executor.queue[:1]
        executor.work(kind("gone"))
        executor.queue = queue[1:2]
        executor.work(ValueError("a fault"))
        queue[2][0].cancel()
        with pytest.raises(WorkerLostError, match=rf"gone \({name}: gone\).*run it again"):
            lost.result(0)
        with pytest.raises(ValueError, match="a fault"):
            fault.result(0)
        with pytest.raises(WorkerLostError, match="cancelled"):
            taken.result(0)


def test_threads_of_an_executor(dataset, expected):
    with ThreadPoolExecutor(3) as pool, open_workers(dataset, executor=pool, threads=2) as opened:
        assert results(opened) == expected


def test_processes_of_an_executor(dataset, expected):
    """SLOW: a process of an executor, which is killed in the end."""
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        open_workers(dataset, executor=pool) as opened,
    ):
        assert comparable(submit(opened).result()) == expected[0]
        killed = pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL)
        after = submit(opened)
        assert killed.exception() is not None
        for future in (after, submit(opened)):
            with pytest.raises(WorkerLostError, match="BrokenProcessPool"):
                future.result(60)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"workers": 0}, "workers = 0 is below 1"),
        ({"threads": 0}, "threads = 0 is below 1"),
        ({"workers": 2, "executor": ByHand()}, "workers = 2 beside an executor"),
    ],
)
def test_bad_settings_are_one_sentence(dataset, settings, sentence):
    with pytest.raises(SettingError, match=sentence), open_workers(dataset, **settings):
        pass


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from bogp.pipeline import Candidate, PopulationTrainer, TrainingTask
from bogp.sparsify import Method
from bogp.pipeline.workers import open_workers
from bogp.training import Recipe

def work():
    with open_workers("ours.npz", workers=2) as opened:
        recipe = Recipe(learning_rate=0.01, batch_size=64, epochs=100000)
        trainer = PopulationTrainer("mlp:16", "hidden", recipe, "holdout", opened.data)
        task = TrainingTask((Candidate(None, Method("random"), 0.5),), (0,), 0)
        opened.submit(trainer, task, lambda done, _: print(done, flush=True)).result()

if __name__ == "__main__":
    try:
        work()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    work()
"""


def members(group):
    """Return the process ids of a process group that still runs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def wait_for_work(process):
    for line in process.stdout:
        if line.strip().isdigit() and int(line) > 0:
            break
    return members(process.pid)


@PROC
def test_workers_end_with_their_parent_and_say_nothing(tmp_path, dataset):
    """SLOW: Ctrl-C in a terminal is for the whole group; SIGKILL then for the parent alone."""
    parts = {"x_train": dataset.train_inputs, "x_test": dataset.test_inputs}
    parts |= {"y_train": dataset.train_targets, "y_test": dataset.test_targets}
    np.savez(tmp_path / "ours.npz", **{name: value.numpy() for name, value in parts.items()})
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, "script.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        before = wait_for_work(process)
        os.killpg(process.pid, signal.SIGINT)
        for line in process.stdout:
            if line == "interrupted\n":
                break
        after = wait_for_work(process)
        process.kill()
        gone = wait_until(lambda: not members(process.pid))
        for left in members(process.pid):
            os.kill(left, signal.SIGKILL)
        errors = process.stderr.read()
    assert len(before) >= 2
    assert len(after) >= 2
    assert gone
    assert errors == ""


def test_a_worker_that_cannot_start_is_one_sentence(dataset, monkeypatch, capfd):
    """As in a script that starts it without a guard, each time that the script is imported."""
    monkeypatch.setattr(processes, "_serve", operator.add)
    with open_workers(dataset, workers=2) as opened:
        future = submit(opened)
        with pytest.raises(SettingError, match=r"failed as it started.*__name__ == '__main__'"):
            future.result(60)
    assert "TypeError" in capfd.readouterr().err


def test_a_source_without_a_file_serves_one_process(dataset):
    with shared_data(dataset) as (_, source):
        assert source.source is None
