"""Write a replication: CSV and JSON records, PNG and SVG figures, and one report.html."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bogp.files import output_folder, write_atomic
from bogp.graphs import CANDIDATES
from bogp.replication.figures import FIGURES, Drawn
from bogp.replication.plan import five_node_graphs
from bogp.replication.run import PARTS, Run
from bogp.replication.tables import pick, table1, table1_long, table2
from bogp.replication.verdicts import (
    correlations,
    five_node_points,
    variance_table,
    verdicts,
)
from bogp.report import (
    Cell,
    Picture,
    Section,
    Table,
    Verdict,
    plural,
    save_figure,
    verdict_table,
    versions,
    write_report,
)

HEADINGS = {
    "table1": "Table 1: pruning methods",
    "table2": "Table 2: the trade-off",
    "fig5": "Figure 5: clustering coefficient",
    "fig6": "Figure 6: average shortest path length",
    "fig7": "Figure 7: eigenvector centrality",
    "fig8": "Figure 8: correlation of properties",
}


def publish(run: Run, what: str, command: str) -> list[Table]:
    """Write everything that ``what`` asks for into the run's folder; return the tables to show.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = output_folder(run.setup.out)
    parts = PARTS if what == "all" else (what,)
    drawn = {part: FIGURES[part](run) for part in parts}
    sections = {part: _section(run, part, folder, drawn[part]) for part in parts}
    shown = [table for section in sections.values() for table in section.tables]
    judged = verdicts(run) if what == "all" else []
    if judged:
        table = verdict_table(judged, "Verdicts on the paper's claims")
        write_atomic(folder / "verdicts.csv", table.to_csv())
        write_atomic(folder / "verdicts.json", json.dumps([asdict(v) for v in judged], indent=1))
        shown.append(table.select("claim", "verdict", "interval"))  # details are in the report
    page = _page(run, what, command, sections, drawn, judged)
    write_atomic(folder / "results.md", page)
    first = [_verdict_section(run, judged)] if judged else []
    write_report(
        folder / "report.html",
        f"bogp: replication of {'the paper' if what == 'all' else what}",
        [*first, *sections.values()],
        provenance(run, command),
    )
    return shown


def provenance(run: Run, command: str) -> dict[str, Any]:
    """Return what made the results: command, settings, seeds, versions, cost."""
    epochs, seconds = _cost(run)
    return {
        "command": command,
        "seeds": f"{run.setup.seeds} (0 to {run.setup.seeds - 1})",
        "recipe": f"{run.setup.recipe_name}: {run.setup.recipe.model_dump_json()}",
        "dataset": f"{run.dataset.name}, sha256 {run.dataset.fingerprint}",
        "database": dict(run.database.plan.rows()),
        "records": f"{len(run.records)} in records.jsonl",
        "training": f"{epochs:,} epochs; {seconds / 3600:.2f} hours of one thread, the final "
        "seeds of searches not timed",
        "versions": versions("networkx", "bayesian-optimization"),
        "processor": platform.machine(),
    }


def _cost(run: Run) -> tuple[int, float]:
    epochs, seconds = 0, 0.0
    for record in run.records.values():
        result = record["result"]
        trainings = len(result["trials"]) + len(result["finals"]) if "trials" in result else 0
        epochs += trainings * run.setup.recipe.epochs or result["epochs"]
        seconds += result["seconds"]
    return epochs, seconds


def _section(run: Run, part: str, folder: Path, drawn: list[Drawn]) -> Section:
    tables = TABLES[part](run)
    for stem, table in _csv(run, part):
        write_atomic(folder / f"{stem}.csv", table.to_csv())
        write_atomic(folder / f"{stem}.json", table.to_json())
    for stem, _, figure in drawn:
        save_figure(figure, folder, stem)
    pictures = [Picture(figure, caption) for _, caption, figure in drawn]
    return Section(HEADINGS[part], _text(run, part), tables, pictures)


def _text(run: Run, part: str) -> str:
    if part == "table1":
        both = len(run.setup.readings) > 1
        readings = "Both readings of which layers are pruned. " if both else ""
        return (
            f"{readings}Each round of Glob₅ and Unif₅ prunes, then trains for the whole recipe, "
            "so that they train five times as long as the others; a search trains its masks once "
            "each."
        )
    if part == "fig8":
        return (
            "Over all sparsities density drives nearly every property; at one sparsity the edge "
            "count is fixed, and what it decides is constant."
        )
    return ""


def _table1(run: Run) -> list[Table]:
    tables = [table1(run, layers) for layers in run.setup.readings]
    variance = variance_table(run)
    return tables if variance is None else [*tables, variance]


def _none(run: Run) -> list[Table]:
    return []


TABLES: dict[str, Callable[[Run], list[Table]]] = {
    "table1": _table1,
    "table2": lambda run: [table2(run)],
    "fig5": _none,
    "fig6": _none,
    "fig7": _none,
    "fig8": _none,
}


def _csv(run: Run, part: str) -> list[tuple[str, Table]]:
    """Return the tables of values behind a part, by file stem."""
    if part == "table1":
        variance = variance_table(run)
        more = [] if variance is None else [("variance", variance)]
        return [("table1", table1_long(run)), *more]
    if part == "table2":
        return [("table2", table2(run))]
    if part == "fig8":
        high = max(run.setup.sparsities)
        return [
            ("fig8", _correlation_table(run, None)),
            ("fig8-fixed", _correlation_table(run, high)),
        ]
    return [(part, _figure_table(run))]


def _figure_table(run: Run) -> Table:
    points = five_node_points(run)
    columns = ["graph", *(name for name in points if name != "accuracy"), "seed", "accuracy"]
    rows = [
        [
            number,
            *(float(values[number]) for name, values in points.items() if name != "accuracy"),
            record["fields"]["seed"],
            record["result"]["accuracy"],
        ]
        for number in range(len(five_node_graphs()) if points else 0)
        for record in pick(run, "network", atlas=number)
    ]
    return Table("Accuracy of the 5-node graphs", columns, rows)


def _correlation_table(run: Run, sparsity: float | None) -> Table:
    matrix = correlations(run, sparsity)
    rows: list[list[Cell]] = [
        [name, *map(float, row)] for name, row in zip(CANDIDATES, matrix, strict=True)
    ]
    return Table("Correlation", ["property", *CANDIDATES], rows)


def _verdict_section(run: Run, judged: list[Verdict]) -> Section:
    text = (
        "A claim holds where its 95 % interval lies wholly on the claim's side, does not hold "
        "where the data speak against it by the rule given, and is inconclusive otherwise. "
        f"{plural(run.setup.seeds, 'seed')}, recipe {run.setup.recipe_name}. The intervals are "
        f"not corrected for there being {len(judged)} of them."
    )
    heading = "Verdicts on the paper's claims"
    return Section(heading, text, [verdict_table(judged, heading)])


def _page(
    run: Run,
    what: str,
    command: str,
    sections: dict[str, Section],
    drawn: dict[str, list[Drawn]],
    judged: list[Verdict],
) -> str:
    """Return the folder's results.md: the same results for who reads them in a repository."""
    lines = [
        f"# Replication: {what}",
        "",
        f"Made by `{command}`: {plural(run.setup.seeds, 'seed')}, recipe "
        f"`{run.setup.recipe_name}`, dataset {run.dataset.name}. That command writes "
        "everything here from `records.jsonl` and trains nothing that is recorded there. "
        "`report.html` holds all of it in one file.",
        "",
    ]
    if judged:
        lines += [verdict_table(judged, "Verdicts on the paper's claims").to_markdown(), ""]
    for part, section in sections.items():
        lines += [f"## {section.heading}", ""]
        lines += [f"{section.text}\n"] if section.text else []
        for table in section.tables:
            lines += [table.to_markdown(), ""]
        lines += [f"![{caption}]({stem}.svg)\n" for stem, caption, _ in drawn[part]]
    return "\n".join(lines)
