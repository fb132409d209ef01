"""The paper's figures 5 to 8, and tables 1 and 2 as pictures."""

from __future__ import annotations

import numpy as np

from bogp.analysis import mean_interval, rank_correlation
from bogp.graphs import CANDIDATES, PAPER_FIVE
from bogp.replication.plan import METHOD_NAMES
from bogp.replication.records import pick
from bogp.replication.setup import READINGS, Run
from bogp.replication.tables import (
    FIGURE_PROPERTIES,
    PAPER_TABLE1,
    TABLE1,
    correlations,
    five_node_points,
    table1_cell,
    tradeoff_points,
)
from bogp.report import (
    PAPER_TABLE2,
    Picture,
    accuracy_by_sparsity,
    correlation_heatmap,
    plural,
    property_scatter,
    search_trace,
    tradeoff,
)


def table1_figures(run: Run) -> list[Picture]:
    """Return accuracy by sparsity for each reading, ours and the paper's."""
    drawn = []
    for layers in run.setup.readings:
        names = ["bogp", "bogp fresh", "random", "glob1", "glob5"]
        names += [] if layers == "hidden" else ["unif1", "unif5"]
        ours, papers = {}, {}
        for name in names:
            cells = [(s, table1_cell(run, name, layers, s)) for s in run.setup.sparsities]
            found = [(s, interval) for s, interval in cells if interval is not None]
            if not found:
                continue
            label = TABLE1[name].label
            ours[label] = found
            if name in ("bogp", *METHOD_NAMES):
                wanted = PAPER_TABLE1[name].items()
                papers[label] = [(s, value) for s, value in wanted if s in run.setup.sparsities]
        if not ours:
            continue
        title = f"Table 1 as a figure: {READINGS[layers]}"
        caption = (
            f"{title}. Filled: ours with 95 % intervals over {plural(run.setup.seeds, 'seed')}, "
            f"recipe {run.setup.recipe_name}; hollow: the paper's. Protocol paper."
        )
        figure = accuracy_by_sparsity(ours, papers, title=title)
        drawn.append(Picture(figure, caption, f"table1-{layers}"))
    return drawn


def trace_figures(run: Run) -> list[Picture]:
    """Return the course of the searches at the highest sparsity."""
    high = max(run.setup.sparsities)
    traces = {
        name: [
            np.array([trial["accuracy"] for trial in record["result"]["trials"]])
            for record in pick(
                run.records, "search", **TABLE1[row].fields, layers="hidden", sparsity=high
            )
        ]
        for name, row in (("BoGP (engine paper)", "bogp"), ("random masks", "random"))
    }
    if not all(traces.values()):
        return []
    title = f"Best accuracy so far at s = {high:g}, hidden layer only"
    caption = f"{title}: one thin line a seed, thick their mean. Protocol paper."
    return [Picture(search_trace(traces, title=title), caption, "search")]


def tradeoff_figures(run: Run) -> list[Picture]:
    """Return table 2 as a figure."""
    points = tradeoff_points(run)
    if not points:
        return []
    wanted = {point.alpha for point in points}
    paper = [row for row in PAPER_TABLE2 if row[0] in wanted]
    caption = "Table 2: what the winner of f2 has at each α; hollow: the paper's."
    return [Picture(tradeoff(points, paper), caption, "table2")]


def property_figures(run: Run, part: str) -> list[Picture]:
    """Return figure 5, 6 or 7: accuracy against a property of all 5-node graphs."""
    points = five_node_points(run)
    if not points:
        return []
    accuracy, name = points["accuracy"], FIGURE_PROPERTIES[part]
    means = accuracy.mean(axis=1)
    errors = None
    if accuracy.shape[1] > 1:
        intervals = [mean_interval(row) for row in accuracy]
        errors = np.array([(i.high or 0.0) - i.estimate for i in intervals])
    rank = rank_correlation(points[name], means, seed=0)
    note = "ρ undefined" if rank.rho is None else f"ρ = {rank.rho:+.2f}, p = {rank.p_value:.2g}"
    label = name.replace("_", " ")
    title = f"Figure {part[3:]}: accuracy against {label}"
    figure = property_scatter(
        points[name].tolist(),
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
    return [Picture(figure, caption, part)]


def correlation_figures(run: Run) -> list[Picture]:
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
        drawn.append(Picture(figure, caption, stem))
    return drawn
