"""Where populations are evaluated: in this process, on worker processes, or on any Executor.

All three give the same results, bit for bit on one kind of machine.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from typing import final

from bogp.data import Dataset
from bogp.errors import SettingError
from bogp.errors import WorkerLostError as WorkerLostError
from bogp.pipeline.evaluation import Evaluator as Evaluator
from bogp.pipeline.evaluation import (
    PopulationTask,
    Result,
    evaluate_packed,
    evaluate_population,
)
from bogp.pipeline.shared_data import DataSource, shared_data
from bogp.processes import WorkerProcesses
from bogp.types import Progress


@contextlib.contextmanager
def evaluator(
    data: Dataset | str | os.PathLike[str],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    threads: int | None = None,
) -> Iterator[Evaluator]:
    """Open somewhere to evaluate tasks on ``data``; the end of the block ends the workers.

    Args:
        data: a dataset, or its name or path, which workers then load by themselves.
        workers: 1 evaluates in this process: ``submit`` returns when the task is done, and Ctrl-C
            interrupts it. More are processes of their own, which heed no Ctrl-C and end with
            this one, however it ends. As with ``multiprocessing``, a script that uses them guards
            its own start by ``if __name__ == "__main__":``.
        executor: any Executor to evaluate on instead, here or on other machines; it is not shut
            down. Its tasks need bogp, and the data by a name or path that they have too.
        threads: CPU threads of each evaluation; by default all cores for one worker, the cores
            shared evenly by several, and 1 on an executor. No result depends on it.

    Raises:
        SettingError: fewer than one worker or thread, or workers beside an executor.
        DataError, UnknownNameError, OutputError: see :func:`shared_data`.
    """
    _check(workers, executor, threads)
    alone = workers == 1 and executor is None
    with shared_data(data, stored=not alone, named=executor is not None) as (dataset, source):
        opened: Evaluator
        if executor is not None:
            opened = _Elsewhere(dataset, source, executor, threads or 1)
        elif alone:
            opened = _Here(dataset, source, threads)
        else:
            opened = _Workers(dataset, source, workers, threads)
        try:
            yield opened
        finally:
            opened.close()


def _check(workers: int, executor: Executor | None, threads: int | None) -> None:
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise SettingError(f"{name} = {value} is below 1: give at least one")
    if executor is not None and workers != 1:
        raise SettingError(
            f"workers = {workers} beside an executor, which has its own: give one of the two"
        )


@final
class _Here(Evaluator):
    """The process at hand."""

    def __init__(self, dataset: Dataset, data: DataSource, threads: int | None) -> None:
        super().__init__(dataset, data)
        self.threads = threads

    def submit(self, task: PopulationTask, progress: Progress | None = None) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(evaluate_population(task, progress, threads=self.threads))
        except Exception as error:  # not a Ctrl-C, which is for the caller
            future.set_exception(error)
        return future


@final
class _Workers(Evaluator):
    """Worker processes on this machine."""

    def __init__(
        self, dataset: Dataset, data: DataSource, workers: int, threads: int | None
    ) -> None:
        super().__init__(dataset, data)
        self.processes = WorkerProcesses(workers, threads)
        self.capacity = workers

    def submit(self, task: PopulationTask, progress: Progress | None = None) -> Future[Result]:
        threads = self.processes.threads
        return self.processes.submit(evaluate_population, task, threads=threads, progress=progress)

    def close(self) -> None:
        self.processes.terminate_workers()


@final
class _Elsewhere(Evaluator):
    """An executor of somebody else's, which queues what it is given."""

    capacity = sys.maxsize

    def __init__(
        self, dataset: Dataset, data: DataSource, executor: Executor, threads: int
    ) -> None:
        super().__init__(dataset, data)
        self.executor, self.threads = executor, threads

    def submit(self, task: PopulationTask, progress: Progress | None = None) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            inner = self.executor.submit(evaluate_packed, pickle.dumps(task), self.threads)
        except Exception as error:
            future.set_exception(_translated(error))
            return future
        inner.add_done_callback(partial(_hand_over, future))
        future.add_done_callback(lambda outer: outer.cancelled() and inner.cancel())
        return future


def _hand_over(future: Future[Result], inner: Future[bytes]) -> None:
    """Give ``future`` what became of ``inner``, unless nobody wants it any more."""
    if not future.set_running_or_notify_cancel():
        return
    if inner.cancelled():
        future.set_exception(WorkerLostError("the executor cancelled a task: run it again"))
        return
    error = inner.exception()
    if error is None:
        future.set_result(pickle.loads(inner.result()))
    else:
        future.set_exception(_translated(error))


_LOST = (BrokenExecutor, ConnectionError, EOFError)
_LOST_NAMES = ("KilledWorker", "CommClosedError")
"""What executors raise where a process is gone; those of Dask by name, which need not be here."""


def _translated(error: BaseException) -> BaseException:
    """Return a lost worker as :class:`bogp.errors.WorkerLostError`, any other error as it is."""
    if not isinstance(error, _LOST) and type(error).__name__ not in _LOST_NAMES:
        return error
    lost = WorkerLostError(
        f"a worker of the executor is gone ({type(error).__name__}: {error}), by lack of memory "
        "perhaps: run it again, with fewer workers or smaller populations"
    )
    lost.__cause__ = error
    return lost
