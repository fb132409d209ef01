"""What a pool search refuses, in one sentence and before there is a study."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from training_helpers import search

import bogp
from bogp.errors import (
    BogpError,
    DatabaseError,
    GraphError,
    MaskError,
    SettingError,
    SparsityError,
    StudyError,
    UnknownNameError,
)
from bogp.pipeline.pool_space import _targets
from bogp.pipeline.records import search_halving
from bogp.settings.search import SearchSettings
from bogp.training import Recipe

TWO = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
SMALL = {
    "sparsity": 0.8, "model": "mlp:16", "layers": "hidden", "recipe": TWO, "trials": 2,
    "batch": 2, "pool": 10, "final_seeds": 0,
}  # fmt: skip

NO_GOAL = {"sparsity": None}
WRONG = {
    "no goal": (NO_GOAL, SettingError, "give one of a sparsity .*: 0 are given"),
    "two goals": ({"alpha": 0.5}, SettingError, "2 are given"),
    "three goals": ({"alpha": 0.5, "pareto": True}, SettingError, "3 are given"),
    "alpha": ({**NO_GOAL, "alpha": float("nan")}, SettingError, "alpha = nan: it should be"),
    "sparsity": ({"sparsity": 1.2}, SparsityError, r"1\.2 is not in \[0, 1\)"),
    "sparsities": ({**NO_GOAL, "pareto": True, "sparsities": (0.5, 1.0)}, SparsityError, r"1\.0"),
    "sparsities beside one": ({"sparsities": (0.5,)}, SettingError, "go with alpha or pareto"),
    "too dense": ({"sparsity": 0.3}, DatabaseError, "sparsity 0.5, 0.8: none is as dense"),
    "trials": ({"trials": 0}, SettingError, "trials = 0: it should be greater"),
    "finals": ({"final_seeds": -1}, SettingError, "final_seeds = -1: it should be greater"),
    "workers": ({"workers": 0}, SettingError, "workers = 0: it should be greater"),
    "retries": ({"retries": -1}, SettingError, "retries = -1: it should be greater"),
    "name": ({"name": "a/b"}, StudyError, "'a/b'"),
    "batch": ({"batch": 0}, SettingError, "batch = 0: it should be greater"),
    "population": ({"population": 0}, SettingError, "population = 0: it should be greater"),
    "replicates": ({"replicate_share": 1.0}, SettingError, "replicate_share = 1.0: it"),
    "no replicates": ({"replicate_share": float("nan")}, SettingError, "replicate_share = nan"),
    "late rung": ({"rungs": (2,)}, SettingError, "a rung after 2 of 2 epochs"),
    "early rung": ({"rungs": (0, 1)}, SettingError, "are not ascending epochs"),
    "descending": ({"rungs": (1, 1)}, SettingError, "are not ascending epochs"),
    "survivors": ({"survivors": 1.0}, SettingError, "survivors = 1.0: it should be less"),
    "survivors without rungs": (
        {"survivors": 0.0, "rungs": ()}, SettingError, "survivors = 0.0: it should be greater",
    ),
    "criterion": ({"criteria": ("snap",)}, UnknownNameError, "did you mean snip"),
    "rounds": ({"rounds": (0,)}, SettingError, "rounds = 0: it should be greater"),
    "no rounds": ({"rounds": ()}, SettingError, r"rounds = \(\): .* at least 1 item"),
    "pool": ({"pool": 0}, SettingError, "pool = 0: it should be greater"),
    "acquisition": ({"acquisition": "ucp"}, UnknownNameError, "did you mean ucb"),
    "of one winner": (
        {**NO_GOAL, "pareto": True, "acquisition": "ucb"}, SettingError, "with pareto leave it out",
    ),
    "property": ({"properties": ("clusterin",)}, UnknownNameError, "did you mean clustering"),
    "recipe": ({"recipe": "writen"}, UnknownNameError, "did you mean written"),
    "protocol": ({"protocol": "holdot"}, UnknownNameError, "did you mean holdout"),
    "layers": ({"layers": "hiden"}, MaskError, "'hiden' is unknown"),
    "model": ({"model": "cnn"}, SettingError, "model 'cnn' is unknown"),
    "narrow": ({"model": "mlp:8"}, GraphError, "12 nodes do not fit a layer of 8 outputs"),
    "foreign": ({"kappa": 2.0}, SettingError, "kappa = 2.0: engine 'pool' has no such setting"),
    "setting": ({"trails": 2}, SettingError, "no setting 'trails'"),
    "engine": ({"engine": "pol"}, UnknownNameError, "did you mean pool"),
    "of the pool alone": ({"engine": "paper"}, SettingError, "pool = 10: engine 'paper' has"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_refused_before_there_is_a_study(graphs, toy, tmp_path, case):
    changes, error, text = WRONG[case]
    with pytest.raises(error, match=text) as refused:
        search(graphs, toy, study=tmp_path / "study.db", **(SMALL | changes))
    assert isinstance(refused.value, BogpError)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ["paper", "random"])
def test_engines_that_train_one_after_another_take_no_workers(graphs, toy, tmp_path, engine):
    given = {"engine": engine, "sparsity": 0.8, "model": "mlp:16", "recipe": TWO, "trials": 2}
    with ThreadPoolExecutor(1) as threads:
        for where in ({"workers": 2}, {"executor": threads}):
            with pytest.raises(SettingError, match="one mask after another: use engine 'pool'"):
                search(graphs, toy, study=tmp_path / "study.db", **given, **where)
    assert list(tmp_path.iterdir()) == []


def test_graphs_that_are_too_thin_for_the_model_are_refused_at_once(toy, tmp_path):
    """In layers of another shape than the database's graphs of one sparsity differ in weights."""
    shape = {"nodes": 12, "shape": (12, 12), "sparsities": (0.8,), "graphs": 30}
    with (
        bogp.GraphDatabase.build(tmp_path / "other.db", **shape) as other,
        pytest.raises(SparsityError, match=r"graph \d+ of sparsity 0.8 keeps only .* too few"),
    ):
        search(other, toy, study=tmp_path / "study.db", **(SMALL | {"model": "mlp:17"}))
    assert not (tmp_path / "study.db").exists()


def test_a_study_of_other_settings_is_refused(graphs, toy, tmp_path):
    study = tmp_path / "study.db"
    search(graphs, toy, study=study, random_search=False, **SMALL)
    for changes, text in (({"seed": 1}, "seed = 0, not 1"), ({"batch": 3}, "batch = 2, not 3")):
        with pytest.raises(StudyError, match=f"made with {text}"):
            search(graphs, toy, study=study, random_search=False, **(SMALL | changes))


def test_lists_and_single_values_are_as_good_as_tuples():
    given = {"pareto": True, "sparsities": [0.8, 0.5], "rounds": 5, "criteria": "snip"}
    settings = SearchSettings(**given, properties=["clustering"], rungs=[1], recipe=TWO)
    assert settings.sparsities == (0.8, 0.5)
    assert settings.rounds == (5,)
    assert settings.criteria == ("snip",)
    assert settings.properties == ("clustering",)
    assert settings.rungs == (1,)


def test_targets_are_distinct_and_those_of_the_database_by_default(graphs):
    for given, targets in (
        ({"pareto": True}, (0.5, 0.8)),
        ({"pareto": True, "sparsities": (0.9, 0.5, 0.9)}, (0.5, 0.9)),
        ({"sparsity": 0.7}, (0.7,)),
    ):
        assert _targets(SearchSettings(**given), graphs) == targets


def test_rungs_by_default_are_one_after_a_third():
    one = Recipe(learning_rate=0.01, epochs=1)
    for given, rungs in (
        ({"recipe": "calibrated"}, (1,)),
        ({"recipe": "written"}, (16,)),
        ({"recipe": one}, ()),
        ({"rungs": ()}, ()),
        ({"rungs": 0}, ()),  # as --rung 0 says
        ({"engine": "paper"}, ()),
    ):
        settings = SearchSettings(sparsity=0.8, **given)
        assert settings.rung_epochs == rungs
        halving = search_halving(settings)
        assert (None if halving is None else halving.rungs) == (rungs or None)
