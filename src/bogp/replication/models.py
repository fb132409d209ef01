"""Models × criteria × sparsities: every criterion on every kind of model, under equal conditions.

One pruning round, all layers, the same recipe for all methods of a model. Networks of one seed have
the same initial weights and mini-batches in every row. The search of `bogp.prune` stands beside at
one sparsity: it chooses on validation data, and the test set is sealed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bogp.replication.comparison import (
    DENSE,
    Lead,
    accuracy_table,
    effective_tables,
    lead,
    lead_figure,
    long_rows,
    method_rows,
)
from bogp.replication.jobs import Job
from bogp.replication.publish import Publication
from bogp.replication.records import Row
from bogp.replication.setup import Entry, Inputs, Run, Setup
from bogp.replication.trainings import methods_job, prune_job
from bogp.report import Column, Picture, Section, Table, plural, scaled
from bogp.training import RECIPES, Recipe

SEARCHED = 0.9
"""The sparsity at which a search stands beside."""

METHODS = method_rows(
    {
        "random": "random, uniform",
        "erk": "random, ERK",
        "glob1": "magnitude, global",
        "snip": "SNIP, global",
        "grasp": "GraSP, global",
        "synflow": "SynFlow, global",
    }
)
SEARCH = Row("bogp.prune, search", "prune", "reported")


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


def models_setup(setup: Setup, quick: bool) -> Setup:
    """Return a replication's set-up with the models, sparsities and trials of this table."""
    if not quick:
        return replace(setup, entries=ENTRIES, sparsities=(0.5, SEARCHED, 0.95), trials=16)
    entries = [
        replace(entry, data="digits", recipe=entry.recipe.model_copy(update={"epochs": 1}))
        for entry in ENTRIES
        if entry.label in ("LeNet-300-100", "LeNet-5", "ViT")
    ]
    return replace(setup.quick(), entries=tuple(entries), sparsities=(SEARCHED,))


def models_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the jobs of the table: methods and a search by model, sparsity and seed."""
    found = []
    for entry in setup.entries:
        shared: dict[str, Any] = {
            "data": entry.data,
            "model": entry.model,
            "layers": "all",
            "recipe": entry.recipe,
            "protocol": "holdout",
        }
        for seed in range(setup.seeds):
            found.append(methods_job(inputs, "dense", sparsity=None, seed=seed, runs=1, **shared))
            found += [
                methods_job(inputs, name, sparsity=sparsity, seed=seed, runs=1, **shared)
                for name in METHODS
                for sparsity in setup.sparsities
            ]
            found.append(
                prune_job(inputs, sparsity=SEARCHED, seed=seed, trials=setup.trials, **shared)
            )
    return found


def models_publication(run: Run) -> Publication:
    """Return what is published of the table."""
    seeds = plural(run.setup.seeds, "seed")
    ahead = leads(run)
    figure = lead_figure(
        ahead,
        f"Lead of the search over the best criterion, s = {SEARCHED:g}",
        f"{seeds}, paired; 95 % t intervals",
    )
    caption = "The search's lead over the best other method of each model."
    picture = Picture(figure, caption, "leads")
    return Publication(
        "Models, criteria, sparsities",
        f"{seeds}, one pruning round, all layers, test set sealed",
        [
            Section("The search", "", [lead_table(run, ahead)], [picture]),
            *(Section(each.label, "", model_tables(run, each)) for each in run.setup.entries),
        ],
        {"models": long_table(run)},
    )


def model_tables(run: Run, entry: Entry) -> list[Table]:
    """Return the accuracies of one model and, where they are recorded, effective sparsities."""
    rows, where = [*METHODS.values(), SEARCH], {"model": entry.model}
    sparse = effective_tables(entry.label, rows, run.records, run.setup.sparsities, **where)
    return [model_table(run, entry), *sparse]


def model_table(run: Run, entry: Entry) -> Table:
    """Return the table of one model: a row a method, a column a sparsity."""
    recipe = entry.recipe
    notes = [
        f"Test accuracy ± half-width of the 95 % t interval over {plural(run.setup.seeds, 'seed')};"
        f" {entry.data}, {plural(recipe.epochs, 'epoch')}, batches of {recipe.batch_size}, "
        f"{recipe.optimizer} at {recipe.learning_rate:g} ({recipe.schedule.replace('_', '-')}). "
        "The dense row belongs to no sparsity.",
        *_collapsed(run, entry),
    ]
    return accuracy_table(
        f"{entry.label} on {entry.data}",
        DENSE,
        [*METHODS.values(), SEARCH],
        run.records,
        run.setup.sparsities,
        notes,
        model=entry.model,
    )


def _collapsed(run: Run, entry: Entry) -> list[str]:
    """Return a sentence on the layers that methods emptied, if any did."""
    count: dict[str, int] = {}
    for record in run.records.values():
        fields = record["fields"]
        if fields["model"] == entry.model and record["result"].get("collapsed"):
            row = METHODS.get(fields.get("name", ""), SEARCH)
            where = f"{row.label} at s = {fields['sparsity']:g}"
            count[where] = count.get(where, 0) + 1
    if not count:
        return []
    cells = ", ".join(f"{where} ({plural(number, 'seed')})" for where, number in count.items())
    return [f"A layer without a kept weight: {cells}."]


def leads(run: Run) -> dict[str, Lead]:
    """Return the search's lead at its sparsity over the best other method of each model."""
    return {
        entry.label: lead(
            SEARCH, METHODS.values(), run.records, model=entry.model, sparsity=SEARCHED
        )
        for entry in run.setup.entries
    }


def lead_table(run: Run, found: dict[str, Lead]) -> Table:
    """Return what the search leads by, model by model."""
    rows: list[list[Any]] = [
        [label, each.rival.label, each.interval, _verdict(each)] for label, each in found.items()
    ]
    notes = [
        f"At s = {SEARCHED:g}, {plural(run.setup.seeds, 'seed')}: percentage points of test "
        "accuracy, paired by seed, 95 % t interval. The search trains "
        f"{plural(run.setup.trials, 'candidate')}, each criterion among them, the methods none. "
        "The best other method is the one with the highest mean on these very numbers, which "
        "favours it."
    ]
    lead_column = Column("lead of the search", scaled(100, 2))
    return Table(
        "bogp.prune against the best criterion",
        ["model", "best other method", lead_column, ""],
        rows,
        notes,
    )


def _verdict(found: Lead) -> str:
    if not found.interval.excludes(0.0):
        return "not told apart"
    return "above" if found.interval.estimate > 0 else "below"


def long_table(run: Run) -> Table:
    """Return every accuracy, a row a seed."""
    rows = [
        [entry.label, entry.data, *row]
        for entry in run.setup.entries
        for row in (
            *long_rows({"dense": DENSE}, run.records, [None], model=entry.model),
            *long_rows(METHODS, run.records, run.setup.sparsities, model=entry.model),
            *long_rows({SEARCH.label: SEARCH}, run.records, [SEARCHED], model=entry.model),
        )
    ]
    columns = ["model", "data", "method", "sparsity", "seed", "test accuracy"]
    return Table("Models", columns, rows)
