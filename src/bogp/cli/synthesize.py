"""``bogp graph synthesize``: from a wanted property vector to a graph that has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import (
    interruptible,
    parse_pairs,
    print_json,
    print_table,
    progress_bar,
    say,
)
from bogp.cli.shown_graph import (
    Edges,
    Nodes,
    Shape,
    ShownGraph,
    check_picture,
    draw,
    layer_and_edges,
    made_graph,
)
from bogp.errors import SettingError
from bogp.files import output_folder

if TYPE_CHECKING:
    from bogp.graphs.synthesis import Synthesis


def synthesize(
    target: Annotated[
        list[str],
        typer.Option(
            "--property",
            "-p",
            metavar="NAME=VALUE",
            help="A wanted property (`bogp list properties`); repeat for several.",
        ),
    ],
    database: Annotated[
        Path | None,
        typer.Option("--database", "-d", help="Start from the nearest graphs of this database."),
    ] = None,
    nodes: Nodes = None,
    sparsity: Annotated[
        float | None,
        typer.Option(
            "--sparsity", "-s", help="Of the mask: it decides how many edges the graph has."
        ),
    ] = None,
    edges: Edges = None,
    shape: Shape = None,
    preserve_degrees: Annotated[
        bool,
        typer.Option("--preserve-degrees", help="Keep the degree of every node of the start."),
    ] = False,
    budget: Annotated[
        int | None, typer.Option(min=0, help="Swaps to propose at most. Default: 40,000.")
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(help="Good enough: each error within this share of the property's range."),
    ] = 0.01,
    seed: options.Seed = 0,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write the picture (.png or .svg) or the mask (.safetensors); repeat for both.",
        ),
    ] = None,
    layer: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the layer in a mask that is written.")
    ] = "1.weight",
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make a graph of wanted properties by swapping edges, their number fixed.

    It starts from the graphs of a database that are nearest to the target, or, without one, from a
    few dozen of --nodes and --sparsity or --edges that are drawn on the spot. It prints what was
    wanted beside what was reached. The distance
    is in units of the range of each property: 0.01 is one per cent of it. Not every target can be
    reached; the nearest graph found is printed then, and the exit status is 0 all the same.

    Example: bogp graph synthesize -p clustering=0.4 -p average_shortest_path_length=2.6
    --nodes 64 --sparsity 0.9
    """
    wanted = parse_pairs(target, "--property")
    outs = out or []
    for path in outs:  # before any work, so that none is lost
        if _is_mask(path):
            output_folder(path.parent)
        else:
            check_picture(path)
    if database is None and nodes is None:
        raise SettingError("a synthesis starts from --database or needs --nodes: give either")
    for name, value in {"--nodes": nodes, "--edges": edges, "--shape": shape}.items():
        if database is not None and value is not None:
            raise SettingError(f"{name} is what the database says: leave it out")
    with (
        interruptible("nothing was written; a smaller --budget ends sooner"),
        progress_bar("proposals", quiet) as progress,
    ):
        from bogp.database import GraphDatabase
        from bogp.graphs.synthesis import BUDGET
        from bogp.pipeline import synthesize as run_synthesis

        settings: dict[str, Any] = {
            "budget": BUDGET if budget is None else budget,
            "tolerance": tolerance,
            "preserve_degrees": preserve_degrees,
            "seed": seed,
            "progress": progress,
        }
        origin: dict[str, Any] = {}
        if database is None:
            layer_shape, count = layer_and_edges(nodes or 0, shape, edges, sparsity)
            found = run_synthesis(wanted, nodes=nodes, edges=count, **settings)
        else:
            origin["database"] = str(database)
            with GraphDatabase.open(database) as opened:
                layer_shape = opened.shape
                found = run_synthesis(wanted, start=opened, sparsity=sparsity, **settings)
                sparsity = sparsity or opened.sparsities[0]
        title = "A graph made for " + ", ".join(f"{k} {v:.6g}" for k, v in found.target.items())
        origin |= {"distance": found.distance, "seed": seed}
        shown = made_graph(found.graph, layer_shape, title, origin)
    for path in outs:
        if _is_mask(path):
            _save_mask(shown, layer, sparsity, seed, path)
        else:
            draw(shown, path)
    written = [str(path) for path in outs]
    if as_json:
        print_json({**shown.as_json(), **_as_json(found), "written": written})
    else:
        _print(found)
        say(*(f"written to {path}" for path in written))


def _is_mask(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _save_mask(
    shown: ShownGraph, layer: str, sparsity: float | None, seed: int, path: Path
) -> None:
    """Write the mask as one layer of a safetensors file, at the exact sparsity if that is known.

    The graph keeps at least as many weights as the sparsity asks; a seeded draw drops the rest.
    """
    from torch import nn

    from bogp.criteria import Context, random
    from bogp.masks import Mask, save_mask, select
    from bogp.sparsity import kept_count

    mask = Mask({layer: shown.mask})
    if sparsity is not None:
        scores = random(Context(nn.Identity(), mask, seed=seed))
        mask = select(scores, kept_count(mask.total, sparsity), support=mask, seed=seed)
    save_mask(mask, path, {"nodes": str(shown.graph.nodes)})


def _as_json(found: Synthesis) -> dict[str, Any]:
    """Return what a synthesis reached as a JSON object."""
    names = ("target", "achieved", "errors", "distance", "met", "proposals", "accepted", "seconds")
    return {name: getattr(found, name) for name in names}


def _print(found: Synthesis) -> None:
    """Print the target beside what was reached."""
    from bogp.report import Column, Table, plural

    heads = {"target": "{:.6g}", "achieved": "{:.6g}", "error / range": "{:+.4f}"}
    columns: list[str | Column] = ["property"]
    columns += [Column(name, text.format, "right") for name, text in heads.items()]
    rows: list[list[Any]] = [
        [name, value, found.achieved[name], found.errors[name]]
        for name, value in found.target.items()
    ]
    size = f"{plural(found.graph.nodes, 'node')}, {plural(found.graph.edges, 'edge')}"
    print_table(Table(f"A graph of {size}", columns, rows))
    verdict = "within the tolerance" if found.met else "not within the tolerance: the nearest found"
    say(
        f"distance {found.distance:.4f}, {verdict}; {found.proposals} swaps proposed, "
        f"{found.accepted} accepted, {found.seconds:.2f} s"
    )
