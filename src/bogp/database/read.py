"""Reading the open file of a database: all vectors at once, a block, or one graph."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bogp.database.blocks import (
    UNKNOWN_EDGES,
    UNKNOWN_SEED,
    Block,
    Ids,
    Origin,
    mask_bytes,
    read_origins,
    triangle_bytes,
)
from bogp.database.connect import reading
from bogp.database.plan import Plan
from bogp.database.records import GraphRecord
from bogp.types import Floats

_MOST_GRAPHS = 1 << 20  # a block that says it has more is damaged


@dataclass(frozen=True, eq=False)
class Reader:
    """The open file of a database, with the plan that says what its blobs hold.

    Every method raises DatabaseError where the file is closed or damaged.
    """

    path: Path
    connection: sqlite3.Connection
    plan: Plan

    @cached_property
    def origins(self) -> dict[int, Origin]:
        """How graphs were made; :attr:`Block.origins` has the keys."""
        with reading(self.path):
            return read_origins(self.connection)

    def version(self) -> int:
        """Return a number that changes when another process has written to the file."""
        with reading(self.path):
            return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def count(self, sparsity: float | None = None) -> int:
        """Return the number of graphs there are (of ``sparsity``)."""
        with reading(self.path):
            query = f"SELECT total(graphs) FROM block {_where(sparsity)}"
            return int(self.connection.execute(query, {"sparsity": sparsity}).fetchone()[0])

    def numbers(self, sparsity: float | None = None) -> list[int]:
        """Return the numbers of the blocks (of ``sparsity``)."""
        with reading(self.path):
            query = f"SELECT id FROM block {_where(sparsity)} ORDER BY id"
            return [row[0] for row in self.connection.execute(query, {"sparsity": sparsity})]

    def vectors(self, columns: list[int], sparsity: float | None = None) -> tuple[Ids, Floats]:
        """Return ids (graphs,), ascending, and property vectors (columns, graphs)."""
        query = (
            "SELECT graphs, first, ids, properties FROM block JOIN vector ON block = id "
            f"{_where(sparsity)} ORDER BY id"
        )
        ids, parts = [np.empty(0, dtype=np.int64)], [np.empty((len(columns), 0))]
        with reading(self.path):
            for graphs, first, own, blob in self.connection.execute(query, {"sparsity": sparsity}):
                ids.append(_ids(graphs, first, own))
                parts.append(_array(blob, "<f8", graphs, len(self.plan.names)).T[columns])
        return _ascending(np.concatenate(ids), np.concatenate(parts, axis=1))

    def block(self, number: int, *, with_graphs: bool = True, with_measured: bool = False) -> Block:
        """Return a block, with its graphs and masks and with its measured values if wanted."""
        blobs = "adjacency, masks" if with_graphs else "NULL, NULL"
        query = (
            "SELECT graphs, first, ids, sparsity, properties, seeds, edges, origins, numbers, "
            f"{blobs} FROM block JOIN vector ON vector.block = id JOIN graph ON graph.block = id "
            "WHERE id = ?"
        )
        with reading(self.path):
            row = self.connection.execute(query, (number,)).fetchone()
            if row is None:
                raise ValueError(f"block {number} is not whole")
            count, first, ids, sparsity, vectors, seeds, edges, origins, numbers, *packed = row
            widths = triangle_bytes(self.plan.nodes), mask_bytes(self.plan.shape)
            triangles, masks = (
                None if blob is None else _array(blob, "u1", count, width)
                for blob, width in zip(packed, widths, strict=True)
            )
            return Block(
                number=number,
                sparsity=sparsity,
                ids=_ids(count, first, ids),
                vectors=_array(vectors, "<f8", count, len(self.plan.names)),
                seeds=_array(seeds, "<u8", count),
                edges=_array(edges, "<i4", count),
                origins=_array(bytes(4 * count) if origins is None else origins, "<i4", count),
                numbers=_array(numbers or b"", "<f8", count, len(numbers or b"") // (8 * count)),
                triangles=triangles,
                masks=masks,
                measured=self._measured(number, count) if with_measured else {},
            )

    def record(self, graph_id: int) -> GraphRecord | None:
        """Return one graph, or None if it is not there."""
        query = (
            "SELECT id, graphs, first, ids FROM block WHERE first <= :id AND last >= :id "
            "ORDER BY first DESC"
        )
        with reading(self.path):
            for number, graphs, first, own in self.connection.execute(query, {"id": graph_id}):
                row = int(np.searchsorted(ids := _ids(graphs, first, own), graph_id))
                if row < len(ids) and ids[row] == graph_id:
                    return self._record(self.block(number), row)
        return None

    def records(self, block: Block) -> Iterator[GraphRecord]:
        """Yield the graphs of a block."""
        with reading(self.path):
            for row in range(block.graphs):
                yield self._record(block, row)

    def _record(self, block: Block, row: int) -> GraphRecord:
        made = self.origins[int(block.origins[row])]
        seed, edges = int(block.seeds[row]), int(block.edges[row])
        mask = None
        if block.masks is not None:
            bits = np.unpackbits(block.masks[row], count=self.plan.shape[0] * self.plan.shape[1])
            mask = torch.from_numpy(bits.astype(np.bool_)).reshape(self.plan.shape)
        return GraphRecord(
            id=int(block.ids[row]),
            sparsity=block.sparsity,
            family=made.family,
            parameters=made.parameters_of(block.numbers[row]),
            seed=None if seed == UNKNOWN_SEED else seed,
            edges=None if edges == UNKNOWN_EDGES else edges,
            nodes=self.plan.nodes,
            packed=None if block.triangles is None else block.triangles[row].tobytes(),
            properties=dict(zip(self.plan.names, block.vectors[row].tolist(), strict=True)),
            mask=mask,
        )

    def measured_names(self) -> tuple[str, ...]:
        """Return the names of the measured values, sorted."""
        with reading(self.path):
            rows = self.connection.execute("SELECT DISTINCT name FROM measured ORDER BY name")
            return tuple(row[0] for row in rows)

    def measured(self, name: str) -> tuple[Ids, Floats]:
        """Return the ids, ascending, and values of the graphs that have a measured value."""
        query = (
            'SELECT graphs, first, ids, "values" FROM block JOIN measured ON block = id '
            "WHERE name = ? ORDER BY id"
        )
        ids, parts = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        with reading(self.path):
            for graphs, first, own, blob in self.connection.execute(query, (name,)):
                ids.append(_ids(graphs, first, own))
                parts.append(_array(blob, "<f8", graphs))
        found, values = np.concatenate(ids), np.concatenate(parts)
        there = ~np.isnan(values)
        return _ascending(found[there], values[there])

    def _measured(self, number: int, graphs: int) -> dict[str, Floats]:
        rows = self.connection.execute(
            'SELECT name, "values" FROM measured WHERE block = ? ORDER BY name', (number,)
        )
        return {name: _array(blob, "<f8", graphs) for name, blob in rows}


def _where(sparsity: float | None) -> str:
    return "" if sparsity is None else "WHERE sparsity = :sparsity"


def _ids(graphs: int, first: int, own: bytes | None) -> Ids:
    """Return the ids of a block: its own, or ``first`` and those that follow."""
    if own is not None:
        return _array(own, "<i8", graphs)
    if graphs > _MOST_GRAPHS:
        raise ValueError(f"a block of {graphs} graphs")
    return np.arange(first, first + graphs, dtype=np.int64)


def _array(blob: bytes, kind: str, *shape: int) -> npt.NDArray[Any]:
    """Return a blob as an array, in the machine's own byte order, or raise ValueError."""
    array = np.frombuffer(blob, dtype=kind).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _ascending(ids: Ids, values: Floats) -> tuple[Ids, Floats]:
    """Return ids in ascending order, and the last axis of ``values`` in the order of their ids."""
    if (np.diff(ids) > 0).all():
        return ids, values
    order = np.argsort(ids, kind="stable")
    return ids[order], values[..., order]
