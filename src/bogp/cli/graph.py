"""``bogp graph``: draw one graph with its mask and properties, or make one of wanted properties."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import print_json, say
from bogp.cli.shown_graph import (
    Edges,
    Nodes,
    Shape,
    check_picture,
    draw,
    from_database,
    from_family,
    from_mask,
    layer_and_edges,
    print_graph,
)
from bogp.cli.synthesize import synthesize
from bogp.errors import SettingError

graph = typer.Typer(
    no_args_is_help=True,
    help="Draw a graph, or make one of wanted properties.\n\n"
    "A graph of n nodes stands for a mask: node v owns a group of a layer's outputs and one of its "
    "inputs, and a weight is kept where the nodes of its output and its input are joined.",
)

_BELONGS = {
    "--id": ("--database",),
    "--nodes": ("--family", "--mask"),
    "--edges": ("--family",),
    "--sparsity": ("--family",),
    "--shape": ("--family",),
    "--seed": ("--family",),
    "--parameter": ("--family",),
    "--layer": ("--mask",),
}
"""Option of ``show`` → the options that name where a graph comes from, with which it goes."""


@graph.command()
def show(
    database: Annotated[
        Path | None, typer.Option("--database", "-d", help="Take it from this database; see --id.")
    ] = None,
    graph_id: Annotated[
        int | None, typer.Option("--id", metavar="N", help="Its number in the database.")
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Draw one of this family (`bogp list families`), with --nodes and --edges or "
            "--sparsity.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Read it from a file with a mask, with --nodes, which a mask of blocks that bogp "
            "prune has saved knows."
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which layer of the mask, if it has several.")
    ] = None,
    nodes: Nodes = None,
    edges: Edges = None,
    sparsity: Annotated[
        float | None,
        typer.Option("--sparsity", "-s", help="Instead of --edges: the sparsity of its mask."),
    ] = None,
    shape: Shape = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draw. Default: 0.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter of the family; repeat for several."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The picture, a PNG or SVG file.")
    ] = Path("graph.png"),
    as_json: options.Json = False,
) -> None:
    """Draw a graph in a circle and held by springs, beside its mask and its properties.

    The graph comes from a database, from a family or from a saved mask: give one of --database,
    --family and --mask.

    Example: bogp graph show --family ws_flex --nodes 64 --sparsity 0.9 --parameter p=0.1
    """
    given = {
        "--id": graph_id,
        "--nodes": nodes,
        "--edges": edges,
        "--sparsity": sparsity,
        "--shape": shape,
        "--seed": seed,
        "--parameter": parameter or None,
        "--layer": layer,
    }
    _check_source({"--database": database, "--family": family, "--mask": mask}, given)
    check_picture(out)
    if database is not None:
        shown = from_database(database, _needed(graph_id, "--id", "--database"))
    elif family is not None:
        size = _needed(nodes, "--nodes", "--family")
        layer_shape, count = layer_and_edges(size, shape, edges, sparsity)
        shown = from_family(family, size, count, layer_shape, seed or 0, parameter or [])
    else:
        assert mask is not None  # one of the three was given
        shown = from_mask(mask, layer, nodes)
    draw(shown, out)
    if as_json:
        print_json({**shown.as_json(), "picture": str(out)})
    else:
        print_graph(shown)
        say(f"picture written to {out}")


def _check_source(sources: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise unless one source is given, and only options that go with it."""
    named = [name for name, value in sources.items() if value is not None]
    if len(named) != 1:
        what = "none is" if not named else f"{' and '.join(named)} are"
        raise SettingError(
            f"a graph comes from one of --database, --family and --mask, and {what} given: "
            "give just one"
        )
    for name, value in given.items():
        if value is not None and named[0] not in _BELONGS[name]:
            raise SettingError(
                f"{name} goes with {' or '.join(_BELONGS[name])}, not with {named[0]}: leave it out"
            )


def _needed(value: int | None, name: str, source: str) -> int:
    """Return the value of an option, or raise if it was not given."""
    if value is None:
        raise SettingError(f"{source} needs {name} too: give {name} and a number")
    return value


graph.command()(synthesize)
