import numpy as np
import pytest

from bogp.errors import SettingError
from bogp.report import PlacedGraph, graph_plane

WORDS = {"xlabel": "path", "ylabel": "clustering", "gain": "points", "title": "Graphs"}


def test_the_plane_has_a_marker_for_each_kind_and_one_scale_of_colours():
    ring = [PlacedGraph("ring", density, 5 - 4 * density, 0.6, 0.4) for density in (0.4, 0.12)]
    uniform = PlacedGraph("ER", 0.25, 1.8, 0.2, -0.1)
    figure = graph_plane({"s = 0.9": [*ring, uniform], "s = 0.95": ring}, **WORDS)
    left, right, _ = figure.axes
    assert [axes.get_title("left") for axes in (left, right)] == ["s = 0.9", "s = 0.95"]
    rings, er = left.collections
    assert np.asarray(rings.get_offsets()) == pytest.approx(np.array([[4.52, 0.6], [3.4, 0.6]]))
    assert np.asarray(er.get_offsets()).tolist() == [[1.8, 0.2]]
    small, large = rings.get_sizes()
    assert small < er.get_sizes()[0] < large
    (first,), (second,) = rings.get_paths(), er.get_paths()
    assert first.vertices.shape != second.vertices.shape
    assert {each.norm.vmax for axes in (left, right) for each in axes.collections} == {0.4}
    assert er.norm.vmin == -0.4
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["ring", "ER", "density 0.12", "density 0.25", "density 0.4"]
    with pytest.raises(SettingError, match="no graph to draw"):
        graph_plane({}, **WORDS)
