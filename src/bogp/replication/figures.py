"""The paper's figures 5 to 8, and table 1 and 2 as pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from bogp.analysis import mean_interval, rank_correlation
from bogp.graphs import CANDIDATES, PAPER_FIVE
from bogp.replication.plan import METHOD_NAMES
from bogp.replication.run import Run
from bogp.replication.tables import (
    LABELS,
    PAPER_TABLE1,
    READINGS,
    interval_of,
    pick,
    table1_values,
    tradeoff_points,
)
from bogp.replication.verdicts import correlations, five_node_points
from bogp.report import (
    accuracy_by_sparsity,
    correlation_heatmap,
    plural,
    property_scatter,
    search_trace,
    tradeoff,
)
from bogp.report.search_tables import PAPER_TABLE2

FIGURE_OF_PROPERTY = {
    "fig5": "clustering",
    "fig6": "average_shortest_path_length",
    "fig7": "eigenvector_centrality",
}

Drawn = tuple[str, str, Figure]  # file stem, caption, figure


def table1_figures(run: Run) -> list[Drawn]:
    """Return accuracy by sparsity for each reading, ours and the paper's."""
    drawn = []
    for layers in run.setup.readings:
        names = ["bogp", "bogp fresh", "random", "glob1", "glob5"]
        names += [] if layers == "hidden" else ["unif1", "unif5"]
        series = {}
        for name in names:
            cells = [
                (s, interval_of(table1_values(run, name, layers, s))) for s in run.setup.sparsities
            ]
            found = [(s, interval) for s, interval in cells if interval is not None]
            if found:
                series[LABELS[name]] = found
        if not series:
            continue
        wanted = set(run.setup.sparsities)
        paper = {
            LABELS[name]: [(s, a) for s, a in PAPER_TABLE1[name].items() if s in wanted]
            for name in names
            if name in ("bogp", *METHOD_NAMES) and LABELS[name] in series
        }
        title = f"Table 1 as a figure: {READINGS[layers]}"
        caption = (
            f"{title}. Filled: ours with 95 % intervals over {plural(run.setup.seeds, 'seed')}, "
            f"recipe {run.setup.recipe_name}; hollow: the paper's. Protocol paper."
        )
        figure = accuracy_by_sparsity(series, paper, title=title)
        drawn.append((f"table1-{layers}", caption, figure))
    return drawn


def trace_figures(run: Run) -> list[Drawn]:
    """Return the course of the searches at the highest sparsity."""
    high = max(run.setup.sparsities)
    traces = {
        name: [
            np.array([trial["accuracy"] for trial in record["result"]["trials"]])
            for record in pick(
                run, "search", engine=engine, layers="hidden", sparsity=high, metric="cosine"
            )
        ]
        for name, engine in (("BoGP (engine paper)", "paper"), ("random masks", "random"))
    }
    if not all(traces.values()):
        return []
    title = f"Best accuracy so far at s = {high:g}, hidden layer only"
    caption = f"{title}: one thin line a seed, thick their mean. Protocol paper."
    return [("search", caption, search_trace(traces, title=title))]


def tradeoff_figures(run: Run) -> list[Drawn]:
    """Return table 2 as a figure."""
    points = tradeoff_points(run)
    if not points:
        return []
    wanted = {point.alpha for point in points}
    paper = [row for row in PAPER_TABLE2 if row[0] in wanted]
    caption = "Table 2: what the winner of f2 has at each α; hollow: the paper's."
    return [("table2", caption, tradeoff(points, paper))]


def property_figures(run: Run, wanted: tuple[str, ...]) -> list[Drawn]:
    """Return figures 5, 6 and 7: accuracy against a property of all 5-node graphs."""
    points = five_node_points(run)
    if not points:
        return []
    accuracy = points["accuracy"]
    means = accuracy.mean(axis=1)
    errors = None
    if accuracy.shape[1] > 1:
        intervals = [mean_interval(row) for row in accuracy]
        errors = np.array([(i.high or 0.0) - i.estimate for i in intervals])
    drawn = []
    for name in wanted:
        prop = FIGURE_OF_PROPERTY[name]
        rank = rank_correlation(points[prop], means, seed=0)
        note = "ρ undefined" if rank.rho is None else f"ρ = {rank.rho:+.2f}, p = {rank.p_value:.2g}"
        label = prop.replace("_", " ")
        title = f"Figure {name[3:]}: accuracy against {label}"
        figure = property_scatter(
            points[prop].tolist(),
            means.tolist(),
            errors,
            points["edges"].tolist(),
            xlabel=label,
            ylabel="test accuracy",
            title=title,
            note=f"{len(means)} connected 5-node graphs, 3 hidden layers; {note}",
        )
        caption = (
            f"{title}. Mean and 95 % interval over {plural(accuracy.shape[1], 'seed')} of all "
            f"connected 5-node graphs, {run.setup.width} units in each of 3 hidden layers."
        )
        drawn.append((name, caption, figure))
    return drawn


def correlation_figures(run: Run) -> list[Drawn]:
    """Return figure 8: the nine candidates over all sparsities, and at the highest alone."""
    high = max(run.setup.sparsities)
    drawn = []
    for stem, where, sparsity in (
        ("fig8", "over all sparsities", None),
        ("fig8-fixed", f"at s = {high:g}", high),
    ):
        title = f"Figure 8: correlation of nine properties {where}"
        caption = (
            f"{title}: Pearson's r over the graphs of the database; in bold the paper's five; "
            "hatched: constant."
        )
        matrix = correlations(run, sparsity)
        figure = correlation_heatmap(matrix, CANDIDATES, title, highlight=PAPER_FIVE)
        drawn.append((stem, caption, figure))
    return drawn


FIGURES: dict[str, Callable[[Run], list[Drawn]]] = {
    "table1": lambda run: table1_figures(run) + trace_figures(run),
    "table2": tradeoff_figures,
    "fig5": lambda run: property_figures(run, ("fig5",)),
    "fig6": lambda run: property_figures(run, ("fig6",)),
    "fig7": lambda run: property_figures(run, ("fig7",)),
    "fig8": correlation_figures,
}
"""What draws each part of the paper."""
