"""A picture of what a database covers: a histogram of each property, and every pair of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bogp.analysis import Coverage, coverage, distinct
from bogp.report.style import GREY, look, open_figure, signed, styled, titled
from bogp.types import Floats

BARS = 30
"""Bars of each histogram."""

MOST_POINTS = 3_000
"""Graphs of each set that the scatter matrix shows; of more, so many drawn at random."""

_ACROSS = 5  # histograms in a row
_SIDE = 2.4  # inches of each
_COLOURS = (look(0)["color"], "#4D4D4D")


@styled
def coverage_figure(
    names: Sequence[str],
    vectors: npt.ArrayLike,
    other: npt.ArrayLike | None = None,
    *,
    title: str,
    note: str = "",
) -> Figure:
    """Return how graphs are spread over their properties, beside another set of graphs.

    Above, a histogram of each property, each set scaled to its highest bar, the other set as an
    outline. Below, a scatter matrix of the properties that :func:`~bogp.analysis.distinct` names,
    with Pearson's r of each pair on the other side of the diagonal. The other set is drawn last:
    uniform graphs are so alike that they would vanish under the first.

    Args:
        names: the P names of the columns; underscores are shown as spaces.
        vectors: property vectors (G, P) of a database, in colour.
        other: property vectors (H, P) of uniform graphs, in grey, or None.
        title: one line.
        note: a quieter line below the title.

    Raises:
        SettingError: a table that does not fit the names, or values that are not finite.
    """
    sets = [np.asarray(each, dtype=np.float64) for each in (vectors, other) if each is not None]
    found = [coverage(names, each) for each in sets]
    shown = distinct(found[0])
    across = min(_ACROSS, max(3, len(names)))
    side = _SIDE * across / max(len(shown), across)
    heights = [1.55 * -(-len(names) // across), 0.92 * side * len(shown)]
    matrix = len(shown) > 1
    figure, _ = open_figure(_SIDE * across, 0.9 + sum(heights[: 1 + matrix]), rows=0)
    titled(figure, title, note)
    if matrix:
        upper, lower = np.ravel(np.asarray(figure.subfigures(2, 1, height_ratios=heights)))
        _scatter_matrix(lower, shown, sets, found, max(len(shown), across))
    _histograms(upper if matrix else figure, sets, found, across)
    if other is not None:
        handles = [
            Line2D([], [], color=colour, linestyle="none", marker="o", label=label)
            for colour, label in zip(_COLOURS, ("database", "uniform"), strict=True)
        ]
        figure.legend(handles=handles, loc="upper right", ncols=2)
    return figure


def _histograms(
    figure: Figure | SubFigure, sets: Sequence[Floats], found: Sequence[Coverage], across: int
) -> None:
    """Draw a histogram of each property, or say that it is constant."""
    entries = found[0].properties
    grid = figure.subplots(-(-len(entries) // across), across, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.grid(visible=False)
        axes.set_yticks([])
        axes.spines.left.set_visible(False)
        axes.tick_params(labelsize=8)
        if place >= len(entries):
            axes.set_axis_off()
            continue
        axes.set_title(entries[place].name.replace("_", " "), fontsize=9, fontweight="normal")
        if all(each.properties[place].constant for each in found):
            text = f"constant, {entries[place].median:.4g}"
            axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=GREY, fontsize=9)
            axes.set_xticks([])
        else:
            _histogram(axes, [each[:, place] for each in sets])


def _histogram(axes: Axes, columns: Sequence[Floats]) -> None:
    """Draw the histogram of one property, that of the second set as an outline."""
    values = np.concatenate(columns)
    whole = bool((values == np.round(values)).all())
    edges = _edges(float(values.min()), float(values.max()), whole)
    for order, values in enumerate(columns):
        counts = np.histogram(values, edges)[0]
        filled = order == 0
        axes.stairs(
            counts / counts.max(), edges, color=_COLOURS[order], fill=filled,
            alpha=0.75 if filled else 0.9, linewidth=0 if filled else 1.1,
        )  # fmt: skip
    axes.set(ylim=(0, 1.05))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=whole))


def _edges(low: float, high: float, whole: bool) -> Floats:
    """Return the edges of :data:`BARS` bars, or of bars of equally many whole numbers each.

    >>> _edges(0.0, 2.0, whole=True).tolist()
    [-0.5, 0.5, 1.5, 2.5]
    """
    if whole:
        step = -(-(high - low + 1) // (2 * BARS))
        return np.asarray(np.arange(low - 0.5, high + step, step))
    return np.linspace(low, high, BARS + 1)


def _scatter_matrix(
    figure: SubFigure,
    shown: Sequence[str],
    sets: Sequence[Floats],
    found: Sequence[Coverage],
    across: int,
) -> None:
    """Draw each pair below the diagonal and its correlations above."""
    places = [found[0].names.index(name) for name in shown]
    tables = [_some(each)[:, places] for each in sets]
    count = len(shown)
    grid = figure.subplots(count, across, squeeze=False)
    for (row, column), axes in np.ndenumerate(grid):
        axes.grid(visible=False)
        if column >= row:
            axes.set_axis_off()
        if column == row:
            words = shown[row].replace("_", "\n")
            axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes)
        elif row < column < count:
            pair = places[row], places[column]
            _correlations(axes, [float(each.correlation[pair]) for each in found])
        elif column < row:
            _points(axes, [(table[:, column], table[:, row]) for table in tables])
            axes.tick_params(labelsize=8, labelbottom=row == count - 1, labelleft=column == 0)


def _points(axes: Axes, sets: Sequence[tuple[Floats, Floats]]) -> None:
    """Draw the points of one pair of properties, the second set on top."""
    for (x, y), colour in zip(sets, _COLOURS, strict=False):
        alpha = float(np.clip(300 / len(x), 0.15, 0.8))
        axes.scatter(x, y, s=6, color=colour, alpha=alpha, linewidth=0, rasterized=True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))


def _correlations(axes: Axes, correlations: Sequence[float]) -> None:
    """Write Pearson's r of one pair, of each set in its colour, the first the larger."""
    heights = (0.5,) if len(correlations) == 1 else (0.6, 0.38)
    for r, height, colour in zip(correlations, heights, _COLOURS, strict=False):
        if np.isnan(r):  # constant in that set
            continue
        axes.text(
            0.5, height, f"r = {signed(r, 2)}", color=colour, ha="center", va="center",
            transform=axes.transAxes, fontsize=12 if height >= 0.5 else 9,
        )  # fmt: skip


def _some(table: Floats) -> Floats:
    """Return at most :data:`MOST_POINTS` rows, always the same ones."""
    if len(table) <= MOST_POINTS:
        return table
    # A step through the rows could fall in with the order in which families take turns.
    return table[np.random.default_rng(0).choice(len(table), MOST_POINTS, replace=False)]
