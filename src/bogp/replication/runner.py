"""The runner: jobs on several processes, every record on disk before the next is asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import filelock

from bogp.cores import available_cores, torch_threads
from bogp.errors import DataError, StudyError
from bogp.files import output_folder, write_atomic
from bogp.processes import WorkerProcesses
from bogp.replication.jobs import Job, Place, run_job
from bogp.types import Progress

Records = dict[str, dict[str, Any]]


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
        WorkerLostError: a worker was killed; what had ended is recorded.
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
    """Yield the record of each job as it ends; a failure comes after what ended well beside it."""
    trained = dict.fromkeys((job.key for job in jobs), 0)
    with WorkerProcesses(min(workers, len(jobs)), max(1, available_cores() // workers)) as here:

        def submit(job: Job) -> Future[dict[str, Any]]:
            def note(now: int, _: int) -> None:
                trained[job.key] = now

            return here.submit(_work, job, place, progress=note)

        pending = {submit(job) for job in jobs}
        while pending:
            ended, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            progress(min(done + sum(trained.values()), total), total)
            for future in sorted(ended, key=lambda job: job.exception() is not None):
                yield future.result()


def _work(job: Job, place: Place, progress: Progress) -> dict[str, Any]:
    """Run a job in a worker: torch on one thread, populations on the worker's share of cores."""
    ticked = 0

    def tick(trainings: int) -> None:
        nonlocal ticked
        ticked += trainings
        progress(ticked, job.trainings)

    with torch_threads(1):
        return run_job(job, place, tick)
