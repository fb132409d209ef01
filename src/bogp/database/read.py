"""Reading the open file of a database: all vectors at once, a block, or one graph."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, final

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
from bogp.database.directory import Entry, read_directory
from bogp.database.plan import Plan
from bogp.database.records import GraphRecord
from bogp.database.rows import select
from bogp.types import Floats


@final
class Reader:
    """The open file of a database, with the plan that says what its blobs hold.

    Every method raises DatabaseError where the file is closed, or where what it reads is not what
    was written.

    Args:
        path: the file.
        connection: to it.
        plan: what it holds.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, plan: Plan) -> None:
        self.path, self.connection, self.plan = path, connection, plan
        self._version = -1
        self._entries: dict[int, Entry] = {}
        self.entries()

    @cached_property
    def origins(self) -> dict[int, Origin]:
        """How graphs were made; :attr:`Block.origins` has the keys."""
        with reading(self.path):
            return read_origins(self.connection)

    def version(self) -> int:
        """Return a number that changes when another process has written to the file."""
        with reading(self.path):
            return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def entries(self, sparsity: float | None = None) -> list[Entry]:
        """Return what is known of each block (of ``sparsity``) without reading it, by number."""
        if (version := self.version()) != self._version:
            found = read_directory(self.connection, self.path, self.plan)
            self._entries = {entry.number: entry for entry in found}
            self._version = version
        return [e for e in self._entries.values() if sparsity in (None, e.sparsity)]

    def count(self, sparsity: float | None = None) -> int:
        """Return the number of graphs there are (of ``sparsity``)."""
        return sum(entry.graphs for entry in self.entries(sparsity))

    def numbers(self, sparsity: float | None = None) -> list[int]:
        """Return the numbers of the blocks (of ``sparsity``)."""
        return [entry.number for entry in self.entries(sparsity)]

    def vectors(self, columns: list[int], sparsity: float | None = None) -> tuple[Ids, Floats]:
        """Return ids (graphs,), ascending, and property vectors (columns, graphs)."""
        ids, parts = [np.empty(0, dtype=np.int64)], [np.empty((len(columns), 0))]
        entries = self.entries(sparsity)
        with reading(self.path):
            for entry in entries:
                found, vectors = self._vector(entry)
                ids.append(found)
                parts.append(vectors.T[columns])
        return _ascending(np.concatenate(ids), np.concatenate(parts, axis=1))

    def block(self, number: int, *, with_graphs: bool = True, with_measured: bool = False) -> Block:
        """Return a block, with its graphs and masks and with its measured values if wanted."""
        self.entries()
        with reading(self.path):
            entry = self._entries[number]
            ids, vectors = self._vector(entry)
            count = entry.graphs
            seeds, edges, origins, numbers = self._row("graph", number)
            packed = self._row("wiring", number) if with_graphs else (None, None)
            widths = triangle_bytes(self.plan.nodes), mask_bytes(self.plan.shape)
            triangles, masks = (
                None if blob is None else _array(blob, "u1", count, width)
                for blob, width in zip(packed, widths, strict=True)
            )
            return Block(
                number=number,
                sparsity=entry.sparsity,
                ids=ids,
                vectors=vectors,
                seeds=_array(seeds, "<u8", count),
                edges=_array(edges, "<i4", count),
                origins=_array(bytes(4 * count) if origins is None else origins, "<i4", count),
                numbers=_array(numbers or b"", "<f8", count, len(numbers or b"") // (8 * count)),
                triangles=triangles,
                masks=masks,
                measured=self._measured(entry) if with_measured else {},
            )

    def record(self, graph_id: int) -> GraphRecord | None:
        """Return one graph, or None if it is not there."""
        for entry in reversed(self.entries()):
            if entry.first <= graph_id <= entry.last:
                with reading(self.path):
                    ids, _ = self._vector(entry)
                    row = int(np.searchsorted(ids, graph_id))
                    if row < len(ids) and ids[row] == graph_id:
                        return self._record(self.block(entry.number), row)
        return None

    def made(self, block: Block) -> list[tuple[str, dict[str, Any]]]:
        """Return the family and the parameters of each graph of a block."""
        with reading(self.path):
            origins = [self.origins[number] for number in block.origins.tolist()]
            return [
                (origin.family, origin.parameters_of(numbers))
                for origin, numbers in zip(origins, block.numbers, strict=True)
            ]

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
        return tuple(sorted({name for entry in self.entries() for name in entry.measured}))

    def measured(self, name: str) -> tuple[Ids, Floats]:
        """Return the ids, ascending, and values of the graphs that have a measured value."""
        ids, parts = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        entries = [entry for entry in self.entries() if name in entry.measured]
        with reading(self.path):
            for entry in entries:
                ids.append(self._vector(entry)[0])
                parts.append(self._values(name, entry))
        found, values = np.concatenate(ids), np.concatenate(parts)
        there = ~np.isnan(values)
        return _ascending(found[there], values[there])

    def _measured(self, entry: Entry) -> dict[str, Floats]:
        return {name: self._values(name, entry) for name in entry.measured}

    def _values(self, name: str, entry: Entry) -> Floats:
        where = "WHERE name = ? AND block = ?"
        rows = list(select(self.connection, "measured", where, (name, entry.number)))
        if not rows:
            raise ValueError(f"block {entry.number} has no {name!r}")
        return _array(rows[0][2], "<f8", entry.graphs)

    def _vector(self, entry: Entry) -> tuple[Ids, Floats]:
        """Return the ids (graphs,) and property vectors (graphs, names) of a block."""
        own, properties = self._row("vector", entry.number)
        vectors = _array(properties, "<f8", entry.graphs, len(self.plan.names))
        if own is None:
            if entry.last - entry.first + 1 != entry.graphs:
                raise ValueError(f"block {entry.number} has no ids")
            return np.arange(entry.first, entry.last + 1, dtype=np.int64), vectors
        ids = _array(own, "<i8", entry.graphs)
        if ids[0] != entry.first or ids[-1] != entry.last or not (np.diff(ids) > 0).all():
            raise ValueError(f"the ids of block {entry.number} are not in order")
        return ids, vectors

    def _row(self, table: str, number: int) -> tuple[Any, ...]:
        """Return what a table has of a block, without its number."""
        row = next(select(self.connection, table, "WHERE block = ?", (number,)), None)
        if row is None:
            raise ValueError(f"block {number} is not in table {table}")
        return row[1:]


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
