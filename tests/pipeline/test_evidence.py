"""What is said for a winner: fresh seeds, controls, and what selection may not look at."""

from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from training_helpers import search

from bogp.analysis import mean_interval, paired_interval, variance_components
from bogp.controls import CONTROLS, Drawn
from bogp.errors import StudyError, WorkerLostError
from bogp.pipeline import RANDOM, WINNER, Point, PopulationTrainer, rounds
from bogp.pipeline.pool_search import open_pool_study
from bogp.settings.search import Execution, SearchSettings
from bogp.study import Study
from bogp.training import Recipe

SHUFFLE, REWIRE, REINITIALISE, INVERT, EQUAL, ERK, NO_SUPPORT = CONTROLS

TWO = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
SMALL = {
    "sparsity": 0.8,
    "model": "mlp:16",
    "layers": "all",
    "recipe": TWO,
    "trials": 10,
    "batch": 5,
    "pool": 60,
    "criteria": ("magnitude", "snip"),
    "final_seeds": 2,
}


def run(database, data, **changes):
    return search(database, data, **(SMALL | changes))


@pytest.fixture(scope="module")
def found(graphs, toy):
    return run(graphs, toy)


def test_the_winner_is_compared_by_seed(found):
    evidence = found.evidence
    runs = {}
    for final in evidence.runs:
        runs.setdefault(final.name, []).append(final)
    winner = [final.accuracy for final in runs[WINNER]]
    assert evidence.sealed == mean_interval(winner)
    assert evidence.fresh == mean_interval([final.selected for final in runs[WINNER]])
    assert [final.accuracy for final in found.finals] == winner
    names = [comparison.name for comparison in evidence.comparisons]
    assert names[0] == RANDOM
    assert {*names[1:], *evidence.left_out} == set(CONTROLS)
    for comparison in evidence.comparisons:
        own = runs[comparison.name]
        assert [final.number for final in own] == [0, 1]
        accuracies = [final.accuracy for final in own]
        assert comparison.accuracy == mean_interval(accuracies)
        assert comparison.lead == paired_interval(winner, accuracies)
    assert all(why for why in evidence.left_out.values())
    trained = {trial.record["mask"] for trial in found.trials}
    assert trained.isdisjoint({final.mask for final in runs[WINNER]})


def test_what_selection_says_is_that_of_whole_trials(found):
    evidence, values = found.evidence, {}
    for trial in found.trials:
        if not trial.stopped:
            values.setdefault(trial.point["index"], []).append(trial.value)
    own = values[found.best.point["index"]]
    assert evidence.selected == max(own) == found.best.value
    expected = variance_components(list(values.values()))
    assert evidence.components == expected
    assert "seeds" in evidence.runner_up
    assert evidence.shrunken.corrected.estimate <= max(np.mean(each) for each in values.values())


def test_selection_never_sees_the_test_set(graphs, toy, mislabelled, found):
    other = run(graphs, mislabelled)
    for ours, theirs in zip(found.trials, other.trials, strict=True):
        assert (ours.point, ours.value) == (theirs.point, theirs.value)
    assert other.best.point == found.best.point
    assert other.mask == found.mask
    assert other.evidence.fresh == found.evidence.fresh
    assert other.evidence.posterior == found.evidence.posterior
    assert [r.mask for r in other.evidence.runs] == [r.mask for r in found.evidence.runs]
    assert other.evidence.sealed != found.evidence.sealed


@pytest.mark.parametrize("changes", [{}, {"pareto": True, "sparsity": None}, {"final_seeds": 0}])
def test_the_test_set_is_opened_last_and_once_a_network(
    graphs, toy, monkeypatch, tmp_path, changes
):
    opened, inner = [], rounds.evaluate
    report = toy.test_inputs

    def spy(model, inputs, targets):
        assert len(inputs) == len(report)
        opened.append(1)
        return inner(model, inputs, targets)

    monkeypatch.setattr(rounds, "evaluate", spy)
    seen = []
    study = tmp_path / "study.db"
    result = run(graphs, toy, study=study, on_trial=lambda _: seen.append(len(opened)), **changes)
    assert set(seen) == {0}
    if "final_seeds" in changes:
        assert opened == []
    elif result.evidence is not None:
        networks = [final for final in result.evidence.runs if final.epochs]
        assert len(opened) == len(networks)
    else:
        distinct = {str(entry.point) for entry in (*result.front, *result.random_front)}
        assert len(opened) == 2 * len(distinct)
    # The study has it all: nothing is opened again.
    before = len(opened)
    run(graphs, toy, study=study, **changes)
    assert len(opened) == before


@pytest.fixture
def opened(graphs, toy):
    """A study without a search, for finals of any point."""
    settings = SearchSettings(
        sparsity=0.8, model="mlp:16", layers="all", recipe=TWO, criteria=("snip",), pool=1
    )
    with open_pool_study(graphs, toy, settings, Execution(retries=2), command={}) as study:
        yield study


def run_finals(opened, points, count, *, controls=False, **session):
    """Train points by name on fresh seeds, with other parts of a session where they are given."""
    opened = replace(opened, session=replace(opened.session, **session))
    contenders = [opened.contender(name, point) for name, point in points.items()]
    return replace(opened.finals(controls), count=count).run(contenders)


def graph_of(graphs, sparsity):
    return int(graphs.vectors(("clustering",), sparsity=sparsity)[0][3])


@pytest.mark.parametrize("rounds", [1, 3])
def test_each_control_changes_what_it_should(opened, graphs, rounds):
    point = Point(graph_of(graphs, 0.5), 0.5, "snip", "global", rounds, 0.8)
    finals = run_finals(opened, {WINNER: point}, 2, controls=True)
    assert finals.left_out == {}
    for number in (0, 1):
        runs = {final.name: final for final in finals.runs if final.number == number}
        assert set(runs) == {WINNER, *CONTROLS}
        winner = runs.pop(WINNER)
        assert winner.change is None
        for name, final in runs.items():
            assert final.change["problem"] is None, name
            # As much training as the winner: a lead is not that of more epochs.
            assert final.epochs == winner.epochs == 2 * rounds
            assert (final.mask == winner.mask) == (name == REINITIALISE)
            assert (final.seed == winner.seed) == (name != REINITIALISE)
        assert runs[REINITIALISE].change["weights_changed"] > 0.99
        assert runs[SHUFFLE].change["weights_changed"] == 0.0
        assert runs[REWIRE].change["degrees_kept"] is True
        assert runs[REWIRE].change["edges_moved"] > 0
        for name in (SHUFFLE, EQUAL):
            assert runs[name].change["layers_kept"]
        assert not runs[ERK].change["layers_kept"]
        assert runs[INVERT].change["moved"] > 0.3
        assert runs[NO_SUPPORT].change["moved"] > 0
    assert finals.epochs == sum(final.epochs for final in finals.runs) == 16 * 2 * rounds
    assert finals.lost == 0
    losses = {final.loss for final in finals.runs}
    assert len(losses) == len(finals.runs)


def test_all_networks_of_a_seed_see_the_same_mini_batches(opened, graphs):
    tasks, trainer = [], opened.session.trainer
    point = Point(graph_of(graphs, 0.5), 0.5, "snip", "global", 1, 0.8)

    def noting(task, **options):
        tasks.append(task)
        return trainer(task, **options)

    run_finals(opened, {WINNER: point}, 2, controls=True, trainer=noting)
    orders = [task.order_seed for task in tasks]
    assert orders[0] == orders[1] != orders[2] == orders[3]


def test_controls_that_do_not_apply_say_why(opened, graphs):
    point = Point(None, 0.0, "random", "uniform", 1, 0.8)
    finals = run_finals(opened, {WINNER: point}, 1, controls=True)
    assert set(finals.left_out) == {REWIRE, INVERT, NO_SUPPORT}
    assert "complete" in finals.left_out[NO_SUPPORT]


def test_two_contenders_that_are_one_point_are_trained_once(opened):
    point = Point(None, 0.0, "snip", "global", 1, 0.8)
    finals = run_finals(opened, {WINNER: point, RANDOM: point}, 2)
    assert [final.name for final in finals.runs] == [WINNER, RANDOM] * 2
    assert [final.epochs for final in finals.runs] == [2, 0] * 2
    assert finals.runs[0].accuracy == finals.runs[1].accuracy
    assert finals.masks[WINNER] == finals.masks[RANDOM]


def test_without_seeds_there_is_a_mask_and_no_report(opened):
    point = Point(None, 0.0, "magnitude", "global", 2, 0.8)
    none = run_finals(opened, {WINNER: point}, 0, controls=True)
    assert none.runs == ()
    assert none.epochs == 4
    one = run_finals(opened, {WINNER: point}, 1)
    assert none.masks[WINNER].kept == one.masks[WINNER].kept


def test_more_seeds_later_train_only_those(graphs, toy, tmp_path, found, monkeypatch):
    study, tasks = tmp_path / "study.db", []
    run(graphs, toy, study=study, final_seeds=1)
    inner = PopulationTrainer.__call__

    def counting(trainer, task, **options):
        tasks.append(task)
        return inner(trainer, task, **options)

    monkeypatch.setattr(PopulationTrainer, "__call__", counting)
    again = run(graphs, toy, study=study)
    assert len(tasks) == 2  # the contenders of the second seed, and their controls
    assert again.evidence == found.evidence
    assert again.mask == found.mask
    # The winner's weights are at hand where the process that returns them has trained it.
    assert all(not found.weights[name][~layer].any() for name, layer in found.mask.items())
    assert again.weights is None


class Losing:
    """Workers of which the first are lost."""

    def __init__(self, inner, times):
        self.inner, self.times = inner, times

    def submit(self, trainer, task, progress=None):
        self.times -= 1
        if self.times < 0:
            return self.inner.submit(trainer, task, progress)
        lost = Future()
        lost.set_exception(WorkerLostError("worker process 7 was killed by signal 9"))
        return lost


def test_finals_that_a_worker_lost_are_trained_again_and_charged(opened):
    point = {WINNER: Point(None, 0.0, "snip", "global", 1, 0.8)}
    whole = run_finals(opened, point, 1)
    losing = Losing(opened.session.workers, 2)
    with Study(None, {}, retries=2) as study:
        found = run_finals(opened, point, 1, workers=losing, study=study)
    assert found.runs == whole.runs
    assert (found.epochs, found.lost) == (2, 4)


def test_finals_that_are_lost_too_often_are_named(opened):
    point = {WINNER: Point(None, 0.0, "snip", "global", 1, 0.8)}
    with pytest.raises(StudyError, match=r"fresh seed 0 failed 3 times.*killed by signal 9"):
        run_finals(opened, point, 1, workers=Losing(opened.session.workers, 3))
    assert len(run_finals(opened, point, 1).runs) == 1


def test_a_control_that_changed_nothing_is_left_out(opened, monkeypatch):
    same = replace(CONTROLS[SHUFFLE], draw=lambda winner, seed: Drawn(winner.mask, whole=True))
    monkeypatch.setitem(CONTROLS, SHUFFLE, same)
    point = Point(None, 0.0, "snip", "global", 1, 0.8)
    finals = run_finals(opened, {WINNER: point}, 1, controls=True)
    assert finals.left_out[SHUFFLE] == "it is no control here: it has the winner's mask"
