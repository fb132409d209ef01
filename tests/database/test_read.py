import time
import tracemalloc

import numpy as np
import pytest

from bogp.database import GraphDatabase, build, nearest, store
from bogp.errors import DatabaseError, SparsityError, UnknownNameError
from bogp.graphs import RelationalGraph
from bogp.graphs.kernels.bits import unpack

SETTINGS = {
    "nodes": 14,
    "sparsities": (0.4, 0.8),
    "graphs": 2500,
    "names": ("clustering", "edge_connectivity", "eigenvector_centrality", "cycle_rank"),
    "parameters": {"pilot": 256},
}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("read") / "g.db"
    with GraphDatabase.build(path, **SETTINGS) as built:
        yield built


def test_records_come_in_order_and_as_they_are_fetched(database):
    records = list(database.records())
    assert [record.id for record in records] == list(range(5000))
    for graph_id in (0, 1023, 1024, 2499, 2500, 4999):
        assert database.record(graph_id) == records[graph_id]
    _, vectors = database.vectors(database.names)
    assert [list(record.properties.values()) for record in records] == vectors.tolist()
    some = list(database.records(sparsity=0.8))
    assert some == records[2500:]


def test_batches_are_the_vectors_and_the_graphs(database):
    names = ("cycle_rank", "clustering")
    batches = list(database.batches(names, 0.8))
    assert [len(ids) for ids, _, _ in batches] == [1024, 1024, 452]
    ids, vectors = database.vectors(names, 0.8)
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in batches]), ids)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in batches]), vectors)
    for graph_ids, _, rows in batches:
        graph = RelationalGraph(unpack(rows[-1:], 14)[0])
        assert graph == database.record(int(graph_ids[-1])).graph
    assert all(len(rows) == 0 for _, _, rows in database.batches(with_graphs=False))
    assert next(database.batches())[1].shape == (1024, 4)


def test_an_iteration_holds_one_block_at_a_time(database):
    steps = database.records()
    next(steps)
    tracemalloc.start()
    for _ in steps:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # all records together take more than 5 MB


def test_an_iteration_may_be_left_and_the_file_written_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "COMMIT_SECONDS", 0.0)
    seen = []

    def progress(done, total):
        if done == 1024:
            with GraphDatabase.open(tmp_path / "g.db") as opened:
                records = opened.records()
                seen.append(next(records).id)
                seen.append(sum(1 for _ in records))

    with GraphDatabase.build(tmp_path / "g.db", **SETTINGS, progress=progress) as built:
        assert built.complete
    assert seen == [0, 1023]


def test_an_iteration_over_what_is_not_there_is_refused(database):
    with pytest.raises(DatabaseError, match=r"no graphs of sparsity 0\.5"):
        next(database.records(0.5))
    with pytest.raises(SparsityError):
        next(database.batches(sparsity=2.0))
    with pytest.raises(UnknownNameError):
        next(database.batches(["clusterin"]))
    with pytest.raises(UnknownNameError, match="unknown measured value 'accuracy'"):
        database.measured("accuracy")
    assert database.measured_names == ()


@pytest.mark.parametrize("sparsity", [None, 0.4])
@pytest.mark.parametrize("metric", ["cosine", "l1", "l2"])
def test_nearest_in_many_blocks_is_nearest_in_the_vectors(database, metric, sparsity):
    target = {"clustering": 0.31, "eigenvector_centrality": 0.25, "cycle_rank": 20.0}
    ids, vectors = database.vectors(tuple(target), sparsity)
    for scale in ("raw", "standardised"):
        for count in (1, 30):
            found = database.nearest(
                target, metric=metric, scale=scale, count=count, sparsity=sparsity
            )
            rows, scores = nearest(
                np.ascontiguousarray(vectors), [*target.values()], metric, scale, count
            )
            assert [n.id for n in found] == ids[rows].tolist()
            np.testing.assert_allclose([n.score for n in found], scores, rtol=1e-12)


def test_vectors_that_were_read_are_kept_within_bounds(database, monkeypatch):
    with GraphDatabase.open(database.path) as opened:
        whole = opened.vectors(opened.names)[1]
        reads = []
        read = opened.reader.vectors
        monkeypatch.setattr(
            type(opened.reader), "vectors", lambda self, *given: reads.append(1) or read(*given)
        )
        opened.nearest({"clustering": 0.2})
        opened.nearest({"clustering": 0.4})
        opened.coverage(names=["clustering"])
        assert len(reads) == 1
        monkeypatch.setattr(store, "CACHE_BYTES", 3 * whole[:, :1].nbytes)
        for name in opened.names:
            opened.nearest({name: 0.2})
        opened.nearest({"clustering": 0.2})
        assert len(reads) == 5  # clustering was let go, and read again
        ids, vectors = opened.vectors()
        ids[:], vectors[:] = -1, -1.0  # a caller's copies
        np.testing.assert_array_equal(opened.vectors(opened.names)[1], whole)


def test_opening_reads_no_graph(database):
    started = time.perf_counter()
    for _ in range(20):
        with GraphDatabase.open(database.path) as opened:
            assert opened.complete
    assert (time.perf_counter() - started) / 20 < 0.1
