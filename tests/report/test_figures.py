from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bogp.analysis import Interval
from bogp.errors import OutputError, SettingError
from bogp.report import (
    Picture,
    TradeoffPoint,
    accuracy_by_sparsity,
    correlation_heatmap,
    figure_png,
    figure_svg,
    graph_and_mask,
    property_scatter,
    save_figure,
    search_trace,
    tradeoff,
)

RING = np.roll(np.eye(6, dtype=bool), 1, axis=1) | np.roll(np.eye(6, dtype=bool), -1, axis=1)


def _scatter() -> Figure:
    return property_scatter(
        [0.0, 0.0, 0.5, 1.0],
        [0.94, 0.95, 0.95, 0.96],
        [0.01, 0.01, 0.01, 0.01],
        [4, 5, 7, 10],
        xlabel="clustering",
        ylabel="accuracy",
        title="Figure 5",
        note="ρ = 0.9",
    )


def _texts(figure: Figure) -> set[str]:
    from matplotlib.text import Text

    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(Text) if text.get_text()}


def test_the_scatter_shows_what_it_was_given() -> None:
    figure = _scatter()
    axes, bar = figure.axes
    offsets = axes.collections[-1].get_offsets()
    assert np.asarray(offsets)[:, 1].tolist() == [0.94, 0.95, 0.95, 0.96]
    across = np.asarray(offsets)[:, 0]
    assert across[0] < across[1]  # of one clustering: side by side
    assert across == pytest.approx([0.0, 0.0, 0.5, 1.0], abs=0.01)
    sizes = axes.collections[-1].get_sizes()
    assert list(sizes) == sorted(sizes)
    assert bar.get_ylabel() == "edges"
    assert {"Figure 5", "clustering", "accuracy", "ρ = 0.9"} <= _texts(figure)


def test_the_scatter_refuses_unequal_columns() -> None:
    with pytest.raises(SettingError, match=r"lengths \[1, 2\]"):
        property_scatter([1.0, 2.0], [1.0], [0.1], [3], xlabel="x", ylabel="y", title="t")


def test_a_constant_cell_is_hatched_and_the_others_are_numbered() -> None:
    nan = np.nan
    matrix = [[1.0, nan, -0.5], [nan, nan, nan], [-0.5, nan, 1.0]]
    names = ["clustering", "cycle_rank", "transitivity"]
    figure = correlation_heatmap(matrix, names, "Figure 8", highlight=["cycle_rank"])
    axes = figure.axes[0]
    hatched = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_hatch()]
    assert len(hatched) == 5
    texts = _texts(figure)
    assert {"cycle rank", "−0.50", "1.00", "constant: no correlation"} <= texts
    weights = [label.get_fontweight() for label in axes.get_xticklabels()]
    assert weights == ["normal", "bold", "normal"]
    with pytest.raises(SettingError, match="does not fit 2 names"):
        correlation_heatmap(matrix, names[:2], "t")


def test_table_one_has_filled_and_hollow_points() -> None:
    ours = {
        "BoGP": [(0.9, Interval(0.95, 0.94, 0.96, 5)), (0.15, Interval(0.97, None, None, 1))],
        "dense": [(0.0, Interval(0.98, 0.97, 0.99, 5))],
    }
    figure = accuracy_by_sparsity(ours, {"BoGP": [(0.15, 0.972), (0.9, 0.951)]})
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) and line.get_marker() == "o"]
    filled, hollow = lines[0], lines[1]
    assert list(filled.get_ydata()) == [0.97, 0.95]  # in order of sparsity
    assert list(hollow.get_ydata()) == [0.972, 0.951]
    assert (hollow.get_markerfacecolor(), filled.get_color()) == ("white", hollow.get_color())
    np.testing.assert_array_equal(filled.get_xdata(), hollow.get_xdata())
    low, high = axes.get_ylim()
    assert low < 0.94
    assert high > 0.99
    assert {"0", "0.15", "0.9", "the paper", "BoGP", "dense"} <= _texts(figure)
    with pytest.raises(SettingError, match="no series"):
        accuracy_by_sparsity({})


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
def test_table_one_draws_extreme_accuracies(accuracy: float) -> None:
    figure = accuracy_by_sparsity({"a": [(0.5, Interval(accuracy, None, None, 1))]})
    assert figure_png(figure).startswith(b"\x89PNG")


def test_the_trace_is_the_best_so_far() -> None:
    nan = np.nan
    traces = {"paper": [np.array([1.0, 3.0, 2.0]), np.array([nan, 1.0, 5.0, 4.0])]}
    best = search_trace(traces).axes[0].lines
    np.testing.assert_array_equal(best[0].get_ydata(), [1, 3, 3])
    np.testing.assert_array_equal(best[1].get_ydata(), [nan, 1, 5, 5])
    np.testing.assert_array_equal(best[2].get_ydata(), [nan, 2, 4])  # only where both have trials
    with pytest.raises(SettingError, match="no trace"):
        search_trace({"paper": []})


def test_the_tradeoff_has_a_panel_each() -> None:
    point = TradeoffPoint(0.5, Interval(0.9, 0.8, 1.0, 5), Interval(0.7, 0.6, 0.8, 5))
    figure = tradeoff([point], [(0.5, 0.37, 0.93)])
    values = [
        [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata())] for ax in figure.axes
    ]
    assert {0.9, 0.37} <= set(values[0])
    assert {0.7, 0.93} <= set(values[1])
    assert {"ours", "paper", "accuracy", "sparsity", "0.5"} <= _texts(figure)


def test_the_graph_stands_beside_its_mask() -> None:
    mask = np.kron(RING | np.eye(6, dtype=bool), np.ones((2, 3), dtype=bool))
    figure = graph_and_mask(RING | np.eye(6, dtype=bool), mask, "Best graph")
    left, right = figure.axes
    assert len(left.collections[0].get_segments()) == 6  # self-loops are not drawn
    np.testing.assert_array_equal(right.images[0].get_array(), mask)
    assert {"6 nodes, 6 edges", "mask 12 × 18, sparsity 0.500", "Best graph", "5"} <= _texts(figure)


def test_a_kernel_is_dark_where_any_of_it_is_kept() -> None:
    mask = np.zeros((2, 2, 3, 3), dtype=bool)
    mask[0, 1, 2, 2] = True
    figure = graph_and_mask(np.ones((2, 2)), mask, "t")
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), [[0, 1], [0, 0]])
    assert figure_png(graph_and_mask(np.ones((1, 1)), np.ones((1, 1)), "one node"))
    with pytest.raises(SettingError, match=r"adjacency \(2, 3\)"):
        graph_and_mask(np.ones((2, 3)), mask, "t")


def test_the_files_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    png, svg = save_figure(_scatter(), tmp_path / "new" / "folder", "figure5")
    assert (png.name, svg.name) == ("figure5.png", "figure5.svg")
    again = save_figure(_scatter(), tmp_path, "figure5")
    assert png.read_bytes() == again[0].read_bytes()
    assert svg.read_bytes() == again[1].read_bytes()
    assert b"<dc:date>" not in svg.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure5.png", "figure5.svg", "new"]


def test_a_stem_with_a_folder_in_it_is_refused(tmp_path: Path) -> None:
    for stem in ("../figure5", "a/b", ""):
        with pytest.raises(OutputError, match="no plain file name"):
            save_figure(Figure(), tmp_path, stem)


def test_neither_the_users_settings_nor_ours_leak() -> None:
    expected = figure_svg(_scatter())
    with mpl.rc_context():
        mpl.rcParams.update({"font.size": 30, "svg.fonttype": "none", "axes.facecolor": "red"})
        before = dict(mpl.rcParams)
        assert figure_svg(_scatter()) == expected
        assert dict(mpl.rcParams) == before


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys, bogp.report as r; r.figure_png(r.search_trace({'a': [[1.0, 2.0]]})); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_picture_holds_its_svg_as_an_image() -> None:
    kind, svg = Picture(_scatter(), "caption").source.split(",", 1)
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(svg).decode() == figure_svg(_scatter())
