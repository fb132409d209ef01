"""A picture of a pruned network, layer by layer: what is kept, what is dead, how it is joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bogp.errors import SettingError
from bogp.report.style import GREY, headed, look, styled


@dataclass(frozen=True)
class LayerBars:
    """What is drawn of one layer.

    Attributes:
        name: of its parameter.
        density: kept weights divided by all.
        inputs: number of its inputs.
        outputs: number of its outputs.
        dead_inputs: how many of them are on no path of kept weights; None where unknown.
        dead_outputs: the same of its outputs.
        ramanujan_gap: of its mask; None without kept weights.
    """

    name: str
    density: float
    inputs: int
    outputs: int
    dead_inputs: int | None
    dead_outputs: int | None
    ramanujan_gap: float | None


@styled
def layer_figure(layers: Sequence[LayerBars], title: str) -> Figure:
    """Return bars of density, dead units and Ramanujan gap, one row a layer, the first on top.

    Dead units are left out where they are unknown of every layer.

    Raises:
        SettingError: no layer.
    """
    if not layers:
        raise SettingError("a figure of no layers shows nothing: give one layer or more")
    known = any(layer.dead_inputs is not None for layer in layers)
    columns = 3 if known else 2
    figure = Figure(figsize=(3.2 * columns, 1.5 + 0.3 * len(layers)), layout="constrained")
    axes = list(
        figure.subplots(1, columns, sharey=True, squeeze=False, gridspec_kw={"wspace": 0.1})[0]
    )
    rows = np.arange(len(layers))
    axes[0].barh(rows, [layer.density for layer in layers], 0.62, color=look(0)["color"])
    axes[0].set_xlabel("density")
    axes[0].set_xlim(0, 1)
    if known:
        _draw_dead(axes[1], layers)
    gaps = [np.nan if layer.ramanujan_gap is None else layer.ramanujan_gap for layer in layers]
    below = [look(1)["color"] if gap < 0 else look(2)["color"] for gap in gaps]
    axes[-1].barh(rows, gaps, 0.62, color=below)
    axes[-1].axvline(0, color=GREY, linewidth=0.8)
    axes[-1].set_xlabel("Ramanujan gap")
    axes[0].set_yticks(rows, [layer.name for layer in layers])
    axes[0].set_ylim(len(layers) - 0.4, -0.6)
    for each in axes:
        each.grid(visible=False, axis="y")
        each.tick_params(axis="y", length=0)
    headed(figure, title)
    return figure


def _draw_dead(axes: Axes, layers: Sequence[LayerBars]) -> None:
    """Draw the shares of inputs and of outputs that are dead, above one another."""
    parts = (
        ("inputs", -0.16, [(layer.dead_inputs, layer.inputs) for layer in layers]),
        ("outputs", 0.16, [(layer.dead_outputs, layer.outputs) for layer in layers]),
    )
    for index, (name, shift, counts) in enumerate(parts):
        shares = [np.nan if dead is None else dead / every for dead, every in counts]
        rows = np.arange(len(layers)) + shift
        axes.barh(rows, shares, 0.3, color=look(3 + index)["color"], label=name)
    axes.set_xlabel("share of units that are dead")
    axes.set_xlim(0, max(0.05, axes.get_xlim()[1]))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, borderaxespad=0.1)
