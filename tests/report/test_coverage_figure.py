from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from bogp.errors import SettingError
from bogp.report import coverage_figure, figure_png, figure_svg

RNG = np.random.default_rng(0)
NAMES = ["clustering", "transitivity", "degree_centrality", "edge_connectivity"]


def sample(graphs: int = 60, width: float = 1.0) -> np.ndarray:
    """Clustering, twice clustering, a constant, and whole numbers."""
    clustering = width * RNG.random(graphs)
    whole = RNG.integers(0, 5, graphs).astype(float)
    return np.column_stack([clustering, 2 * clustering, np.full(graphs, 0.25), whole])


def texts(figure: Figure) -> set[str]:
    return {text.get_text().strip() for text in figure.findobj(Text)}


def points(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(c.get_offsets()) for ax in figure.axes for c in ax.collections]


def test_each_property_has_a_histogram_and_each_distinct_pair_a_panel() -> None:
    ours, other = sample(), sample(30, 0.1)
    figure = coverage_figure(NAMES, ours, other, title="Coverage", note="A quiet line.")
    said = texts(figure)
    assert {"Coverage", "A quiet line.", "database", "uniform", "constant, 0.25"} <= said
    assert {"clustering", "transitivity", "degree centrality", "edge connectivity"} <= said
    clouds = points(figure)  # one pair of distinct properties: clustering and edge connectivity
    assert len(clouds) == 2
    np.testing.assert_allclose(clouds[0], ours[:, [0, 3]])
    np.testing.assert_allclose(clouds[1], other[:, [0, 3]])
    r = np.corrcoef(ours[:, 0], ours[:, 3])[0, 1]
    assert f"r = {r:.2f}".replace("-", "−") in said


def test_histograms_count_every_graph_of_either_set_on_one_axis() -> None:
    ours, other = sample(), sample(30, 0.1)
    figure = coverage_figure(NAMES, ours, other, title="t")
    drawn = {
        axes.get_title(loc="left"): [(p.get_data().values, p.get_data().edges) for p in stairs]
        for axes in figure.axes
        if (stairs := [p for p in axes.patches if type(p).__name__ == "StepPatch"])
    }
    assert set(drawn) == {"clustering", "transitivity", "edge connectivity"}
    (mine, edges), (theirs, same) = drawn["clustering"]
    np.testing.assert_array_equal(edges, same)
    for column, shares in ((ours[:, 0], mine), (other[:, 0], theirs)):
        counts = np.histogram(column, edges)[0]
        assert counts.sum() == len(column)
        np.testing.assert_allclose(shares, counts / counts.max())
    _, edges = drawn["edge connectivity"][0]
    np.testing.assert_allclose(edges % 1, 0.5)  # a bar for each whole number


def test_one_set_alone_and_few_properties_are_drawn_too() -> None:
    alone = coverage_figure(NAMES[:1], sample()[:, :1], title="one")
    assert not points(alone)
    assert not {"database", "uniform"} & texts(alone)
    constant = coverage_figure(NAMES[2:3], sample()[:, 2:3], title="none")
    assert "constant, 0.25" in texts(constant)
    for figure in (alone, constant):
        assert figure_png(figure).startswith(b"\x89PNG")


def test_a_correlation_that_does_not_exist_is_left_out() -> None:
    ours = sample()[:, [0, 3]]
    other = np.column_stack([ours[:, 0], np.zeros(60)])
    names = [NAMES[0], NAMES[3]]
    rs = [text for text in texts(coverage_figure(names, ours, other, title="t")) if "r =" in text]
    assert len(rs) == 1


def test_of_many_graphs_some_are_drawn_always_the_same() -> None:
    many = np.column_stack([np.arange(9000.0), np.arange(9000.0) % 7])
    first, second = (points(coverage_figure(["a", "b"], many, title="t")) for _ in range(2))
    assert len(first[0]) == 3000
    np.testing.assert_array_equal(first[0], second[0])


def test_at_most_six_properties_are_paired() -> None:
    table = RNG.normal(size=(50, 9))
    figure = coverage_figure([f"p{k}" for k in range(9)], table, title="t")
    assert len(points(figure)) == 6 * 5 // 2


def test_the_bytes_are_the_same_every_time() -> None:
    ours = sample()
    assert figure_svg(coverage_figure(NAMES, ours, title="t")) == figure_svg(
        coverage_figure(NAMES, ours, title="t")
    )


def test_a_table_that_does_not_fit_is_refused() -> None:
    with pytest.raises(SettingError, match="do not fit the names"):
        coverage_figure(NAMES[:2], sample(), title="t")
