"""Tables 1 and 2 and the numbers behind the figures: the paper's, ours, and the interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bogp.analysis import (
    Interval,
    VarianceComponents,
    bootstrap_interval,
    correlation_matrix,
    mean_interval,
    seeds_needed,
    variance_components,
)
from bogp.graphs import CANDIDATES, properties
from bogp.replication.plan import five_node_graphs, variance_case_jobs, variance_cases
from bogp.replication.records import Row, mean, pick
from bogp.replication.setup import READINGS, Run
from bogp.report import PAPER_TABLE2, Table, TradeoffPoint, format_interval, plural
from bogp.types import Floats

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

_PAPER = {"engine": "paper", "metric": "cosine"}
_RANDOM = {"engine": "random", "metric": "cosine"}

TABLE1 = {
    "bogp": Row("BoGP, best of the search", "search", "accuracy", _PAPER),
    "bogp fresh": Row("BoGP, its winner on a fresh seed", "search", "finals", _PAPER),
    "random": Row("random masks, best of as many", "search", "accuracy", _RANDOM),
    "random fresh": Row("random masks, their winner on a fresh seed", "search", "finals", _RANDOM),
    "glob1": Row("Glob₁", "method", "accuracy", {"name": "glob1"}),
    "glob5": Row("Glob₅", "method", "accuracy", {"name": "glob5"}),
    "unif1": Row("Unif₁", "method", "accuracy", {"name": "unif1"}),
    "unif5": Row("Unif₅", "method", "accuracy", {"name": "unif5"}),
}
"""The rows of table 1; the first is what the paper calls BoGP."""

DENSE = Row("dense (s = 0)", "method", "accuracy", {"name": "dense"})

SAME = {"unif1": "glob1", "unif5": "glob5"}
"""With one layer to prune there is one scope: there Glob's runs are Unif's."""

FIGURE_PROPERTIES = {
    "fig5": "clustering",
    "fig6": "average_shortest_path_length",
    "fig7": "eigenvector_centrality",
}
"""The properties of the paper's figures 5, 6 and 7."""


def table1_values(run: Run, method: str, layers: str, sparsity: float) -> list[float]:
    """Return the accuracies of one cell of table 1, one a seed."""
    row = TABLE1[SAME.get(method, method) if layers == "hidden" else method]
    return row.values(run.records, layers=layers, sparsity=sparsity)


def table1_cell(run: Run, method: str, layers: str, sparsity: float) -> Interval | None:
    """Return the mean accuracy of one cell of table 1, or None where it was not run."""
    return _interval(table1_values(run, method, layers, sparsity))


def _interval(values: Sequence[float]) -> Interval | None:
    return mean_interval(values) if values else None


def table1(run: Run, layers: str) -> Table:
    """Return table 1 for one reading: a column a sparsity, the paper's figure before ours."""
    sparsities = run.setup.sparsities
    dense = _pair(PAPER_DENSE, _interval(DENSE.values(run.records)))
    rows: list[list[str | None]] = [[DENSE.label, dense, *[None] * (len(sparsities) - 1)]]
    for method, row in TABLE1.items():
        cells = [_pair(_paper(method, s), table1_cell(run, method, layers, s)) for s in sparsities]
        if any(cells):
            rows.append([row.label, *cells])
    half = " ± half-width of the 95 % t interval" if run.setup.seeds > 1 else ""
    notes = [
        f"Paper → ours{half} over {plural(run.setup.seeds, 'seed')}; recipe "
        f"{run.setup.recipe_name}; {run.setup.trials} trials a search. The dense "
        "row's figure is in the first column and belongs to no sparsity.",
        _protocol_note(run),
    ]
    if layers == "hidden":
        notes.append("With one layer to prune, global and uniform scope are the same runs.")
    columns = ["method", *(f"s = {sparsity:g}" for sparsity in sparsities)]
    return Table(f"Table 1, {READINGS[layers]}: accuracy", columns, rows, notes)


def _paper(method: str, sparsity: float) -> float | None:
    """Return the paper's figure of one cell of table 1, where it has one."""
    return PAPER_TABLE1.get(method, {}).get(sparsity)


def _pair(paper: float | None, ours: Interval | None) -> str | None:
    """Return the paper's figure and ours as the text of one cell."""
    if ours is None:
        return None
    theirs = "" if paper is None else f"{paper:.3f} → "
    if ours.low is None or ours.high is None:
        return f"{theirs}{ours.estimate:.3f}"
    return f"{theirs}{ours.estimate:.3f} ± {(ours.high - ours.low) / 2:.3f}"


def _protocol_note(run: Run) -> str:
    """Return the sentence that every table of protocol ``paper`` carries."""
    return (
        f"Protocol paper: the same {len(run.dataset.test_targets):,} test images selected "
        "the winner of a search and report it, so that 'best of' rows are biased upwards; rows 'on "
        "a fresh seed' train the winning mask anew."
    )


def table1_long(run: Run) -> Table:
    """Return every cell of table 1 as a row of values."""
    dense = _interval(DENSE.values(run.records))
    rows: list[list[Any]] = [["dense", "", 0.0, PAPER_DENSE, dense]]
    rows += [
        [method, layers, s, _paper(method, s), table1_cell(run, method, layers, s)]
        for layers in run.setup.readings
        for method in TABLE1
        for s in run.setup.sparsities
    ]
    columns = ["method", "layers pruned", "sparsity", "paper", "ours"]
    return Table("Table 1", columns, [row for row in rows if row[-1] is not None])


def tradeoff_points(run: Run) -> list[TradeoffPoint]:
    """Return what the winners of table 2 have at each alpha: fresh-seed accuracy and sparsity."""
    points = []
    for alpha in run.setup.alphas:
        found = [record["result"] for record in pick(run.records, "search", alpha=alpha)]
        if found:
            accuracy = mean_interval([mean(result["finals"]) for result in found])
            # Bounded and far from normal: a t interval would reach beyond 1.
            reached = [result["sparsity"] for result in found]
            sparsity = bootstrap_interval(reached, statistic=np.mean, seed=0)
            points.append(TradeoffPoint(alpha, accuracy, sparsity))
    return points


def table2(run: Run) -> Table:
    """Return table 2: alpha against accuracy and sparsity, the paper's beside ours."""
    paper = {alpha: (accuracy, sparsity) for alpha, accuracy, sparsity in PAPER_TABLE2}
    rows: list[list[Any]] = []
    for point in tradeoff_points(run):
        accuracy, sparsity = paper.get(point.alpha, (None, None))
        rows.append([f"{point.alpha:g}", accuracy, point.accuracy, sparsity, point.sparsity])
    columns = ["α", "accuracy, paper", "accuracy, ours", "sparsity, paper", "sparsity, ours"]
    held = ", ".join(f"{s:g}" for s in run.inputs.database.sparsities)
    notes = [
        f"Engine paper maximises accuracy + α · sparsity over graphs of s = {held}; "
        f"{run.setup.trials} trials a search, {plural(run.setup.seeds, 'seed')}, recipe "
        f"{run.setup.recipe_name}, hidden layer only. Accuracy is the winner's on a fresh seed. "
        "95 % intervals: Student t for accuracy, bootstrap for sparsity.",
        _protocol_note(run),
    ]
    return Table("Table 2: the trade-off by α", columns, rows, notes)


def variances(run: Run) -> dict[str, VarianceComponents]:
    """Return the variance components of each comparison of variances that was run, by its name."""
    found = {}
    for name, families, sparsity in variance_cases(run.setup):
        jobs = variance_case_jobs(run.setup, run.inputs, families, sparsity)
        if not all(job.key in run.records for row in jobs for job in row):
            continue
        if len(jobs) > 1 and len(jobs[0]) > 1:
            accuracies = [
                [run.records[job.key]["result"]["accuracy"] for job in row] for row in jobs
            ]
            found[name] = variance_components(accuracies)
    return found


def variance_table(run: Run, found: Mapping[str, VarianceComponents]) -> Table:
    """Return between-graph and between-seed variance of each comparison."""
    rows: list[list[Any]] = []
    for name, parts in found.items():
        need = seeds_needed(parts.between_sd, parts.within_sd)
        between, within = in_points(parts.between_interval), in_points(parts.within_interval)
        icc = "–" if parts.icc is None else format_interval(parts.icc, digits=2)
        rows.append([name, between, within, icc, parts.p_value, "none" if need is None else need])
    columns = ["graphs", "SD between graphs", "SD between seeds", "ICC", "p (F test)", "seeds"]
    note = (
        f"{run.setup.variance_graphs} graphs × {run.setup.seeds} seeds each, one-way random "
        "effects. ICC: share of one run's variance that is the graph's. Seeds: runs a graph needs "
        "for its mean to be 80 % reliable; none where graphs do not differ measurably."
    )
    return Table("Variance of accuracy at fixed sparsity", columns, rows, [note])


def in_points(interval: Interval) -> str:
    """Return an interval of accuracies as text, in percentage points."""
    return format_interval(interval, scale=100, digits=2) + " pp"


def five_node_points(run: Run) -> dict[str, Floats]:
    """Return the points of figures 5 to 7, or none where a graph has no record.

    They are the three properties and the edges of each graph (graphs,), and its accuracies
    (graphs, seeds).
    """
    graphs = five_node_graphs()
    accuracies = [
        [record["result"]["accuracy"] for record in pick(run.records, "network", atlas=number)]
        for number in range(len(graphs))
    ]
    if not all(accuracies):
        return {}
    batch = np.stack([graph.adjacency for graph in graphs])
    return {
        **properties(batch, tuple(FIGURE_PROPERTIES.values())),
        "edges": np.array([graph.edges for graph in graphs]),
        "accuracy": np.array(accuracies),
    }


def five_node_table(run: Run) -> Table:
    """Return the points of figures 5 to 7, a row a training."""
    points = five_node_points(run)
    described = {name: column for name, column in points.items() if name != "accuracy"}
    rows = [
        [
            number,
            *(float(column[number]) for column in described.values()),
            record["fields"]["seed"],
            record["result"]["accuracy"],
        ]
        for number in range(len(points.get("accuracy", ())))
        for record in pick(run.records, "network", atlas=number)
    ]
    columns = ["graph", *described, "seed", "accuracy"]
    return Table("Accuracy of the 5-node graphs", columns, rows)


def candidate_vectors(run: Run, sparsity: float | None) -> Floats:
    """Return the nine candidates of the graphs of one sparsity, or of all of table 1's."""
    wanted = run.setup.sparsities if sparsity is None else (sparsity,)
    return np.concatenate([run.inputs.database.vectors(CANDIDATES, s)[1] for s in wanted])


def correlations(run: Run, sparsity: float | None) -> Floats:
    """Return the correlations of the nine candidates over the database (figure 8)."""
    return correlation_matrix(candidate_vectors(run, sparsity))


def correlation_table(matrix: Floats) -> Table:
    """Return the correlations of the nine candidates as a table."""
    rows: list[list[Any]] = [
        [name, *map(float, row)] for name, row in zip(CANDIDATES, matrix, strict=True)
    ]
    return Table("Correlation", ["property", *CANDIDATES], rows)
