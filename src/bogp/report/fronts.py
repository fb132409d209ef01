"""The trade-off of one study: its front of accuracy against sparsity, and the front's growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bogp.analysis import Interval
from bogp.errors import SettingError
from bogp.report.curves import _error_scale
from bogp.report.style import GREY, bars, look, new_axes, plural, styled, titled
from bogp.types import Floats

_LOWEST = 0.1
"""Share of the trials that the accuracy axis need not reach: a few diverge, to 0.1 say."""


@dataclass(frozen=True)
class FrontPoint:
    """A point of a front.

    Attributes:
        value: the accuracy, with its interval where there is one.
        second: the sparsity.
        label: a word beside it, such as the alphas it wins for; none where empty.
    """

    value: Interval
    second: float
    label: str = ""


@styled
def front_figure(
    trials: Mapping[str, npt.ArrayLike],
    fronts: Mapping[str, Sequence[FrontPoint]],
    paper: Sequence[tuple[float, float, float]] = (),
    *,
    title: str = "Accuracy against sparsity",
    note: str = "",
    xlabel: str = "sparsity",
    ylabel: str = "accuracy",
) -> Figure:
    """Return all trials of a study as faint points and its front as a step line, a colour an arm.

    The line is the highest accuracy at a sparsity or beyond: what lies below and left of it is
    dominated. The axis shows every front whole but not the worst tenth of the trials where they
    are far below; how many it leaves out is said under the title.

    Args:
        trials: arm → (accuracy, sparsity) of each trial, (N, 2).
        fronts: arm → its front; an arm may have trials alone.
        paper: (alpha, accuracy, sparsity) of the paper's table 2, drawn hollow with alpha beside.
        title: one line.
        note: a quieter line below the title.
        xlabel: the second objective.
        ylabel: the first.

    Raises:
        SettingError: nothing to draw, or a table of trials that is not (N, 2).
    """
    tables = {name: _table(name, points) for name, points in trials.items()}
    names = [*tables, *(name for name in fronts if name not in tables)]
    if not any(map(len, tables.values())) and not any(fronts.values()):
        raise SettingError("there is neither a trial nor a front to draw: give at least one")
    figure, (axes,) = new_axes(7.2, 4.6)
    low, high, hidden = _reach(tables, fronts, paper)
    spread = [*(row[1] for table in tables.values() for row in table)]
    spread += [point.second for points in fronts.values() for point in points]
    left = min(spread) - 0.02 * (max(spread) - min(spread) or 1.0)
    for index, name in enumerate(names):
        style, table = look(index), tables.get(name, np.empty((0, 2)))
        axes.scatter(
            table[:, 1], table[:, 0], s=16, alpha=0.35, linewidth=0, zorder=2, **style
        )  # fmt: skip
        # A later front is the narrower line, so that an earlier one shows where they coincide.
        _staircase(axes, fronts.get(name, ()), left, style, width=2.4 - 0.7 * min(index, 2))
    hollow = _hollow(axes, paper)
    if low >= 0.0 and high < 1.0:  # an accuracy, and not the negative of a loss
        _error_scale(axes, [low, high])
        ylabel = f"{ylabel} (log scale of the error)"
    else:
        margin = 0.04 * (high - low or 0.01)
        axes.set_ylim(low - margin, high + margin)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_xlim(left=left)
    _legend(figure, names, fronts, hollow)
    out = f"{plural(hidden, 'trial')} below the axis not shown." if hidden else ""
    titled(figure, axes, title, " ".join(filter(None, (note, out))))
    return figure


@styled
def hypervolume_figure(
    courses: Mapping[str, Sequence[npt.ArrayLike]],
    *,
    title: str = "Hypervolume over trials",
    note: str = "",
    xlabel: str = "trial",
) -> Figure:
    """Return how the dominated area grew, a colour an arm: thin lines are seeds, thick their mean.

    Args:
        courses: arm → for each seed the hypervolume after trial 1, 2, ..., (trials,).
        title: one line.
        note: a quieter line below the title: the reference point, say.
        xlabel: what the steps are.

    Raises:
        SettingError: no course at all.
    """
    runs = {
        name: [np.ravel(np.asarray(seed, dtype=np.float64)) for seed in seeds]
        for name, seeds in courses.items()
    }
    if not any(run.size for seeds in runs.values() for run in seeds):
        raise SettingError("there is no course to draw: give at least one seed of one arm")
    figure, (axes,) = new_axes(7.0, 4.2)
    longest = max(run.size for seeds in runs.values() for run in seeds)
    for index, (name, seeds) in enumerate(runs.items()):
        style = look(index)
        # Past the shortest seed the mean would be over fewer of them and could fall.
        common = min((run.size for run in seeds), default=0)
        if len(seeds) > 1:
            for run in seeds:
                place = np.arange(1, run.size + 1)
                axes.step(place, run, where="post", color=style["color"], alpha=0.3, linewidth=0.9)
        if common:
            many = f" (mean of {plural(len(seeds), 'seed')})" if len(seeds) > 1 else ""
            axes.plot(
                np.arange(1, common + 1), np.mean([run[:common] for run in seeds], axis=0),
                drawstyle="steps-post", linewidth=2.2, markersize=5,
                markevery=max(1, longest // 10), label=f"{name}{many}", **style,
            )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set(xlabel=xlabel, ylabel="hypervolume")
    axes.set_ylim(bottom=_start(runs, longest // 10))
    axes.legend(loc="lower right")
    titled(figure, axes, title, note)
    return figure


def _start(runs: Mapping[str, Sequence[Floats]], trials: int) -> float | None:
    """Return a little below what all have after so many trials, or None for matplotlib's choice.

    The first trials, which start near 0, would squash the rest.
    """
    every = [run for seeds in runs.values() for run in seeds if run.size > trials]
    if not trials:
        return None
    low, high = min(run[trials] for run in every), max(run.max() for run in every)
    return float(low - 0.08 * (high - low)) if high > low else None


def _table(name: str, points: npt.ArrayLike) -> Floats:
    """Return the finite trials of one arm, (N, 2), or raise."""
    table = np.asarray(points, dtype=np.float64)
    if table.size == 0:
        return np.empty((0, 2))
    if table.ndim != 2 or table.shape[1] != 2:
        raise SettingError(
            f"trials of {name!r} have shape {table.shape}: give (N, 2), accuracy and sparsity"
        )
    return table[np.isfinite(table).all(axis=1)]


def _reach(
    tables: Mapping[str, Floats],
    fronts: Mapping[str, Sequence[FrontPoint]],
    paper: Sequence[tuple[float, float, float]],
) -> tuple[float, float, int]:
    """Return the lowest and highest accuracy to show, and how many trials lie below."""
    values = np.concatenate([table[:, 0] for table in tables.values()] or [np.empty(0)])
    points = [point.value for front in fronts.values() for point in front]
    kept = [bound for point in points for bound in (point.estimate, point.low, point.high)]
    shown = [value for value in kept if value is not None]
    shown += [accuracy for _, accuracy, _ in paper]
    if len(values):
        shown += [float(np.quantile(values, _LOWEST)), float(values.max())]
    low, high = min(shown), max(shown)
    # Trials just below are shown too: leaving some out is for those that would squash the rest.
    near = values[values >= low - 0.5 * (high - low)]
    low = min([low, *near])
    return low, high, int((values < low).sum())


def _staircase(
    axes: Axes,
    points: Sequence[FrontPoint],
    left: float,
    style: Mapping[str, Any],
    width: float,
) -> None:
    """Draw a front: level back to the point before it, straight down behind the last."""
    if not points:
        return
    ordered = sorted(points, key=lambda point: point.second)
    x = [point.second for point in ordered]
    y = [point.value.estimate for point in ordered]
    axes.step([left, *x], [y[0], *y], where="pre", color=style["color"], linewidth=width)
    # To the floor of the axes, wherever that will be.
    axes.vlines(x[-1], -1e9, y[-1], color=style["color"], linewidth=width)
    axes.errorbar(
        x, y, yerr=bars([point.value for point in ordered]), linestyle="none", elinewidth=1.1,
        capsize=2, markeredgecolor="white", markeredgewidth=0.6, markersize=7, zorder=3, **style,
    )  # fmt: skip
    for point in ordered:
        if point.label:
            axes.annotate(
                point.label, (point.second, point.value.estimate), (5, 5),
                textcoords="offset points", fontsize=8, color=style["color"],
            )  # fmt: skip


def _hollow(axes: Axes, paper: Sequence[tuple[float, float, float]]) -> list[Line2D]:
    """Draw the paper's points; return their entry of the legend, which names their alphas."""
    if not paper:
        return []
    rows = sorted(paper, key=lambda row: row[2])
    words = f"the paper, left to right α = {', '.join(f'{row[0]:g}' for row in rows)}"
    return axes.plot(
        [row[2] for row in rows], [row[1] for row in rows], linestyle="none", marker="o",
        markerfacecolor="white", color=GREY, markersize=7, zorder=2.5, label=words,
    )  # fmt: skip


def _legend(
    figure: Figure,
    names: Sequence[str],
    fronts: Mapping[str, Sequence[FrontPoint]],
    hollow: list[Line2D],
) -> None:
    """Say below the axes which colour is which arm, and what is hollow."""
    handles = []
    for index, name in enumerate(names):
        drawn = bool(fronts.get(name))
        words = f"{name}: trials and front" if drawn else f"{name}: trials"
        handles.append(Line2D([], [], linestyle="-" if drawn else "", label=words, **look(index)))
    figure.legend(handles=[*handles, *hollow], loc="outside lower center", ncols=2)
