import contextlib
import sqlite3
import subprocess
import sys

import filelock
import numpy as np
import optuna
import pytest

from bogp.database import GraphDatabase
from bogp.errors import OutputError, StudyError
from bogp.search import Proposal, Space, Study

SPACE = Space(np.arange(4), ("a", "b"), np.array([[0.0, 1], [1, 1], [2, 1], [3, 1]]))
SETTINGS = {"seed": 1, "properties": ("a", "b"), "alpha": None}


def add(study, proposal, value, **record):
    study.finish(study.begin(proposal, SPACE), value, record)


def test_what_is_told_is_read_back(tmp_path):
    path = tmp_path / "deep" / "study.db"
    proposals = (Proposal({"a": 1.25, "b": 1.0}), Proposal(graph_id=3), Proposal({"a": 3, "b": 1}))
    with Study(path, SETTINGS) as study:
        assert study.trials() == ()
        for value, proposal in enumerate(proposals):
            add(study, proposal, value / 2, graph=value, nested={"x": [1, None]})
        study.note("finals", [{"seed": 1}])
        before = study.trials()
    with Study(path, SETTINGS) as study:
        assert study.trials() == before
        assert study.noted("finals") == [{"seed": 1}]
        assert study.noted("other", "default") == "default"
    assert [trial.number for trial in before] == [0, 1, 2]
    assert [trial.proposal for trial in before] == list(proposals)
    assert [trial.value for trial in before] == [0.0, 0.5, 1.0]
    assert before[1].record == {"graph": 1, "nested": {"x": [1, None]}}


def test_a_study_without_a_file_is_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Study(None, SETTINGS) as study:
        add(study, Proposal(graph_id=0), 1.0)
        assert len(study.trials()) == 1
    assert list(tmp_path.iterdir()) == []
    with Study(None, SETTINGS) as other:
        assert other.trials() == ()


def test_optuna_reads_the_values_and_what_was_proposed(tmp_path):
    path = tmp_path / "study.db"
    with Study(path, SETTINGS) as study:
        add(study, Proposal({"a": 1.5, "b": 1.0}), 0.25)
    (trial,) = optuna.load_study(study_name="bogp", storage=f"sqlite:///{path}").trials
    assert (trial.params, trial.value) == ({"a": 1.5, "b": 1.0}, 0.25)


def test_a_trial_left_behind_is_not_counted_and_not_taken_up(tmp_path):
    path = tmp_path / "study.db"
    with Study(path, SETTINGS) as study:
        add(study, Proposal(graph_id=0), 0.5)
        study.begin(Proposal(graph_id=1), SPACE)
        # As a kill between the two steps of begin() leaves it:
        study._study.enqueue_trial({"graph_id": 2})
    with Study(path, SETTINGS) as study:
        assert [trial.proposal.graph_id for trial in study.trials()] == [0]
        add(study, Proposal(graph_id=3), 0.75)
        assert [trial.proposal.graph_id for trial in study.trials()] == [0, 3]
    trials = optuna.load_study(study_name="bogp", storage=f"sqlite:///{path}").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert trials[-1].params == {"graph_id": 3}


@pytest.mark.parametrize(
    ("name", "other"),
    [("seed", {"seed": 2}), ("alpha", {"alpha": 0.5}), ("properties", {"properties": ["a"]})],
)
def test_other_settings_are_refused_by_name(tmp_path, name, other):
    path = tmp_path / "study.db"
    Study(path, SETTINGS).close()
    before = path.read_bytes()
    with pytest.raises(StudyError, match=f"was made with {name} = .*same settings to resume"):
        Study(path, SETTINGS | other)
    assert path.read_bytes() == before
    Study(path, SETTINGS).close()  # The refusal let the file go.


def test_a_setting_more_or_less_is_refused_too(tmp_path):
    path = tmp_path / "study.db"
    Study(path, SETTINGS).close()
    with pytest.raises(StudyError, match="made with extra = None, not 1"):
        Study(path, SETTINGS | {"extra": 1})
    with pytest.raises(StudyError, match="made with seed = 1, not None"):
        Study(path, {"properties": ["a", "b"], "alpha": None})


def test_a_second_opening_is_refused_until_the_first_closes(tmp_path):
    path = tmp_path / "study.db"
    with Study(path, SETTINGS):
        with pytest.raises(StudyError, match="in use by another process"):
            Study(path, SETTINGS)
        # Nor may another process, which would not share this one's locks:
        code = (
            "import sys, filelock\n"
            "try: filelock.FileLock(sys.argv[1] + '.lock', timeout=0).acquire()\n"
            "except filelock.Timeout: print('held')"
        )
        told = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        assert told.stdout == "held\n"
    with filelock.FileLock(f"{path}.lock"), pytest.raises(StudyError, match="in use"):
        Study(path, SETTINGS)
    Study(path, SETTINGS).close()


def text_file(path):
    path.write_text("trial,value\n1,0.5\n" * 100)


def other_tables(path):
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE addresses (name TEXT)")


def graph_database(path):
    GraphDatabase.build(path, nodes=8, sparsities=(0.5,), graphs=2).close()


@pytest.mark.parametrize("make", [text_file, other_tables, graph_database])
def test_a_file_that_is_no_study_is_refused_unchanged(tmp_path, make):
    path = tmp_path / "file.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StudyError, match=r"file\.db' is (not a study|a database but not a study)"):
        Study(path, SETTINGS)
    assert path.read_bytes() == before
    with filelock.FileLock(f"{path}.lock", timeout=0):
        pass


def test_a_study_of_another_maker_is_refused(tmp_path):
    path = tmp_path / "study.db"
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="bogp")
    study.tell(study.ask(), 1.0)
    with pytest.raises(StudyError, match="a study that bogp did not make"):
        Study(path, SETTINGS)


def test_a_damaged_study_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "study.db"
    Study(path, SETTINGS).close()
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(StudyError, match="not a study that can be opened") as caught:
        Study(path, SETTINGS)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_study(tmp_path):
    path = tmp_path / "study.db"
    path.touch()
    Study(path, SETTINGS).close()
    assert path.read_bytes().startswith(b"SQLite format 3\0")


@pytest.mark.parametrize("name", ["a?b", "a%41b", "a{x}b", "a b#é"])
def test_a_file_of_any_name_is_the_one_that_is_written(tmp_path, name):
    Study(tmp_path / name, SETTINGS).close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [name, f"{name}.lock"]
    assert (tmp_path / name).read_bytes().startswith(b"SQLite format 3\0")


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        Study(tmp_path / "file" / "study.db", SETTINGS)
