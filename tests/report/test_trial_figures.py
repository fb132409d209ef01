import numpy as np
import pytest
from matplotlib.text import Text

from bogp.analysis import Interval
from bogp.errors import SettingError
from bogp.report import course_figure, figure_png, interval_figure, support_figure

TRIALS = [(0.90, False), (0.95, True), (0.93, False), (0.92, False)]


def texts(figure):
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def offsets(axes):
    return [np.asarray(each.get_offsets()) for each in axes.collections if len(each.get_offsets())]


def test_the_best_so_far_counts_only_trials_that_ended_whole():
    (axes,) = course_figure({"search": TRIALS}).axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert line.get_ydata().tolist() == [0.90, 0.90, 0.93, 0.93]
    whole, stopped = offsets(axes)
    assert whole.tolist() == [[1, 0.90], [3, 0.93], [4, 0.92]]
    assert stopped.tolist() == [[2, 0.95]]
    assert not len(axes.collections[1].get_facecolor())  # hollow


def test_a_search_that_begins_with_a_stopped_trial_has_no_best_yet():
    (axes,) = course_figure({"search": TRIALS[1:]}).axes
    assert np.isnan(axes.lines[0].get_ydata()[0])
    assert axes.lines[0].get_ydata()[1:].tolist() == [0.93, 0.93]


def test_both_arms_are_named_with_their_whole_trials():
    shown = texts(course_figure({"search": TRIALS, "random search": TRIALS[:1]}))
    assert "search: best so far of 3 whole trials" in shown
    assert "random search: best so far of 1 whole trial" in shown


def test_a_few_diverged_trials_do_not_squash_the_axis():
    trials = [(0.1, True), *((0.95 + 0.001 * k, False) for k in range(20))]
    figure = course_figure({"search": trials})
    assert figure.axes[0].get_ylim()[0] > 0.9
    assert "1 trial below the axis not shown." in texts(figure)
    near = course_figure({"search": [(0.945, True), *trials[1:]]})
    assert near.axes[0].get_ylim()[0] < 0.945
    assert not any("not shown" in text for text in texts(near))


def test_supports_stand_evenly_and_criteria_side_by_side():
    figure = support_figure(
        {
            "random": [(1.0, 0.91, False), (0.1, 0.90, False), (0.1, 0.92, False)],
            "snip": [(0.1, 0.94, False), (0.1, 0.50, True)],
        }
    )
    (axes,) = figure.axes
    random, snip = axes.lines[:2]
    assert random.get_ydata().tolist() == pytest.approx([0.91, 0.91])  # means of whole trials
    assert snip.get_ydata().tolist() == [0.94]
    assert random.get_xdata()[0] < 0 < snip.get_xdata()[0]
    assert random.get_xdata()[1] - random.get_xdata()[0] == 1.0
    assert {"snip", "random"} <= set(texts(figure))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "1 (complete)"]


def test_intervals_in_order_with_their_numbers():
    rows = [("a", Interval(1.0, 0.5, 1.5, 3)), ("b", Interval(-0.25, -0.5, 0.125, 3))]
    figure = interval_figure(rows, title="Leads", xlabel="points", zero=True)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.yaxis_inverted()
    assert {"1.00  [0.50, 1.50]", "−0.25  [−0.50, 0.12]"} <= set(texts(figure))
    low, high = axes.get_xlim()
    assert low < -0.5
    assert high > 1.5
    first, second = (box.lines[0].get_color() for box in axes.containers)
    assert first != second  # what excludes 0 is told apart


@pytest.mark.parametrize("zero", [True, False])
def test_one_far_estimate_is_an_arrow_at_the_edge(zero):
    near = [
        (name, Interval(x, x - 0.5, x + 0.5, 3)) for name, x in zip("abc", (1, 2, 3), strict=True)
    ]
    figure = interval_figure(
        [*near, ("far", Interval(60, 40, 80, 3))], title="", xlabel="", zero=zero
    )
    (axes,) = figure.axes
    assert axes.get_xlim()[1] < 10
    arrows = [line for line in axes.lines if line.get_marker() in "<>"]
    assert [(arrow.get_marker(), arrow.get_ydata()[0]) for arrow in arrows] == [(">", 3)]
    assert "60.00  [40.00, 80.00]" in texts(figure)


def test_a_very_wide_interval_ends_in_arrows():
    rows = [(str(k), Interval(k, k - 1, k + 1, 3)) for k in range(4)]
    figure = interval_figure([*rows, ("w", Interval(1, -99, 99, 2))], title="", xlabel="")
    (axes,) = figure.axes
    arrows = {line.get_marker() for line in axes.lines if line.get_marker() in "<>"}
    assert arrows == {"<", ">"}
    assert -20 < axes.get_xlim()[0] <= -1
    alone = interval_figure([("w", Interval(1, -99, 99, 2))], title="", xlabel="")
    assert alone.axes[0].get_xlim()[0] < -99


def test_the_same_figure_has_the_same_bytes():
    first, second = (figure_png(course_figure({"search": TRIALS})) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: course_figure({"search": []}), "no trial to draw"),
        (lambda: support_figure({}), "no trial to draw"),
        (lambda: support_figure({"a": [(0.0, 0.5, False)]}), "support density 0.0 is not in"),
        (lambda: interval_figure([], title="", xlabel=""), "no interval to draw"),
    ],
)
def test_nothing_to_draw_is_refused(call, words):
    with pytest.raises(SettingError, match=words):
        call()
