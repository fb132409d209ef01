"""``bogp search``: the paper's algorithms 2 to 4 as one command."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import (
    console,
    error_console,
    interruptible,
    print_json,
    print_table,
    progress_bar,
)
from bogp.errors import ConstantPropertyWarning
from bogp.files import output_folder

if TYPE_CHECKING:
    from bogp.pipeline import SearchResult
    from bogp.search import FinishedTrial


def search(
    database: Annotated[
        Path, typer.Argument(metavar="DATABASE", help="A graph database (bogp database build).")
    ],
    sparsity: Annotated[
        float | None,
        typer.Option("--sparsity", "-s", help="Maximise the accuracy at this sparsity."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha",
            "-a",
            help="Instead of --sparsity: maximise accuracy + alpha * sparsity over all sparsities "
            "of the database.",
        ),
    ] = None,
    data: options.Data = "mnist",
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            "-e",
            help="What proposes masks: paper (Bayesian optimisation of the properties) or random.",
        ),
    ] = "paper",
    trials: Annotated[
        int, typer.Option("--trials", "-n", help="Masks to train, those in the study counted.")
    ] = 20,
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
            help="A property to search by; repeat for several. Default: the paper's five, "
            "degree_centrality, clustering, edge_connectivity, eigenvector_centrality and "
            "cycle_rank.",
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What the nearest graph is: cosine, l1 or l2.")
    ] = "cosine",
    scale: Annotated[
        str, typer.Option(help="Compare raw or standardised property vectors.")
    ] = "raw",
    fetch: Annotated[
        str,
        typer.Option(
            help="nearest trains the nearest graph of the database; synthesize first changes it by "
            "edge swaps towards the proposed properties."
        ),
    ] = "nearest",
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

    Give --sparsity or --alpha. Each trial proposes a property vector, fetches the nearest graph,
    trains its mask on --data and learns from the accuracy; the winner is then trained on fresh
    seeds and measured on the test set.

    Every trial is on disk before the next begins. With --study, a search that was stopped or
    killed resumes when the same command runs again, and ends as an unbroken one would.

    Example: bogp search graphs.db --sparsity 0.9 --study study.db --save mask.safetensors
    """
    if save is not None:
        output_folder(save.parent)
    with interruptible(_kept(study)):
        from bogp.database import GraphDatabase
        from bogp.graphs import PAPER_FIVE
        from bogp.masks import save_mask
        from bogp.pipeline import search as run_search

        names = tuple(prop or PAPER_FIVE)
        with (
            GraphDatabase.open(database) as opened,
            progress_bar("trainings", quiet) as progress,
            _warnings_as_lines(quiet),
        ):
            result = run_search(
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
                fetch=fetch,
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


def _kept(study: Path | None) -> str:
    """Return what a Ctrl-C leaves of the search."""
    if study is None:
        return "nothing was kept; with --study FILE a search goes on where it stopped"
    return f"the finished trials are in {study}, and the same command goes on from there"


@contextlib.contextmanager
def _warnings_as_lines(quiet: bool) -> Iterator[None]:
    """Print the library's warnings as lines of the command's own, or not at all."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        error_console.print(f"warning: {message}", markup=False, soft_wrap=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if quiet else "always", ConstantPropertyWarning)
        warnings.showwarning = show
        yield


def _print_trial(trial: FinishedTrial) -> None:
    """Print a trial's value, and what was proposed beside what was fetched where they differ."""
    record = trial.record
    error_console.print(
        f"trial {trial.number + 1}: value {trial.value:.4f}, accuracy {record['accuracy']:.4f}, "
        f"{'made from ' if 'made' in record else ''}graph {record['graph']} "
        f"(sparsity {record['database_sparsity']:g})",
        markup=False,
        soft_wrap=True,
    )
    pairs = {name: (record["proposed"].get(name), got) for name, got in record["fetched"].items()}
    how = "made" if "made" in record else "fetched"
    for name, (wanted, got) in pairs.items():
        if wanted is not None and wanted != got:
            line = f"  {name} proposed {wanted:.5g}, {how} {got:.5g}"
            error_console.print(line, markup=False, soft_wrap=True)


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
    from bogp.analysis import mean_interval
    from bogp.report import Table, format_interval

    paper = result.settings["protocol"] == "paper"
    best = result.best
    chosen_on = "the test set" if paper else "the validation split"
    rows = [
        ["winner", f"trial {best.number + 1}, graph {best.record['graph']}"],
        ["sparsity of the pruned layers", f"{best.record['sparsity']:.4f}"],
        [f"its accuracy on {chosen_on}", f"{best.record['accuracy']:.4f} (best of all)"],
    ]
    if result.settings["alpha"] is not None:
        rows.append(["accuracy + alpha * sparsity", f"{best.value:.4f}"])
    if result.finals:
        interval = mean_interval([run.accuracy for run in result.finals])
        rows.append(["test accuracy on fresh seeds", format_interval(interval, digits=4)])
    rows.append(["training time of the trials", f"{result.seconds:.1f} s"])
    notes = (
        ["Protocol paper: one set of images selected the winner and reports it."] if paper else []
    )
    title = f"Engine {result.settings['engine']}, {len(result.trials)} trials"
    print_table(Table(title, ["", "result"], rows, notes))
    if save is not None:
        console.print(f"mask written to {save}", markup=False, soft_wrap=True)
