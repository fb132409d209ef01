"""Search: one function for every engine."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import Executor
from dataclasses import replace

from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.errors import SettingError
from bogp.graphs import PAPER_FIVE
from bogp.pipeline.paper_search import paper_search
from bogp.pipeline.pool_search import open_pool_study, run_pool_search
from bogp.pipeline.records import plain_settings
from bogp.pipeline.results import SearchResult
from bogp.pipeline.session import open_database
from bogp.pipeline.trainer import Trainer
from bogp.settings import check_is
from bogp.settings.search import Execution, OnTrial, SearchSettings
from bogp.types import Progress


def search(
    database: GraphDatabase | str | os.PathLike[str],
    data: Dataset | str,
    settings: SearchSettings,
    *,
    trainer: Trainer | None = None,
    study: str | os.PathLike[str] | None = Execution.study,
    name: str | None = Execution.name,
    workers: int = Execution.workers,
    executor: Executor | None = Execution.executor,
    retries: int = Execution.retries,
    progress: Progress | None = Execution.progress,
    on_trial: OnTrial | None = Execution.on_trial,
) -> SearchResult:
    """Search for the mask that trains best, or for the whole trade-off with sparsity.

    Engine ``"pool"`` chooses among relational graphs × support densities × criteria × pruning
    rounds by Bayesian optimisation over that finite pool, trains in populations, gives promising
    candidates more seeds, and returns evidence for its winner. Engines ``"paper"`` and ``"random"``
    are the paper's search (algorithms 2 to 4) and its control, one mask after another.

    Everything is in ``study`` before the next trial begins; the same call resumes a killed study
    and ends as an unbroken one would.

    Args:
        database: a graph database or its file.
        data: a dataset or its name (see :func:`bogp.data.load_dataset`).
        settings: what to search for and how; ``SearchSettings(sparsity=0.9)`` first.
        trainer: trains the candidates instead of bogp's own trainer; a
            :class:`bogp.FunctionTrainer` calls a function of yours.
        study: file of the study, or the URL of an Optuna storage; None keeps it in memory.
        name: name of the study in its storage, which may hold several; None names it by the key of
            its settings, so that other settings find another study.
        workers: processes that train, engine pool alone; 1 trains in this one, on all its cores.
            Results do not depend on it.
        executor: trains there instead: any ``concurrent.futures.Executor``, a Dask client's say.
        retries: how often a trial is tried again after a kill or the loss of a worker.
        progress: called with (trainings done, trainings in all).
        on_trial: called with each trial as it ends.

    Returns:
        The trials, the winner, its mask, its results on fresh seeds, and what goes with them.

    Warns:
        ConstantPropertyWarning: for each property that is constant over the graphs searched, of
            those that the engines paper and random were given.

    Raises:
        SettingError, UnknownNameError: a setting out of range or unknown.
        DatabaseError: the database lacks what the sparsity needs.
        StudyError: the study is in use, or was made with other settings.
    """
    check_is(settings, SearchSettings)
    execution = Execution(
        study=study,
        name=name,
        workers=workers,
        executor=executor,
        retries=retries,
        progress=progress,
        on_trial=on_trial,
    )
    with contextlib.ExitStack() as stack:
        database = open_database(database, stack)
        command = {
            "database": str(database.path),
            "data": data if isinstance(data, str) and trainer is None else None,
            "settings": plain_settings(settings),
        }
        if settings.engine == "pool":
            opened = stack.enter_context(
                open_pool_study(
                    database, data, settings, execution, trainer=trainer, command=command
                )
            )
            return run_pool_search(opened)
        if workers != 1 or executor is not None:
            raise SettingError(
                f"engine {settings.engine!r} trains one mask after another: use engine 'pool' with "
                f"{workers} workers or an executor"
            )
        chosen = replace(settings, properties=settings.properties or PAPER_FIVE)
        return paper_search(database, data, chosen, execution, trainer=trainer, command=command)
