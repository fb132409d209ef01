"""What ``bogp analyze`` found: two tables, and a page with a picture of each layer."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bogp.pipeline.analyze import LayerAnalysis, ModelAnalysis
from bogp.report import Picture, Section, Table, graph_and_mask, picture, plural, write_report
from bogp.report.tables import Cell
from bogp.report.wiring import LayerBars, layer_figure

MOST_PICTURES = 40
"""Layers that get a picture of their own on a page."""

LARGEST_PICTURE = 1 << 24
"""Pairs of an input and an output that are drawn; a larger mask would fill the memory."""

GAP_TEXT = """The bipartite graph of a layer joins an input to an output where any weight between
them is kept. Its singular values are those of the matrix of these edges. The Ramanujan gap is the
bound sqrt(d_L − 1) + sqrt(d_R − 1), of the mean degrees of the inputs and the outputs that have an
edge, less the second largest singular value: at 0 or above the layer is a Ramanujan graph, as well
joined as so few edges allow (Pal et al. 2022; Hoang et al. 2023). It is no property of the
relational graph, whose own `ramanujan_gap` is further down."""

DEAD_TEXT = (
    "Dead: on no path of kept weights from the first layer's inputs to the last one's outputs. "
    "Components: isolated channels not counted."
)

UNJOINED_TEXT = (
    "Unjoined: no kept weight of this layer leaves the input, or enters the output. Components: "
    "isolated channels not counted."
)

GRAPH_TEXT = """Channels are put into groups, one a node; two nodes are joined where weights
between their groups are kept. Properties are of this simple graph, without self-loops."""


def wiring_table(found: ModelAnalysis, name: str) -> Table:
    """Return one row a layer: what is kept, what is dead, how well it is joined."""
    known = all(layer.dead_inputs is not None for layer in found.layers)
    word = "dead" if known else "unjoined"
    rows = [_wiring_row(layer, known) for layer in found.layers]
    columns = ["layer", "shape", "kept", "density", f"{word} in", f"{word} out"]
    columns += ["components", "Ramanujan gap", "bound", "σ1", "σ2"]
    meaning = DEAD_TEXT if known else UNJOINED_TEXT
    return Table(_title(found, name), columns, rows, [meaning, *found.notes])


def _title(found: ModelAnalysis, name: str) -> str:
    effective = found.effective_sparsity
    more = "" if effective is None else f", effective sparsity {effective:.4f}"
    return (
        f"{name}: {found.kept} of {found.total} weights kept, sparsity {found.sparsity:.4f}{more}"
    )


def _wiring_row(layer: LayerAnalysis, known: bool) -> list[Cell]:
    graph, found = layer.bipartite, layer.spectrum
    spectrum: list[Cell] = [None] * 4
    if found is not None:
        spectrum = [found.ramanujan_gap, found.bound, found.largest, found.second]
    return [
        layer.name,
        "x".join(map(str, layer.shape)),
        layer.kept,
        layer.density,
        layer.dead_inputs if known else graph.isolated_inputs,
        layer.dead_outputs if known else graph.isolated_outputs,
        graph.parts,
        *spectrum,
    ]


def properties_table(found: ModelAnalysis, names: Sequence[str]) -> Table:
    """Return one row a layer: the properties of its relational graph."""
    rows: list[list[Any]] = [
        [layer.name, layer.graph.nodes, layer.graph.edges, *(layer.properties[n] for n in names)]
        for layer in found.layers
        if layer.graph is not None
    ]
    columns = ["layer", "nodes", "edges", *(name.replace("_", " ") for name in names)]
    for column in range(1, len(columns)):  # counts are counts
        if all(float(row[column]).is_integer() for row in rows):
            for row in rows:
                row[column] = int(row[column])
    return Table("Relational graphs", columns, rows, digits=4)


def write_page(path: Path, found: ModelAnalysis, name: str, names: Sequence[str]) -> Path:
    """Write what was found as one HTML file that opens offline, and return its path.

    Raises:
        OutputError: the file cannot be written.
    """
    bars = [
        LayerBars(
            name=layer.name,
            density=layer.density,
            inputs=layer.bipartite.inputs,
            outputs=layer.bipartite.outputs,
            dead_inputs=layer.dead_inputs,
            dead_outputs=layer.dead_outputs,
            ramanujan_gap=None if layer.spectrum is None else layer.spectrum.ramanujan_gap,
        )
        for layer in found.layers
    ]
    overview = picture(
        layer_figure(bars, "Layer by layer"),
        "Share of weights kept, of units that are on no path of kept weights, and the Ramanujan "
        "gap of each layer's mask.",
    )
    drawn = [layer for layer in found.layers if _is_drawn(layer)][:MOST_PICTURES]
    graphs = GRAPH_TEXT
    if len(drawn) < sum(layer.graph is not None for layer in found.layers):
        graphs += f"\n\nOnly {plural(len(drawn), 'layer')} of them are drawn."
    sections = [
        Section("Wiring", GAP_TEXT, [wiring_table(found, name)], [overview]),
        Section("Relational graphs", graphs, [_by_property(found, names)], _pictures(drawn)),
    ]
    provenance = {
        "command": shlex.join(["bogp", *sys.argv[1:]]),
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in ("bogp", "torch", "numpy")},
        },
    }
    return write_report(path, f"bogp: the wiring of {name}", sections, provenance)


def _is_drawn(layer: LayerAnalysis) -> bool:
    pairs = layer.bipartite.inputs * layer.bipartite.outputs
    return layer.graph is not None and pairs <= LARGEST_PICTURE


def _by_property(found: ModelAnalysis, names: Sequence[str]) -> Table:
    """Return the table of properties with a column a layer, if that is the narrower one."""
    table = properties_table(found, names)
    if len(table.rows) >= len(table.columns) or len(table.rows) > 8:
        return table
    columns = [str(row[0]) for row in table.rows]
    rows = [[head, *(row[k] for row in table.rows)] for k, head in enumerate(table.headings)][1:]
    return Table(table.title, ["property", *columns], rows, table.notes, table.digits)


def _pictures(layers: Sequence[LayerAnalysis]) -> list[Picture]:
    """Return each layer's relational graph beside its mask."""
    pictures = []
    for layer in layers:
        assert layer.graph is not None
        figure = graph_and_mask(layer.graph.adjacency, layer.mask.cpu().numpy(), layer.name)
        joined = plural(layer.graph.edges, "edge")
        caption = f"{layer.name}: its relational graph ({joined}) and its mask, dark where kept."
        pictures.append(picture(figure, caption))
    return pictures
