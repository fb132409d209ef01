"""Graphs in the plane of two of their properties, coloured by what a network gains inside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bogp.errors import SettingError
from bogp.report.style import GREY, MARKERS, open_figure, styled, titled


@dataclass(frozen=True)
class PlacedGraph:
    """A kind of graph at one density: its mean properties x and y, and what is gained inside it."""

    kind: str
    density: float
    x: float
    y: float
    gain: float


@styled
def graph_plane(
    panels: Mapping[str, Sequence[PlacedGraph]],
    *,
    xlabel: str,
    ylabel: str,
    gain: str,
    title: str,
    note: str = "",
) -> Figure:
    """Return graphs as points in the plane of two properties, one panel beside another.

    A kind of graph has a marker, its densities the sizes of it, joined by a line. Colours are the
    gains, the same in all panels: blue above zero, red below it.

    Args:
        panels: heading → its graphs.
        xlabel: the first property.
        ylabel: the second.
        gain: what colours mean.
        title: one line.
        note: a line below the title.

    Raises:
        SettingError: no graph at all.
    """
    graphs = [graph for panel in panels.values() for graph in panel]
    if not graphs:
        raise SettingError("there is no graph to draw: give at least one")
    kinds = list(dict.fromkeys(graph.kind for graph in graphs))
    figure, axes = open_figure(
        1.8 + 3.4 * len(panels), 4.2, columns=len(panels), sharex=True, sharey=True
    )
    reach = max(abs(graph.gain) for graph in graphs)
    colours = CenteredNorm(0.0, reach or 1.0)
    for place, (heading, panel) in zip(axes, panels.items(), strict=True):
        for kind in kinds:
            found = sorted((g for g in panel if g.kind == kind), key=lambda g: g.density)
            x, y = [g.x for g in found], [g.y for g in found]
            place.plot(x, y, color="#BBBBBB", linewidth=0.8, zorder=1)
            drawn = place.scatter(
                x, y, s=[_size(g.density) for g in found], c=[g.gain for g in found],
                marker=MARKERS[kinds.index(kind) % len(MARKERS)], cmap="RdBu", norm=colours,
                edgecolor=GREY, linewidth=0.7, zorder=2,
            )  # fmt: skip
        place.set_title(heading)
        place.set_xlabel(xlabel)
    axes[0].set_ylabel(ylabel)
    bar = figure.colorbar(drawn, ax=axes, label=gain, pad=0.02)
    bar.outline.set_visible(False)
    _legend(figure, kinds, sorted({graph.density for graph in graphs}))
    titled(figure, title, note)
    return figure


def _size(density: float) -> float:
    """Return the area of a point, in square points."""
    return 20.0 + 200.0 * density


def _legend(figure: Figure, kinds: Sequence[str], densities: Sequence[float]) -> None:
    """Put the legend right of the axes: kinds by their markers, densities by their sizes."""
    plain: dict[str, Any] = {
        "linestyle": "none",
        "markerfacecolor": "white",
        "markeredgecolor": GREY,
    }
    handles = [
        Line2D([], [], marker=MARKERS[i % len(MARKERS)], label=kind, **plain)
        for i, kind in enumerate(kinds)
    ]
    handles += [
        Line2D([], [], marker="o", markersize=np.sqrt(_size(d)), label=f"density {d:g}", **plain)
        for d in densities
    ]
    figure.legend(handles=handles, loc="outside right upper")
