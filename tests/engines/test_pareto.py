"""The search for a front: exactness without noise, brute force, resuming."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bogp.engines import acquisitions_for, tradeoff
from bogp.engines.pareto import ParetoSearch
from bogp.engines.tradeoff import front_shares
from bogp.errors import SettingError, UnknownNameError

ACQUISITIONS = list(acquisitions_for(2))
RNG = np.random.default_rng(2)
POOL = RNG.normal(size=(80, 2))
SECOND = np.round(RNG.uniform(0.1, 0.98, size=80), 2)
TRUTH = 0.97 - 0.1 * SECOND**6 + 0.01 * np.sin(2 * POOL[:, 0])
REFERENCE = (0.8, 0.0)


def value(index, call=0, noise=0.001):
    return float(TRUTH[index] + noise * np.random.default_rng([index, call]).normal())


def search_of(**change):
    return ParetoSearch(POOL, SECOND, **{"reference": REFERENCE, "seed": 1, **change})


def run(search, turns, q=1):
    asked = []
    for _ in range(turns):
        picks = search.ask(q)
        asked += picks
        for index in picks:
            search.tell(index, value(index))
    return asked


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=n, max_size=n),
            st.lists(st.integers(0, 3), min_size=n, max_size=n),
        )
    )
)
def test_front_shares_by_brute_force(drawn):
    samples, second = np.array(drawn[0], dtype=float), np.array(drawn[1], dtype=float)
    wanted = np.zeros(len(second))
    for sample in samples.T:
        for i in range(len(second)):
            better = (sample >= sample[i]) & (second >= second[i])
            strict = (sample > sample[i]) | (second > second[i])
            wanted[i] += not (better & strict).any()
    assert front_shares(samples, second) == pytest.approx(wanted / 3)


def test_without_noise_the_pick_is_of_highest_expected_improvement():
    search = search_of(noise=0.0)
    for index in range(20):
        search.tell(index, float(TRUTH[index]))
    pick = search.ask()[0]
    mean, deviation = search.posterior()
    points = np.column_stack((TRUTH[:20], SECOND[:20]))
    gain = tradeoff.expected_improvement(mean, deviation, SECOND, points, REFERENCE)
    gain[:20] = 0.0
    assert pick == int(gain.argmax())


def test_front_and_hypervolume_are_of_posterior_means():
    search = search_of()
    asked = run(search, 15)
    mean, _ = search.posterior(asked)
    points = np.column_stack((mean, SECOND[asked]))
    assert search.front() == [asked[place] for place in tradeoff.front(points)]
    assert search.hypervolume() == pytest.approx(tradeoff.hypervolume(points, REFERENCE))
    assert list(SECOND[search.front()]) == sorted(SECOND[search.front()])
    assert search.recommend() == asked[int(mean.argmax())]


def test_before_anything_is_told():
    search = search_of()
    assert search.front() == []
    assert search.hypervolume() == 0.0


def test_hypervolume_grows_faster_than_at_random():
    gained = {name: [] for name in ACQUISITIONS}
    for seed in range(3):
        for name, seen in gained.items():
            search = search_of(acquisition=name, seed=seed)
            asked = run(search, 18)
            points = np.column_stack((TRUTH[asked], SECOND[asked]))
            seen.append(tradeoff.hypervolume(points, REFERENCE))
    assert np.mean(gained["ehvi"]) > np.mean(gained["random"])
    whole = tradeoff.hypervolume(np.column_stack((TRUTH, SECOND)), REFERENCE)
    left = {name: whole - np.mean(seen) for name, seen in gained.items()}
    assert left["ehvi"] < 0.5 * left["random"]


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_every_candidate_is_asked_once(acquisition):
    search = ParetoSearch(POOL[:15], SECOND[:15], reference=REFERENCE, acquisition=acquisition)
    assert sorted(run(search, 5, q=3)) == list(range(15))


@pytest.mark.parametrize("stop", [2, 7])
def test_a_resumed_search_asks_what_the_unbroken_one_does(stop):
    unbroken, tells = search_of(), []
    for _ in range(stop):
        picks = unbroken.ask(3)
        state = json.loads(json.dumps(unbroken.state()))
        for index in picks[:2]:
            tells.append((index, value(index)))
            unbroken.tell(*tells[-1])
    resumed = search_of()
    for index, told in tells:
        resumed.tell(index, told)
    resumed.restore(state)
    for _ in range(3):
        assert unbroken.replicate() == resumed.replicate()
        picks = unbroken.ask(2)
        assert resumed.ask(2) == picks
        for index in picks:
            unbroken.tell(index, value(index))
            resumed.tell(index, value(index))
    assert resumed.front() == unbroken.front()
    assert resumed.hypervolume() == unbroken.hypervolume()


def test_picks_of_a_batch_do_not_crowd():
    search = search_of()
    for index in range(20):
        search.tell(index, value(index))
    batch = search.ask(4)
    assert len(set(batch)) == 4
    assert len(set(SECOND[batch])) > 1


def test_replicates_are_of_uncertain_place():
    search = search_of(noise=0.003)
    for index in range(40):
        search.tell(index, value(index, noise=0.003))
    for index in range(20):  # hardly anything is left to learn of these
        for call in range(1, 30):
            search.tell(index, value(index, call, noise=0.003))
    picks = search.replicate(5)
    assert len(set(picks)) == 5
    assert sum(index >= 20 for index in picks) >= 3
    assert search.pending == tuple(picks)


def test_the_second_objective_is_a_feature_once():
    given_twice = ParetoSearch(np.column_stack((POOL, 3 - 2 * SECOND)), SECOND, reference=REFERENCE)
    assert len(run(given_twice, 6)) == 6
    assert given_twice._features.shape == search_of()._features.shape == (80, 3)


def test_settings_that_cannot_be():
    with pytest.raises(SettingError, match="one finite number for each of 80"):
        ParetoSearch(POOL, SECOND[:5], reference=REFERENCE)
    with pytest.raises(SettingError, match="one finite number for each of 80"):
        ParetoSearch(POOL, np.full(80, np.nan), reference=REFERENCE)
    with pytest.raises(SettingError, match="no pair of finite numbers"):
        ParetoSearch(POOL, SECOND, reference=(np.inf, 0.0))
    with pytest.raises(SettingError, match="no pair of finite numbers"):
        ParetoSearch(POOL, SECOND, reference=(0.1,))
    with pytest.raises(UnknownNameError, match="ehvi"):
        search_of(acquisition="ehvii")
