"""``bogp demo``: the main job on real MNIST in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bogp.cli import options
from bogp.cli.common import console, error_console, progress_bars
from bogp.experiments import run_demo


def demo(
    out: options.Out = Path("demo"),
    data: options.Data = "mnist",
    trials: Annotated[
        int, typer.Option("--trials", "-n", min=1, help="Masks that each engine trains.")
    ] = 20,
    graphs: Annotated[int, typer.Option(min=1, help="Graphs in the database.")] = 1000,
    workers: options.Workers = 2,
    quiet: options.Quiet = False,
) -> None:
    """Search masks for MNIST at sparsity 0.9, train the baselines, and write a report.

    Builds a database of 1000 relational graphs, runs 20 trials of Bayesian optimisation and 20 of
    random search, trains Glob and Unif in 1 and 5 rounds, and opens the test set once. Stop it at
    any time; the same command goes on.

    Example: bogp demo --out demo
    """
    if not quiet:
        error_console.print(f"Loading {data} (MNIST is a 20 MB download, once) ...", markup=False)
    with progress_bars(("graphs", "trainings"), quiet) as (building, training):
        result = run_demo(
            out,
            data,
            trials=trials,
            graphs=graphs,
            workers=workers,
            building=building,
            training=training,
        )
    console.print(result.table.to_rich())
    console.print(f"report: {result.report}", markup=False, soft_wrap=True)
    console.print(f"pictures and records: {result.folder}", markup=False, soft_wrap=True)
