import contextlib
import json
import shutil
import sqlite3

import numpy as np
import pytest

from bogp.database import GraphDatabase, export_table, import_table
from bogp.database.check import check_database
from bogp.database.rows import insert
from bogp.errors import BogpError, DatabaseError

SETTINGS = {
    "nodes": 12,
    "sparsities": (0.4, 0.8),
    "graphs": 1100,
    "seed": 3,
    "names": ("clustering", "edge_connectivity"),
    "parameters": {"pilot": 64},
}
TABLES = ("plan", "state", "block", "vector", "origin", "graph", "wiring", "measured")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "whole.db"
    GraphDatabase.build(path, **SETTINGS).close()
    return path


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    rows = [f"{3 * k},0.5,{k / 7},{k},{k / 3}" for k in range(1, 1200)]
    table = folder / "t.csv"
    table.write_text("\n".join(["id,sparsity,clustering,accuracy,loss", *rows]))
    import_table(folder / "g.db", table).close()
    return folder / "g.db"


def changed(path, target, *commands, reseal=False):
    """Copy a database and change it; ``reseal`` makes its checksums right again."""
    shutil.copy(path, target)
    with contextlib.closing(sqlite3.connect(target)) as connection, connection:
        for command in commands:
            connection.execute(command)
        for table in TABLES if reseal else ():
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            connection.execute(f"DELETE FROM {table}")
            insert(connection, table, [row[:-1] for row in rows])
    return target


def read_all(path):
    with GraphDatabase.open(path) as opened:
        ids, vectors = opened.vectors(opened.names)
        records = [(r.id, r.packed, r.properties, r.parameters) for r in opened.records()]
        measured = [opened.measured(name)[1].tolist() for name in opened.measured_names]
        return ids.tolist(), vectors.tolist(), records, measured


ROWS = (
    "UPDATE vector SET properties = zeroblob(length(properties)) WHERE block = 1",
    "UPDATE graph SET seeds = zeroblob(length(seeds)) WHERE block = 1",
    "UPDATE graph SET edges = x'00' WHERE block = 1",
    "UPDATE wiring SET adjacency = zeroblob(length(adjacency)) WHERE block = 1",
    "UPDATE wiring SET block = 5 WHERE block = 1",
    "UPDATE origin SET parameters = '{}'",
    "UPDATE block SET sparsity = 0.8 WHERE id = 1",
    "UPDATE block SET first = 7 WHERE id = 1",
    "UPDATE plan SET value = '[1000000000,1000000000]' WHERE name = 'shape'",
    "UPDATE plan SET checksum = 'x' WHERE name = 'seed'",
    "UPDATE state SET blocks = 9",
    *(f"DELETE FROM {table} WHERE rowid = 1" for table in ("block", "vector", "graph", "wiring")),
    *("DELETE FROM origin WHERE id = 2", "DELETE FROM state", "DELETE FROM plan"),
)


@pytest.mark.parametrize("command", ROWS)
def test_a_row_that_is_not_what_was_written_is_noticed(whole, tmp_path, command):
    path = changed(whole, tmp_path / "g.db", command)
    with pytest.raises(DatabaseError, match=r"g\.db' is corrupt or truncated \("):
        read_all(path)


@pytest.mark.parametrize(
    "command",
    [
        "DELETE FROM measured WHERE name = 'loss'",
        "DELETE FROM measured WHERE name = 'accuracy' AND block = 1",
        "UPDATE measured SET name = 'less' WHERE name = 'loss'",
        "UPDATE block SET measured = '[]'",
        "UPDATE vector SET ids = NULL",
    ],
)
def test_a_measured_value_that_is_lost_is_noticed(imported, tmp_path, command):
    path = changed(imported, tmp_path / "g.db", command)
    with pytest.raises(DatabaseError, match=r"g\.db' is corrupt or truncated \("):
        read_all(path)


def test_damage_is_noticed_where_it_is_read_and_check_reads_all(whole, tmp_path):
    path = changed(whole, tmp_path / "g.db", "UPDATE wiring SET masks = x'00' WHERE block = 2")
    with GraphDatabase.open(path) as opened:  # neither reads that row
        opened.vectors()
        opened.record(0)
        with pytest.raises(DatabaseError, match="row 2 of table wiring is not what was written"):
            opened.record(1100)
    found = check_database(path)
    assert (found.blocks, found.graphs) == (4, 2200)
    assert [line for line in found.damage if "row 2 of table wiring" in line] == list(found.damage)
    assert check_database(whole).damage == ()


def test_an_edge_that_is_added_everywhere_is_noticed_before_anything_is_written(whole, tmp_path):
    path = tmp_path / "g.db"
    shutil.copy(whole, path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for number, blob in connection.execute("SELECT block, adjacency FROM wiring").fetchall():
            more = bytes(byte | 1 for byte in blob)
            connection.execute("UPDATE wiring SET adjacency = ? WHERE block = ?", (more, number))
    with (
        GraphDatabase.open(path) as opened,
        pytest.raises(DatabaseError, match="row 0 of table wiring"),
    ):
        export_table(opened, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


# Whoever makes the checksums right again still gives no value of another type or shape.
HOSTILE = (
    ("UPDATE plan SET value = '[1,2,3]' WHERE name = 'names'", r"names\.0: .*string, got 1"),
    ("UPDATE plan SET value = '5' WHERE name = 'shape'", "shape: .*, got 5"),
    ("UPDATE plan SET value = '[12]' WHERE name = 'shape'", r"shape\.1: Field required"),
    ("UPDATE plan SET value = '1e400' WHERE name = 'nodes'", "nodes: "),
    ("UPDATE plan SET value = '[0.8,0.4]' WHERE name = 'sparsities'", "not in order"),
    ("UPDATE plan SET value = '\"none\"' WHERE name = 'family'", "unknown family"),
    ("UPDATE plan SET value = '1000000000000000' WHERE name = 'graphs'", "not one of its plan"),
    ("UPDATE plan SET name = 'node' WHERE name = 'nodes'", "its plan has"),
    ("UPDATE block SET graphs = 1 << 60 WHERE id = 1", "block 1 is not one of its plan"),
    ("UPDATE block SET graphs = 'many' WHERE id = 1", "valid integer"),
    ("UPDATE block SET sparsity = 0.5 WHERE id = 2", "block 2 is not one of its plan"),
    ("UPDATE block SET measured = '[1]' WHERE id = 2", "valid string"),
    ("UPDATE block SET id = 77 WHERE id = 3", "block 77 is not one of its plan"),
    ("UPDATE vector SET properties = x'0011' WHERE block = 1", "buffer size"),
    ("UPDATE vector SET properties = 'text' WHERE block = 1", "TypeError"),
    ("UPDATE graph SET numbers = x'0011' WHERE block = 1", ""),
    ("UPDATE wiring SET adjacency = x'0011' WHERE block = 1", "cannot reshape"),
    ("UPDATE origin SET own = '{'", "EOF"),
    ('UPDATE origin SET own = \'{"p": ["str", 0]}\'', "'bool', 'int' or 'float'"),
)


@pytest.mark.parametrize(("command", "why"), HOSTILE)
def test_values_are_checked_for_type_and_shape(whole, tmp_path, command, why):
    path = changed(whole, tmp_path / "g.db", command, reseal=True)
    with pytest.raises(DatabaseError, match=rf"is corrupt or truncated \(.*{why}"):
        read_all(path)


def test_resealing_alone_changes_nothing(whole, tmp_path):
    path = changed(whole, tmp_path / "g.db", reseal=True)
    assert read_all(path) == read_all(whole)


@pytest.mark.parametrize("name", ["names", "parameters"])
def test_json_that_is_nested_too_deeply_is_refused(whole, tmp_path, name):
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    command = f"UPDATE plan SET value = '{deep}' WHERE name = '{name}'"
    path = changed(whole, tmp_path / "g.db", command, reseal=True)
    with pytest.raises(DatabaseError, match=r"recursion limit|valid"):
        GraphDatabase.open(path)


@pytest.mark.parametrize(
    "commands",
    [
        (
            "DROP TABLE block",
            "CREATE VIEW block AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
            "SELECT x, 0.4, 1, x, x, '[]', '' FROM c",
        ),
        ("ALTER TABLE wiring RENAME TO w", "CREATE VIEW wiring AS SELECT * FROM w"),
        ("CREATE TRIGGER t AFTER INSERT ON block BEGIN DELETE FROM block; END",),
        ("DROP TABLE measured",),
    ],
)
def test_only_the_tables_of_the_schema_are_read(whole, tmp_path, commands):
    path = changed(whole, tmp_path / "g.db", *commands)
    before = path.read_bytes()
    for act in (GraphDatabase.open, lambda p: GraphDatabase.build(p, **SETTINGS)):
        with pytest.raises(DatabaseError, match="its tables are not those that bogp makes"):
            act(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "change", [(b"TEXT NOT NULL,  -- a JSON", b"`"), (b"INTEGER", b"INTEG\xff")]
)
def test_text_that_sqlite_cannot_read_is_one_sentence(whole, tmp_path, change):
    path = tmp_path / "g.db"
    start, (old, new) = whole.read_bytes(), change
    path.write_bytes(start.replace(old, new + old[len(new) :], 1))
    with pytest.raises(DatabaseError, match=r"g\.db' is corrupt or truncated \(") as caught:
        GraphDatabase.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_page_changes_no_answer(whole, tmp_path, seed):
    rng = np.random.default_rng(seed)
    damaged = bytearray(whole.read_bytes())
    page = 4096 * int(rng.integers(0, len(damaged) // 4096))
    damaged[page : page + 200] = rng.bytes(200)
    path = tmp_path / "g.db"
    path.write_bytes(damaged)
    with contextlib.suppress(BogpError):
        assert json.dumps(read_all(path)[:2]) == json.dumps(read_all(whole)[:2])
