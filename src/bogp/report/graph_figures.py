"""Pictures of one graph: circular and spring layout, its mask and its properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import networkx as nx
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bogp.errors import SettingError
from bogp.report.style import GREY, LIGHT, look, open_figure, plural, styled, titled
from bogp.types import BoolArray, Floats

MOST_LINES = 20_000
"""Edges that are drawn; of more, so many drawn at random, and the picture says so."""


@styled
def graph_and_mask(adjacency: npt.ArrayLike, mask: npt.ArrayLike, title: str) -> Figure:
    """Return a relational graph in a circle beside the mask that it expands to.

    Args:
        adjacency: bool (nodes, nodes); self-loops are not drawn.
        mask: bool (out, in) or (out, in, ...): a kernel is dark where any of it is kept.
        title: one line.

    Raises:
        SettingError: an adjacency that is not square, or a mask of fewer than two dimensions.
    """
    links, kept = _checked(adjacency, mask)
    figure, (left, right) = open_figure(9.0, 4.4, columns=2)
    drawn = _draw_graph(left, links, _circle(len(links)))
    left.set_title(f"{plural(len(links), 'node')}, {drawn}", fontweight="normal")
    _draw_mask(right, kept)
    titled(figure, title)
    return figure


@styled
def wirings_and_mask(
    wirings: Mapping[str, npt.ArrayLike], mask: npt.ArrayLike, title: str
) -> Figure:
    """Return wirings of one layer beside each other, and its mask.

    A wiring that is a relational graph is drawn in a circle. Of any other the input nodes stand
    below and the output nodes above, joined where a block is kept.

    Args:
        wirings: what each is → bool (out nodes, in nodes), "before" and "after" say.
        mask: bool (out, in) or (out, in, ...): a kernel is dark where any of it is kept.
        title: one line.
    """
    figure, axes = open_figure(4.5 * (len(wirings) + 1), 4.4, columns=len(wirings) + 1)
    for place, (name, wiring) in zip(axes, wirings.items(), strict=False):
        kept = np.asarray(wiring, dtype=bool)
        place.set_title(f"{name}: {_draw_wiring(place, kept)}", fontweight="normal")
    _draw_mask(axes[-1], np.asarray(mask, dtype=bool))
    titled(figure, title)
    return figure


def _draw_wiring(axes: Axes, kept: BoolArray) -> str:
    """Draw the kept blocks of a layer; return how many nodes and edges there are, in words."""
    outputs, inputs = kept.shape
    if outputs == inputs and bool(kept.diagonal().all()) and np.array_equal(kept, kept.T):
        drawn = _draw_graph(axes, _without_loops(kept), _circle(outputs))
        return f"{plural(outputs, 'node')}, {drawn}"
    rows = [np.linspace(-1, 1, count + 2)[1:-1] for count in (outputs, inputs)]
    to, of = np.nonzero(kept)
    lines = np.stack(
        [
            np.column_stack([rows[1][of], np.full(len(of), -0.8)]),
            np.column_stack([rows[0][to], np.full(len(to), 0.8)]),
        ],
        axis=1,
    )
    _add_lines(axes, lines, look(0)["color"])
    for places, height, name in zip(rows, (0.8, -0.8), ("outputs", "inputs"), strict=True):
        size = float(np.clip(2000 / max(1, len(places)), 4, 120))
        axes.scatter(
            places, np.full(len(places), height), s=size, color=look(1)["color"],
            edgecolor="white", linewidth=0.5, zorder=2,
        )  # fmt: skip
        axes.text(0.0, 1.2 * height, f"nodes of {name}", ha="center", va="center", color=GREY)
    axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12))
    axes.set_axis_off()
    return f"{outputs} × {inputs} nodes, {plural(len(to), 'block')}"


@styled
def graph_portrait(
    adjacency: npt.ArrayLike,
    mask: npt.ArrayLike,
    properties: Mapping[str, float],
    title: str,
    *,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    note: str = "",
) -> Figure:
    """Return a graph in circular and in spring layout, its mask and its property vector.

    Nodes have one colour in both layouts, from the first (dark) to the last (light), so that
    neighbours on the ring are found again among the springs.

    Args:
        adjacency: bool (nodes, nodes); self-loops are not drawn.
        mask: bool (out, in) or (out, in, ...): a kernel is dark where any of it is kept.
        properties: name → value, in the order in which they are listed.
        title: one line.
        ranges: name → least and largest value of a set of graphs; a property that has one gets a
            line from the least to the largest with a mark where this graph is.
        note: a quieter line below the title, such as where the ranges come from.

    Raises:
        SettingError: an adjacency that is not square, or a mask of fewer than two dimensions.
    """
    links, kept = _checked(adjacency, mask)
    figure, (circle, spring, image, values) = open_figure(10.4, 9.8, rows=2, columns=2)
    colours = _node_colours(len(links))
    drawn = _draw_graph(circle, links, _circle(len(links)), colours)
    circle.set_title(f"{plural(len(links), 'node')} in a circle, {drawn}", fontweight="normal")
    _draw_graph(spring, links, spring_places(links), colours)
    spring.set_title("the same, held by springs", fontweight="normal")
    _draw_mask(image, kept)
    _draw_values(values, properties, ranges or {})
    values.set_title("properties", fontweight="normal")
    titled(figure, title, note)
    return figure


def spring_places(adjacency: npt.ArrayLike) -> Floats:
    """Return the spring layout (nodes, 2) of a graph, each axis scaled to reach from -1 to 1.

    Fruchterman and Reingold (1991, Software: Practice and Experience 21), as networkx has it, from
    the circle: a random start leaves a ring twisted. Nodes without an edge, which springs would
    let fly away, stand in a row below the others.

    >>> spring_places(np.ones((3, 3), dtype=bool)).shape
    (3, 2)
    """
    links = _without_loops(np.asarray(adjacency, dtype=bool))
    alone = ~links.any(axis=1)
    places = np.zeros((len(links), 2))
    if not alone.all():
        joined = np.flatnonzero(~alone)
        graph = nx.from_numpy_array(links[np.ix_(joined, joined)])
        start = dict(enumerate(_circle(len(joined))))
        found = nx.spring_layout(graph, pos=start, seed=0)
        places[joined] = _scaled(np.array([found[node] for node in range(len(joined))]))
    count = int(alone.sum())
    if count:
        places[alone, 0] = np.linspace(-1, 1, count + 2)[1:-1]
        places[alone, 1] = -1.0 if count < len(links) else 0.0
        places[~alone, 1] = 0.85 * places[~alone, 1] + 0.15
    return places


def _scaled(places: Floats) -> Floats:
    """Return places moved and stretched to fill the square from -1 to 1."""
    low, width = places.min(axis=0), np.ptp(places, axis=0)
    return np.asarray(2.0 * (places - low) / np.where(width > 0, width, 1.0) - (width > 0))


def _checked(adjacency: npt.ArrayLike, mask: npt.ArrayLike) -> tuple[BoolArray, BoolArray]:
    """Return the graph without self-loops, and the mask, or raise."""
    links, kept = np.asarray(adjacency, dtype=bool), np.asarray(mask, dtype=bool)
    if links.ndim != 2 or links.shape[0] != links.shape[1] or kept.ndim < 2:
        raise SettingError(
            f"adjacency {links.shape} and mask {kept.shape} are no graph and mask: "
            "give (nodes, nodes) and (out, in)"
        )
    return _without_loops(links), kept


def _without_loops(links: BoolArray) -> BoolArray:
    """Return the symmetric adjacency with an empty diagonal."""
    plain: BoolArray = (links | links.T) & ~np.eye(len(links), dtype=bool)
    return plain


def _circle(nodes: int) -> Floats:
    """Return places on a circle, node 0 at the top, clockwise."""
    angle = np.pi / 2 - 2 * np.pi * np.arange(nodes) / max(1, nodes)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def _node_colours(nodes: int) -> Any:
    """Return a colour for each node, in the order of their numbers."""
    # Cut at 0.93: the map's last yellow is too pale on white.
    return mpl.colormaps["viridis"](np.linspace(0.0, 0.93, nodes))


def _draw_graph(axes: Axes, links: BoolArray, places: Floats, colours: Any = None) -> str:
    """Draw the graph with its nodes at ``places``; return how many edges there are, in words."""
    nodes = len(links)
    first, second = np.nonzero(np.triu(links, 1))
    edges = len(first)
    if edges > MOST_LINES:
        chosen = np.sort(np.random.default_rng(0).choice(edges, MOST_LINES, replace=False))
        first, second = first[chosen], second[chosen]
    ends = np.stack([places[first], places[second]], axis=1)
    _add_lines(axes, ends, look(0)["color"] if colours is None else GREY)
    named = nodes <= 24
    across, up = places.T
    size = 260 if named else 16
    fill = look(1)["color"] if colours is None else colours
    axes.scatter(across, up, s=size, color=fill, edgecolor="white", zorder=2)
    if named:
        for node in range(nodes):
            spot = (across[node], up[node])
            ink = "black" if colours is not None and node > 0.6 * nodes else "white"
            axes.text(*spot, str(node), ha="center", va="center", color=ink, fontsize=9)
    axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal")
    axes.set_axis_off()
    part = f", {MOST_LINES} of them drawn" if edges > MOST_LINES else ""
    return plural(edges, "edge") + part


def _add_lines(axes: Axes, ends: Floats, colour: Any) -> None:
    """Draw lines between pairs of places (lines, 2, 2), the fainter the more there are."""
    lines = LineCollection(
        list(ends), colors=colour, linewidths=1.2 if len(ends) < 100 else 0.5,
        alpha=float(np.clip(250 / max(1, len(ends)), 0.06, 0.8)), zorder=1,
    )  # fmt: skip
    # Thousands of paths would make the SVG slow to open: a dense graph's lines are one image.
    lines.set_rasterized(len(ends) > 2000)
    axes.add_collection(lines)


def _draw_mask(axes: Axes, kept: BoolArray) -> None:
    """Draw the mask, black where a weight, or any of a kernel, is kept."""
    image = kept.reshape(*kept.shape[:2], -1).any(axis=2)
    axes.grid(visible=False)
    axes.imshow(image, cmap="Greys", vmin=0, vmax=1.15, aspect="auto", interpolation="nearest")
    axes.spines[:].set_visible(True)
    axes.set(xlabel="input channel", ylabel="output channel")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    axes.set_title(
        f"mask {kept.shape[0]} × {kept.shape[1]}, sparsity {1 - kept.mean():.3f}",
        fontweight="normal",
    )


def _draw_values(
    axes: Axes, properties: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]
) -> None:
    """List the properties in rows, each with a line of its range and a mark on it."""
    axes.set_axis_off()
    rows = max(12, len(properties))
    axes.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6))
    size = 9.5 if rows <= 16 else 8.5
    for row, (name, value) in enumerate(properties.items()):
        axes.text(0.0, row, name.replace("_", " "), va="center", fontsize=size)
        axes.text(
            1.0, row, f"{value:.5g}".replace("-", "−"), va="center", ha="right", fontsize=size
        )
        if row:
            axes.axhline(row - 0.5, color=LIGHT, linewidth=0.5)
        if name in ranges:
            low, high = ranges[name]
            share = (value - low) / (high - low) if high > low else 0.5
            axes.plot([0.58, 0.8], [row, row], color="#BBBBBB", linewidth=1.6, zorder=1)
            axes.scatter(
                [0.58 + 0.22 * min(max(share, 0.0), 1.0)], [row], s=26, color=look(1)["color"],
                edgecolor="white", linewidth=0.6, zorder=2,
            )  # fmt: skip
