"""``bogp data``: fetch and check a dataset."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from bogp.cli import options
from bogp.cli.common import console, print_json
from bogp.data import load_dataset

data = typer.Typer(no_args_is_help=True, help="Fetch and check datasets.")


@data.command()
def show(
    source: Annotated[
        str, typer.Argument(help="As --data elsewhere: mnist, digits, a folder, a file, a function")
    ],
    as_json: options.Json = False,
) -> None:
    """Load a dataset, fetching and checking MNIST if need be, and print what it holds.

    Example: bogp data show mnist
    """
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
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, str(value))
    console.print(table)
