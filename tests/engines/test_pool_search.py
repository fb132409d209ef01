"""The search over a pool: what it asks, that it never repeats, that it resumes bit for bit."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bogp.engines import ACQUISITIONS as ACQUISITION_RECORDS
from bogp.engines import acquisitions_for, evaluations, surrogate
from bogp.engines.pool import PoolSearch
from bogp.errors import SettingError, UnknownNameError

ACQUISITIONS = list(acquisitions_for(1))
RNG = np.random.default_rng(5)
POOL = RNG.normal(size=(60, 3))
TRUTH = 0.95 + 0.01 * np.sin(2 * POOL[:, 0]) + 0.004 * POOL[:, 1]
NOISE = 0.002


def value(index, call=0):
    return float(TRUTH[index] + NOISE * np.random.default_rng([index, call]).normal())


def run(search, rounds, q=1, call=0):
    asked = []
    for _ in range(rounds):
        picks = search.ask(q)
        asked += picks
        for index in picks:
            search.tell(index, value(index, call))
    return asked


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_every_candidate_is_asked_once_and_then_none_is_left(acquisition):
    search = PoolSearch(POOL[:20], seed=2, acquisition=acquisition)
    asked = run(search, 5, q=4)
    assert sorted(asked) == list(range(20))
    with pytest.raises(SettingError, match="q = 1, but 0 of 20 candidates are left"):
        search.ask()


@settings(max_examples=25)
@given(st.data())
def test_whatever_is_done_nothing_is_asked_twice(data):
    acquisition = data.draw(st.sampled_from(ACQUISITIONS))
    search = PoolSearch(
        POOL[:15], seed=data.draw(st.integers(0, 3)), acquisition=acquisition, initial=(3, 7)
    )
    told, pending, gone = set(), set(), set()
    for _ in range(data.draw(st.integers(1, 7))):
        match data.draw(st.sampled_from(["ask", "tell", "stranger", "forget", "replicate"])):
            case "ask" if len(told | pending | gone) < 13:
                picks = search.ask(data.draw(st.integers(1, 2)))
                assert len(set(picks)) == len(picks)
                assert not set(picks) & (told | pending | gone)
                pending |= set(picks)
            case "tell" if pending:
                index = data.draw(st.sampled_from(sorted(pending)))
                search.tell(index, value(index), data.draw(st.sampled_from([None, 1e-6])))
                told.add(index)
                pending.discard(index)
            case "stranger":
                index = data.draw(st.integers(0, 14))
                search.tell(index, value(index))
                told.add(index)
                pending.discard(index)
                gone.discard(index)
            case "forget" if pending:
                index = data.draw(st.sampled_from(sorted(pending)))
                search.forget(index)
                pending.discard(index)
                if index not in told:
                    gone.add(index)
            case "replicate" if told - pending:
                picks = search.replicate()
                assert set(picks) <= told - pending
                pending |= set(picks)
        assert set(search.pending) == pending
        assert set(search.told) == told
    if told:
        assert search.recommend() in told
    mean, deviation = search.posterior()
    assert np.isfinite(mean).all()
    assert (deviation >= 0).all()


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
@pytest.mark.parametrize("stop", [1, 3, 7])
def test_a_resumed_search_asks_what_the_unbroken_one_does(acquisition, stop):
    tells = []

    def tell(search, index, call=0):
        tells.append((index, value(index, call)))
        search.tell(*tells[-1])

    unbroken = PoolSearch(POOL, seed=1, acquisition=acquisition, initial=(9,))
    for turn in range(stop):
        picks = unbroken.ask(3)
        state = json.loads(json.dumps(unbroken.state()))
        tell(unbroken, picks[0])
        tell(unbroken, picks[2])  # one stays pending
        if turn % 3 == 2:
            tell(unbroken, unbroken.replicate()[0], 1)
            state = json.loads(json.dumps(unbroken.state()))
    resumed = PoolSearch(POOL, seed=1, acquisition=acquisition, initial=(9,))
    for index, told in tells:
        resumed.tell(index, told)
    resumed.restore(state)  # written before the last tells
    assert resumed.pending == unbroken.pending
    resumed.posterior()  # looking leaves no trace
    for turn in range(4):
        wanted = unbroken.ask(2)
        assert resumed.ask(2) == wanted
        if turn == 2:
            wanted += [again := unbroken.replicate()[0]]
            assert resumed.replicate() == [again]
        for index in wanted:
            unbroken.tell(index, value(index, 2))
            resumed.tell(index, value(index, 2))
        for ours, theirs in zip(unbroken.posterior(), resumed.posterior(), strict=True):
            assert (ours == theirs).all()  # to the last bit
        assert resumed.recommend() == unbroken.recommend()


def test_refitting_less_often_resumes_as_well(monkeypatch):
    monkeypatch.setattr(surrogate, "_GROWTH", 3)  # factors grow between fits, as in a long search
    unbroken = PoolSearch(POOL, seed=1)
    asked = run(unbroken, 14)
    unbroken.posterior()
    unbroken.tell(asked[3], value(asked[3], 1))  # a replicate between two fits
    state = unbroken.state()
    resumed = PoolSearch(POOL, seed=1)
    for index in asked:
        resumed.tell(index, value(index))
    resumed.tell(asked[3], value(asked[3], 1))
    resumed.restore(state)
    assert state["fit"]["tells"] == 13 < state["tells"] == 15
    assert (resumed.posterior()[0] == unbroken.posterior()[0]).all()
    assert run(resumed, 5) == run(unbroken, 5)


def test_looking_changes_nothing():
    looked, plain = PoolSearch(POOL, seed=4), PoolSearch(POOL, seed=4)
    for _ in range(6):
        picks = looked.ask(3)
        assert plain.ask(3) == picks
        for index in picks:
            looked.tell(index, value(index))
            looked.posterior()  # between two asks, where a refit would begin elsewhere
            looked.recommend()
            plain.tell(index, value(index))
    assert (looked.posterior()[0] == plain.posterior()[0]).all()
    assert looked.state() == plain.state()


def test_the_seed_decides():
    first, again, other = (run(PoolSearch(POOL, seed=seed), 8) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("acquisition", ["qlognei", "thompson"])
def test_threads_change_no_bit(acquisition):
    pool = np.random.default_rng(0).normal(size=(2500, 3))
    found, before = [], torch.get_num_threads()
    for torch_threads, threads in ((1, 1), (2, 1), (1, 2)):
        torch.set_num_threads(torch_threads)
        try:
            search = PoolSearch(pool, seed=1, acquisition=acquisition, threads=threads)
            for index in range(25):
                search.tell(index, float(np.sin(pool[index]).sum()))
            found.append((search.ask(2), search.posterior()[0].tobytes()))
            assert torch.get_num_threads() == torch_threads
        finally:
            torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("acquisition", ["qlognei", "ucb"])
def test_order_of_the_pool_does_not_matter(acquisition):
    order = np.random.default_rng(1).permutation(60)
    plain, mixed = (
        PoolSearch(POOL, acquisition=acquisition),
        PoolSearch(POOL[order], acquisition=acquisition),
    )
    place = np.argsort(order)
    for index in range(10):
        plain.tell(index, value(index))
        mixed.tell(place[index], value(index))
    for _ in range(4):
        pick = plain.ask()[0]
        assert order[mixed.ask()[0]] == pick
        plain.tell(pick, value(pick))
        mixed.tell(place[pick], value(pick))


@settings(max_examples=12)
@given(
    st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
    st.floats(-10, 10),
    st.floats(1e-3, 1e3),
    st.floats(-10, 10),
)
def test_units_of_features_and_values_do_not_matter(scale, shift, times, plus):
    plain, other = PoolSearch(POOL, seed=3), PoolSearch(POOL * np.array(scale) + shift, seed=3)
    for index in range(12):
        plain.tell(index, value(index))
        other.tell(index, value(index) * times + plus)
    assert plain.ask(2) == other.ask(2)
    assert plain.recommend() == other.recommend()
    mean, deviation = plain.posterior()
    assert other.posterior()[0] == pytest.approx(mean * times + plus, rel=1e-5, abs=1e-5 * times)
    assert other.posterior()[1] == pytest.approx(deviation * times, rel=1e-3)


def test_constant_columns_do_not_matter():
    wide = np.column_stack(
        (POOL[:, :1], np.full(60, 0.3), POOL[:, 1:], 7 * (1 + 1e-14 * POOL[:, 0]))
    )
    assert run(PoolSearch(wide, seed=1), 9) == run(PoolSearch(POOL, seed=1), 9)


def test_regret_is_below_that_of_random():
    regret = {"qlognei": [], "random": []}
    for seed in range(4):
        generator = np.random.default_rng(seed)
        pool = generator.normal(size=(300, 4))
        truth = np.sin(1.5 * pool[:, 0]) + 0.6 * pool[:, 1] - 0.3 * pool[:, 2] ** 2
        noise = 0.2 * generator.normal(size=300)
        for name, seen in regret.items():
            search = PoolSearch(pool, seed=seed, acquisition=name)
            for _ in range(20):
                index = search.ask()[0]
                search.tell(index, truth[index] + noise[index])
            seen.append(truth.max() - truth[search.recommend()])
    assert np.mean(regret["qlognei"]) < 0.5 * np.mean(regret["random"])


def test_initial_first_then_a_spread_then_the_model():
    search = PoolSearch(POOL, seed=0, initial=(5, 11, 2))
    assert search.ask(2) == [5, 11]
    search.tell(11, value(11))
    search.tell(2, value(2))  # told unasked: not asked any more
    assert not {2, 5, 11} & set(search.ask(3))


@pytest.mark.parametrize("told", [0, 1, 2])
def test_with_hardly_any_observation_batches_are_spread(told):
    distances = []
    for seed in range(5):
        search = PoolSearch(POOL, seed=seed)
        for index in range(told):
            search.tell(index, value(index))
        picks = search.ask(6)
        assert len({*picks}) == 6
        chosen = POOL[picks]
        distances.append(
            np.linalg.norm(chosen[:, None] - chosen[None], axis=2)[np.triu_indices(6, 1)].min()
        )
    drawn = [np.random.default_rng(s).choice(60, 6, replace=False) for s in range(200)]
    usual = [
        np.linalg.norm(POOL[d][:, None] - POOL[d][None], axis=2)[np.triu_indices(6, 1)].min()
        for d in drawn
    ]
    assert np.mean(distances) > np.mean(usual)


def test_a_collapsed_network_does_not_hide_the_others(monkeypatch):
    rows = list(range(25, 60))

    def agreement(collapsed):
        search = PoolSearch(POOL, seed=1)
        for index in range(25):
            search.tell(index, 0.1 if index == collapsed else value(index))
        assert search.recommend() != collapsed
        assert search.posterior([collapsed])[0][0] < search.posterior([search.recommend()])[0][0]
        return np.corrcoef(search.posterior(rows)[0], TRUTH[rows])[0, 1]

    ours = np.mean([agreement(index) for index in range(6)])
    monkeypatch.setattr(evaluations, "LIMIT", 1e9)
    assert ours > 0.35 + np.mean([agreement(index) for index in range(6)])


def test_equal_values():
    search = PoolSearch(POOL, seed=1)
    for index in range(8):
        search.tell(index, 0.9)
    assert len(set(search.ask(5))) == 5
    assert search.posterior([0])[0] == pytest.approx([0.9], abs=0.2)
    assert search.recommend() in range(8)


def test_a_pool_of_one():
    search = PoolSearch([[1.0, 2.0]])
    assert search.ask() == [0]
    search.tell(0, 0.5)
    assert search.recommend() == 0
    assert search.replicate() == [0]
    search.tell(0, 0.7)
    assert search.posterior()[0].shape == (1,)


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_features_that_tell_nothing(acquisition):
    search = PoolSearch(np.ones((12, 3)), seed=1, acquisition=acquisition)
    asked = run(search, 12)
    assert sorted(asked) == list(range(12))
    assert search.recommend() == max(range(12), key=value)  # all means are equal: the value decides


def test_candidates_that_share_their_features():
    doubled = np.repeat(POOL[:10], 2, axis=0)
    search = PoolSearch(doubled, seed=1)
    assert sorted(run(search, 5, q=4)) == list(range(20))


def test_replicates_of_the_uncertain_best():
    search = PoolSearch(POOL, seed=1, noise=NOISE)
    for index in range(30):
        search.tell(index, value(index))
    best = np.argsort(TRUTH[:30])[::-1][:6]
    picks = [PoolSearch.replicate(search)[0] for _ in range(4)]
    assert len(set(picks)) == 4
    assert len(set(picks) & set(best.tolist())) >= 3
    assert search.pending == tuple(picks)
    with pytest.raises(SettingError, match="q = 27, but 26 candidates are told and not pending"):
        search.replicate(27)


def test_the_posterior_mean_is_recommended_and_not_the_luckiest_value():
    pool = np.linspace(0, 1, 30)[:, None]
    search = PoolSearch(pool, seed=1, noise=0.1)
    for index in range(30):
        search.tell(index, -((index / 29 - 0.5) ** 2))
    search.tell(2, 0.1)  # a lucky second value of a poor candidate
    assert abs(search.recommend() - 14.5) < 3


def test_known_variances_are_believed():
    search = PoolSearch(POOL, seed=1)
    for index in range(20):
        search.tell(index, value(index), 1e-12 if index == 4 else NOISE**2)
    mean, deviation = search.posterior([4, 5])
    assert mean[0] == pytest.approx(value(4), abs=1e-4)
    assert deviation[0] < deviation[1] / 3


def test_one_that_failed_is_not_asked_again():
    search = PoolSearch(POOL[:12], seed=1)
    failed = search.ask()[0]
    search.forget(failed)
    assert search.pending == ()
    asked = run(search, 11)
    assert failed not in asked
    with pytest.raises(SettingError, match="0 of 12"):
        search.ask()
    search.tell(failed, 1.0)  # but may be told after all
    assert failed in search.told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool": []}, "the pool has shape"),
        ({"pool": [1.0, 2.0]}, r"the pool has shape \(2,\)"),
        ({"pool": [[1.0], [np.nan]]}, "candidate 1 of the pool has nan as feature 0"),
        ({"pool": [["a"]]}, "not a table of numbers"),
        ({"noise": -1.0}, "noise -1.0"),
        ({"kappa": np.nan}, "kappa nan"),
        ({"threads": 0}, "threads = 0"),
        ({"initial": (99,)}, "index 99 is not in the pool"),
        ({"initial": (1, 1)}, "names a candidate twice"),
        ({"initial": (1.5,)}, "index 1.5 is not an integer"),
    ],
)
def test_settings_that_cannot_be(change, message):
    with pytest.raises(SettingError, match=message):
        PoolSearch(**{"pool": POOL, **change})


def test_tells_that_cannot_be():
    search = PoolSearch(POOL)
    with pytest.raises(UnknownNameError, match="qlognei"):
        PoolSearch(POOL, acquisition="qlogne")
    with pytest.raises(SettingError, match=r"value nan of candidate 3 .* forget\(3\)"):
        search.tell(3, float("nan"))
    with pytest.raises(SettingError, match="variance -1 of candidate 3"):
        search.tell(3, 0.5, -1)
    with pytest.raises(SettingError, match="index 60 is not in the pool"):
        search.tell(60, 0.5)
    with pytest.raises(SettingError, match="q = 0"):
        search.ask(0)
    with pytest.raises(SettingError, match="nothing is told yet"):
        search.recommend()
    assert search.told == search.pending == ()


def test_states_that_do_not_fit():
    search = PoolSearch(POOL)
    run(search, 3)
    state = search.state()
    with pytest.raises(SettingError, match="3 tells and 0 are told"):
        PoolSearch(POOL).restore(state)
    with pytest.raises(SettingError, match="pool of 60 candidates, not 50"):
        PoolSearch(POOL[:50]).restore(state)
    with pytest.raises(SettingError, match="version 7"):
        search.restore({**state, "version": 7})


def farthest(posterior, request):
    """An acquisition of a user's own: the rows of highest variance among the free."""
    order = np.argsort(-posterior.variance.numpy(), kind="stable")
    return [int(row) for row in order if request.free[row]][: request.count]


def test_a_function_stands_for_the_name_of_an_acquisition():
    named, given = PoolSearch(POOL, seed=1), PoolSearch(POOL, seed=1, acquisition=farthest)
    qlognei = PoolSearch(POOL, seed=1, acquisition=ACQUISITION_RECORDS["qlognei"].picks)
    for index in range(10):
        for search in (named, given, qlognei):
            search.tell(index, value(index))
    wanted = named.ask(3)
    assert qlognei.ask(3) == wanted
    deviation = given.posterior()[1]
    picks = given.ask(3)
    assert picks != wanted
    free = np.setdiff1d(np.arange(60), range(10))
    assert set(picks) == set(free[np.argsort(-deviation[free], kind="stable")[:3]].tolist())


@pytest.mark.parametrize("chosen", [[0, 20], [20, 20], [20], [20, 99], [20, 21, 22]])
def test_what_a_function_may_not_choose_is_refused(chosen):
    search = PoolSearch(POOL, acquisition=lambda posterior, request: chosen)
    for index in range(10):
        search.tell(index, value(index))
    with pytest.raises(SettingError, match=r"give 2 different candidates|is not in the pool"):
        search.ask(2)
    assert search.pending == ()


def test_a_function_that_needs_a_front_says_so_in_a_search_of_one_objective():
    search = PoolSearch(POOL, acquisition=ACQUISITION_RECORDS["ehvi"].picks)
    for index in range(10):
        search.tell(index, value(index))
    with pytest.raises(SettingError, match="one objective and no front: use ParetoSearch"):
        search.ask()


@pytest.mark.parametrize("name", ACQUISITION_RECORDS)
def test_every_record_says_what_it_is_for(name):
    found = ACQUISITION_RECORDS[name]
    assert found.name == name
    assert found.help
    assert [name in acquisitions_for(count) for count in (1, 2)] == [
        count in found.objectives for count in (1, 2)
    ]


def test_botorch_and_scikit_learn_are_imported_only_by_asking():
    code = (
        "import sys, bogp.engines; "
        "print(any(name in sys.modules for name in ('botorch', 'gpytorch', 'sklearn')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
