"""What is damaged in a study is named, what is not is still shown, and nothing is written."""

import contextlib
import json
import shutil
import sqlite3

import pytest
from study_backends import SETTINGS, asked, opened, run

from bogp.errors import StudyError
from bogp.study.reading import read_storage

# What happens to a trial that ended, and what is said of it.
ENDED = {
    "its accuracy": ("result", "replace(value_json, '0.5', '0.6')"),
    "no JSON": ("result", "'{'"),
    "nested": ("result", "replace(hex(zeroblob(5000)), '00', '[')"),
    "no object": ("result", "'5'"),
    "its point": ("point", "replace(value_json, '1', '2')"),
    "its attempt": ("attempt", "'2'"),
    "its batch": ("batch", "'77'"),
    "its lease": ("lease", "replace(value_json, '1', '2')"),
}
OTHERS = {
    "a lost name": "UPDATE trial_user_attributes SET key = 'pint' WHERE key = 'point'",
    "a lost result": "DELETE FROM trial_user_attributes WHERE key = 'result'",
    "a lost lease": "DELETE FROM trial_user_attributes WHERE key = 'lease'",
    "Optuna's value": "UPDATE trial_values SET value = 0.9 WHERE 1",
    "no value": "DELETE FROM trial_values WHERE 1",
    "a step": "UPDATE trial_intermediate_values SET intermediate_value = 0.9 WHERE step = 2",
    "stopped": "UPDATE trials SET state = 'PRUNED' WHERE 1",
    "no state": "UPDATE trials SET state = 'COMPLETF' WHERE 1",
    "running": "UPDATE trials SET state = 'RUNNING' WHERE 1",
    "its parameter": "UPDATE trial_params SET param_value = 0.99 WHERE param_name = 'p'",
    "a lost parameter": "DELETE FROM trial_params WHERE param_name = 'p'",
    "no such class": "UPDATE trial_params SET distribution_json = "
    "replace(distribution_json, 'Float', 'Floot') WHERE param_name = 'p'",
    "its time": "UPDATE trials SET datetime_start = 'yesterday' WHERE 1",
}
STUDY = "study_id = (SELECT study_id FROM studies WHERE study_name = '{}')"
WHOLE = {
    "a setting": "UPDATE study_user_attributes SET value_json = "
    "replace(value_json, '\"seed\": 1', '\"seed\": 2') WHERE key = 'bogp'",
    "no JSON": "UPDATE study_user_attributes SET value_json = '{' WHERE key = 'bogp'",
    "a batch": "UPDATE study_user_attributes SET value_json = "
    "replace(value_json, '0.5', '0.6') WHERE key = 'batch 000001'",
    "no batch": "DELETE FROM study_user_attributes WHERE key = 'batch 000000'",
    "a note": "UPDATE study_user_attributes SET value_json = "
    "replace(value_json, '1', '2') WHERE key = 'note command'",
}
FAILED, GONE = len(ENDED) + len(OTHERS), len(ENDED) + len(OTHERS) + 1
"""Numbers of the trials whose failure is changed, and that are taken out."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "study.db"
    with opened(path) as study:
        batch = study.open_batch("search", asked(GONE + 3), {"x": 0.5})
        run(study, batch, range(FAILED), steps=(0.25, 0.5))
        study.begin(batch, (FAILED,))
        study.fail(batch, FAILED, "the first try")
        run(study, batch, steps=(0.25,), stopped=True)
        run(study, study.open_batch("random", asked(1)))
    for name in (*WHOLE, "sound"):
        with opened(path, name=name) as study:
            for _ in range(2):
                run(study, study.open_batch("search", asked(1), {"x": 0.5}))
            study.note("command", {"settings": SETTINGS})
    return path


@pytest.fixture(scope="module")
def path(whole, tmp_path_factory):
    """Everything at once: each kind of damage to a trial or a study of its own."""
    target = tmp_path_factory.mktemp("damaged") / "study.db"
    shutil.copy(whole, target)
    attributes = "UPDATE trial_user_attributes SET value_json = {1} WHERE key = '{0}'"
    commands = [attributes.format(*change) for change in ENDED.values()]
    commands += OTHERS.values()
    commands += [attributes.format("failure", "replace(value_json, 'first', 'last')")]
    commands += ["DELETE FROM trials WHERE 1"]
    one = f"trial_id = (SELECT trial_id FROM trials WHERE {STUDY.format('bogp')} AND number = {{}})"
    commands = [f"{each} AND {one.format(k)}" for k, each in enumerate(commands)]
    commands += [f"{each} AND {STUDY.format(name)}" for name, each in WHOLE.items()]
    with contextlib.closing(sqlite3.connect(target)) as db, db:
        for command in commands:
            assert db.execute(command).rowcount == 1, command
    return target


def test_damaged_trials_are_named_and_the_others_are_shown(whole, path):
    content = path.read_bytes()
    found = read_storage(path)
    before, after = read_storage(whole).study("bogp"), found.study("bogp")
    names = [*ENDED, *OTHERS, "the failure", "no trial"]
    for number, name in enumerate(names):
        said = [why for why in after.damage if f"trial {number} of arm search" in why]
        assert len(said) == 1, name
    assert len(after.damage) == len(names)
    sound = [one for one in before.arms["search"].attempts if one.stored > GONE]
    assert list(after.arms["search"].attempts) == sound
    assert len(sound) == 3  # of those, one in the place of the trial whose failure was changed
    assert after.arms["random"] == before.arms["random"]
    with pytest.raises(StudyError, match=r"study 'bogp', .*; and \d+ more, which"):
        found.require_sound("bogp")
    found.require_sound("sound")
    with pytest.raises(
        StudyError, match=r"study\.db' is damaged \(the result of trial 0 of arm"
    ) as caught:
        opened(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_studies_that_are_damaged_as_a_whole_leave_the_others(whole, path):
    content = path.read_bytes()
    found = read_storage(path)
    assert sorted(found.unread) == sorted(WHOLE)
    assert [study.name for study in found.studies] == ["bogp", "sound"]
    assert found.study("sound") == read_storage(whole).study("sound")
    assert found.others == found.faults == ()
    for name in WHOLE:
        with pytest.raises(StudyError, match=f"study '{name}', "):
            found.study(name)
    for name in ("a setting", "no batch", "a note"):
        with pytest.raises(StudyError, match=r"study\.db' is damaged \("):
            opened(path, name=name)
    assert path.read_bytes() == content


def test_pages_that_do_not_go_together_are_noticed(whole, tmp_path):
    path = tmp_path / "study.db"
    content = bytearray(whole.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    for act in (opened, lambda path: read_storage(path).study(None)):
        with pytest.raises(StudyError, match=r"study\.db' is damaged") as caught:
            act(path)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_what_is_written_has_a_checksum(whole):
    with contextlib.closing(sqlite3.connect(whole)) as db:
        keys = "key = 'bogp' OR key LIKE 'note %' OR key LIKE 'batch %'"
        of_study = db.execute(f"SELECT value_json FROM study_user_attributes WHERE {keys}")
        keys = "key IN ('result', 'failure', 'lease')"
        of_trial = db.execute(f"SELECT value_json FROM trial_user_attributes WHERE {keys}")
        stored = [json.loads(value) for (value,) in (*of_study, *of_trial)]
    assert all(len(value["checksum"]) == 8 for value in stored)
