"""Records: each job is run once, on several processes, and its result is on disk when it ends."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import filelock

from bogp.checksums import sealed, unsealed
from bogp.cores import available_cores, torch_threads
from bogp.errors import DataError, StudyError
from bogp.files import output_folder, write_atomic
from bogp.outside import parsed
from bogp.processes import WorkerProcesses
from bogp.replication.jobs import Job, Records
from bogp.replication.trainings import run_job
from bogp.types import Progress


@dataclass(frozen=True)
class Row:
    """One row of a table: which records it is made of, and which of their numbers.

    Attributes:
        label: what the row is called.
        kind: the kind of its records.
        number: name of the number in a result; where it is a list, one seed's value is the mean.
        fields: what distinguishes its records from others of that kind.
    """

    label: str
    kind: str
    number: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def values(self, records: Records, **where: Any) -> list[float]:
        """Return the numbers of the records whose fields are as wanted, one a seed, by seed."""
        found = pick(records, self.kind, **{**where, **self.fields})
        return [mean(record["result"][self.number]) for record in found]


def pick(records: Records, kind: str, **wanted: Any) -> list[dict[str, Any]]:
    """Return the records of one kind whose fields have the wanted values, by seed."""
    found = [
        record
        for record in records.values()
        if record["kind"] == kind
        and all(record["fields"].get(name) == value for name, value in wanted.items())
    ]
    return sorted(found, key=lambda record: int(record["fields"]["seed"]))


def mean(numbers: float | Sequence[float]) -> float:
    """Return the mean of some numbers, or the one number."""
    return sum(numbers) / len(numbers) if isinstance(numbers, Sequence) else numbers


_WHOLE = re.compile(rb'"checksum": "[0-9a-f]{8}"\}')
"""How a line ends that was written whole."""


def record_line(record: Mapping[str, Any]) -> str:
    """Return the line of a record, with its checksum."""
    return json.dumps(sealed(record)) + "\n"


def read_records(path: Path) -> Records:
    """Return the records of a JSON-lines file; a last line torn by a kill does not count.

    Raises:
        DataError: a line is no record, or not the one that was written.
    """
    if not path.exists():
        return {}
    lines = path.read_bytes().split(b"\n")
    records = {}
    for number, line in enumerate(lines, 1):
        if not line or (number == len(lines) and _is_torn(line)):
            continue
        try:
            record = unsealed(parsed(dict[str, Any], line))
            records[record["key"]] = record
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"line {number} of {str(path)!r} is not a record ({error}): restore a copy of the "
                "file, or delete the line to have it trained again"
            ) from error
    return records


def _is_torn(line: bytes) -> bool:
    """Return whether a line without its end is what a kill leaves: the beginning of a record."""
    text = line.decode("ascii", errors="replace")
    return text.isascii() and text.isprintable() and _WHOLE.search(line) is None


def run_jobs(
    jobs: Sequence[Job], folder: Path, *, workers: int, progress: Progress | None = None
) -> Records:
    """Run the jobs that ``folder/records.jsonl`` has no record of; return the records of all.

    A result does not depend on ``workers``: each job draws from its own seeds, and workers share
    the cores evenly, on which nothing depends but time. A kill loses at most the trainings in
    flight: searches go on from their studies in ``folder/work/studies``.

    Args:
        jobs: what is wanted.
        folder: where the records are.
        workers: processes.
        progress: called with (trainings done, trainings in all).

    Raises:
        StudyError: another process writes to the same folder.
        WorkerLostError: a process was killed; what had ended is recorded.
        BogpError: the first job that failed, by its own error.
    """
    path = output_folder(folder) / "records.jsonl"
    try:
        with filelock.FileLock(f"{path}.lock", timeout=0):
            records = read_records(path)
            if path.exists():
                # Written whole again: a torn last line is gone before anything is appended.
                write_atomic(path, "".join(map(record_line, records.values())))
            return _run(jobs, records, path, workers, progress or (lambda done, total: None))
    except filelock.Timeout:
        raise StudyError(
            f"{str(path)!r} is in use by another process: wait for it or give another --out"
        ) from None


def _run(
    jobs: Sequence[Job], records: Records, path: Path, workers: int, progress: Progress
) -> Records:
    """Run the jobs that have no record, and add their records to the file and to ``records``."""
    wanted = {job.key: job for job in jobs}
    trained = {key: job.trainings if key in records else 0 for key, job in wanted.items()}
    total = sum(job.trainings for job in wanted.values())
    missing = [job for key, job in wanted.items() if key not in records]
    progress(sum(trained.values()), total)
    if missing:
        with path.open("a") as file:
            for record in _parallel(missing, path.parent / "work" / "studies", workers, trained):
                if record is not None:
                    file.write(record_line(record))
                    file.flush()
                    os.fsync(file.fileno())
                    records[record["key"]] = record
                progress(sum(trained.values()), total)
    return {key: records[key] for key in wanted}


def _parallel(
    jobs: Sequence[Job], studies: Path, workers: int, trained: dict[str, int]
) -> Iterator[dict[str, Any] | None]:
    """Yield the record of each job as it ends, and None while there is none.

    Meanwhile ``trained`` counts the trainings of each job. What ended well is yielded before the
    failure of another is raised.
    """
    output_folder(studies)

    def note(job: Job, done: int, _: int) -> None:
        trained[job.key] = min(done, job.trainings)

    threads = max(1, available_cores() // workers)
    with WorkerProcesses(min(workers, len(jobs)), threads) as processes:
        # Long jobs first: the last one to end is then a short one.
        pending = {
            processes.submit(_work, job, studies, progress=partial(note, job)): job
            for job in sorted(jobs, key=lambda job: -job.trainings)
        }
        while pending:
            ended, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in sorted(ended, key=lambda each: each.exception() is not None):
                job = pending.pop(future)
                record = future.result()
                trained[job.key] = job.trainings
                yield record
            yield None


def _work(job: Job, studies: Path, progress: Progress) -> dict[str, Any]:
    """Run a job in a worker: torch on one thread, populations on the worker's share of cores."""
    with torch_threads(1):
        return run_job(job, studies, progress)
