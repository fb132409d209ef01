"""A figure as a file and as a picture on a page: PNG and SVG of the same bytes every time."""

from __future__ import annotations

import base64
import functools
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bogp.errors import OutputError
from bogp.files import write_atomic
from bogp.report.style import styled


@dataclass(frozen=True)
class Picture:
    """A figure as it stands on a page.

    Attributes:
        figure: the figure.
        caption: the sentence below it.
        name: the name of its file, without a suffix, where it is saved beside the page.
        alt: what it shows, for those who cannot see it; the caption where empty.
    """

    figure: Figure
    caption: str
    name: str = ""
    alt: str = ""

    @functools.cached_property
    def source(self) -> str:
        """The SVG as a data URI: as an image its ids cannot clash with another figure's."""
        svg = figure_svg(self.figure)
        return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def figure_svg(figure: Figure) -> str:
    """Return the figure as SVG text, the same for the same figure; letters are drawn as paths."""
    return _render(figure, "svg", {"Date": None, "Creator": None}).decode()


def figure_png(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PNG."""
    return _render(figure, "png", {"Software": None})


FORMATS: dict[str, Callable[[Figure], str | bytes]] = {"png": figure_png, "svg": figure_svg}
"""Suffix of a file → function that gives its content."""


@styled
def _render(figure: Figure, kind: str, metadata: dict[str, Any]) -> bytes:
    """Return the bytes of the figure in one format."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def save_figure(figure: Figure, folder: str | os.PathLike[str], stem: str) -> tuple[Path, ...]:
    """Write ``folder/stem.png`` and ``folder/stem.svg``, each whole or not at all.

    The same figure gives the same bytes: no date, no random ids.

    Raises:
        OutputError: a stem that is no plain file name, or a folder that cannot be written.
    """
    if not stem or Path(stem).name != stem:
        raise OutputError(f"figure name {stem!r} is no plain file name: give 'figure5' say")
    return tuple(write_figure(figure, Path(folder) / f"{stem}.{suffix}") for suffix in FORMATS)


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure to ``path``, a PNG or an SVG by its suffix, whole or not at all.

    Raises:
        OutputError: another suffix, or a file that cannot be written.
    """
    return write_atomic(path, FORMATS[figure_format(path)](figure))


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
