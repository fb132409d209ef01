"""What ``bogp analyze`` found: two tables, and a page with a picture of each layer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bogp.errors import SettingError
from bogp.pipeline.analyze import LayerAnalysis, ModelAnalysis
from bogp.report.graph_figures import graph_and_mask, wirings_and_mask
from bogp.report.page import Section, versions, write_report
from bogp.report.pictures import Picture
from bogp.report.style import GREY, look, open_figure, plural, styled, titled
from bogp.tables import DASH, Cell, Column, Table

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

BLOCKS_TEXT = (
    "Filled: share of the weights in the kept blocks that are kept. Live: nodes with a kept block. "
    "A graph: symmetric, with all self-loops."
)

GRAPH_TEXT = """Channels are put into groups, each of them a node; two nodes are joined where
weights between their groups are kept. Properties are of this simple graph, without self-loops."""


def wiring_table(found: ModelAnalysis, name: str) -> Table:
    """Return a row for each layer: what is kept, what is dead, how well it is joined."""
    known = all(layer.dead_inputs is not None for layer in found.layers)
    word = "dead" if known else "unjoined"
    effective = found.effective_sparsity
    title = (
        f"{name}: {found.kept} of {found.total} weights kept, sparsity {found.sparsity:.4f}"
        f", effective sparsity {DASH if effective is None else f'{effective:.4f}'}"
    )
    columns = ["layer", "shape", "kept", "density", f"{word} in", f"{word} out"]
    columns += ["components", "Ramanujan gap", "bound", "σ1", "σ2"]
    rows = [_wiring_row(layer, known) for layer in found.layers]
    return Table(title, columns, rows, [DEAD_TEXT if known else UNJOINED_TEXT, *found.notes])


def _wiring_row(layer: LayerAnalysis, known: bool) -> list[Cell]:
    """Return the cells of one layer."""
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


def blocks_table(found: ModelAnalysis) -> Table:
    """Return a row for each layer of which the blocks are known: which of them are kept."""
    columns = ["layer", "nodes out", "in", "blocks kept", "of", "filled", "live out", "live in"]
    columns += ["a graph"]
    rows: list[list[Cell]] = [
        [
            layer.name,
            *layer.wiring.kept.shape,
            layer.wiring.blocks,
            layer.wiring.kept.numel(),
            layer.wiring.filled,
            layer.wiring.live_outputs,
            layer.wiring.live_inputs,
            "yes" if layer.wiring.is_graph else "no",
        ]
        for layer in found.layers
        if layer.wiring is not None
    ]
    return Table("Blocks between nodes", columns, rows, [BLOCKS_TEXT])


def properties_table(found: ModelAnalysis, names: Sequence[str]) -> Table:
    """Return a row for each layer: the properties of its relational graph."""
    layers = [layer for layer in found.layers if layer.graph is not None]
    rows: list[list[Cell]] = [
        [layer.name, layer.graph.nodes, layer.graph.edges, *(layer.properties[n] for n in names)]
        for layer in layers
        if layer.graph is not None
    ]
    columns: list[str | Column] = ["layer", "nodes", "edges"]
    for name in names:
        counts = all(layer.properties[name].is_integer() for layer in layers)
        columns.append(Column(name.replace("_", " "), "{:.0f}".format if counts else None))
    return Table("Relational graphs", columns, rows, digits=4)


def write_analysis_page(
    path: str | os.PathLike[str],
    found: ModelAnalysis,
    name: str,
    names: Sequence[str],
    command: str,
) -> Path:
    """Write what was found as one HTML file that opens offline, and return its path.

    Args:
        path: the file.
        found: the analysis.
        name: what the analysed file is called.
        names: the properties of relational graphs to show.
        command: what made the page.

    Raises:
        OutputError: the file cannot be written.
    """
    overview = Picture(
        layer_figure(found.layers),
        "Share of weights kept, of units that are on no path of kept weights, and the Ramanujan "
        "gap of each layer's mask.",
    )
    with_graph = [layer for layer in found.layers if layer.graph is not None]
    drawn = [layer for layer in with_graph if _pairs(layer) <= LARGEST_PICTURE][:MOST_PICTURES]
    text = GRAPH_TEXT
    if len(drawn) < len(with_graph):
        text += f"\n\nOnly {plural(len(drawn), 'layer')} of them are drawn."
    pictures = [_layer_picture(layer) for layer in drawn]
    wirings = [wiring_table(found, name)]
    if any(layer.wiring is not None for layer in found.layers):
        wirings.append(blocks_table(found))
    sections = [
        Section("Wiring", GAP_TEXT, wirings, [overview]),
        Section(
            "Relational graphs", text, [narrower_table(properties_table(found, names))], pictures
        ),
    ]
    provenance = {"command": command, "versions": versions()}
    return write_report(path, f"bogp: the wiring of {name}", sections, provenance)


def _pairs(layer: LayerAnalysis) -> int:
    """Return how many pairs of an input and an output a layer has."""
    return layer.bipartite.inputs * layer.bipartite.outputs


def narrower_table(table: Table) -> Table:
    """Return a table with a column for each layer instead of a row, if that is narrower."""
    if len(table.rows) >= len(table.columns) or len(table.rows) > 8:
        return table
    layers, *properties = zip(*table.texts(), strict=True)
    columns: list[str | Column] = ["property"]
    columns += [Column(layer, align="right") for layer in layers]
    heads = table.headings[1:]
    rows = [[head, *texts] for head, texts in zip(heads, properties, strict=True)]
    return Table(table.title, columns, rows, table.notes)


def _layer_picture(layer: LayerAnalysis) -> Picture:
    """Return a layer's relational graph beside its mask, or its wiring, which is no such graph."""
    assert layer.graph is not None
    if layer.wiring is not None and not layer.wiring.is_graph:
        wirings = {"kept blocks": layer.wiring.kept.numpy()}
        figure = wirings_and_mask(wirings, layer.mask.cpu().numpy(), layer.name)
        blocks = plural(layer.wiring.blocks, "block")
        caption = f"{layer.name}: its {blocks} between nodes and its mask, dark where kept."
        return Picture(figure, caption)
    figure = graph_and_mask(layer.graph.adjacency, layer.mask.cpu().numpy(), layer.name)
    edges = plural(layer.graph.edges, "edge")
    caption = f"{layer.name}: its relational graph ({edges}) and its mask, dark where kept."
    return Picture(figure, caption)


@styled
def layer_figure(layers: Sequence[LayerAnalysis]) -> Figure:
    """Return bars of density, dead units and Ramanujan gap, a row for each layer, the first on top.

    Dead units are left out where no layer knows them.

    Raises:
        SettingError: no layer.
    """
    if not layers:
        raise SettingError("a figure of no layers shows nothing: give one layer or more")
    known = any(layer.dead_inputs is not None for layer in layers)
    columns = 3 if known else 2
    figure, axes = open_figure(
        3.2 * columns, 1.5 + 0.3 * len(layers), columns=columns, sharey=True,
        gridspec_kw={"wspace": 0.1},
    )  # fmt: skip
    rows = np.arange(len(layers))
    axes[0].barh(rows, [layer.density for layer in layers], 0.62, color=look(0)["color"])
    axes[0].set(xlabel="density", xlim=(0, 1))
    if known:
        _draw_dead(axes[1], layers)
    gaps = [np.nan if each.spectrum is None else each.spectrum.ramanujan_gap for each in layers]
    colours = [look(1 if gap < 0 else 2)["color"] for gap in gaps]
    axes[-1].barh(rows, gaps, 0.62, color=colours)
    axes[-1].axvline(0, color=GREY, linewidth=0.8)
    axes[-1].set_xlabel("Ramanujan gap")
    axes[0].set_yticks(rows, [layer.name for layer in layers])
    axes[0].set_ylim(len(layers) - 0.4, -0.6)
    for each in axes:
        each.grid(visible=False, axis="y")
        each.tick_params(axis="y", length=0)
    titled(figure, "Layer by layer")
    return figure


def _draw_dead(axes: Axes, layers: Sequence[LayerAnalysis]) -> None:
    """Draw the shares of inputs and of outputs that are dead, above one another."""
    parts = (
        ("inputs", -0.16, [(layer.dead_inputs, layer.bipartite.inputs) for layer in layers]),
        ("outputs", 0.16, [(layer.dead_outputs, layer.bipartite.outputs) for layer in layers]),
    )
    for index, (name, shift, counts) in enumerate(parts):
        shares = [np.nan if dead is None else dead / every for dead, every in counts]
        rows = np.arange(len(layers)) + shift
        axes.barh(rows, shares, 0.3, color=look(3 + index)["color"], label=name)
    axes.set_xlabel("share of units that are dead")
    axes.set_xlim(0, max(0.05, axes.get_xlim()[1]))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, borderaxespad=0.1)
