"""Write what came of a replication: CSV, JSON, Markdown, PNG, SVG and one offline report."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bogp.files import output_folder, write_atomic
from bogp.replication.setup import Run
from bogp.report import (
    Section,
    Table,
    Verdict,
    render_markdown,
    save_pictures,
    verdict_table,
    versions,
    write_report,
)


@dataclass(frozen=True)
class Publication:
    """All that is written of one replication.

    Attributes:
        title: one line.
        basis: what it rests on: seeds, recipe, dataset.
        sections: its parts in order.
        values: file stem → a table of values for programs, as CSV and JSON.
        verdicts: on the claims, which come first.
        claims: whose claims they are, as the verdicts' heading.
        rule: how they are judged.
    """

    title: str
    basis: str
    sections: Sequence[Section]
    values: Mapping[str, Table] = field(default_factory=dict)
    verdicts: Sequence[Verdict] = ()
    claims: str = "Verdicts"
    rule: str = ""


def publish(run: Run, publication: Publication, command: str) -> tuple[Path, list[Table]]:
    """Write everything into the run's folder; return the report's path, and the tables to show.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder, sections = output_folder(run.setup.out), list(publication.sections)
    shown = [table for section in sections for table in section.tables]
    if publication.verdicts:
        judged = verdict_table(publication.verdicts, publication.claims)
        write_atomic(folder / "verdicts.csv", judged.to_csv())
        plain = [asdict(verdict) for verdict in publication.verdicts]
        write_atomic(folder / "verdicts.json", json.dumps(plain, indent=1))
        sections.insert(0, Section(publication.claims, publication.rule, [judged]))
        shown.append(judged.select("claim", "verdict", "interval"))  # details are in the report
    for stem, table in publication.values.items():
        write_atomic(folder / f"{stem}.csv", table.to_csv())
        write_atomic(folder / f"{stem}.json", table.to_json())
    save_pictures(sections, folder)
    intro = (
        f"Made by `{command}`: {publication.basis}. That command writes everything here from "
        "`records.jsonl` and trains nothing that is recorded there. `report.html` holds all of it "
        "in one file."
    )
    page = render_markdown(publication.title, intro, sections, "svg")
    write_atomic(folder / "results.md", page)
    title, made = f"bogp: {publication.title}", {"command": command, **_provenance(run)}
    return write_report(folder / "report.html", title, sections, made), shown


def _provenance(run: Run) -> dict[str, Any]:
    """Return what made the results: seeds, recipe, data, graphs, cost, versions."""
    setup, database, records = run.setup, run.inputs.stored, run.records.values()
    hours = sum(record["result"]["seconds"] for record in records) / 3600
    recipes = {entry.label: entry.recipe for entry in setup.entries}
    return {
        "seeds": f"{setup.seeds} (0 to {setup.seeds - 1})",
        "recipes": {
            name: recipe.model_dump()
            for name, recipe in (recipes or {setup.recipe_name: setup.recipe}).items()
        },
        "datasets": {
            dataset.name: f"sha256 {dataset.fingerprint}"
            for dataset in run.inputs.datasets.values()
        },
        **({} if database is None else {"database": dict(database.plan.rows())}),
        "records": f"{len(records)} in records.jsonl",
        "training": f"{sum(map(_epochs, records)):,} epochs, {hours:.2f} hours of one process",
        "versions": versions("botorch", "bayesian-optimization", "networkx"),
        "processor": platform.machine(),
    }


def _epochs(record: Mapping[str, Any]) -> int:
    """Return the epochs of training behind a record; those of a search may be by purpose."""
    result = record["result"]
    spent = result.get("epochs")
    if spent is None:
        trainings = len(result["trials"]) + len(result["finals"])
        return int(trainings * record["fields"]["recipe"]["epochs"])
    return sum(spent.values()) if isinstance(spent, Mapping) else int(spent)
