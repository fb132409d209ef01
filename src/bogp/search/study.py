"""The study: trials on disk as they end, over Optuna's storage."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import filelock
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from bogp.errors import StudyError
from bogp.files import output_folder
from bogp.keys import content_key
from bogp.search.engines import Proposal, Space

_NAME = "bogp"


@dataclass(frozen=True)
class FinishedTrial:
    """One evaluation of a mask: what was proposed, what it got, and its whole record."""

    number: int
    proposal: Proposal
    value: float
    record: Mapping[str, Any]


@final
class Study:
    """One optimisation, kept in a file; open in one process at a time.

    ``path`` None keeps the study in memory. A study that is opened again goes on where it
    stopped: a trial that was running when the process died is marked failed and is not counted.

    Raises:
        StudyError: the file is in use, is no study, or was made with other settings.
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: Mapping[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self._lock = None if self.path is None else _lock(self.path)
        try:
            self._study = _open(self.path)
            self._check(settings)
            self._fail_running()
        except (SQLAlchemyError, OptunaError) as error:
            self.close()
            raise _unreadable(self.path, error) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another process open the study."""
        if self._lock is not None:
            self._lock.release()

    def trials(self) -> tuple[FinishedTrial, ...]:
        """Return the finished trials in the order in which they ended."""
        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return tuple(
            FinishedTrial(
                number,
                _proposal(trial.user_attrs["proposal"]),
                float(trial.values[0]),
                trial.user_attrs["record"],
            )
            for number, trial in enumerate(done)
        )

    def begin(self, proposal: Proposal, space: Space) -> optuna.Trial:
        """Record that ``proposal`` is being evaluated."""
        self._study.enqueue_trial(_parameters(proposal))
        trial = self._study.ask(_distributions(proposal, space))
        trial.set_user_attr(
            "proposal", {"vector": dict(proposal.vector), "graph_id": proposal.graph_id}
        )
        return trial

    def finish(self, trial: optuna.Trial, value: float, record: Mapping[str, Any]) -> None:
        """Record the value of a trial that :meth:`begin` gave, before anything else is tried."""
        trial.set_user_attr("record", dict(record))
        self._study.tell(trial, value)

    def note(self, name: str, value: Any) -> None:
        """Record a JSON value of the study as a whole."""
        self._study.set_user_attr(name, value)

    def noted(self, name: str, default: Any = None) -> Any:
        """Return what :meth:`note` recorded."""
        return self._study.user_attrs.get(name, default)

    def _check(self, settings: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(dict(settings)))
        stored = self.noted("settings")
        if stored is None:
            if self._study.get_trials(deepcopy=False):
                raise StudyError(f"{str(self.path)!r} holds a study that bogp did not make")
            self.note("settings", wanted)
            self.note("key", content_key(wanted))
            return
        other = sorted(k for k in {*stored, *wanted} if stored.get(k) != wanted.get(k))
        if other:
            name = other[0]
            raise StudyError(
                f"study {str(self.path)!r} was made with {name} = {stored.get(name)!r}, not "
                f"{wanted.get(name)!r}: give the same settings to resume it, or another file"
            )

    def _fail_running(self) -> None:
        unfinished = (TrialState.RUNNING, TrialState.WAITING)
        for trial in self._study.get_trials(deepcopy=False, states=unfinished):
            if trial.state == TrialState.WAITING:
                # Optuna can only fail a trial that runs, and ask() takes the waiting one first.
                self._study.ask()
            self._study.tell(trial.number, state=TrialState.FAIL)


def _lock(path: Path) -> filelock.BaseFileLock:
    output_folder(path.parent)
    lock = filelock.FileLock(f"{path}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise StudyError(
            f"study {str(path)!r} is in use by another process: wait for it or give another file"
        ) from None
    return lock


def _refuse_foreign(path: Path) -> None:
    """Raise unless ``path`` is free, or a file in which Optuna already keeps studies."""
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as db:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{str(path)!r} is not a study ({error}): give another file") from error
    if tables and "version_info" not in tables:
        raise StudyError(f"{str(path)!r} is a database but not a study: give another file")


def _open(path: Path | None) -> optuna.Study:
    if path is not None:
        _refuse_foreign(path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=_url(path), study_name=_NAME, direction="maximize", load_if_exists=True
        )
    except RuntimeError as error:
        raise _unreadable(path, error) from error


def _url(path: Path | None) -> str | None:
    """Return the address of a file: "?" and "%" in its name quoted, and Optuna's braces doubled."""
    if path is None:
        return None
    address = URL.create("sqlite", database=str(path)).render_as_string()
    return address.replace("{", "{{").replace("}", "}}")


def _unreadable(path: Path | None, error: Exception) -> StudyError:
    reason = str(error.__cause__ or error).splitlines()[0]
    return StudyError(
        f"{str(path)!r} is not a study that can be opened ({reason}): give another file"
    )


def _parameters(proposal: Proposal) -> dict[str, float | int]:
    if proposal.graph_id is not None:
        return {"graph_id": proposal.graph_id}
    return dict(proposal.vector)


def _distributions(proposal: Proposal, space: Space) -> dict[str, BaseDistribution]:
    if proposal.graph_id is not None:
        ids = space.graph_ids
        return {"graph_id": IntDistribution(int(ids.min()), int(ids.max()))}
    return {name: FloatDistribution(low, high) for name, (low, high) in space.bounds.items()}


def _proposal(stored: Mapping[str, Any]) -> Proposal:
    return Proposal(stored["vector"], stored["graph_id"])
