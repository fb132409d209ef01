"""The demo: the main job, small: one sparsity, both engines, the baselines, the sealed test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bogp.analysis import Interval, mean_interval
from bogp.data import Dataset, load_dataset
from bogp.database import GraphDatabase
from bogp.experiments.jobs import Job, Place, method_job, search_job
from bogp.experiments.plan import METHOD_NAMES
from bogp.experiments.runner import Records, run_jobs
from bogp.experiments.tables import LABELS
from bogp.files import output_folder, write_atomic
from bogp.graphs import PAPER_FIVE, graph_to_mask
from bogp.report import (
    Section,
    Table,
    graph_and_mask,
    picture,
    property_scatter,
    save_figure,
    search_trace,
    write_report,
)
from bogp.training import recipe

Progress = Callable[[int, int], None]

SPARSITY = 0.9
SEEDS = 3
WIDTH = 128


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
    searches: dict[str, Job]
    methods: dict[str, list[Job]]
    records: Records
    trials: int


def run_demo(
    folder: Path,
    data: str = "mnist",
    *,
    trials: int = 20,
    graphs: int = 1000,
    workers: int = 2,
    building: Progress | None = None,
    training: Progress | None = None,
) -> DemoResult:
    """Search masks at s = 0.9 with both engines, train the baselines, and write a report.

    The protocol is ``holdout``: a sixth of the training set chooses, and the test set is opened
    once, for winners and baselines trained on fresh seeds. All of it resumes where it stopped.

    Raises:
        OutputError: the folder cannot be written.
        StudyError: another process is running the demo in this folder.
    """
    output_folder(folder)
    dataset = load_dataset(data)
    place = Place(data, folder / "studies", folder / "graphs.db")
    with GraphDatabase.build(
        folder / "graphs.db",
        nodes=WIDTH if dataset.features >= WIDTH else min(WIDTH, dataset.features),
        shape=(WIDTH, dataset.features),
        sparsities=(SPARSITY,),
        graphs=graphs,
        progress=building,
    ) as database:
        searches, methods = _jobs(dataset, database, trials)
        jobs = [*searches.values(), *(job for group in methods.values() for job in group)]
        path = folder / "records.jsonl"
        records = run_jobs(jobs, place, path, workers=workers, progress=training)
        demo = _Demo(dataset, database, searches, methods, records, trials)
        return _publish(demo, folder)


def _jobs(
    dataset: Dataset, database: GraphDatabase, trials: int
) -> tuple[dict[str, Job], dict[str, list[Job]]]:
    shared: dict[str, Any] = {
        "model": f"mlp:{WIDTH}",
        "layers": "all",
        "recipe": recipe("calibrated"),
        "protocol": "holdout",
        "sparsity": SPARSITY,
    }
    searches = {
        engine: search_job(
            database, dataset, engine=engine, seed=0, trials=trials, finals=SEEDS, **shared
        )
        for engine in ("paper", "random")
    }
    methods = {
        name: [
            method_job(
                dataset,
                name,
                seed=seed,
                **(shared | ({"sparsity": None} if name == "dense" else {})),
            )
            for seed in range(SEEDS)
        ]
        for name in ("dense", *METHOD_NAMES)
    }
    return searches, methods


def _table(demo: _Demo) -> Table:
    rows: list[list[str | float | Interval | None]] = []
    names = {"paper": "BoGP (engine paper)", "random": "random graphs (engine random)"}
    for engine, job in demo.searches.items():
        result = demo.records[job.key]["result"]
        finals = mean_interval(result["finals"])
        epochs = len(result["trials"]) * demo_epochs()
        rows.append([names[engine], result["accuracy"], finals, str(epochs)])
    for name, jobs in demo.methods.items():
        results = [demo.records[job.key]["result"] for job in jobs]
        chosen = float(np.mean([result["accuracy"] for result in results]))
        test = mean_interval([result["reported"]["accuracy"] for result in results])
        label = "dense (nothing pruned)" if name == "dense" else LABELS[name]
        rows.append([label, chosen, test, str(results[0]["epochs"])])
    notes = [
        f"s = {SPARSITY:g}, all layers of 784-{WIDTH}-10 pruned alike, recipe calibrated. "
        f"Searches: {demo.trials} trials among {len(demo.database)} graphs of family "
        f"{demo.database.family}, the best of them chosen on the validation split (biased upwards),"
        f" then trained on {SEEDS} fresh seeds for the test column. Others: mean "
        f"of {SEEDS} seeds. Intervals: 95 %, Student t. Epochs: training spent to get the mask."
    ]
    columns = ["method", "validation", "test, fresh seeds", "epochs"]
    if demo.dataset.name != "mnist":
        notes[0] = notes[0].replace("784-", f"{demo.dataset.features}-")
        notes[0] = notes[0].replace("-10 pruned", f"-{demo.dataset.classes} pruned")
    return Table(f"Pruning {demo.dataset.name} at s = {SPARSITY:g}", columns, rows, notes, digits=4)


def demo_epochs() -> int:
    """Return the epochs of one training of the demo."""
    return recipe("calibrated").epochs


def _publish(demo: _Demo, folder: Path) -> DemoResult:
    table = _table(demo)
    results = {engine: demo.records[job.key]["result"] for engine, job in demo.searches.items()}
    trace = search_trace(
        {
            name: [np.array([trial["accuracy"] for trial in results[engine]["trials"]])]
            for name, engine in (("BoGP", "paper"), ("random graphs", "random"))
        },
        title="Best validation accuracy so far",
        ylabel="validation accuracy",
    )
    best = results["paper"]["trials"][results["paper"]["best"]]
    record = demo.database.record(best["graph"])
    mask = graph_to_mask(record.graph, *demo.database.shape)
    winner = graph_and_mask(record.graph.adjacency, mask.numpy(), f"The winner: graph {record.id}")
    trials = [trial for result in results.values() for trial in result["trials"]]
    scatter = property_scatter(
        [trial["fetched"]["clustering"] for trial in trials],
        [trial["accuracy"] for trial in trials],
        None,
        "clustering",
        "validation accuracy",
        "Every mask that was trained",
        note=f"{len(trials)} trials of both engines",
    )
    captions = {
        "search": (trace, "The incumbent of each engine, trial by trial, on the validation split."),
        "winner": (winner, "The winning relational graph and the hidden layer's mask it makes."),
        "trials": (scatter, "Validation accuracy against clustering, one point a trained mask."),
    }
    for stem, (figure, _) in captions.items():
        save_figure(figure, folder, stem)
    write_atomic(folder / "results.csv", table.to_csv())
    pictures = [picture(figure, caption) for figure, caption in captions.values()]
    report = write_report(
        folder / "report.html",
        f"bogp: pruning {demo.dataset.name} at s = {SPARSITY:g}",
        [
            Section("Result", _text(demo), [table]),
            Section("What the search saw", "", [_trials(demo)], pictures),
        ],
        {
            "command": "bogp demo",
            "dataset": f"{demo.dataset.name}, sha256 {demo.dataset.fingerprint}",
            "database": dict(demo.database.plan.rows()),
            "seeds": f"searches 0; baselines 0 to {SEEDS - 1}; winners on {SEEDS} fresh seeds",
            "recipe": recipe("calibrated").model_dump_json(),
        },
    )
    return DemoResult(table, report, folder)


def _text(demo: _Demo) -> str:
    constant = demo.database.constant(PAPER_FIVE, SPARSITY)
    told = (
        f" At this sparsity {' and '.join(constant)} are the same in every graph and tell the "
        "search nothing."
        if constant
        else ""
    )
    return (
        f"{len(demo.database)} relational graphs were drawn and described; each engine trained "
        f"{demo.trials} of their masks.{told}\n\nOne search on one seed decides nothing about "
        "methods: `bogp reproduce all` repeats it at every sparsity and gives a verdict on each "
        "of the paper's claims."
    )


def _trials(demo: _Demo) -> Table:
    """Return the trials of the paper's engine: proposed beside fetched."""
    trials = demo.records[demo.searches["paper"].key]["result"]["trials"]
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
