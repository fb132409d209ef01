"""The demo: the main job, small: one sparsity, the pool search and its evidence, what to beat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bogp.analysis import Interval, mean_interval, paired_interval
from bogp.data import Dataset, load_dataset
from bogp.database import GraphDatabase
from bogp.files import output_folder, write_atomic
from bogp.graphs import PAPER_FIVE
from bogp.pipeline import SearchResult
from bogp.replication.jobs import Job, Place, methods_job, pool_job, pool_result, search_job
from bogp.replication.runner import Records, run_jobs
from bogp.report import (
    Picture,
    Section,
    Table,
    save_pictures,
    search_trace,
    write_report,
)
from bogp.report.search_page import search_sections
from bogp.training import recipe
from bogp.types import Progress

SPARSITY = 0.9
SUPPORTS = (0.5, 0.75, SPARSITY)
"""Sparsities of the graphs: two to choose weights inside of, and that of the mask."""

SEEDS = 3
WIDTH = 128
PAPER_TRIALS = 20
"""Masks that each of the paper's engine and random graphs trains (its §6.3)."""

METHODS = {
    "glob1": "Glob₁",
    "unif1": "Unif₁",
    "snip": "SNIP",
    "dense": "dense (nothing pruned)",
    "glob5": "Glob₅ (5 × training)",
}
ENGINES = {"paper": "engine paper", "random": "engine random"}


@dataclass(frozen=True)
class DemoResult:
    """What the demo prints, and where it wrote the rest."""

    table: Table
    report: Path
    folder: Path


@dataclass(frozen=True)
class _Demo:
    dataset: Dataset
    database: GraphDatabase
    found: SearchResult
    pool: Job
    engines: dict[str, Job]
    methods: dict[str, Job]
    records: Records


def run_demo(
    folder: Path,
    data: str = "mnist",
    *,
    trials: int = 48,
    graphs: int = 300,
    workers: int = 2,
    building: Progress | None = None,
    training: Progress | None = None,
) -> DemoResult:
    """Search masks at s = 0.9, run what there is to beat, and write a report.

    The protocol is ``holdout``: a sixth of the training set chooses, and the test set is opened
    once, for winners and baselines trained on fresh seeds. All of it resumes where it stopped.

    Args:
        folder: where everything is written.
        data: name of the dataset.
        trials: of the pool search; the paper's engine and random graphs have 20 at most.
        graphs: in the database, a sparsity.
        workers: processes.
        building: called with (graphs described, graphs in all).
        training: called with (trainings done, trainings in all).

    Raises:
        OutputError: the folder cannot be written.
        StudyError: another process is running the demo in this folder.
    """
    output_folder(folder)
    dataset = load_dataset(data)
    place = Place(data, folder / "studies", folder / "graphs.db")
    with GraphDatabase.build(
        folder / "graphs.db",
        nodes=min(WIDTH, dataset.features),
        shape=(WIDTH, dataset.features),
        sparsities=SUPPORTS,
        graphs=graphs,
        progress=building,
    ) as database:
        pool, engines, methods = _jobs(dataset, database, trials)
        jobs = [pool, *engines.values(), *methods.values()]
        path = folder / "records.jsonl"
        records = run_jobs(jobs, place, path, workers=workers, progress=training)
        found = pool_result(pool, place)
        return _publish(_Demo(dataset, database, found, pool, engines, methods, records), folder)


def _jobs(
    dataset: Dataset, database: GraphDatabase, trials: int
) -> tuple[Job, dict[str, Job], dict[str, Job]]:
    shared: dict[str, Any] = {
        "model": f"mlp:{WIDTH}",
        "layers": "all",
        "recipe": recipe("calibrated"),
        "protocol": "holdout",
        "sparsity": SPARSITY,
    }
    pool = pool_job(database, dataset, seed=0, trials=trials, finals=SEEDS, **shared)
    few = min(trials, PAPER_TRIALS)
    engines = {
        engine: search_job(
            database, dataset, engine=engine, seed=0, trials=few, finals=SEEDS, **shared
        )
        for engine in ENGINES
    }
    unpruned = shared | {"sparsity": None}
    methods = {
        name: methods_job(
            dataset, name, runs=SEEDS, seed=0, **(unpruned if name == "dense" else shared)
        )
        for name in METHODS
    }
    return pool, engines, methods


def _table(demo: _Demo) -> Table:
    result = demo.records[demo.pool.key]["result"]
    own = result["finals"]
    rows: list[list[str | float | Interval | None]] = [
        ["BoGP, engine pool", mean_interval(own), None, str(result["epochs"]["search"])],
        _row("random search", result["random_finals"], own, _random_epochs(result)),
    ]
    for name, job in demo.methods.items():
        found = demo.records[job.key]["result"]
        epochs = found["epochs"]["methods"] // SEEDS
        rows.append(_row(METHODS[name], found["reported"], own, epochs))
    for engine, job in demo.engines.items():
        found = demo.records[job.key]["result"]
        epochs = len(found["trials"]) * recipe("calibrated").epochs
        rows.append([ENGINES[engine], mean_interval(found["finals"]), None, str(epochs)])
    shape = f"{demo.dataset.features}-{WIDTH}-{demo.dataset.classes}"
    few = len(demo.records[demo.engines["paper"].key]["result"]["trials"])
    held = len(demo.database) // len(SUPPORTS)
    notes = [
        f"s = {SPARSITY:g}, all layers of {shape} pruned, recipe calibrated, {SEEDS} fresh seeds "
        "on the sealed test set; 95 % t intervals. Lead: of engine pool, in points, paired: the "
        f"same initial weights and mini-batches. Epochs: training spent to get one mask and its "
        f"network, of a search to choose. Engine pool: {len(demo.found.trials)} trials over graphs "
        f"({held} of family {demo.database.family} at each of s = "
        f"{', '.join(f'{s:g}' for s in SUPPORTS)}) × criteria, chosen on the validation split; "
        "random search: the same pool, the same cost. Engines paper (the paper's BoGP) and random: "
        f"{few} masks of s = {SPARSITY:g}."
    ]
    columns = ["method", "test, fresh seeds", "lead over it", "epochs"]
    title = f"Pruning {demo.dataset.name} at s = {SPARSITY:g}"
    return Table(title, columns, rows, notes, digits=4)


def _random_epochs(result: dict[str, Any]) -> int:
    return int(result["epochs"]["random search"])


def _row(
    name: str, numbers: list[float], own: list[float], epochs: int
) -> list[str | float | Interval | None]:
    lead = paired_interval([100 * value for value in own], [100 * value for value in numbers])
    text = f"{lead.estimate:+.2f}"
    if lead.low is not None and lead.high is not None:
        text += f" [{lead.low:.2f}, {lead.high:.2f}]"
    return [name, mean_interval(numbers), text, str(epochs)]


def _publish(demo: _Demo, folder: Path) -> DemoResult:
    table = _table(demo)
    trace = _trace(demo)
    write_atomic(folder / "results.csv", table.to_csv())
    caption = "The best so far of the paper's engine and of random graphs, on the validation split."
    picture = Picture(trace, caption, "paper")
    sections = [
        Section("What there is to beat", _intro(), [table]),
        *search_sections(demo.found, demo.database),
        Section("The paper's engine", _text(demo), [_trials(demo)], [picture]),
    ]
    save_pictures(sections, folder)
    report = write_report(
        folder / "report.html",
        f"bogp: pruning {demo.dataset.name} at s = {SPARSITY:g}",
        sections,
        {
            "command": "bogp demo",
            "dataset": f"{demo.dataset.name}, sha256 {demo.dataset.fingerprint}",
            "database": dict(demo.database.plan.rows()),
            "seeds": f"0, and {SEEDS} fresh ones of it for winners, controls and baselines",
            "recipe": recipe("calibrated").model_dump_json(),
        },
    )
    return DemoResult(table, report, folder)


def _intro() -> str:
    return (
        "Every network is trained on fresh seeds and measured on a test set that chose nothing. "
        "One search on one seed decides nothing about methods: `bogp reproduce methods` repeats "
        "this at every sparsity on five seeds, and `bogp reproduce all` gives a verdict on each of "
        "the paper's claims."
    )


def _trace(demo: _Demo) -> Figure:
    traces = {}
    for engine, name in ENGINES.items():
        trials = demo.records[demo.engines[engine].key]["result"]["trials"]
        traces[name] = [np.array([trial["accuracy"] for trial in trials])]
    return search_trace(
        traces, title="Best validation accuracy so far", ylabel="validation accuracy"
    )


def _text(demo: _Demo) -> str:
    constant = [name.replace("_", " ") for name in demo.database.constant(PAPER_FIVE, SPARSITY)]
    verb = (
        "is the same in every graph and tells"
        if len(constant) == 1
        else ("are the same in every graph and tell")
    )
    told = f" At this sparsity {' and '.join(constant)} {verb} it nothing." if constant else ""
    return (
        "The paper's search chooses property vectors by an upper confidence bound and trains the "
        f"graph nearest to each, one mask after another.{told}"
    )


def _trials(demo: _Demo) -> Table:
    """Return the trials of the paper's engine: proposed beside fetched."""
    trials = demo.records[demo.engines["paper"].key]["result"]["trials"]
    varying = [name for name in PAPER_FIVE if len({t["fetched"][name] for t in trials}) > 1]
    rows = [
        [
            number,
            trial["graph"],
            trial["accuracy"],
            *(f"{trial['proposed'][name]:.4g} → {trial['fetched'][name]:.4g}" for name in varying),
        ]
        for number, trial in enumerate(trials, 1)
    ]
    heads = [f"{name.replace('_', ' ')}: proposed → fetched" for name in varying]
    columns = ["trial", "graph", "validation", *heads]
    return Table("Trials of engine paper", columns, rows, digits=4)
