"""Evaluation of tasks in this process; test_workers.py has the other places."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from bogp.pipeline.evaluation import Evaluated, Plan, PopulationTask, evaluate_population

from bogp.data import load_dataset, split
from bogp.errors import BogpError, GraphError, SparsityError
from bogp.graphs import generate
from bogp.masks import Mask
from bogp.pipeline import Method, prune_and_train
from bogp.pipeline.shared_data import shared_data
from bogp.training import Halving, Recipe, evaluate, initialise, mlp, model_factory

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=2)


@pytest.fixture(scope="module")
def source():
    with shared_data("digits") as (_, found):
        yield found


def plans():
    """Return plans that differ in all there is: support, criterion, scope, rounds, sparsity."""
    graph = generate("uniform", 12, 30, 0)
    whole = torch.rand(16, 64, generator=torch.Generator().manual_seed(0)) < 0.6
    return (
        Plan(None, Method("random"), 0.5, 1, 11),
        Plan(graph, Method("random"), 0.8, 2, 12),
        Plan(graph, Method("magnitude", "global", rounds=2), 0.9, 3, 13),
        Plan(Mask({"1.weight": whole}), Method("magnitude", rounds=2), 0.7, 4, 14),
    )


def task(source, **changes):
    made = PopulationTask(
        "mlp:16", "hidden", RECIPE, "holdout", source, plans(), 5, report=True, keep=True
    )
    return replace(made, **changes)


def comparable(found):
    """Return results without the one thing that no two runs share, weights as bits."""
    return [
        replace(
            one,
            record=one.record | {"seconds": 0},
            weights=one.weights
            and {name: value.numpy().tobytes() for name, value in one.weights.items()},
        )
        for one in found
    ]


@pytest.fixture(scope="module")
def expected(source):
    return comparable(evaluate_population(task(source), threads=1))


def test_each_plan_gets_what_it_gets_alone_by_the_loop(source):
    parts = split(load_dataset("digits"), "holdout", seed=0)
    factory = model_factory("mlp:16", 64, 10)
    for plan, found in zip(plans(), evaluate_population(task(source)), strict=True):
        alone = prune_and_train(
            factory,
            parts,
            RECIPE,
            sparsity=plan.sparsity,
            method=plan.method,
            support=plan.support,
            mask_seed=plan.mask_seed,
            seed=plan.seed,
            order_seed=5,
        )
        timeless = {"seconds", "loss", "calibration_error"}
        record = alone.record()
        assert {name: found.record[name] for name in record if name not in timeless} == {
            name: value for name, value in record.items() if name not in timeless
        }
        assert found.record["loss"] == pytest.approx(record["loss"], rel=1e-4)
        assert found.mask == alone.mask
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(found.weights[name], value, rtol=0, atol=1e-4)
        assert found.epochs == 2 * plan.method.rounds
        assert (found.ended, found.diverged) == ("whole", False)
        assert found.record["accuracies"] == list(found.accuracies)
        assert found.accuracies[-1] == found.record["accuracy"]
        report = evaluate(alone.model, parts.report_inputs, parts.report_targets)
        assert found.report.count == len(parts.report_targets)
        assert found.report.accuracy == report.accuracy


def test_neither_threads_nor_company_nor_order_change_a_bit(source, expected):
    assert comparable(evaluate_population(task(source), threads=2)) == expected
    assert comparable(evaluate_population(task(source, plans=plans()[::-1]))) == expected[::-1]
    for plan, whole in zip(plans(), expected, strict=True):
        assert comparable(evaluate_population(task(source, plans=(plan,)))) == [whole]


def test_criteria_that_look_at_the_data_depend_on_nothing_else(source):
    """Torch scores for them, whose sums depend on its threads."""
    scored = [Method(name, "global", rounds=2) for name in ("snip", "grasp", "synflow")]
    given = tuple(Plan(None, method, 0.8, 1, 21) for method in scored)
    expected = comparable(evaluate_population(task(source, plans=given), threads=1))
    for k in (2, 0, 1):
        (found,) = comparable(evaluate_population(task(source, plans=given[k : k + 1]), threads=2))
        assert found == expected[k]
    assert len({one.record["mask"] for one in expected}) == 3


def test_a_process_evaluates_one_task_at_a_time(source, expected):
    """Torch's random state is of the process: threads that shared it would draw each other's."""
    torch.set_num_threads(2)
    state = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(evaluate_population, [task(source)] * 8))
    assert all(comparable(each) == expected for each in found)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2


def test_tasks_and_results_travel(source, expected):
    sent = pickle.loads(pickle.dumps(task(source)))
    back = pickle.loads(pickle.dumps(evaluate_population(sent)))
    assert comparable(back) == expected
    assert all(isinstance(one, Evaluated) for one in back)


def test_what_is_not_asked_for_is_not_given(source, expected, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("the report data were opened")

    monkeypatch.setattr("bogp.pipeline.evaluation.evaluate", refuse)
    found = evaluate_population(task(source, report=False, keep=False))
    assert [(one.report, one.mask, one.weights) for one in found] == [(None, None, None)] * 4
    assert [one.record | {"seconds": 0} for one in found] == [one.record for one in expected]
    assert evaluate_population(task(source, plans=())) == ()


def test_halving_and_progress(source):
    seen = []
    halved = task(source, halving=Halving((1,), 0.5), plans=plans()[:2] * 2)
    found = evaluate_population(halved, lambda *step: seen.append(step))
    assert sorted(one.ended for one in found) == ["rung", "rung", "whole", "whole"]
    assert [len(one.accuracies) for one in found] == [one.epochs for one in found]
    assert seen[0] == (0, halved.epochs)
    assert seen[-1] == (6, 8)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert task(source).epochs == 2 * (1 + 1 + 2 + 2)


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (Plan(generate("uniform", 12, 4, 0), Method("random"), 0.1, 0, 0), SparsityError),
        (Plan(generate("uniform", 99, 800, 0), Method("random"), 0.1, 0, 0), GraphError),
    ],
)
def test_errors_of_ours_come_through_and_leave_nothing_locked(source, plan, error):
    with pytest.raises(error) as caught:
        evaluate_population(task(source, plans=(plan,)))
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, BogpError)
    assert str(again) == str(caught.value)
    assert threading.active_count() < 100
    assert len(evaluate_population(task(source))) == 4


def test_the_weights_are_those_of_the_network(source):
    (found,) = evaluate_population(task(source, plans=plans()[:1]))
    model = initialise(lambda: mlp([64, 16, 10]), 0)
    model.load_state_dict(found.weights)
    parts = source.split("holdout")
    measured = evaluate(model, parts.select_inputs, parts.select_targets)
    assert measured.accuracy == found.record["accuracy"]
    assert bool((found.weights["1.weight"][~found.mask["1.weight"]] == 0).all())
