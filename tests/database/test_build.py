import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import filelock
import pytest

from bogp.database import FAMILIES, GraphDatabase, build, connect
from bogp.errors import DatabaseError, GraphError, SettingError
from bogp.graphs import generate

SETTINGS = {
    "nodes": 12,
    "sparsities": (0.4, 0.8),
    "graphs": 2100,  # blocks of 1024, 1024 and 52
    "seed": 3,
    "names": ("clustering", "edge_connectivity", "eigenvector_centrality"),
    "parameters": {"pilot": 256},
}
TABLES = ("plan", "state", "block", "vector", "origin", "graph", "wiring", "measured")
SCRIPT = f"""
import os, random, signal, sys, time
from bogp.database import GraphDatabase, build
from bogp.database.plan import make_plan
from bogp.settings.database import DatabaseSettings

build.COMMIT_SECONDS = 0.0  # a transaction for each block, so that there are many moments to hit
path = sys.argv[1]
settings = {SETTINGS}
plan = make_plan(DatabaseSettings(**settings))
build.mixture_of(plan, 1)  # with the next line: loads what is compiled, before any child
build.make_block(plan, plan.spans[2])

def told(done, total):
    os.write(writing, b".")
    time.sleep(0.1)

done, kills = 0, 0
while done < plan.expected:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        GraphDatabase.build(path, **settings, threads=2, progress=told)
        os._exit(0)
    os.close(writing)
    for _ in range(random.randint(1, 3) if kills else 0):
        os.read(reading, 1)  # a transaction, however slow this machine is; or the child has ended
    time.sleep(random.uniform(0.0, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    kills += 1
    if os.path.exists(path):
        with GraphDatabase.open(path) as opened:
            ids, vectors = opened.vectors(opened.names)
            done = len(opened)
            assert done == len(ids) == len(vectors)
            if done:
                last = opened.record(int(ids[-1]))
                assert list(last.properties.values()) == vectors[-1].tolist()
    print(done, flush=True)
assert "pyarrow" not in sys.modules  # which only tables need
"""


def content(path):
    """Return every row of every table."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in TABLES
        }


@pytest.fixture
def by_block(monkeypatch):
    """Make every block a transaction."""
    monkeypatch.setattr(build, "COMMIT_SECONDS", 0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("build") / "whole.db"
    GraphDatabase.build(path, **SETTINGS, threads=1).close()
    return path


def test_a_finished_build_is_one_file(whole):
    assert [entry.name for entry in whole.parent.iterdir()] == ["whole.db"]
    rows = content(whole)
    assert [row[2] for row in rows["block"]] == [1024, 1024, 52] * 2
    assert [row[3] for row in rows["block"]] == [0, 1024, 2048, 2100, 3124, 4148]
    for table in ("vector", "graph"):
        assert [row[0] for row in rows[table]] == list(range(6))
    with GraphDatabase.open(whole) as opened:
        assert len({record.packed for record in opened.records()}) > 3000  # the graphs differ


@pytest.mark.parametrize("threads", [2, 5])
def test_the_same_settings_give_the_same_rows(whole, tmp_path, threads):
    GraphDatabase.build(tmp_path / "again.db", **SETTINGS, threads=threads).close()
    assert content(tmp_path / "again.db") == content(whole)


def test_the_seed_decides_the_graphs(whole, tmp_path):
    GraphDatabase.build(tmp_path / "other.db", **(SETTINGS | {"seed": 4})).close()
    other = content(tmp_path / "other.db")
    assert other["graph"][0][5] != content(whole)["graph"][0][5]


def test_a_graph_does_not_depend_on_what_else_is_built(tmp_path):
    settings = {"nodes": 12, "seed": 3, "family": "uniform", "names": ("clustering",)}
    sizes = {"part": {"sparsities": (0.8,), "graphs": 20}}
    sizes["more"] = {"sparsities": (0.4, 0.8), "graphs": 1030}
    with (
        GraphDatabase.build(tmp_path / "part.db", **settings, **sizes["part"]) as part,
        GraphDatabase.build(tmp_path / "more.db", **settings, **sizes["more"]) as more,
    ):
        for k in range(20):
            assert more.record(1030 + k) == replace(part.record(k), id=1030 + k)


def test_repeating_a_finished_build_touches_nothing(whole):
    before, seen = whole.read_bytes(), []
    stamp = whole.stat().st_mtime_ns
    GraphDatabase.build(whole, **SETTINGS, progress=lambda *step: seen.append(step)).close()
    assert whole.read_bytes() == before
    assert whole.stat().st_mtime_ns == stamp
    assert seen == [(4200, 4200)]


def test_progress_counts_what_is_stored(tmp_path, by_block):
    seen = []
    path = tmp_path / "g.db"

    def progress(done, total):
        with contextlib.closing(sqlite3.connect(path)) as reader:
            assert reader.execute("SELECT total(graphs) FROM block").fetchone() == (done,)
        seen.append((done, total))

    GraphDatabase.build(path, **SETTINGS, progress=progress).close()
    assert seen == [(done, 4200) for done in (0, 1024, 2048, 2100, 3124, 4148, 4200)]


def test_progress_is_told_a_few_times_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "COMMIT_SECONDS", 60.0)
    seen = []
    GraphDatabase.build(
        tmp_path / "g.db", **SETTINGS, progress=lambda *step: seen.append(step)
    ).close()
    assert seen == [(0, 4200), (4200, 4200)]  # all of it took less than a minute


def test_a_build_killed_at_random_and_continued_equals_an_unbroken_one(whole, tmp_path):
    path = tmp_path / "killed.db"
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    counts = [int(count) for count in run.stdout.split()]
    assert counts == sorted(counts)
    assert {*counts} <= {0, 1024, 2048, 2100, 3124, 4148, 4200}
    assert any(0 < count < 4200 for count in counts)  # kills fell into the build
    with GraphDatabase.build(path, **SETTINGS) as built:
        assert built.complete
    assert content(path) == content(whole)
    assert [entry.name for entry in tmp_path.iterdir()] == ["killed.db"]


def test_an_interrupt_keeps_what_is_built(whole, tmp_path, by_block):
    path = tmp_path / "g.db"

    def interrupt(done, total):
        if done == 2048:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GraphDatabase.build(path, **SETTINGS, progress=interrupt)
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.db"]
    with GraphDatabase.open(path) as opened:
        assert len(opened) == 2048
        assert not opened.complete
        with pytest.raises(DatabaseError, match=r"graph 3000 is not in .* has 2048 of its 4200"):
            opened.record(3000)
        assert len(opened.vectors()[0]) == 2048
        assert opened.coverage(0.8) == {}
        with pytest.raises(DatabaseError, match="no graph to choose from"):
            opened.nearest({"clustering": 0.2}, sparsity=0.8)
        GraphDatabase.build(path, **SETTINGS).close()  # beside an open reader
        assert opened.complete
        assert len(opened.vectors()[0]) == 4200  # the reader sees what came after
    assert content(path) == content(whole)


def test_a_failing_family_keeps_what_is_built(whole, tmp_path, by_block, monkeypatch):
    path, draw = tmp_path / "g.db", build.draw

    def failing(plan, span):
        if span.number == 3:
            raise GraphError("no such graph")
        return draw(plan, span)

    monkeypatch.setattr(build, "draw", failing)
    with pytest.raises(GraphError, match="no such graph"):
        GraphDatabase.build(path, **SETTINGS)
    monkeypatch.undo()
    with GraphDatabase.open(path) as opened:
        assert len(opened) == 2100
    GraphDatabase.build(path, **SETTINGS).close()
    assert content(path) == content(whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_fills_its_blocks_in_order(tmp_path, family):
    settings = {"nodes": 6, "shape": (9, 8), "sparsities": (0.3, 0.5), "graphs": 30}
    path = tmp_path / "g.db"
    with GraphDatabase.build(path, **settings, family=family, names=("cycle_rank",)) as built:
        ids, vectors = built.vectors()
        assert ids.tolist() == list(range(60))
        records = list(built.records())
    assert [record.id for record in records] == list(range(60))
    assert [record.properties["cycle_rank"] for record in records] == vectors[:, 0].tolist()
    assert [record.family for record in records] == [family] * 60
    for record in records[::7]:
        assert record.graph.edges == record.edges
        if family != "random_mask":
            again = generate(family, 6, record.edges, record.seed, **record.parameters)
            assert again == record.graph


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 5}, "seed 3, not 5"),
        ({"graphs": 20}, "graphs 2100, not 20"),
        ({"nodes": 11}, r"nodes 12, not 11; shape \[12,12\], not \[11,11\]"),
        ({"shape": (12, 15)}, r"shape \[12,12\], not \[12,15\]"),
        ({"sparsities": (0.4,)}, r"sparsities \[0.4,0.8\], not \[0.4\]"),
        ({"family": "ws_flex", "parameters": {}}, 'family "mixed", not "ws_flex"'),
        ({"names": ("clustering",)}, "names .* not .*clustering"),
        (
            {"parameters": {"pilot": 99}},
            'parameters {"pilot":256,"version":1}, not {"pilot":99,"version":1}',
        ),
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
        with pytest.raises(DatabaseError, match="schema version 7, and this bogp reads version 3"):
            act(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_a_bogp_error(whole, tmp_path, share):
    path = tmp_path / "g.db"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    before = path.read_bytes()
    for act in (GraphDatabase.open, lambda p: GraphDatabase.build(p, **SETTINGS)):
        with pytest.raises(DatabaseError, match="corrupt or truncated"):
            act(path)
    assert path.read_bytes() == before


def test_a_second_builder_is_told_to_wait(whole, tmp_path, by_block):
    path = tmp_path / "g.db"
    with (
        filelock.FileLock(tmp_path / ".g.db.lock"),
        pytest.raises(DatabaseError, match="being built by another process"),
    ):
        GraphDatabase.build(path, **SETTINGS)
    assert not path.exists()

    refused = []

    def second(done, total):
        if done == 1024:
            with pytest.raises(DatabaseError, match="being built by another process") as caught:
                GraphDatabase.build(path, **SETTINGS)
            refused.append(caught.value)

    GraphDatabase.build(path, **SETTINGS, progress=second).close()
    assert len(refused) == 1
    assert content(path) == content(whole)


def test_what_a_killed_build_left_does_not_get_into_the_next_one(tmp_path, by_block):
    path, left = tmp_path / "g.db", {}

    def keep(done, total):  # what a kill leaves at that moment
        if done == 2048:
            for ending in ("-wal", "-shm"):
                left[ending] = (tmp_path / f"g.db{ending}").read_bytes()

    GraphDatabase.build(path, **SETTINGS, progress=keep).close()
    path.unlink()
    other = SETTINGS | {"sparsities": (0.5,), "graphs": 3, "seed": 9}
    GraphDatabase.build(tmp_path / "clean.db", **other).close()
    for ending, found in left.items():
        (tmp_path / f"g.db{ending}").write_bytes(found)
    (tmp_path / "g.db-journal").write_bytes(b"old")
    with GraphDatabase.build(path, **other) as built:
        assert (len(built), built.sparsities) == (3, (0.5,))
    assert content(path) == content(tmp_path / "clean.db")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["clean.db", "g.db"]


def test_one_builder_at_a_time_holds_the_lock(tmp_path):
    held, most, path = [], [], tmp_path / "g.db"

    def hold(number):
        taken = 0
        while taken < 40:
            with contextlib.suppress(DatabaseError), connect.only_writer(path):
                held.append(number)
                time.sleep(0)  # lets the others try
                most.append(len(held))
                held.remove(number)
                taken += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hold, range(4)))
    assert max(most) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_cannot_be_removed_does_no_harm(tmp_path, monkeypatch):
    unlink = Path.unlink

    def refused(self, missing_ok=False):
        if self.name.endswith(".lock"):
            raise PermissionError(13, "in use")  # as Windows says of an open file
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    GraphDatabase.build(tmp_path / "g.db", nodes=5, graphs=2, names="clustering").close()
    GraphDatabase.build(tmp_path / "g.db", nodes=5, graphs=2, names="clustering").close()


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
            assert len(opened) == 4200
    finally:
        path.parent.chmod(0o755)


def test_a_path_may_hold_any_character(whole, tmp_path):
    path = tmp_path / "a #1 100%?.db"
    path.write_bytes(whole.read_bytes())
    with GraphDatabase.open(path) as opened:
        assert opened.complete


@pytest.mark.parametrize("threads", [0, -2])
def test_a_build_needs_a_thread(tmp_path, threads):
    with pytest.raises(SettingError, match=f"{threads} threads cannot build"):
        GraphDatabase.build(tmp_path / "g.db", **SETTINGS, threads=threads)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_the_smallest_graphs_are_stored(tmp_path, nodes):
    settings = {"nodes": nodes, "sparsities": (0.2,), "graphs": 5}
    with GraphDatabase.build(tmp_path / "g.db", **settings) as built:
        assert [record.graph.nodes for record in built.records()] == [nodes] * 5
        assert [ids.tolist() for ids, _, _ in built.batches()] == [[0, 1, 2, 3, 4]]
        assert built.record(4).graph.edges == built.record(4).edges
