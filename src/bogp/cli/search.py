"""``bogp search``: Bayesian optimisation of masks as one command."""

from __future__ import annotations

import contextlib
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import error_console, interruptible, print_json, progress_bar
from bogp.cli.found import print_found, save_masks, summary
from bogp.errors import (
    ConstantPropertyWarning,
    LayerCollapseWarning,
    OutputError,
    SettingError,
)
from bogp.files import output_folder

if TYPE_CHECKING:
    from bogp.pipeline import SearchResult
    from bogp.study import FinishedTrial

_POOL = "Engine pool"
_PAPER = "Engines paper and random"


def search(
    context: typer.Context,
    database: Annotated[
        Path, typer.Argument(metavar="DATABASE", help="A graph database (bogp database build).")
    ],
    sparsity: Annotated[
        float | None,
        typer.Option("--sparsity", "-s", help="Maximise the accuracy at this sparsity."),
    ] = None,
    pareto: Annotated[
        bool,
        typer.Option(
            "--pareto", help="Instead of --sparsity: find the whole front of accuracy and sparsity."
        ),
    ] = False,
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha", "-a", help="Instead of --sparsity: maximise accuracy + alpha * sparsity."
        ),
    ] = None,
    data: options.Data = "mnist",
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            "-e",
            help="pool: graphs, support densities and criteria by a Gaussian process; paper: the "
            "paper's optimisation of properties; random: random graphs.",
        ),
    ] = "pool",
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            "-n",
            help="Trainings, those in the study counted. Default: 64 with engine pool, 20 with the "
            "others.",
        ),
    ] = None,
    final_seeds: Annotated[
        int, typer.Option(help="Fresh seeds on which the winner is trained and measured.")
    ] = 5,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Where the study is kept: a file, or the URL of an Optuna storage; a search that "
            "was killed resumes from it. Default: study.db, under a name of its own for each "
            "search.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the study: a storage may hold many. With --study bogp, if none."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the winning mask to this safetensors file; with --pareto, a folder for "
            "one a point."
        ),
    ] = None,
    model: options.Model = "mlp:128",
    layers: options.Layers = "hidden",
    prop: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            "-p",
            metavar="NAME",
            help="A property to search by; repeat for several. Default: with engine pool seven "
            "that differ at a fixed number of edges, with the others the paper's five.",
        ),
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(
            "--at",
            help="A sparsity of the trade-off; repeat. Default: those of the database.",
            rich_help_panel=_POOL,
        ),
    ] = None,
    criterion: Annotated[
        list[str] | None,
        typer.Option(
            "--criterion",
            metavar="NAME",
            help="What picks weights inside a graph (`bogp list criteria`); repeat. Default: all.",
            rich_help_panel=_POOL,
        ),
    ] = None,
    rounds: Annotated[
        list[int] | None,
        typer.Option(
            help="Pruning rounds, each followed by a whole training; repeat. Default: 1.",
            rich_help_panel=_POOL,
        ),
    ] = None,
    pool: Annotated[
        int | None,
        typer.Option(help="Candidates to choose from. Default: 5000.", rich_help_panel=_POOL),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Trials asked at a time. Default: 16.", rich_help_panel=_POOL),
    ] = None,
    population: Annotated[
        int | None,
        typer.Option(help="Trials trained together, at most. Default: 16.", rich_help_panel=_POOL),
    ] = None,
    replicates: Annotated[
        float | None,
        typer.Option(
            help="Share of a batch that gives promising candidates another seed. Default: 0.25.",
            rich_help_panel=_POOL,
        ),
    ] = None,
    rung: Annotated[
        list[int] | None,
        typer.Option(
            help="Epochs after which the poorer half stops; repeat; 0 for never. Default: a third "
            "of the recipe's.",
            rich_help_panel=_POOL,
        ),
    ] = None,
    acquisition: Annotated[
        str | None,
        typer.Option(
            help="qlognei, ucb, thompson or random. Default: qlognei.", rich_help_panel=_POOL
        ),
    ] = None,
    random_arm: Annotated[
        bool | None,
        typer.Option(
            "--random-search/--no-random-search",
            help="Give random search as much training and compare. Default: yes.",
            rich_help_panel=_POOL,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            "-w",
            min=1,
            help="Processes that train; results do not depend on it.",
            rich_help_panel=_POOL,
        ),
    ] = 1,
    retries: Annotated[
        int,
        typer.Option(min=0, help="How often a trial is tried again after a kill or a lost worker."),
    ] = 2,
    asynchronous: Annotated[
        bool | None,
        typer.Option(
            "--asynchronous/--synchronous",
            help="Ask again as soon as a population ends: faster with many workers, and the result "
            "then depends on their speed. Default: synchronous.",
            rich_help_panel=_POOL,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What the nearest graph is: cosine, l1 or l2. Default: cosine.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Compare raw or standardised property vectors. Default: raw.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    fetch: Annotated[
        str | None,
        typer.Option(
            help="nearest trains the nearest graph of the database; synthesize first changes it by "
            "edge swaps towards the proposed properties. Default: nearest.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    kappa: Annotated[
        float | None,
        typer.Option(
            help="Weight of the uncertainty in the upper confidence bound. Default: 5.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    recipe: options.RecipeName = "calibrated",
    protocol: options.Protocol = "holdout",
    seed: options.Seed = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", help="Write tables and figures to this .html file, which opens offline."
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Search a graph database for the mask that trains best.

    Give --sparsity, --pareto or --alpha. A candidate is a relational graph, which bounds the mask,
    and a criterion, which picks the kept weights inside; Glob, Unif, SNIP, GraSP, SynFlow and ERK
    are candidates too, with the complete graph. Promising ones get more seeds, poor ones stop
    early, and the winner is trained on fresh seeds beside random search's winner and controls;
    only then is the test set opened.

    Every trial is on disk as it ends. A search that was stopped or killed resumes when the same
    command runs again (or `bogp study resume`), and ends as an unbroken one would.

    Example: bogp search graphs.db --sparsity 0.9 --study study.db --report report.html
    """
    if save is not None:
        output_folder(save if pareto else save.parent)
        if pareto and not final_seeds:
            raise SettingError(
                "a front's masks are drawn on fresh seeds: give --final-seeds 1 or more with "
                f"--save {save}, not 0"
            )
    if report is not None:
        check_report(report)
    given: dict[str, Any] = {
        "sparsity": sparsity,
        "alpha": alpha,
        "pareto": pareto or None,
        "properties": _tuple(prop),
        "sparsities": _tuple(at),
        "criteria": _tuple(criterion),
        "rounds": _tuple(rounds),
        "pool": pool,
        "batch": batch,
        "population": population,
        "replicates": replicates,
        "rungs": () if rung == [0] else _tuple(rung),
        "acquisition": acquisition,
        "random_arm": random_arm,
        "asynchronous": asynchronous,
        "metric": metric,
        "scale": scale,
        "fetch": fetch,
        "kappa": kappa,
    }
    # In the default file each search goes by its key, so that the next one finds room beside it.
    named = name if name is not None or study is None else "bogp"
    storage = "study.db" if study is None else study
    with interruptible(kept(storage)):
        from bogp.database import GraphDatabase
        from bogp.pipeline import search as run_search

        with (
            GraphDatabase.open(database) as opened,
            progress_bar("trainings", quiet) as progress,
            warnings_as_lines(quiet),
        ):
            result = run_search(
                opened,
                data,
                engine=engine,
                trials=trials,
                final_seeds=final_seeds,
                study=storage,
                name=named,
                workers=workers,
                retries=retries,
                progress=progress,
                on_trial=None if quiet or as_json else print_trial,
                model=model,
                layers=layers,
                recipe=recipe,
                protocol=protocol,
                seed=seed,
                **{key: value for key, value in given.items() if value is not None},
            )
        saved = [] if save is None else save_masks(result, save)
        if report is not None:
            write_report(result, database, report, typed(context))
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


def write_report(result: SearchResult, database: Path, path: Path, command: str) -> None:
    """Write the report of a search in ``database``."""
    from bogp.database import GraphDatabase
    from bogp.report.search_page import write_search_report

    with GraphDatabase.open(database) as opened:
        write_search_report(path, result, opened, command)


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


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return tuple(values) if values else None


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
