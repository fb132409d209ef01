"""``bogp reproduce`` and ``bogp demo`` as functions: train what has no record, and publish it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bogp.errors import SettingError, UnknownNameError
from bogp.replication.demo import demo_jobs, demo_publication, demo_setup
from bogp.replication.jobs import Job
from bogp.replication.methods import methods_jobs, methods_publication, methods_setup
from bogp.replication.models import models_jobs, models_publication, models_setup
from bogp.replication.paper import ALL, PARTS, UNIFORM, paper_jobs, paper_publication
from bogp.replication.publish import Publication, publish
from bogp.replication.records import run_jobs
from bogp.replication.setup import Inputs, Run, Setup, prepare
from bogp.report import Table
from bogp.types import Progress

METHODS, MODELS = "methods", "models"

MIXED = {"family": "mixed"}
"""The plan of a database of graphs of many kinds, in which engine pool searches."""


@dataclass(frozen=True)
class Replication:
    """Something that can be made again.

    Attributes:
        setup: gives its sizes, or those of a quick check, from a set-up that has the rest.
        jobs: gives what is to be trained.
        publication: gives what is published of the records.
        plan: of its graph database, beside its sizes; None where no graphs are searched.
    """

    setup: Callable[[Setup, bool], Setup]
    jobs: Callable[[Setup, Inputs], list[Job]]
    publication: Callable[[Run], Publication]
    plan: Mapping[str, Any] | None


REPLICATIONS = {
    name: Replication(
        lambda setup, quick: setup.quick() if quick else setup,
        partial(paper_jobs, name),
        partial(paper_publication, name),
        UNIFORM,
    )
    for name in (*PARTS, ALL)
} | {
    METHODS: Replication(methods_setup, methods_jobs, methods_publication, MIXED),
    MODELS: Replication(models_setup, models_jobs, models_publication, None),
}
"""What ``bogp reproduce`` can make again, by name."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be reproduced, and where.

    Attributes:
        what: a name of :data:`REPLICATIONS`.
        out: folder of records, tables and figures.
        data: name of the dataset.
        recipe: ``"calibrated"`` or ``"written"``.
        seeds: repetitions of everything.
        quick: whether to run a few minutes' worth only: a check, not evidence.
        sparsities: columns of table 1 or methods; all of them where empty.
        layers: readings of table 1 or methods, ``"hidden"`` or ``"all"``; both where empty.
        trials: of each search of methods or models; None is their own.
        workers: processes.

    Raises:
        UnknownNameError, SparsityError: a part, recipe, reading or sparsity that there is not.
        SettingError: a number below 1, or a choice that the part does not have.
    """

    what: str
    out: Path
    data: str = "mnist"
    recipe: str = "calibrated"
    seeds: int = 5
    quick: bool = False
    sparsities: tuple[float, ...] = ()
    layers: tuple[str, ...] = ()
    trials: int | None = None
    workers: int = 2

    def __post_init__(self) -> None:
        if self.what not in REPLICATIONS:
            raise UnknownNameError("part", self.what, REPLICATIONS)
        if self.trials is not None and self.what not in (METHODS, MODELS):
            raise SettingError(
                f"--trials {self.trials} goes with {METHODS} and {MODELS}: those of {self.what} "
                "are as many as the paper's"
            )
        if self.what == MODELS and (self.sparsities or self.layers):
            raise SettingError(
                f"--sparsity and --layers go with table1 and {METHODS}: the table of {MODELS} has "
                "its own"
            )
        self.setup  # noqa: B018  What is wrong is refused here, before any work.

    @property
    def setup(self) -> Setup:
        """The sizes of what is asked for."""
        plain = Setup(self.out, self.data, self.recipe, self.seeds, self.workers)
        setup = REPLICATIONS[self.what].setup(plain, self.quick)
        if self.trials is not None:
            setup = replace(setup, trials=self.trials)
        return setup.narrowed(self.sparsities, self.layers)

    @property
    def command(self) -> str:
        """The command that makes all of it again."""
        words = ["bogp", "reproduce", self.what, "--seeds", str(self.seeds)]
        words += [] if self.what == MODELS else ["--recipe", self.recipe]
        words += ["--quick"] if self.quick else []
        words += [word for s in self.sparsities for word in ("--sparsity", f"{s:g}")]
        words += [word for reading in self.layers for word in ("--layers", reading)]
        words += [] if self.trials is None else ["--trials", str(self.trials)]
        words += [] if self.data == "mnist" else ["--data", self.data]
        return shlex.join([*words, "--out", str(self.out)])


def reproduce(
    request: Request, *, building: Progress | None = None, training: Progress | None = None
) -> tuple[Path, list[Table]]:
    """Train what is asked for and has no record yet, and write everything into its folder.

    Args:
        request: what is asked for.
        building: called with (graphs described, graphs in all).
        training: called with (trainings done, trainings in all).

    Returns:
        The report, and the tables to show.

    Raises:
        OutputError: the folder cannot be written.
        StudyError: another process writes to the same folder.
        BogpError: a training that failed, by its own error.
    """
    one = REPLICATIONS[request.what]
    run = train(one, request.setup, building=building, training=training)
    return publish(run, one.publication(run), request.command)


def run_demo(
    folder: Path,
    data: str = "mnist",
    *,
    trials: int = 48,
    graphs: int = 300,
    workers: int = 2,
    building: Progress | None = None,
    training: Progress | None = None,
) -> tuple[Path, Table]:
    """Search masks at s = 0.9, run what there is to beat, and write a report.

    All of it resumes where it stopped.

    Args:
        folder: where everything is written.
        data: name of the dataset.
        trials: of the pool search; the paper's engine and random graphs have 20 at most.
        graphs: in the database, a sparsity.
        workers: processes.
        building: called with (graphs described, graphs in all).
        training: called with (trainings done, trainings in all).

    Returns:
        The report, and the table to show.

    Raises:
        OutputError: the folder cannot be written.
        StudyError: another process is running the demo in this folder.
    """
    setup = demo_setup(folder, data, trials=trials, graphs=graphs, workers=workers)
    one = Replication(lambda setup, quick: setup, demo_jobs, demo_publication, MIXED)
    run = train(one, setup, building=building, training=training)
    report, tables = publish(run, demo_publication(run), "bogp demo")
    return report, tables[0]


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
