"""What a process has open while it works on a study: the study, the workers, the count."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from bogp.database import GraphDatabase
from bogp.errors import SettingError
from bogp.keys import content_key
from bogp.pipeline.trainer import PopulationTrainer, Trainer, check_trainer, trainer_name
from bogp.pipeline.workers import Workers
from bogp.settings.search import Execution, OnTrial, TrainingSettings
from bogp.study import Study
from bogp.types import Progress


@final
class Counter:
    """Trainings done of about as many as there will be; those under way count by their epochs.

    What it reports never falls, and ends at the total.
    """

    def __init__(self, progress: Progress | None, total: int, done: int = 0) -> None:
        self._progress, self._total, self._done = progress, total, done
        self._under_way: dict[int, float] = {}
        self._shown: tuple[int, int] | None = None
        self._thread = threading.get_ident()
        self.report()

    def expect(self, count: int) -> None:
        """Note that there will be ``count`` trainings more than was thought."""
        self._total += count

    def add(self, count: int) -> None:
        """Note that trainings ended."""
        self._done += count
        self.report()

    def under_way(self, key: int, size: int, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` epochs of a task of ``size`` trainings are done.

        It may be called from any thread.
        """
        self._under_way[key] = size * done / total if total else 0.0
        if threading.get_ident() == self._thread:
            self.report()

    def ended(self, key: int) -> None:
        """Note that a task is no longer under way."""
        self._under_way.pop(key, None)

    def report(self) -> None:
        """Tell how far it all is, if that has changed; called in the thread of the loop alone."""
        if self._progress is None:
            return
        now = min(self._done + int(sum(list(self._under_way.values()))), self._total)
        shown = (max(now, 0 if self._shown is None else self._shown[0]), self._total)
        if shown != self._shown:
            self._shown = shown
            self._progress(*shown)


@dataclass(frozen=True)
class Session:
    """What a process has open while it works on a study.

    Attributes:
        study: where everything is stored before anything else is done.
        workers: where tasks are trained.
        trainer: what trains them.
        counter: how far it all is.
        fields: all that can change a result, as a JSON object.
        on_trial: called with each trial as it ends.
    """

    study: Study
    workers: Workers
    trainer: Trainer
    counter: Counter
    fields: Mapping[str, Any]
    on_trial: OnTrial | None = None


@contextlib.contextmanager
def open_session(
    workers: Workers,
    settings: TrainingSettings,
    execution: Execution,
    fields: Mapping[str, Any],
    count: Callable[[Study], tuple[int, int]],
    *,
    shown: Any,
    objectives: Sequence[str] = ("accuracy",),
    trainer: Trainer | None = None,
    command: Mapping[str, Any],
) -> Iterator[Session]:
    """Open a study for as long as the block runs.

    Args:
        workers: where tasks are trained.
        settings: what all trainings share.
        execution: how the study is carried out.
        fields: all that can change a result, as a JSON object; a trainer's name is added.
        count: from the study to the trainings that there will be in all, and those that are done.
        shown: ranges and choices of the parameters that a dashboard shows.
        objectives: what is maximised.
        trainer: trains instead of bogp's own.
        command: what `bogp study resume` goes on with.

    Raises:
        SettingError: the trainer cannot be called as one.
        StudyError: the study is in use, or was made with other settings.
    """
    if trainer is not None:
        check_trainer(trainer)
        fields = {**fields, "trainer": trainer_name(trainer)}
    with Study(
        execution.study,
        fields,
        name=study_name(execution.name, fields),
        objectives=objectives,
        space=shown,
        retries=execution.retries,
    ) as study:
        study.note("command", dict(command))
        chosen = trainer or PopulationTrainer.of(settings, workers.data)
        counter = Counter(execution.progress, *count(study))
        yield Session(study, workers, chosen, counter, fields, execution.on_trial)


def open_database(
    database: GraphDatabase | str | os.PathLike[str], stack: contextlib.ExitStack
) -> GraphDatabase:
    """Return a database that is given, or open its file until ``stack`` is closed.

    Raises:
        SettingError: it is neither.
    """
    if isinstance(database, GraphDatabase):
        return database
    if not isinstance(database, str | os.PathLike):
        raise SettingError(
            f"database {database!r} is none: give a bogp.GraphDatabase or the path of its file"
        )
    return stack.enter_context(GraphDatabase.open(database))


def study_name(name: str | None, fields: Mapping[str, Any]) -> str:
    """Return the name of a study: its own, or that of its settings' key.

    >>> study_name("mine", {}), len(study_name(None, {"sparsity": 0.9}))
    ('mine', 16)
    """
    return content_key(fields) if name is None else name
