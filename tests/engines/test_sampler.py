"""The sampler asks what a PoolSearch driven by hand would ask, whatever happens to its study."""

import pickle

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from bogp.engines.acquisition import upper_bound
from bogp.engines.pool import PoolSearch
from bogp.engines.sampler import PoolSampler
from bogp.errors import SettingError, UnknownNameError

SIZE = 60
POOL = np.random.default_rng(0).uniform(size=(SIZE, 3)) * [1.0, 50.0, 0.1]
TRUTH = 0.95 - ((POOL[:, 0] - 0.6) ** 2 + (POOL[:, 1] / 50 - 0.3) ** 2) / 20
VALUES = TRUTH + np.random.default_rng(1).normal(0, 0.001, SIZE)
RANGE = {"candidate": IntDistribution(0, SIZE - 1)}


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def study(sampler=None, storage=None, direction="maximize", name="s", pruner=None):
    return optuna.create_study(
        storage=storage,
        sampler=sampler or PoolSampler(POOL, seed=3),
        direction=direction,
        study_name=name,
        load_if_exists=True,
        pruner=pruner,
    )


def ask(made):
    trial = made.ask(RANGE)
    return trial, trial.params["candidate"]


def evaluate(made, count):
    for _ in range(count):
        trial, index = ask(made)
        made.tell(trial, VALUES[index])


def candidates(made):
    return [trial.params["candidate"] for trial in made.trials]


def by_hand(count, acquisition="qlognei"):
    search, asked = PoolSearch(POOL, seed=3, acquisition=acquisition), []
    for _ in range(count):
        asked += search.ask()
        search.tell(asked[-1], VALUES[asked[-1]])
    return asked


@pytest.mark.parametrize("acquisition", ["qlognei", "ucb", "thompson", "random", upper_bound])
def test_a_study_is_the_pool_search(acquisition):
    made = study(PoolSampler(POOL, seed=3, acquisition=acquisition))
    made.optimize(lambda trial: VALUES[trial.suggest_int("candidate", 0, SIZE - 1)], n_trials=9)
    assert candidates(made) == by_hand(9, acquisition)
    assert len(set(candidates(made))) == 9


def test_the_best_is_found_and_minimising_mirrors_maximising():
    made, mirrored = study(), study(direction="minimize")
    evaluate(made, 14)
    mirrored.optimize(
        lambda trial: -VALUES[trial.suggest_int("candidate", 0, SIZE - 1)], n_trials=14
    )
    assert TRUTH.max() - TRUTH[made.best_params["candidate"]] < 0.002
    assert candidates(mirrored) == candidates(made)


def test_a_new_sampler_in_every_trial_asks_the_same(tmp_path):
    storage, path = optuna.storages, tmp_path / "study.log"
    for turn in range(9):
        journal = storage.JournalStorage(storage.journal.JournalFileBackend(str(path)))
        made = study(storage=journal)
        if turn == 4:
            made.sampler = pickle.loads(pickle.dumps(made.sampler))
        evaluate(made, 1)
    assert candidates(made) == by_hand(9)


def test_a_new_sampler_goes_on_from_what_was_fitted():
    """From forty values on not every tell leads to a new fit, so the last one must be kept."""
    made = {"one": study(), "new in every trial": study()}
    for each in made.values():
        for index in range(44):
            each.add_trial(
                optuna.trial.create_trial(
                    params={"candidate": index}, distributions=RANGE, value=VALUES[index]
                )
            )
    for _ in range(2):
        made["new in every trial"].sampler = PoolSampler(POOL, seed=3)
        for each in made.values():
            evaluate(each, 1)
    one, other = (each.user_attrs["bogp:candidate"] for each in made.values())
    assert one == other
    assert (one["state"]["fit"]["tells"], one["state"]["tells"]) == (44, 45)
    assert candidates(made["one"]) == candidates(made["new in every trial"])


def test_what_was_handed_out_is_taken_before_the_storage_knows():
    made = study()
    evaluate(made, 5)
    running = [made.ask(), made.ask()]
    drawn = [
        made.sampler.sample_independent(
            made, trial._get_latest_trial(), "candidate", *RANGE.values()
        )
        for trial in running
    ]
    assert drawn[0] != drawn[1]


def test_one_sampler_may_serve_two_studies():
    sampler = PoolSampler(POOL, seed=3)
    first, second = study(sampler, name="first"), study(sampler, name="second")
    for _ in range(7):
        evaluate(first, 1)
        evaluate(second, 1)
    assert candidates(first) == candidates(second) == by_hand(7)


def test_what_is_asked_together_is_asked_knowing_of_each_other():
    made, search = study(), PoolSearch(POOL, seed=3)
    for _ in range(3):
        together = [ask(made) for _ in range(3)]
        wanted = [search.ask()[0] for _ in range(3)]
        assert [index for _, index in together] == wanted
        for trial, index in reversed(together):
            made.tell(trial, VALUES[index])
        for index in wanted:  # told in the order of the trials, whatever the order of ending
            search.tell(index, VALUES[index])
    assert len(set(candidates(made))) == 9


def test_a_resumed_study_knows_what_is_pending():
    storage = optuna.storages.InMemoryStorage()
    made = study(storage=storage)
    evaluate(made, 6)
    running, first = ask(made)
    resumed = study(storage=storage)
    again, second = ask(resumed)
    search = PoolSearch(POOL, seed=3)
    for index in by_hand(6):
        assert search.ask() == [index]
        search.tell(index, VALUES[index])
    unbroken = [search.ask()[0], search.ask()[0]]
    assert [first, second] == unbroken
    resumed.tell(again, VALUES[second])
    resumed.tell(running.number, VALUES[first])
    assert len({first, second, ask(resumed)[1]}) == 3


def test_a_failed_trial_is_as_if_it_had_never_been_until_it_failed_too_often():
    made = study(PoolSampler(POOL, seed=3, retries=1))
    evaluate(made, 6)
    asked = []
    for _ in range(3):
        trial, index = ask(made)
        asked.append(index)
        made.tell(trial, state=TrialState.FAIL)
    assert asked[0] == asked[1] == by_hand(7)[-1]
    assert asked[2] != asked[0]
    evaluate(made, 2)
    assert asked[0] not in candidates(made)[9:]


def test_a_pruned_candidate_is_neither_told_nor_asked_again():
    made, search = study(), PoolSearch(POOL, seed=3)
    for turn in range(8):
        trial, index = ask(made)
        assert search.ask() == [index]
        if turn == 6:
            trial.report(0.1, 1)
            made.tell(trial, state=TrialState.PRUNED)
            search.forget(index)
        else:
            made.tell(trial, VALUES[index])
            search.tell(index, VALUES[index])
    assert len(set(candidates(made))) == 8


def test_an_infinite_value_is_not_told_and_not_asked_again():
    made = study()
    evaluate(made, 5)
    trial, index = ask(made)
    made.tell(trial, -np.inf)
    evaluate(made, 3)
    assert candidates(made).count(index) == 1


def test_enqueued_candidates_and_replicates_are_told():
    made, search = study(), PoolSearch(POOL, seed=3)
    for index in (7, 7, 20):
        made.enqueue_trial({"candidate": index})
    for value, index in ((0.93, 7), (0.91, 7), (0.94, 20)):
        trial, found = ask(made)
        assert found == index
        made.tell(trial, value)
        search.tell(index, value)
    evaluate(made, 5)
    state = search.state() | {"asks": 3}
    search.restore(state)
    for index in candidates(made)[3:]:
        assert search.ask() == [index]
        search.tell(index, VALUES[index])
    ask(made)
    assert made.sampler._search._evaluations == search._evaluations


def test_the_variance_of_a_value_is_passed_on():
    sampler = PoolSampler(POOL, seed=3, variance="squared error")
    made, search = study(sampler), PoolSearch(POOL, seed=3)
    for turn in range(9):
        trial, index = ask(made)
        assert search.ask() == [index]
        variance = 1e-6 if turn % 2 else None
        if variance:
            trial.set_user_attr("squared error", variance)
        made.tell(trial, VALUES[index])
        search.tell(index, VALUES[index], variance)
    ask(made)
    variances = [tell.variance for tell in sampler._search._evaluations]
    assert variances == [None, 1e-6] * 4 + [None]


def test_initial_candidates_come_first():
    made = study(PoolSampler(POOL, seed=3, initial=(5, 11)))
    evaluate(made, 3)
    assert candidates(made)[:2] == [5, 11]


def test_other_parameters_are_random_and_do_not_hinge_on_the_sampler():
    def objective(trial):
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        word = trial.suggest_categorical("word", ["a", "b"])
        return VALUES[trial.suggest_int("candidate", 0, SIZE - 1)] + 1e-9 * rate * len(word)

    made, resumed = study(), study()
    made.optimize(objective, n_trials=6)
    for _ in range(6):
        resumed.sampler = PoolSampler(POOL, seed=3)
        resumed.optimize(objective, n_trials=1)
    assert [trial.params for trial in resumed.trials] == [trial.params for trial in made.trials]
    rates = [trial.params["rate"] for trial in made.trials]
    assert len(set(rates)) == 6
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert {trial.params["word"] for trial in made.trials} == {"a", "b"}


def test_threads_do_not_ask_for_the_same_candidate():
    made = study()
    made.optimize(
        lambda trial: VALUES[trial.suggest_int("candidate", 0, SIZE - 1)], n_trials=10, n_jobs=3
    )
    assert len(set(candidates(made))) == 10


def test_hyperbands_brackets_do_not_hide_trials():
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    made = study(pruner=pruner)
    evaluate(made, 9)
    assert candidates(made) == by_hand(9)


def test_a_study_of_several_objectives_is_refused():
    made = optuna.create_study(
        sampler=PoolSampler(POOL), directions=["maximize", "maximize"], study_name="two"
    )
    with pytest.raises(SettingError, match="study 'two' has 2 objectives"):
        made.ask()


@pytest.mark.parametrize("high", [SIZE, SIZE - 2])
def test_a_parameter_that_does_not_number_the_pool_is_refused(high):
    trial = study().ask()
    with pytest.raises(SettingError, match=r"use trial.suggest_int\('candidate', 0, 59\)"):
        trial.suggest_int("candidate", 0, high)


def test_an_exhausted_pool_is_refused():
    made = study(PoolSampler(POOL[:4], seed=0))
    for _ in range(4):
        trial = made.ask()
        made.tell(trial, VALUES[trial.suggest_int("candidate", 0, 3)])
    assert sorted(candidates(made)) == [0, 1, 2, 3]
    with pytest.raises(SettingError, match="all 4 candidates of the pool are evaluated"):
        made.ask().suggest_int("candidate", 0, 3)


def test_another_pool_is_refused_and_other_settings_are_not():
    storage = optuna.storages.InMemoryStorage()
    evaluate(study(storage=storage), 6)
    other = study(PoolSampler(POOL + 1.0, seed=3), storage)
    with pytest.raises(SettingError, match="study 's' was made with another pool"):
        other.ask(RANGE)
    evaluate(study(PoolSampler(POOL, seed=4, acquisition="ucb"), storage), 2)
    smaller = study(PoolSampler(POOL[:2], seed=3), storage)
    with pytest.raises(SettingError, match=r"has candidate = \d+ and the pool holds 2"):
        smaller.ask({"candidate": IntDistribution(0, 1)})


def test_bad_settings_are_refused_before_there_is_a_study():
    with pytest.raises(UnknownNameError, match="acquisition"):
        PoolSampler(POOL, acquisition="qlognie")
    with pytest.raises(SettingError, match="retries = -1"):
        PoolSampler(POOL, retries=-1)
    with pytest.raises(SettingError, match="candidate 1 of the pool has nan"):
        PoolSampler([[0.0], [np.nan]])
