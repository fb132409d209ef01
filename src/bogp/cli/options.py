"""The options that several subcommands share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        help="mnist (20 MB, fetched once), digits (small, offline), a folder of IDX files, an .npz "
        "file of x_train, y_train, x_test, y_test, text (for gpt), or package.module:function, "
        "which returns (train, test) or (train, validation, test) torch datasets.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="mlp:128 is one hidden layer of 128; mlp:300,100 is two of 300 and 100; lenet-5, "
        "resnet-8, resnet-20, vit, gpt; or package.module:function, which makes a model of yours."
    ),
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
        help="calibrated reaches the dense accuracy of the paper's table 1 in 3 epochs; written "
        "is the paper's text, 50 epochs of the whole training set at once.",
    ),
]
Protocol = Annotated[
    str,
    typer.Option(
        help="holdout selects on a sixth of the training set and opens the test set once; paper "
        "selects and reports on the test set, as the paper did."
    ),
]
Device = Annotated[
    str, typer.Option(help="Where to train: cpu, cuda, mps; it changes results by rounding alone.")
]
Seed = Annotated[int, typer.Option(help="Master seed: the same seed gives the same result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on standard error but errors.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON, and only that, on standard output.")
]
Workers = Annotated[
    int, typer.Option("--workers", "-w", min=1, help="Processes; results do not depend on it.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")]
