import numpy as np
import pytest
from matplotlib.text import Text

from bogp.analysis import Interval
from bogp.errors import SettingError
from bogp.report import figure_png, figure_svg, front_figure, hypervolume_figure

TRIALS = {
    "search": [[0.97, 0.3], [0.95, 0.9], [0.94, 0.6], [0.93, 0.9], [0.96, 0.3]],
    "random": [[0.96, 0.3], [0.93, 0.9], [0.92, 0.6]],
}
FRONTS = {
    "search": [
        (0.9, Interval(0.95, 0.945, 0.955, 2)),
        (0.3, Interval(0.97, None, None, 1)),
    ]
}


def texts(figure):
    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(Text) if text.get_text()}


def test_the_front_is_a_staircase_that_covers_what_it_dominates():
    (axes,) = front_figure(TRIALS, FRONTS).axes
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-pre"]
    (line,) = steps
    x, y = line.get_data()
    assert list(x[1:]) == [0.3, 0.9]
    assert x[0] < 0.3
    assert list(y) == [0.97, 0.97, 0.95]  # left of a point its own height, as far as the one before
    (down,) = [each for each in axes.collections if hasattr(each, "get_segments")][:1]
    assert np.asarray(down.get_segments()[0])[:, 0].tolist() == [0.9, 0.9]


def test_every_trial_is_a_faint_point_of_its_arm():
    (axes,) = front_figure(TRIALS, FRONTS).axes
    clouds = [each for each in axes.collections if len(each.get_offsets()) > 2]
    for cloud, name in zip(clouds, TRIALS, strict=True):
        assert np.asarray(cloud.get_offsets())[:, ::-1].tolist() == TRIALS[name]
        assert cloud.get_alpha() < 0.5
    colours = [tuple(cloud.get_facecolor()[0][:3]) for cloud in clouds]
    assert colours[0] != colours[1]


def test_intervals_and_the_legend():
    figure = front_figure(TRIALS, FRONTS)
    (axes,) = figure.axes
    bars = [c.get_segments() for c in axes.collections if hasattr(c, "get_segments")]
    heights = [sorted(segment[:, 1].tolist()) for segments in bars for segment in segments]
    assert any(h == pytest.approx([0.945, 0.955]) for h in heights)
    assert any(h == pytest.approx([0.97, 0.97]) for h in heights)  # one seed: no interval
    shown = texts(figure)
    assert {
        "Accuracy against sparsity",
        "trials that ended whole",
        "search: trials and front",
    } <= shown
    assert "random: trials" in shown


def test_the_axis_reaches_the_whole_front_but_not_a_few_diverged_trials():
    many = {"search": [[0.95 + 0.001 * k, 0.3] for k in range(19)] + [[0.1, 0.3]]}
    figure = front_figure(many, {})
    assert figure.axes[0].get_ylim()[0] > 0.9
    assert any("1 trial below the axis not shown" in text for text in texts(figure))
    figure = front_figure(
        TRIALS, {"search": [(0.98, Interval(0.25, None, None, 1)), *FRONTS["search"]]}
    )
    low, high = figure.axes[0].get_ylim()
    assert low < 0.25
    assert 0.97 < high < 1.0
    assert not any("not shown" in text for text in texts(figure))


def test_what_is_no_accuracy_has_a_plain_axis():
    losses = {"search": [[-0.2, 0.3], [-0.1, 0.9]]}
    (axes,) = front_figure(losses, {}, ylabel="minus the loss").axes
    assert axes.get_ylabel() == "minus the loss"
    low, high = axes.get_ylim()
    assert low < -0.2
    assert high > -0.1


def test_hypervolume_over_trials():
    courses = {"search": [[0.0, 0.2, 0.3], [0.0, 0.4, 0.4, 0.5]], "random": [[0.0, 0.1, 0.2]]}
    figure = hypervolume_figure(courses)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    mean = lines["search (mean of 2 seeds)"]
    assert mean.get_xdata().tolist() == [1, 2, 3]  # as far as both seeds go
    assert mean.get_ydata().tolist() == pytest.approx([0.0, 0.3, 0.35])
    assert lines["random"].get_ydata().tolist() == [0.0, 0.1, 0.2]
    thin = [line.get_ydata().tolist() for line in axes.lines if line.get_alpha()]
    assert thin == [list(course) for course in courses["search"]]
    assert "steps where a batch ends" in texts(figure)


def test_a_long_course_is_not_squashed_by_its_start():
    course = np.append([0.0, 0.0], np.linspace(0.5, 0.6, 58))
    (axes,) = hypervolume_figure({"search": [course]}).axes
    assert 0.45 < axes.get_ylim()[0] < course[6]
    (axes,) = hypervolume_figure({"search": [np.zeros(60)]}).axes
    low, high = axes.get_ylim()
    assert low < 0 < high


def test_the_same_figure_has_the_same_bytes():
    assert figure_png(front_figure(TRIALS, FRONTS)) == figure_png(front_figure(TRIALS, FRONTS))
    course = {"search": [[0.0, 0.1]]}
    assert figure_svg(hypervolume_figure(course)) == figure_svg(hypervolume_figure(course))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: front_figure({"search": []}, {}), "neither a trial nor a front"),
        (lambda: front_figure({"search": [0.9, 0.5]}, {}), r"'search' have shape \(2,\)"),
        (lambda: hypervolume_figure({"search": []}), "no course to draw"),
    ],
)
def test_nothing_to_draw_is_refused(call, words):
    with pytest.raises(SettingError, match=words):
        call()


def test_a_front_alone_can_be_drawn():
    figure = front_figure({}, FRONTS)
    assert figure.axes[0].get_xlim()[0] < 0.3
    assert "search: trials and front" in texts(figure)
