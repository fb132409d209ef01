"""``bogp database export`` and ``import``: a database as a table, and a table as a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bogp.cli import options
from bogp.cli.common import interruptible, parse_shape, print_json, progress_bar, say
from bogp.errors import SettingError

DatabasePath = Annotated[Path, typer.Argument(metavar="PATH", help="The database file.")]
TablePath = Annotated[Path, typer.Argument(metavar="TABLE", help="A .csv or .parquet file.")]
Sparsity = Annotated[
    float | None,
    typer.Option("--sparsity", "-s", help="Only the graphs of this sparsity; all if not given."),
]


def export(
    path: DatabasePath,
    table: TablePath,
    prop: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            "-p",
            metavar="NAME",
            help="A property to write; repeat for several. Default: all that are stored.",
        ),
    ] = None,
    sparsity: Sparsity = None,
    graphs: Annotated[
        bool, typer.Option(help="Write the graphs too, each as hexadecimal bits.")
    ] = True,
    measured: Annotated[bool, typer.Option(help="Write measured values too.")] = True,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a database as a table, a row a graph: how it was made, its properties, its edges.

    `bogp database import` reads it back, and so does anything that reads CSV or Parquet. The table
    is written whole or not at all.

    Example: bogp database export graphs.db graphs.csv --sparsity 0.9 --no-graphs
    """
    with (
        interruptible("no table was written"),
        progress_bar(f"writing {table.name}", quiet) as progress,
    ):
        from bogp.database import GraphDatabase, export_table

        with GraphDatabase.open(path) as opened:
            export_table(
                opened,
                table,
                names=prop or None,
                sparsity=sparsity,
                with_graphs=graphs,
                with_measured=measured,
                progress=progress,
            )
            rows = opened.reader.count(opened.match_sparsity(sparsity))
    if as_json:
        print_json({"path": str(path), "table": str(table), "rows": rows})
    else:
        say(f"{rows} graphs written to {table}")


def import_(
    path: DatabasePath,
    table: TablePath,
    nodes: Annotated[
        int | None,
        typer.Option(help="Nodes of each graph. Default: what the graphs in the table say."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(metavar="OUTxIN", help="The layer they are for. Default: NODESxNODES."),
    ] = None,
    sparsity: Annotated[
        float | None,
        typer.Option("--sparsity", "-s", help="Of all rows, if the table has no column sparsity."),
    ] = None,
    prop: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            "-p",
            metavar="NAME",
            help="A property to store, under any name; repeat for several. Default: the columns "
            "of `bogp list properties`, or all of these where there are graphs only.",
        ),
    ] = None,
    measured: Annotated[
        list[str] | None,
        typer.Option(
            "--measured",
            "-m",
            metavar="NAME",
            help="A column of measured values; repeat for several. Default: accuracy, loss and "
            "error, and these with _sd, where they are.",
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THEIRS=OURS",
            help="A column under another name, average_clustering=clustering say; repeat for "
            "several.",
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column to leave out; repeat for several."),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make a database of somebody's table: a row a graph, its properties and what was measured.

    Every column must be known or named, so that nothing is dropped unseen. What was imported can be
    shown, searched for the nearest vector and exported; a search needs the graphs too, in a column
    adjacency as `bogp database export` writes it.

    Example: bogp database import theirs.db results.csv -s 0.9 --measured top1 --leave-out comment
    """
    columns = _columns(rename or [], leave_out or [])
    layer = None if shape is None else parse_shape(shape)
    with (
        interruptible("no database was made"),
        progress_bar(f"reading {table.name}", quiet) as progress,
    ):
        from bogp.database import import_table

        with import_table(
            path,
            table,
            nodes=nodes,
            shape=layer,
            sparsity=sparsity,
            names=prop or None,
            measured=measured or None,
            columns=columns,
            progress=progress,
        ) as made:
            graphs, names, values = len(made), made.names, made.measured_names
    if as_json:
        said = {"path": str(path), "graphs": graphs, "properties": names, "measured": values}
        print_json(said)
    else:
        numbers = f", measured: {', '.join(values)}" if values else ""
        say(f"{graphs} graphs of {table} are in {path}; properties: {', '.join(names)}{numbers}")


def _columns(rename: list[str], leave_out: list[str]) -> dict[str, str | None]:
    """Return name in the table → name here, None for what is left out."""
    columns: dict[str, str | None] = {}
    for text in rename:
        theirs, _, ours = (part.strip() for part in text.partition("="))
        if not theirs or not ours:
            raise SettingError(
                f"--rename {text!r} is not THEIRS=OURS: write --rename "
                "average_clustering=clustering, say"
            )
        columns[theirs] = ours
    for name in leave_out:
        if name in columns:
            raise SettingError(f"column {name!r} is renamed and left out: do one of them")
        columns[name] = None
    return columns
