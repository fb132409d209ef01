"""Table 1 extended: the pool search against every method of pruning before training.

All methods prune in one pruning round, train by the same recipe and are measured on the same sealed
test set; selection has only the validation split (protocol ``holdout``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bogp.analysis import Interval, mean_interval, paired_interval
from bogp.replication.comparison import (
    DENSE,
    Lead,
    accuracy_table,
    effective_tables,
    judge,
    lead,
    lead_figure,
    long_rows,
    method_rows,
)
from bogp.replication.jobs import Job
from bogp.replication.publish import Publication
from bogp.replication.records import Row, mean, pick
from bogp.replication.setup import READINGS, Inputs, Run, Setup
from bogp.replication.trainings import methods_job, search_job
from bogp.report import (
    Column,
    Picture,
    Section,
    Table,
    accuracy_by_sparsity,
    plural,
    scaled,
)

SPARSITIES = (0.15, 0.30, 0.45, 0.60, 0.75, 0.90, 0.95, 0.98)

RUNS = 3
"""Networks behind one value: a seed's value is the mean over so many fresh initial weights."""

TRIALS, QUICK_TRIALS = 64, 20

RANDOM_MASKS = method_rows({"random": "random masks"})
BASELINES = method_rows(
    {
        "glob1": "Glob₁",
        "unif1": "Unif₁",
        "snip": "SNIP",
        "grasp": "GraSP",
        "synflow": "SynFlow",
        "erk": "ERK-random",
    }
)
"""What the search is to beat; random masks and the dense network stand beside."""

POOL = {"engine": "pool"}
SEARCH = Row("BoGP, engine pool", "search", "finals", POOL)
CONTROL = Row("random search of the same pool", "search", "random_finals", POOL)

SAME = {"unif1": "glob1", "erk": "random"}
"""With one layer to prune, all scopes are the same runs."""


def methods_setup(setup: Setup, quick: bool) -> Setup:
    """Return a replication's set-up at the sparsities and trials of this comparison."""
    if quick:
        return replace(setup.quick(), trials=QUICK_TRIALS)
    return replace(setup, sparsities=SPARSITIES, trials=TRIALS)


def methods_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the jobs of the comparison: methods and searches by reading, sparsity and seed."""
    shared = setup.shared("hidden", protocol="holdout")
    found = [
        methods_job(inputs, "dense", sparsity=None, seed=seed, runs=RUNS, **shared)
        for seed in range(setup.seeds)
    ]
    for layers in setup.readings:
        shared = setup.shared(layers, protocol="holdout")
        names = [n for n in (*BASELINES, "random") if layers == "all" or n not in SAME]
        for seed in range(setup.seeds):
            found += [
                methods_job(inputs, name, sparsity=s, seed=seed, runs=RUNS, **shared)
                for name in names
                for s in setup.sparsities
            ]
            found += [
                search_job(
                    inputs, trials=setup.trials, finals=RUNS, sparsity=s, seed=seed, **shared
                )
                for s in setup.sparsities
            ]
    return found


def methods_publication(run: Run) -> Publication:
    """Return what is published of the comparison."""
    setup = run.setup
    judged = [
        verdict
        for layers in setup.readings
        for verdict in judge(leads(run, layers), READINGS[layers])
    ]
    basis = (
        f"{plural(setup.seeds, 'seed')}, recipe `{setup.recipe_name}`, dataset "
        f"{run.dataset.name}, protocol holdout, so that the test set chose nothing"
    )
    return Publication(
        "Table 1 extended: every method at one pruning round",
        basis,
        [_section(run, layers) for layers in setup.readings],
        {"methods": long_table(run)},
        judged,
        "Verdicts on the search",
        f"{basis}.",
    )


def _section(run: Run, layers: str) -> Section:
    reading, seeds = READINGS[layers], plural(run.setup.seeds, "seed")
    accuracies = accuracy_by_sparsity(
        _series(run, layers), title=f"Methods, {reading}", ylabel="test accuracy"
    )
    ahead = lead_figure(
        {f"s = {s:g}": each for s, each in leads(run, layers).items()},
        f"Lead over the best other method, {reading}",
        f"{seeds}, paired; 95 % t intervals, vermilion where one excludes 0",
    )
    return Section(
        reading[0].upper() + reading[1:],
        "",
        [
            method_table(run, layers),
            *_effective(run, layers),
            lead_table(run, layers),
            control_table(run, layers),
        ],
        [
            Picture(
                accuracies,
                f"Test accuracy by sparsity, {reading}: mean and 95 % interval over {seeds}, each "
                "the mean of several networks.",
                f"methods-{layers}",
            ),
            Picture(
                ahead,
                f"Lead of the search over the best other method, {reading}.",
                f"leads-{layers}",
            ),
        ],
    )


def rows_of(rows: Mapping[str, Row], layers: str) -> dict[str, Row]:
    """Return rows with the runs that stand for them where there is one layer to prune."""
    if layers != "hidden":
        return dict(rows)
    return {
        name: replace(row, fields={"name": SAME[name]}) if name in SAME else row
        for name, row in rows.items()
    }


def method_table(run: Run, layers: str) -> Table:
    """Return the comparison for one reading: a row a method, a column a sparsity."""
    spent = [
        record["result"]["epochs"]
        for sparsity in run.setup.sparsities
        for record in pick(run.records, "search", **POOL, layers=layers, sparsity=sparsity)
    ]
    own, other = (mean([each[name] for each in spent]) for name in ("search", "random search"))
    notes = [
        f"Test accuracy ± half-width of the 95 % t interval over {plural(run.setup.seeds, 'seed')},"
        f" each the mean of {RUNS} networks; recipe {run.setup.recipe_name}, one pruning round for "
        "all. Networks of one seed have the same initial weights and mini-batches in every row. "
        f"A search trains {plural(run.setup.trials, 'candidate')}, the poorer ones not to the end "
        f"({own:.0f} epochs on average, random search {other:.0f}), chooses on the validation "
        "split (protocol holdout), and its winner is trained on fresh seeds; the methods below "
        "choose nothing and spend nothing on it. Random search differs in what proposes "
        "candidates and in nothing else. The dense row belongs to no sparsity.",
    ]
    if layers == "hidden":
        notes.append("With one layer to prune, Unif₁ is Glob₁ and ERK-random is random masks.")
    rows = rows_of({**RANDOM_MASKS, **BASELINES}, layers)
    return accuracy_table(
        f"Methods, {READINGS[layers]}: test accuracy",
        replace(DENSE, fields={**DENSE.fields, "layers": "hidden"}),
        [*rows.values(), CONTROL, SEARCH],
        run.records,
        run.setup.sparsities,
        notes,
        layers=layers,
    )


def _effective(run: Run, layers: str) -> list[Table]:
    """Return the effective sparsities of the methods, where they are recorded."""
    rows = rows_of({**RANDOM_MASKS, **BASELINES}, layers).values()
    title, sparsities = f"Methods, {READINGS[layers]}", run.setup.sparsities
    return effective_tables(title, rows, run.records, sparsities, layers=layers)


def leads(run: Run, layers: str) -> dict[float, Lead]:
    """Return, for each sparsity, the lead over the method of the highest mean, paired by seed."""
    rivals = rows_of(BASELINES, layers).values()
    return {
        sparsity: lead(SEARCH, rivals, run.records, layers=layers, sparsity=sparsity)
        for sparsity in run.setup.sparsities
    }


def lead_table(run: Run, layers: str) -> Table:
    """Return the leads as a table, in percentage points."""
    rows: list[list[Any]] = []
    for sparsity, each in leads(run, layers).items():
        own, other = (
            row.values(run.records, layers=layers, sparsity=sparsity) for row in (SEARCH, CONTROL)
        )
        over_random = paired_interval(own, other)
        rows.append([f"{sparsity:g}", each.rival.label, each.interval, over_random])
    notes = [
        "Percentage points of test accuracy, 95 % t interval over seeds of the paired differences: "
        "one seed is one search and one network start in every method. The best other method is "
        "the one with the highest mean on these very numbers, which favours it. Not corrected for "
        "there being several sparsities."
    ]
    columns: list[str | Column] = [
        "sparsity",
        "best other method",
        Column("lead over it", scaled(100, 2)),
        Column("lead over random search", scaled(100, 2)),
    ]
    return Table(f"Lead of the search, {READINGS[layers]}", columns, rows, notes)


def control_table(run: Run, layers: str) -> Table:
    """Return what the controls take from the winner: mean leads over seeds, in points."""
    found: dict[str, dict[float, list[float]]] = {}
    for sparsity in run.setup.sparsities:
        for record in pick(run.records, "search", **POOL, layers=layers, sparsity=sparsity):
            own = mean(record["result"]["finals"])
            for name, others in record["result"]["controls"].items():
                numbers = found.setdefault(name, {}).setdefault(sparsity, [])
                numbers.append(100 * (own - mean(others)))
    rows: list[list[Any]] = [
        [name, *(mean_interval(cells[s]) if s in cells else None for s in run.setup.sparsities)]
        for name, cells in found.items()
    ]
    notes = [
        "What the search's winner has over itself with one thing taken away, in percentage points "
        "of test accuracy: mean ± half-width of the 95 % t interval over the seeds to whose winner "
        "the control applies, their number in brackets."
    ]
    columns = [Column(f"s = {sparsity:g}", _control_cell) for sparsity in run.setup.sparsities]
    title = f"Controls, {READINGS[layers]}: lead of the winner"
    return Table(title, ["control", *columns], rows, notes)


def _control_cell(interval: Interval) -> str:
    if interval.low is None:
        return f"{interval.estimate:+.2f} ({interval.count})"
    half = interval.estimate - interval.low
    return f"{interval.estimate:+.2f} ± {half:.2f} ({interval.count})"


def long_table(run: Run) -> Table:
    """Return every accuracy, a row a seed."""
    rows = [
        [layers, *row]
        for layers in run.setup.readings
        for row in long_rows(
            {
                SEARCH.label: SEARCH,
                CONTROL.label: CONTROL,
                **rows_of({**BASELINES, **RANDOM_MASKS}, layers),
            },
            run.records,
            run.setup.sparsities,
            layers=layers,
        )
    ]
    columns = ["layers", "method", "sparsity", "seed", "test accuracy"]
    return Table("Methods", columns, rows)


def _series(run: Run, layers: str) -> dict[str, list[tuple[float, Interval]]]:
    """Return the lines of the figure, each method once: there are eight colours."""
    rows = {**BASELINES}
    if layers == "hidden":
        rows = {name: row for name, row in rows.items() if name not in SAME} | RANDOM_MASKS
    series = {}
    for row in (SEARCH, CONTROL, *rows.values()):
        cells = {
            s: row.values(run.records, layers=layers, sparsity=s) for s in run.setup.sparsities
        }
        series[row.label] = [(s, mean_interval(cell)) for s, cell in cells.items() if cell]
    return series
