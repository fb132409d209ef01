import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import filelock
import numpy as np
import pytest

from bogp.database import GraphDatabase, connect
from bogp.errors import BogpError, DatabaseError

SETTINGS = {"nodes": 12, "sparsities": (0.4, 0.8), "graphs": 150, "seed": 3}
SCRIPT = f"""
import sys, time
from bogp.database import GraphDatabase

def progress(done, total):
    print(done, flush=True)
    time.sleep(0.02)  # so that the build outlasts the wait before the kill

GraphDatabase.build(sys.argv[1], **{SETTINGS}, progress=progress)
"""


def content(path):
    """Return every row of every table."""
    with sqlite3.connect(path) as connection:
        tables = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in ("plan", "graph", "vector")
        }
    connection.close()
    return tables


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("build") / "whole.db"
    GraphDatabase.build(path, **SETTINGS).close()
    return path


def test_a_finished_build_is_one_file(whole):
    assert [entry.name for entry in whole.parent.iterdir()] == ["whole.db"]
    rows = content(whole)
    assert [row[0] for row in rows["graph"]] == list(range(300))
    assert [row[0] for row in rows["vector"]] == list(range(300))
    assert len({row[6] for row in rows["graph"]}) > 290  # the graphs differ


def test_the_same_settings_give_the_same_rows(whole, tmp_path):
    GraphDatabase.build(tmp_path / "again.db", **SETTINGS).close()
    assert content(tmp_path / "again.db") == content(whole)
    GraphDatabase.build(tmp_path / "other.db", **(SETTINGS | {"seed": 4})).close()
    other = content(tmp_path / "other.db")
    assert other["graph"][0][6] != content(whole)["graph"][0][6]


def test_a_graph_does_not_depend_on_what_else_is_built(whole, tmp_path):
    GraphDatabase.build(
        tmp_path / "part.db", **(SETTINGS | {"sparsities": (0.8,), "graphs": 20})
    ).close()
    part, rows = content(tmp_path / "part.db"), content(whole)
    assert [row[1:] for row in part["graph"]] == [row[1:] for row in rows["graph"][150:170]]
    assert [row[1:] for row in part["vector"]] == [row[1:] for row in rows["vector"][150:170]]


def test_repeating_a_finished_build_touches_nothing(whole):
    before, seen = whole.read_bytes(), []
    stamp = whole.stat().st_mtime_ns
    GraphDatabase.build(whole, **SETTINGS, progress=lambda *step: seen.append(step)).close()
    assert whole.read_bytes() == before
    assert whole.stat().st_mtime_ns == stamp
    assert seen == [(300, 300)]


def test_progress_counts_every_graph(tmp_path):
    seen = []
    GraphDatabase.build(
        tmp_path / "g.db", **SETTINGS, progress=lambda *step: seen.append(step)
    ).close()
    assert seen == [(done, 300) for done in (0, 64, 128, 192, 256, 300)]


def test_a_killed_build_opens_and_continues_to_the_same_rows(whole, tmp_path):
    path = tmp_path / "killed.db"
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(path)], stdout=subprocess.PIPE, text=True
        ) as build:
            build.stdout.readline()  # the file is there and graphs are being made
            time.sleep(random.uniform(0.0, 0.05))
            build.send_signal(signal.SIGKILL)
        assert build.returncode == -signal.SIGKILL
        with GraphDatabase.open(path) as opened:
            ids, vectors = opened.vectors(opened.names)
            assert len(opened) == len(ids) < opened.expected
            if len(ids):
                np.testing.assert_allclose(
                    vectors[-1], list(opened.record(int(ids[-1])).properties.values())
                )
    with GraphDatabase.build(path, **SETTINGS) as built:
        assert built.complete
    assert content(path) == content(whole)
    assert [entry.name for entry in tmp_path.iterdir()] == ["killed.db"]


def test_an_interrupt_keeps_what_is_built(whole, tmp_path):
    path = tmp_path / "g.db"

    def interrupt(done, total):
        if done == 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GraphDatabase.build(path, **SETTINGS, progress=interrupt)
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.db"]
    with GraphDatabase.open(path) as opened:
        assert len(opened) == 128
        assert not opened.complete
        with pytest.raises(DatabaseError, match=r"graph 200 is not in .* has 128 of its 300"):
            opened.record(200)
        assert opened.coverage(0.8) == {}
        with pytest.raises(DatabaseError, match="no graph to choose from"):
            opened.nearest({"clustering": 0.2}, sparsity=0.8)
        GraphDatabase.build(path, **SETTINGS).close()  # beside an open reader
        assert opened.complete
        assert len(opened.vectors()[0]) == 300  # the reader sees what came after
    assert content(path) == content(whole)


def test_a_gap_is_filled_and_nothing_else_made(whole, tmp_path):
    path = tmp_path / "g.db"
    path.write_bytes(whole.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM vector WHERE id IN (5, 170)")
        connection.execute("DELETE FROM graph WHERE id IN (5, 170)")
    connection.close()
    seen = []
    GraphDatabase.build(path, **SETTINGS, progress=lambda *step: seen.append(step)).close()
    assert seen == [(298, 300), (300, 300)]
    assert content(path) == content(whole)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 5}, "seed 3, not 5"),
        ({"graphs": 20}, "graphs 150, not 20"),
        ({"nodes": 11}, r"nodes 12, not 11; shape \[12,12\], not \[11,11\]"),
        ({"shape": (12, 15)}, r"shape \[12,12\], not \[12,15\]"),
        ({"sparsities": (0.4,)}, r"sparsities \[0.4,0.8\], not \[0.4\]"),
        ({"family": "ws_flex"}, 'family "uniform", not "ws_flex"'),
        ({"names": ("clustering",)}, "names .* not .*clustering"),
        ({"parameters": {"p": 0.5}}, 'parameters {}, not {"p":0.5}'),
    ],
)
def test_another_plan_is_refused_by_what_differs(whole, change, sentence):
    before = whole.read_bytes()
    with pytest.raises(DatabaseError, match=f"was built with {sentence}"):
        GraphDatabase.build(whole, **(SETTINGS | change))
    assert whole.read_bytes() == before
    assert [entry.name for entry in whole.parent.iterdir()] == ["whole.db"]


def foreign(tmp_path, kind):
    path = tmp_path / "foreign.db"
    if kind == "sqlite":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE plan (name, value)")
        connection.close()
    else:
        path.write_bytes({"text": b"id,clustering\n" * 40, "empty": b"", "short": b"SQL"}[kind])
    return path


@pytest.mark.parametrize("kind", ["sqlite", "text", "empty", "short"])
def test_a_file_that_is_not_ours_is_refused_and_kept(tmp_path, kind):
    path = foreign(tmp_path, kind)
    before = path.read_bytes()
    for act in (GraphDatabase.open, lambda p: GraphDatabase.build(p, **SETTINGS)):
        with pytest.raises(DatabaseError, match="not a bogp database"):
            act(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DatabaseError, match=r"no graph database at .*: make it with"):
        GraphDatabase.open(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []
    for act in (GraphDatabase.open, lambda p: GraphDatabase.build(p, **SETTINGS)):
        with pytest.raises(DatabaseError, match=r"cannot read graph database .*directory"):
            act(tmp_path)


def test_another_schema_version_is_a_sentence_of_its_own(whole, tmp_path):
    path = tmp_path / "g.db"
    path.write_bytes(whole.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = path.read_bytes()
    for act in (GraphDatabase.open, lambda p: GraphDatabase.build(p, **SETTINGS)):
        with pytest.raises(DatabaseError, match="schema version 7, and this bogp reads version 1"):
            act(path)
    assert path.read_bytes() == before


def test_an_older_file_is_migrated_by_a_build(whole, tmp_path, monkeypatch):
    path = tmp_path / "g.db"
    path.write_bytes(whole.read_bytes())
    monkeypatch.setattr(connect, "DATABASE_VERSION", 3)
    steps = {1: "CREATE TABLE extra (id INTEGER)", 2: "INSERT INTO extra VALUES (42)"}
    with pytest.raises(DatabaseError, match=r"version 1, .* version 3: use the bogp that made it"):
        GraphDatabase.build(path, **SETTINGS)
    monkeypatch.setattr(connect, "MIGRATIONS", steps | {2: "INSERT INTO nowhere VALUES (1)"})
    with pytest.raises(DatabaseError, match="nowhere"):
        GraphDatabase.build(path, **SETTINGS)
    monkeypatch.setattr(connect, "MIGRATIONS", {2: steps[2]} | steps)
    with pytest.raises(DatabaseError, match="repeat its `bogp database build`"):
        GraphDatabase.open(path)
    GraphDatabase.build(path, **SETTINGS).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT id FROM extra").fetchall() == [(42,)]
    connection.close()
    assert content(path) == content(whole)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_a_bogp_error(whole, tmp_path, share):
    path = tmp_path / "g.db"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    before = path.read_bytes()
    for act in (GraphDatabase.open, lambda p: GraphDatabase.build(p, **SETTINGS)):
        with pytest.raises(DatabaseError, match="corrupt or truncated"):
            act(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_page_raises_nothing_but_bogp_errors(whole, tmp_path, seed):
    rng = np.random.default_rng(seed)
    damaged = bytearray(whole.read_bytes())
    page = 4096 * int(rng.integers(1, len(damaged) // 4096))
    damaged[page : page + 200] = rng.bytes(200)
    path = tmp_path / "g.db"
    path.write_bytes(damaged)
    with contextlib.suppress(BogpError), GraphDatabase.open(path) as opened:
        opened.vectors()
        for graph_id in range(0, 300, 10):
            opened.record(graph_id)


def test_a_vector_of_the_wrong_length_is_corruption(whole, tmp_path):
    path = tmp_path / "g.db"
    path.write_bytes(whole.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vector SET properties = x'0011' WHERE id = 9")
    connection.close()
    with GraphDatabase.open(path) as opened, pytest.raises(DatabaseError, match="is corrupt"):
        opened.vectors()


@pytest.mark.parametrize("value", ["{", "null", "[]"])
def test_a_plan_that_cannot_be_read_is_corruption(whole, tmp_path, value):
    path = tmp_path / "g.db"
    path.write_bytes(whole.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE plan SET value = ? WHERE name = 'shape'", (value,))
    connection.close()
    with pytest.raises(DatabaseError, match=r"g\.db' is corrupt"):
        GraphDatabase.open(path)


def test_a_second_builder_is_told_to_wait(whole, tmp_path):
    path = tmp_path / "g.db"
    with (
        filelock.FileLock(tmp_path / ".g.db.lock"),
        pytest.raises(DatabaseError, match="being built by another process"),
    ):
        GraphDatabase.build(path, **SETTINGS)
    assert not path.exists()

    refused = []

    def second(done, total):
        if done == 64:
            with pytest.raises(DatabaseError, match="being built by another process") as caught:
                GraphDatabase.build(path, **SETTINGS)
            refused.append(caught.value)

    GraphDatabase.build(path, **SETTINGS, progress=second).close()
    assert len(refused) == 1
    assert content(path) == content(whole)


def test_a_finished_database_opens_where_nothing_can_be_written(whole, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root can write everywhere")
    path = tmp_path / "shelf" / "g.db"
    path.parent.mkdir()
    path.write_bytes(whole.read_bytes())
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        with GraphDatabase.open(path) as opened:
            assert len(opened) == 300
    finally:
        path.parent.chmod(0o755)


def test_a_path_may_hold_any_character(whole, tmp_path):
    path = tmp_path / "a #1 100%?.db"
    path.write_bytes(whole.read_bytes())
    with GraphDatabase.open(path) as opened:
        assert opened.complete
