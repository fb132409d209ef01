"""``bogp screen``: train many graphs of a database at once and rank them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import interruptible, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from bogp.pipeline import Screening


def screen(
    database: Annotated[
        Path, typer.Argument(metavar="DATABASE", help="A graph database (bogp database build).")
    ],
    sparsity: Annotated[
        float, typer.Option("--sparsity", "-s", help="The sparsity of the graphs to screen.")
    ],
    graphs: Annotated[
        int, typer.Option("--graphs", "-g", help="Graphs to train, drawn at random.")
    ] = 64,
    population: Annotated[
        int, typer.Option(help="Graphs trained together and compared with each other.")
    ] = 16,
    rung: Annotated[
        list[int] | None,
        typer.Option(
            "--rung",
            help="After this many epochs only the best --keep of a population go on; repeat for "
            "several. Without any, every graph is trained to its end.",
        ),
    ] = None,
    keep: Annotated[float, typer.Option(help="The share that goes on at a rung.")] = 0.5,
    data: options.Data = "mnist",
    study: Annotated[
        Path | None,
        typer.Option(help="File of the study; with it a killed screening resumes."),
    ] = None,
    model: options.Model = "mlp:128",
    layers: options.Layers = "hidden",
    recipe: options.RecipeName = "calibrated",
    protocol: options.Protocol = "holdout",
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    best: Annotated[int, typer.Option(min=0, help="Print this many of the best graphs.")] = 10,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train many graphs of a database as populations and rank them.

    Graphs of a population share every mini-batch, which is what makes them cheap. --rung stops the
    poorer ones early (successive halving). Printed beside the ranking: how well the accuracy after
    each epoch agrees with the final one, which is what a rung relies on. The ranking is by one
    training a graph on the data that selects, so the best of many looks better than it is; the
    test set stays closed.

    Example: bogp screen graphs.db --sparsity 0.9 --graphs 64 --rung 1 --study screen.db
    """
    kept = (
        "nothing was kept; with --study FILE a screening goes on where it stopped"
        if study is None
        else f"the finished populations are in {study}, and the same command goes on from there"
    )
    with interruptible(kept):
        from bogp.pipeline import screen as run_screen

        with progress_bar("epochs", quiet) as progress:
            result = run_screen(
                database,
                data,
                study=study,
                device=device,
                progress=progress,
                sparsity=sparsity,
                graphs=graphs,
                population=population,
                rungs=tuple(sorted(set(rung or ()))),
                keep=keep,
                model=model,
                layers=layers,
                recipe=recipe,
                protocol=protocol,
                seed=seed,
            )
    if as_json:
        print_json(_summary(result))
    else:
        _print(result, best)


def _summary(result: Screening) -> dict[str, Any]:
    return {
        "settings": result.settings,
        "graphs": [dataclasses.asdict(graph) for graph in result.graphs],
        "epochs": result.epochs,
        "full_epochs": result.full_epochs,
        "seconds": result.seconds,
        "correlations": [
            None if found.interval is None else vars(found.interval)
            for found in result.correlations()
        ],
    }


def _print(result: Screening, best: int) -> None:
    from bogp.report import Table, format_interval

    rows = [
        [str(graph.graph), f"{graph.accuracy:.4f}", str(len(graph.losses)), _end(graph)]
        for graph in result.graphs[:best]
    ]
    notes = [
        f"{len(result.graphs)} graphs, {result.epochs} of {result.full_epochs} epochs trained, "
        f"{result.seconds:.1f} s. Accuracy on the data that selects, one training each."
    ]
    for epoch, found in enumerate(result.correlations(), 1):
        value = "undefined" if found.interval is None else format_interval(found.interval, digits=2)
        notes.append(
            f"Rank correlation of the accuracy after epoch {epoch} with the final one: {value}, "
            "over the graphs that no rung stopped."
        )
    title = f"Best graphs at sparsity {result.settings['sparsity']:g}"
    print_table(Table(title, ["graph", "accuracy", "epochs", ""], rows, notes))


def _end(graph: Any) -> str:
    if graph.diverged:
        return "diverged"
    return {"rung": "stopped at a rung", "patience": "out of patience"}.get(graph.ended, "")
