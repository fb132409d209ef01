"""Figures of properties against a metric and against each other, drawn from plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from bogp.errors import SettingError
from bogp.report.style import open_figure, signed, styled, titled
from bogp.types import Floats


@styled
def property_scatter(
    x: Sequence[float],
    y: Sequence[float],
    errors: npt.ArrayLike | None,
    edges: Sequence[int],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    note: str = "",
) -> Figure:
    """Return a metric against a property, a point for each graph (figures 5 to 7).

    Graphs that share a value of the property stand side by side, at most 1 % of the axis apart,
    so that their intervals can be told apart.

    Args:
        x: the property of each graph (G,).
        y: the mean metric of each graph (G,).
        errors: half-widths (G,), or distances to the lower and upper bound (2, G), or None.
        edges: the edge count of each graph (G,), which decides the colour and size of its point.
        xlabel: the property.
        ylabel: the metric.
        title: one line.
        note: a line below the title, such as the rank correlation.

    Raises:
        SettingError: columns of different lengths.
    """
    lengths = {len(x), len(y), len(edges)}
    if len(lengths) != 1:
        raise SettingError(f"the columns of {title!r} have lengths {sorted(lengths)}: give one")
    figure, (axes,) = open_figure()
    across = _side_by_side(np.asarray(x, dtype=np.float64))
    if errors is not None:
        spread = np.asarray(errors, dtype=np.float64)
        axes.errorbar(across, y, yerr=spread, fmt="none", ecolor="#9A9A9A", elinewidth=1)
    _coloured_by_edges(figure, axes, across, y, np.asarray(edges))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    titled(axes, title, note)
    return figure


def _side_by_side(x: Floats) -> Floats:
    """Return ``x`` with equal values moved apart around their place.

    >>> _side_by_side(np.array([0.0, 1.0, 1.0])).round(3).tolist()
    [0.0, 0.995, 1.005]
    """
    width = float(np.ptp(x)) if x.size else 0.0
    place, moved = np.round(x, 10), x.copy()
    for value in np.unique(place):
        here = np.flatnonzero(place == value)
        step = min(0.01, 0.06 / here.size) * width
        moved[here] += step * (np.arange(here.size) - (here.size - 1) / 2)
    return moved


def _coloured_by_edges(
    figure: Figure,
    axes: Axes,
    x: Floats,
    y: Sequence[float],
    edges: npt.NDArray[Any],
) -> None:
    """Draw the points in the colour of their edge count, the larger the more edges."""
    low, high = int(edges.min()), int(edges.max())
    share = (edges - low) / max(1, high - low)
    # Cut at 0.93: the map's last yellow is too pale on white.
    colours = mpl.colormaps["viridis"].resampled(256)(np.linspace(0.0, 0.93, 256))
    shades = ListedColormap(list(colours))
    few = high - low < 12
    norm = BoundaryNorm(np.arange(low - 0.5, high + 1), 256) if few and high > low else None
    points = axes.scatter(
        x, y, s=28 + 60 * share, c=edges, cmap=shades, norm=norm,
        edgecolor="white", linewidth=0.7, zorder=3,
    )  # fmt: skip
    bar = figure.colorbar(points, ax=axes, label="edges", pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(
        FixedLocator(list(range(low, high + 1))) if few else MaxNLocator(integer=True, nbins=6)
    )
    bar.ax.yaxis.set_minor_locator(NullLocator())


@styled
def correlation_heatmap(
    matrix: npt.ArrayLike, names: Sequence[str], title: str, *, highlight: Sequence[str] = ()
) -> Figure:
    """Return the correlations of properties as a labelled heat map (figure 8).

    Args:
        matrix: correlations (P, P); nan marks a constant property: its cells are hatched.
        names: the P names; underscores are shown as spaces.
        title: one line.
        highlight: names set in bold, such as the paper's five.

    Raises:
        SettingError: a matrix that does not fit the names.
    """
    table = np.asarray(matrix, dtype=np.float64)
    count = len(names)
    if table.shape != (count, count):
        raise SettingError(f"a matrix of shape {table.shape} does not fit {count} names")
    size = 2.6 + 0.62 * count
    figure, (axes,) = open_figure(size + 1.0, size)
    axes.grid(visible=False)
    image = axes.imshow(np.ma.masked_invalid(table), cmap="RdBu_r", vmin=-1, vmax=1)
    for row, column in np.ndindex(count, count):
        value = table[row, column]
        if np.isnan(value):
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fc="#EEEEEE", ec="#AAAAAA", hatch="///", lw=0))
        else:
            shade = "white" if abs(value) > 0.6 else "black"
            text = signed(float(value), 2)
            axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=9)
    labels = [name.replace("_", " ") for name in names]
    axes.set_xticks(range(count), labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), labels)
    for name, *ticks in zip(names, axes.get_xticklabels(), axes.get_yticklabels(), strict=True):
        for tick in ticks:
            tick.set_fontweight("bold" if name in highlight else "normal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, label="correlation r", shrink=0.8, pad=0.02)
    bar.outline.set_visible(False)
    if np.isnan(table).any():
        patch = Rectangle((0, 0), 1, 1, fc="#EEEEEE", ec="#AAAAAA", hatch="////", lw=0)
        label = "constant: no correlation"
        figure.legend([patch], [label], loc="outside lower right", fontsize=9)
    titled(axes, title)
    return figure
