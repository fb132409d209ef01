"""``bogp search``: the paper's algorithms 2 to 4 as one command."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bogp.analysis import mean_interval
from bogp.cli import options
from bogp.cli.common import console, error_console, print_json, progress_bar
from bogp.database import GraphDatabase, warn_constant
from bogp.errors import ConstantPropertyWarning
from bogp.files import output_folder
from bogp.graphs import PAPER_FIVE
from bogp.masks import save_mask
from bogp.pipeline import SearchResult
from bogp.pipeline import search as run_search
from bogp.report import format_interval
from bogp.search import ENGINES, FinishedTrial


def search(
    database: Annotated[Path, typer.Argument(help="A graph database (bogp database build).")],
    sparsity: Annotated[
        float | None,
        typer.Option("--sparsity", "-s", help="Maximise accuracy at this sparsity."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha", "-a", help="Maximise accuracy + alpha * sparsity over all sparsities."
        ),
    ] = None,
    data: options.Data = "mnist",
    engine: Annotated[
        str,
        typer.Option("--engine", "-e", help=f"What proposes masks: {', '.join(ENGINES)}."),
    ] = "paper",
    trials: Annotated[int, typer.Option("--trials", "-n", help="Masks to train.")] = 20,
    final_seeds: Annotated[
        int, typer.Option(help="Fresh seeds on which the winner is trained and measured.")
    ] = 5,
    study: Annotated[
        Path | None,
        typer.Option(help="File of the study; with it a killed search resumes."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the winning mask to this safetensors file.")
    ] = None,
    model: options.Model = "mlp:128",
    layers: options.Layers = "hidden",
    prop: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            "-p",
            metavar="NAME",
            help=f"A property to search by; repeat for several. Default: {', '.join(PAPER_FIVE)}.",
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What the nearest graph is: cosine, l1 or l2.")
    ] = "cosine",
    scale: Annotated[str, typer.Option(help="raw or standardised property vectors.")] = "raw",
    kappa: Annotated[
        float, typer.Option(help="Weight of the uncertainty in the upper confidence bound.")
    ] = 5.0,
    recipe: options.RecipeName = "calibrated",
    protocol: options.Protocol = "holdout",
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Search a graph database for the mask that trains best.

    Every trial is on disk before the next begins. With --study, a search that was stopped or
    killed resumes when the same command runs again, and ends as an unbroken one would.

    Example: bogp search graphs.db --sparsity 0.9 --study study.db --save mask.safetensors
    """
    if save is not None:
        output_folder(save.parent)
    names = tuple(prop or PAPER_FIVE)
    with GraphDatabase.open(database) as opened:
        if not quiet:
            _warn(opened, names, sparsity)
        with progress_bar("search", quiet) as progress:
            result = _interruptible(study)(
                opened,
                data,
                trials=trials,
                final_seeds=final_seeds,
                study=study,
                progress=progress,
                on_trial=None if quiet or as_json else _print_trial,
                sparsity=sparsity,
                alpha=alpha,
                model=model,
                layers=layers,
                engine=engine,
                properties=names,
                metric=metric,
                scale=scale,
                kappa=kappa,
                recipe=recipe,
                protocol=protocol,
                seed=seed,
            )
    if save is not None:
        graph = str(result.best.record["graph"])
        save_mask(result.mask, save, {"graph": graph, "key": result.key, "model": model})
    if as_json:
        print_json(summary(result))
    else:
        _print(result, save)


def _interruptible(study: Path | None) -> Any:
    def run(*arguments: Any, **settings: Any) -> SearchResult:
        try:
            return run_search(*arguments, **settings)
        except KeyboardInterrupt:
            if study is not None:
                error_console.print(
                    f"Stopped within a trial; the finished ones are in {study}: "
                    "the same command resumes.",
                    markup=False,
                )
            raise

    return run


def _warn(database: GraphDatabase, names: tuple[str, ...], sparsity: float | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConstantPropertyWarning)
        warn_constant(database, names, sparsity)
    for warning in caught:
        error_console.print(f"warning: {warning.message}", markup=False, soft_wrap=True)


def _print_trial(trial: FinishedTrial) -> None:
    record = trial.record
    error_console.print(
        f"trial {trial.number + 1}: value {trial.value:.4f}, graph {record['graph']}",
        markup=False,
    )
    for name, fetched in record["fetched"].items():
        proposed = record["proposed"].get(name)
        wanted = "" if proposed is None else f"proposed {proposed:.4f}, "
        error_console.print(f"    {name}: {wanted}fetched {fetched:.4f}", markup=False)


def summary(result: SearchResult) -> dict[str, Any]:
    """Return a search's result as a JSON object."""
    return {
        "key": result.key,
        "settings": dict(result.settings),
        "best": {
            "trial": result.best.number,
            "value": result.best.value,
            **dict(result.best.record),
        },
        "finals": [dataclasses.asdict(run) for run in result.finals],
        "trials": [
            {"number": trial.number, "value": trial.value, **dict(trial.record)}
            for trial in result.trials
        ],
    }


def _print(result: SearchResult, save: Path | None) -> None:
    paper = result.settings["protocol"] == "paper"
    table = Table(title=f"engine {result.settings['engine']}, {len(result.trials)} trials")
    table.add_column("what")
    table.add_column("result")
    best = result.best
    chosen_on = "the test set (protocol paper)" if paper else "the validation split"
    table.add_row("winner", f"trial {best.number + 1}, graph {best.record['graph']}")
    table.add_row("sparsity of the pruned layers", f"{best.record['sparsity']:.4f}")
    table.add_row(f"its accuracy on {chosen_on}", f"{best.record['accuracy']:.4f} (best of all)")
    if result.finals:
        interval = mean_interval([run.accuracy for run in result.finals])
        table.add_row("test accuracy on fresh seeds", format_interval(interval, digits=4))
    table.add_row("training time of the trials", f"{result.seconds:.1f} s")
    console.print(table)
    if paper:
        console.print("Protocol paper: the same 10,000 images selected and reported.")
    if save is not None:
        console.print(f"mask written to {save}", markup=False)
