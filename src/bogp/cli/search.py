"""``bogp search``: Bayesian optimisation of masks as one command."""

from __future__ import annotations

import contextlib
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli.common import error_console, interruptible, print_json, progress_bar
from bogp.cli.found import print_found, save_masks, summary
from bogp.cli.options import Data, Json, Quiet, from_settings
from bogp.errors import (
    ConstantPropertyWarning,
    LayerCollapseWarning,
    OutputError,
    SettingError,
)
from bogp.files import output_folder
from bogp.settings.search import Execution, SearchSettings

if TYPE_CHECKING:
    from bogp.study import FinishedTrial


@from_settings
def search(
    context: typer.Context,
    database: Annotated[
        Path, typer.Argument(metavar="DATABASE", help="A graph database (bogp database build).")
    ],
    settings: SearchSettings,
    data: Data,
    execution: Execution,
    study: Annotated[
        str,
        typer.Option(
            metavar="FILE|URL",
            help="Where the study is kept: a file, or the URL of an Optuna storage; a search that "
            "was killed resumes from it.",
        ),
    ] = "study.db",
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the winning mask to this safetensors file; with --pareto, a folder for "
            "one a point."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", help="Write tables and figures to this .html file, which opens offline."
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Search a graph database for the mask that trains best.

    Give --sparsity, --pareto or --alpha. A candidate is a relational graph, which bounds the mask,
    and a criterion, which picks the kept weights inside; Glob, Unif, SNIP, GraSP, SynFlow and ERK
    are candidates too, with the complete graph. Promising ones get more seeds, poor ones stop
    early, and the winner is trained on fresh seeds beside random search's winner and controls;
    only then is the test set opened.

    Every trial is on disk as it ends. A search that was stopped or killed resumes when the same
    command runs again (or `bogp study resume`), and ends as an unbroken one would.

    Example: bogp search graphs.db --data mnist --sparsity 0.9 --report report.html
    """
    from bogp.database import GraphDatabase
    from bogp.pipeline import search as run_search
    from bogp.report.search_page import write_search_report

    if save is not None:
        output_folder(save if settings.pareto else save.parent)
        if settings.pareto and not settings.final_seeds:
            raise SettingError(
                "a front's masks are drawn on fresh seeds: give --final-seeds 1 or more with "
                f"--save {save}, not 0"
            )
    if report is not None:
        check_report(report)
    with (
        interruptible(kept(study)),
        GraphDatabase.open(database) as opened,
        progress_bar("trainings", quiet) as progress,
        warnings_as_lines(quiet),
    ):
        result = run_search(
            opened,
            data,
            settings,
            study=study,
            name=execution.name,
            workers=execution.workers,
            retries=execution.retries,
            progress=progress,
            on_trial=None if quiet or as_json else print_trial,
        )
        saved = [] if save is None else save_masks(result, save)
        if report is not None:
            write_search_report(report, result, opened, typed(context))
    if as_json:
        print_json(summary(result))
    else:
        print_found(result, saved, report)


def check_report(path: Path) -> None:
    """Refuse a report's name before the search, not after it.

    Raises:
        OutputError: it does not end in .html, or its folder cannot be.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"report {str(path)!r} is a web page: let its name end in .html")
    output_folder(path.parent)


def typed(context: typer.Context) -> str:
    """Return the command with the options that it was given, less --quiet and --json."""
    words = ["bogp", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in ("quiet", "as_json"):
            continue
        value = context.params[name]
        if parameter.param_type_name == "argument":
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            for each in value if isinstance(value, (list, tuple)) else [value]:
                words += [parameter.opts[0], str(each)]
    return shlex.join(words)


def kept(study: str) -> str:
    """Return what a Ctrl-C leaves of the search."""
    return f"the finished trials are in {study}, and the same command goes on from there"


@contextlib.contextmanager
def warnings_as_lines(quiet: bool) -> Iterator[None]:
    """Print the library's warnings as lines of the command's own, or not at all."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        error_console.print(f"warning: {message}", markup=False, soft_wrap=True)

    with warnings.catch_warnings():
        for kind in (ConstantPropertyWarning, LayerCollapseWarning):
            warnings.simplefilter("ignore" if quiet else "always", kind)
        warnings.showwarning = show
        yield


def print_trial(trial: FinishedTrial) -> None:
    """Print a trial's value and what it trained."""
    accuracy = trial.record["accuracy"]
    if "index" in trial.point:
        from bogp.pipeline import Point

        arm = "" if trial.arm == "search" else "random search, "
        end = f", stopped after epoch {len(trial.record['accuracies'])}" if trial.stopped else ""
        _line(
            f"{arm}trial {trial.number + 1}: accuracy {accuracy:.4f}{end}: "
            f"{Point.from_record(trial.point)}"
        )
        return
    record = trial.record
    _line(
        f"trial {trial.number + 1}: value {trial.value:.4f}, accuracy {accuracy:.4f}, "
        f"{'made from ' if 'made' in record else ''}graph {record['graph']} "
        f"(sparsity {record['database_sparsity']:g})"
    )
    how = "made" if "made" in record else "fetched"
    for name, got in record["fetched"].items():
        wanted = record["proposed"].get(name)
        if wanted is not None and wanted != got:
            _line(f"  {name} proposed {wanted:.5g}, {how} {got:.5g}")


def _line(text: str) -> None:
    error_console.print(text, markup=False, soft_wrap=True)
