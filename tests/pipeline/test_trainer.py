"""A search with a trainer of one's own, and what is said of one that does not do what it must."""

import re
from dataclasses import replace

import pytest
from training_helpers import search

import bogp
from bogp.controls import CONTROLS
from bogp.errors import SettingError
from bogp.pipeline import TrainingTask
from bogp.training import Metrics, Recipe

TWO = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
SMALL = {
    "sparsity": 0.8,
    "model": "mlp:16",
    "layers": "hidden",
    "recipe": TWO,
    "trials": 6,
    "batch": 3,
    "pool": 60,
    "criteria": ("random", "magnitude"),
    "final_seeds": 1,
    "random_search": False,
}


def accuracy(candidate, seed):
    return {"random": 0.25, "magnitude": 0.75}[candidate.method.criterion]


class Looking:
    """A trainer that looks accuracies up."""

    def __call__(self, task, *, threads=None, progress=None):
        return tuple(self.result(task, each) for each in task.candidates)

    def result(self, task, candidate):
        found = Metrics(accuracy(candidate, 0), 0.0, 1)
        return bogp.TrainingResult(found, 0.8, epochs=1, reported=found if task.report else None)


@pytest.mark.parametrize("trainer", [bogp.FunctionTrainer(accuracy), Looking()])
@pytest.mark.parametrize("engine", ["pool", "paper"])
def test_a_search_by_accuracies_alone_ends_without_a_mask(graphs, toy, trainer, engine):
    changes = {} if engine == "pool" else {"engine": "paper", "properties": ("clustering",)}
    dropped = () if engine == "pool" else ("batch", "pool", "criteria", "random_search")
    settings = {name: value for name, value in SMALL.items() if name not in dropped}
    found = search(graphs, toy, **settings, **changes, trainer=trainer)
    assert found.mask is None
    assert len(found.trials) == 6
    (final,) = found.finals
    if engine == "paper":  # whose masks are random inside the graph
        assert (final.accuracy, final.mask) == (0.25, None)
        return
    assert (final.accuracy, final.mask) == (0.75, None)
    assert set(found.evidence.left_out) == set(CONTROLS)
    assert {"the trainer returned no mask to change"} == set(found.evidence.left_out.values())


class Unreported(Looking):
    def result(self, task, candidate):
        return replace(super().result(task, candidate), reported=None)


class Short(Looking):
    def __call__(self, task, **_):
        return ()


class Beyond(Looking):
    def result(self, task, candidate):
        return replace(super().result(task, candidate), selected=Metrics(float("nan"), 0.0, 1))


@pytest.mark.parametrize(
    ("trainer", "sentence"),
    [
        (Unreported(), "no `reported` metrics for a task that asks for a report"),
        (Short(), "returned () for 3 candidates: return one bogp.TrainingResult for each"),
        (lambda task, **_: 0.5, "returned 0.5 for 3 candidates"),
        (lambda task, **_: [0.5] * 3, "return one bogp.TrainingResult for each"),
        (Beyond(), "returned the accuracy nan: give a share in [0, 1]"),
        (bogp.FunctionTrainer(lambda *_: 75), "returned the accuracy 75.0"),
    ],
)
def test_a_result_that_is_none_is_one_sentence(graphs, toy, trainer, sentence):
    with pytest.raises(SettingError, match=re.escape(sentence)):
        search(graphs, toy, **SMALL, trainer=trainer)


@pytest.mark.parametrize("trainer", [accuracy, "accuracy", lambda task: ()])
def test_what_is_no_trainer_is_refused_before_there_is_a_study(graphs, toy, trainer, tmp_path):
    path = tmp_path / "study.db"
    with pytest.raises(SettingError, match=r"does not train .*goes into bogp\.FunctionTrainer"):
        search(graphs, toy, **SMALL, trainer=trainer, study=path)
    assert not path.exists()


@pytest.mark.parametrize("call", [bogp.search, bogp.screen])
def test_settings_are_of_their_class(graphs, toy, call):
    with pytest.raises(SettingError, match=r"settings = 0\.9: give a bogp\.S.*Settings, S"):
        call(graphs, toy, 0.9)


def test_a_function_of_the_candidate_alone_is_refused():
    with pytest.raises(SettingError, match=r"does not train .*\(candidate, seed\)"):
        bogp.FunctionTrainer(lambda candidate: 0.5)


def test_a_trainer_serves_a_task(graphs):
    task = TrainingTask((bogp.Candidate(sparsity=0.5),), (3,))
    seen = []
    trainer = bogp.FunctionTrainer(lambda candidate, seed: seed / 4)
    (result,) = trainer(task, progress=lambda *step: seen.append(step))
    assert (result.selected.accuracy, result.sparsity, seen) == (0.75, 0.5, [(1, 1)])
