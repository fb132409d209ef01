"""What can be made again: each is jobs, and a publication of their records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bogp.errors import SettingError
from bogp.replication.demo import demo_jobs, demo_publication
from bogp.replication.dynamics import dynamics_jobs, dynamics_setup
from bogp.replication.dynamics_publication import dynamics_publication
from bogp.replication.jobs import Job
from bogp.replication.methods import methods_jobs, methods_publication, methods_setup
from bogp.replication.models import models_jobs, models_publication, models_setup
from bogp.replication.paper import ALL, PARTS, UNIFORM, paper_jobs, paper_publication
from bogp.replication.publish import Publication, publish
from bogp.replication.records import run_jobs
from bogp.replication.request import (
    DYNAMICS,
    METHODS,
    MODELS,
    WITH_OWN_DATA,
    ReproduceSettings,
)
from bogp.replication.setup import Inputs, Run, Setup, prepare
from bogp.report import Table
from bogp.types import Progress

MIXED = {"family": "mixed"}
"""The plan of a database of graphs of many kinds, in which engine pool searches."""


@dataclass(frozen=True)
class Replication:
    """Something that can be made again.

    Attributes:
        jobs: gives what is to be trained.
        publication: gives what is published of the records.
        plan: of its graph database, beside its sizes; None where no graphs are searched.
        setup: gives its sizes, or those of a quick check, from a set-up that has the rest.
    """

    jobs: Callable[[Setup, Inputs], list[Job]]
    publication: Callable[[Run], Publication]
    plan: Mapping[str, Any] | None
    setup: Callable[[Setup, bool], Setup] = lambda setup, quick: setup.quick() if quick else setup


REPLICATIONS = {
    name: Replication(partial(paper_jobs, name), partial(paper_publication, name), UNIFORM)
    for name in (*PARTS, ALL)
} | {
    METHODS: Replication(methods_jobs, methods_publication, MIXED, methods_setup),
    MODELS: Replication(models_jobs, models_publication, None, models_setup),
    DYNAMICS: Replication(dynamics_jobs, dynamics_publication, None, dynamics_setup),
}
"""What ``bogp reproduce`` can make again, by name."""

DEMO = Replication(demo_jobs, demo_publication, MIXED)


def setup_of(asked: ReproduceSettings) -> Setup:
    """Return the sizes of what is asked for.

    Raises:
        SparsityError, UnknownNameError: a sparsity or reading that is not replicated.
        SettingError: a choice that it does not have.
    """
    if asked.trials is not None and asked.what not in (METHODS, MODELS):
        raise SettingError(
            f"--trials {asked.trials} goes with {METHODS} and {MODELS}: {asked.what} searches for "
            "nothing, or in as many trials as the paper"
        )
    if asked.what in WITH_OWN_DATA and asked.layers:
        raise SettingError(f"--layers goes with table1 and {METHODS}: {asked.what} has its own")
    if asked.what == MODELS and asked.sparsities:
        raise SettingError(
            f"--sparsity goes with table1, {METHODS} and {DYNAMICS}: {MODELS} has its own"
        )
    plain = Setup(Path(asked.out), asked.data, asked.recipe, asked.seeds, asked.workers)
    setup = REPLICATIONS[asked.what].setup(plain, asked.quick)
    if asked.trials is not None:
        setup = replace(setup, trials=asked.trials)
    return setup.narrowed(asked.sparsities, asked.layers)


def make(
    one: Replication,
    setup: Setup,
    command: str,
    *,
    building: Progress | None = None,
    training: Progress | None = None,
) -> tuple[Path, list[Table]]:
    """Train what has no record yet, and write everything into the folder of the set-up.

    Args:
        one: what is made.
        setup: its sizes.
        command: what makes it, for its pages.
        building: called with (graphs described, graphs in all).
        training: called with (trainings done, trainings in all).

    Returns:
        The report, and the tables to show.

    Raises:
        OutputError: the folder cannot be written.
        StudyError: another process writes to the same folder.
        BogpError: a training that failed, by its own error.
    """
    run = train(one, setup, building=building, training=training)
    return publish(run, one.publication(run), command)


def train(
    one: Replication,
    setup: Setup,
    *,
    building: Progress | None = None,
    training: Progress | None = None,
) -> Run:
    """Build the database of a replication and run every job of it that has no record yet."""
    setup, inputs = prepare(setup, one.plan, building)
    jobs = one.jobs(setup, inputs)
    records = run_jobs(jobs, setup.out, workers=setup.workers, progress=training)
    return Run(setup, inputs, records)
