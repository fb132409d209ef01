"""One look for all figures, and their files: PNG and SVG of the same bytes every time."""

from __future__ import annotations

import base64
import functools
import io
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from bogp.analysis import Interval
from bogp.errors import OutputError
from bogp.files import write_atomic

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
"""One shape a colour, so that print in grey can be read too."""

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


def new_axes(
    width: float = 6.4, height: float = 4.2, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``columns`` axes side by side, laid out so that no label overlaps."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def look(index: int) -> dict[str, Any]:
    """Return the colour and marker of the series of this number; they go round after eight."""
    return {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)]}


def save_figure(figure: Figure, folder: str | os.PathLike[str], stem: str) -> tuple[Path, Path]:
    """Write ``folder/stem.png`` and ``folder/stem.svg``, each whole or not at all.

    The same figure gives the same bytes: no date, no random ids.

    Raises:
        OutputError: a stem that is no plain file name, or a folder that cannot be written.
    """
    if not stem or Path(stem).name != stem:
        raise OutputError(f"figure name {stem!r} is no plain file name: give 'figure5' say")
    png = write_atomic(Path(folder) / f"{stem}.png", figure_png(figure))
    return png, write_atomic(Path(folder) / f"{stem}.svg", figure_svg(figure))


def figure_svg(figure: Figure) -> str:
    """Return the figure as SVG text, the same for the same figure; letters are drawn as paths."""
    return _render(figure, "svg", {"Date": None, "Creator": None}).decode()


def figure_png(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PNG."""
    return _render(figure, "png", {"Software": None})


FORMATS: dict[str, Callable[[Figure], str | bytes]] = {"png": figure_png, "svg": figure_svg}
"""Suffix of a file → function that gives its content."""


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in a report.

    Attributes:
        svg: the text of the SVG.
        caption: the sentence below it.
        alt: what it shows, for who cannot see it; the caption where empty.
    """

    svg: str
    caption: str
    alt: str = ""

    @property
    def source(self) -> str:
        """The SVG as a data URI: as an image its ids cannot clash with another figure's."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def picture(figure: Figure, caption: str, alt: str = "") -> Picture:
    """Return a :class:`Picture` of a figure."""
    return Picture(figure_svg(figure), caption, alt)


@styled
def _render(figure: Figure, kind: str, metadata: dict[str, Any]) -> bytes:
    """Return the bytes of the figure in one format."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata, facecolor="white")
    return buffer.getvalue()


@functools.cache
def _settings() -> Any:
    """Return matplotlib's own settings, less those of windows and backends, under the style."""
    own = {
        key: value
        for key, value in mpl.rcParamsDefault.items()
        if not key.startswith(("backend", "webagg", "tk.", "macosx", "interactive", "toolbar"))
    }
    return {**own, **STYLE}


def bars(intervals: Sequence[Interval]) -> npt.NDArray[np.float64]:
    """Return the distances (2, N) from estimates to bounds, 0 where there is no bound."""
    below = [i.estimate - (i.estimate if i.low is None else i.low) for i in intervals]
    above = [(i.estimate if i.high is None else i.high) - i.estimate for i in intervals]
    return np.maximum(np.array([below, above], dtype=np.float64).reshape(2, -1), 0.0)


def titled(figure: Figure, axes: Axes, title: str, note: str = "") -> None:
    """Set the title, and between it and the axes a quieter note; both wrap to the figure."""
    points = 72 * 0.85 * figure.get_figwidth()
    heading = textwrap.fill(title, int(points / 6.6))
    lines = textwrap.wrap(note, int(points / 5.0))
    axes.set_title(heading, pad=8 + 13 * len(lines))
    if lines:
        # Left out of the layout, which would make room for its width beside the axes.
        axes.annotate(
            "\n".join(lines), (0, 1), (0, 6), xycoords="axes fraction",
            textcoords="offset points", color=GREY, fontsize=9, va="bottom", in_layout=False,
        )  # fmt: skip


def headed(figure: Figure, title: str, note: str = "") -> None:
    """Set the title of a figure of several axes, and below it a quieter note; both wrap."""
    points = 72 * 0.95 * figure.get_figwidth()
    heading, lines = textwrap.wrap(title, int(points / 6.6)), textwrap.wrap(note, int(points / 5.0))
    # The layout makes room for the heading, so it has an empty line for each line of the note.
    text = "\n".join([*heading, *([" "] * len(lines))])
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")
    down = ScaledTranslation(0, -(5 + 13.2 * len(heading)) / 72, figure.dpi_scale_trans)
    figure.text(
        0.01, 1.0, "\n".join(lines), transform=figure.transFigure + down,
        va="top", color=GREY, fontsize=9, in_layout=False,
    )  # fmt: skip


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure to ``path``, a PNG or an SVG by its suffix, whole or not at all.

    Raises:
        OutputError: another suffix, or a file that cannot be written.
    """
    draw = FORMATS[figure_format(path)]
    return write_atomic(path, draw(figure))


def figure_format(path: str | os.PathLike[str]) -> str:
    """Return ``png`` or ``svg``, the format that the suffix of ``path`` asks for.

    Raises:
        OutputError: another suffix.

    >>> figure_format("graph.PNG")
    'png'
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise OutputError(
            f"figure {os.fspath(path)!r} is neither a PNG nor an SVG: let its name end in .png or "
            ".svg"
        )
    return suffix


def plural(count: int, noun: str) -> str:
    """Return the count with its noun.

    >>> plural(1, "seed"), plural(5, "seed")
    ('1 seed', '5 seeds')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
