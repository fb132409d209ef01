"""The paper: the jobs of each of its tables and figures, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bogp.analysis import mean_interval, rank_correlation
from bogp.graphs import CANDIDATES, PAPER_FIVE
from bogp.replication import plan, tables
from bogp.replication.claims import verdicts
from bogp.replication.jobs import Job
from bogp.replication.publish import Publication
from bogp.replication.records import pick
from bogp.replication.setup import READINGS, Inputs, Run, Setup
from bogp.report import (
    PAPER_TABLE2,
    Picture,
    Section,
    Table,
    accuracy_by_sparsity,
    correlation_heatmap,
    plural,
    property_scatter,
    search_trace,
    tradeoff,
)

Shown = tuple[Section, dict[str, Table]]
"""What is shown of a part, and its tables of values by file stem."""

ALL = "all"
"""What ``bogp reproduce`` calls all parts of the paper with the verdicts on its claims."""

UNIFORM = {"family": "uniform", "names": (*CANDIDATES, "cycle_length")}
"""What the graph database holds. The keys of all records hash the database's plan, so neither its
family nor its properties follow the defaults of a new database."""


def _table1_figures(run: Run) -> list[Picture]:
    """Return accuracy by sparsity for each reading, ours and the paper's."""
    drawn = []
    for layers in run.setup.readings:
        names = ["bogp", "bogp fresh", "random", "glob1", "glob5"]
        names += [] if layers == "hidden" else ["unif1", "unif5"]
        ours, papers = {}, {}
        for name in names:
            cells = [(s, tables.table1_cell(run, name, layers, s)) for s in run.setup.sparsities]
            found = [(s, interval) for s, interval in cells if interval is not None]
            if not found:
                continue
            label = tables.TABLE1[name].label
            ours[label] = found
            if name in ("bogp", *plan.METHOD_NAMES):
                wanted = tables.PAPER_TABLE1[name].items()
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


def _trace_figures(run: Run) -> list[Picture]:
    """Return the course of the searches at the highest sparsity."""
    high = max(run.setup.sparsities)
    traces = {
        name: [
            np.array([trial["accuracy"] for trial in record["result"]["trials"]])
            for record in pick(
                run.records, "search", **tables.TABLE1[row].fields, layers="hidden", sparsity=high
            )
        ]
        for name, row in (("BoGP (engine paper)", "bogp"), ("random masks", "random"))
    }
    if not all(traces.values()):
        return []
    title = f"Best accuracy so far at s = {high:g}, hidden layer only"
    caption = f"{title}: one thin line a seed, thick their mean. Protocol paper."
    return [Picture(search_trace(traces, title=title), caption, "search")]


def _table1(run: Run) -> Shown:
    both = "Both readings of which layers are pruned. " if len(run.setup.readings) > 1 else ""
    text = (
        f"{both}Each round of Glob₅ and Unif₅ prunes, then trains for the whole recipe, so that "
        "they train five times as long as the others; a search trains its masks once each."
    )
    shown = [tables.table1(run, layers) for layers in run.setup.readings]
    values = {"table1": tables.table1_long(run)}
    if found := tables.variances(run):
        values["variance"] = tables.variance_table(run, found)
        shown.append(values["variance"])
    figures = [*_table1_figures(run), *_trace_figures(run)]
    return Section("Table 1: pruning methods", text, shown, figures), values


def _table2(run: Run) -> Shown:
    table, points, figures = tables.table2(run), tables.tradeoff_points(run), []
    if points:
        wanted = {point.alpha for point in points}
        paper = [row for row in PAPER_TABLE2 if row[0] in wanted]
        caption = "Table 2: what the winner of f2 has at each α; hollow: the paper's."
        figures.append(Picture(tradeoff(points, paper), caption, "table2"))
    return Section("Table 2: the trade-off", "", [table], figures), {"table2": table}


def _properties(part: str, words: str, run: Run) -> Shown:
    """Return figure 5, 6 or 7: accuracy against a property of all 5-node graphs."""
    section = Section(f"Figure {part[3:]}: {words}", figures=_property_figures(run, part))
    return section, {part: tables.five_node_table(run)}


def _property_figures(run: Run, part: str) -> list[Picture]:
    """Return figure 5, 6 or 7: accuracy against a property of all 5-node graphs."""
    points = tables.five_node_points(run)
    if not points:
        return []
    accuracy, name = points["accuracy"], tables.FIGURE_PROPERTIES[part]
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


def _figure8(run: Run) -> Shown:
    """Return the correlations of the nine candidates, over all sparsities and at the highest."""
    text = (
        "Over all sparsities density drives nearly every property; at one sparsity the edge count "
        "is fixed, and what it decides is constant."
    )
    high, figures, values = max(run.setup.sparsities), [], {}
    for stem, where, sparsity in (
        ("fig8", "over all sparsities", None),
        ("fig8-fixed", f"at s = {high:g}", high),
    ):
        title = f"Figure 8: correlation of nine properties {where}"
        caption = (
            f"{title}: Pearson's r over the graphs of the database; in bold the paper's five; "
            "hatched: constant."
        )
        matrix = tables.correlations(run, sparsity)
        values[stem] = tables.correlation_table(matrix)
        figure = correlation_heatmap(matrix, CANDIDATES, title, highlight=PAPER_FIVE)
        figures.append(Picture(figure, caption, stem))
    return Section("Figure 8: correlation of properties", text, figures=figures), values


def _no_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    return []


@dataclass(frozen=True)
class Part:
    """A table or figure of the paper: the jobs that it needs, and what is shown of them."""

    jobs: Callable[[Setup, Inputs], list[Job]]
    shown: Callable[[Run], Shown]


PARTS = {
    "table1": Part(plan.table1_jobs, _table1),
    "table2": Part(plan.table2_jobs, _table2),
    "fig5": Part(plan.network_jobs, partial(_properties, "fig5", "clustering coefficient")),
    "fig6": Part(plan.network_jobs, partial(_properties, "fig6", "average shortest path length")),
    "fig7": Part(plan.network_jobs, partial(_properties, "fig7", "eigenvector centrality")),
    "fig8": Part(_no_jobs, _figure8),
}
"""The tables and figures of the paper."""


def paper_jobs(what: str, setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the jobs of one part, or of all, with those that only the verdicts need."""
    if what != ALL:
        return PARTS[what].jobs(setup, inputs)
    wanted = dict.fromkeys(
        [*(part.jobs for part in PARTS.values()), plan.variance_jobs, plan.metric_jobs]
    )
    return [job for each in wanted for job in each(setup, inputs)]


def paper_publication(what: str, run: Run) -> Publication:
    """Return what is published of one part, or of all with the verdicts on the claims."""
    seeds, recipe = plural(run.setup.seeds, "seed"), run.setup.recipe_name
    judged = verdicts(run) if what == ALL else []
    shown = [part.shown(run) for name, part in PARTS.items() if what in (name, ALL)]
    return Publication(
        f"Replication: {what}",
        f"{seeds}, recipe `{recipe}`, dataset {run.dataset.name}",
        [section for section, _ in shown],
        {stem: table for _, values in shown for stem, table in values.items()},
        judged,
        "Verdicts on the paper's claims",
        "A claim holds where its 95 % interval lies wholly on the claim's side, does not hold "
        "where the data speak against it by the rule given, and is inconclusive otherwise. The "
        f"intervals are not corrected for there being {len(judged)} of them.",
    )
