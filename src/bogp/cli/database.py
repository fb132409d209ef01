"""``bogp database``: build a graph database, look at it, fetch from it, exchange, check it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bogp.cli import coverage, options
from bogp.cli.check import check_database
from bogp.cli.common import (
    console,
    generator_parameters,
    interruptible,
    parse_pairs,
    parse_shape,
    print_json,
    progress_bar,
    say,
)
from bogp.cli.exchange import DatabasePath, Sparsity, export, import_
from bogp.cli.options import from_settings
from bogp.errors import DatabaseError
from bogp.files import output_folder
from bogp.settings import as_arguments
from bogp.settings.database import DatabaseSettings

if TYPE_CHECKING:
    from bogp.database import GraphDatabase

database = typer.Typer(
    no_args_is_help=True,
    help="Build, inspect, query and exchange databases of relational graphs.\n\n"
    "A database is one SQLite file. For each sparsity it holds graphs whose masks keep that share "
    "of a layer's weights, with the properties of each graph and the seed that makes it again. "
    "A search takes its candidates from it.",
)


@database.command()
@from_settings
def build(
    path: DatabasePath,
    settings: DatabaseSettings,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="OUTxIN",
            help="The layer to be pruned, outputs by inputs, 128x784 say. It decides how many "
            "edges give a sparsity. Default: NODESxNODES.",
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter of the family; repeat for several."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            "-t",
            min=1,
            help="Threads; results do not depend on it. Default: all cores.",
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Build a database, or continue one whose build was stopped.

    The same settings always give the same graphs. Stop it at any time, with Ctrl-C or otherwise:
    the same command goes on where it was. A file of other settings is refused, never overwritten.

    Example: bogp database build graphs.db --shape 128x784 --sparsity 0.9 --graphs 1000
    """
    given = as_arguments(settings) | {
        "shape": None if shape is None else parse_shape(shape),
        "parameters": generator_parameters(parameter or []),
    }
    kept = f"the graphs so far are in {path}, and the same command goes on from there"
    with interruptible(kept), progress_bar(f"building {path.name}", quiet) as progress:
        from bogp.database import GraphDatabase

        built = GraphDatabase.build(path, **given, progress=progress, threads=threads)
    with built:
        if as_json:
            print_json(_summary(built))
        else:
            _print_plan(built)
            _print_constants(built, built.sparsities)


@database.command()
def show(
    path: DatabasePath,
    sparsity: Sparsity = None,
    rows: Annotated[int, typer.Option(min=0, help="Also print this many graphs.")] = 0,
    uniform: Annotated[
        bool,
        typer.Option(
            help="Set beside as many graphs of family uniform, of the same nodes and edges (no "
            "more than 2,000 are drawn)."
        ),
    ] = True,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            "-f",
            metavar="FILE",
            help="Also draw it to this PNG or SVG file: a histogram of each property and a "
            "scatter matrix.",
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Print what a database holds and what it covers: settings, ranges, histograms, dimensions.

    The wider the graphs spread over their properties, the more a search has to choose from. A
    property that is constant, or that follows from another, tells a search nothing: those are
    named. Where a table with measured values was imported, their rank correlation with each
    property is printed too. Different sparsities differ in all properties, so look at one.

    Example: bogp database show graphs.db --sparsity 0.9 --figure coverage.png
    """
    from bogp.database import GraphDatabase

    if figure is not None:
        from bogp.report import figure_format

        figure_format(figure)
        output_folder(figure.parent)
    with (
        GraphDatabase.open(path) as opened,
        progress_bar("drawing uniform graphs", quiet) as progress,
        interruptible("nothing was written, and the database is as it was"),
    ):
        if sparsity is None and len(opened.sparsities) == 1:
            sparsity = opened.sparsities[0]
        shown = coverage.measure(opened, sparsity, uniform=uniform, progress=progress)
        if figure is not None:
            if shown is None:
                raise DatabaseError(
                    f"{str(path)!r} has no graphs to draw yet: continue its `bogp database build`"
                )
            where = "" if sparsity is None else f" at sparsity {sparsity:g}"
            count = f"{len(shown.vectors)} graphs of family {opened.family}"
            title = f"What {path.name} covers{where}: {count}"
            coverage.write_coverage_figure(shown, figure, title)
        first = _rows(opened, sparsity, rows)
        if as_json:
            found = {"coverage": {}} if shown is None else coverage.as_json(shown)
            print_json(_summary(opened) | {"sparsity": sparsity, **found, "rows": first})
            return
        _print_plan(opened)
        if shown is not None:
            where = "all sparsities" if sparsity is None else f"sparsity {sparsity:g}"
            coverage.print_coverage(shown, where)
        _print_constants(opened, opened.sparsities if sparsity is None else (sparsity,))
        _print_vectors(first, "First graphs")
        if figure is not None:
            say(f"figure written to {figure}")


@database.command()
def nearest(
    path: DatabasePath,
    target: Annotated[
        list[str],
        typer.Option(
            "--property",
            "-p",
            metavar="NAME=VALUE",
            help="A wanted property value; repeat for several. Only these are compared.",
        ),
    ],
    sparsity: Sparsity = None,
    metric: Annotated[
        str,
        typer.Option(help="cosine (score: similarity), l1 or l2 (score: distance)."),
    ] = "cosine",
    scale: Annotated[
        str,
        typer.Option(
            help="raw, or standardised: in standard deviations from the mean of the graphs "
            "searched, so that a property of large numbers does not decide alone."
        ),
    ] = "raw",
    count: Annotated[int, typer.Option("--count", "-n", help="How many graphs.")] = 1,
    as_json: options.Json = False,
) -> None:
    """Print the graphs whose properties are nearest to wanted values, best first.

    Example: bogp database nearest graphs.db -s 0.9 -p clustering=0.11 -p edge_connectivity=3
    """
    from bogp.database import GraphDatabase

    wanted = parse_pairs(target, "--property")
    with GraphDatabase.open(path) as opened:
        found = opened.nearest(wanted, metric=metric, scale=scale, count=count, sparsity=sparsity)
        entries = [
            {
                "id": neighbour.id,
                "sparsity": opened.record(neighbour.id).sparsity,
                "score": neighbour.score,
                **neighbour.vector,
            }
            for neighbour in found
        ]
    if as_json:
        print_json(entries)
    else:
        score = "similarity" if metric == "cosine" else "distance"
        _print_vectors(entries, f"nearest by {metric}, {scale}; score is {score}")


database.command()(export)
database.command("import")(import_)
database.command("check")(check_database)


def _summary(opened: GraphDatabase) -> dict[str, Any]:
    """Return the settings and state of a database, for JSON."""
    constant = {str(s): opened.constant(opened.names, s) for s in opened.sparsities}
    return {
        "path": str(opened.path),
        "graphs": len(opened),
        "expected": opened.expected,
        "complete": opened.complete,
        "family": opened.family,
        "parameters": opened.plan.parameters,
        "nodes": opened.nodes,
        "shape": opened.shape,
        "sparsities": opened.sparsities,
        "graphs_per_sparsity": opened.plan.graphs,
        "seed": opened.seed,
        "properties": opened.names,
        "constant": constant,
    }


def _rows(opened: GraphDatabase, sparsity: float | None, count: int) -> list[dict[str, Any]]:
    """Return the first graphs: id, sparsity, edges and properties."""
    ids, _ = opened.vectors(opened.names, sparsity)
    records = [opened.record(graph_id) for graph_id in ids[:count]]
    return [{"id": r.id, "sparsity": r.sparsity, "edges": r.edges, **r.properties} for r in records]


def _print_plan(opened: GraphDatabase) -> None:
    """Print the settings, and how to go on if the build is not complete."""
    imported = opened.family == "imported"
    settings = {} if imported else opened.plan.parameters
    each = "" if imported else f" of {opened.expected}, {opened.plan.graphs} for each sparsity"
    layer = "{}x{} (outputs x inputs)".format(*opened.shape)
    lines = {
        "database": str(opened.path),
        "graphs": f"{len(opened)}{each}",
        "family": opened.family + "".join(f" {k}={v}" for k, v in settings.items()),
        "nodes": str(opened.nodes or "not known"),
        "layer": layer if opened.nodes else "not known",
        "sparsities": ", ".join(map(str, opened.sparsities)),
        "seed": str(opened.seed),
    }
    say(*(f"{name:<11}{value}" for name, value in lines.items()))
    if not opened.complete:
        say("Not complete: repeat its `bogp database build` to continue.")


def _print_constants(opened: GraphDatabase, sparsities: tuple[float, ...]) -> None:
    """Name the properties that are constant at each sparsity."""
    for sparsity in sparsities:
        ranges = opened.coverage(sparsity, opened.names)
        constant = [f"{n}={r.median:.4g}" for n, r in ranges.items() if r.constant]
        if constant:
            say(
                f"Constant at sparsity {sparsity:g}, so no use to a search there: "
                f"{', '.join(constant)}"
            )


def _print_vectors(entries: list[dict[str, Any]], title: str) -> None:
    """Print graphs as columns, one property a row, so that many properties fit a screen."""
    if not entries:
        return
    console.print(title, markup=False)
    table = Table(show_header=False)
    for name in entries[0]:
        values = [entry[name] for entry in entries]
        cells = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
        table.add_row(name, *cells)
    console.print(table)
