"""``bogp graph synthesize``: from a wanted property vector to a graph that has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import (
    console,
    flush_right,
    interruptible,
    parse_pairs,
    parse_shape,
    print_json,
    print_table,
    progress_bar,
)
from bogp.cli.sight import ShapeOption, Sight, check_picture, described, draw, facts, wanted_edges
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
    nodes: Annotated[
        int | None, typer.Option(help="Without a database: nodes of the graph.")
    ] = None,
    sparsity: Annotated[
        float | None,
        typer.Option(
            "--sparsity", "-s", help="Of the mask: it decides how many edges the graph has."
        ),
    ] = None,
    edges: Annotated[
        int | None, typer.Option(help="Without a database, instead of --sparsity: the edges.")
    ] = None,
    shape: ShapeOption = None,
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
    few dozen drawn on the spot, and prints what was wanted beside what was reached. The distance
    is in units of the range of each property: 0.01 is one per cent of it. Not every target can be
    reached; the nearest graph found is printed then, and the exit status is 0 all the same.

    Example: bogp graph synthesize -p clustering=0.4 -p average_shortest_path_length=2.6
    --nodes 64 --sparsity 0.9
    """
    wanted = parse_pairs(target, "--property")
    outs = out or []
    _check_outs(outs)
    _check_settings(database, nodes, sparsity, edges, shape)
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
        if database is None:
            size = 0 if nodes is None else nodes
            layer_shape = (size, size) if shape is None else parse_shape(shape)
            count = wanted_edges(size, edges, sparsity, layer_shape)
            found = run_synthesis(wanted, nodes=size, edges=count, **settings)
        else:
            with GraphDatabase.open(database) as opened:
                layer_shape = opened.shape
                found = run_synthesis(wanted, start=opened, sparsity=sparsity, **settings)
                sparsity = sparsity or opened.sparsities[0]
        sight = _sight(found, layer_shape, database, seed)
    for path in outs:
        if path.suffix.lower() == ".safetensors":
            _save(sight, layer, sparsity, seed, path)
        else:
            draw(sight, path)
    if as_json:
        print_json({**facts(sight), **_result(found), "written": [str(path) for path in outs]})
    else:
        _print(found)
        for path in outs:
            console.print(f"written to {path}", markup=False, soft_wrap=True)


def _check_outs(outs: list[Path]) -> None:
    """Raise now, before any work, if a file could not be written."""
    for path in outs:
        if path.suffix.lower() == ".safetensors":
            output_folder(path.parent)
        else:
            check_picture(path)


def _check_settings(
    database: Path | None,
    nodes: int | None,
    sparsity: float | None,
    edges: int | None,
    shape: str | None,
) -> None:
    """Raise unless the options are those of a synthesis with a database, or without one."""
    if database is None:
        if nodes is None:
            raise SettingError("a synthesis starts from --database or needs --nodes: give either")
        return
    for name, value in {"--nodes": nodes, "--edges": edges, "--shape": shape}.items():
        if value is not None:
            raise SettingError(f"{name} is what the database says: leave it out")


def _sight(found: Synthesis, shape: tuple[int, int], database: Path | None, seed: int) -> Sight:
    """Return the synthesised graph as it is shown."""
    from bogp.graphs import graph_to_mask

    source = {} if database is None else {"database": str(database)}
    return Sight(
        graph=found.graph,
        mask=graph_to_mask(found.graph, *shape),
        title="A graph made for " + ", ".join(f"{k} {v:.6g}" for k, v in found.target.items()),
        facts={**source, "distance": found.distance, "seed": seed},
        properties=described(found.graph),
    )


def _save(sight: Sight, layer: str, sparsity: float | None, seed: int, path: Path) -> None:
    """Write the mask as one layer of a safetensors file, at the exact sparsity if that is known.

    The graph keeps at least as many weights as the sparsity asks; a seeded draw drops the rest.
    """
    from torch import nn

    from bogp.criteria import Context, random
    from bogp.masks import Mask, save_mask, select
    from bogp.sparsity import kept_count

    mask = Mask({layer: sight.mask})
    if sparsity is not None:
        scores = random(Context(nn.Identity(), mask, seed=seed))
        mask = select(scores, kept_count(mask.total, sparsity), support=mask, seed=seed)
    save_mask(mask, path, {"nodes": str(sight.graph.nodes)})


def _result(found: Synthesis) -> dict[str, Any]:
    """Return what a synthesis reached as a JSON object."""
    return {
        "target": found.target,
        "achieved": found.achieved,
        "errors": found.errors,
        "distance": found.distance,
        "met": found.met,
        "proposals": found.proposals,
        "accepted": found.accepted,
        "seconds": found.seconds,
    }


def _print(found: Synthesis) -> None:
    """Print the target beside what was reached."""
    from bogp.report import Table, plural

    heads = ["property", "target", "achieved", "error / range"]
    cells = [
        [name, f"{value:.6g}", f"{found.achieved[name]:.6g}", f"{found.errors[name]:+.4f}"]
        for name, value in found.target.items()
    ]
    columns, *rows = flush_right([heads, *cells])
    size = f"{plural(found.graph.nodes, 'node')}, {plural(found.graph.edges, 'edge')}"
    print_table(Table(f"A graph of {size}", columns, rows))
    verdict = "within the tolerance" if found.met else "not within the tolerance: the nearest found"
    console.print(
        f"distance {found.distance:.4f}, {verdict}; {found.proposals} swaps proposed, "
        f"{found.accepted} accepted, {found.seconds:.2f} s",
        markup=False,
        soft_wrap=True,
    )
