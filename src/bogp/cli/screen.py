"""``bogp screen``: train many graphs of a database at once and rank them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli.common import interruptible, print_json, print_table, progress_bar
from bogp.cli.options import Data, Json, Quiet, from_settings
from bogp.settings.search import Execution, ScreenSettings

if TYPE_CHECKING:
    from bogp.pipeline import Screening
    from bogp.study import FinishedTrial


@from_settings
def screen(
    database: Annotated[
        Path, typer.Argument(metavar="DATABASE", help="A graph database (bogp database build).")
    ],
    settings: ScreenSettings,
    data: Data,
    execution: Execution,
    best: Annotated[int, typer.Option(min=0, help="Print this many of the best graphs.")] = 10,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train many graphs of a database as populations and rank them.

    Graphs of a population share every mini-batch, which is what makes them cheap. --rung stops the
    poorer ones early (successive halving). Printed beside the ranking: how well the accuracy after
    each epoch agrees with the final one, which is what a rung relies on. The ranking is by one
    training a graph on the data that selects, so the best of many looks better than it is; the
    test set stays closed.

    Example: bogp screen graphs.db --data mnist --sparsity 0.9 --rung 1 --study screen.db
    """
    from bogp.pipeline import screen as run_screen

    study = execution.study
    kept = (
        "nothing was kept; with --study FILE a screening goes on where it stopped"
        if study is None
        else f"the finished graphs are in {study}, and the same command goes on from there"
    )
    with interruptible(kept), progress_bar("graphs", quiet) as progress:
        result = run_screen(
            database,
            data,
            settings,
            study=study,
            name=execution.name,
            workers=execution.workers,
            retries=execution.retries,
            progress=progress,
        )
    if as_json:
        print_json(_summary(result))
    else:
        _print(result, best)


def _summary(result: Screening) -> dict[str, Any]:
    return {
        "settings": result.settings,
        "graphs": [
            {"graph": trial.point["graph"], "stopped": trial.stopped, **trial.record}
            for trial in result.trials
        ],
        "epochs": result.epochs,
        "full_epochs": result.full_epochs,
        "seconds": result.seconds,
        "correlations": [
            None if found.interval is None else vars(found.interval)
            for found in result.correlations()
        ],
    }


def _print(result: Screening, best: int) -> None:
    from bogp.report import Cell, Column, Table, decimals, format_interval
    from bogp.sparsity import EFFECTIVE, EFFECTIVE_NOTE, effective_sparsity

    rows: list[list[Cell]] = [
        [
            str(trial.point["graph"]),
            f"{trial.value:.4f}",
            effective_sparsity([trial.record]),
            str(trial.record["epochs"]),
            _end(trial),
        ]
        for trial in result.trials[:best]
    ]
    notes = [
        f"{len(result.trials)} graphs, {result.epochs} of {result.full_epochs} epochs trained, "
        f"{result.seconds:.1f} s. Accuracy on the data that selects, one training each.",
        EFFECTIVE_NOTE,
    ]
    for epoch, found in enumerate(result.correlations(), 1):
        value = "undefined" if found.interval is None else format_interval(found.interval, digits=2)
        notes.append(
            f"Rank correlation of the accuracy after epoch {epoch} with the final one: {value}, "
            "over the graphs that no rung stopped."
        )
    title = f"Best graphs at sparsity {result.settings['sparsity']:g}"
    columns: list[str | Column] = [
        "graph",
        "accuracy",
        Column(EFFECTIVE, decimals(4)),
        "epochs",
        "",
    ]
    print_table(Table(title, columns, rows, notes))


def _end(trial: FinishedTrial) -> str:
    if trial.record["diverged"]:
        return "diverged"
    ends = {"rung": "stopped at a rung", "patience": "out of patience"}
    return ends.get(trial.record["ended"], "")
