"""bogp's own trainer in this process; test_workers.py has the other places."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from training_helpers import arguments, comparable

from bogp.data import load_dataset, split
from bogp.errors import BogpError, GraphError, SparsityError
from bogp.graphs import generate
from bogp.masks import Mask
from bogp.pipeline import (
    Candidate,
    PopulationTrainer,
    TrainingResult,
    TrainingTask,
    prune_and_train,
    rounds,
)
from bogp.pipeline.shared_data import shared_data
from bogp.sparsify import Method
from bogp.training import Halving, Recipe, evaluate, initialise, mlp, model_factory

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=2)


@pytest.fixture(scope="module")
def source():
    with shared_data("digits") as (_, found):
        yield found


@pytest.fixture(scope="module")
def trainer(source):
    return PopulationTrainer("mlp:16", "hidden", RECIPE, "holdout", source)


def candidates():
    """Candidates that differ in all there is: support, criterion, scope, rounds, sparsity."""
    graph = generate("uniform", 12, 30, 0)
    whole = torch.rand(16, 64, generator=torch.Generator().manual_seed(0)) < 0.6
    return (
        Candidate(None, Method("random"), 0.5, 1),
        Candidate(graph, Method("random"), 0.8, 2),
        Candidate(graph, Method("magnitude", "global", rounds=2), 0.9, 3),
        Candidate(Mask({"1.weight": whole}), Method("magnitude", rounds=2), 0.7, 4),
    )


SEEDS = (11, 12, 13, 14)


def task(chosen=None, seeds=SEEDS, **changes):
    made = TrainingTask(
        candidates() if chosen is None else chosen, seeds, 5, report=True, keep=True
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def expected(trainer):
    return comparable(trainer(task(), threads=1))


def test_each_candidate_gets_what_it_gets_alone_by_the_loop(trainer):
    parts = split(load_dataset("digits"), "holdout", seed=0)
    factory = model_factory("mlp:16", 64, 10)
    for candidate, seed, found in zip(candidates(), SEEDS, trainer(task()), strict=True):
        alone = prune_and_train(
            factory, parts, RECIPE, layers="hidden", seed=seed, order_seed=5, report=True,
            **arguments(candidate),
        )  # fmt: skip
        # The plain loop measures after its last epoch alone.
        own = {"seconds", "loss", "calibration_error", "accuracies"}
        record, theirs = found.record(), alone.record()
        assert record.keys() == theirs.keys()
        for name in record.keys() - own:
            assert record[name] == theirs[name], name
        assert record["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert found.mask == alone.mask
        assert (found.fingerprint, found.sparsity) == (alone.fingerprint, alone.sparsity)
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(found.weights[name], value, rtol=0, atol=1e-4)
        assert found.epochs == 2 * candidate.method.rounds
        assert (found.ended, found.diverged) == ("whole", False)
        assert record["accuracies"] == list(found.accuracies)
        assert found.accuracies[-1] == record["accuracy"]
        report = evaluate(alone.model, parts.report_inputs, parts.report_targets)
        assert found.reported.count == len(parts.report_targets)
        assert found.reported.accuracy == report.accuracy == alone.reported.accuracy


def test_neither_threads_nor_company_nor_order_change_a_bit(trainer, expected):
    assert comparable(trainer(task(), threads=2)) == expected
    assert comparable(trainer(task(candidates()[::-1], SEEDS[::-1]))) == expected[::-1]
    for candidate, seed, whole in zip(candidates(), SEEDS, expected, strict=True):
        assert comparable(trainer(task((candidate,), (seed,)))) == [whole]


def test_criteria_that_look_at_the_data_depend_on_nothing_else(trainer):
    """Torch scores for them, whose sums depend on its threads."""
    scored = [Method(name, "global", rounds=2) for name in ("snip", "grasp", "synflow")]
    given = tuple(Candidate(None, method, 0.8, 1) for method in scored)
    expected = comparable(trainer(task(given, (21, 21, 21)), threads=1))
    for k in (2, 0, 1):
        (found,) = comparable(trainer(task(given[k : k + 1], (21,)), threads=2))
        assert found == expected[k]
    assert len({one.fingerprint for one in expected}) == 3


def test_a_process_trains_one_task_at_a_time(trainer, expected):
    """Torch's random state is of the process: threads that shared it would draw each other's."""
    torch.set_num_threads(2)
    state = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(trainer, [task()] * 8))
    assert all(comparable(each) == expected for each in found)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2


def test_trainers_tasks_and_results_travel(trainer, expected):
    sent, asked = pickle.loads(pickle.dumps((trainer, task())))
    back = pickle.loads(pickle.dumps(sent(asked)))
    assert comparable(back) == expected
    assert all(isinstance(one, TrainingResult) for one in back)


def test_what_is_not_asked_for_is_not_given(trainer, expected, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("the report data were opened")

    monkeypatch.setattr(rounds, "evaluate", refuse)
    found = trainer(task(report=False, keep=False))
    assert [(one.reported, one.mask, one.weights) for one in found] == [(None, None, None)] * 4
    assert [one.model for one in found] == [None] * 4
    assert [one.record() | {"seconds": 0} for one in found] == [one.record() for one in expected]
    assert trainer(task((), ())) == ()
    with pytest.raises(AssertionError, match="were opened"):
        trainer(task())


def test_without_an_order_in_common_each_is_trained_by_its_own_seed(trainer):
    """As the paper's search trains: the plain loop, the mini-batches in the order of the seed."""
    parts = split(load_dataset("digits"), "holdout", seed=0)
    factory, seen = model_factory("mlp:16", 64, 10), []
    found = trainer(task(order_seed=None), progress=lambda *step: seen.append(step))
    for candidate, seed, one in zip(candidates(), SEEDS, found, strict=True):
        alone = prune_and_train(
            factory, parts, RECIPE, layers="hidden", seed=seed, report=True, **arguments(candidate)
        )
        assert one.model is None
        assert comparable([one]) == comparable([replace(alone, model=None)])
    assert seen == [(2, 12), (4, 12), (8, 12), (12, 12)]
    (bare,) = trainer(task(candidates()[:1], (11,), order_seed=None, report=False, keep=False))
    assert (bare.reported, bare.mask, bare.weights, bare.model) == (None, None, None, None)
    assert bare.record() | {"seconds": 0} == found[0].record() | {"seconds": 0}


def test_halving_and_progress(trainer):
    seen = []
    halved = task(candidates()[:2] * 2, halving=Halving((1,), 0.5))
    found = trainer(halved, progress=lambda *step: seen.append(step))
    assert sorted(one.ended for one in found) == ["rung", "rung", "whole", "whole"]
    assert [len(one.accuracies) for one in found] == [one.epochs for one in found]
    assert seen[0] == (0, 2 * halved.trainings)
    assert seen[-1] == (6, 8)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert task().trainings == 1 + 1 + 2 + 2


@pytest.mark.parametrize(
    ("nodes", "edges", "error"), [(12, 4, SparsityError), (99, 800, GraphError)]
)
def test_errors_of_ours_come_through_and_leave_nothing_locked(trainer, nodes, edges, error):
    candidate = Candidate(generate("uniform", nodes, edges, 0), Method("random"), 0.1, 0)
    with pytest.raises(error) as caught:
        trainer(task((candidate,), (0,)))
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, BogpError)
    assert str(again) == str(caught.value)
    assert threading.active_count() < 100
    assert len(trainer(task())) == 4


def test_the_weights_are_those_of_the_network(trainer, source):
    (found,) = trainer(task(candidates()[:1], SEEDS[:1]))
    model = initialise(lambda: mlp([64, 16, 10]), 0)
    model.load_state_dict(found.weights)
    parts = source.split("holdout")
    measured = evaluate(model, parts.select_inputs, parts.select_targets)
    assert measured.accuracy == found.record()["accuracy"]
    assert bool((found.weights["1.weight"][~found.mask["1.weight"]] == 0).all())
