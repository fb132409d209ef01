import contextlib
import csv
import math
import sqlite3

import numpy as np
import pyarrow.parquet
import pytest

from bogp.database import GraphDatabase, export_table, import_table, nearest, table_files
from bogp.errors import (
    BogpError,
    DatabaseError,
    GraphError,
    OutputError,
    SettingError,
    SparsityError,
    UnknownNameError,
)
from bogp.graphs import generate, properties

SUFFIXES = ("csv", "parquet")
NAMES = ("clustering", "edge_connectivity", "eigenvector_centrality")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "g.db"
    settings = {"nodes": 11, "sparsities": (0.4, 0.8), "graphs": 40, "shape": (11, 20)}
    with GraphDatabase.build(path, **settings, names=NAMES, parameters={"pilot": 256}) as built:
        yield built


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(path):
    """Return a table as a list of rows, cells as text."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))
    table = pyarrow.parquet.read_table(path)
    columns = table.to_pydict()
    cells = zip(*columns.values(), strict=True)
    return [
        list(columns),
        *(["" if cell is None else str(cell) for cell in row] for row in cells),
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_holds_what_the_database_does(database, tmp_path, suffix):
    path = export_table(database, tmp_path / f"t.{suffix}")
    header, *rows = rows_of(path)
    made = ["id", "sparsity", "family", "parameters", "seed", "edges"]
    assert header == [*made, *NAMES, "adjacency"]
    assert len(rows) == 80
    for record, row in zip(database.records(), rows, strict=True):
        assert [int(row[0]), float(row[1]), row[2]] == [record.id, record.sparsity, "mixed"]
        assert [int(row[4]), int(row[5])] == [record.seed, record.edges]
        assert [float(cell) for cell in row[6:9]] == list(record.properties.values())
        assert bytes.fromhex(row[9]) == record.graph.packed()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_export_import_export_is_the_identity(database, tmp_path, suffix):
    first = export_table(database, tmp_path / f"first.{suffix}")
    with import_table(tmp_path / "g.db", first, shape=(11, 20)) as imported:
        second = export_table(imported, tmp_path / f"second.{suffix}")
        assert second.read_bytes() == first.read_bytes()
        assert (imported.family, imported.nodes, imported.shape) == ("imported", 11, (11, 20))
        assert imported.names == NAMES
        assert imported.sparsities == (0.4, 0.8)
        assert imported.complete
        assert list(imported.records()) == list(database.records())
        for record in list(imported.records())[::9]:  # and generator + seed still make it
            again = generate(record.family, 11, record.edges, record.seed, **record.parameters)
            assert again == record.graph


def test_both_kinds_of_table_give_the_same_database(database, tmp_path):
    plans = []
    for suffix in SUFFIXES:
        table = export_table(database, tmp_path / f"t.{suffix}")
        with import_table(tmp_path / f"{suffix}.db", table) as imported:
            plans.append(imported.plan)
    assert plans[0] == plans[1]
    other = write(tmp_path / "o.csv", (tmp_path / "t.csv").read_text().replace("mixed", "other"))
    with import_table(tmp_path / "o.db", other) as imported:
        assert imported.plan.parameters != plans[0].parameters  # the key of a search tells them


def test_a_part_of_a_database_keeps_its_ids(database, tmp_path):
    names = ("eigenvector_centrality",)
    table = export_table(database, tmp_path / "t.csv", names=names, sparsity=0.8, with_graphs=False)
    assert rows_of(table)[0][6:] == ["eigenvector_centrality"]
    with import_table(tmp_path / "g.db", table) as imported:
        assert imported.vectors()[0].tolist() == list(range(40, 80))
        assert imported.record(79).properties == {
            "eigenvector_centrality": database.record(79).properties["eigenvector_centrality"]
        }
        assert imported.record(79).edges == database.record(79).edges
        with pytest.raises(DatabaseError, match=r"graph 7 is not in .* has 40 graphs: give the id"):
            imported.record(7)
        with pytest.raises(DatabaseError, match="graph 79 is known by its properties alone"):
            _ = imported.record(79).graph
        with pytest.raises(DatabaseError, match="known by its properties alone"):
            next(imported.batches())
        assert len(next(imported.batches(with_graphs=False))[0]) == 40


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_masks_are_exported_and_imported(tmp_path, suffix):
    settings = {"nodes": 5, "sparsities": (0.6,), "graphs": 6, "shape": (6, 9)}
    path = tmp_path / "g.db"
    with GraphDatabase.build(path, **settings, family="random_mask", names=NAMES) as built:
        table = export_table(built, tmp_path / f"t.{suffix}")
        with pytest.raises(SettingError, match="does not tell the layer's shape"):
            import_table(tmp_path / "i.db", table, nodes=5)
        with import_table(tmp_path / "i.db", table, nodes=5, shape=(6, 9)) as imported:
            for record in built.records():
                assert (imported.record(record.id).mask == record.mask).all()


OUTSIDE = """graph,C,L,acc,accuracy_sd,s,note
7,0.5,1.75,0.91,0.01,0.8,a
3,0.25,2.0,,,0.4,b
5,0.125,1.5,0.93,0.02,0.8,c
"""
RENAMED = {
    "graph": "id",
    "C": "clustering",
    "L": "average_shortest_path_length",
    "acc": "accuracy",
    "s": "sparsity",
    "note": None,
}


@pytest.fixture
def outside(tmp_path):
    return write(tmp_path / "outside.csv", OUTSIDE)


def test_somebody_elses_results_can_be_searched(outside, tmp_path):
    with import_table(tmp_path / "g.db", outside, columns=RENAMED) as imported:
        assert (len(imported), imported.expected, imported.complete) == (3, 3, True)
        assert imported.names == ("clustering", "average_shortest_path_length")
        ids, vectors = imported.vectors(imported.names)
        assert ids.tolist() == [3, 5, 7]
        assert vectors.tolist() == [[0.25, 2.0], [0.125, 1.5], [0.5, 1.75]]
        assert imported.vectors(sparsity=0.8)[0].tolist() == [5, 7]
        assert imported.measured_names == ("accuracy", "accuracy_sd")
        ids, values = imported.measured("accuracy")
        assert (ids.tolist(), values.tolist()) == ([5, 7], [0.93, 0.91])
        found = imported.nearest({"clustering": 0.2}, metric="l1", count=3)
        assert [neighbour.id for neighbour in found] == [3, 5, 7]
        rows, _ = nearest(vectors, [0.2, 1.6], "l2", "standardised", 3)
        target = {"clustering": 0.2, "average_shortest_path_length": 1.6}
        found = imported.nearest(target, metric="l2", scale="standardised", count=3)
        assert [n.id for n in found] == [[3, 5, 7][row] for row in rows]
        assert imported.coverage(names=["clustering"])["clustering"].maximum == 0.5
        record = imported.record(7)
        assert (record.family, record.parameters, record.seed) == ("imported", {}, None)
        assert (record.edges, record.nodes) == (None, 0)
        again = export_table(imported, tmp_path / "again.csv")
    with import_table(tmp_path / "h.db", again) as imported:
        assert export_table(imported, tmp_path / "b.csv").read_bytes() == again.read_bytes()
    assert rows_of(again)[1] == ["3", "0.4", "imported", "{}", "", "", "0.25", "2", "", ""]


def test_names_of_ones_own_and_a_sparsity_for_all(tmp_path):
    table = write(tmp_path / "t.csv", "modularity,clustering,top5\n0.5,0.1,9\n0.25,0.2,8\n")
    given = {"sparsity": 0.5, "names": "modularity", "measured": "top5"}
    given["columns"] = {"clustering": None}
    with import_table(tmp_path / "g.db", table, **given) as imported:
        assert imported.names == imported.select_names() == ("modularity",)
        assert imported.measured("top5")[1].tolist() == [9.0, 8.0]
        assert imported.nearest({"modularity": 0.3})[0].id == 0  # ids count from 0
        assert imported.sparsities == (0.5,)


def test_what_the_graphs_tell_is_computed(database, tmp_path):
    header, *rows = rows_of(export_table(database, tmp_path / "t.csv"))
    place = header.index("adjacency")
    text = "sparsity,adjacency,clustering\n" + "".join(f"0.4,{r[place]},0.75\n" for r in rows)
    table = write(tmp_path / "bare.csv", text)
    wanted = ("clustering", "triangles", "edge_connectivity")
    with import_table(tmp_path / "g.db", table, names=wanted) as imported:
        assert imported.nodes == 11
        stack = np.stack([record.graph.adjacency for record in database.records()])
        expected = properties(stack, wanted)
        _, vectors = imported.vectors(wanted)
        assert (vectors[:, 0] == 0.75).all()  # the table's own, not ours
        np.testing.assert_array_equal(vectors[:, 1], expected["triangles"])
        np.testing.assert_array_equal(vectors[:, 2], expected["edge_connectivity"])
        assert imported.record(3).edges == database.record(3).edges
    text = "sparsity,adjacency\n" + "".join(f"0.4,{row[place]}\n" for row in rows)
    with import_table(tmp_path / "h.db", write(tmp_path / "u.csv", text)) as imported:
        assert "local_efficiency" in imported.names  # all of them


@pytest.mark.parametrize(
    ("header", "given", "lost"),
    [
        ("clustering,transitivity,accuracy,top 1", {"measured": ["top 1"]}, "accuracy"),
        ("clustering,transitivity", {"names": ["clustering"]}, "transitivity"),
        ("clustering,t", {"names": ["clustering"], "columns": {"t": "transitivity"}}, "t"),
        ("clustering,top 1", {}, "top 1"),
    ],
)
def test_no_column_is_lost_unseen(tmp_path, header, given, lost):
    table = write(tmp_path / "t.csv", f"sparsity,{header}\n0.5{',1' * len(header.split(','))}\n")
    with pytest.raises(DatabaseError, match=f"column '{lost}' of .* would be lost") as caught:
        import_table(tmp_path / "g.db", table, **given)
    shown = "'top 1'" if lost == "top 1" else lost
    assert f"--leave-out {shown}`, in Python columns={{'{lost}': None}}" in str(caught.value)
    given = given | {"columns": {lost: None}}
    import_table(tmp_path / "g.db", table, **given).close()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_large_graph_is_a_long_cell(tmp_path, suffix):
    limit = csv.field_size_limit()
    settings = {"nodes": 2048, "sparsities": 0.9, "graphs": 1, "family": "uniform"}
    with GraphDatabase.build(tmp_path / "g.db", **settings, names="cycle_rank") as built:
        table = export_table(built, tmp_path / f"t.{suffix}")
        with import_table(tmp_path / "i.db", table) as imported:
            assert imported.nodes == 2048
            assert list(imported.records()) == list(built.records())
    assert csv.field_size_limit() == limit


def test_whole_numbers_may_be_written_as_floats(tmp_path):
    table = write(
        tmp_path / "t.csv",
        "id,sparsity,clustering,edges,seed,accuracy\n4.0,0.5,0.1,12.0,7.0,NaN\n5.0,0.5,0.2,,,0.9\n",
    )
    with import_table(tmp_path / "g.db", table, nodes=8) as imported:
        records = list(imported.records())
        assert [(r.id, r.edges, r.seed) for r in records] == [(4, 12, 7), (5, None, None)]
        assert [part.tolist() for part in imported.measured("accuracy")] == [[5], [0.9]]
    table = tmp_path / "t.parquet"
    nan = float("nan")
    columns = {"id": [4.0, 5.0], "sparsity": [0.5, 0.5], "clustering": [0.1, 0.2]}
    columns |= {"edges": [12.0, nan], "accuracy": [nan, 0.9]}
    pyarrow.parquet.write_table(pyarrow.table(columns), table)
    with import_table(tmp_path / "p.db", table, nodes=8) as imported:
        assert [(r.id, r.edges) for r in imported.records()] == [(4, 12), (5, None)]
        assert [part.tolist() for part in imported.measured("accuracy")] == [[5], [0.9]]


def table_of_sparsities(path, count):
    rows = "".join(f"{k / (2 * count)!r},0.5\n" for k in range(count))
    return write(path, f"sparsity,clustering\n{rows}")


def test_a_sparsity_for_each_row_is_refused(tmp_path):
    table = table_of_sparsities(tmp_path / "t.csv", 1001)
    with pytest.raises(DatabaseError, match=r"has 1001 different sparsities.*: round them"):
        import_table(tmp_path / "g.db", table)
    assert list(tmp_path.iterdir()) == [table]
    with import_table(tmp_path / "g.db", table_of_sparsities(table, 1000)) as imported:
        assert len(imported.sparsities) == 1000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_progress_of_tables_is_told(database, tmp_path, suffix, monkeypatch):
    seen = []

    def progress(done, total):
        seen.append((done, total))

    table = export_table(database, tmp_path / f"t.{suffix}", progress=progress)
    assert seen == [(0, 80), (40, 80), (80, 80)]
    assert table.read_bytes() == export_table(database, tmp_path / f"u.{suffix}").read_bytes()
    seen.clear()
    export_table(database, tmp_path / f"t.{suffix}", sparsity=0.8, progress=progress)
    assert seen == [(0, 40), (40, 40)]
    seen.clear()
    monkeypatch.setattr(table_files, "ROWS", 30)
    with import_table(tmp_path / "g.db", table, progress=progress) as imported:
        assert len(imported) == 40
    assert seen == [(0, 0), (30, 0), (40, 0), (40, 40)]


def test_what_sqlite_left_does_not_get_into_an_imported_database(outside, tmp_path):
    path = tmp_path / "g.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE other (id)")
        left = (tmp_path / "g.db-wal").read_bytes()
    path.unlink()
    (tmp_path / "g.db-wal").write_bytes(left)
    with import_table(path, outside, columns=RENAMED) as imported:
        assert len(imported) == 3
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["g.db", "outside.csv"]


GOOD = "id,sparsity,clustering,edges,seed,parameters,adjacency,accuracy\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty: its first row must name its columns"),
        ("sparsity,clustering\n", "has no row"),
        ("sparsity,clustering,sparsity\n0.5,1,0.5\n", "2 columns named 'sparsity'"),
        ("sparsity,clustering,\n0.5,1,2\n", "1 columns named ''"),
        ("clustering\n0.5\n", "has no column 'sparsity'"),
        ("sparsity,accuracy\n0.5,0.5\n", "neither a property nor graphs among .* sparsity, acc"),
        ("sparsity,clustering,colour\n0.5,0.5,1\n", "column 'colour' of .* leave it out with"),
        ("sparsity,clustering\n0.5,0.1\n0.5,high\n", "row 2 of .*: clustering 'high' is not a nu"),
        ("sparsity,clustering\n0.5,0.1\n0.5,nan\n", "row 2 of .*: clustering 'nan' is not a fin"),
        ("sparsity,clustering\n0.5,0.1\n0.5,\n", "row 2 of .*: clustering '' is not a finite"),
        ("sparsity,clustering\n0.5,0.1\n0.5,inf\n", "row 2 of .*: clustering 'inf' is not"),
        (
            "sparsity,clustering\n0.5,0.1\n0.5\n",
            r"Row #3: Expected 2 columns, got 1: 0\.5\).* a cell for each",
        ),
        (
            "sparsity,clustering\n0.5,0.1,7\n",
            r"Row #2: Expected 2 columns, got 3: .*\).* a cell for each",
        ),
        ("sparsity,clustering\n1.0,0.1\n", r"row 1 of .*: sparsity '1\.0' is not in \[0, 1\)"),
        ("sparsity,clustering,accuracy\n0.5,0.1,best\n", "row 1 of .*: accuracy 'best' is not"),
        ("sparsity,clustering,accuracy\n0.5,0.1,inf\n", "row 1 of .*: accuracy 'inf' is not"),
        ("id,sparsity,clustering\n4,0.5,0\n5,0.6,0\n4,0.6,0\n", "row 3 .* id 4 is that of row 1"),
        (
            "id,sparsity,clustering\n-4,0.5,0\n",
            "row 1 .*: id '-4' is not an exact whole number from 0 to 9223372036854775807",
        ),
        ("id,sparsity,clustering\n,0.5,0\n", "id '' is not an exact whole number from 0"),
        ("id,sparsity,clustering\n1.5,0.5,0\n", r"id '1\.5' is not an exact whole number"),
        (
            "sparsity,clustering,edges\n0.5,0,inf\n",
            "edges 'inf' is not an exact whole number from 0 to 2147483647",
        ),
        (
            "sparsity,clustering,seed\n0.5,0,1.8e19\n",
            r"seed '1\.8e19' is not an exact whole number from 0 to 18446744073709551614",
        ),
        ("sparsity,clustering,seed\n0.5,0,-3\n", "seed '-3' is not an exact whole number"),
        (
            "sparsity,clustering,seed\n0.5,0,18446744073709551615\n",
            "seed .*5' is not an exact .*4: give one",
        ),
        ("sparsity,clustering,parameters\n0.5,0,p=3\n", "parameters 'p=3' is not a JSON object"),
        ("sparsity,clustering,parameters\n0.5,0,[3]\n", "parameters .* is not a JSON object"),
        (
            'sparsity,clustering,parameters\n0.5,0,"{""p"":NaN}"\n',
            "parameters .* is not a JSON object",
        ),
        ("sparsity,adjacency\n0.5,d5fe\n0.5,d5xx\n", "row 2 .* adjacency 'd5xx' is not hexadec"),
        ("sparsity,adjacency\n0.5,d5feff10\n0.5,d5fe\n", "row 2 .* adjacency 'd5fe' has 2 bytes"),
        ("sparsity,adjacency\n0.5,d5ff\n", "adjacency 'd5ff' has bits beyond"),
        ("sparsity,adjacency\n0.5,ff\n", "have 1 bytes each, which does not tell .* give nodes"),
        ("sparsity,adjacency,edges\n0.5,d5feff10,9\n", "edges '9' is not the 21 edges"),
        (
            'sparsity,clustering\n0.5,"0.1\n',
            "quote that opens its last cell is never closed.*: save it",
        ),
        ('sparsity,clustering,family\n0.5,1,"a\n0.5,1,b\n', "is never closed.* as CSV in UTF-8"),
    ],
)
def test_a_bad_table_is_one_sentence_and_leaves_no_file(tmp_path, text, sentence):
    table = write(tmp_path / "t.csv", text)
    with pytest.raises(BogpError, match=sentence) as caught:
        import_table(
            tmp_path / "g.db", table, nodes=6 if "0.5,d5fe\n0" in text or "d5ff" in text else None
        )
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [table]


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"columns": {"C": "clustering"}}, DatabaseError, "column 'graph' of"),
        ({"columns": {"colour": None}}, UnknownNameError, "unknown column of .* 'colour'"),
        ({"columns": RENAMED | {"L": "clustering"}}, DatabaseError, "two columns .* clustering"),
        ({"columns": RENAMED, "names": ["girth"]}, DatabaseError, "has no column 'girth'"),
        ({"columns": RENAMED, "measured": ["loss"]}, DatabaseError, "has no column 'loss'"),
        ({"columns": RENAMED, "sparsity": 0.5}, SettingError, "table that has a column of it"),
        ({"columns": RENAMED | {"s": None}, "sparsity": 1.5}, SparsityError, "1.5 is not in"),
        ({"columns": RENAMED, "nodes": 0}, GraphError, "0 nodes cannot exist"),
        ({"columns": RENAMED, "nodes": 9, "shape": (8, 10)}, GraphError, "at most 8 nodes"),
        ({"columns": RENAMED, "names": ["id"]}, DatabaseError, "column 'id' .* two roles"),
        ({"columns": RENAMED, "measured": ["sparsity"]}, DatabaseError, "'sparsity' .* two roles"),
        (
            {"columns": RENAMED, "names": ["accuracy"], "measured": ["accuracy"]},
            DatabaseError,
            "column 'accuracy' of .* has two roles",
        ),
    ],
)
def test_a_bad_setting_is_one_sentence_and_leaves_no_file(
    outside, tmp_path, settings, error, sentence
):
    with pytest.raises(error, match=sentence):
        import_table(tmp_path / "g.db", outside, **settings)
    assert list(tmp_path.iterdir()) == [outside]


def test_a_file_that_is_there_is_not_overwritten(outside, tmp_path):
    path = write(tmp_path / "g.db", "mine")
    with pytest.raises(DatabaseError, match="is there already"):
        import_table(path, outside, columns=RENAMED)
    assert path.read_text() == "mine"


def test_a_table_that_cannot_be_read_or_written_is_named(database, tmp_path):
    for name, sentence in (("t.xlsx", "neither CSV nor Parquet"), ("t.csv", "no table at")):
        with pytest.raises(DatabaseError, match=sentence):
            import_table(tmp_path / "g.db", tmp_path / name)
    with pytest.raises(DatabaseError, match="neither CSV nor Parquet"):
        export_table(database, tmp_path / "t.txt")
    table = tmp_path / "t.parquet"
    table.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DatabaseError, match=r"cannot be read .*: write it as Parquet again"):
        import_table(tmp_path / "g.db", table)
    (tmp_path / "latin.csv").write_bytes(b"sparsity,clustering\n0.5,\xe9\n")
    with pytest.raises(
        DatabaseError, match=r"cannot be read \(.*UTF8.*\): save it as CSV in UTF-8"
    ):
        import_table(tmp_path / "g.db", tmp_path / "latin.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DatabaseError, match="no table at"):
        import_table(tmp_path / "g.db", tmp_path / "folder.csv")
    with pytest.raises(OutputError, match="cannot write"):
        export_table(database, tmp_path / "latin.csv" / "t.csv")
    with pytest.raises(UnknownNameError):
        export_table(database, tmp_path / "new.csv", names=["clusterin"])
    assert not (tmp_path / "g.db").exists()
    assert not (tmp_path / "new.csv").exists()


def test_an_export_that_fails_leaves_the_old_table(database, tmp_path, monkeypatch):
    table = write(tmp_path / "t.csv", "old")
    block = database.reader.block

    def failing(self, number, **given):
        if given:
            raise DatabaseError("gone")
        return block(number)

    monkeypatch.setattr(type(database.reader), "block", failing)
    with pytest.raises(DatabaseError, match="gone"):
        export_table(database, table)
    assert table.read_text() == "old"
    assert list(tmp_path.iterdir()) == [table]


def test_a_large_table_keeps_its_order(tmp_path):
    rng = np.random.default_rng(0)
    ids = rng.permutation(100_000)[:9_000]
    values = rng.random(9_000)
    sparsity = rng.choice([0.1, 0.2], 9_000)
    table = tmp_path / "t.csv"
    rows = (f"{i},{s},{v}\n" for i, s, v in zip(ids, sparsity, values, strict=True))
    write(table, f"id,sparsity,clustering\n{''.join(rows)}")
    with import_table(tmp_path / "g.db", table) as imported:
        found, vectors = imported.vectors()
        order = np.argsort(ids)
        np.testing.assert_array_equal(found, ids[order])
        np.testing.assert_array_equal(vectors[:, 0], values[order])
        for place in rng.integers(9_000, size=50):
            record = imported.record(int(ids[place]))
            assert record.properties == {"clustering": values[place]}
            assert math.isclose(record.sparsity, sparsity[place])
        with pytest.raises(DatabaseError, match="is not in"):
            imported.record(int(np.setdiff1d(np.arange(100_000), ids)[0]))


def test_a_table_of_a_million_columns_is_refused_at_once(tmp_path):
    from pyarrow import parquet, table

    names = [f"c{k}" for k in range(1_000_000)]
    csv = tmp_path / "t.csv"
    csv.write_text(",".join(names) + "\n" + ",".join("1" * 1_000_000))
    columns = tmp_path / "t.parquet"
    parquet.write_table(table({name: [1.0] for name in names[:1001]}), columns)
    rows = tmp_path / "rows.parquet"
    parquet.write_table(table({"clustering": np.zeros(40_000_000, dtype=np.int8)}), rows)
    for path, said in (
        (csv, r"has \d{6} columns: leave out"),
        (columns, "has 1001 columns: leave out"),
        (rows, "would unfold to 320000000"),
    ):
        with pytest.raises(DatabaseError, match=said):
            import_table(tmp_path / "g.db", path, sparsity=0.5)
    assert not (tmp_path / "g.db").exists()


def test_parameters_that_are_nested_too_deeply_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    deep = '{""a"":' * 5000 + "1" + "}" * 5000
    path.write_text(f'sparsity,clustering,parameters\n0.5,0,"{deep}"\n')
    with pytest.raises(DatabaseError, match="is not a JSON object"):
        import_table(tmp_path / "g.db", path)
