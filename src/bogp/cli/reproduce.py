"""``bogp reproduce``: the paper's tables and figures, and a verdict on each of its claims."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import (
    console,
    error_console,
    interruptible,
    print_json,
    print_table,
    progress_bars,
)
from bogp.cli.demo import loading
from bogp.errors import SettingError, UnknownNameError

if TYPE_CHECKING:
    from bogp.replication import Setup
    from bogp.report import Table


def reproduce(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PART",
            help="table1, table2, fig5, fig6, fig7, fig8, or all of these with the verdicts; "
            "methods compares engine pool with all other methods; models is every criterion on "
            "every kind of model.",
        ),
    ],
    out: options.Out = Path("replication"),
    seeds: Annotated[int, typer.Option(help="Repetitions of everything.")] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few minutes, small: a check, not evidence.")
    ] = False,
    recipe: options.RecipeName = "calibrated",
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            "--sparsity", "-s", help="Columns of table 1 or methods; repeat. Default: all of them."
        ),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="Readings of table 1 or methods: hidden, all; repeat. Default: both."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", "-n", help="Trials of each search of methods. Default: 64."),
    ] = None,
    data: options.Data = "mnist",
    workers: options.Workers = 2,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Reproduce a table or figure of the paper, or all of it with a verdict on each claim.

    Writes CSV and JSON records, PNG and SVG figures and one report.html that opens offline. What
    is recorded is never trained again: stop it at any time, and the same command goes on. Selects
    and reports on the test set, as the paper did, and says so; winners trained on a fresh seed
    stand beside.

    On two cores table1 takes about an hour, all of it two; --quick two minutes.

    methods is table 1 extended: engine pool and its random search against Glob, Unif, SNIP, GraSP,
    SynFlow and ERK-random at one pruning round, chosen on a validation split, the test set sealed.

    models is the table model × criterion × sparsity: perceptrons on MNIST, convolutional networks
    and a vision transformer on digits, a GPT block on text, a search of bogp prune beside.

    Example: bogp reproduce table1 --seeds 5 --out replication
    """
    kept = f"what is trained is in {out}, and the same command goes on from there"
    with interruptible(kept), progress_bars(("graphs", "trainings"), quiet) as (building, training):
        from bogp import replication

        _check(what, trials)
        if what == replication.MODELS:
            shown = _models(out, seeds, workers, trials, quick, training)
            _show(shown, out, as_json)
            return
        setup = replication.Setup(
            out=out, data=data, recipe_name=recipe, seeds=seeds, workers=workers
        )
        if what == replication.PART:
            setup = replication.comparison_setup(setup, trials, quick=quick)
        elif quick:
            setup = replication.quick(setup)
        if sparsity or layers:
            setup = setup.narrowed(sparsity, layers)
        if not quiet:
            error_console.print(loading(data), markup=False)
        command = _command(what, setup, quick, sparsity, layers, trials)
        if what == replication.PART:
            compared = replication.compare_methods(setup, building=building, training=training)
            shown = replication.publish_comparison(compared, command)
        else:
            run = replication.train_all(what, setup, building=building, training=training)
            shown = replication.publish(run, what, command)
    _show(shown, out, as_json)


def _show(shown: Sequence[Table], out: Path, as_json: bool) -> None:
    """Print tables, and where the report is."""
    if as_json:
        print_json(
            [{"title": t.title, "columns": t.headings, "rows": _rows(t.rows)} for t in shown]
        )
        return
    for table in shown:
        print_table(table)
        console.print()
    console.print(f"report: {out / 'report.html'}", markup=False, soft_wrap=True)


def _models(
    out: Path,
    seeds: int,
    workers: int,
    trials: int | None,
    quick: bool,
    progress: Callable[[int, int], None],
) -> list[Table]:
    """Run and publish the table of models."""
    from bogp import replication

    run = replication.run_models(
        out, seeds=seeds, workers=workers, trials=trials, quick=quick, progress=progress
    )
    words = ["bogp", "reproduce", replication.MODELS, "--seeds", str(seeds)]
    words += ["--quick"] if quick else []
    words += [] if trials is None else ["--trials", str(trials)]
    return replication.publish_models(run, shlex.join([*words, "--out", str(out)]))


def _check(what: str, trials: int | None) -> None:
    """Refuse an unknown part, and trials of one that has its own."""
    from bogp.replication import MODELS, PART, PARTS

    parts = (*PARTS, "all", PART, MODELS)
    if what not in parts:
        raise UnknownNameError("part", what, parts)
    if trials is not None and what not in (PART, MODELS):
        raise SettingError(
            f"--trials {trials} goes with {PART} and {MODELS}: those of {what} are as many as the "
            "paper's"
        )


def _command(
    what: str,
    setup: Setup,
    quick: bool,
    sparsity: list[float] | None,
    layers: list[str] | None,
    trials: int | None,
) -> str:
    """Return the command that makes this replication again."""
    words = ["bogp", "reproduce", what, "--seeds", str(setup.seeds)]
    words += ["--recipe", setup.recipe_name]
    words += ["--quick"] if quick else []
    words += [word for s in sparsity or () for word in ("--sparsity", f"{s:g}")]
    words += [word for reading in layers or () for word in ("--layers", reading)]
    words += [] if trials is None else ["--trials", str(trials)]
    words += ["--data", setup.data] if setup.data != "mnist" else []
    return shlex.join([*words, "--out", str(setup.out)])


def _rows(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the cells as JSON values, intervals as objects."""
    from bogp.analysis import Interval

    return [[vars(cell) if isinstance(cell, Interval) else cell for cell in row] for row in rows]
