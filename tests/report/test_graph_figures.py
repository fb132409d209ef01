from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from bogp.errors import OutputError, SettingError
from bogp.report import figure_format, figure_png, figure_svg, graph_portrait, write_figure
from bogp.report import graph_figures as drawing
from bogp.report.graph_figures import spring_places, wirings_and_mask

RING = nx.to_numpy_array(nx.cycle_graph(6)).astype(bool)
MASK = np.kron(RING | np.eye(6, dtype=bool), np.ones((2, 3), dtype=bool))


def portrait(links: np.ndarray = RING, **options: object) -> Figure:
    values = {"clustering": 0.0, "average_shortest_path_length": 1.8}
    return graph_portrait(links, MASK, values, "A ring", **options)  # type: ignore[arg-type]


def texts(figure: Figure) -> set[str]:
    return {text.get_text().strip() for text in figure.findobj(Text)}


def test_the_portrait_has_both_layouts_the_mask_and_the_values() -> None:
    figure = portrait(RING | np.eye(6, dtype=bool), note="A quiet line.")
    circle, spring, mask, values = figure.axes
    for axes in (circle, spring):
        assert len(axes.collections[0].get_segments()) == 6  # self-loops are not drawn
        assert len(axes.collections[1].get_offsets()) == 6
    np.testing.assert_array_equal(mask.images[0].get_array(), MASK)
    said = texts(figure)
    assert {"clustering", "average shortest path length", "0", "1.8", "A quiet line."} <= said
    assert {"6 nodes in a circle, 6 edges", "mask 12 × 18, sparsity 0.500"} <= said
    assert not values.collections  # no ranges, no marks


def test_a_node_has_one_colour_in_both_layouts() -> None:
    circle, spring = portrait().axes[:2]
    colours = [axes.collections[1].get_facecolor() for axes in (circle, spring)]
    np.testing.assert_array_equal(*colours)
    assert len({tuple(colour) for colour in colours[0]}) == 6


def test_the_mark_stands_where_the_value_is_in_its_range() -> None:
    ranges = {"average_shortest_path_length": (1.0, 2.0), "clustering": (0.0, 0.0)}
    values = portrait(ranges=ranges).axes[3]
    lines = [line for line in values.lines if len(set(line.get_ydata())) == 1]
    low, high = next(line for line in lines if line.get_ydata()[0] == 1).get_xdata()
    marks = {round(y): x for (x, y) in (c.get_offsets()[0] for c in values.collections)}
    assert (marks[1] - low) / (high - low) == pytest.approx(0.8)
    assert (marks[0] - low) / (high - low) == pytest.approx(0.5)  # constant: in the middle
    beyond = portrait(ranges={"average_shortest_path_length": (1.0, 1.5)}).axes[3]
    assert beyond.collections[0].get_offsets()[0][0] == pytest.approx(high)  # never off its line


def test_springs_unfold_a_ring_and_hold_what_is_joined_together() -> None:
    ring = nx.to_numpy_array(nx.cycle_graph(40)).astype(bool)
    places = spring_places(ring)
    assert places.min() == pytest.approx(-1.0)
    assert places.max() == pytest.approx(1.0)
    steps = np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)
    assert steps.max() < 0.3  # a neighbour is near
    assert np.linalg.norm(places - np.roll(places, 20, axis=0), axis=1).min() > 1.5
    np.testing.assert_array_equal(places, spring_places(ring))


def test_nodes_without_an_edge_stand_below_the_others() -> None:
    links = np.zeros((9, 9), dtype=bool)
    links[:6, :6] = RING
    places = spring_places(links)
    assert (places[6:, 1] == -1.0).all()
    assert places[:6, 1].min() > -0.8
    assert len(np.unique(places[6:, 0])) == 3
    edgeless = spring_places(np.eye(3, dtype=bool))
    assert np.isfinite(edgeless).all()
    assert len(np.unique(edgeless[:, 0])) == 3


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_smallest_graphs_are_drawn(nodes: int) -> None:
    links, mask = np.ones((nodes, nodes), dtype=bool), np.ones((4, 4), dtype=bool)
    for each in (links, np.eye(nodes, dtype=bool)):
        assert figure_png(graph_portrait(each, mask, {}, "small")).startswith(b"\x89PNG")


def test_of_too_many_edges_some_are_drawn_and_the_picture_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "MOST_LINES", 4)
    figure = portrait()
    assert len(figure.axes[0].collections[0].get_segments()) == 4
    assert "6 nodes in a circle, 6 edges, 4 of them drawn" in texts(figure)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(SettingError, match=r"adjacency \(2, 3\)"):
        graph_portrait(np.ones((2, 3)), MASK, {}, "t")


def test_a_figure_is_written_in_the_format_of_its_suffix(tmp_path: Path) -> None:
    png = write_figure(portrait(), tmp_path / "a.PNG")
    svg = write_figure(portrait(), tmp_path / "new" / "a.svg")
    assert png.read_bytes() == figure_png(portrait())
    assert svg.read_text() == figure_svg(portrait())
    for name in ("a.pdf", "a", "png"):
        with pytest.raises(OutputError, match=r"end in \.png or \.svg"):
            figure_format(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.PNG", "new"]


def test_a_wiring_that_is_no_graph_joins_its_inputs_to_its_outputs():
    ring = np.eye(4, dtype=bool) | np.roll(np.eye(4, dtype=bool), 1, 0)
    ring |= ring.T
    wiring = np.array([[1, 0, 1], [0, 0, 1]], dtype=bool)
    figure = wirings_and_mask({"before": ring, "after": wiring}, np.ones((4, 6)), "a layer")
    before, after, mask = figure.axes
    assert before.get_title(loc="left") == "before: 4 nodes, 4 edges"
    assert after.get_title(loc="left") == "after: 2 × 3 nodes, 3 blocks"
    (lines,) = after.collections[:1]
    ends = {tuple(map(tuple, np.round(path.vertices, 3))) for path in lines.get_paths()}
    assert ends == {
        ((-0.5, -0.8), (-0.333, 0.8)), ((0.5, -0.8), (-0.333, 0.8)), ((0.5, -0.8), (0.333, 0.8)),
    }  # fmt: skip
    assert mask.get_title(loc="left").startswith("mask 4 × 6")
