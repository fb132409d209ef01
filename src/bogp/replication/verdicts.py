"""The paper's claims, each put to the test: the statistic, its interval, and a word.

A claim *holds* where its interval lies wholly on the claim's side, *does not hold* where it lies
on the other or shows that any effect is below what the claim needs, and is *inconclusive*
otherwise. Each function says its own rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bogp.analysis import (
    Interval,
    PairedTest,
    VarianceComponents,
    correlation_matrix,
    monotonicity,
    paired_interval,
    paired_test,
    partial_rank_correlation,
    rank_correlation,
    seeds_needed,
    strongest_pairs,
    uncorrelated_subset,
    variance_components,
)
from bogp.graphs import CANDIDATES, PAPER_FIVE, properties
from bogp.replication.plan import (
    FIGURE_PROPERTIES,
    METHOD_NAMES,
    five_node_graphs,
    metric_sparsities,
    variance_cases,
    variance_job,
)
from bogp.replication.run import Run
from bogp.replication.tables import READINGS, pick, table1_values
from bogp.report import Table, Verdict, format_interval
from bogp.report.verdicts import Holds

MARGIN = 0.005
"""Half a percentage point: methods closer than this are called on par."""

CORRELATED = 0.7
"""An |r| from which two properties are called correlated (Dormann et al. 2013)."""


def _points(interval: Interval) -> str:
    """Return an interval of accuracies in percentage points."""
    return format_interval(interval, scale=100, digits=2) + " pp"


NEGLIGIBLE = 0.001
"""A tenth of a percentage point, below the standard error of 10,000 test images at 98 %."""


def _sign(interval: Interval) -> Holds:
    """Return "holds" for an interval above zero, "does not hold" for any gain being negligible."""
    if interval.low is not None and interval.low > 0:
        return "holds"
    if interval.high is not None and interval.high < NEGLIGIBLE:
        return "does not hold"
    return "inconclusive"


def variance_of(run: Run, families: Sequence[str], sparsity: float) -> VarianceComponents | None:
    """Return the variance components of one comparison, None where it was not run."""
    table: list[list[float]] = []
    for number in range(run.setup.variance_graphs):
        family = families[number % len(families)]
        keys = [
            variance_job(run.setup, run.dataset, family, sparsity, number, seed).key
            for seed in range(run.setup.seeds)
        ]
        if not all(key in run.records for key in keys):
            return None
        table.append([run.records[key]["result"]["accuracy"] for key in keys])
    return variance_components(table) if len(table) > 1 and len(table[0]) > 1 else None


def variance_table(run: Run) -> Table | None:
    """Return between-graph and between-seed variance of each comparison."""
    rows: list[list[Any]] = []
    for name, families, sparsity in variance_cases(run.setup):
        parts = variance_of(run, families, sparsity)
        if parts is None:
            continue
        need = seeds_needed(parts.between_sd, parts.within_sd)
        between, within = _points(parts.between_interval), _points(parts.within_interval)
        icc = "–" if parts.icc is None else format_interval(parts.icc, digits=2)
        rows.append([name, between, within, icc, parts.p_value, "none" if need is None else need])
    if not rows:
        return None
    columns = ["graphs", "SD between graphs", "SD between seeds", "ICC", "p (F test)", "seeds"]
    note = (
        f"{run.setup.variance_graphs} graphs × {run.setup.seeds} seeds each, one-way random "
        "effects. ICC: share of one run's variance that is the graph's. Seeds: runs a graph needs "
        "for its mean to be 80 % reliable; none where graphs do not differ measurably."
    )
    return Table("Variance of accuracy at fixed sparsity", columns, rows, [note])


def accuracy_varies(run: Run) -> list[Verdict]:
    """Return verdicts that hold where the interval of the ICC is above one half."""
    verdicts = []
    for name, families, sparsity in variance_cases(run.setup):
        parts = variance_of(run, families, sparsity)
        if parts is None or parts.icc is None:
            continue
        holds: Holds = "inconclusive"
        if parts.icc.low is not None and parts.icc.low > 0.5:
            holds = "holds"
        elif parts.icc.high is not None and parts.icc.high < 0.5:
            holds = "does not hold"
        verdicts.append(
            Verdict(
                f"Accuracy varies highly at fixed sparsity as the graph varies ({name})",
                holds,
                f"SD between graphs {100 * parts.between_sd:.2f} pp, between seeds "
                f"{100 * parts.within_sd:.2f} pp; p = {parts.p_value:.2g}",
                f"ICC {format_interval(parts.icc, digits=2)}",
                "Holds if the graph explains more than half of the variance of a run (ICC above "
                f"0.5); {parts.groups} graphs × {parts.values // parts.groups} seeds.",
            )
        )
    return verdicts


def _engine_pairs(run: Run, layers: str, suffix: str) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    theirs: list[float] = []
    for sparsity in run.setup.sparsities:
        a = table1_values(run, f"bogp{suffix}", layers, sparsity)
        b = table1_values(run, f"random{suffix}", layers, sparsity)
        if len(a) == len(b):
            ours, theirs = ours + a, theirs + b
    return ours, theirs


def _test(a: Sequence[float], b: Sequence[float]) -> PairedTest | None:
    return paired_test(a, b) if len(a) > 1 and len(a) == len(b) else None


def beats_random(run: Run) -> list[Verdict]:
    """Return verdicts that hold where the winners on fresh seeds are above random ones."""
    verdicts = []
    for layers in run.setup.readings:
        fresh = _test(*_engine_pairs(run, layers, " fresh"))
        best = _test(*_engine_pairs(run, layers, ""))
        if fresh is None or best is None:
            continue
        verdicts.append(
            Verdict(
                f"Optimisation beats random masks at equal trials ({READINGS[layers]})",
                _sign(fresh.difference),
                f"winners on fresh seeds {100 * fresh.difference.estimate:+.2f} pp, "
                f"p = {fresh.p_value:.2g}; best of {run.setup.trials} "
                f"{100 * best.difference.estimate:+.2f} pp, p = {best.p_value:.2g}",
                _points(fresh.difference),
                f"Paired over {fresh.difference.count} (sparsity, seed) cells, "
                f"{run.setup.trials} trials each; sign-flip test.",
            )
        )
    return verdicts


def five_node_points(run: Run) -> dict[str, np.ndarray[Any, Any]]:
    """Return the points of figures 5 to 7: properties, edges and accuracies (graphs, seeds)."""
    graphs = five_node_graphs()
    batch = np.stack([graph.adjacency for graph in graphs])
    accuracies = [
        [record["result"]["accuracy"] for record in pick(run, "network", atlas=number)]
        for number in range(len(graphs))
    ]
    if not all(accuracies):
        return {}
    return {
        **properties(batch, FIGURE_PROPERTIES),
        "edges": np.array([graph.edges for graph in graphs]),
        "accuracy": np.array(accuracies),
    }


def monotonic(run: Run) -> list[Verdict]:
    """Return verdicts that hold where rho is not zero and a monotonic curve explains most.

    "Most" is 80 % of what any function of the property could explain of the graph means.
    """
    points = five_node_points(run)
    if not points:
        return []
    means = points["accuracy"].mean(axis=1)
    verdicts = []
    for name in FIGURE_PROPERTIES:
        rank = rank_correlation(points[name], means, seed=0)
        shape = monotonicity(points[name], means)
        partial = partial_rank_correlation(points[name], means, points["edges"])
        if rank.interval is None or not shape.ceiling_r2 or shape.isotonic_r2 is None:
            continue
        share = shape.isotonic_r2 / shape.ceiling_r2
        holds: Holds = "inconclusive"
        if rank.interval.excludes(0.0) and share >= 0.8:
            holds = "holds"
        elif share < 0.8:
            holds = "does not hold"
        alone = "–" if partial.interval is None else format_interval(partial.interval, digits=2)
        verdicts.append(
            Verdict(
                f"Accuracy is a monotonic function of {name.replace('_', ' ')}",
                holds,
                f"ρ = {rank.interval.estimate:+.2f}, p = {rank.p_value:.2g}; monotonic share "
                f"{share:.0%} of what the property explains (R² {shape.ceiling_r2:.2f})",
                f"ρ {format_interval(rank.interval, digits=2)}",
                f"Means over {points['accuracy'].shape[1]} seeds of the {len(means)} connected "
                f"5-node graphs. With the number of edges held fixed, ρ is {alone}.",
            )
        )
    return verdicts


def cosine_beats(run: Run) -> list[Verdict]:
    """Return verdicts that hold where cosine beats the other metric on fresh seeds."""
    verdicts = []
    for metric in ("l1", "l2"):
        ours: list[float] = []
        theirs: list[float] = []
        for sparsity in metric_sparsities(run.setup):
            shared = {"engine": "paper", "layers": "hidden", "sparsity": sparsity}
            for values, name in ((ours, "cosine"), (theirs, metric)):
                for record in pick(run, "search", metric=name, **shared):
                    values.append(float(np.mean(record["result"]["finals"])))
        test = _test(ours, theirs)
        if test is None:
            continue
        places = " and ".join(f"{s:g}" for s in metric_sparsities(run.setup))
        verdicts.append(
            Verdict(
                f"Fetching by cosine beats {metric.upper()}",
                _sign(test.difference),
                f"winners on fresh seeds {100 * test.difference.estimate:+.2f} pp, "
                f"p = {test.p_value:.2g}",
                _points(test.difference),
                f"Paired over {test.difference.count} (sparsity, seed) cells at s = {places}, "
                "raw property vectors, hidden layer only.",
            )
        )
    return verdicts


GROUPS = {
    "the best baseline": METHOD_NAMES,
    "the best baseline that trains as long as it (one round)": ("glob1", "unif1"),
}
"""What BoGP is compared with; five rounds train five times as long as its winner."""


def _best_baseline(
    run: Run, names: Sequence[str], layers: str, sparsity: float
) -> tuple[str, list[float]]:
    cells = {name: table1_values(run, name, layers, sparsity) for name in names}
    name = max(cells, key=lambda name: float(np.mean(cells[name])) if cells[name] else 0.0)
    return name, cells[name]


def against_baselines(run: Run) -> list[Verdict]:
    """Return two kinds: on par, within half a point of the best baseline; best, above it."""
    verdicts = []
    for layers in run.setup.readings:
        for group, names in GROUPS.items():
            cells = {}
            for sparsity in run.setup.sparsities:
                ours = table1_values(run, "bogp fresh", layers, sparsity)
                name, theirs = _best_baseline(run, names, layers, sparsity)
                if len(ours) == len(theirs) > 1:
                    cells[sparsity] = (name, paired_interval(ours, theirs))
            if cells:
                verdicts.append(_on_par(cells, layers, group))
            if names == METHOD_NAMES:
                verdicts += [_best_at(cells[s], s, layers) for s in (0.15, 0.75) if s in cells]
    return verdicts


def _on_par(cells: dict[float, tuple[str, Interval]], layers: str, group: str) -> Verdict:
    inside, below = [], []
    for sparsity, (_, interval) in cells.items():
        if interval.low is not None and interval.low > -MARGIN:
            inside.append(sparsity)
        elif interval.high is not None and interval.high < -MARGIN:
            below.append(sparsity)
    holds: Holds = "inconclusive"
    if len(inside) == len(cells):
        holds = "holds"
    elif below:
        holds = "does not hold"
    worst = min(cells, key=lambda s: cells[s][1].estimate)
    name, interval = cells[worst]
    return Verdict(
        f"BoGP is on par with {group} at every sparsity ({READINGS[layers]})",
        holds,
        f"within {100 * MARGIN:g} pp or better at {len(inside)} of {len(cells)} sparsities; "
        f"worst at s = {worst:g} against {name}",
        f"there {_points(interval)}",
        f"Holds if the interval of the difference lies above −{100 * MARGIN:g} pp everywhere, does "
        "not hold if it lies below somewhere. BoGP's winner on a fresh seed, paired by seed.",
    )


def _best_at(cell: tuple[str, Interval], sparsity: float, layers: str) -> Verdict:
    name, interval = cell
    return Verdict(
        f"BoGP is the best method at s = {sparsity:g} ({READINGS[layers]})",
        _sign(interval),
        f"against {name} {100 * interval.estimate:+.2f} pp",
        _points(interval),
        "The winner on a fresh seed against the best baseline, paired by seed.",
    )


def alpha_tradeoff(run: Run) -> list[Verdict]:
    """Return a verdict that holds where sparsity rises and accuracy falls with alpha."""
    records = [r for alpha in run.setup.alphas for r in pick(run, "search", alpha=alpha)]
    if len({record["fields"]["alpha"] for record in records}) < 3:
        return []
    alphas = [record["fields"]["alpha"] for record in records]
    sparsity = rank_correlation(alphas, [r["result"]["sparsity"] for r in records], seed=0)
    finals = [float(np.mean(r["result"]["finals"])) for r in records]
    accuracy = rank_correlation(alphas, finals, seed=0)
    up, down = sparsity.interval, accuracy.interval
    low, high = min(finals), max(finals)
    return [
        Verdict(
            "A larger α trades accuracy for sparsity (table 2)",
            _traded(up, down),
            f"ρ(α, sparsity) = {_rho(up)}, ρ(α, accuracy) = {_rho(down)}",
            " and ".join("–" if i is None else format_interval(i, digits=2) for i in (up, down)),
            f"{len(records)} searches. Accuracies run from {low:.3f} to {high:.3f}; the paper's "
            "from 0.25 to 0.90 (see table 2).",
        )
    ]


def _traded(up: Interval | None, down: Interval | None) -> Holds:
    if up is None or down is None:
        return "inconclusive"
    if _sign(up) == "holds" and _sign(down) == "does not hold":
        return "holds"
    if _sign(up) == "does not hold" or _sign(down) == "holds":
        return "does not hold"
    return "inconclusive"


def _rho(interval: Interval | None) -> str:
    return "undefined (all alike)" if interval is None else f"{interval.estimate:+.2f}"


def correlations(run: Run, sparsity: float | None) -> np.ndarray[Any, Any]:
    """Return the correlations of the nine candidates over the database (figure 8)."""
    return correlation_matrix(_candidate_vectors(run, sparsity))


def _candidate_vectors(run: Run, sparsity: float | None) -> np.ndarray[Any, Any]:
    """Return the nine candidates of the graphs of one sparsity, or of all of table 1's."""
    wanted = run.setup.sparsities if sparsity is None else (sparsity,)
    return np.concatenate([run.database.vectors(CANDIDATES, s)[1] for s in wanted])


def five_uncorrelated(run: Run) -> list[Verdict]:
    """Return verdicts that hold where all five vary and every |r| is below 0.7."""
    verdicts = []
    high = max(run.setup.sparsities)
    for where, sparsity in (("over all sparsities", None), (f"at s = {high:g}", high)):
        matrix = correlations(run, sparsity)
        best = uncorrelated_subset(matrix, CANDIDATES, CORRELATED)
        pairs = strongest_pairs(matrix, CANDIDATES, PAPER_FIVE)
        constant = [name for name in PAPER_FIVE if name in best.constant]
        worst = pairs[0] if pairs else None
        apart = worst is None or abs(worst.correlation) < CORRELATED
        told = f"constant: {', '.join(constant)}; " if constant else ""
        pair = (
            "no pair varies"
            if worst is None
            else f"{worst.first} and {worst.second} r = {worst.correlation:+.3f}"
        )
        size = len(_candidate_vectors(run, sparsity))
        verdicts.append(
            Verdict(
                f"The five chosen properties are the uncorrelated ones ({where})",
                "holds" if apart and not constant else "does not hold",
                told + pair,
                f"{size} graphs: standard error of r at most {1 / math.sqrt(size - 1):.2g}",
                f"Largest sets with every |r| below {CORRELATED}: "
                + "; ".join(", ".join(names) for names in best.largest[:3])
                + ". A constant property has no correlation and tells a search nothing.",
            )
        )
    return verdicts


def verdicts(run: Run) -> list[Verdict]:
    """Return the verdict on every claim that the records can speak to."""
    return [
        *accuracy_varies(run),
        *beats_random(run),
        *monotonic(run),
        *cosine_beats(run),
        *against_baselines(run),
        *alpha_tradeoff(run),
        *five_uncorrelated(run),
    ]
