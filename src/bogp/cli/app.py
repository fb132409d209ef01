"""The command ``bogp`` and what all its subcommands do with an error or a Ctrl-C."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer

from bogp.cli.analyze import analyze
from bogp.cli.baseline import baseline
from bogp.cli.common import InterruptionError, console, error_console
from bogp.cli.data import data
from bogp.cli.database import database
from bogp.cli.demo import demo
from bogp.cli.export import export
from bogp.cli.graph import graph
from bogp.cli.names import names
from bogp.cli.prune import prune
from bogp.cli.reproduce import reproduce
from bogp.cli.screen import screen
from bogp.cli.search import search
from bogp.cli.study import study
from bogp.errors import BogpError

app = typer.Typer(
    name="bogp",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Find the sparse wiring of a neural network that trains best.

A pruning mask is read as a *relational graph* (You et al. 2020): nodes are groups of channels,
edges say which groups talk. bogp keeps a database of such graphs with their properties, lets
Bayesian optimisation pick which mask to train next, and returns the best mask it found at a wanted
sparsity, with fresh seeds and a test set that chose nothing.

**Start here**

1. `bogp demo` does all of it on real MNIST in a few minutes and writes a report.
2. `bogp database build graphs.db --shape 128x784 --sparsity 0.9` makes a database.
3. `bogp search graphs.db --sparsity 0.9 --study study.db` searches it; run it again to resume.
4. `bogp screen graphs.db --sparsity 0.9` trains many of its graphs at once and ranks them.
5. `bogp baseline glob5 --sparsity 0.9` is what to beat.
6. `bogp reproduce all --out replication` puts every claim of the paper to the test.

**A model of your own**

- `bogp prune package.module:make_model --data package.module:make_data --sparsity 0.9` prunes,
  trains and weighs it; `bogp export` writes it as others load it, with size and latency measured;
  `bogp analyze model.safetensors` says what the masks of any file are.

`bogp list` names every engine, property, family and whatever else an option takes;
`bogp COMMAND --help` explains a command and ends its text with an example.

**Words**

- *sparsity*: the share of the prunable weights that a mask removes, in [0, 1).
- *trial*: the training of one mask; *study*: the file that keeps a search's trials.
- *recipe*: optimiser, learning rate, batch size and epochs; *protocol*: which data select, which
  report.

Results go to standard output (`--json` for programs), progress and errors to standard error
(`--quiet` for errors alone). Whatever Ctrl-C stops, the same command goes on with, unless it says
otherwise. Exit status: 0 done, 2 bad input (one sentence), 130 interrupted.
""",
)


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"bogp {metadata.version('bogp')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(demo)
app.command()(prune)
app.command()(export)
app.command()(analyze)
app.add_typer(database, name="database")
app.add_typer(graph, name="graph")
app.command()(search)
app.add_typer(study, name="study")
app.command()(screen)
app.command()(baseline)
app.command()(reproduce)
app.add_typer(data, name="data")
app.command("list")(names)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 bad input, 130 interrupted."""
    try:
        app(args=arguments)
    except BogpError as error:
        _fail(f"error: {error}", BAD_INPUT)
    except InterruptionError as stop:
        _fail(f"stopped: {stop}", INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Ctrl-C outside what a subcommand has to say about it
            _fail("stopped: nothing was kept", INTERRUPTED)
        raise


def _fail(sentence: str, status: int) -> None:
    line = " ".join(sentence.splitlines())  # what another library said may be of several lines
    error_console.print(line, markup=False, soft_wrap=True)
    sys.exit(status)


BAD_INPUT = 2
INTERRUPTED = 130
"""The exit status that shells give a program which Ctrl-C ended."""
