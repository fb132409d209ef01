"""What a pool search refuses, in one sentence and before there is a study."""

import pytest
from bogp.pipeline.pool_settings import PoolSettings, pool_settings

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
from bogp.training import Recipe

TWO = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
SMALL = {
    "sparsity": 0.8, "model": "mlp:16", "recipe": TWO, "trials": 2, "batch": 2, "pool": 10,
    "final_seeds": 0,
}  # fmt: skip

NO_GOAL = {"sparsity": None}
WRONG = {
    "no goal": (NO_GOAL, SettingError, "give one of a sparsity .*: 0 are given"),
    "two goals": ({"alpha": 0.5}, SettingError, "2 are given"),
    "three goals": ({"alpha": 0.5, "pareto": True}, SettingError, "3 are given"),
    "alpha": ({**NO_GOAL, "alpha": float("nan")}, SettingError, "alpha nan"),
    "sparsity": ({"sparsity": 1.2}, SparsityError, r"1\.2 is not in \[0, 1\)"),
    "sparsities": ({**NO_GOAL, "pareto": True, "sparsities": (0.5, 1.0)}, SparsityError, r"1\.0"),
    "sparsities beside one": ({"sparsities": (0.5,)}, SettingError, "go with alpha or pareto"),
    "too dense": ({"sparsity": 0.3}, DatabaseError, "sparsity 0.5, 0.8: none is as dense"),
    "trials": ({"trials": 0}, SettingError, "0 trials"),
    "finals": ({"final_seeds": -1}, SettingError, "-1 final seeds"),
    "workers": ({"workers": 0}, SettingError, "0 workers"),
    "retries": ({"retries": -1}, StudyError, "retries -1"),
    "name": ({"name": "a/b"}, StudyError, "'a/b'"),
    "batch": ({"batch": 0}, SettingError, "a batch of 0"),
    "population": ({"population": 0}, SettingError, "in populations of 0"),
    "replicates": ({"replicates": 1.0}, SettingError, r"replicates 1.0 is not in \[0, 1\)"),
    "no replicates": ({"replicates": float("nan")}, SettingError, "replicates nan"),
    "late rung": ({"rungs": (2,)}, SettingError, "a rung after 2 of 2 epochs"),
    "early rung": ({"rungs": (0,)}, SettingError, "are not ascending epochs"),
    "descending": ({"rungs": (1, 1)}, SettingError, "are not ascending epochs"),
    "keep": ({"keep": 1.0}, SettingError, "keep 1.0"),
    "keep without rungs": ({"keep": 0.0, "rungs": ()}, SettingError, "keep 0.0"),
    "criterion": ({"criteria": ("snap",)}, UnknownNameError, "did you mean snip"),
    "no criterion": ({"criteria": ()}, SettingError, "at least one criterion"),
    "rounds": ({"rounds": (0,)}, SettingError, "rounds of 1 or more"),
    "no rounds": ({"rounds": ()}, SettingError, "at least one"),
    "pool": ({"pool": 0}, SettingError, "a pool of 0"),
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
    "setting": ({"kappa": 2.0}, SettingError, "engine 'pool' has no setting 'kappa'"),
    "engine": ({"engine": "pol"}, UnknownNameError, "did you mean pool"),
    "workers of paper": ({"engine": "paper", "workers": 2}, SettingError, "use engine 'pool'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_refused_before_there_is_a_study(graphs, toy, tmp_path, case):
    changes, error, text = WRONG[case]
    with pytest.raises(error, match=text) as refused:
        bogp.search(graphs, toy, study=tmp_path / "study.db", **(SMALL | changes))
    assert isinstance(refused.value, BogpError)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_graphs_that_are_too_thin_for_the_model_are_refused_at_once(toy, tmp_path):
    """In layers of another shape than the database's graphs of one sparsity differ in weights."""
    shape = {"nodes": 12, "shape": (12, 12), "sparsities": (0.8,), "graphs": 30}
    with (
        bogp.GraphDatabase.build(tmp_path / "other.db", **shape) as other,
        pytest.raises(SparsityError, match=r"graph \d+ of sparsity 0.8 keeps only .* too few"),
    ):
        bogp.search(other, toy, study=tmp_path / "study.db", **(SMALL | {"model": "mlp:17"}))
    assert not (tmp_path / "study.db").exists()


def test_a_study_of_other_settings_is_refused(graphs, toy, tmp_path):
    study = tmp_path / "study.db"
    bogp.search(graphs, toy, study=study, random_arm=False, **SMALL)
    for changes, text in (({"seed": 1}, "seed = 0, not 1"), ({"batch": 3}, "batch = 2, not 3")):
        with pytest.raises(StudyError, match=f"made with {text}"):
            bogp.search(graphs, toy, study=study, random_arm=False, **(SMALL | changes))


def test_lists_and_single_values_are_as_good_as_tuples():
    given = {"pareto": True, "sparsities": [0.8, 0.5], "rounds": 5, "criteria": "snip"}
    settings = pool_settings(given | {"properties": ["clustering"], "rungs": [1], "recipe": TWO})
    assert settings.sparsities == (0.8, 0.5)
    assert settings.rounds == (5,)
    assert settings.criteria == ("snip",)
    assert settings.properties == ("clustering",)
    assert settings.rungs == (1,)


def test_targets_are_distinct_and_those_of_the_database_by_default(graphs):
    assert PoolSettings(pareto=True).targets(graphs) == (0.5, 0.8)
    assert PoolSettings(pareto=True, sparsities=(0.9, 0.5, 0.9)).targets(graphs) == (0.5, 0.9)
    assert PoolSettings(sparsity=0.7).targets(graphs) == (0.7,)


def test_rungs_by_default_are_one_after_a_third():
    assert PoolSettings(recipe="calibrated").rung_epochs == (1,)
    assert PoolSettings(recipe="written").rung_epochs == (16,)
    one = Recipe(learning_rate=0.01, epochs=1)
    assert PoolSettings(recipe=one).halving is None
    assert PoolSettings(rungs=()).halving is None
