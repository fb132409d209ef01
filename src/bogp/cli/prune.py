"""``bogp prune``: a model of one's own, pruned, trained, weighed and written to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import (
    console,
    interruptible,
    print_json,
    print_table,
    progress_bar,
)
from bogp.files import kept_folder

if TYPE_CHECKING:
    from torch import nn

    from bogp.pruning import PruneResult

_Patterns = list[str] | None


def prune(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="package.module:function, which makes the model, or one of bogp's: mlp:300,100, "
            "lenet-300-100, lenet-5, resnet-8, resnet-20, vit, gpt.",
        ),
    ],
    data: options.Data = "mnist",
    sparsity: Annotated[
        float, typer.Option("--sparsity", "-s", help="Share of the weights to remove.")
    ] = 0.9,
    out: options.Out = Path("pruned"),
    weights: Annotated[
        Path | None,
        typer.Option(
            help="State dict to prune from (.safetensors, .pt); without it each seed has initial "
            "weights of its own."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            help="Prune by one method instead of searching: magnitude, or one that `bogp list "
            "methods` names.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", "-n", help="Trainings of the search, by default 24; random gets as many."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Training, by name or .toml file; by default about 1,500 steps of Adam with a "
            "one-cycle rate.",
        ),
    ] = None,
    layers: Annotated[str, typer.Option(help="all, or hidden: all but the last.")] = "all",
    types: Annotated[
        _Patterns,
        typer.Option("--type", help="Kind of layer to prune: linear, conv2d, attention; repeat."),
    ] = None,
    include: Annotated[
        _Patterns, typer.Option(help="Pattern of names to prune, 'blocks.*'; repeat.")
    ] = None,
    exclude: Annotated[
        _Patterns, typer.Option(help="Pattern of names to leave alone; repeat.")
    ] = None,
    skip_first: Annotated[
        bool, typer.Option("--skip-first", help="Leave the first layer alone.")
    ] = False,
    skip_last: Annotated[
        bool, typer.Option("--skip-last", help="Leave the last layer alone.")
    ] = False,
    share: Annotated[
        str | None,
        typer.Option(help="Layers that share a graph: model, the default, stage or layer."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Of the graphs; by default up to 64, as layers carry.")
    ] = None,
    final_seeds: Annotated[
        int, typer.Option(help="Fresh seeds of the winner and of what stands beside it.")
    ] = 3,
    controls: Annotated[
        bool,
        typer.Option(
            help="Train random search and the controls too: the evidence, and more than twice "
            "the training."
        ),
    ] = True,
    workers: options.Workers = 1,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Prune a PyTorch model of your own, train it, and weigh it against the dense one.

    bogp searches relational graphs, support densities and criteria for the mask that trains best
    at the sparsity, chooses on validation data, and then trains the winner, the dense network,
    random search's winner and controls on fresh seeds. The folder gets pruned.safetensors (the
    model and its mask), report.html and result.json; study.db keeps the search, so that a stopped
    one goes on.

    Example: bogp prune lenet-300-100 --data mnist --sparsity 0.9 --out pruned
    """
    kept = f"the trials that ended, if any, are in {out}, and the same command goes on"
    with interruptible(kept), kept_folder(out) as folder:
        from bogp.cli.search import warnings_as_lines
        from bogp.pruning import prune as run_prune

        with progress_bar("trainings", quiet) as progress, warnings_as_lines(quiet):
            result = run_prune(
                model if weights is None else _weighed(model, data, weights),
                data,
                sparsity=sparsity,
                method=method,
                trials=trials,
                recipe=recipe,
                layers=layers,
                types=types,
                include=include,
                exclude=exclude,
                skip_first=skip_first,
                skip_last=skip_last,
                share=share,
                nodes=nodes,
                final_seeds=final_seeds,
                controls=controls,
                study=folder / "study.db",
                workers=workers,
                device=device,
                seed=seed,
                progress=progress,
            )
        files = _write(result, folder, model, data)
    if as_json:
        print_json(result.record() | {"files": {name: str(path) for name, path in files.items()}})
        return
    for table in result.summary():
        print_table(table)
    for name, path in files.items():
        console.print(f"{name}: {path}", markup=False, soft_wrap=True)


def _weighed(model: str, data: str, weights: Path) -> nn.Module:
    """Return the model with the weights of a file."""
    from bogp.data import load_dataset
    from bogp.masks import load_state
    from bogp.training import initialise, model_factory

    dataset = load_dataset(data)
    made = initialise(model_factory(model, dataset.shape, dataset.classes), 0)
    return load_state(made, weights)


def _write(result: PruneResult, folder: Path, model: str, data: str) -> dict[str, Any]:
    """Write the files of a result; return them by what they are."""
    from bogp.files import write_atomic

    about = {"model": model, "data": data}
    text = json.dumps(result.record(), indent=2, ensure_ascii=False) + "\n"
    return {
        "model": result.save(folder / "pruned.safetensors", about),
        "report": result.report(folder / "report.html"),
        "numbers": write_atomic(folder / "result.json", text.encode()),
    }
