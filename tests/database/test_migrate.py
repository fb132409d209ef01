import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bogp.database import GraphDatabase, connect
from bogp.errors import DatabaseError
from bogp.graphs import RelationalGraph, generate, properties, random_mask
from bogp.keys import canonical_json

real = connect._connection

FIXTURE = Path(__file__).with_name("version1.sql")

SCHEMA = """
CREATE TABLE plan (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE graph (
    id INTEGER PRIMARY KEY, sparsity REAL NOT NULL, family TEXT NOT NULL,
    parameters TEXT NOT NULL, seed INTEGER NOT NULL, edges INTEGER NOT NULL,
    adjacency BLOB NOT NULL, mask BLOB
);
CREATE TABLE vector (
    id INTEGER PRIMARY KEY REFERENCES graph (id), properties BLOB NOT NULL
);
"""

SETTINGS = {
    "nodes": 9,
    "sparsities": (0.4, 0.7),
    "graphs": 1030,  # blocks of 1024 and 6
    "shape": (10, 12),
    "seed": 4,
    "family": "ws_flex",
    "names": ("clustering", "cycle_rank"),
    "parameters": {"p": 0.2},
}


def old_file(path, script, rows=()):
    """Write a file of version 1."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA application_id = {connect.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.executescript(script)
        for statement, values in rows:
            connection.executemany(statement, values)
    return path


def version_1(path, database, ids=None):
    """Write a database as version 1 had it, or some graphs of it."""
    graphs, vectors = [], []
    for record in database.records():
        if ids is not None and record.id not in ids:
            continue
        parameters = canonical_json(record.parameters)
        mask = None if record.mask is None else np.packbits(record.mask.numpy()).tobytes()
        made = (record.id, record.sparsity, record.family, parameters, record.seed, record.edges)
        graphs.append((*made, record.packed, mask))
        vectors.append((record.id, np.array([*record.properties.values()], "<f8").tobytes()))
    rows = [
        ("INSERT INTO plan VALUES (?, ?)", database.plan.rows()),
        ("INSERT INTO graph VALUES (?, ?, ?, ?, ?, ?, ?, ?)", graphs),
        ("INSERT INTO vector VALUES (?, ?)", vectors),
    ]
    return old_file(path, SCHEMA, rows)


def content(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = ("plan", "block", "vector", "origin", "graph", "measured")
        rows = {t: connection.execute(f"SELECT * FROM {t} ORDER BY 1").fetchall() for t in tables}
        kept = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
        return rows, [_bare(row) for row in connection.execute(kept)]


def _bare(row):
    """Return a row of the schema, its SQL without comments and spaces."""
    lines = [line.split("--")[0] for line in row[2].splitlines()]
    return row[0], row[1], "".join("".join(lines).split())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("migrate") / "built.db"
    with GraphDatabase.build(path, **SETTINGS) as database:
        yield database


def test_a_file_that_version_1_wrote_keeps_every_number(tmp_path):
    path = old_file(tmp_path / "g.db", FIXTURE.read_text(encoding="utf-8"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT * FROM graph JOIN vector USING (id) ORDER BY id"
        rows = connection.execute(query).fetchall()
    with GraphDatabase.migrate(path) as database:
        assert (database.nodes, database.shape, database.seed) == (6, (8, 9), 2)
        assert database.complete
        assert len(rows) == len(database) == 6
        _, vectors = database.vectors(database.names)
        for row, vector in zip(rows, vectors, strict=True):
            record = database.record(row[0])
            assert record.sparsity == row[1]
            assert (record.family, record.parameters) == (row[2], {})
            assert (record.seed, record.edges, record.packed) == (row[4], row[5], row[6])
            assert record.graph == generate("uniform", 6, row[5], row[4])  # still that draw
            assert vector.tobytes() == row[8]
            found = properties(record.graph.adjacency[None], database.names)
            np.testing.assert_allclose([v[0] for v in found.values()], vector, atol=1e-9)
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.db"]


def test_a_migrated_file_equals_one_that_is_built_now(built, tmp_path):
    path = version_1(tmp_path / "g.db", built)
    GraphDatabase.migrate(path).close()
    assert content(path) == content(built.path)
    before = path.read_bytes()
    GraphDatabase.migrate(path).close()  # a second time changes nothing
    assert path.read_bytes() == before


def test_masks_are_kept(tmp_path):
    settings = {"nodes": 5, "sparsities": (0.5,), "graphs": 4, "shape": (7, 9)}
    with GraphDatabase.build(tmp_path / "now.db", **settings, family="random_mask") as now:
        path = version_1(tmp_path / "g.db", now)
        with GraphDatabase.migrate(path) as database:
            for record in database.records():
                assert (record.mask == random_mask(7, 9, 0.5, record.seed)).all()
        assert content(path) == content(now.path)


def test_an_older_file_is_refused_by_open_and_kept(built, tmp_path):
    path = version_1(tmp_path / "g.db", built)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=r"version 1, .* `bogp database migrate .*g\.db`"):
        GraphDatabase.open(path)
    with pytest.raises(DatabaseError, match="seed 4, not 5"):
        GraphDatabase.build(path, **(SETTINGS | {"seed": 5}))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_repeating_a_build_migrates_and_makes_what_is_missing(built, tmp_path):
    ids = {*range(700), *range(1030, 2060)} - {1500}
    path = version_1(tmp_path / "g.db", built, ids)
    with GraphDatabase.migrate(path) as database:
        assert len(database) == 6  # the one block that is whole
        assert database.record(2059).graph == built.record(2059).graph
    path.unlink()
    path = version_1(tmp_path / "g.db", built, ids)
    GraphDatabase.build(path, **SETTINGS).close()
    assert content(path) == content(built.path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.db"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("DROP TABLE vector", "vector"),
        ("DELETE FROM plan WHERE name = 'graphs'", "graphs"),
        ("UPDATE vector SET properties = x'00' WHERE id = 3", "unequal length"),
    ],
)
def test_a_migration_that_fails_changes_nothing(built, tmp_path, damage, sentence):
    path = version_1(tmp_path / "g.db", built)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(damage)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=sentence):
        GraphDatabase.migrate(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_migrations_follow_each_other_each_as_a_whole(built, tmp_path, monkeypatch):
    path = tmp_path / "g.db"
    path.write_bytes(built.path.read_bytes())
    monkeypatch.setattr(connect, "DATABASE_VERSION", 4)
    with pytest.raises(DatabaseError, match=r"version 2, .* version 4: use the bogp that made it"):
        GraphDatabase.migrate(path)

    def third(connection):
        connection.execute("CREATE TABLE extra (id INTEGER)")

    def fourth(connection):
        connection.execute("INSERT INTO extra VALUES (42)")

    def broken(connection):
        fourth(connection)
        raise KeyError("nowhere")

    monkeypatch.setattr(connect, "MIGRATIONS", {2: third, 3: broken})
    with pytest.raises(DatabaseError, match="nowhere"):
        GraphDatabase.migrate(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)  # the third went well
        assert connection.execute("SELECT id FROM extra").fetchall() == []
    monkeypatch.setattr(connect, "MIGRATIONS", {3: fourth})
    GraphDatabase.migrate(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM extra").fetchall() == [(42,)]


KILLED = """
import os, resource, signal, sqlite3, sys
from pathlib import Path
from bogp.database import connect, migrate

path, moment = Path(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

def killed(connection):
    connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the end
    migrate.to_version_2(connection)
    os.kill(os.getpid(), signal.SIGKILL)

def slowly(connection):
    migrate.to_version_2(connection)
    connection.execute("PRAGMA cache_size = 1")

if moment == "transaction":
    connect.MIGRATIONS[1] = killed
else:  # VACUUM, whose copy of the file is kept in memory; what it writes is more than is allowed
    connect.MIGRATIONS[1] = slowly
    roll = connect.transaction

    class Connection(sqlite3.Connection):
        def execute(self, statement, *given):
            if statement == "VACUUM":
                super().execute("PRAGMA temp_store = MEMORY")
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                part = os.stat(path).st_size // 8
                resource.setrlimit(resource.RLIMIT_FSIZE, (part, part))
            return super().execute(statement, *given)

    ordinary = sqlite3.connect
    sqlite3.connect = lambda *a, **k: ordinary(*a, factory=Connection, **k)
connect.connect(path, write=True)
"""


@pytest.fixture(scope="module", params=["transaction", "vacuum"])
def killed(request, built, tmp_path_factory):
    """Return the folder of a database whose migration was killed, when, and what was there."""
    folder = tmp_path_factory.mktemp("killed")
    path = version_1(folder / "g.db", built)
    before = path.read_bytes()
    run = subprocess.run([sys.executable, "-c", KILLED, str(path), request.param], timeout=60)
    assert run.returncode in (-signal.SIGKILL, -signal.SIGXFSZ)
    assert (folder / "g.db-journal").stat().st_size > 0
    assert path.read_bytes() != before  # the kill fell among the writing
    return folder, request.param, before


@pytest.mark.parametrize("act", ["open", "migrate", "build"])
def test_a_migration_that_is_killed_can_be_taken_up(built, killed, tmp_path, act, monkeypatch):
    folder, moment, before = killed
    for name in ("g.db", "g.db-journal"):
        shutil.copy(folder / name, tmp_path / name)
    path = tmp_path / "g.db"
    with monkeypatch.context() as patch:
        patch.setattr(connect, "_connection", lambda path, mode: real(path, "ro"))
        with pytest.raises(DatabaseError, match=r"was interrupted while being written .*: open it"):
            GraphDatabase.open(path)  # where nothing can be written
    if act == "open" and moment == "transaction":
        with pytest.raises(DatabaseError, match="bogp database migrate"):
            GraphDatabase.open(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
    elif act == "open":
        GraphDatabase.open(path).close()
    elif act == "migrate":
        GraphDatabase.migrate(path).close()
    else:
        GraphDatabase.build(path, **SETTINGS).close()
    if not (act == "open" and moment == "transaction"):
        assert content(path) == content(built.path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_journal_of_somebody_else_is_left_alone(tmp_path):
    path, journal = tmp_path / "g.db", tmp_path / "g.db-journal"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE plan (name, value)")
    journal.write_bytes(b"x" * 512)  # which SQLite takes for one to roll back
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="cannot use graph database"):
        GraphDatabase.open(path)
    assert (path.read_bytes(), journal.read_bytes()) == (before, b"x" * 512)


@pytest.mark.parametrize("kind", ["none", "text", "newer"])
def test_what_cannot_be_migrated_is_a_sentence(built, tmp_path, kind):
    path = tmp_path / "g.db"
    sentence = {
        "none": "no graph database at",
        "text": "not a bogp database",
        "newer": "version 9, and this bogp reads version 2: use the bogp that made it",
    }[kind]
    if kind == "text":
        path.write_text("id,clustering")
    elif kind == "newer":
        path.write_bytes(built.path.read_bytes())
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 9")
    with pytest.raises(DatabaseError, match=sentence):
        GraphDatabase.migrate(path)
    assert list(tmp_path.iterdir()) == ([] if kind == "none" else [path])


def test_packed_graphs_are_what_relational_graph_packs(built):
    record = built.record(1027)
    assert RelationalGraph.from_packed(record.packed, 9).packed() == record.packed
