"""One suite for all storages: what is asked and told is read back, whatever happens between."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from study_backends import BACKENDS, SETTINGS, SPACE, Clock, abandoned, asked, opened, run, told

from bogp.checksums import sealed
from bogp.errors import StudyError, UnknownNameError
from bogp.study import leases
from bogp.study.parameters import distributions
from bogp.study.reading import read_storage
from bogp.study.records import PlannedTrial
from bogp.study.storage import open_storage

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(params=BACKENDS)
def storage(request, tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "CONFIRM_SECONDS", 0.0)
    return BACKENDS[request.param](tmp_path)


def test_what_is_told_is_read_back(storage):
    with opened(storage) as study:
        assert study.trials() == study.batches() == study.trials("random") == ()
        first = study.open_batch("search", asked(3), {"hyper": [0.25], "count": 3})
        run(study, first, (2, 0), steps=(0.1, 0.2))
        second = study.open_batch("search", asked(2, 10))
        other = study.open_batch("random", asked(1, 20))
        run(study, second, (1,), stopped=True, steps=(0.3,))
        run(study, other)
        assert study.missing(first) == (1,)
        run(study, first)
        run(study, second)
        before, beside = study.trials(), study.trials("random")
        batches = study.batches()
        study.note("finals", [{"seed": 1}])
    with opened(storage) as study:
        assert study.trials() == before
        assert study.trials("random") == beside
        assert study.batches() == batches == (first, second)
        assert study.missing(first) == study.missing(second) == ()
        assert study.noted("finals") == [{"seed": 1}]
        assert study.noted("other", "default") == "default"
    assert [trial.number for trial in before] == [0, 1, 2, 3, 4]
    assert [(trial.batch, trial.position) for trial in before] == [
        *((0, 0), (0, 1), (0, 2)),
        *((1, 0), (1, 1)),
    ]
    assert [trial.stopped for trial in before] == [False] * 4 + [True]
    assert [trial.steps for trial in before] == [(0.1, 0.2), (), (0.1, 0.2), (), (0.3,)]
    assert before[1].point == {"graph": 1, "nested": {"x": [1, None]}}
    assert (before[4].value, before[4].record) == told(second, 1)
    assert (first.state, second.state) == ({"hyper": [0.25], "count": 3}, None)
    assert [(trial.arm, trial.point["graph"]) for trial in beside] == [("random", 20)]


def test_what_a_process_left_running_is_failed_and_missing_again(storage):
    clock = Clock()
    with abandoned(storage, clock=clock) as study:
        batch = study.open_batch("search", asked(4))
        run(study, batch, (1,))
        study.begin(batch, (0, 2))
    clock.now += 61
    with opened(storage, clock=clock) as study:
        (batch,) = study.batches()
        assert study.missing(batch) == (0, 2, 3)
        run(study, batch)
        assert [trial.number for trial in study.trials()] == [0, 1, 2, 3]
    (found,) = read_storage(storage).studies
    assert found.arms["search"].counts() == {"ended": 4, "stopped": 0, "failed": 2, "running": 0}
    states = [(trial.position, trial.attempt, trial.state) for trial in arm(storage).attempts]
    assert states == [
        *((1, 1, "ended"), (0, 1, "failed"), (2, 1, "failed")),
        *((0, 2, "ended"), (2, 2, "ended"), (3, 1, "ended")),
    ]
    assert "ended before it did" in arm(storage).attempts[1].reason


def arm(storage):
    (found,) = read_storage(storage).studies
    return found.arms["search"]


def test_retries_are_capped_and_counted_over_resumptions(storage):
    clock = Clock()
    for _ in range(3):
        with abandoned(storage, clock=clock) as study:
            (batch,) = study.batches() or [study.open_batch("search", asked(2))]
            study.begin(batch, (1,))
        clock.now += 61
    with opened(storage, clock=clock) as study:
        assert study.missing(batch) == (0, 1)
        with pytest.raises(StudyError, match=r"batch 0, position 1\) of .* failed 3 times.*than 2"):
            study.begin(batch, (0, 1))
        run(study, batch, (0,))
    with opened(storage, retries=3) as study:
        run(study, batch)
        assert len(study.trials()) == 2


def test_a_failure_is_retried_and_the_last_reason_told(storage):
    with opened(storage, retries=1) as study:
        batch = study.open_batch("search", asked(2))
        study.begin(batch, (0, 1))
        study.fail(batch, 0, "the worker was lost")
        assert study.missing(batch) == (0, 1)
        with pytest.raises(StudyError, match=r"position 0.* was not begun"):
            study.fail(batch, 0, "again")
        study.begin(batch, (0,))
        with pytest.raises(StudyError, match="failed 2 times, the last time because memory was"):
            study.fail(batch, 0, "memory was short")
        study.finish(batch, 1, *told(batch, 1))
    assert [trial.reason for trial in arm(storage).attempts] == [
        *("the worker was lost", None, "memory was short")
    ]


def test_an_orderly_end_gives_back_what_runs_and_counts_nothing(storage):
    for _ in range(5):
        with opened(storage, retries=0) as study:
            (batch,) = study.batches() or [study.open_batch("search", asked(2))]
            study.begin(batch, (0,))
    with opened(storage, retries=0) as study:
        run(study, batch)
        assert len(study.trials()) == 2
    assert [trial.counts for trial in arm(storage).attempts] == [False] * 5 + [True] * 2
    assert arm(storage).attempts[-2].attempt == 6


def test_no_position_is_ended_twice(storage):
    with opened(storage) as study:
        batch = study.open_batch("search", asked(2))
        with pytest.raises(StudyError, match=r"position 0.* was not begun"):
            study.finish(batch, 0, 0.5, {})
        run(study, batch, (0,))
        for again in (
            lambda: study.finish(batch, 0, 0.5, {}),
            lambda: study.fail(batch, 0, "why"),
            lambda: study.begin(batch, (0,)),
        ):
            with pytest.raises(StudyError, match=r"position 0\) has ended"):
                again()
        study.begin(batch, (1,))
        with pytest.raises(StudyError, match=r"position 1\) is running"):
            study.begin(batch, (1,))
        with pytest.raises(StudyError, match="position 2 is not in batch 0"):
            study.begin(batch, (2,))
    assert len(arm(storage).attempts) == 2


def test_a_trial_that_somebody_else_ended_is_not_ended_again(storage):
    """The last line of defence, which is the storage's own: what has ended stays as it is."""
    with opened(storage) as study:
        batch = study.open_batch("search", asked(1))
        study.begin(batch, (0,))
        backend = open_storage(foreign(storage), write=False).backend
        study_id = backend.get_study_id_from_name("bogp")
        trial_id = backend.get_trial_id_from_study_id_trial_number(study_id, 0)
        failure = sealed({"reason": "theirs", "counts": True, "finished": 1e9})
        backend.set_trial_user_attr(trial_id, "failure", failure)
        backend.set_trial_state_values(trial_id, TrialState.FAIL)
        for _ in range(2):
            with pytest.raises(StudyError, match="was written to by another process"):
                study.finish(batch, 0, 0.5, {})
    (trial,) = arm(storage).attempts
    assert (trial.state, trial.reason, trial.value) == ("failed", "theirs", None)


def test_bad_numbers_and_values_change_nothing(storage):
    with opened(storage) as study:
        batch = study.open_batch("search", asked(1))
        study.begin(batch, (0,))
        for given, said in (
            ((float("nan"), {}), "finite"),
            ((0.5, {"x": object()}), "cannot be stored as JSON"),
        ):
            with pytest.raises(StudyError, match=said):
                study.finish(batch, 0, *given)
        with pytest.raises(StudyError, match="2 values for 1 objectives"):
            study.finish(batch, 0, 0.5, {}, second=0.9)
        with pytest.raises(StudyError, match="batch of no trials"):
            study.open_batch("search", [])
        with pytest.raises(StudyError, match="criterion = 'synflow' is not one of random, snip"):
            study.open_batch("search", [PlannedTrial({}, {"criterion": "synflow"})])
        with pytest.raises(StudyError, match="cannot be stored as JSON"):
            study.open_batch("search", [PlannedTrial({"x": object()}, {})])
        with pytest.raises(UnknownNameError):
            study.open_batch("rondom", asked(1))
        assert study.batches() == (batch,)
        study.finish(batch, 0, *told(batch, 0))
    with pytest.raises(StudyError, match="is closed"):
        study.note("late", 1)


def test_two_objectives(storage):
    objectives = ("accuracy", "sparsity")
    with opened(storage, objectives=objectives) as study:
        batch = study.open_batch("search", asked(2))
        study.begin(batch, (0, 1))
        with pytest.raises(StudyError, match="1 values for 2 objectives"):
            study.finish(batch, 0, 0.5, {})
        study.finish(batch, 0, 0.5, {}, second=0.9, steps=(0.25,))
        study.finish(batch, 1, 0.25, {}, second=0.75, steps=(0.125,), stopped=True)
        before = study.trials()
    assert [(t.value, t.second, t.stopped, t.steps) for t in before] == [
        (0.5, 0.9, False, (0.25,)),
        (0.25, 0.75, True, (0.125,)),
    ]
    with opened(storage, objectives=objectives) as study:
        assert study.trials() == before
    with pytest.raises(StudyError, match="was made with objectives = "):
        opened(storage)


OTHERS = {
    "seed = 1, not 2": {"seed": 2},
    "alpha = None, not 0.5": {"alpha": 0.5},
    "properties = ": {"properties": ["a"]},
    "recipe.epochs = 3, not 5": {"recipe": {"epochs": 5}},
    "extra = None, not 1": {"extra": 1},
}


def test_other_settings_are_refused_by_the_first_that_differs(storage):
    with opened(storage) as study:
        run(study, study.open_batch("search", asked(1)))
    before = read_storage(storage)
    for said, other in OTHERS.items():
        with pytest.raises(StudyError, match=f"was made with {said}.*same settings to resume"):
            opened(storage, SETTINGS | other)
    assert read_storage(storage) == before
    opened(storage).close()  # The refusals let the study go.


def test_a_storage_keeps_several_studies_apart(storage):
    for number, name in enumerate(("one", "two")):
        with opened(storage, {"seed": number}, name=name) as study:
            run(study, study.open_batch("search", asked(number + 1)))
            run(study, study.open_batch("random", asked(1)))
    found = read_storage(storage)
    assert [(study.name, study.settings["seed"]) for study in found.studies] == [
        *(("one", 0), ("two", 1))
    ]
    assert [study.arms["search"].counts()["ended"] for study in found.studies] == [1, 2]
    assert found.others == ()
    assert found.study("two") == found.studies[1]
    with pytest.raises(StudyError, match="holds 2 studies: name one with --name, one or two"):
        found.study(None)
    with pytest.raises(UnknownNameError, match="did you mean two"):
        found.study("twoo")
    with pytest.raises(StudyError, match="has a slash"):
        opened(storage, name="one/random")


def foreign(storage):
    """Return a storage for Optuna's own functions."""
    return storage if isinstance(storage, optuna.storages.BaseStorage) else address(storage)


def address(storage):
    return storage if "://" in str(storage) else f"sqlite:///{storage}"


def test_studies_of_others_are_left_alone(storage):
    theirs = optuna.create_study(storage=foreign(storage), study_name="theirs")
    theirs.tell(theirs.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), 1.0)
    theirs.ask()
    before = theirs.get_trials()
    with pytest.raises(StudyError, match="'theirs' is a study that bogp did not make"):
        opened(storage, name="theirs")
    with opened(storage) as study:
        run(study, study.open_batch("search", asked(1)))
    assert theirs.get_trials() == before
    assert theirs.user_attrs == {}
    assert read_storage(storage).others == ("theirs",)
    assert [study.name for study in read_storage(storage).studies] == ["bogp"]


@pytest.mark.parametrize("arm_name", ["bogp", "bogp/random"])
def test_a_name_that_somebody_else_has_is_refused(storage, arm_name):
    study = optuna.create_study(storage=foreign(storage), study_name=arm_name, direction="maximize")
    study.set_user_attr("mine", 1)
    with pytest.raises(StudyError, match="a study that bogp did not make"):
        opened(storage)
    assert study.user_attrs == {"mine": 1}


def test_a_study_that_was_killed_before_it_had_its_mark_is_made(storage):
    optuna.create_study(storage=foreign(storage), study_name="bogp", direction="maximize")
    with opened(storage) as study:
        run(study, study.open_batch("search", asked(1)))
    with opened(storage) as study:
        assert len(study.trials()) == 1


def test_optuna_reads_parameters_values_and_states(storage):
    with opened(storage) as study:
        batch = study.open_batch("search", asked(3))
        study.begin(batch, (0, 1, 2))
        study.finish(batch, 0, 0.5, {"x": 1}, steps=(0.25, 0.5))
        study.finish(batch, 1, 0.25, {"x": 2}, stopped=True, steps=(0.25,))
        study.fail(batch, 2, "why")
        run(study, study.open_batch("random", asked(1)))
    study = optuna.load_study(study_name="bogp", storage=foreign(storage))
    states = [(trial.state, trial.values) for trial in study.trials]
    assert states == [
        (TrialState.COMPLETE, [0.5]),
        (TrialState.PRUNED, [0.25]),
        (TrialState.FAIL, None),
    ]
    assert study.trials[0].params == {"p": 0.0, "rounds": 1, "criterion": "snip"}
    assert study.trials[0].distributions == distributions(asked(1)[0].parameters, SPACE)
    assert study.trials[0].intermediate_values == {1: 0.25, 2: 0.5}
    assert study.best_trial.number == 0
    assert study.metric_names == ["accuracy"]
    other = optuna.load_study(study_name="bogp/random", storage=foreign(storage))
    assert len(other.trials) == 1


def test_times_and_large_values_are_stored(storage):
    with opened(storage) as study:
        batch = study.open_batch("search", asked(2))
        study.begin(batch, (0, 1))
        study.finish(batch, 0, -3.5e300, {"x": 1})
        study.fail(batch, 1, "why")
        assert study.trials()[0].value == -3.5e300
    for trial in optuna.load_study(study_name="bogp", storage=foreign(storage)).trials:
        assert trial.datetime_start <= trial.datetime_complete
        age = optuna.trial.create_trial(value=0.0).datetime_start - trial.datetime_start
        assert 0 <= age.total_seconds() < 60


NAMES = st.sampled_from(["p", "rounds", "other"])


@given(st.dictionaries(NAMES, st.integers(-50, 50)), st.integers(-9, 9), st.integers(0, 9))
def test_a_range_holds_every_value_it_is_given(values, low, width):
    space = {"p": (float(low), float(low + width)), "rounds": (low, low + width)}
    found = distributions(values, space)
    for name, number in values.items():
        assert found[name]._contains(found[name].to_internal_repr(number))
    kinds = {name: type(one).__name__ for name, one in found.items()}
    wanted = {"p": "FloatDistribution", "rounds": "IntDistribution", "other": "FloatDistribution"}
    assert kinds.items() <= wanted.items()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from(["search", "random"]), st.integers(1, 3)),
        st.tuples(st.just("begin"), st.sampled_from(["search", "random"]), st.integers(0, 5)),
        st.tuples(st.just("end"), st.sampled_from(["search", "random"]), st.integers(0, 5)),
        st.tuples(st.just("die"), st.just("search"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_whatever_is_done_and_wherever_it_dies_nothing_is_lost_or_doubled(steps):
    """Against a model: the asked and the ended, which a death does not change."""
    leases.CONFIRM_SECONDS, usual = 0.0, leases.CONFIRM_SECONDS
    try:
        follow(steps)
    finally:
        leases.CONFIRM_SECONDS = usual


def follow(steps):
    storage, clock = BACKENDS["memory"](None), Clock()
    sizes, ended, running = {"search": [], "random": []}, {}, set()
    study = opened(storage, clock=clock, retries=100)
    for kind, name, number in steps:
        if kind == "open":
            study.open_batch(name, asked(number))
            sizes[name].append(number)
        elif kind == "die":
            study._stop.set()  # its thread alone is what a death would end
            clock.now += 100
            study = opened(storage, clock=clock, retries=100)
            running.clear()
        elif sizes[name]:
            batch = study.batches(name)[number % len(sizes[name])]
            place = (name, batch.number, number % len(batch.trials))
            if kind == "begin" and place not in ended and place not in running:
                study.begin(batch, (place[2],))
                running.add(place)
            elif kind == "end" and place in running:
                trial = study.finish(batch, place[2], *told(batch, place[2]))
                running.remove(place)
                ended[place] = trial
        for arm_name, counts in sizes.items():
            assert [len(batch.trials) for batch in study.batches(arm_name)] == counts
            kept = [trial for place, trial in sorted(ended.items()) if place[0] == arm_name]
            assert list(study.trials(arm_name)) == kept
            for batch in study.batches(arm_name):
                missing = {(arm_name, batch.number, place) for place in study.missing(batch)}
                assert missing == {
                    (arm_name, batch.number, place)
                    for place in range(len(batch.trials))
                    if (arm_name, batch.number, place) not in ended
                }
    study.close()
