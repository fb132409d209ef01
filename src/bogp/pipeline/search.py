"""Search: one function for every engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.engines import ENGINES
from bogp.errors import SettingError, UnknownNameError
from bogp.pipeline.bench import Work
from bogp.pipeline.pool_search import TRIALS, pool_search
from bogp.pipeline.pool_settings import pool_settings
from bogp.pipeline.results import SearchResult
from bogp.pipeline.vector_search import vector_search
from bogp.study import FinishedTrial
from bogp.training import Recipe
from bogp.types import Progress

OnTrial = Callable[[FinishedTrial], None]

ENGINE_NAMES = ("pool", *ENGINES)

_PAPER_TRIALS = 20
"""Trials of a search of the paper's kind, if none are asked for (its §6.3)."""


def search(
    database: GraphDatabase | str | os.PathLike[str],
    data: Dataset | str = "mnist",
    *,
    engine: str = "pool",
    trials: int | None = None,
    final_seeds: int = 5,
    study: str | os.PathLike[str] | None = None,
    name: str | None = "bogp",
    workers: int = 1,
    executor: Executor | None = None,
    retries: int = 2,
    progress: Progress | None = None,
    on_trial: OnTrial | None = None,
    **settings: Any,
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
        engine: ``"pool"``, ``"paper"`` or ``"random"``.
        trials: trainings, those already in the study counted: 64 for the pool, 20 for the others.
        final_seeds: fresh seeds on which the winner is trained and measured at the end.
        study: file of the study, or the URL of an Optuna storage; None keeps it in memory.
        name: of the study in its storage, which may hold several; None names it by the key of its
            settings, so that other settings find another study.
        workers: processes that train, engine pool alone; 1 trains in this one, on all its cores.
            Results do not depend on it.
        executor: trains there instead: any ``concurrent.futures.Executor``, a Dask client's say.
        retries: how often a trial is tried again after a kill or the loss of a worker.
        progress: called with (trainings done, trainings in all).
        on_trial: called with each trial as it ends.
        settings: the fields of :class:`bogp.PoolSettings` for engine pool, of
            :class:`bogp.SearchSettings` for the others; ``sparsity=0.9``, ``alpha=0.25`` or
            ``pareto=True`` first.

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
    if isinstance(database, (str, os.PathLike)):
        with GraphDatabase.open(database) as opened:
            return search(
                opened,
                data,
                engine=engine,
                trials=trials,
                final_seeds=final_seeds,
                study=study,
                name=name,
                workers=workers,
                executor=executor,
                retries=retries,
                progress=progress,
                on_trial=on_trial,
                **settings,
            )
    if engine not in ENGINE_NAMES:
        raise UnknownNameError("engine", engine, ENGINE_NAMES)
    count = trials if trials is not None else TRIALS if engine == "pool" else _PAPER_TRIALS
    shared: dict[str, Any] = {
        "trials": count,
        "final_seeds": final_seeds,
        "study": study,
        "name": name,
        "retries": retries,
        "progress": progress,
        "on_trial": on_trial,
        "command": {
            "database": str(database.path),
            "data": data if isinstance(data, str) else None,
            "engine": engine,
            "trials": count,
            "final_seeds": final_seeds,
            "settings": _plain(settings),
        },
    }
    if engine == "pool":
        work = Work(study, name, workers, executor, retries, progress, on_trial, shared["command"])
        chosen = pool_settings(settings)
        return pool_search(database, data, chosen, work, trials=count, final_seeds=final_seeds)
    if workers != 1 or executor is not None:
        raise SettingError(
            f"engine {engine!r} trains one mask after another: use engine 'pool' with {workers} "
            "workers or an executor"
        )
    return vector_search(database, data, engine=engine, **shared, **settings)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON values, to be given again when the study is resumed."""
    return {
        name: value.model_dump()
        if isinstance(value, Recipe)
        else list(value)
        if isinstance(value, (tuple, list))
        else value
        for name, value in settings.items()
    }
