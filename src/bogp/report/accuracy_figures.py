"""Accuracy by sparsity, and both by alpha: each beside what the paper printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bogp.analysis import Interval
from bogp.errors import SettingError
from bogp.report.style import GREY, bars, look, open_figure, styled, titled

ACCURACY_TICKS = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985)

_NARROW = 0.04
"""Sparsities nearer than this have labels that would run into each other."""

PAPER_TABLE2: tuple[tuple[float, float, float], ...] = (
    (0.1, 0.90, 0.73),
    (0.15, 0.88, 0.76),
    (0.25, 0.82, 0.79),
    (0.5, 0.37, 0.93),
    (0.75, 0.36, 0.94),
    (0.9, 0.25, 0.98),
)
"""The paper's table 2, the trade-off that it found: alpha, accuracy, sparsity."""

Series = Mapping[str, Sequence[tuple[float, Interval]]]
PaperSeries = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class TradeoffPoint:
    """What the winner of one search of accuracy + alpha * sparsity has of either."""

    alpha: float
    accuracy: Interval
    sparsity: Interval


@styled
def accuracy_by_sparsity(
    series: Series,
    paper: PaperSeries | None = None,
    *,
    title: str = "Accuracy by sparsity",
    ylabel: str = "accuracy",
) -> Figure:
    """Return accuracy against sparsity, a line for each method (table 1 as a figure).

    Ours are filled markers with intervals, the paper's hollow ones of the same colour and shape.
    The accuracy axis is stretched towards 1 (even steps of the logarithm of the error), so that
    0.97 against 0.972 is seen beside 0.81; methods stand a little apart so as not to hide each
    other.

    Args:
        series: method → (sparsity, accuracy) of each point.
        paper: method → (sparsity, accuracy) as the paper printed them.
        title: one line.
        ylabel: what the accuracy is.

    Raises:
        SettingError: no series at all.
    """
    paper = paper or {}
    names = [*series, *(name for name in paper if name not in series)]
    if not names:
        raise SettingError("there is no series to draw: give at least one method")
    figure, (axes,) = open_figure(9.6, 5.4)
    places, shown = _places(names, series, paper), []
    for index, name in enumerate(names):
        points = sorted(series.get(name, ()), key=lambda point: point[0])
        x = [places[name, s] for s, _ in points]
        y = [interval.estimate for _, interval in points]
        spread = bars([interval for _, interval in points])
        axes.errorbar(x, y, yerr=spread, elinewidth=1.1, capsize=2, **look(index))
        theirs = sorted(paper.get(name, ()))
        axes.plot(
            [places[name, s] for s, _ in theirs], [a for _, a in theirs],
            linestyle="none", markerfacecolor="white", markersize=7.5, zorder=1.5, **look(index),
        )  # fmt: skip
        shown += [*(np.array(y) - spread[0]), *(np.array(y) + spread[1]), *(a for _, a in theirs)]
    stretch_towards_1(axes, shown)
    sparsities = sorted({s for points in (*series.values(), *paper.values()) for s, _ in points})
    axes.set_xticks(sparsities, [f"{s:g}" for s in sparsities])
    if len(sparsities) > 1 and float(np.diff(sparsities).min()) < _NARROW:
        axes.tick_params(axis="x", labelrotation=60)
    axes.set(xlabel="sparsity", ylabel=f"{ylabel} (log scale of the error)")
    titled(axes, title)
    _legend_beside(figure, names, paper=bool(paper))
    return figure


def _places(
    names: Sequence[str], series: Series, paper: PaperSeries
) -> dict[tuple[str, float], float]:
    """Return where on the axis each (method, sparsity) stands: around it, none on another."""
    has = {name: {s for s, _ in (*series.get(name, ()), *paper.get(name, ()))} for name in names}
    sparsities = sorted(set().union(*has.values()))
    gap = min(np.diff(sparsities), default=1.0)
    step, places = min(0.011, 0.6 * float(gap) / len(names)), {}
    for sparsity in sparsities:
        here = [name for name in names if sparsity in has[name]]
        for rank, name in enumerate(here):
            places[name, sparsity] = sparsity + step * (rank - (len(here) - 1) / 2)
    return places


def stretch_towards_1(axes: Axes, shown: Sequence[float]) -> None:
    """Give an accuracy axis even steps of log(1 - accuracy), and limits that hold ``shown``."""
    axes.set_yscale(
        "function",
        functions=(
            lambda a: -np.log10(np.maximum(1.0 - np.asarray(a), 1e-4)),
            lambda v: 1.0 - 10.0 ** -np.asarray(v),
        ),
    )
    finite = [value for value in shown if np.isfinite(value)] or [0.0]
    low, high = min(finite), min(max(finite), 0.9998)
    axes.set_ylim(1 - (1 - low) * 1.15, 1 - (1 - high) / 1.1)
    inside = [tick for tick in ACCURACY_TICKS if low <= tick <= high]
    axes.yaxis.set_major_locator(FixedLocator(inside) if len(inside) > 2 else MaxNLocator(5))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3f}".removesuffix("0")))


def _legend_beside(figure: Figure, names: Sequence[str], paper: bool) -> None:
    """Put the legend right of the axes: methods, then what filled and hollow mean."""
    handles = [Line2D([], [], label=name, **look(i)) for i, name in enumerate(names)]
    if paper:
        handles += [
            Line2D([], [], color=GREY, marker="o", label="ours, with interval"),
            Line2D([], [], color=GREY, marker="o", mfc="white", ls="none", label="the paper"),
        ]
    figure.legend(handles=handles, loc="outside right upper")


@styled
def tradeoff(
    points: Sequence[TradeoffPoint], paper: Sequence[tuple[float, float, float]] = ()
) -> Figure:
    """Return accuracy and sparsity against alpha side by side (table 2).

    Args:
        points: ours.
        paper: the paper's (alpha, accuracy, sparsity), drawn hollow.
    """
    figure, axes = open_figure(8.4, 3.9, columns=2)
    ours = sorted(points, key=lambda point: point.alpha)
    theirs = sorted(paper)
    for index, (panel, name) in enumerate(zip(axes, ("accuracy", "sparsity"), strict=True)):
        values: list[Interval] = [getattr(point, name) for point in ours]
        handles: list[Any] = [
            panel.errorbar(
                [point.alpha for point in ours], [value.estimate for value in values],
                yerr=bars(values), elinewidth=1.1, capsize=2, label="ours", **look(index),
            )
        ]  # fmt: skip
        if theirs:
            handles += panel.plot(
                [row[0] for row in theirs], [row[1 + index] for row in theirs],
                linestyle=":", linewidth=1.2, markerfacecolor="white", label="paper", **look(index),
            )  # fmt: skip
        panel.set(xlabel="α")
        # The marks of 0.1 and 0.15 stand close: turned, they do not touch.
        alphas = sorted({point.alpha for point in ours} | {row[0] for row in theirs})
        panel.set_xticks(alphas, [f"{alpha:g}" for alpha in alphas], rotation=45)
        panel.legend(handles=handles, loc="best")
        panel.set_title(name, fontweight="normal")
    titled(figure, "Accuracy against sparsity by α")
    return figure
