"""The command ``bogp`` and what all its subcommands do with an error or a Ctrl-C."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from bogp.cli.common import InterruptionError, console, error_console
from bogp.errors import BogpError

COMMANDS = {
    "demo": "Search masks for MNIST at sparsity 0.9, train what there is to beat, and report.",
    "prune": "Prune a PyTorch model of your own, train it, and weigh it against the dense one.",
    "export": "Write a pruned model as others load it, and say what it weighs and how fast it is.",
    "analyze": "Say what the masks of a model or a file are: density, graphs, properties.",
    "database": "Build, show, check, import and export databases of relational graphs.",
    "graph": "Show, draw or make single relational graphs.",
    "search": "Search a graph database for the mask that trains best.",
    "study": "List, show, resume, check and export studies.",
    "screen": "Train many graphs of a database as populations and rank them.",
    "baseline": "Train a known method on several seeds and print its test accuracy.",
    "reproduce": "Reproduce the paper's tables and figures, with a verdict on each claim.",
    "data": "Fetch and check datasets.",
    "list": "List the names that options take: engines, families, properties, recipes and more.",
}
"""Command → what it is for, in the order of the help. Its module is imported when it is asked for,
because torch takes seconds to import and the help needs none of it."""


class _Commands(TyperGroup):
    """The subcommands, each of the module of its name."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        return load(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def load(name: str) -> Any:
    """Return the command of a name, a click command, from its module."""
    found: Any = getattr(importlib.import_module(f"bogp.cli.{_module(name)}"), _module(name))
    if isinstance(found, typer.Typer):
        command: Any = get_group(found)
    else:
        alone = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
        )
        alone.command(name)(found)
        command = get_command(alone)
    command.name = name
    return command


def _module(name: str) -> str:
    return "names" if name == "list" else name


app = typer.Typer(
    name="bogp",
    cls=_Commands,
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
3. `bogp search graphs.db --data mnist --sparsity 0.9` searches it; run it again to resume.
4. `bogp screen graphs.db --data mnist --sparsity 0.9` trains many of its graphs and ranks them.
5. `bogp baseline glob5 --data mnist --sparsity 0.9` is what to beat.
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
