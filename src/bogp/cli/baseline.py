"""``bogp baseline``: what a search has to beat."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from bogp.analysis import mean_interval
from bogp.cli import options
from bogp.cli.common import console, print_json, progress_bar
from bogp.data import load_dataset, split
from bogp.errors import SettingError
from bogp.pipeline import METHODS
from bogp.pipeline import baseline as run_baseline
from bogp.report import format_interval
from bogp.training import evaluate, model_factory
from bogp.training import recipe as named_recipe


def baseline(
    method: Annotated[str, typer.Argument(help=f"One of {', '.join(METHODS)}.")],
    sparsity: Annotated[
        float | None, typer.Option("--sparsity", "-s", help="Share of the weights to remove.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Repetitions, from --seed up.")] = 5,
    data: options.Data = "mnist",
    model: options.Model = "mlp:128",
    layers: options.Layers = "hidden",
    recipe: options.RecipeName = "calibrated",
    protocol: options.Protocol = "holdout",
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a baseline on several seeds and print its test accuracy.

    glob1, glob5, unif1 and unif5 are the paper's: prune by magnitude before training, over all
    layers together (glob) or each layer by itself (unif), in 1 or 5 rounds of pruning and
    training. random is a plain random mask, dense no mask at all. Five rounds train five times.

    Example: bogp baseline glob5 --sparsity 0.9 --layers all
    """
    if seeds < 1:
        raise SettingError(f"{seeds} seeds is too few: give 1 or more")
    dataset = load_dataset(data)
    parts = split(dataset, protocol, seed=0)
    factory = model_factory(model, dataset.features, dataset.classes)
    runs: list[dict[str, Any]] = []
    with progress_bar(method, quiet) as progress:
        progress(0, seeds)
        for number in range(seed, seed + seeds):
            outcome = run_baseline(
                method,
                factory,
                parts,
                named_recipe(recipe),
                layers=layers,
                sparsity=sparsity,
                seed=number,
            )
            test = evaluate(outcome.model, parts.report_inputs, parts.report_targets)
            runs.append({"seed": number, "test": test.accuracy, **outcome.record()})
            progress(len(runs), seeds)
    interval = mean_interval([run["test"] for run in runs])
    if as_json:
        print_json({"method": method, "runs": runs, "test": vars(interval)})
        return
    table = Table(title=f"{method}, {layers} layers pruned, protocol {protocol}")
    for column in ("sparsity", "test accuracy", "epochs each"):
        table.add_column(column)
    table.add_row(
        f"{runs[0]['sparsity']:.4f}", format_interval(interval, digits=4), str(runs[0]["epochs"])
    )
    console.print(table)
