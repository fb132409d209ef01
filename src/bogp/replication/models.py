"""Models × criteria × sparsities: every criterion on every kind of model, under equal conditions.

One pruning round, all layers, the same recipe for all methods of a model. Networks of one seed have
the same initial weights and mini-batches in every row. The search of `bogp.prune` stands beside at
one sparsity: it chooses on validation data, and the test set is sealed.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bogp.analysis import Interval, mean_interval, paired_interval
from bogp.data import load_dataset
from bogp.errors import SettingError
from bogp.files import output_folder, write_atomic
from bogp.replication.jobs import Job, Place, methods_job, prune_job
from bogp.replication.runner import Records, run_jobs
from bogp.report import (
    Picture,
    Section,
    Table,
    format_interval,
    interval_figure,
    plural,
    save_figure,
    versions,
    write_report,
)
from bogp.training import RECIPES, Recipe
from bogp.types import Progress

MODELS = "models"
"""What ``bogp reproduce`` calls this."""

SPARSITIES = (0.5, 0.9, 0.95)
SEARCHED = 0.9
"""The sparsity at which a search stands beside."""

TRIALS = 16

METHODS = {
    "random": "random, uniform",
    "erk": "random, ERK",
    "glob1": "magnitude, global",
    "snip": "SNIP, global",
    "grasp": "GraSP, global",
    "synflow": "SynFlow, global",
}
SEARCH = "bogp.prune, search"


@dataclass(frozen=True)
class Entry:
    """A model of the table: what it is called, made by, trained on and trained by."""

    label: str
    model: str
    data: str
    recipe: Recipe


SMALL = Recipe(learning_rate=3e-3, batch_size=64, epochs=15, schedule="one_cycle")
"""For digits: 19 steps an epoch."""

ENTRIES = (
    Entry("MLP 784-128-10", "mlp:128", "mnist", RECIPES["calibrated"]),
    Entry("LeNet-300-100", "lenet-300-100", "mnist", RECIPES["calibrated"]),
    Entry("LeNet-5", "lenet-5", "digits", SMALL),
    Entry("ResNet-8", "resnet-8", "digits", SMALL),
    Entry("ResNet-20, width 8", "resnet-20:width=8", "digits", SMALL),
    Entry("ViT", "vit:attention=packed", "digits", SMALL),
    Entry("GPT", "gpt", "text", Recipe(learning_rate=3e-3, batch_size=64, epochs=2)),
)


@dataclass(frozen=True)
class ModelsRun:
    """The inputs and records of the table."""

    out: Path
    entries: tuple[Entry, ...]
    sparsities: tuple[float, ...]
    seeds: int
    trials: int
    records: Records


def run_models(
    out: Path,
    *,
    seeds: int = 5,
    workers: int = 2,
    trials: int | None = None,
    quick: bool = False,
    progress: Progress | None = None,
) -> ModelsRun:
    """Train every cell that has no record yet.

    Raises:
        SettingError: fewer than one seed or trial.
        StudyError: another process writes to the same folder.
    """
    trials = TRIALS if trials is None else trials
    if seeds < 1 or trials < 1:
        raise SettingError(f"{seeds} seeds and {trials} trials: give at least one of each")
    entries: tuple[Entry, ...] = ENTRIES
    sparsities: tuple[float, ...] = SPARSITIES
    if quick:
        entries = tuple(
            replace(entry, data="digits", recipe=entry.recipe.model_copy(update={"epochs": 1}))
            for entry in ENTRIES
            if entry.model in ("lenet-300-100", "lenet-5", "vit")
        )
        sparsities, trials, seeds = (SEARCHED,), min(trials, 4), min(seeds, 2)
    wanted = {
        source: [
            job
            for entry in entries
            if entry.data == source
            for job in _jobs(entry, sparsities, seeds, trials)
        ]
        for source in dict.fromkeys(entry.data for entry in entries)
    }
    total = sum(job.trainings for jobs in wanted.values() for job in jobs)
    records: Records = {}
    before = 0
    for source, jobs in wanted.items():
        place = Place(source, out / "work" / "studies")
        records |= run_jobs(
            jobs,
            place,
            out / "records.jsonl",
            workers=workers,
            progress=_part(progress, before, total),
        )
        before += sum(job.trainings for job in jobs)
    return ModelsRun(out, entries, sparsities, seeds, trials, records)


def _part(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return the progress of one part as that of the whole."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)


def _jobs(entry: Entry, sparsities: Sequence[float], seeds: int, trials: int) -> list[Job]:
    dataset = load_dataset(entry.data)
    shared: dict[str, Any] = {
        "model": entry.model,
        "layers": "all",
        "recipe": entry.recipe,
        "protocol": "holdout",
    }
    found = []
    for seed in range(seeds):
        found.append(methods_job(dataset, "dense", sparsity=None, seed=seed, runs=1, **shared))
        found += [
            methods_job(dataset, name, sparsity=sparsity, seed=seed, runs=1, **shared)
            for name in METHODS
            for sparsity in sparsities
        ]
        found.append(prune_job(dataset, sparsity=SEARCHED, seed=seed, trials=trials, **shared))
    return found


def values(run: ModelsRun, entry: Entry, name: str, sparsity: float | None) -> list[float]:
    """Return the test accuracies of one cell, one a seed."""
    found = [
        record
        for record in run.records.values()
        if record["fields"]["model"] == entry.model
        and record["fields"]["sparsity"] == sparsity
        and (record["kind"] == "prune" if name == SEARCH else record["fields"].get("name") == name)
    ]
    found.sort(key=lambda record: int(record["fields"]["seed"]))
    return [float(record["result"]["reported"][0]) for record in found]


def model_table(run: ModelsRun, entry: Entry) -> Table:
    """Return the table of one model: a row a method, a column a sparsity."""
    rows: list[list[Any]] = []
    dense = values(run, entry, "dense", None)
    rows.append(["dense (s = 0)", _cell(dense), *[None] * (len(run.sparsities) - 1)])
    for name, label in {**METHODS, SEARCH: SEARCH}.items():
        cells = [values(run, entry, name, sparsity) for sparsity in run.sparsities]
        rows.append([label, *(_cell(cell) if cell else None for cell in cells)])
    notes = [
        f"Test accuracy ± half-width of the 95 % t interval over {plural(run.seeds, 'seed')}; "
        f"{entry.data}, {_recipe(entry.recipe)}. The dense row belongs to no sparsity.",
        *_collapsed(run, entry),
    ]
    columns = ["method", *(f"s = {sparsity:g}" for sparsity in run.sparsities)]
    return Table(f"{entry.label} on {entry.data}", columns, rows, notes)


def _cell(numbers: Sequence[float]) -> str:
    interval = mean_interval(numbers)
    if interval.low is None:
        return f"{interval.estimate:.4f}"
    return f"{interval.estimate:.4f} ± {interval.estimate - interval.low:.4f}"


def _recipe(recipe: Recipe) -> str:
    return (
        f"{plural(recipe.epochs, 'epoch')}, batches of {recipe.batch_size}, {recipe.optimizer} at "
        f"{recipe.learning_rate:g} ({recipe.schedule.replace('_', '-')})"
    )


def _collapsed(run: ModelsRun, entry: Entry) -> list[str]:
    """Return a sentence on the layers that methods emptied, if any did."""
    count: dict[str, int] = {}
    for record in run.records.values():
        fields = record["fields"]
        if fields["model"] == entry.model and record["result"].get("collapsed"):
            name = METHODS.get(fields.get("name", ""), SEARCH)
            where = f"{name} at s = {fields['sparsity']:g}"
            count[where] = count.get(where, 0) + 1
    if not count:
        return []
    cells = ", ".join(f"{where} ({plural(number, 'seed')})" for where, number in count.items())
    return [f"A layer without a kept weight: {cells}."]


def leads(run: ModelsRun) -> list[tuple[Entry, str, Interval]]:
    """Return each model's best other method at the searched sparsity, and the search's lead."""
    found = []
    for entry in run.entries:
        own = values(run, entry, SEARCH, SEARCHED)
        cells = {name: values(run, entry, name, SEARCHED) for name in METHODS}
        rival = max(cells, key=lambda name: mean_interval(cells[name]).estimate)
        found.append((entry, rival, _points(paired_interval(own, cells[rival]))))
    return found


def _points(interval: Interval) -> Interval:
    low, high = (None if x is None else 100 * x for x in (interval.low, interval.high))
    return replace(interval, estimate=100 * interval.estimate, low=low, high=high)


def lead_table(run: ModelsRun) -> Table:
    """Return what the search leads by, model by model."""
    rows: list[list[Any]] = [
        [entry.label, METHODS[rival], format_interval(lead, digits=2), _verdict(lead)]
        for entry, rival, lead in leads(run)
    ]
    notes = [
        f"At s = {SEARCHED:g}, {plural(run.seeds, 'seed')}: percentage points of test accuracy, "
        f"paired by seed, 95 % t interval. The search trains {plural(run.trials, 'candidate')}, "
        "each criterion among them, the methods none. The best other method is the one with the "
        "highest mean on these very numbers, which favours it."
    ]
    columns = ["model", "best other method", "lead of the search", ""]
    return Table("bogp.prune against the best criterion", columns, rows, notes)


def _verdict(lead: Interval) -> str:
    if not lead.excludes(0.0):
        return "not told apart"
    return "above" if lead.estimate > 0 else "below"


def publish_models(run: ModelsRun, command: str) -> list[Table]:
    """Write tables, figure, CSV and report.html into the folder; return the tables to show.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = output_folder(run.out)
    tables = [lead_table(run), *(model_table(run, entry) for entry in run.entries)]
    figure = interval_figure(
        [(f"{entry.label}, over {METHODS[rival]}", lead) for entry, rival, lead in leads(run)],
        title=f"Lead of the search over the best criterion, s = {SEARCHED:g}",
        xlabel="percentage points of test accuracy", zero=True,
        note=f"{plural(run.seeds, 'seed')}, paired; 95 % t intervals",
    )  # fmt: skip
    save_figure(figure, folder, "leads")
    caption = "The search's lead over the best other method of each model."
    text = f"{plural(run.seeds, 'seed')}, one pruning round, all layers, test set sealed."
    lines = ["# Models, criteria, sparsities", "", f"Made by `{command}`. {text}", ""]
    lines += [text for table in tables for text in (table.to_markdown(), "")]
    lines += [f"![{caption}](leads.png)", ""]
    write_atomic(folder / "results.md", "\n".join(lines))
    write_atomic(folder / "models.csv", _long(run).to_csv())
    sections = [Section("The search", text, tables[:1], [Picture(figure, caption)])]
    sections += [Section(entry.label, "", [table]) for entry, table in _each(run, tables[1:])]
    write_report(
        folder / "report.html", "bogp: models, criteria, sparsities", sections, _made(run, command)
    )
    return tables


def _each(run: ModelsRun, tables: Sequence[Table]) -> list[tuple[Entry, Table]]:
    return list(zip(run.entries, tables, strict=True))


def _long(run: ModelsRun) -> Table:
    rows: list[list[Any]] = []
    for entry in run.entries:
        cells = [("dense", None), *((name, s) for name in METHODS for s in run.sparsities)]
        for name, sparsity in [*cells, (SEARCH, SEARCHED)]:
            found = enumerate(values(run, entry, name, sparsity))
            rows += [[entry.label, entry.data, name, sparsity, seed, v] for seed, v in found]
    columns = ["model", "data", "method", "sparsity", "seed", "test accuracy"]
    return Table("Models", columns, rows)


def _made(run: ModelsRun, command: str) -> Mapping[str, Any]:
    seconds = sum(float(record["result"]["seconds"]) for record in run.records.values())
    return {
        "command": command,
        "seeds": f"{run.seeds} (0 to {run.seeds - 1})",
        "recipes": {each.label: json.loads(each.recipe.model_dump_json()) for each in run.entries},
        "records": f"{len(run.records)} in records.jsonl",
        "time": f"{seconds / 3600:.2f} hours, all jobs together",
        "versions": versions("botorch"),
        "processor": platform.machine(),
    }
