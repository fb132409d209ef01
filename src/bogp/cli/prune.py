"""``bogp prune``: a model of one's own, pruned, trained, weighed and written to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli.common import console, interruptible, print_json, print_table, progress_bar
from bogp.cli.options import Data, Json, Out, Quiet, Workers, from_settings
from bogp.cli.search import warnings_as_lines
from bogp.files import kept_folder, write_atomic
from bogp.settings import as_arguments
from bogp.settings.prune import PruneSettings

if TYPE_CHECKING:
    from torch import nn

    from bogp.pruning import PruneResult


@from_settings
def prune(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="package.module:function, which makes the model, or one that `bogp list models` "
            "names.",
        ),
    ],
    data: Data,
    settings: PruneSettings,
    out: Out = Path("pruned"),
    weights: Annotated[
        Path | None,
        typer.Option(
            help="State dict to prune from (.safetensors, .pt); without it each seed has initial "
            "weights of its own."
        ),
    ] = None,
    workers: Workers = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Prune a PyTorch model of your own, train it, and weigh it against the dense one.

    bogp searches relational graphs, support densities and criteria for the mask that trains best
    at the sparsity, chooses on validation data, and then trains the winner, the dense network, of
    bogp's own models a narrower one too, random search's winner and controls on fresh seeds. The
    folder gets pruned.safetensors (the model and its mask), report.html and result.json; study.db
    keeps the search, so that a stopped one goes on.

    Example: bogp prune lenet-300-100 --data mnist --sparsity 0.9 --out pruned
    """
    kept = f"the trials that ended, if any, are in {out}, and the same command goes on"
    with interruptible(kept), kept_folder(out) as folder:
        from bogp.pruning import prune as run_prune

        with progress_bar("trainings", quiet) as progress, warnings_as_lines(quiet):
            result = run_prune(
                model if weights is None else _weighed(model, data, weights),
                data,
                **as_arguments(settings),
                study=folder / "study.db",
                workers=workers,
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
    about = {"model": model, "data": data}
    text = json.dumps(result.record(), indent=2, ensure_ascii=False) + "\n"
    return {
        "model": result.save(folder / "pruned.safetensors", about),
        "report": result.report(folder / "report.html"),
        "numbers": write_atomic(folder / "result.json", text.encode()),
    }
