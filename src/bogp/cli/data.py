"""``bogp data``: fetch and check a dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from bogp.cli import options
from bogp.cli.common import console, interruptible, print_json

data = typer.Typer(no_args_is_help=True, help="Fetch and check datasets.")


@data.command()
def show(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="As --data elsewhere: a name (`bogp list datasets`), a folder, file or function.",
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Load a dataset, fetching and checking MNIST if need be, and print what it holds.

    Example: bogp data show mnist
    """
    from bogp.data import load_dataset

    with interruptible(f"run `bogp data show {source}` again to load it; a part is never used"):
        loaded = load_dataset(source)
    facts = {
        "name": loaded.name,
        "training examples": len(loaded.train_targets),
        "test examples": len(loaded.test_targets),
        "input shape": list(loaded.train_inputs.shape[1:]),
        "classes": loaded.classes,
        "fingerprint": loaded.fingerprint,
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        console.print(f"{name:<18}{value}", markup=False, soft_wrap=True)
