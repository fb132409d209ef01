"""The paper: the jobs of each table and figure, and what is published of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bogp.graphs import CANDIDATES
from bogp.replication.claims import verdicts
from bogp.replication.figures import (
    correlation_figures,
    property_figures,
    table1_figures,
    trace_figures,
    tradeoff_figures,
)
from bogp.replication.jobs import Job
from bogp.replication.plan import (
    metric_jobs,
    network_jobs,
    table1_jobs,
    table2_jobs,
    variance_jobs,
)
from bogp.replication.publish import Publication
from bogp.replication.setup import Inputs, Run, Setup
from bogp.replication.tables import (
    correlation_table,
    five_node_table,
    table1,
    table1_long,
    table2,
    variance_table,
    variances,
)
from bogp.report import Section, Table, plural

Shown = tuple[Section, dict[str, Table]]
"""What is shown of a part, and its tables of values by file stem."""

ALL = "all"
"""What ``bogp reproduce`` calls all parts of the paper with the verdicts on its claims."""

UNIFORM = {"family": "uniform", "names": (*CANDIDATES, "cycle_length")}
"""What the graph database holds. The keys of all records hash the database's plan, so neither its
family nor its properties follow the defaults of a new database."""


def _table1(run: Run) -> Shown:
    both = "Both readings of which layers are pruned. " if len(run.setup.readings) > 1 else ""
    text = (
        f"{both}Each round of Glob₅ and Unif₅ prunes, then trains for the whole recipe, so that "
        "they train five times as long as the others; a search trains its masks once each."
    )
    tables = [table1(run, layers) for layers in run.setup.readings]
    values = {"table1": table1_long(run)}
    if found := variances(run):
        values["variance"] = variance_table(run, found)
        tables.append(values["variance"])
    figures = [*table1_figures(run), *trace_figures(run)]
    return Section("Table 1: pruning methods", text, tables, figures), values


def _table2(run: Run) -> Shown:
    table = table2(run)
    figures = tradeoff_figures(run)
    return Section("Table 2: the trade-off", "", [table], figures), {"table2": table}


def _properties(part: str, words: str, run: Run) -> Shown:
    section = Section(f"Figure {part[3:]}: {words}", figures=property_figures(run, part))
    return section, {part: five_node_table(run)}


def _figure8(run: Run) -> Shown:
    text = (
        "Over all sparsities density drives nearly every property; at one sparsity the edge count "
        "is fixed, and what it decides is constant."
    )
    high = max(run.setup.sparsities)
    figures = correlation_figures(run)
    return Section("Figure 8: correlation of properties", text, figures=figures), {
        "fig8": correlation_table(run, None),
        "fig8-fixed": correlation_table(run, high),
    }


def _no_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    return []


@dataclass(frozen=True)
class Part:
    """A table or figure of the paper: the jobs that it needs, and what is shown of them."""

    jobs: Callable[[Setup, Inputs], list[Job]]
    shown: Callable[[Run], Shown]


PARTS = {
    "table1": Part(table1_jobs, _table1),
    "table2": Part(table2_jobs, _table2),
    "fig5": Part(network_jobs, partial(_properties, "fig5", "clustering coefficient")),
    "fig6": Part(network_jobs, partial(_properties, "fig6", "average shortest path length")),
    "fig7": Part(network_jobs, partial(_properties, "fig7", "eigenvector centrality")),
    "fig8": Part(_no_jobs, _figure8),
}
"""The tables and figures of the paper."""


def paper_jobs(what: str, setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the jobs of one part, or of all, with those that only the verdicts need."""
    if what != ALL:
        return PARTS[what].jobs(setup, inputs)
    wanted = dict.fromkeys([*(part.jobs for part in PARTS.values()), variance_jobs, metric_jobs])
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
