"""Where tasks are trained: in this process, in worker processes, or on any Executor.

All three give the same results, bit for bit on one kind of machine.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import final

from bogp.data import Dataset
from bogp.errors import SettingError, WorkerLostError
from bogp.pipeline.shared_data import DataSource, shared_data
from bogp.pipeline.trainer import Results, Trainer, TrainingTask, train_packed, trained
from bogp.processes import WorkerProcesses
from bogp.types import Progress


@contextlib.contextmanager
def open_workers(
    data: Dataset | str | os.PathLike[str],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    threads: int | None = None,
) -> Iterator[Workers]:
    """Open somewhere to train on ``data``; the end of the block ends the processes.

    Args:
        data: a dataset, or its name or path, which workers then load by themselves.
        workers: 1 trains in this process: ``submit`` returns when the task is done, and Ctrl-C
            interrupts it. More are processes of their own, which heed no Ctrl-C and end with
            this one, however it ends. As with ``multiprocessing``, a script that uses them guards
            its own start by ``if __name__ == "__main__":``.
        executor: any Executor to train on instead, here or on other machines; it is not shut
            down. Its tasks need bogp, and the data by a name or path that they have too.
        threads: CPU threads of each task; by default all cores for one worker, the cores shared
            evenly by several, and 1 on an executor. No result depends on it.

    Raises:
        SettingError: fewer than one worker or thread, or workers beside an executor.
        DataError, UnknownNameError, OutputError: see :func:`shared_data`.
    """
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise SettingError(f"{name} = {value} is below 1: give at least one")
    if executor is not None and workers != 1:
        raise SettingError(
            f"workers = {workers} beside an executor, which has its own: give one of the two"
        )
    alone = workers == 1 and executor is None
    with shared_data(data, stored=not alone, named=executor is not None) as (dataset, source):
        if alone or executor is not None:
            yield Workers(dataset, source, executor, threads)
            return
        processes = WorkerProcesses(workers, threads)
        try:
            yield Workers(dataset, source, processes, threads)
        finally:
            processes.terminate_workers()


@final
@dataclass(frozen=True)
class Workers:
    """Something that trains tasks.

    Attributes:
        dataset: the data, in this process.
        data: where each process finds them.
        executor: where tasks are trained; None is this process.
        threads: CPU threads of each task.
    """

    dataset: Dataset
    data: DataSource
    executor: Executor | None = None
    threads: int | None = None

    @property
    def capacity(self) -> int:
        """Tasks that are worked on at one time; nobody knows that of somebody else's executor."""
        if self.executor is None:
            return 1
        return getattr(self.executor, "capacity", sys.maxsize)

    def submit(
        self, trainer: Trainer, task: TrainingTask, progress: Progress | None = None
    ) -> Future[Results]:
        """Return the Future of a task's results.

        It raises :class:`bogp.errors.WorkerLostError` where the process that trained is gone,
        which another try may mend, and otherwise what the trainer raised.

        Args:
            trainer: trains it.
            task: what to train.
            progress: called with (epochs done, epochs in all) of the task: in this process as
                they are done, by worker processes too, but from a thread of its own; elsewhere not.

        Raises:
            SettingError: the trainer is to go to other processes, and cannot be pickled.
        """
        future: Future[Results] = Future()
        if self.executor is None:
            try:
                found = trained(trainer, task, threads=self.threads, progress=progress)
                future.set_result(found)
            except Exception as error:  # not a Ctrl-C, which is for the caller
                future.set_exception(error)
            return future
        try:
            if isinstance(self.executor, WorkerProcesses):
                threads = self.executor.threads
                return self.executor.submit(
                    trained, trainer, task, threads=threads, progress=progress
                )
            packed = pickle.dumps((trainer, task))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise SettingError(
                f"the trainer cannot be sent to other processes ({error}): define what it calls in "
                "a module that they can import, or use one worker"
            ) from error
        try:
            inner = self.executor.submit(train_packed, packed, self.threads or 1)
        except Exception as error:
            future.set_exception(_translated(error))
            return future
        inner.add_done_callback(partial(_hand_over, future))
        future.add_done_callback(lambda outer: outer.cancelled() and inner.cancel())
        return future


def _hand_over(future: Future[Results], inner: Future[bytes]) -> None:
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
