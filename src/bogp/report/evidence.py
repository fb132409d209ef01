"""Figures of one study: its course, where its accuracy lies, and intervals side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from bogp.analysis import Interval
from bogp.errors import SettingError
from bogp.report.style import GREY, LIGHT, bars, look, new_axes, plural, styled, titled
from bogp.types import Floats

Trials = Sequence[tuple[float, bool]]
"""(value, whether it was stopped early) of each trial in order."""

_LOWEST = 0.1
"""Share of the trials that an accuracy axis need not reach: a few diverge, to 0.1 say."""

_FURTHEST = 1.5
"""Widths of the cloud of estimates that an axis reaches beyond it for the sake of an interval."""

_WIDTHS = 2.0
"""The same in widths of a typical interval."""

_OUTSIDE = 6.0
"""An estimate so many times as far out as the next is not drawn at its place."""


@styled
def course_figure(
    arms: Mapping[str, Trials],
    *,
    title: str = "Value by trial",
    note: str = "",
    ylabel: str = "accuracy",
) -> Figure:
    """Return every trial of each arm in order, and the best so far of those that ended whole.

    Trials that were stopped early are faint and hollow, at the value where they stopped, which is
    lower than they would have become. The axis does not show the worst tenth where they lie far
    below; how many it leaves out is said under the title.

    Args:
        arms: arm → (value, stopped) of each trial.
        title: one line.
        note: a quieter line below the title.
        ylabel: what the value is.

    Raises:
        SettingError: no trial at all.
    """
    if not any(len(trials) for trials in arms.values()):
        raise SettingError("there is no trial to draw: give at least one")
    figure, (axes,) = new_axes(7.2, 4.4)
    longest = max(len(trials) for trials in arms.values())
    for index, (name, trials) in enumerate(arms.items()):
        style = look(index)
        table = np.array(trials, dtype=np.float64).reshape(-1, 2)
        place, value, stopped = np.arange(1, len(table) + 1), table[:, 0], table[:, 1] > 0
        _points(axes, place, value, stopped, index)
        best = np.fmax.accumulate(np.where(stopped, np.nan, value))
        words = f"{name}: best so far of {plural(int((~stopped).sum()), 'whole trial')}"
        axes.plot(
            place, best, drawstyle="steps-post", linewidth=2.2 - 0.5 * min(index, 1),
            markersize=5, markevery=max(1, longest // 10), label=words, **style,
        )  # fmt: skip
    values = [value for trials in arms.values() for value, _ in trials]
    hidden = _floor(axes, values)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set(xlabel="trial", ylabel=ylabel)
    axes.set_xlim(0.0, longest + 1.0)
    figure.legend(loc="outside lower center", ncols=2)
    out = f"{plural(hidden, 'trial')} below the axis not shown." if hidden else ""
    titled(figure, axes, title, " ".join(filter(None, (note, out))))
    return figure


@styled
def support_figure(
    criteria: Mapping[str, Sequence[tuple[float, float, bool]]],
    *,
    title: str = "Accuracy by support density",
    note: str = "",
    ylabel: str = "accuracy",
) -> Figure:
    """Return the trials by the density of their support, a colour and a place a criterion.

    Points stand beside each other around their density. The line of a criterion joins the means of
    its trials that ended whole; stopped ones are faint and hollow.

    Args:
        criteria: criterion → (support density, value, stopped) of each trial; the density of the
            complete support is 1.
        title: one line.
        note: a quieter line below the title.
        ylabel: what the value is.

    Raises:
        SettingError: no trial at all, or a density outside (0, 1].
    """
    rows = [row for trials in criteria.values() for row in trials]
    if not rows:
        raise SettingError("there is no trial to draw: give at least one")
    for density, _, _ in rows:
        if not 0.0 < density <= 1.0:
            raise SettingError(f"support density {density} is not in (0, 1]: give kept / all")
    # From the densest to the target, evenly spaced: their ratios are not what is to be seen.
    places = {density: k for k, density in enumerate(sorted({row[0] for row in rows}))}
    figure, (axes,) = new_axes(7.6, 4.6)
    step = min(0.14, 0.7 / max(1, len(criteria)))
    for index, (name, trials) in enumerate(criteria.items()):
        table = np.array(trials, dtype=np.float64).reshape(-1, 3)
        densities, value, stopped = table[:, 0], table[:, 1], table[:, 2] > 0
        shift = step * (index - (len(criteria) - 1) / 2)
        across = np.array([places[float(entry)] + shift for entry in densities])
        _points(axes, across, value, stopped, index)
        means = [
            (places[float(d)] + shift, float(value[whole].mean()))
            for d in sorted(set(densities.tolist()))
            if (whole := (densities == d) & ~stopped).any()
        ]
        x, y = zip(*means, strict=True) if means else ((), ())
        axes.plot(x, y, linewidth=1.6, markersize=7, label=name, **look(index))
    for left, right in pairwise(places.values()):
        axes.axvline((left + right) / 2, color=LIGHT, linewidth=0.8, zorder=0)
    axes.xaxis.set_major_locator(FixedLocator(list(places.values())))
    labels = [f"{density:.3g}" if density < 1.0 else "1 (complete)" for density in places]
    axes.xaxis.set_major_formatter(FixedFormatter(labels))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.grid(visible=False)
    axes.set(xlabel="support density", ylabel=ylabel, xlim=(-0.5, len(places) - 0.5))
    hidden = _floor(axes, [row[1] for row in rows])
    figure.legend(loc="outside lower center", ncols=min(5, len(criteria)))
    out = f"{plural(hidden, 'trial')} below the axis not shown." if hidden else ""
    titled(figure, axes, title, " ".join(filter(None, (note, out))))
    return figure


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
        rows: (name, interval), from the top; an interval without bounds is a point alone. One far
            wider or farther out than the others ends, or is, an arrow at the edge.
        title: one line.
        note: a quieter line below the title.
        xlabel: what the numbers are.
        zero: whether to mark 0, with the rows that exclude it in another colour.
        digits: decimal places of the numbers beside.

    Raises:
        SettingError: no row.
    """
    if not rows:
        raise SettingError("there is no interval to draw: give at least one")
    figure, (axes,) = new_axes(7.6, 1.5 + 0.36 * len(rows))
    low, high = _reach([interval for _, interval in rows], zero)
    if zero:
        axes.axvline(0.0, color=GREY, linewidth=1.0, zorder=1)
    for place, (_, interval) in enumerate(rows):
        sure = zero and interval.low is not None and not _holds(interval, 0.0)
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
    titled(figure, axes, title, note)
    return figure


def _points(axes: Axes, x: npt.ArrayLike, y: Floats, stopped: npt.ArrayLike, index: int) -> None:
    """Draw whole trials filled and stopped ones faint and hollow."""
    style, across = look(index), np.asarray(x, dtype=np.float64)
    faint = np.asarray(stopped, dtype=bool)
    axes.scatter(across[~faint], y[~faint], s=20, alpha=0.5, linewidth=0, zorder=2, **style)
    axes.scatter(
        across[faint], y[faint], s=16, alpha=0.35, linewidth=0.8, zorder=1.8,
        facecolors="none", edgecolors=style["color"], marker=style["marker"],
    )  # fmt: skip


def _floor(axes: Axes, values: Sequence[float]) -> int:
    """Set the limits of a value axis; return how many values lie below it."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if not len(finite):
        return len(values)
    low, high = float(np.quantile(finite, _LOWEST)), float(finite.max())
    near = finite[finite >= low - 0.5 * (high - low)]
    low = float(near.min())
    margin = 0.05 * (high - low or 0.01)
    axes.set_ylim(low - margin, high + margin)
    return len(values) - len(near)


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


def _holds(interval: Interval, value: float) -> bool:
    return not (
        (interval.low is not None and interval.low > value)
        or (interval.high is not None and interval.high < value)
    )


def _numbers(interval: Interval, digits: int) -> str:
    """Return the numbers as they stand beside the interval."""
    text = f"{interval.estimate:.{digits}f}"
    if interval.low is not None and interval.high is not None:
        text += f"  [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    return text.replace("-", "−")
