"""Tables 1 and 2: the paper's figures, ours, and the interval, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bogp.analysis import Interval, bootstrap_interval, mean_interval
from bogp.replication.plan import METHOD_NAMES
from bogp.replication.run import Run
from bogp.report import Table, TradeoffPoint, plural
from bogp.report.search_tables import PAPER_TABLE2

PAPER_DENSE = 0.970
"""The paper's base model (table 1)."""

PAPER_TABLE1: dict[str, dict[float, float]] = {
    name: dict(zip((0.15, 0.30, 0.45, 0.60, 0.75, 0.90), row, strict=True))
    for name, row in {
        "bogp": (0.972, 0.972, 0.970, 0.968, 0.966, 0.951),
        "glob1": (0.971, 0.970, 0.970, 0.967, 0.965, 0.945),
        "glob5": (0.972, 0.972, 0.971, 0.970, 0.966, 0.962),
        "unif1": (0.970, 0.970, 0.969, 0.966, 0.963, 0.810),
        "unif5": (0.972, 0.972, 0.971, 0.970, 0.965, 0.950),
    }.items()
}
"""The paper's table 1: accuracy on the 10,000 images, by method and sparsity."""

LABELS = {
    "bogp": "BoGP, best of the search",
    "bogp fresh": "BoGP, its winner on a fresh seed",
    "random": "random masks, best of as many",
    "random fresh": "random masks, their winner on a fresh seed",
    "glob1": "Glob₁",
    "glob5": "Glob₅",
    "unif1": "Unif₁",
    "unif5": "Unif₅",
}
"""The rows of table 1; the first is what the paper calls BoGP."""

READINGS = {"hidden": "hidden layer only", "all": "all layers"}


def protocol_note(run: Run) -> str:
    """Return the sentence that every table of protocol ``paper`` carries."""
    return (
        f"Protocol paper: the same {len(run.dataset.test_targets):,} test images selected the "
        "winner of a search and report it, so that 'best of' rows are biased upwards; rows 'on a "
        "fresh seed' train the winning mask anew."
    )


def pick(run: Run, kind: str, **wanted: Any) -> list[dict[str, Any]]:
    """Return the records of one kind whose fields have the wanted values, by seed."""
    found = [
        record
        for record in run.records.values()
        if record["kind"] == kind
        and all(record["fields"].get(name) == value for name, value in wanted.items())
    ]
    return sorted(found, key=lambda record: int(record["fields"]["seed"]))


def table1_values(run: Run, method: str, layers: str, sparsity: float) -> list[float]:
    """Return the accuracies of one cell of table 1, one a seed."""
    if method in METHOD_NAMES:
        # One layer has one scope: there Glob's runs are Unif's.
        name = method.replace("unif", "glob") if layers == "hidden" else method
        found = pick(run, "method", name=name, layers=layers, sparsity=sparsity)
        return [record["result"]["accuracy"] for record in found]
    engine = "random" if method.startswith("random") else "paper"
    found = pick(run, "search", engine=engine, layers=layers, sparsity=sparsity, metric="cosine")
    if method.endswith("fresh"):
        return [float(np.mean(record["result"]["finals"])) for record in found]
    return [record["result"]["accuracy"] for record in found]


def dense_values(run: Run) -> list[float]:
    """Return the accuracies of the dense network, one a seed."""
    return [record["result"]["accuracy"] for record in pick(run, "method", name="dense")]


def interval_of(values: Sequence[float]) -> Interval | None:
    """Return the mean's interval, or None where there is no value."""
    return mean_interval(values) if values else None


def table1(run: Run, layers: str) -> Table:
    """Return table 1 for one reading: a column a sparsity, the paper's figure before ours."""
    rows: list[list[str | None]] = []
    dense = interval_of(dense_values(run))
    rows.append(["dense (s = 0)", *[_pair(PAPER_DENSE, dense)], *[None] * _rest(run)])
    for method, label in LABELS.items():
        cells = [
            _pair(
                PAPER_TABLE1.get(method, {}).get(sparsity),
                interval_of(table1_values(run, method, layers, sparsity)),
            )
            for sparsity in run.setup.sparsities
        ]
        if any(cells):
            rows.append([label, *cells])
    half = " ± half-width of the 95 % t interval" if run.setup.seeds > 1 else ""
    notes = [
        f"Paper → ours{half} over {plural(run.setup.seeds, 'seed')}; recipe "
        f"{run.setup.recipe_name}; {run.setup.trials} trials a search. The dense "
        "row's figure is in the first column and belongs to no sparsity.",
        protocol_note(run),
    ]
    if layers == "hidden":
        notes.append("With one layer to prune, global and uniform scope are the same runs.")
    columns = ["method", *(f"s = {sparsity:g}" for sparsity in run.setup.sparsities)]
    return Table(f"Table 1, {READINGS[layers]}: accuracy", columns, rows, notes)


def _rest(run: Run) -> int:
    return len(run.setup.sparsities) - 1


def _pair(paper: float | None, ours: Interval | None) -> str | None:
    if ours is None:
        return None
    theirs = "" if paper is None else f"{paper:.3f} → "
    if ours.low is None or ours.high is None:
        return f"{theirs}{ours.estimate:.3f}"
    return f"{theirs}{ours.estimate:.3f} ± {(ours.high - ours.low) / 2:.3f}"


def table1_long(run: Run) -> Table:
    """Return every cell of table 1 as a row, for CSV."""
    rows: list[list[Any]] = [["dense", "", 0.0, PAPER_DENSE, interval_of(dense_values(run))]]
    rows += [
        [
            method,
            layers,
            sparsity,
            PAPER_TABLE1.get(method, {}).get(sparsity),
            interval_of(table1_values(run, method, layers, sparsity)),
        ]
        for layers in run.setup.readings
        for method in LABELS
        for sparsity in run.setup.sparsities
    ]
    columns = ["method", "layers pruned", "sparsity", "paper", "ours"]
    return Table("Table 1", columns, [row for row in rows if row[-1] is not None])


def tradeoff_points(run: Run) -> list[TradeoffPoint]:
    """Return what the winners of table 2 have at each alpha: fresh-seed accuracy and sparsity."""
    points = []
    for alpha in run.setup.alphas:
        found = [record["result"] for record in pick(run, "search", alpha=alpha)]
        if found:
            accuracy = mean_interval([float(np.mean(result["finals"])) for result in found])
            # Bounded and far from normal: a t interval would reach beyond 1.
            reached = [result["sparsity"] for result in found]
            sparsity = bootstrap_interval(reached, statistic=np.mean, seed=0)
            points.append(TradeoffPoint(alpha, accuracy, sparsity))
    return points


def table2(run: Run) -> Table:
    """Return table 2: alpha against accuracy and sparsity, the paper's beside ours."""
    paper = {alpha: (accuracy, sparsity) for alpha, accuracy, sparsity in PAPER_TABLE2}
    rows = [
        [
            f"{point.alpha:g}",
            paper.get(point.alpha, (None, None))[0],
            point.accuracy,
            paper.get(point.alpha, (None, None))[1],
            point.sparsity,
        ]
        for point in tradeoff_points(run)
    ]
    columns = ["α", "accuracy, paper", "accuracy, ours", "sparsity, paper", "sparsity, ours"]
    held = ", ".join(f"{s:g}" for s in run.database.sparsities)
    notes = [
        f"Engine paper maximises accuracy + α · sparsity over graphs of s = {held}; "
        f"{run.setup.trials} trials a search, {plural(run.setup.seeds, 'seed')}, recipe "
        f"{run.setup.recipe_name}, hidden layer only. Accuracy is the winner's on a fresh seed. "
        "95 % intervals: Student t for accuracy, bootstrap for sparsity.",
        protocol_note(run),
    ]
    return Table("Table 2: the trade-off by α", columns, rows, notes)
