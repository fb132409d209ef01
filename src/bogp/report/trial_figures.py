"""Figures of the trials of a study: in their order, by support density, and by sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from bogp.analysis import Interval
from bogp.errors import SettingError
from bogp.report.accuracy_figures import stretch_towards_1
from bogp.report.style import LIGHT, bars, look, open_figure, plural, styled, titled
from bogp.types import Floats

Trials = Sequence[tuple[float, bool]]
"""(value, whether it was stopped early) of each trial in order."""

Front = Sequence[tuple[float, Interval]]
"""(sparsity, accuracy) of each point of a front."""

_LOWEST = 0.1
"""Share of the trials that a value axis need not reach: a few diverge, to 0.1 say."""


@styled
def course_figure(arms: Mapping[str, Trials], *, ylabel: str = "accuracy") -> Figure:
    """Return every trial of each arm in order, and the best so far of those that ended whole.

    Trials that were stopped early are faint and hollow, at the value where they stopped, which is
    lower than they would have become. The axis does not show the worst tenth where they lie far
    below; how many it leaves out is said under the title.

    Args:
        arms: arm → (value, stopped) of each trial.
        ylabel: what the value is.

    Raises:
        SettingError: no trial at all.
    """
    if not any(len(trials) for trials in arms.values()):
        raise SettingError("there is no trial to draw: give at least one")
    figure, (axes,) = open_figure(7.2, 4.4)
    longest = max(len(trials) for trials in arms.values())
    for index, (name, trials) in enumerate(arms.items()):
        table = np.array(trials, dtype=np.float64).reshape(-1, 2)
        place, value, stopped = np.arange(1, len(table) + 1), table[:, 0], table[:, 1] > 0
        _cloud(axes, place, value, stopped, index)
        best = np.fmax.accumulate(np.where(stopped, np.nan, value))
        words = f"{name}: best so far of {plural(int((~stopped).sum()), 'whole trial')}"
        axes.plot(
            place, best, drawstyle="steps-post", linewidth=2.2 - 0.5 * min(index, 1),
            markersize=5, markevery=max(1, longest // 10), label=words, **look(index),
        )  # fmt: skip
    low, high, hidden = _reach([value for trials in arms.values() for value, _ in trials])
    _limit(axes, low, high)
    _count_trials(axes)
    axes.set(ylabel=ylabel, xlim=(0.0, longest + 1.0))
    figure.legend(loc="outside lower center", ncols=2)
    titled(axes, "Value by trial", _with_hidden("", hidden))
    return figure


@styled
def support_figure(
    criteria: Mapping[str, Sequence[tuple[float, float, bool]]], *, ylabel: str = "accuracy"
) -> Figure:
    """Return the trials by the density of their support, a colour and a place for each criterion.

    Points stand beside each other around their density. The line of a criterion joins the means of
    its trials that ended whole; stopped ones are faint and hollow.

    Args:
        criteria: criterion → (support density, value, stopped) of each trial; the density of the
            complete support is 1.
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
    figure, (axes,) = open_figure(7.6, 4.6)
    step = min(0.14, 0.7 / max(1, len(criteria)))
    for index, (name, trials) in enumerate(criteria.items()):
        table = np.array(trials, dtype=np.float64).reshape(-1, 3)
        densities, value, stopped = table[:, 0], table[:, 1], table[:, 2] > 0
        shift = step * (index - (len(criteria) - 1) / 2)
        across = np.array([places[float(entry)] + shift for entry in densities])
        _cloud(axes, across, value, stopped, index)
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
    low, high, hidden = _reach([row[1] for row in rows])
    _limit(axes, low, high)
    figure.legend(loc="outside lower center", ncols=min(5, len(criteria)))
    note = _with_hidden("lines join the means of trials that ended whole", hidden)
    titled(axes, "Accuracy by support density", note)
    return figure


@styled
def front_figure(
    trials: Mapping[str, npt.ArrayLike],
    fronts: Mapping[str, Front],
    *,
    ylabel: str = "accuracy",
) -> Figure:
    """Return the trials that ended whole as faint points and the front as a step line.

    Each arm has a colour. The line is the highest accuracy at a sparsity or beyond: what lies below
    and left of it is dominated. The axis shows every front whole but not the worst tenth of the
    trials where they are far below; how many it leaves out is said under the title.

    Args:
        trials: arm → (accuracy, sparsity) of each trial that ended whole, (N, 2).
        fronts: arm → the (sparsity, accuracy) of its front; an arm may have trials alone.
        ylabel: what the accuracy is.

    Raises:
        SettingError: nothing to draw, or a table of trials that is not (N, 2).
    """
    tables = {name: _pairs(name, points) for name, points in trials.items()}
    names = [*tables, *(name for name in fronts if name not in tables)]
    if not any(map(len, tables.values())) and not any(fronts.values()):
        raise SettingError("there is neither a trial nor a front to draw: give at least one")
    figure, (axes,) = open_figure(7.2, 4.6)
    points = [point for front in fronts.values() for point in front]
    across = [*(row[1] for table in tables.values() for row in table), *(x for x, _ in points)]
    left = min(across) - 0.02 * (max(across) - min(across) or 1.0)
    for index, name in enumerate(names):
        table = tables.get(name, np.empty((0, 2)))
        axes.scatter(
            table[:, 1], table[:, 0], s=16, alpha=0.35, linewidth=0, zorder=2, **look(index)
        )
        # A later front is the narrower line, so that an earlier one shows where they coincide.
        _staircase(axes, fronts.get(name, ()), left, index, width=2.4 - 0.7 * min(index, 2))
    kept = [b for _, each in points for b in (each.estimate, each.low, each.high) if b is not None]
    values = [row[0] for table in tables.values() for row in table]
    low, high, hidden = _reach(values, kept)
    if low >= 0.0 and high < 1.0:  # an accuracy, and not the negative of a loss
        stretch_towards_1(axes, [low, high])
        ylabel = f"{ylabel} (log scale of the error)"
    else:
        _limit(axes, low, high)
    axes.set(xlabel="sparsity", ylabel=ylabel)
    axes.set_xlim(left=left)
    handles = []
    for index, name in enumerate(names):
        drawn = bool(fronts.get(name))
        words = f"{name}: trials and front" if drawn else f"{name}: trials"
        handles.append(Line2D([], [], linestyle="-" if drawn else "", label=words, **look(index)))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    titled(axes, "Accuracy against sparsity", _with_hidden("trials that ended whole", hidden))
    return figure


@styled
def search_trace(
    traces: Mapping[str, Sequence[npt.ArrayLike]],
    *,
    title: str = "Search",
    ylabel: str = "accuracy",
) -> Figure:
    """Return the best so far of searches: thin lines are seeds, thick ones their mean.

    Args:
        traces: engine → for each seed an array (trials,), the metric of each trial in order; nan
            where a trial failed.
        title: one line.
        ylabel: the metric.

    Raises:
        SettingError: no trace at all.
    """
    if not any(len(seeds) for seeds in traces.values()):
        raise SettingError("there is no trace to draw: give at least one seed of one engine")
    figure, (axes,) = open_figure(7.0, 4.2)
    best = {
        name: [np.fmax.accumulate(np.asarray(seed, dtype=np.float64)) for seed in seeds]
        for name, seeds in traces.items()
    }
    _seeds_and_means(axes, best, "mid")
    axes.set(ylabel=f"best {ylabel} so far")
    axes.legend(loc="best")
    titled(axes, title)
    return figure


@styled
def hypervolume_figure(courses: Mapping[str, Sequence[npt.ArrayLike]]) -> Figure:
    """Return how the dominated area grew: thin lines are seeds, thick ones their mean.

    Args:
        courses: arm → for each seed the hypervolume after trial 1, 2, ..., (trials,); it steps
            where a batch ends.

    Raises:
        SettingError: no course at all.
    """
    runs = {
        name: [np.ravel(np.asarray(seed, dtype=np.float64)) for seed in seeds]
        for name, seeds in courses.items()
    }
    if not any(run.size for seeds in runs.values() for run in seeds):
        raise SettingError("there is no course to draw: give at least one seed of one arm")
    figure, (axes,) = open_figure(7.0, 4.2)
    _seeds_and_means(axes, runs, "post")
    axes.set(ylabel="hypervolume")
    axes.set_ylim(bottom=_start([run for seeds in runs.values() for run in seeds]))
    axes.legend(loc="lower right")
    titled(axes, "Hypervolume over trials", "steps where a batch ends")
    return figure


def _seeds_and_means(axes: Axes, runs: Mapping[str, Sequence[Floats]], where: Any) -> None:
    """Draw the runs (trials,) of each name as thin steps and their mean as a thick one."""
    longest = max(run.size for seeds in runs.values() for run in seeds)
    for index, (name, seeds) in enumerate(runs.items()):
        style = look(index)
        for run in seeds if len(seeds) > 1 else ():
            place = np.arange(1, run.size + 1)
            axes.step(place, run, where=where, color=style["color"], alpha=0.3, linewidth=0.9)
        # Past the shortest run the mean would be over fewer seeds and could jump.
        common = min((run.size for run in seeds), default=0)
        if not common:
            continue
        with np.errstate(invalid="ignore"):
            mean = np.mean([run[:common] for run in seeds], axis=0)
        words = f" (mean of {len(seeds)} seeds)" if len(seeds) > 1 else ""
        axes.plot(
            np.arange(1, common + 1), mean, label=f"{name}{words}", drawstyle=f"steps-{where}",
            linewidth=2.2, markersize=5, markevery=max(1, longest // 10), **style,
        )  # fmt: skip
    _count_trials(axes)


def _start(runs: Sequence[Floats]) -> float | None:
    """Return the bottom of a hypervolume axis, or None for matplotlib's choice.

    It lies a little below what every run has after a tenth of its trials: the first trials, which
    start near 0, would squash the rest.
    """
    tenth = max(run.size for run in runs) // 10
    long = [run for run in runs if run.size > tenth]
    if not tenth:
        return None
    low, high = min(run[tenth] for run in long), max(run.max() for run in long)
    return float(low - 0.08 * (high - low)) if high > low else None


def _count_trials(axes: Axes) -> None:
    """Give the axis of trials ticks at whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("trial")


def _cloud(axes: Axes, x: npt.ArrayLike, y: Floats, stopped: npt.ArrayLike, index: int) -> None:
    """Draw whole trials filled and stopped ones faint and hollow."""
    style, across = look(index), np.asarray(x, dtype=np.float64)
    faint = np.asarray(stopped, dtype=bool)
    axes.scatter(across[~faint], y[~faint], s=20, alpha=0.5, linewidth=0, zorder=2, **style)
    axes.scatter(
        across[faint], y[faint], s=16, alpha=0.35, linewidth=0.8, zorder=1.8,
        facecolors="none", edgecolors=style["color"], marker=style["marker"],
    )  # fmt: skip


def _reach(values: Sequence[float], kept: Sequence[float] = ()) -> tuple[float, float, int]:
    """Return the lowest and highest value to show, and how many values lie below.

    All that is ``kept`` is shown, and the worst tenth of ``values`` only where they are near: they
    would squash the rest.
    """
    finite = np.array([value for value in values if np.isfinite(value)])
    shown = [*kept]
    if len(finite):
        shown += [float(np.quantile(finite, _LOWEST)), float(finite.max())]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    near = finite[finite >= low - 0.5 * (high - low)]
    return min([*kept, *near], default=low), high, len(values) - len(near)


def _limit(axes: Axes, low: float, high: float) -> None:
    """Set the limits of a value axis, a little beyond what is to be shown."""
    margin = 0.05 * (high - low or 0.01)
    axes.set_ylim(low - margin, high + margin)


def _with_hidden(note: str, hidden: int) -> str:
    """Return the note, and how many trials the axis does not show."""
    left_out = f"{plural(hidden, 'trial')} below the axis not shown." if hidden else ""
    return " ".join(filter(None, (note, left_out)))


def _pairs(name: str, points: npt.ArrayLike) -> Floats:
    """Return the finite (accuracy, sparsity) of one arm, (N, 2), or raise."""
    table = np.asarray(points, dtype=np.float64)
    if table.size == 0:
        return np.empty((0, 2))
    if table.ndim != 2 or table.shape[1] != 2:
        raise SettingError(
            f"trials of {name!r} have shape {table.shape}: give (N, 2), accuracy and sparsity"
        )
    return table[np.isfinite(table).all(axis=1)]


def _staircase(axes: Axes, front: Front, left: float, index: int, width: float) -> None:
    """Draw a front: level back to the point before it, straight down behind the last."""
    if not front:
        return
    style = look(index)
    x, values = zip(*sorted(front, key=lambda point: point[0]), strict=True)
    y = [value.estimate for value in values]
    axes.step([left, *x], [y[0], *y], where="pre", color=style["color"], linewidth=width)
    # To the floor of the axes, wherever that will be.
    axes.vlines(x[-1], -1e9, y[-1], color=style["color"], linewidth=width)
    axes.errorbar(
        x, y, yerr=bars(values), linestyle="none", elinewidth=1.1, capsize=2,
        markeredgecolor="white", markeredgewidth=0.6, markersize=7, zorder=3, **style,
    )  # fmt: skip
