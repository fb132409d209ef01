"""The look that all figures share: colours, markers, settings, headings."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from bogp.analysis import Interval
from bogp.types import Floats

PALETTE = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # green
    "#CC79A7",  # purple
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#000000",  # black
    "#8C7A00",  # dark yellow: the palette's own yellow is too pale for a line on white
)
"""Okabe and Ito (2008): told apart with any common colour vision."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""One shape for each colour, so that a print in grey can be read too."""

GREY, LIGHT = "#555555", "#D9D9D9"

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 6,
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "svg.fonttype": "path",
    "svg.hashsalt": "bogp",
    "hatch.linewidth": 0.6,
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run ``draw`` in the house style and put matplotlib's settings back afterwards."""

    @functools.wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context():
            # The user's own matplotlibrc must not change a figure.
            mpl.rcParams.update(_settings())
            return draw(*args, **kwargs)

    return inner


@functools.cache
def _settings() -> Any:
    """Return matplotlib's own settings, less those of windows and backends, under the style."""
    own = {
        key: value
        for key, value in mpl.rcParamsDefault.items()
        if not key.startswith(("backend", "webagg", "tk.", "macosx", "interactive", "toolbar"))
    }
    return {**own, **STYLE}


def open_figure(
    width: float = 6.4, height: float = 4.2, *, rows: int = 1, columns: int = 1, **grid: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row, laid out so that no label overlaps.

    Args:
        width: in inches.
        height: in inches.
        rows: rows of axes; 0 gives a figure without axes.
        columns: columns of axes.
        **grid: what ``Figure.subplots`` takes beside these, such as ``sharey``.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    if not rows:
        return figure, []
    return figure, list(figure.subplots(rows, columns, squeeze=False, **grid).flat)


def look(index: int) -> dict[str, Any]:
    """Return the colour and marker of the series of this number; they go round after eight."""
    return {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)]}


def titled(place: Figure | Axes, title: str, note: str = "") -> None:
    """Set the title of a figure with one axes (give these) or of one with several (give it).

    A quieter note stands below the title. Both are wrapped to the width of the figure.
    """
    figure = place if isinstance(place, Figure) else place.get_figure(root=True)
    assert figure is not None
    share = 0.95 if isinstance(place, Figure) else 0.85
    points = 72 * share * figure.get_figwidth()
    heading = textwrap.wrap(title, int(points / 6.6))
    lines = textwrap.wrap(note, int(points / 5.0))
    # The layout leaves the notes out, since it would make room for their width beside the axes.
    quiet: dict[str, Any] = {"color": GREY, "fontsize": 9, "in_layout": False}
    if isinstance(place, Axes):
        place.set_title("\n".join(heading), pad=8 + 13 * len(lines))
        if lines:
            place.annotate(
                "\n".join(lines), (0, 1), (0, 6), xycoords="axes fraction",
                textcoords="offset points", va="bottom", **quiet,
            )  # fmt: skip
        return
    # The layout makes room for the heading, so it has an empty line for each line of the note.
    text = "\n".join([*heading, *([" "] * len(lines))])
    place.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")
    down = ScaledTranslation(0, -(5 + 13.2 * len(heading)) / 72, place.dpi_scale_trans)
    place.text(
        0.01, 1.0, "\n".join(lines), transform=place.transFigure + down, va="top", **quiet
    )  # fmt: skip


def bars(intervals: Sequence[Interval]) -> Floats:
    """Return the distances (2, N) from estimates to bounds, 0 where there is no bound."""
    below = [i.estimate - (i.estimate if i.low is None else i.low) for i in intervals]
    above = [(i.estimate if i.high is None else i.high) - i.estimate for i in intervals]
    return np.maximum(np.array([below, above], dtype=np.float64).reshape(2, -1), 0.0)


def signed(value: float, digits: int) -> str:
    """Return a number with a true minus sign and none before a rounded 0.

    >>> signed(-0.5, 2), signed(-0.001, 2)
    ('−0.50', '0.00')
    """
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def plural(count: int, noun: str) -> str:
    """Return the count with its noun.

    >>> plural(1, "seed"), plural(5, "seed")
    ('1 seed', '5 seeds')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
