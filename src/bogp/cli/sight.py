"""One graph as ``bogp graph`` shows it: where it comes from, its picture, its properties."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli.common import console, flush_right, generator_parameters, print_table
from bogp.errors import SettingError, UnknownNameError
from bogp.files import output_folder

if TYPE_CHECKING:
    from torch import Tensor

    from bogp.graphs import RelationalGraph


ShapeOption = Annotated[
    str | None,
    typer.Option(
        metavar="OUTxIN",
        help="The layer, 128x784 say (outputs by inputs). Default: NODESxNODES.",
    ),
]


@dataclass(frozen=True)
class Sight:
    """One graph and what is shown of it."""

    graph: RelationalGraph
    mask: Tensor  # bool (out, in, *kernel)
    title: str
    facts: dict[str, Any]  # where it comes from
    properties: dict[str, float]
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


def check_picture(out: Path) -> None:
    """Raise now, before any work, if the picture could not be written."""
    from bogp.report import figure_format

    figure_format(out)
    output_folder(out.parent)


def from_database(path: Path, graph_id: int) -> Sight:
    """Return a graph of a database, with the ranges of its properties there."""
    from bogp.database import GraphDatabase
    from bogp.graphs import graph_to_mask

    with GraphDatabase.open(path) as opened:
        record = opened.record(graph_id)
        ranges = opened.coverage(record.sparsity, opened.names)
        shape = opened.shape
    made = {"family": record.family, "parameters": record.parameters, "seed": record.seed}
    return Sight(
        graph=record.graph,
        mask=graph_to_mask(record.graph, *shape) if record.mask is None else record.mask,
        title=f"Graph {graph_id} of {path.name}",
        facts={"database": str(path), "id": graph_id, "sparsity": record.sparsity, **made},
        properties=record.properties,
        ranges={name: (reach.minimum, reach.maximum) for name, reach in ranges.items()},
    )


def wanted_edges(
    nodes: int, edges: int | None, sparsity: float | None, shape: tuple[int, int]
) -> int:
    """Return the edges that are asked for, by number or by sparsity."""
    from bogp.graphs import edges_for_sparsity

    if (edges is None) == (sparsity is None):
        raise SettingError("give either --edges or --sparsity, not both or neither")
    if edges is not None:
        return edges
    assert sparsity is not None
    return edges_for_sparsity(nodes, sparsity, *shape)


def from_family(
    family: str,
    nodes: int,
    edges: int,
    shape: tuple[int, int],
    seed: int,
    parameter: list[str],
) -> Sight:
    """Return the graph that a generator draws."""
    from bogp.graphs import generate, graph_to_mask

    parameters = generator_parameters(parameter)
    drawn = generate(family, nodes, edges, seed, **parameters)
    return Sight(
        graph=drawn,
        mask=graph_to_mask(drawn, *shape),
        title="A drawn graph",
        facts={"family": family, "parameters": parameters, "seed": seed},
        properties=described(drawn),
    )


def from_mask(path: Path, layer: str | None, nodes: int) -> Sight:
    """Return the graph of one layer of a saved mask; the mask is shown as it was saved."""
    from bogp.graphs import mask_to_graph
    from bogp.masks import load_mask

    layers = load_mask(path)
    if layer is None and len(layers) > 1:
        raise SettingError(
            f"{str(path)!r} holds masks of several layers: choose one with --layer, of "
            f"{', '.join(layers)}"
        )
    name = next(iter(layers)) if layer is None else layer
    if name not in layers:
        raise UnknownNameError("layer", name, layers)
    read = mask_to_graph(layers[name], nodes)
    return Sight(
        graph=read,
        mask=layers[name],
        title=f"The graph of {name} in {path.name}",
        facts={"mask": str(path), "layer": name},
        properties=described(read),
    )


def described(graph: RelationalGraph) -> dict[str, float]:
    """Return every property of a graph, each once."""
    from bogp.database import ALL_PROPERTIES
    from bogp.graphs import properties

    found = properties(graph.adjacency[None], ALL_PROPERTIES)
    return {name: float(values[0]) for name, values in found.items()}


def draw(sight: Sight, out: Path) -> None:
    """Write the picture."""
    from bogp.report import graph_portrait, write_figure

    note = _origin(sight.facts)
    if sight.ranges:
        note += "; lines: from the least to the largest value at that sparsity"
    figure = graph_portrait(
        sight.graph.adjacency,
        sight.mask.cpu().numpy(),
        sight.properties,
        sight.title,
        ranges=sight.ranges,
        note=note,
    )
    write_figure(figure, out)


def _origin(facts: dict[str, Any]) -> str:
    """Return where a graph comes from in one line."""
    words = []
    for name, value in facts.items():
        if isinstance(value, dict):
            words += [f"{key} = {item}" for key, item in value.items()]
        elif value is not None and name not in ("database", "id", "mask"):
            words.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(words)


def facts(sight: Sight) -> dict[str, Any]:
    """Return all there is to say of a graph as a JSON object."""
    return {
        **sight.facts,
        "nodes": sight.graph.nodes,
        "edges": sight.graph.edges,
        "density": sight.graph.density,
        "mask_shape": list(sight.mask.shape),
        "mask_sparsity": 1.0 - float(sight.mask.double().mean()),
        "properties": sight.properties,
    }


def print_sight(sight: Sight) -> None:
    """Print where a graph comes from and its properties, beside their range in its database."""
    from bogp.report import Table, plural

    shape = " x ".join(map(str, sight.mask.shape))
    share = 1.0 - float(sight.mask.double().mean())
    lines = [
        f"{sight.title}: {_origin(sight.facts)}",
        f"{plural(sight.graph.nodes, 'node')}, {plural(sight.graph.edges, 'edge')}; "
        f"its mask of {shape} has sparsity {share:.4f}",
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    heads = ["property", "value", *(["least there", "largest there"] if sight.ranges else [])]
    cells = [
        [name, *(f"{number:.6g}" for number in (value, *sight.ranges.get(name, ())))]
        for name, value in sight.properties.items()
    ]
    columns, *rows = flush_right([heads, *cells])
    print_table(Table("Properties", columns, rows))
