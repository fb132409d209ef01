"""The runner: jobs on several processes, every record on disk before the next is asked for."""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

import filelock
import torch

from bogp.cores import available_cores, use_at_most
from bogp.errors import DataError, StudyError
from bogp.experiments.jobs import Job, Place, run_job
from bogp.files import output_folder, write_atomic
from bogp.processes import interrupts_deferred, start_worker
from bogp.types import Progress

Records = dict[str, dict[str, Any]]

_ticks: Any = None  # A worker's queue of trainings done; set once, as the process starts.


def read_records(path: Path) -> Records:
    """Return key → record of a JSON-lines file; a last line torn by a kill does not count.

    Raises:
        DataError: a line other than the last is not a record.
    """
    if not path.exists():
        return {}
    lines = path.read_bytes().split(b"\n")
    records = {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            record = json.loads(line)
            records[record["key"]] = record
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise DataError(
                f"line {number} of {str(path)!r} is not a record ({error}): mend or delete it"
            ) from error
    return records


def run_jobs(
    jobs: Sequence[Job],
    place: Place,
    path: Path,
    *,
    workers: int,
    progress: Progress | None = None,
) -> Records:
    """Run the jobs that ``path`` has no record of and return key → record of all of them.

    A result does not depend on ``workers``: each job draws from its own seeds, and workers share
    the cores evenly, on which nothing depends but time. A kill loses at most the trainings in
    flight.

    Raises:
        StudyError: another process writes to the same file.
        BogpError: the first job that failed, by its own error.
    """
    output_folder(path.parent)
    output_folder(place.studies)
    try:
        with filelock.FileLock(f"{path}.lock", timeout=0):
            return _run(jobs, place, path, workers, progress or (lambda done, total: None))
    except filelock.Timeout:
        raise StudyError(
            f"{str(path)!r} is in use by another process: wait for it or give another --out"
        ) from None


def _run(
    jobs: Sequence[Job], place: Place, path: Path, workers: int, progress: Progress
) -> Records:
    records = read_records(path)
    if path.exists():
        # Written whole again, so that a torn last line is gone before anything is appended.
        write_atomic(path, "".join(json.dumps(record) + "\n" for record in records.values()))
    wanted = {job.key: job for job in jobs}
    missing = [job for key, job in wanted.items() if key not in records]
    # Long jobs first: the last one to end is then a short one.
    missing.sort(key=lambda job: -job.trainings)
    total = sum(job.trainings for job in wanted.values())
    done = total - sum(job.trainings for job in missing)
    progress(done, total)
    if missing:
        with path.open("a") as file:
            for record in _parallel(missing, place, workers, done, total, progress):
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
                records[record["key"]] = record
    progress(total, total)
    return {key: records[key] for key in wanted}


def _parallel(
    jobs: Sequence[Job],
    place: Place,
    workers: int,
    done: int,
    total: int,
    progress: Progress,
) -> Iterator[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    # The manager's process, too, must go when this one is killed and cannot tell it to.
    with interrupts_deferred():
        manager.start(start_worker)
    with manager:
        ticks = manager.Queue()
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)),
            mp_context=context,
            initializer=_start,
            initargs=(ticks, max(1, available_cores() // workers)),
        )
        try:
            with interrupts_deferred():
                pending: set[Future[dict[str, Any]]] = {pool.submit(_work, j, place) for j in jobs}
            while pending:
                ended, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                done = _drain(ticks, done)
                progress(min(done, total), total)
                # What ended well is recorded before the failure of another is raised.
                for future in sorted(ended, key=lambda job: job.exception() is not None):
                    yield future.result()
            pool.shutdown()
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                if child.name.startswith("SpawnProcess"):
                    child.terminate()
            if isinstance(error, BrokenProcessPool):
                raise StudyError(
                    "a worker process was killed, by lack of memory perhaps: what had ended is "
                    "recorded; run again, with fewer --workers"
                ) from error
            raise


def _drain(ticks: queue.Queue[int], done: int) -> int:
    while True:
        try:
            done += ticks.get_nowait()
        except queue.Empty:
            return done


def _start(ticks: Any, cores: int) -> None:
    """Prepare a worker: torch on one thread, populations on the worker's share of the cores."""
    global _ticks
    _ticks = ticks
    torch.set_num_threads(1)
    use_at_most(cores)
    start_worker()


def _work(job: Job, place: Place) -> dict[str, Any]:
    return run_job(job, place, _ticks.put)
