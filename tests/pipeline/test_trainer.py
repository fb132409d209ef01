"""Trainers of one's own: what a search and a screening ask of one, wherever it trains."""

import re
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from training_helpers import screen, search, timeless

import bogp
from bogp.controls import CONTROLS
from bogp.criteria import magnitude
from bogp.errors import SettingError, StudyError
from bogp.keys import derive_seed
from bogp.pipeline import FunctionTrainer, Point, TrainingResult, TrainingTask, prune_and_train
from bogp.pipeline.first_mask import draw_mask
from bogp.processes import WorkerProcesses
from bogp.sparsify import Method
from bogp.training import Metrics, Recipe, initialise, model_factory

FACTORY = model_factory("mlp:16", 20, 4)
TWO = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
SHARED = {"sparsity": 0.8, "model": "mlp:16", "layers": "hidden", "recipe": TWO}
POOL = SHARED | {"trials": 8, "batch": 4, "population": 2, "pool": 40, "final_seeds": 2}
PAIR = ("clustering", "eigenvector_centrality")
RANDOM = SHARED | {"engine": "random", "properties": PAIR, "trials": 5, "final_seeds": 2}
SCREEN = SHARED | {"graphs": 6, "population": 3}


def score(candidate, seed):
    """An accuracy without a network: graphs are best, and the more edges the better."""
    edges = 0 if candidate.support is None else candidate.support.edges
    return 0.5 + edges / 1000 + (seed % 7) / 1e6


class Drawn:
    """Draws the masks and trains nothing: the accuracy is read off the mask; rungs are heeded."""

    def __call__(self, task, *, threads=None, progress=None):
        found = [self.result(candidate, task) for candidate in task.candidates]
        if task.halving is not None:
            ranks = sorted((one.selected.accuracy for one in found), reverse=True)
            lowest = ranks[task.halving.survivors(len(found)) - 1]
            found = [self.stopped(one) if one.selected.accuracy < lowest else one for one in found]
        if progress is not None:
            progress(len(found), len(found))
        return tuple(found)

    def result(self, candidate, task):
        mask = draw_mask(
            FACTORY, layers="hidden", sparsity=candidate.sparsity, support=candidate.support,
            mask_seed=candidate.mask_seed,
        )  # fmt: skip
        accuracy = int(mask.fingerprint[:8], 16) / 16**8
        metrics = Metrics(accuracy, 1.0, 40)
        return TrainingResult(
            metrics,
            mask.sparsity,
            mask.fingerprint,
            accuracies=(accuracy, accuracy),
            epochs=2,
            reported=metrics if task.report else None,
            mask=mask if task.keep else None,
        )

    def stopped(self, one):
        return replace(one, accuracies=one.accuracies[:1], epochs=1, ended="rung")


TRAINERS = {"function": FunctionTrainer(score), "class": Drawn()}


@pytest.fixture(scope="module")
def processes():
    """Two worker processes, which cost seconds to start."""
    with WorkerProcesses(2) as opened:
        yield opened


@pytest.fixture(params=["threads", "processes"])
def elsewhere(request):
    """Where else a trainer is called: what a search is given to train there."""
    if request.param == "processes":
        yield request.getfixturevalue("processes")
    else:
        with ThreadPoolExecutor(3) as threads:
            yield threads


def plain(result):
    return {
        "trials": timeless((*result.trials, *result.random_trials)),
        "best": result.best.number,
        "mask": result.mask,
        "finals": result.finals,
        "evidence": result.evidence,
        "epochs": result.epochs,
    }


@pytest.fixture(scope="module", params=TRAINERS)
def trainer(request):
    return TRAINERS[request.param]


@pytest.fixture(scope="module")
def pooled(graphs, toy, trainer):
    return search(graphs, toy, trainer=trainer, **POOL)


@pytest.fixture(scope="module")
def screened(graphs, toy, trainer):
    return screen(graphs, toy, trainer=trainer, **SCREEN)


def test_a_pool_search_is_the_same_wherever_the_trainer_is(graphs, toy, trainer, pooled, elsewhere):
    assert plain(search(graphs, toy, trainer=trainer, executor=elsewhere, **POOL)) == plain(pooled)


def test_a_screening_is_the_same_wherever_the_trainer_is(graphs, toy, trainer, screened, elsewhere):
    found = screen(graphs, toy, trainer=trainer, executor=elsewhere, **SCREEN)
    assert timeless(found.trials) == timeless(screened.trials)


def test_worker_processes_of_a_search_are_sent_the_trainer(graphs, toy):
    """SLOW: two processes. Progress is told in the thread of the caller alone."""
    ticks, threads = [], set()

    def progress(*step):
        ticks.append(step)
        threads.add(threading.get_ident())

    whole = search(graphs, toy, trainer=Drawn(), **POOL)
    found = search(graphs.path, toy, trainer=Drawn(), workers=2, progress=progress, **POOL)
    assert plain(found) == plain(whole)
    assert ticks == sorted(ticks)
    assert ticks[-1] == (len(found.trials) + len(found.random_trials) + 2,) * 2
    assert threads == {threading.get_ident()}


def test_the_trials_are_what_the_trainer_says(graphs, pooled, screened, trainer):
    if isinstance(trainer, Drawn):
        for trial in (*pooled.trials, *screened.trials):
            assert trial.value == int(trial.record["mask"][:8], 16) / 16**8
            assert trial.record["examples"] == 40
        assert any(trial.stopped for trial in pooled.trials)
        assert pooled.best.record["epochs"] == 2
        return
    for trial in pooled.trials:
        point = Point.from_record(trial.point)
        edges = 0 if point.graph is None else graphs.record(point.graph).graph.edges
        assert trial.value == pytest.approx(0.5 + edges / 1000, abs=1e-5)
    tried = [t.value for t in pooled.trials]
    assert pooled.best.value == pytest.approx(max(tried), abs=1e-5)
    assert [t.value for t in screened.trials] == sorted(
        (t.value for t in screened.trials), reverse=True
    )
    assert all(trial.value > 0.5 for trial in screened.trials)


def test_what_the_trainer_gives_of_the_winner_is_what_is_said_of_it(pooled, trainer):
    evidence = pooled.evidence
    assert [final.number for final in pooled.finals] == [0, 1]
    assert evidence.sealed.count == evidence.fresh.count == 2
    beside = [entry.name for entry in evidence.comparisons]
    if isinstance(trainer, Drawn):
        assert pooled.mask.fingerprint == pooled.finals[0].mask
        assert {*beside, *evidence.left_out} >= set(CONTROLS)
        assert len(beside) > 1
    else:
        assert pooled.mask is None
        assert beside == ["random search's winner"]
        assert set(evidence.left_out.values()) == {"the trainer returned no mask to change"}
        assert set(evidence.left_out) == set(CONTROLS)
    assert pooled.weights is None


@pytest.mark.parametrize("engine", ["paper", "random"])
def test_the_engines_of_the_paper_train_by_it_too(graphs, toy, trainer, engine):
    found, again = (
        search(graphs, toy, trainer=trainer, **RANDOM | {"engine": engine}) for _ in range(2)
    )
    assert plain(again) == plain(found)
    assert len({trial.record["graph"] for trial in found.trials}) == 5 or engine == "paper"
    assert found.best.value == max(trial.value for trial in found.trials)
    if isinstance(trainer, Drawn):
        # The mask of a fetched graph is the graph's own, whatever the seed of the network.
        assert found.mask.fingerprint == found.best.record["mask"]
        assert [final.accuracy for final in found.finals] == [found.best.value] * 2
    else:
        edges = graphs.record(found.best.record["graph"]).graph.edges
        assert found.best.value == pytest.approx(0.5 + edges / 1000, abs=1e-5)
        assert found.mask is None


def test_a_whole_trade_off(graphs, toy, trainer):
    goal = POOL | {"sparsity": None, "pareto": True}
    found = search(graphs, toy, trainer=trainer, **goal)
    assert [entry.point.sparsity for entry in found.front] == sorted(
        {entry.point.sparsity for entry in found.front}
    )
    for entry in found.front:
        assert entry.sealed.count == 2
        assert (entry.mask is None) == isinstance(trainer, FunctionTrainer)


def test_what_else_a_trainer_measures_is_in_the_record(graphs, toy):
    def measured(candidate, seed):
        metrics = Metrics(0.7, 0.1, 50)
        return TrainingResult(metrics, 0.8, reported=metrics, extra={"latency": seed % 5})

    found = search(graphs, toy, trainer=FunctionTrainer(measured), **RANDOM)
    for trial in found.trials:
        assert trial.record["latency"] == derive_seed(0, "trial", trial.number) % 5
        assert trial.record["examples"] == 50
    assert [final.accuracy for final in found.finals] == [0.7, 0.7]


def test_a_result_is_stored_before_the_next_task_begins(graphs, toy):
    events = []

    def noted(candidate, seed):
        events.append("trained")
        return score(candidate, seed)

    search(
        graphs, toy, trainer=FunctionTrainer(noted), on_trial=lambda _: events.append("stored"),
        **POOL | {"final_seeds": 0, "population": 1, "random_search": False},
    )  # fmt: skip
    assert events == ["trained", "stored"] * 8 + ["trained"]  # the winner, for its mask


class Held(Executor):
    """An executor that works on the first of its tasks alone."""

    def __init__(self):
        self.futures = []

    def submit(self, function, /, *arguments, **named):
        future = Future()
        self.futures.append(future)
        if len(self.futures) == 1:
            future.set_running_or_notify_cancel()
            future.set_result(function(*arguments, **named))
        return future


def test_whoever_stops_a_search_takes_its_tasks_back(graphs, toy):
    def stop(trial):
        raise KeyboardInterrupt

    executor = Held()
    with pytest.raises(KeyboardInterrupt):
        search(graphs, toy, trainer=TRAINERS["function"], executor=executor, on_trial=stop, **POOL)
    first, *others = executor.futures
    assert first.done()
    assert len(others) >= 1
    assert all(future.cancelled() for future in others)


def test_an_error_of_the_trainer_ends_the_search_and_the_study_goes_on(graphs, toy, tmp_path):
    calls = []

    def failing(candidate, seed):
        calls.append(seed)
        if len(calls) == 6:
            raise ZeroDivisionError("a fault of the user's")
        return score(candidate, seed)

    study = tmp_path / "study.db"
    with pytest.raises(ZeroDivisionError, match="a fault of the user's"):
        search(graphs, toy, trainer=FunctionTrainer(failing), study=study, **POOL)
    mended = search(graphs, toy, trainer=FunctionTrainer(failing), study=study, **POOL)
    whole = search(graphs, toy, trainer=TRAINERS["function"], **POOL)
    lost = {"lost and run again, at most"}
    found, expected = plain(mended), plain(whole)
    found["epochs"] = {name: n for name, n in found["epochs"].items() if name not in lost}
    assert found == expected


class Unreported(Drawn):
    def result(self, candidate, task):
        return replace(super().result(candidate, task), reported=None)


class Short(Drawn):
    def __call__(self, task, **_):
        return ()


class Uneven(Drawn):
    def __call__(self, task, **options):
        found = super().__call__(task, **options)
        several = len({one.fingerprint for one in found}) > 2  # the controls
        return tuple(replace(one, mask=None) for one in found) if several else found


class Beyond(Drawn):
    def result(self, candidate, task):
        return replace(super().result(candidate, task), selected=Metrics(float("nan"), 0.0, 1))


@pytest.mark.parametrize(
    ("trainer", "sentence"),
    [
        (Unreported(), "no `reported` metrics for a task that asks for a report"),
        (Short(), "returned () for 2 candidates: return one bogp.TrainingResult for each"),
        (lambda task, **_: 0.5, "returned 0.5 for 2 candidates"),
        (lambda task, **_: [0.5] * 2, "return one bogp.TrainingResult for each"),
        (Beyond(), "returned the accuracy nan: give a share in [0, 1]"),
        (FunctionTrainer(lambda *_: 75), "returned the accuracy 75.0"),
        (FunctionTrainer(lambda *_: "good"), "the training function returned 'good'"),
        (Uneven(), "returned a mask of the winner and none of"),
    ],
)
def test_a_result_that_is_none_is_one_sentence(graphs, toy, trainer, sentence):
    with pytest.raises(SettingError, match=re.escape(sentence)):
        search(graphs, toy, **POOL, trainer=trainer)


@pytest.mark.parametrize("trainer", [score, "score", lambda task: ()])
def test_what_is_no_trainer_is_refused_before_there_is_a_study(graphs, toy, trainer, tmp_path):
    path = tmp_path / "study.db"
    with pytest.raises(SettingError, match=r"does not train .*goes into bogp\.FunctionTrainer"):
        search(graphs, toy, **POOL, trainer=trainer, study=path)
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


def largest(context):
    """A criterion of one's own, whose masks are those of magnitude."""
    return magnitude(context)


def test_a_function_is_a_criterion_of_a_search(graphs, toy, parts, processes, tmp_path):
    changes = {"criteria": ("random", largest), "rungs": (), "seed": 3}
    study = tmp_path / "study.db"
    found = search(graphs, toy, study=study, **POOL | changes)
    name = f"{__name__}.largest"
    assert found.settings["criteria"] == ["random", name]
    own = [trial for trial in found.trials if trial.point["criterion"] == name]
    assert own
    for trial in own:
        point = Point.from_record(trial.point)
        seed = derive_seed(3, "trial", point.key, trial.point["replicate"])
        support = None if point.graph is None else graphs.record(point.graph).graph
        alone = prune_and_train(
            FACTORY, parts, TWO, layers="hidden", sparsity=0.8, support=support,
            method=Method("magnitude", point.scope), mask_seed=derive_seed(seed, "mask"), seed=seed,
        )  # fmt: skip
        assert trial.record["mask"] == alone.fingerprint
    again = search(graphs, toy, study=study, on_trial=pytest.fail, **POOL | changes)
    assert plain(again) == plain(found)
    other = search(graphs, toy, executor=processes, **POOL | changes)
    assert plain(other) == plain(found)


def test_a_function_is_a_criterion_of_prune(tmp_path):
    generator = torch.Generator().manual_seed(1)
    pair = torch.randn(90, 6, generator=generator), torch.arange(90) % 3
    net = initialise(lambda: bogp.mlp([6, 12, 3]), 0)
    shared = {"sparsity": 0.7, "recipe": TWO, "final_seeds": 1, "controls": False}
    own = bogp.prune(net, pair, method=bogp.Method(largest, "global"), **shared)
    known = bogp.prune(net, pair, method="magnitude", **shared)
    assert own.mask == known.mask
    assert own.record()["how"].startswith(f"{__name__}.largest")
    found = bogp.prune(net, pair, criteria=largest, trials=3, **shared)
    names = {trial.point["criterion"] for trial in found.search.trials}
    assert names <= {"random", f"{__name__}.largest"}
    assert f"{__name__}.largest" in names
    page = found.report(tmp_path / "report.html").read_text()
    assert f"{__name__}.largest" in page


def test_a_study_of_another_trainer_is_refused(graphs, toy, tmp_path):
    own = {"study": tmp_path / "study.db", **RANDOM}
    found = search(graphs, toy, trainer=FunctionTrainer(score), **own)
    assert found.settings["trainer"].endswith("test_trainer.score")
    assert plain(search(graphs, toy, trainer=FunctionTrainer(score), **own)) == plain(found)
    for other in ({"trainer": Drawn()}, {}):
        with pytest.raises(StudyError, match="was made with trainer = "):
            search(graphs, toy, **other, **own)
