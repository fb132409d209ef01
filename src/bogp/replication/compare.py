"""Table 1 extended: the pool search against every method of pruning before training.

All methods prune in one pruning round, train by the same recipe and are measured on the same sealed
test set; selection has only the validation split (protocol ``holdout``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bogp.analysis import Interval, mean_interval, paired_interval
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.errors import SettingError
from bogp.replication.jobs import Job, methods_job, pool_job
from bogp.replication.runner import Records, run_jobs
from bogp.replication.setup import Setup
from bogp.replication.setup import quick as cut
from bogp.report import Table, Verdict, plural
from bogp.report.verdicts import Holds
from bogp.types import Progress

PART = "methods"
"""What ``bogp reproduce`` calls the comparison."""

SPARSITIES = (0.15, 0.30, 0.45, 0.60, 0.75, 0.90, 0.95, 0.98)
HIGH = 0.9
"""From this sparsity on the search is to be the best method."""

RUNS = 3
"""Networks behind one value: a seed's value is the mean over so many fresh initial weights."""

TRIALS, QUICK_TRIALS = 64, 20

LEAST_GAIN = 0.001
"""A lead below this for certain counts as none, as in the verdicts on the paper's claims."""

BASELINES = {
    "glob1": "Glob₁",
    "unif1": "Unif₁",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "erk": "ERK-random",
}
"""What the search is to beat, by method name; ``random`` and ``dense`` stand beside."""

OTHERS = {"dense": "dense (s = 0)", "random": "random masks"}
SEARCH, CONTROL = "BoGP, engine pool", "random search of the same pool"
SAME = {"unif1": "glob1", "erk": "random"}
"""With one layer to prune, all scopes are the same runs."""

READINGS = {"hidden": "hidden layer only", "all": "all layers"}


@dataclass(frozen=True)
class Comparison:
    """The inputs and records of the comparison."""

    setup: Setup
    dataset: Dataset
    database: GraphDatabase
    records: Records


def comparison_setup(setup: Setup, trials: int | None = None, *, quick: bool = False) -> Setup:
    """Return a replication's set-up at the sparsities and trials of this comparison.

    Raises:
        SettingError: fewer than one trial.
    """
    if trials is not None and trials < 1:
        raise SettingError(f"{trials} trials are no search: give at least 1")
    setup = replace(setup, sparsities=SPARSITIES, trials=trials or TRIALS)
    if quick:
        setup = replace(cut(setup), trials=trials or QUICK_TRIALS)
    return setup


def jobs(setup: Setup, dataset: Dataset, database: GraphDatabase) -> list[Job]:
    """Return the jobs of the comparison: methods and searches by reading, sparsity and seed."""
    found = []
    for layers in setup.readings:
        shared = setup.shared(layers, protocol="holdout")
        names = [n for n in (*BASELINES, "random") if layers == "all" or n not in SAME]
        for seed in range(setup.seeds):
            found += [
                methods_job(dataset, name, sparsity=s, seed=seed, runs=RUNS, **shared)
                for name in names
                for s in setup.sparsities
            ]
            found += [
                pool_job(
                    database,
                    dataset,
                    trials=setup.trials,
                    finals=RUNS,
                    sparsity=s,
                    seed=seed,
                    **shared,
                )
                for s in setup.sparsities
            ]
    shared = setup.shared("hidden", protocol="holdout")
    dense = [
        methods_job(dataset, "dense", sparsity=None, seed=seed, runs=RUNS, **shared)
        for seed in range(setup.seeds)
    ]
    return [*dense, *found]


def compare_methods(
    setup: Setup,
    *,
    building: Progress | None = None,
    training: Progress | None = None,
) -> Comparison:
    """Build the database of mixed graphs and run every job that has no record yet.

    The database holds every sparsity, whatever the columns: a search at one of them takes denser
    graphs as supports.

    Raises:
        StudyError: another process writes to the same folder.
    """
    dataset = setup.dataset()
    setup = replace(setup, nodes=min(setup.nodes, setup.width, dataset.features))
    # Beside graphs.db, which holds the uniform graphs of the paper's tables.
    place = replace(setup.place, database=setup.out / "work" / "mixed.db")
    assert place.database is not None
    database = GraphDatabase.build(
        place.database,
        nodes=setup.nodes,
        sparsities=setup.database_sparsities,
        graphs=setup.graphs,
        family="mixed",
        shape=(setup.width, dataset.features),
        seed=0,
        progress=building,
    )
    wanted = jobs(setup, dataset, database)
    path = setup.out / "records.jsonl"
    records = run_jobs(wanted, place, path, workers=setup.workers, progress=training)
    return Comparison(setup, dataset, database, records)


def values(run: Comparison, name: str, layers: str, sparsity: float | None) -> list[float]:
    """Return the test accuracies of one cell, one a seed: each the mean over its runs."""
    if name in (SEARCH, CONTROL):
        found = _records(run, "pool", layers, sparsity)
        key = "finals" if name == SEARCH else "random_finals"
        return [_mean(record["result"][key]) for record in found]
    if layers == "hidden":
        name = SAME.get(name, name)
    found = _records(run, "methods", "hidden" if name == "dense" else layers, sparsity, name)
    return [_mean(record["result"]["reported"]) for record in found]


def _records(
    run: Comparison, kind: str, layers: str, sparsity: float | None, name: str | None = None
) -> list[dict[str, Any]]:
    found = [
        record
        for record in run.records.values()
        if record["kind"] == kind
        and record["fields"]["layers"] == layers
        and record["fields"]["sparsity"] == sparsity
        and record["fields"].get("name") == name
    ]
    return sorted(found, key=lambda record: int(record["fields"]["seed"]))


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def table(run: Comparison, layers: str) -> Table:
    """Return the comparison for one reading: a row a method, a column a sparsity."""
    names = {**OTHERS, **BASELINES, CONTROL: CONTROL, SEARCH: SEARCH}
    rows: list[list[Any]] = []
    for name, label in names.items():
        if name == "dense":
            cells = [_cell(values(run, name, layers, None))]
            rows.append([label, *cells, *[None] * (len(run.setup.sparsities) - 1)])
            continue
        cells = [_cell(values(run, name, layers, s)) for s in run.setup.sparsities]
        rows.append([label, *cells])
    notes = [
        f"Test accuracy ± half-width of the 95 % t interval over {plural(run.setup.seeds, 'seed')},"
        f" each the mean of {RUNS} networks; recipe {run.setup.recipe_name}, one pruning round for "
        "all. Networks of one seed have the same initial weights and mini-batches in every row. "
        f"A search trains {plural(run.setup.trials, 'candidate')}, the poorer ones not to the end "
        f"({_epochs(run, layers)}), chooses on the validation split (protocol holdout), and its "
        "winner is trained on fresh seeds; the methods below choose nothing and spend nothing on "
        "it. Random search differs in what proposes candidates and in nothing else. The dense row "
        "belongs to no sparsity.",
    ]
    if layers == "hidden":
        notes.append("With one layer to prune, Unif₁ is Glob₁ and ERK-random is random masks.")
    columns = ["method", *(f"s = {sparsity:g}" for sparsity in run.setup.sparsities)]
    return Table(f"Methods, {READINGS[layers]}: test accuracy", columns, rows, notes)


def _epochs(run: Comparison, layers: str) -> str:
    """Return the mean cost of the choice: what a search and its random search spend."""
    spent = [
        record["result"]["epochs"]
        for sparsity in run.setup.sparsities
        for record in _records(run, "pool", layers, sparsity)
    ]
    own, other = (_mean([one[name] for one in spent]) for name in ("search", "random search"))
    return f"{own:.0f} epochs on average, random search {other:.0f}"


def _cell(numbers: Sequence[float]) -> str | None:
    if not numbers:
        return None
    interval = mean_interval(numbers)
    if interval.low is None:
        return f"{interval.estimate:.4f}"
    return f"{interval.estimate:.4f} ± {interval.estimate - interval.low:.4f}"


@dataclass(frozen=True)
class Lead:
    """The search's lead over the best other method at one sparsity, in accuracy."""

    sparsity: float
    rival: str
    lead: Interval
    over_random: Interval


def leads(run: Comparison, layers: str) -> list[Lead]:
    """Return, for each sparsity, the lead over the method of the highest mean, paired by seed."""
    found = []
    for sparsity in run.setup.sparsities:
        own = values(run, SEARCH, layers, sparsity)
        rivals = {name: values(run, name, layers, sparsity) for name in BASELINES}
        best = max(rivals, key=lambda name: _mean(rivals[name]))
        other = values(run, CONTROL, layers, sparsity)
        found.append(
            Lead(sparsity, best, paired_interval(own, rivals[best]), paired_interval(own, other))
        )
    return found


def lead_table(run: Comparison, layers: str) -> Table:
    """Return the leads as a table, in percentage points."""
    rows: list[list[Any]] = [
        [f"{lead.sparsity:g}", BASELINES[lead.rival], points(lead.lead), points(lead.over_random)]
        for lead in leads(run, layers)
    ]
    notes = [
        "Percentage points of test accuracy, 95 % t interval over seeds of the paired differences: "
        "one seed is one search and one network start in every method. The best other method is "
        "the one with the highest mean on these very numbers, which favours it. Not corrected for "
        "there being several sparsities."
    ]
    columns = ["sparsity", "best other method", "lead over it", "lead over random search"]
    return Table(f"Lead of the search, {READINGS[layers]}", columns, rows, notes, 2)


def points(interval: Interval) -> Interval:
    """Return an interval of accuracy in percentage points."""
    low = None if interval.low is None else 100 * interval.low
    high = None if interval.high is None else 100 * interval.high
    return Interval(100 * interval.estimate, low, high, interval.count, interval.level)


def judge(run: Comparison, layers: str) -> list[Verdict]:
    """Return the verdicts: never significantly below, and above at high sparsity."""
    found = leads(run, layers)
    high = [lead for lead in found if lead.sparsity >= HIGH]
    return [_never_below(found, layers), *([_above(high, layers)] if high else [])]


_RULE = "95 % t interval of the paired difference against 0, one sparsity at a time."


def _never_below(found: Sequence[Lead], layers: str) -> Verdict:
    """Judge: where no interval lies below 0 it holds, which is no proof of equality."""
    below = [lead for lead in found if lead.lead.high is not None and lead.lead.high < 0]
    worst = min(found, key=lambda lead: lead.lead.estimate)
    lows = [100 * lead.lead.low for lead in found if lead.lead.low is not None]
    holds: Holds = "holds" if len(lows) == len(found) else "inconclusive"
    reach = (
        f" The widest of the intervals reaches down to {min(lows):.2f} pp." if lows else
        " One seed has no interval."
    )  # fmt: skip
    return Verdict(
        f"The search is never significantly below the best other method ({READINGS[layers]})",
        "does not hold" if below else holds,
        f"below at {len(below)} of {len(found)} sparsities; worst at "
        f"s = {worst.sparsity:g} against {BASELINES[worst.rival]}",
        _text(worst.lead),
        f"{_RULE}{reach} Were they all equal, one would lie below by chance with a probability of "
        f"up to {100 * (1 - 0.975 ** len(found)):.0f} %.",
    )


def _above(high: Sequence[Lead], layers: str) -> Verdict:
    """Judge: every interval above 0 holds; one below what counts as a gain, and it does not."""
    above = [lead for lead in high if lead.lead.low is not None and lead.lead.low > 0]
    none = [lead for lead in high if lead.lead.high is not None and lead.lead.high < LEAST_GAIN]
    least = min(high, key=lambda lead: lead.lead.estimate)
    whole: Holds = "holds" if len(above) == len(high) else "inconclusive"
    return Verdict(
        f"The search is significantly above it at s >= {HIGH:g} ({READINGS[layers]})",
        "does not hold" if none else whole,
        f"above at {len(above)} of {len(high)}; least at s = {least.sparsity:g} against "
        f"{BASELINES[least.rival]}",
        _text(least.lead),
        f"{_RULE} Does not hold where a lead is below {100 * LEAST_GAIN:g} pp for certain, "
        "inconclusive where an interval includes 0 otherwise.",
    )


def _text(interval: Interval) -> str:
    lead = points(interval)
    if lead.low is None:
        return f"{lead.estimate:+.2f} pp (n={lead.count})"
    return f"{lead.estimate:+.2f} [{lead.low:.2f}, {lead.high:.2f}] (n={lead.count}) pp"


def control_table(run: Comparison, layers: str) -> Table:
    """Return what the controls take from the winner: mean leads over seeds, in points."""
    found: dict[tuple[str, float], list[float]] = {}
    for sparsity in run.setup.sparsities:
        for record in _records(run, "pool", layers, sparsity):
            own = record["result"]["finals"]
            for name, others in record["result"]["controls"].items():
                lead = 100 * (_mean(own) - _mean(others))
                found.setdefault((name, sparsity), []).append(lead)
    names = dict.fromkeys(name for name, _ in found)
    rows = [
        [name, *(_lead_cell(found.get((name, s), [])) for s in run.setup.sparsities)]
        for name in names
    ]
    notes = [
        "What the search's winner has over itself with one thing taken away, in percentage points "
        "of test accuracy: mean ± half-width of the 95 % t interval over the seeds to whose winner "
        "the control applies, their number in brackets."
    ]
    columns = ["control", *(f"s = {sparsity:g}" for sparsity in run.setup.sparsities)]
    return Table(f"Controls, {READINGS[layers]}: lead of the winner", columns, rows, notes)


def _lead_cell(numbers: Sequence[float]) -> str | None:
    if not numbers:
        return None
    interval = mean_interval(numbers)
    if interval.low is None:
        return f"{interval.estimate:+.2f} ({interval.count})"
    half = interval.estimate - interval.low
    return f"{interval.estimate:+.2f} ± {half:.2f} ({interval.count})"
