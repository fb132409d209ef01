"""A figure of intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bogp.analysis import Interval
from bogp.errors import SettingError
from bogp.report.style import GREY, bars, look, open_figure, signed, styled, titled

_FURTHEST = 1.5
"""How far an axis reaches beyond the estimates to show intervals, in widths of their range."""

_WIDTHS = 2.0
"""How far it reaches at least, in widths of a typical interval."""

_OUTSIDE = 6.0
"""An estimate so many times as far out as the next one is left outside the axis."""


@styled
def interval_figure(
    rows: Sequence[tuple[str, Interval]],
    *,
    title: str,
    note: str = "",
    xlabel: str,
    zero: bool = False,
    digits: int = 2,
) -> Figure:
    """Return estimates and their intervals, one below the other, with the numbers beside them.

    Args:
        rows: the name and the interval of each row, from the top. An interval without bounds is
            drawn as a point. Where an interval reaches, or an estimate lies, far beyond the others,
            an arrow at the edge says so.
        title: one line.
        note: a quieter line below the title.
        xlabel: what the numbers are.
        zero: whether to mark 0 and to draw the rows that exclude it in another colour.
        digits: the decimal places of the numbers beside.

    Raises:
        SettingError: no row.
    """
    if not rows:
        raise SettingError("there is no interval to draw: give at least one")
    figure, (axes,) = open_figure(7.6, 1.5 + 0.36 * len(rows))
    low, high = _reach([interval for _, interval in rows], zero)
    if zero:
        axes.axvline(0.0, color=GREY, linewidth=1.0, zorder=1)
    for place, (_, interval) in enumerate(rows):
        sure = zero and interval.excludes(0.0)
        style = look(1 if sure else 0)
        axes.errorbar(
            [interval.estimate], [place], xerr=bars([interval]), elinewidth=1.6, capsize=3,
            zorder=3, **style,
        )  # fmt: skip
        least = interval.estimate if interval.low is None else interval.low
        most = interval.estimate if interval.high is None else interval.high
        for out, edge, way in ((least < low, low, "<"), (most > high, high, ">")):
            if out:
                axes.plot(edge, place, way, color=style["color"], clip_on=False, zorder=4)
        axes.annotate(
            _numbers(interval, digits), (1.02, place), xycoords=("axes fraction", "data"),
            va="center", fontsize=8.5, annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(xlabel=xlabel, xlim=(low, high), ylim=(len(rows) - 0.5, -0.5))
    axes.yaxis.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    titled(axes, title, note)
    return figure


def _reach(intervals: Sequence[Interval], zero: bool) -> tuple[float, float]:
    """Return limits that hold the estimates, and of each interval as much as is not too far.

    An estimate many times as far out as all others would squash them, and is left outside.
    """
    kept = _together([interval.estimate for interval in intervals], 0.0 if zero else None)
    low, high = min(kept), max(kept)
    widths = [i.high - i.low for i in intervals if i.low is not None and i.high is not None]
    # One interval of two seeds may be a hundred times as wide as all others.
    typical = float(np.median(widths)) if widths else 0.0
    room = max(_FURTHEST * (high - low), _WIDTHS * typical) if len(kept) > 2 else np.inf
    shown = [i for i in intervals if low <= i.estimate <= high]
    bounds = [b for i in shown for b in (i.low, i.high) if b is not None]
    low, high = max(low - room, min([low, *bounds])), min(high + room, max([high, *bounds]))
    margin = 0.04 * (high - low or 0.01)
    return low - margin, high + margin


def _together(estimates: Sequence[float], anchor: float | None) -> list[float]:
    """Return the estimates, and the anchor, without those far beyond all others.

    >>> _together([0.1, 1.9, 2.0, 42.9], 0.0)
    [0.0, 0.1, 1.9, 2.0]
    """
    centre = float(np.median(estimates)) if anchor is None else anchor
    kept = sorted(estimates, key=lambda value: abs(value - centre))
    while len(kept) > 2 and abs(kept[-1] - centre) > _OUTSIDE * abs(kept[-2] - centre) > 0.0:
        kept.pop()
    return kept if anchor is None else [anchor, *kept]


def _numbers(interval: Interval, digits: int) -> str:
    """Return the numbers as they stand beside the interval."""
    text = signed(interval.estimate, digits)
    if interval.low is not None and interval.high is not None:
        text += f"  [{signed(interval.low, digits)}, {signed(interval.high, digits)}]"
    return text
