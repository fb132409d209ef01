"""``bogp reproduce``: the paper's tables and figures, and a verdict on each of its claims."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli.common import (
    console,
    error_console,
    interruptible,
    print_json,
    print_table,
    progress_bars,
)
from bogp.cli.demo import loading
from bogp.cli.options import Data, Json, Out, Quiet, from_settings
from bogp.replication.request import ReproduceSettings

if TYPE_CHECKING:
    from bogp.report import Table


@from_settings
def reproduce(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PART",
            help="table1, table2, fig5, fig6, fig7, fig8, or all of these with the verdicts; "
            "methods compares engine pool with all other methods; models is every criterion on "
            "every kind of model; dynamics is masks that move while they train.",
        ),
    ],
    settings: ReproduceSettings,
    out: Out = Path("replication"),
    data: Data = "mnist",
    quiet: Quiet = False,
    as_json: Json = False,
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

    dynamics is masks that move while they train, of weights, blocks and channels, inside relational
    graphs and outside, beside fixed masks and narrower networks, all at equal training.

    Example: bogp reproduce table1 --seeds 5 --out replication
    """
    kept = f"what is trained is in {out}, and the same command goes on from there"
    with interruptible(kept), progress_bars(("graphs", "trainings"), quiet) as (building, training):
        from bogp.replication.replications import REPLICATIONS, make, setup_of

        asked = dataclasses.replace(settings, what=what, out=out, data=data)
        setup = setup_of(asked)
        if not quiet:
            error_console.print(loading(data), markup=False)
        report, shown = make(
            REPLICATIONS[what], setup, asked.command, building=building, training=training
        )
    if as_json:
        print_json([_values(table) for table in shown])
        return
    for table in shown:
        print_table(table)
        console.print()
    console.print(f"report: {report}", markup=False, soft_wrap=True)


def _values(table: Table) -> dict[str, Any]:
    """Return a table as JSON values, intervals as objects."""
    from bogp.analysis import Interval

    rows = [[vars(c) if isinstance(c, Interval) else c for c in row] for row in table.rows]
    return {"title": table.title, "columns": table.headings, "rows": rows}
