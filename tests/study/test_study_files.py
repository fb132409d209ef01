"""Studies in files: the lock, files that are none, and processes that are killed."""

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import filelock
import optuna
import pytest
from study_backends import SETTINGS, asked, opened, run, work

from bogp.database import GraphDatabase
from bogp.errors import OutputError, StudyError
from bogp.study.reading import read_storage
from bogp.study.study import Study


def test_a_study_without_a_file_is_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for storage in (None, "sqlite://", "sqlite:///:memory:"):
        with opened(storage) as study:
            run(study, study.open_batch("search", asked(2)))
            assert len(study.trials()) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_its_address_are_one_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with opened(Path("study.db")) as study:
        run(study, study.open_batch("search", asked(1)))
        with pytest.raises(StudyError, match="in use by another process"):
            opened("sqlite:///study.db")
    for storage in ("study.db", "sqlite:///study.db", f"sqlite:///{tmp_path}/study.db?timeout=9"):
        with opened(storage) as study:
            assert len(study.trials()) == 1


def test_a_second_opening_is_refused_until_the_first_closes(tmp_path):
    path = tmp_path / "study.db"
    with opened(path) as study:
        with pytest.raises(StudyError, match="in use by another process"):
            opened(path)
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
        batch = study.open_batch("search", asked(1))
        study.begin(batch, (0,))
        # Anyone may look meanwhile.
        (found,) = read_storage(path).studies
        assert found.arms["search"].counts()["running"] == 1
        study.finish(batch, 0, 0.5, {})
    with filelock.FileLock(f"{path}.lock"), pytest.raises(StudyError, match="in use"):
        opened(path)
    opened(path).close()


def text_file(path):
    path.write_text("trial,value\n1,0.5\n" * 100)


def other_tables(path):
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE addresses (name TEXT)")


def graph_database(path):
    GraphDatabase.build(path, nodes=8, sparsities=(0.5,), graphs=2).close()


@pytest.mark.parametrize("make", [text_file, other_tables, graph_database])
@pytest.mark.parametrize("opener", [opened, read_storage])
def test_a_file_that_is_no_study_is_refused_unchanged(tmp_path, make, opener):
    path = tmp_path / "file.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StudyError, match=r"file\.db' is (not a study|a database but not a study)"):
        opener(path)
    assert path.read_bytes() == before
    with filelock.FileLock(f"{path}.lock", timeout=0):
        pass


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("nowhere://user:secret@host/db", "nowhere"),
        ("postgresql+nodriver://user:secret@host/db", "cannot|can't|Can't|opened"),
        ("://", "is no address of a storage"),
        ("sqlite:///file:missing.db?mode=ro&uri=true", "unable to open database file"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence_without_its_password(storage, said):
    with pytest.raises(StudyError, match=said) as caught:
        opened(storage)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_reading_makes_nothing(tmp_path):
    for storage in (tmp_path / "study.db", f"sqlite:///{tmp_path}/study.db"):
        with pytest.raises(StudyError, match="there is no study at"):
            read_storage(storage)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("positions", [(), (1,), (0, 1, 2)])
def test_a_batch_that_was_begun_in_part_is_run_as_a_whole(tmp_path, positions):
    path, copy = tmp_path / "study.db", tmp_path / "copy.db"
    with opened(path) as study:
        batch = study.open_batch("search", asked(3), {"count": 3})
        study.begin(batch, positions)
        for end in ("", "-wal"):  # what is on the disk if it dies here
            shutil.copy(f"{path}{end}", f"{copy}{end}")
    with opened(copy) as study:
        assert study.batches() == (batch,)
        assert study.missing(batch) == (0, 1, 2)
        run(study, batch)
        assert [trial.position for trial in study.trials()] == [0, 1, 2]


def test_an_empty_file_becomes_a_study(tmp_path):
    path = tmp_path / "study.db"
    path.touch()
    opened(path).close()
    assert path.read_bytes().startswith(b"SQLite format 3\0")


@pytest.mark.parametrize("name", ["a?b", "a%41b", "a{x}b", "a b#é"])
def test_a_file_of_any_name_is_the_one_that_is_written(tmp_path, name):
    opened(tmp_path / name).close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [name, f"{name}.lock"]
    assert (tmp_path / name).read_bytes().startswith(b"SQLite format 3\0")


def test_a_new_file_has_a_write_ahead_log_and_an_old_one_keeps_its_own(tmp_path):
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    optuna.create_study(storage=f"sqlite:///{old}", study_name="theirs")
    modes = []
    for path in (new, old):
        opened(path).close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            modes.append(db.execute("PRAGMA journal_mode").fetchone()[0])
    assert modes == ["wal", "delete"]


def test_a_refusal_changes_no_byte(tmp_path):
    path = tmp_path / "study.db"
    opened(path).close()
    before = path.read_bytes()
    with pytest.raises(StudyError, match="made with seed"):
        opened(path, SETTINGS | {"seed": 2})
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        opened(tmp_path / "file" / "study.db")


def test_what_a_kill_left_of_making_a_file_is_in_nobody_s_way(tmp_path):
    path = tmp_path / "study.db"
    (tmp_path / "study.db.new").write_bytes(b"half of it")
    opened(path).close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["study.db", "study.db.lock"]


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from study_backends import opened, work

path, seed, deaths = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
opened(path.with_name("warm.db")).close()  # imports what every child needs
generator = random.Random(seed)
for death in range(deaths):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        work(path, 0.01, lambda: os.write(write, b"."))
        os._exit(0)
    os.close(write)
    if death % 4:  # else it may be killed while it opens the study, or makes the file
        os.read(read, 1)
    time.sleep(generator.uniform(0.0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.close(read)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
work(path)
"""


def test_killed_at_random_moments_it_ends_as_an_unbroken_one(tmp_path):
    """No trial lost and none doubled, whatever a kill interrupts: making the file, too."""
    unbroken, killed = tmp_path / "unbroken.db", tmp_path / "killed.db"
    work(unbroken)
    arguments = [str(Path(__file__).parent), str(killed), "1", "12"]
    told = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split().count("-9") > 3
    found = []
    for path in (unbroken, killed):
        with opened(path) as study:
            found.append((study.trials(), study.trials("random"), study.batches()))
        (stored,) = read_storage(path).studies
        for arm in stored.arms.values():
            ended = [(t.batch, t.position) for t in arm.attempts if t.state == "ended"]
            assert len(set(ended)) == len(ended) == arm.asked
    assert found[0] == found[1]
    assert len(found[0][0]) == 16
    assert len(arm_failures(killed)) > 2


def arm_failures(path):
    (stored,) = read_storage(path).studies
    return [trial.reason for arm in stored.arms.values() for trial in arm.attempts if trial.reason]


BETWEEN = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from study_backends import asked, opened, told
study = opened(sys.argv[2])
batch = study.open_batch("search", asked(3))
study.begin(batch, (0, 1, 2))
study.finish(batch, 1, *told(batch, 1))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_between_begin_and_finish(tmp_path):
    path = tmp_path / "study.db"
    arguments = [str(Path(__file__).parent), str(path)]
    died = subprocess.run([sys.executable, "-c", BETWEEN, *arguments], check=False)
    assert died.returncode == -signal.SIGKILL
    (stored,) = read_storage(path).studies
    states = [trial.state for trial in stored.arms["search"].attempts]
    assert states == ["running", "ended", "running"]
    with opened(path) as study:
        (batch,) = study.batches()
        assert study.missing(batch) == (0, 2)
        assert [trial.position for trial in study.trials()] == [1]
        run(study, batch)
        assert [trial.position for trial in study.trials()] == [0, 1, 2]
    reasons = set(arm_failures(path))
    assert len(reasons) == 1
    assert " ended before it did" in reasons.pop()


def test_bad_arguments_leave_no_file(tmp_path):
    path = tmp_path / "study.db"
    for options in ({"name": ""}, {"objectives": ()}, {"lease_seconds": 0}, {"retries": -1}):
        with pytest.raises(StudyError):
            Study(path, SETTINGS, **options)
    with pytest.raises(StudyError, match="cannot be stored as JSON"):
        Study(None, {"x": object()})
    assert list(tmp_path.iterdir()) == []
