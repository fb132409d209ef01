"""Worker processes: they heed no Ctrl-C and never outlive the process that started them.

Each has a thread here, which gives it one task at a time and waits for it. A process that dies
takes nothing with it but its own task, unlike one of a ProcessPoolExecutor, whose death fails all
that was submitted; its thread starts another process for the next task.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar, final

from bogp.cores import available_cores, use_at_most
from bogp.errors import BogpError, SettingError, WorkerLostError
from bogp.types import Progress

Found = TypeVar("Found")

_READY, _PROGRESS, _DONE, _FAILED = "ready", "progress", "done", "failed"


@final
class WorkerProcesses(Executor):
    """An Executor of processes on this machine, each started when a task first needs it.

    As with ``multiprocessing``, a script that uses it guards its own start by
    ``if __name__ == "__main__":``. A ``with`` block waits for its tasks, but one that an error or
    Ctrl-C leaves ends them at once.

    Args:
        workers: the number of processes.
        threads: the cores that each may use; by default they share all cores evenly.

    Attributes:
        capacity: tasks that are worked on at one time.
        threads: the cores that each process may use.
    """

    def __init__(self, workers: int, threads: int | None = None) -> None:
        self.capacity = workers
        self.threads = threads or max(1, available_cores() // workers)
        self.started: set[_Process] = set()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="bogp-worker")
        self._own = threading.local()
        self._lock, self._ended = threading.Lock(), False

    def submit(  # type: ignore[override]  # (an Executor's, and progress)
        self,
        function: Callable[..., Found],
        /,
        *args: Any,
        progress: Progress | None = None,
        **kwargs: Any,
    ) -> Future[Found]:
        """Return the Future of ``function(*args, **kwargs)`` in the next free process.

        Function, arguments and result travel by plain pickle. The Future raises what the function
        raised, or :class:`bogp.errors.WorkerLostError` where its process is gone, which another try
        may mend.

        With ``progress`` the function is given a ``progress=`` of its own, and each call of that
        is a call of this one, from a thread that is not the caller's.
        """
        task = pickle.dumps((function, args, kwargs, progress is not None))
        return self._pool.submit(self._run, task, progress)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and end the processes when those submitted are done.

        Without ``wait`` this returns at once, and the processes end with this one.
        """
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            self.terminate_workers()

    def terminate_workers(self) -> None:
        """End the processes at once; what they work on ends as if they were lost."""
        with self._lock:
            self._ended = True
            for process in self.started:
                process.end()
        self._pool.shutdown(cancel_futures=True)
        for process in self.started:
            process.process.join()
        self.started.clear()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.shutdown()
        else:
            self.terminate_workers()

    def _run(self, task: bytes, progress: Progress | None) -> Any:
        process = self._process()
        try:
            kind, content = process.run(task, progress)
        except BaseException:
            # It is gone, or still busy with a task whose progress nobody could be told.
            self._forget(process)
            raise
        if kind == _FAILED:
            raise content
        return content

    def _process(self) -> _Process:
        """Return the living process of this thread."""
        process: _Process | None = getattr(self._own, "process", None)
        if process is not None and process.process.is_alive():
            return process
        if process is not None:
            self._forget(process)
        with self._lock:
            if self._ended:
                raise WorkerLostError("the worker processes have been ended: start others")
            process = self._own.process = _Process(self.threads)
            self.started.add(process)
        process.wait_until_ready()
        return process

    def _forget(self, process: _Process) -> None:
        self._own.process = None
        with self._lock:
            self.started.discard(process)
        process.end()


@final
class _Process:
    """One process, and the pipe to it."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        with _interrupts_deferred():
            self.process.start()
        # Held by the process alone, this end tells when that is gone.
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

    def run(self, task: bytes, progress: Progress | None) -> tuple[str, Any]:
        """Return what became of a pickled task: its result, or the error that it raised.

        Raises:
            WorkerLostError: the process is gone.
        """
        try:
            self.pipe.send_bytes(task)
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
            packed = self.pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        message: tuple[str, Any] = pickle.loads(packed)
        return message

    def _lost(self) -> WorkerLostError:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return WorkerLostError(
            f"worker process {self.process.pid} {how}, by lack of memory perhaps: run it again, "
            "with fewer workers or smaller populations"
        )


@contextlib.contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Hold a Ctrl-C back for the block: the process it starts inherits that and never sees one."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Started with the first process otherwise, whose signals Python 3.11 then lets through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, threads: int) -> None:
    """Do the tasks that come through ``pipe`` for as long as its other end is open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _exit_with_parent()
    use_at_most(threads)

    def relay(done: int, total: int) -> None:
        pipe.send_bytes(pickle.dumps((_PROGRESS, (done, total))))

    with contextlib.suppress(EOFError, OSError):
        pipe.send_bytes(pickle.dumps((_READY, None)))
        while True:
            task = pipe.recv_bytes()
            try:
                function, args, kwargs, relayed = pickle.loads(task)
                if relayed:
                    kwargs["progress"] = relay
                answer = pickle.dumps((_DONE, function(*args, **kwargs)))
            except Exception as error:
                answer = pickle.dumps((_FAILED, _sendable(error)))
            pipe.send_bytes(answer)


def _exit_with_parent() -> None:
    """End this process when its parent is gone, however that ended, SIGKILL included."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
