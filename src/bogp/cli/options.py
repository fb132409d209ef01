"""The options that several subcommands share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bogp.training import RECIPES

Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        help="mnist, digits, a folder of IDX files, an .npz file, or package.module:function "
        "that returns (train, test) torch datasets.",
    ),
]
Model = Annotated[
    str,
    typer.Option(help="mlp:128 is one hidden layer of 128; mlp:300,100 is two of 300 and 100."),
]
Layers = Annotated[
    str,
    typer.Option(
        help="Which weights are pruned: hidden (all but the output layer's; the paper's) or all."
    ),
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="; ".join(
            f"{name}: {r.optimizer} {r.learning_rate:g}, "
            f"{'full batch' if r.batch_size is None else f'batch {r.batch_size}'}, "
            f"{r.epochs} epochs"
            for name, r in RECIPES.items()
        )
        + ".",
    ),
]
Protocol = Annotated[
    str,
    typer.Option(
        help="holdout selects on a sixth of the training set and opens the test set once; paper "
        "selects and reports on the test set, as the paper did."
    ),
]
Seed = Annotated[int, typer.Option(help="Master seed: the same seed gives the same result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Draw no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Workers = Annotated[
    int, typer.Option("--workers", "-w", min=1, help="Processes; results do not depend on it.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")]
