"""``bogp baseline``: what a search has to beat."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import interruptible, print_json, print_table, progress_bar
from bogp.errors import SettingError


def baseline(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="A method that `bogp list methods` names.",
        ),
    ],
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
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="Train the seeds as one population: several times faster, but all see the "
            "mini-batches in one order, so the interval leaves that part of the noise out.",
        ),
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a baseline on several seeds and print its test accuracy.

    glob1, glob5, unif1 and unif5 are the paper's: prune by magnitude before training, over all
    layers together (glob) or each layer by itself (unif), in 1 or 5 rounds of pruning and
    training; five rounds train five times. snip, grasp and synflow score the untrained weights
    and prune once, over all layers together. imp trains first, then prunes by magnitude in five
    rounds, each from the initial weights again; gradual trains first and prunes in five rounds
    that remove less and less: six trainings each. random is a plain random mask, erk one that keeps
    small layers denser, dense no mask at all.

    Example: bogp baseline glob5 --sparsity 0.9 --layers all
    """
    if seeds < 1:
        raise SettingError(f"{seeds} seeds is too few: give 1 or more")
    with interruptible("a baseline keeps nothing before its end, so run it again"):
        runs = _runs(
            method,
            range(seed, seed + seeds),
            sparsity,
            data,
            model,
            layers,
            recipe,
            protocol,
            together,
            quiet,
        )
    if as_json:
        from bogp.analysis import mean_interval

        interval = mean_interval([run["test"] for run in runs])
        print_json({"method": method, "runs": runs, "test": vars(interval)})
    else:
        how = ", one order of mini-batches" if together else ""
        _print(runs, f"{method}, layers {layers}, recipe {recipe}, protocol {protocol}{how}")


def _runs(
    method: str,
    seeds: range,
    sparsity: float | None,
    data: str,
    model: str,
    layers: str,
    recipe: str,
    protocol: str,
    together: bool,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Return the record of each seed, with its accuracy on the test set."""
    from bogp.data import load_dataset, split
    from bogp.pipeline import baseline, baseline_population
    from bogp.training import evaluate, model_factory
    from bogp.training import recipe as named_recipe

    dataset = load_dataset(data)
    parts = split(dataset, protocol, seed=0)
    factory = model_factory(model, dataset.shape, dataset.classes)
    given = (method, factory, parts, named_recipe(recipe))
    pruning: dict[str, Any] = {"layers": layers, "sparsity": sparsity}
    with progress_bar(method, quiet) as progress:
        if together:
            found = baseline_population(
                *given, seeds=seeds, order_seed=seeds[0], progress=progress, **pruning
            )
            outcomes = found.outcomes(factory, parts)
        else:
            outcomes = []
            for seed in seeds:
                progress(len(outcomes), len(seeds))
                outcomes.append(baseline(*given, seed=seed, **pruning))
            progress(len(outcomes), len(seeds))
    runs = []
    for seed, outcome in zip(seeds, outcomes, strict=True):
        test = evaluate(outcome.model, parts.report_inputs, parts.report_targets)
        runs.append({"seed": seed, "test": test.accuracy, **outcome.record()})
    return runs


def _print(runs: list[dict[str, Any]], title: str) -> None:
    from bogp.analysis import mean_interval
    from bogp.report import Cell, Table

    row: list[Cell] = [
        f"{runs[0]['sparsity']:.4f}",
        mean_interval([run["test"] for run in runs]),
        str(runs[0]["epochs"]),
    ]
    columns = ["sparsity", "test accuracy", "epochs a seed"]
    notes = ["Mean over the seeds [95 % interval, Student t]."]
    if empty := sorted({name for run in runs for name in run.get("collapsed", ())}):
        notes.append(f"No weight is kept of {', '.join(empty)}, of at least one seed.")
    if shape := runs[0]["structure"]:
        effective = shape["effective_sparsity"]
        notes.append(
            f"First seed: effective sparsity {'–' if effective is None else f'{effective:.4f}'} "
            "(kept weights on no path count as removed), "
            f"{shape['compression']:.1f} times smaller, "
            f"{shape['speed_up']:.1f} times less arithmetic at best."
        )
    print_table(Table(title, columns, [row], notes, digits=4))
