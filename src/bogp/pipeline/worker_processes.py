"""Worker processes: each has one task at a time and a thread here that waits for it.

A worker that dies takes nothing with it but its own task, unlike one of a ProcessPoolExecutor,
whose death fails all that it was given; and the thread starts another for the next task.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, final

from bogp.data import Dataset
from bogp.errors import BogpError, SettingError, WorkerLostError
from bogp.pipeline.evaluation import (
    Evaluator,
    PopulationTask,
    Result,
    evaluate_packed,
)
from bogp.pipeline.shared_data import DataSource
from bogp.processes import interrupts_deferred, start_worker
from bogp.types import Progress

_READY, _PROGRESS, _DONE, _FAILED = "ready", "progress", "done", "failed"


@final
class Processes(Evaluator):
    """So many worker processes on this machine, started as they are needed."""

    def __init__(self, dataset: Dataset, data: DataSource, workers: int, threads: int) -> None:
        super().__init__(dataset, data)
        self.capacity, self.threads = workers, threads
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="bogp-worker")
        self.own = threading.local()
        self.started: set[_Worker] = set()
        self.lock, self.closed = threading.Lock(), False

    def submit(self, task: PopulationTask, progress: Progress | None = None) -> Future[Result]:
        """Queue a task for the next free worker."""
        return self.pool.submit(self._evaluate, pickle.dumps(task), progress)

    def close(self) -> None:
        """End the workers; what is under way ends as if they were lost."""
        with self.lock:
            self.closed = True
            for worker in self.started:
                worker.end()
        self.pool.shutdown(cancel_futures=True)
        for worker in self.started:
            worker.process.join()
        self.started.clear()

    def _evaluate(self, packed: bytes, progress: Progress | None) -> Result:
        worker = self._worker()
        try:
            kind, content = worker.evaluate(packed, progress)
        except BaseException:
            # It is gone, or still busy with a task whose progress nobody could be told.
            self._forget(worker)
            raise
        if kind == _FAILED:
            raise content
        result: Result = pickle.loads(content)
        return result

    def _worker(self) -> _Worker:
        """Return the living worker of this thread."""
        worker: _Worker | None = getattr(self.own, "worker", None)
        if worker is not None and worker.process.is_alive():
            return worker
        if worker is not None:
            self._forget(worker)
        with self.lock:
            if self.closed:
                raise WorkerLostError("the workers have been ended: open another evaluator")
            worker = self.own.worker = _Worker(self.threads)
            self.started.add(worker)
        worker.wait_until_ready()
        return worker

    def _forget(self, worker: _Worker) -> None:
        self.own.worker = None
        with self.lock:
            self.started.discard(worker)
        worker.end()


@final
class _Worker:
    """One process, and the pipe to it."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        with interrupts_deferred():
            self.process.start()
        # Held by the worker alone, it tells when that is gone.
        theirs.close()

    def wait_until_ready(self) -> None:
        """Wait for the process to be up.

        Raises:
            SettingError: it ended in an error, as where the script that uses it is not guarded.
            WorkerLostError: it was killed.
        """
        try:
            self._receive()
        except WorkerLostError as error:
            if (self.process.exitcode or 0) <= 0:
                raise
            raise SettingError(
                "a worker process failed as it started, for the reason printed above: in a script, "
                "guard what is run by if __name__ == '__main__':, or use one worker"
            ) from error

    def evaluate(self, packed: bytes, progress: Progress | None) -> tuple[str, Any]:
        """Return what became of a pickled task: a pickled result, or the error that it raised.

        Raises:
            WorkerLostError: the process is gone.
        """
        try:
            self.pipe.send_bytes(packed)
        except OSError as error:
            raise self._lost() from error
        while True:
            kind, content = self._receive()
            if kind != _PROGRESS:
                return kind, content
            if progress is not None:
                progress(*content)

    def end(self) -> None:
        """End the process, whatever it does; it holds nothing that could be lost."""
        self.process.terminate()

    def _receive(self) -> tuple[str, Any]:
        try:
            message: tuple[str, Any] = pickle.loads(self.pipe.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._lost() from error
        return message

    def _lost(self) -> WorkerLostError:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return WorkerLostError(
            f"worker process {self.process.pid} {how}, by lack of memory perhaps: run it again, "
            "with fewer workers or smaller populations"
        )


def _serve(pipe: Connection, threads: int) -> None:
    """Evaluate what comes through ``pipe`` for as long as its other end is open."""
    start_worker()

    def send(kind: str, content: Any = None) -> None:
        pipe.send_bytes(pickle.dumps((kind, content)))

    send(_READY)
    with contextlib.suppress(EOFError, OSError):
        while True:
            packed = pipe.recv_bytes()
            try:
                found = evaluate_packed(packed, threads, lambda *step: send(_PROGRESS, step))
            except Exception as error:
                send(_FAILED, _sendable(error))
            else:
                send(_DONE, found)


def _sendable(error: Exception) -> Exception:
    """Return an error that arrives as it was sent, with where it came from if it is a fault."""
    if isinstance(error, BogpError):
        return error
    text = "".join(traceback.format_exception(error))
    error.add_note(f"in a worker process:\n{text}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error
