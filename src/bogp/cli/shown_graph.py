"""One graph as ``bogp graph`` shows it: where it comes from, its picture, its properties."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli.common import generator_parameters, parse_shape, print_table, say
from bogp.errors import SettingError, UnknownNameError
from bogp.files import output_folder

if TYPE_CHECKING:
    from torch import Tensor

    from bogp.graphs import RelationalGraph

Nodes = Annotated[int | None, typer.Option(help="Nodes of the graph.")]
Edges = Annotated[int | None, typer.Option(help="Edges of the graph, self-loops not counted.")]
Shape = Annotated[
    str | None,
    typer.Option(
        metavar="OUTxIN",
        help="The layer, 128x784 say (outputs by inputs). Default: NODESxNODES.",
    ),
]


@dataclass(frozen=True)
class ShownGraph:
    """One graph and what is shown of it."""

    graph: RelationalGraph
    mask: Tensor  # bool (out, in, *kernel)
    title: str
    origin: dict[str, Any]  # where it comes from
    properties: dict[str, float]
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)  # in its database

    def as_json(self) -> dict[str, Any]:
        """Return all there is to say of the graph as a JSON object."""
        return {
            **self.origin,
            "nodes": self.graph.nodes,
            "edges": self.graph.edges,
            "density": self.graph.density,
            "mask_shape": list(self.mask.shape),
            "mask_sparsity": self.mask_sparsity,
            "properties": self.properties,
        }

    @property
    def mask_sparsity(self) -> float:
        """The share of the layer's weights that the mask removes."""
        return 1.0 - float(self.mask.double().mean())

    @property
    def origin_words(self) -> str:
        """Where it comes from in one line, without what the title says already."""
        words = []
        for name, value in self.origin.items():
            if isinstance(value, dict):
                words += [f"{key} = {item}" for key, item in value.items()]
            elif value is not None and name not in ("database", "id", "mask"):
                words.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
        return ", ".join(words)


def check_picture(out: Path) -> None:
    """Raise now, before any work, if the picture could not be written."""
    from bogp.report import figure_format

    figure_format(out)
    output_folder(out.parent)


def from_database(path: Path, graph_id: int) -> ShownGraph:
    """Return a graph of a database, with the ranges of its properties there."""
    from bogp.database import GraphDatabase
    from bogp.graphs import graph_to_mask

    with GraphDatabase.open(path) as opened:
        record = opened.record(graph_id)
        ranges = opened.coverage(record.sparsity, opened.names)
        shape = opened.shape
    made = {"family": record.family, "parameters": record.parameters, "seed": record.seed}
    return ShownGraph(
        graph=record.graph,
        mask=graph_to_mask(record.graph, *shape) if record.mask is None else record.mask,
        title=f"Graph {graph_id} of {path.name}",
        origin={"database": str(path), "id": graph_id, "sparsity": record.sparsity, **made},
        properties=record.properties,
        ranges={name: (reach.minimum, reach.maximum) for name, reach in ranges.items()},
    )


def from_family(
    family: str,
    nodes: int,
    edges: int,
    shape: tuple[int, int],
    seed: int,
    parameter: list[str],
) -> ShownGraph:
    """Return the graph that a generator draws."""
    from bogp.graphs import generate

    parameters = generator_parameters(parameter)
    drawn = generate(family, nodes, edges, seed, **parameters)
    origin = {"family": family, "parameters": parameters, "seed": seed}
    return made_graph(drawn, shape, "A drawn graph", origin)


def from_mask(path: Path, layer: str | None, nodes: int | None) -> ShownGraph:
    """Return the graph of one layer of a saved mask; the mask is shown as it was saved.

    Of an attention's packed projections each matrix is a layer, as ``bogp analyze`` names them.
    """
    from bogp.graphs import mask_to_graph
    from bogp.masks import read_mask
    from bogp.pipeline.analyze import analyze
    from bogp.pipeline.pruned_model import parts, read_layouts, stored_blocks

    mask, blocks = read_mask(path), stored_blocks(path)
    if nodes is None and blocks is None:
        raise SettingError("--mask needs --nodes too: give --nodes and a number")
    layouts = read_layouts(mask, None)
    layers = {
        part: view
        for name, kept in mask.items()
        for part, view in parts(kept, name, layouts[name][1]).items()
    }
    if layer is None and len(layers) > 1:
        raise SettingError(
            f"{str(path)!r} holds masks of several layers: choose one with --layer, of "
            f"{', '.join(layers)}"
        )
    name = next(iter(layers)) if layer is None else layer
    if name not in layers:
        raise UnknownNameError("layer", name, layers)
    if nodes is None:
        found = {one.name: one.graph for one in analyze(mask, block=blocks).layers}[name]
        if found is None:
            raise SettingError(f"{name!r} is one node wide: choose another layer")
        read = found
    else:
        read = mask_to_graph(layers[name], nodes)
    origin = {"mask": str(path), "layer": name}
    title = f"The graph of {name} in {path.name}"
    return ShownGraph(read, layers[name], title, origin, _all_properties(read))


def made_graph(
    graph: RelationalGraph, shape: tuple[int, int], title: str, origin: dict[str, Any]
) -> ShownGraph:
    """Return a graph that was just made, with its mask for a layer of ``shape``."""
    from bogp.graphs import graph_to_mask

    return ShownGraph(graph, graph_to_mask(graph, *shape), title, origin, _all_properties(graph))


def _all_properties(graph: RelationalGraph) -> dict[str, float]:
    from bogp.database import ALL_PROPERTIES
    from bogp.graphs import properties

    found = properties(graph, ALL_PROPERTIES)
    return {name: float(values[0]) for name, values in found.items()}


def layer_and_edges(
    nodes: int, shape: str | None, edges: int | None, sparsity: float | None
) -> tuple[tuple[int, int], int]:
    """Return the layer's shape, and the edges that are asked for by number or by sparsity."""
    from bogp.graphs import edges_for_sparsity

    layer = (nodes, nodes) if shape is None else parse_shape(shape)
    if edges is not None and sparsity is None:
        return layer, edges
    if edges is None and sparsity is not None:
        return layer, edges_for_sparsity(nodes, sparsity, *layer)
    raise SettingError("give either --edges or --sparsity, not both or neither")


def draw(shown: ShownGraph, out: Path) -> None:
    """Write the picture."""
    from bogp.report import graph_portrait, write_figure

    note = shown.origin_words
    if shown.ranges:
        note += "; lines: from the least to the largest value at that sparsity"
    figure = graph_portrait(
        shown.graph.adjacency,
        shown.mask.cpu().numpy(),
        shown.properties,
        shown.title,
        ranges=shown.ranges,
        note=note,
    )
    write_figure(figure, out)


def print_graph(shown: ShownGraph) -> None:
    """Print where a graph comes from and its properties, beside their range in its database."""
    from bogp.report import Column, Table, plural

    shape = " x ".join(map(str, shown.mask.shape))
    say(
        f"{shown.title}: {shown.origin_words}",
        f"{plural(shown.graph.nodes, 'node')}, {plural(shown.graph.edges, 'edge')}; "
        f"its mask of {shape} has sparsity {shown.mask_sparsity:.4f}",
    )
    heads = ["value", *(["least there", "largest there"] if shown.ranges else [])]
    columns: list[str | Column] = ["property"]
    columns += [Column(head, "{:.6g}".format, "right") for head in heads]
    rows = [[name, value, *shown.ranges.get(name, ())] for name, value in shown.properties.items()]
    print_table(Table("Properties", columns, rows))
