"""The demo: the main job, small: one sparsity, the pool search and its evidence, what to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bogp.analysis import mean_interval, paired_interval
from bogp.graphs import PAPER_FIVE
from bogp.replication.jobs import Job
from bogp.replication.publish import Publication
from bogp.replication.setup import Inputs, Run, Setup
from bogp.replication.trainings import methods_job, search_job, search_result
from bogp.report import Picture, Section, Table, search_trace
from bogp.report.search_page import search_sections

SPARSITY = 0.9
SUPPORTS = (0.5, 0.75, SPARSITY)
"""Sparsities of the graphs: two to choose weights inside of, and that of the mask."""

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


def demo_setup(out: Path, data: str, *, trials: int, graphs: int, workers: int) -> Setup:
    """Return the set-up of the demo: one search, and three fresh seeds for each winner.

    The protocol is ``holdout``: a sixth of the training set chooses, and the test set is opened
    once, for winners and baselines trained on fresh seeds.
    """
    return Setup(
        out,
        data,
        seeds=3,
        workers=workers,
        sparsities=(SPARSITY,),
        database_sparsities=SUPPORTS,
        readings=("all",),
        trials=trials,
        graphs=graphs,
    )


def demo_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the jobs of the demo: the search, the paper's engine, random graphs, the methods."""
    return list(_jobs(setup, inputs).values())


def _jobs(setup: Setup, inputs: Inputs) -> dict[str, Job]:
    """Return the jobs by the name of their engine or method."""
    shared = {**setup.shared("all", protocol="holdout"), "seed": 0}
    few = min(setup.trials, PAPER_TRIALS)
    searches = {
        engine: search_job(
            inputs, engine=engine, trials=trials, finals=setup.seeds, sparsity=SPARSITY, **shared
        )
        for engine, trials in (("pool", setup.trials), ("paper", few), ("random", few))
    }
    methods = {
        name: methods_job(
            inputs, name, runs=setup.seeds, sparsity=None if name == "dense" else SPARSITY, **shared
        )
        for name in METHODS
    }
    return searches | methods


def demo_publication(run: Run) -> Publication:
    """Return what is published of the demo; the first table is the one to show."""
    jobs = _jobs(run.setup, run.inputs)
    found = search_result(jobs["pool"], run.setup.out / "work" / "studies")
    results = {name: run.records[job.key]["result"] for name, job in jobs.items()}
    table = demo_table(run, results)
    return Publication(
        table.title,
        f"{run.setup.seeds} fresh seeds, recipe `calibrated`, dataset {run.dataset.name}",
        [
            Section("What there is to beat", _INTRODUCTION, [table]),
            *search_sections(found, run.inputs.database),
            _paper_section(run, results),
        ],
        {"results": table},
    )


_INTRODUCTION = (
    "Every network is trained on fresh seeds and measured on a test set that chose nothing. One "
    "search on one seed decides nothing about methods: `bogp reproduce methods` repeats this at "
    "every sparsity on five seeds, and `bogp reproduce all` gives a verdict on each of the "
    "paper's claims."
)


def demo_table(run: Run, results: dict[str, dict[str, Any]]) -> Table:
    """Return the table that the demo prints, of the results by the name of engine or method."""
    seeds, epochs = run.setup.seeds, run.setup.recipe.epochs
    searched = results["pool"]
    own, spent = searched["finals"], searched["epochs"]
    rows: list[list[Any]] = [
        ["BoGP, engine pool", mean_interval(own), None, str(spent["search"])],
        _row("random search", searched["random_finals"], own, spent["random search"]),
    ]
    for name, label in METHODS.items():
        found = results[name]
        rows.append(_row(label, found["reported"], own, found["epochs"]["methods"] // seeds))
    for engine, label in ENGINES.items():
        found = results[engine]
        cost = str(len(found["trials"]) * epochs)
        rows.append([label, mean_interval(found["finals"]), None, cost])
    dataset, database = run.dataset, run.inputs.database
    notes = [
        f"s = {SPARSITY:g}, all layers of {dataset.features}-{run.setup.width}-{dataset.classes} "
        f"pruned, recipe calibrated, {seeds} fresh seeds on the sealed test set; 95 % t intervals. "
        "Lead: of engine pool, in points, paired: the same initial weights and mini-batches. "
        "Epochs: training spent to get one mask and its network, of a search to choose. Engine "
        f"pool: {len(searched['trials'])} trials over graphs ({len(database) // len(SUPPORTS)} of "
        f"family {database.family} at each of s = {', '.join(f'{s:g}' for s in SUPPORTS)}) × "
        "criteria, chosen on the validation split; random search: the same pool, the same cost. "
        f"Engines paper (the paper's BoGP) and random: {len(results['paper']['trials'])} masks of "
        f"s = {SPARSITY:g}."
    ]
    columns = ["method", "test, fresh seeds", "lead over it", "epochs"]
    title = f"Pruning {dataset.name} at s = {SPARSITY:g}"
    return Table(title, columns, rows, notes, digits=4)


def _row(label: str, numbers: list[float], own: list[float], epochs: int) -> list[Any]:
    """Return the row of a method: its accuracy, the search's lead over it, and its epochs."""
    lead = paired_interval([100 * value for value in own], [100 * value for value in numbers])
    text = f"{lead.estimate:+.2f}"
    if lead.low is not None and lead.high is not None:
        text += f" [{lead.low:.2f}, {lead.high:.2f}]"
    return [label, mean_interval(numbers), text, str(epochs)]


def _paper_section(run: Run, results: dict[str, dict[str, Any]]) -> Section:
    """Return the course of the paper's engine, beside that of random graphs."""
    traces = {
        label: [np.array([trial["accuracy"] for trial in results[engine]["trials"]])]
        for engine, label in ENGINES.items()
    }
    figure = search_trace(
        traces, title="Best validation accuracy so far", ylabel="validation accuracy"
    )
    caption = "The best so far of the paper's engine and of random graphs, on the validation split."
    constant = run.inputs.database.constant(PAPER_FIVE, SPARSITY)
    names = " and ".join(name.replace("_", " ") for name in constant)
    told = f" Here all graphs have the same {names}, which tells it nothing." if names else ""
    return Section(
        "The paper's engine",
        "The paper's search chooses property vectors by an upper confidence bound and trains the "
        f"graph nearest to each, one mask after another.{told}",
        [_trials(results["paper"]["trials"])],
        [Picture(figure, caption, "paper")],
    )


def _trials(trials: list[dict[str, Any]]) -> Table:
    """Return the trials of the paper's engine: proposed beside fetched."""
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
