import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest

from bogp.database import GraphDatabase, connect
from bogp.errors import DatabaseError

real = connect._connection

SETTINGS = {
    "nodes": 9,
    "sparsities": (0.4, 0.7),
    "graphs": 1030,
    "family": "ws_flex",
    "names": ("clustering", "cycle_rank"),
}

KILLED = """
import os, signal, sys
from pathlib import Path
from bogp.database import connect

connection = connect.connect(Path(sys.argv[1]), write=True)
connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the end
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE vector SET properties = zeroblob(length(properties))")
connection.execute("DELETE FROM graph")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return the folder of a database that was being written to at a kill, and what was there."""
    folder = tmp_path_factory.mktemp("killed")
    path = folder / "g.db"
    GraphDatabase.build(path, **SETTINGS).close()
    before = path.read_bytes()
    run = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert (folder / "g.db-journal").stat().st_size > 0
    assert path.read_bytes() != before  # the kill fell among the writing
    return folder, before


@pytest.mark.parametrize("act", ["open", "build"])
def test_what_a_kill_left_half_written_is_undone(killed, tmp_path, act, monkeypatch):
    folder, before = killed
    path = tmp_path / "g.db"
    for name in ("g.db", "g.db-journal"):
        shutil.copy(folder / name, tmp_path / name)
    with monkeypatch.context() as patch:
        patch.setattr(connect, "_connection", lambda path, mode: real(path, "ro"))
        with pytest.raises(DatabaseError, match=r"was interrupted while being written .*: open it"):
            GraphDatabase.open(path)  # where nothing can be written
    if act == "open":
        GraphDatabase.open(path).close()
    else:
        GraphDatabase.build(path, **SETTINGS).close()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_journal_of_somebody_else_is_left_alone(tmp_path):
    path, journal = tmp_path / "g.db", tmp_path / "g.db-journal"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE plan (name, value)")
    journal.write_bytes(b"x" * 512)  # which SQLite takes for one to roll back
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="is an SQLite file but not a bogp database"):
        GraphDatabase.open(path)
    assert (path.read_bytes(), journal.read_bytes()) == (before, b"x" * 512)
