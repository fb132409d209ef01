"""``bogp demo``: the main job on real MNIST in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bogp.cli.common import console, error_console, interruptible, print_table, progress_bars
from bogp.cli.options import Data, Out, Quiet, Workers


def demo(
    out: Out = Path("demo"),
    data: Data = "mnist",
    trials: Annotated[
        int,
        typer.Option(
            "--trials", "-n", min=1, help="Trials of the search; random search has as many."
        ),
    ] = 48,
    graphs: Annotated[
        int, typer.Option(min=1, help="Graphs in the database, for each of three sparsities.")
    ] = 300,
    workers: Workers = 2,
    quiet: Quiet = False,
) -> None:
    """Search masks for MNIST at sparsity 0.9, train what there is to beat, and write a report.

    Builds a database of 900 relational graphs, runs 48 trials of engine pool and as much random
    search, trains the winners and seven controls on fresh seeds, beside Glob, Unif, SNIP and the
    paper's engine, and opens the test set once. Stop it at any time; the same command goes on.

    Example: bogp demo --out demo
    """
    kept = f"what is trained is in {out}, and the same command goes on from there"
    with interruptible(kept), progress_bars(("graphs", "trainings"), quiet) as (building, training):
        if not quiet:
            error_console.print(loading(data), markup=False)
        from bogp.replication.demo import demo_setup
        from bogp.replication.replications import DEMO, make

        setup = demo_setup(out, data, trials=trials, graphs=graphs, workers=workers)
        report, (table, *_) = make(DEMO, setup, "bogp demo", building=building, training=training)
    print_table(table)
    console.print(f"report: {report}", markup=False, soft_wrap=True)
    console.print(f"pictures and records: {out}", markup=False, soft_wrap=True)


def loading(data: str) -> str:
    """Return the line that is printed before the first bar can move."""
    return f"Loading {data} (a 20 MB download, once) ..." if data == "mnist" else f"Loading {data}"
