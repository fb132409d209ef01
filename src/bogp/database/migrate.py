"""Steps from one version of ``schema.sql`` to the next, each inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import numpy as np

from bogp.database.blocks import (
    Block,
    Bytes,
    Origin,
    block_size,
    triangle_bytes,
    write_block,
    write_origins,
)

_VERSION_2 = """
CREATE TABLE block (
    id INTEGER PRIMARY KEY, sparsity REAL NOT NULL, graphs INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, ids BLOB
);
CREATE INDEX block_first ON block (first);
CREATE TABLE vector (
    block INTEGER PRIMARY KEY REFERENCES block (id), properties BLOB NOT NULL
);
CREATE TABLE origin (
    id INTEGER PRIMARY KEY, family TEXT NOT NULL, parameters TEXT NOT NULL, own TEXT NOT NULL
);
CREATE TABLE graph (
    block INTEGER PRIMARY KEY REFERENCES block (id), seeds BLOB NOT NULL, edges BLOB NOT NULL,
    origins BLOB, numbers BLOB, adjacency BLOB, masks BLOB
);
CREATE TABLE measured (
    name TEXT NOT NULL, block INTEGER NOT NULL REFERENCES block (id), "values" BLOB NOT NULL,
    PRIMARY KEY (name, block)
)
"""
"""Version 2 as it was made, which later versions of ``schema.sql`` do not change."""


def to_version_2(connection: sqlite3.Connection) -> None:
    """Gather the rows of version 1, one a graph, into blocks.

    A block is whole or not there. Of an unfinished build, the graphs of a block that is not whole
    yet are left out (at most 1,023 a sparsity); repeating the build makes the same ones again.
    """
    connection.execute("ALTER TABLE graph RENAME TO old_graph")
    connection.execute("ALTER TABLE vector RENAME TO old_vector")
    for statement in _VERSION_2.split(";"):
        connection.execute(statement)
    rows = connection.execute("SELECT name, value FROM plan").fetchall()
    plan = {name: json.loads(value) for name, value in rows}
    write_origins(connection, (Origin(plan["family"], plan["parameters"]),))
    graph_bytes = triangle_bytes(plan["nodes"])
    if plan["family"] == "random_mask":
        graph_bytes += (plan["shape"][0] * plan["shape"][1] + 7) // 8
    size = block_size(graph_bytes)
    number = 0
    for index, sparsity in enumerate(plan["sparsities"]):
        for start in range(0, plan["graphs"], size):
            first = index * plan["graphs"] + start
            graphs = min(size, plan["graphs"] - start)
            _gather(connection, number, sparsity, first, graphs)
            number += 1
    connection.execute("DROP TABLE old_vector")
    connection.execute("DROP TABLE old_graph")


def _gather(
    connection: sqlite3.Connection, number: int, sparsity: float, first: int, graphs: int
) -> None:
    """Write one block of version 2 if all its graphs are there."""
    rows = connection.execute(
        "SELECT id, properties, seed, edges, adjacency, mask FROM old_graph "
        "JOIN old_vector USING (id) WHERE id BETWEEN ? AND ? ORDER BY id",
        (first, first + graphs - 1),
    ).fetchall()
    if len(rows) < graphs:
        return
    ids, vectors, seeds, edges, triangles, masks = zip(*rows, strict=True)
    block = Block(
        number=number,
        sparsity=sparsity,
        ids=np.array(ids, dtype=np.int64),
        vectors=_matrix(vectors).view("<f8"),
        seeds=np.array(seeds, dtype=np.uint64),
        edges=np.array(edges, dtype=np.int32),
        origins=np.zeros(graphs, dtype=np.int32),
        numbers=np.empty((graphs, 0)),
        triangles=_matrix(triangles),
        masks=None if masks[0] is None else _matrix(masks),
    )
    write_block(connection, block)


def _matrix(blobs: tuple[Any, ...]) -> Bytes:
    """Return blobs of one length as uint8 (blobs, bytes), or raise as SQLite does of damage."""
    if len({len(blob) for blob in blobs}) > 1:
        raise sqlite3.DatabaseError("rows of unequal length")
    return np.frombuffer(b"".join(blobs), dtype=np.uint8).reshape(len(blobs), len(blobs[0]))
