"""The picture of a pruned network, layer by layer."""

from types import SimpleNamespace

import pytest

from bogp.errors import SettingError
from bogp.report import figure_svg
from bogp.report.analysis_page import layer_figure


def bars(dead=None, gap=1.5):
    spectrum = None if gap is None else SimpleNamespace(ramanujan_gap=gap)
    return SimpleNamespace(
        name="fc.weight", density=0.25, bipartite=SimpleNamespace(inputs=8, outputs=4),
        dead_inputs=dead, dead_outputs=dead, spectrum=spectrum,
    )  # fmt: skip


def widths(axes):
    return [patch.get_width() for patch in axes.patches]


def test_one_row_a_layer():
    figure = layer_figure([bars(2), bars(0, -0.5), bars(1, None)])
    density, dead, gap = figure.axes
    assert widths(density) == [0.25] * 3
    assert widths(dead) == [2 / 8, 0, 1 / 8, 2 / 4, 0, 1 / 4]
    assert widths(gap)[:2] == [1.5, -0.5]
    above, below = (patch.get_facecolor() for patch in gap.patches[:2])
    assert above != below
    assert density.yaxis_inverted()  # the first layer is on top


def test_dead_units_that_nobody_knows_are_no_bars():
    figure = layer_figure([bars()])
    assert [axes.get_xlabel() for axes in figure.axes] == ["density", "Ramanujan gap"]
    assert figure_svg(figure) == figure_svg(layer_figure([bars()]))


def test_no_layer():
    with pytest.raises(SettingError, match="no layers"):
        layer_figure([])
