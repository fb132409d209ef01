"""Worker processes that heed no Ctrl-C and never outlive the process that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold a Ctrl-C back for the block: the processes it starts inherit that and never see one."""
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


def start_worker() -> None:
    """Prepare this worker process: Ctrl-C is its parent's to answer, and it ends with its parent.

    Called first thing in a process that was started under :func:`interrupts_deferred`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _exit_with_parent()


def _exit_with_parent() -> None:
    """End this process when its parent is gone, however that ended, SIGKILL included."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
