"""The loop of a pool search: asking, training, telling, resuming, on whatever workers."""

import itertools
import pickle
import signal
from collections import Counter
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import numpy as np
import pytest
from training_helpers import search, timeless

import bogp
from bogp.analysis import predict_final
from bogp.engines import PoolSearch, front, hypervolume
from bogp.engines.evaluations import Evaluation, scaling, sums
from bogp.errors import StudyError
from bogp.pipeline import Point, loop, pool, search_record, trainer
from bogp.pipeline.results import LOST
from bogp.pipeline.session import Counter as Counting
from bogp.settings.search import SearchSettings
from bogp.study import FinishedTrial, Study
from bogp.training import Recipe

TWO = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
SMALL = {
    "sparsity": 0.8,
    "model": "mlp:16",
    "layers": "hidden",
    "recipe": TWO,
    "trials": 10,
    "batch": 4,
    "population": 3,
    "pool": 60,
    "criteria": ("random", "magnitude", "snip"),
    "final_seeds": 1,
}


def run(database, data, **changes):
    return search(database, data, **(SMALL | changes))


def plain(result):
    evidence = result.evidence
    return {
        "trials": timeless((*result.trials, *result.random_trials)),
        "best": result.best.number,
        "mask": None if result.mask is None else result.mask.fingerprint,
        "finals": result.finals,
        "evidence": None if evidence is None else vars(evidence),
        "front": [(str(entry.point), entry.posterior) for entry in result.front],
        "hypervolumes": result.hypervolumes,
        "epochs": {name: n for name, n in result.epochs.items() if name != LOST},
    }


@pytest.fixture(scope="module")
def unbroken(graphs, toy):
    return run(graphs, toy)


def test_the_batches_are_what_they_say(unbroken):
    for trials in (unbroken.trials, unbroken.random_trials):
        assert [trial.number for trial in trials] == list(range(len(trials)))
        batches = [list(own) for _, own in itertools.groupby(trials, lambda trial: trial.batch)]
        assert [len(batch) for batch in batches[:3]] == [4, 4, 2]
        assert [t.point["halved"] for t in batches[0]] == [True] * 4
        # A quarter of a later batch is a replicate; the last trains the leaders alone.
        assert [t.point["halved"] for t in batches[1]] == [True] * 3 + [False]
        assert not any(t.point["halved"] for batch in batches[2:] for t in batch)
        again = [trial for trial in trials if not trial.point["halved"]]
        assert all(trial.point["replicate"] > 0 and not trial.stopped for trial in again)
        # Nothing is trained twice but as a replicate, and a replicate is another network.
        pairs = [(trial.point["index"], trial.point["replicate"]) for trial in trials]
        assert len(set(pairs)) == len(pairs)
        masks = {(t.record["mask"], t.record["loss"]) for t in trials}
        assert len(masks) == len(trials)
    assert len(unbroken.trials) == 10


def test_halving_stops_the_poor_of_each_population(unbroken):
    groups = {}
    for trial in unbroken.trials:
        if trial.point["halved"]:
            groups.setdefault((trial.batch, trial.point["population"]), []).append(trial)
    sizes = sorted(len(group) for group in groups.values())
    assert sizes == [1, 3, 3]
    for group in groups.values():
        went_on = [trial for trial in group if not trial.stopped]
        assert len(went_on) == -(-len(group) // 2)
        for trial in group:
            assert len(trial.record["accuracies"]) == (1 if trial.stopped else 2)
            assert trial.record["epochs"] == len(trial.record["accuracies"])
        worst = min(trial.record["accuracies"][0] for trial in went_on)
        assert all(t.record["accuracies"][0] <= worst for t in group if t.stopped)
    none = [trial.stopped for trial in unbroken.random_trials if not trial.point["halved"]]
    assert not any(none)


def test_the_winner_trained_to_the_end(unbroken):
    assert not unbroken.best.stopped
    assert unbroken.evidence.selected == unbroken.best.value
    assert unbroken.mask.fingerprint == unbroken.evidence.runs[0].mask


def test_a_stopped_candidate_does_not_win():
    """What it would have reached is a guess, though the highest."""
    means = np.array([9.0, 1.0, 3.0, 2.0])
    engine = SimpleNamespace(recommend=lambda: 0, posterior=lambda rows: (means[rows], None))
    told = [finished(0.9, (0.9,), index=0, stopped=True)]
    told += [finished(0.1, (0.1, 0.1), index=index) for index in (1, 2, 3)]
    space = SimpleNamespace(sparsities=np.array([0.5, 0.5, 0.5, 0.8]))
    one = pool.PoolStrategy(SearchSettings(sparsity=0.8), space, None, engine, (0.1, 0.0))
    one.told = told
    assert one.best() == 2
    assert one.front() == [2, 3]


def test_without_rungs_and_replicates_every_trial_is_new_and_whole(graphs, toy):
    result = run(graphs, toy, rungs=(), replicate_share=0.0, final_seeds=0, random_search=False)
    assert len({trial.point["index"] for trial in result.trials}) == len(result.trials) == 10
    assert all(trial.point["replicate"] == 0 and not trial.stopped for trial in result.trials)
    assert result.evidence.components is None
    assert result.evidence.runs == ()
    assert result.mask is not None


@pytest.mark.parametrize("changes", [{"trials": 1}, {"trials": 3, "rungs": (1,)}])
def test_a_search_of_few_trials(graphs, toy, changes):
    result = run(graphs, toy, final_seeds=0, **changes)
    assert len(result.trials) == changes["trials"]
    assert not result.best.stopped
    assert result.epochs["random search"] >= result.epochs["search"]


def test_an_exhausted_pool_is_trained_on_further_seeds(toy, tmp_path):
    shape = {"nodes": 12, "shape": (16, 20), "sparsities": (0.8,), "graphs": 2}
    with bogp.GraphDatabase.build(tmp_path / "few.db", **shape) as few:
        result = run(few, toy, pool=1, criteria=("random",), trials=12, final_seeds=0)
        for engine in ("thompson", "ucb"):
            run(few, toy, criteria=("random",), trials=7, final_seeds=0, acquisition=engine)
    assert len(result.trials) == 12
    assert {trial.point["index"] for trial in result.trials} == {0, 1}
    numbers = [(trial.point["index"], trial.point["replicate"]) for trial in result.trials]
    assert len(set(numbers)) == 12


def test_the_random_search_is_random_and_costs_as_much(graphs, toy):
    result = run(graphs, toy, rounds=(1, 3), trials=8, final_seeds=0, seed=3, criteria=("snip",))
    rounds = Counter(trial.point["rounds"] for trial in result.trials)
    assert set(rounds) == {1, 3}
    spent = [sum(t.record["epochs"] for t in own) for own in (result.trials, result.random_trials)]
    assert [result.epochs["search"], result.epochs["random search"]] == spent
    assert spent[1] >= spent[0]
    assert len(result.random_trials) >= 8
    # Not more than the one training that makes it enough.
    if len(result.random_trials) > 8:
        assert spent[1] - result.random_trials[-1].record["epochs"] < spent[0]


@pytest.mark.parametrize("arms", ["search", "random"])
def test_random_search_gets_more_seeds_until_it_cost_as_much(arms, graphs, toy, monkeypatch):
    """Whichever arm is dearer by its own trials."""
    whole = loop.Arm.epochs.fget
    monkeypatch.setattr(
        loop.Arm, "epochs", property(lambda own: whole(own) + 13 * (own.name == arms))
    )
    result = run(graphs, toy, final_seeds=0)
    search, other = result.epochs["search"], result.epochs["random search"]
    assert other >= search
    assert (other < search + 2) == (arms == "search")
    assert all(not trial.point["halved"] for trial in result.random_trials[10:])


def test_workers_and_executors_change_nothing(graphs, toy, unbroken):
    """SLOW: worker processes take seconds to start."""
    with ThreadPoolExecutor(3) as threads:
        assert plain(run(graphs, toy, executor=threads)) == plain(unbroken)
    assert plain(run(graphs.path, toy, workers=2)) == plain(unbroken)


class Backwards(Executor):
    """An executor whose tasks end in the reverse of the order in which they were begun."""

    def __init__(self, lose=()):
        self.held, self.count, self.lose = [], 0, set(lose)

    def submit(self, function, *given):
        future = Future()
        self.held.append((self.count, future, function, given))
        self.count += 1
        if pickle.loads(given[0])[1].keep:  # of the finals, one after another
            self.work()
        return future

    def work(self):
        number, future, function, given = self.held.pop()
        if number in self.lose:
            future.set_exception(BrokenProcessPool("gone"))
        else:
            future.set_result(function(*given))


@pytest.fixture
def backwards(monkeypatch):
    def made(**options):
        executor = Backwards(**options)

        def wait(running, timeout, return_when):
            executor.work()
            return {future for future in running if future.done()}, set()

        monkeypatch.setattr(loop, "wait", wait)
        return executor

    return made


def test_the_order_in_which_populations_end_changes_nothing(graphs, toy, unbroken, backwards):
    seen = []
    result = run(graphs, toy, executor=backwards(), final_seeds=0, on_trial=seen.append)
    assert plain(result)["trials"] == plain(unbroken)["trials"]
    assert [trial.number for trial in seen[:4]] == [3, 0, 1, 2]
    assert len(seen) == len(result.trials) + len(result.random_trials)


def test_asynchronous_with_one_worker_is_the_search_of_small_batches(graphs, toy):
    small = run(graphs, toy, batch=3, final_seeds=0)
    other = run(graphs, toy, asynchronous=True, batch=9, final_seeds=0)
    assert plain(other) == plain(small)


def test_asynchronous_asks_with_what_is_under_way_pending(graphs, toy, backwards, monkeypatch):
    executor, pending = backwards(), []
    ask = PoolSearch.ask
    monkeypatch.setattr(
        PoolSearch,
        "ask",
        lambda self, q: pending.append((len(self.pending), len(executor.held))) or ask(self, q),
    )
    result = run(
        graphs, toy, asynchronous=True, batch=9, trials=18, executor=executor, random_search=False,
        final_seeds=0,
    )  # fmt: skip
    assert len(result.trials) == 18
    pairs = [(trial.point["index"], trial.point["replicate"]) for trial in result.trials]
    assert len(set(pairs)) == 18
    assert {len(list(own)) for _, own in itertools.groupby(result.trials, lambda t: t.batch)} == {3}
    # Three populations make a batch: the third is asked with two under way.
    assert pending[:3] == [(0, 0), (3, 1), (6, 2)]
    assert max(held for _, held in pending) == 2


def test_asynchronous_waits_where_all_candidates_are_under_way(toy, tmp_path, backwards):
    shape = {"nodes": 12, "shape": (16, 20), "sparsities": (0.8,), "graphs": 4}
    with bogp.GraphDatabase.build(tmp_path / "few.db", **shape) as few:
        result = run(
            few, toy, criteria=("random",), asynchronous=True, batch=9, executor=backwards(),
            final_seeds=0,
        )  # fmt: skip
    for trials in (result.trials, result.random_trials):
        pairs = {(trial.point["index"], trial.point["replicate"]) for trial in trials}
        assert len(pairs) == len(trials) >= 10
        assert {trial.point["index"] for trial in trials} == set(range(5))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_interruption_at_any_write_changes_nothing(
    graphs, toy, tmp_path, monkeypatch, asynchronous
):
    """Ctrl-C after each kind of write of the study in turn, until the search is through."""
    changes = {"trials": 6, "batch": 3, "asynchronous": asynchronous, "pareto": True}
    changes |= {"sparsity": None, "population": 2}
    whole = run(graphs, toy, **changes)
    calls, study, ends = [], tmp_path / "study.db", 0

    def interrupting(name):
        inner = getattr(Study, name)

        def call(self, *given, **named):
            found = inner(self, *given, **named)
            calls.append(name)
            if len(calls) == limit:
                raise KeyboardInterrupt
            return found

        monkeypatch.setattr(Study, name, call)

    for name in ("open_batch", "begin", "finish", "note"):
        interrupting(name)
    seen = []
    for count in (3, 2, 5, 4, 7, 6, 9, 3, 8, 5, 12, 4, 10, 1000):
        calls.clear()
        limit = count
        try:
            result = run(graphs, toy, study=study, on_trial=seen.append, **changes)
        except KeyboardInterrupt:
            ends += 1
        else:
            break
    assert ends >= 5
    assert plain(result) == plain(whole)
    # A Ctrl-C just after a trial is stored comes before anybody is told of it.
    numbers = [(trial.arm, trial.number) for trial in seen]
    assert len(set(numbers)) == len(numbers)


def test_asynchronous_goes_on_with_what_was_under_way(graphs, toy, tmp_path, backwards):
    changes = {"asynchronous": True, "batch": 9, "trials": 18, "random_search": False}
    study, seen = tmp_path / "study.db", []

    def stop(trial):
        seen.append(trial)
        if len(seen) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(graphs, toy, study=study, executor=backwards(), on_trial=stop, **changes)
    asked = {}
    with Study(study, settings_of(graphs, toy, **changes)) as opened:
        for batch in opened.batches():
            asked[batch.number] = [dict(one.point) for one in batch.trials]
        assert sum(bool(opened.missing(batch)) for batch in opened.batches()) >= 2
    result = run(
        graphs, toy, study=study, executor=backwards(), on_trial=seen.append, final_seeds=0,
        **changes,
    )  # fmt: skip
    assert len(result.trials) == 18
    assert sorted(trial.number for trial in seen) == list(range(18))
    for number, own in asked.items():
        assert [dict(t.point) for t in result.trials if t.batch == number] == own


def settings_of(graphs, toy, **changes):
    return search_record(SearchSettings(**(SMALL | changes)), toy, graphs)


def test_what_a_worker_lost_is_run_again_and_shown(graphs, toy, unbroken, backwards):
    result = run(graphs, toy, executor=backwards(lose={0, 2, 5}), final_seeds=0)
    assert plain(result)["trials"] == plain(unbroken)["trials"]
    assert LOST not in unbroken.epochs
    assert 3 * 2 <= result.epochs[LOST] <= 3 * 3 * 2


def test_what_is_lost_too_often_is_named(graphs, toy, tmp_path, backwards):
    study = tmp_path / "study.db"
    with pytest.raises(StudyError, match=r"trial \d \(arm .* failed 2 times.*than 1 retries"):
        run(graphs, toy, study=study, executor=backwards(lose=range(9)), retries=1)
    result = run(graphs, toy, study=study, executor=backwards(), retries=2, final_seeds=0)
    assert len(result.trials) == 10


def test_progress_and_trials_are_told_once(graphs, toy):
    ticks, seen = [], []
    result = run(graphs, toy, progress=lambda *pair: ticks.append(pair), on_trial=seen.append)
    done = [pair[0] for pair in ticks]
    assert done == sorted(done)
    assert len(set(ticks)) == len(ticks)
    assert ticks[0] == (0, 21)
    trials = len(result.trials) + len(result.random_trials)
    assert ticks[-1] == (trials + 1, trials + 1)
    assert timeless(seen) == timeless((*result.trials, *result.random_trials))


def test_all_training_is_charged(graphs, toy, monkeypatch):
    """Counted where it is done."""
    trained = []
    inner = trainer.prune_and_train_population

    def counting(*given, **named):
        found = inner(*given, **named)
        trained.append(sum(one.epochs for one in found))
        return found

    monkeypatch.setattr(trainer, "prune_and_train_population", counting)
    patient = Recipe(learning_rate=0.01, batch_size=64, epochs=4, patience=1)
    for changes in ({"recipe": patient}, {"final_seeds": 0}, {"pareto": True, "sparsity": None}):
        trained.clear()
        result = run(graphs, toy, **changes)
        assert sum(result.epochs.values()) == sum(trained)
        assert set(result.epochs) == {"search", "random search", "fresh seeds and controls"}
        assert all(result.epochs.values())


def test_the_whole_front_in_one_study(graphs, toy, tmp_path):
    study = tmp_path / "study.db"
    result = run(graphs, toy, study=study, pareto=True, sparsity=None, trials=12)
    assert all(trial.second == trial.point["sparsity"] for trial in result.trials)
    sparsities = [entry.point.sparsity for entry in result.front]
    assert sparsities == sorted(set(sparsities))
    assert set(sparsities) <= {0.5, 0.8}
    points = [(entry.posterior[0], entry.point.sparsity) for entry in result.front]
    assert front(points).tolist() == list(range(len(points)))
    for entry in (*result.front, *result.random_front):
        assert entry.sealed.count == entry.fresh.count == 1
        assert entry.mask.sparsity == pytest.approx(entry.point.sparsity, abs=0.01)
    for alpha in (0.0, 0.3, 5.0):
        best = max(points, key=lambda point: point[0] + alpha * point[1])
        assert result.at(alpha).posterior[0] == best[0]
    with Study(
        study,
        settings_of(graphs, toy, pareto=True, sparsity=None),
        objectives=("accuracy", "sparsity"),
    ) as opened:
        for name in ("search", "random"):
            noted = opened.noted(f"scores of {name}")
            assert tuple(noted) == result.hypervolumes[name]
            assert len(noted) == len(opened.batches(name))
    assert result.hypervolumes["search"][-1] == pytest.approx(hypervolume(points, (0.25, 0.0)))


def test_with_alpha_the_value_is_accuracy_plus_alpha_times_sparsity(graphs, toy):
    result = run(graphs, toy, sparsity=None, alpha=0.5, trials=8)
    for trial in (*result.trials, *result.random_trials):
        assert trial.value == trial.record["accuracy"] + 0.5 * trial.point["sparsity"]
        assert trial.record["sparsity"] == pytest.approx(trial.point["sparsity"], abs=0.01)
    # What is said of the winner is accuracy.
    assert result.evidence.selected == pytest.approx(result.best.record["accuracy"])
    assert result.evidence.posterior[0] < 1.0


@pytest.mark.parametrize(
    "changes", [{"protocol": "paper"}, {"layers": "all"}, {"layers": "all", "rounds": 2}]
)
def test_other_protocols_and_layers(graphs, toy, changes):
    result = run(graphs, toy, trials=6, **changes)
    examples = len(toy.test_targets) if "protocol" in changes else len(toy.train_targets) // 6
    assert {trial.record["examples"] for trial in result.trials} == {examples}
    pruned = 320 + (64 if "layers" in changes else 0)
    assert result.mask.total == pruned
    assert result.mask.kept == round(0.2 * pruned)


def finished(value, curve, *, index=0, stopped=False, rounds=1, diverged=False):
    record = {
        "accuracy": value, "accuracies": list(curve), "diverged": diverged, "examples": 100,
    }  # fmt: skip
    return FinishedTrial(0, {"index": index, "rounds": rounds}, value, record, stopped)


def test_a_stopped_trial_is_told_as_what_it_would_have_become():
    went_on = [finished(f, (e, f), index=i) for i, (e, f) in enumerate(PAIRS)]
    poor = finished(0.5, (0.5,), index=9, stopped=True)
    others = [finished(0.1, (0.4, 0.1), diverged=True), finished(0.9, (0.1, 0.9), rounds=5)]
    mean, variance = predict_final([0.5], *np.array(PAIRS).T)
    assert pool.predicted(poor, [*went_on, poor, *others]) == (mean[0], variance[0])
    assert 0.5 < mean[0] < 0.8


PAIRS = [(0.6, 0.80), (0.7, 0.86), (0.8, 0.89), (0.9, 0.95)]


def test_the_noise_of_one_evaluation():
    rng = np.random.default_rng(0)
    true = rng.uniform(0.5, 0.9, 300)
    trials = [
        finished(float(t + rng.normal(0, 0.02)), (), index=i)
        for i, t in enumerate(true)
        for _ in range(3)
    ]
    assert pool.noise_variance(trials) == pytest.approx(0.02**2, rel=0.15)
    assert pool.noise_variance(trials[:1]) == pytest.approx(
        trials[0].value * (1 - trials[0].value) / 100
    )
    assert pool.noise_variance([]) == 0.0
    ignored = [finished(0.1, (), diverged=True), finished(0.1, (), stopped=True)]
    assert pool.noise_variance([*trials, *ignored]) == pool.noise_variance(trials)


def test_what_the_engine_is_told_of_a_stopped_trial(graphs, toy, monkeypatch):
    """A variance is that of the value about the candidate's true mean, as a fresh tell's noise is:
    two tells of equal variance weigh the same."""
    told, tell = [], PoolSearch.tell
    monkeypatch.setattr(
        PoolSearch,
        "tell",
        lambda self, *given: told.append(given) or tell(self, *given),
    )
    result = run(graphs, toy, random_search=False, final_seeds=0)
    before = []
    for number, own in itertools.groupby(result.trials, lambda trial: trial.batch):
        own = list(own)
        before += own
        noise = pool.noise_variance(before)
        for trial in own:
            given = told.pop(0)
            if trial.stopped:
                mean, variance = pool.predicted(trial, before)
                assert given == (trial.point["index"], mean, variance + noise), number
                assert variance + noise > noise > 0
            else:
                assert given == (trial.point["index"], trial.value)
    known = sums([Evaluation(0, 0.5, 0.01), Evaluation(1, 0.7, None)], scaling([]))
    assert known.weight[0] == pytest.approx(1 / 0.01)


def test_a_network_that_diverges_is_told_and_not_chosen(graphs, toy):
    wild = Recipe(optimizer="sgd", learning_rate=1e6, batch_size=64, epochs=2)
    result = run(graphs, toy, recipe=wild, rounds=(1, 2), trials=6)
    assert any(trial.record["diverged"] for trial in result.trials)
    assert len(result.trials) == 6
    assert result.evidence.sealed.count == 1


def test_ctrl_c_reaches_a_search_with_an_executor(graphs, toy):
    def interrupt(trial):
        signal.raise_signal(signal.SIGINT)

    with ThreadPoolExecutor(1) as threads, pytest.raises(KeyboardInterrupt):
        run(graphs, toy, executor=threads, on_trial=interrupt)


def test_known_methods_come_first(graphs, toy):
    result = run(
        graphs, toy, random_search=False, final_seeds=0, batch=20, population=20, trials=20
    )
    first = [Point.from_record(trial.point) for trial in result.trials if trial.batch == 0]
    complete = [point for point in first if point.graph is None]
    assert {point.criterion for point in complete} >= {"random", "magnitude", "snip"}


def test_the_counter_never_falls_and_ends_at_the_total():
    seen = []
    counter = Counting(lambda *pair: seen.append(pair), 6, 1)
    counter.under_way(0, 4, 6, 10)
    counter.under_way(1, 2, 19, 20)
    counter.ended(0)
    counter.add(3)
    counter.ended(1)
    counter.expect(1)
    counter.add(3)
    assert seen == [(1, 6), (3, 6), (5, 6), (7, 7)]
