"""Reproduce: run what a table or figure needs, then write it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.errors import UnknownNameError
from bogp.replication import plan
from bogp.replication.jobs import Job
from bogp.replication.runner import Records, run_jobs
from bogp.replication.setup import Setup
from bogp.types import Progress

PARTS = ("table1", "table2", "fig5", "fig6", "fig7", "fig8")
"""The tables and figures of the paper; ``all`` adds what only the verdicts need."""


@dataclass(frozen=True)
class Run:
    """The inputs and records of a replication."""

    setup: Setup
    dataset: Dataset
    database: GraphDatabase
    records: Records


def records_path(setup: Setup) -> Path:
    """Return the JSON-lines file of the records of a replication."""
    return setup.out / "records.jsonl"


def check_part(what: str) -> None:
    """Raise :class:`UnknownNameError` unless ``what`` is a part of the paper, or ``all``."""
    if what not in (*PARTS, "all"):
        raise UnknownNameError("part of the paper", what, (*PARTS, "all"))


def jobs(what: str, setup: Setup, dataset: Dataset, database: GraphDatabase) -> list[Job]:
    """Return the jobs of one part, or of all.

    Raises:
        UnknownNameError: no such part.
    """
    check_part(what)
    found: list[Job] = []
    if what in ("table1", "all"):
        found += plan.baselines(setup, dataset) + plan.searches(setup, dataset, database)
    if what in ("table2", "all"):
        found += plan.tradeoffs(setup, dataset, database)
    if what in ("fig5", "fig6", "fig7", "all"):
        found += plan.networks(setup, dataset)
    if what == "all":
        found += plan.variances(setup, dataset) + plan.metrics(setup, dataset, database)
    return found


def train_all(
    what: str,
    setup: Setup,
    *,
    building: Progress | None = None,
    training: Progress | None = None,
) -> Run:
    """Build the database and run every job of ``what`` that has no record yet.

    The relational graphs of a dataset of fewer features than ``setup.nodes`` have a node a feature.

    Raises:
        UnknownNameError: no such part; refused before anything is built.
    """
    check_part(what)
    dataset = setup.dataset()
    setup = replace(setup, nodes=min(setup.nodes, setup.width, dataset.features))
    database = setup.database(dataset, building)
    wanted = jobs(what, setup, dataset, database)
    records = run_jobs(
        wanted, setup.place, records_path(setup), workers=setup.workers, progress=training
    )
    return Run(setup, dataset, database, records)
