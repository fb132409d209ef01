"""Write the comparison of methods: tables, figures, verdicts and one report.html."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure

from bogp.analysis import mean_interval
from bogp.files import output_folder, write_atomic
from bogp.replication.compare import (
    BASELINES,
    CONTROL,
    READINGS,
    SAME,
    SEARCH,
    Comparison,
    control_table,
    judge,
    lead_table,
    leads,
    points,
    table,
    values,
)
from bogp.report import (
    Picture,
    Section,
    Table,
    accuracy_by_sparsity,
    interval_figure,
    plural,
    save_figure,
    verdict_table,
    versions,
    write_report,
)

HEADING = "Table 1 extended: every method at one pruning round"


def publish_comparison(run: Comparison, command: str) -> list[Table]:
    """Write the comparison into its folder and return the tables to show.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = output_folder(run.setup.out)
    judged = [verdict for layers in run.setup.readings for verdict in judge(run, layers)]
    shown = [verdict_table(judged, "Verdicts on the search")]
    sections = [Section("Verdicts", _text(run), [shown[0]])]
    lines = [f"# {HEADING}", "", f"Made by `{command}`. {_text(run)}", ""]
    lines += [shown[0].to_markdown(), ""]
    for layers in run.setup.readings:
        tables = [table(run, layers), lead_table(run, layers), control_table(run, layers)]
        figure = accuracy_by_sparsity(
            _series(run, layers), title=f"Methods, {READINGS[layers]}", ylabel="test accuracy"
        )
        save_figure(figure, folder, f"methods-{layers}")
        caption = (
            f"Test accuracy by sparsity, {READINGS[layers]}: mean and 95 % interval over "
            f"{plural(run.setup.seeds, 'seed')}, each the mean of several networks."
        )
        heading = READINGS[layers][0].upper() + READINGS[layers][1:]
        ahead = _leads(run, layers)
        save_figure(ahead, folder, f"leads-{layers}")
        words = f"Lead of the search over the best other method, {READINGS[layers]}."
        pictures = [Picture(figure, caption), Picture(ahead, words)]
        sections.append(Section(heading, "", tables, pictures))
        lines += [f"## {heading}", ""]
        for each in tables:
            lines += [each.to_markdown(), ""]
        lines += [f"![{caption}](methods-{layers}.png)", "", f"![{words}](leads-{layers}.png)", ""]
        shown += tables
    write_atomic(folder / "methods.csv", _long(run).to_csv())
    write_atomic(folder / "verdicts.json", json.dumps([asdict(v) for v in judged], indent=1))
    write_atomic(folder / "results.md", "\n".join(lines))
    write_report(folder / "report.html", f"bogp: {HEADING}", sections, _provenance(run, command))
    return shown


def _text(run: Comparison) -> str:
    return (
        f"{plural(run.setup.seeds, 'seed')}, recipe {run.setup.recipe_name}, dataset "
        f"{run.dataset.name}, protocol holdout: the test set chose nothing. What is in "
        "records.jsonl is not trained again."
    )


def _leads(run: Comparison, layers: str) -> Figure:
    rows = [
        (f"s = {lead.sparsity:g}, over {BASELINES[lead.rival]}", points(lead.lead))
        for lead in leads(run, layers)
    ]
    return interval_figure(
        rows, title=f"Lead over the best other method, {READINGS[layers]}",
        note=f"{plural(run.setup.seeds, 'seed')}, paired; 95 % t intervals, vermilion where one "
        "excludes 0",
        xlabel="percentage points of test accuracy", zero=True,
    )  # fmt: skip


def _series(run: Comparison, layers: str) -> dict[str, list[tuple[float, Any]]]:
    """Return the lines of the figure, each method once: there are eight colours."""
    names = {SEARCH: SEARCH, CONTROL: CONTROL, **BASELINES}
    if layers == "hidden":
        names = {name: label for name, label in names.items() if name not in SAME}
        names["random"] = "random masks"
    series = {}
    for name, label in names.items():
        places = []
        for sparsity in run.setup.sparsities:
            numbers = values(run, name, layers, sparsity)
            if numbers:
                places.append((sparsity, mean_interval(numbers)))
        series[label] = places
    return series


def _long(run: Comparison) -> Table:
    rows: list[list[Any]] = []
    for layers in run.setup.readings:
        for name in (SEARCH, CONTROL, *BASELINES, "random"):
            for sparsity in run.setup.sparsities:
                for seed, value in enumerate(values(run, name, layers, sparsity)):
                    rows.append([layers, name, sparsity, seed, value])
    columns = ["layers", "method", "sparsity", "seed", "test accuracy"]
    return Table("Methods", columns, rows)


def _provenance(run: Comparison, command: str) -> dict[str, Any]:
    spent: dict[str, int] = {}
    seconds = 0.0
    for record in run.records.values():
        result = record["result"]
        seconds += result["seconds"]
        for name, epochs in result["epochs"].items():
            spent[name] = spent.get(name, 0) + epochs
    return {
        "command": command,
        "seeds": f"{run.setup.seeds} (0 to {run.setup.seeds - 1})",
        "recipe": f"{run.setup.recipe_name}: {run.setup.recipe.model_dump_json()}",
        "dataset": f"{run.dataset.name}, sha256 {run.dataset.fingerprint}",
        "database": dict(run.database.plan.rows()),
        "records": f"{len(run.records)} in records.jsonl",
        "epochs of training": ", ".join(f"{name} {count:,}" for name, count in spent.items()),
        "time": f"{seconds / 3600:.2f} hours, all jobs together",
        "versions": versions("botorch"),
        "processor": platform.machine(),
    }
