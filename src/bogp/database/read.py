"""Reading blocks: all vectors at once, one graph, or block after block."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bogp.database.blocks import (
    UNKNOWN_EDGES,
    UNKNOWN_SEED,
    Block,
    Bytes,
    Ids,
    Origin,
    read_origins,
    triangle_bytes,
)
from bogp.database.connect import one_sentence
from bogp.database.plan import Plan
from bogp.database.records import GraphRecord, unpack_mask
from bogp.errors import DatabaseError
from bogp.types import Floats


class _Place(NamedTuple):
    """Where a graph is."""

    block: int
    sparsity: float
    graphs: int  # of the block
    row: int


@dataclass(frozen=True, eq=False)
class Reader:
    """The open file of a database, with the plan that says what its blobs hold."""

    path: Path
    connection: sqlite3.Connection
    plan: Plan

    @cached_property
    def origins(self) -> dict[int, Origin]:
        """The origins of graphs by their numbers."""
        with self._checked():
            return read_origins(self.connection)

    def version(self) -> int:
        """Return a number that changes when another process has written to the file."""
        with one_sentence(self.path):
            return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def count(self, sparsity: float | None = None) -> int:
        """Return the number of graphs there are (of ``sparsity``)."""
        where = "" if sparsity is None else " WHERE sparsity = :sparsity"
        query = f"SELECT total(graphs) FROM block{where}"
        with self._checked():
            row = self.connection.execute(query, {"sparsity": sparsity}).fetchone()
            return int(row[0])

    def vectors(self, columns: list[int], sparsity: float | None) -> tuple[Ids, Floats]:
        """Return ids (graphs,), ascending, and property vectors (columns, graphs)."""
        query = (
            "SELECT graphs, first, ids, properties FROM block JOIN vector ON block = id "
            f"{'' if sparsity is None else 'WHERE sparsity = :sparsity '}ORDER BY id"
        )
        ids, parts = [np.empty(0, dtype=np.int64)], [np.empty((len(columns), 0))]
        with self._checked():
            for graphs, first, own, blob in self.connection.execute(query, {"sparsity": sparsity}):
                values = self._array(blob, "<f8", graphs, len(self.plan.names))
                ids.append(self._ids(graphs, first, own))
                parts.append(values.T[columns])
        found, matrix = np.concatenate(ids), np.concatenate(parts, axis=1)
        if len(found) > 1 and not (np.diff(found) > 0).all():
            order = np.argsort(found, kind="stable")
            found, matrix = found[order], matrix[:, order]
        return found, matrix

    def record(self, graph_id: int) -> GraphRecord | None:
        """Return one graph, or None if it is not there."""
        with self._checked():
            place = self._find(graph_id)
            if place is None:
                return None
            query, width = self._row_query
            found = self.connection.execute(query, {"block": place.block, "row": place.row})
            row = found.fetchone()
            if row is None:
                raise ValueError(f"block {place.block} is not whole")
            vector, seed, edges, origin, packed, mask, length = row
            if packed is not None and len(packed) != width:
                raise ValueError(f"graph {graph_id} has {len(packed)} bytes")
            return self._record(
                graph_id,
                place.sparsity,
                self._array(vector, "<f8", len(self.plan.names)),
                self._array(seed, "<u8", 1)[0],
                self._array(edges, "<i4", 1)[0],
                0 if origin is None else int(self._array(origin, "<i4", 1)[0]),
                self._numbers(place, 0 if length is None else length // place.graphs),
                packed,
                mask,
            )

    def _numbers(self, place: _Place, width: int) -> Floats:
        """Return a graph's own parameters, which take ``width`` bytes."""
        if not width:
            return np.empty(0)
        row = self.connection.execute(
            "SELECT substr(numbers, ?, ?) FROM graph WHERE block = ?",
            (width * place.row + 1, width, place.block),
        ).fetchone()
        return self._array(row[0], "<f8", width // 8)

    def numbers(self, sparsity: float | None) -> list[int]:
        """Return the numbers of the blocks (of ``sparsity``)."""
        where = "" if sparsity is None else "WHERE sparsity = :sparsity "
        with self._checked():
            rows = self.connection.execute(
                f"SELECT id FROM block {where}ORDER BY id", {"sparsity": sparsity}
            )
            return [row[0] for row in rows]

    def block(self, number: int, *, graphs: bool = True, measured: bool = False) -> Block:
        """Return a block; without ``graphs``, its adjacency and masks are left unread."""
        blobs = "adjacency, masks" if graphs else "NULL, NULL"
        with self._checked():
            row = self.connection.execute(
                "SELECT graphs, first, ids, sparsity, properties, seeds, edges, origins, numbers, "
                f"{blobs} FROM block JOIN vector ON vector.block = id "
                "JOIN graph ON graph.block = id WHERE id = ?",
                (number,),
            ).fetchone()
            if row is None:
                raise ValueError(f"block {number} is not whole")
            count, first, ids, sparsity, vectors, seeds, edges, origins, numbers = row[:9]
            triangles, masks = row[9:]
            values = self._measured(number, count) if measured else {}
            return Block(
                number=number,
                sparsity=sparsity,
                ids=self._ids(count, first, ids),
                vectors=self._array(vectors, "<f8", count, len(self.plan.names)),
                seeds=self._array(seeds, "<u8", count),
                edges=self._array(edges, "<i4", count),
                origins=(
                    np.zeros(count, dtype=np.int32)
                    if origins is None
                    else self._array(origins, "<i4", count)
                ),
                numbers=(
                    np.empty((count, 0))
                    if numbers is None
                    else self._array(numbers, "<f8", count, len(numbers) // (8 * count))
                ),
                triangles=None if triangles is None else self._triangles(triangles, count),
                masks=None if masks is None else self._array(masks, "u1", count, self._mask_bytes),
                measured=values,
            )

    def records(self, block: Block) -> Iterator[GraphRecord]:
        """Yield the graphs of a block."""
        with self._checked():
            for row in range(block.graphs):
                yield self._record(
                    int(block.ids[row]),
                    block.sparsity,
                    block.vectors[row],
                    block.seeds[row],
                    block.edges[row],
                    int(block.origins[row]),
                    block.numbers[row],
                    None if block.triangles is None else block.triangles[row].tobytes(),
                    None if block.masks is None else block.masks[row].tobytes(),
                )

    def measured_names(self) -> tuple[str, ...]:
        """Return the names of the measured values, sorted."""
        with self._checked():
            rows = self.connection.execute("SELECT DISTINCT name FROM measured ORDER BY name")
            return tuple(row[0] for row in rows)

    def measured(self, name: str) -> tuple[Ids, Floats]:
        """Return the ids, ascending, and values of the graphs that have a measured value."""
        ids, values = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        with self._checked():
            rows = self.connection.execute(
                'SELECT graphs, first, ids, "values" FROM block JOIN measured ON block = id '
                "WHERE name = ? ORDER BY id",
                (name,),
            )
            for graphs, first, own, blob in rows:
                ids.append(self._ids(graphs, first, own))
                values.append(self._array(blob, "<f8", graphs))
        found, numbers = np.concatenate(ids), np.concatenate(values)
        there = ~np.isnan(numbers)
        found, numbers = found[there], numbers[there]
        order = np.argsort(found, kind="stable")
        return found[order], numbers[order]

    def _measured(self, number: int, graphs: int) -> dict[str, Floats]:
        rows = self.connection.execute(
            'SELECT name, "values" FROM measured WHERE block = ? ORDER BY name', (number,)
        )
        return {name: self._array(blob, "<f8", graphs) for name, blob in rows}

    def _find(self, graph_id: int) -> _Place | None:
        """Return where a graph is, or None."""
        rows = self.connection.execute(
            "SELECT id, sparsity, graphs, first, ids FROM block WHERE first <= :id AND last >= :id "
            "ORDER BY first DESC",
            {"id": graph_id},
        )
        for number, sparsity, graphs, first, own in rows:
            ids = self._ids(graphs, first, own)
            row = int(np.searchsorted(ids, graph_id))
            if row < len(ids) and ids[row] == graph_id:
                rows.close()
                return _Place(number, sparsity, graphs, row)
        return None

    @cached_property
    def _row_query(self) -> tuple[str, int]:
        """The query for one row of a block, and the bytes of its graph."""
        names, packed = 8 * len(self.plan.names), triangle_bytes(self.plan.nodes)
        parts = ", ".join(
            # The part of an empty blob would be NULL, which stands for what is not known.
            f"iif({column} IS NULL, NULL, coalesce(substr({column}, :row * {width} + 1, {width}), "
            "x''))"
            for column, width in (
                ("properties", names),
                ("seeds", 8),
                ("edges", 4),
                ("origins", 4),
                ("adjacency", packed),
                ("masks", self._mask_bytes),
            )
        )
        query = (
            f"SELECT {parts}, length(numbers) FROM vector JOIN graph USING (block) "
            "WHERE block = :block"
        )
        return query, packed

    @property
    def _mask_bytes(self) -> int:
        return (self.plan.shape[0] * self.plan.shape[1] + 7) // 8

    def _record(
        self,
        graph_id: int,
        sparsity: float,
        vector: Floats,
        seed: Any,
        edges: Any,
        origin: int,
        numbers: Floats,
        packed: bytes | None,
        mask: bytes | None,
    ) -> GraphRecord:
        made = self.origins[origin]
        return GraphRecord(
            id=graph_id,
            sparsity=sparsity,
            family=made.family,
            parameters=made.parameters_of(numbers),
            seed=None if int(seed) == UNKNOWN_SEED else int(seed),
            edges=None if int(edges) == UNKNOWN_EDGES else int(edges),
            nodes=self.plan.nodes,
            packed=packed,
            properties=dict(zip(self.plan.names, vector.tolist(), strict=True)),
            mask=None if mask is None else unpack_mask(mask, self.plan.shape),
        )

    def _ids(self, graphs: int, first: int, own: bytes | None) -> Ids:
        if own is None:
            if graphs > 1 << 20:
                raise ValueError(f"a block of {graphs} graphs")
            return np.arange(first, first + graphs, dtype=np.int64)
        return self._array(own, "<i8", graphs)

    def _triangles(self, blob: bytes, graphs: int) -> Bytes:
        return self._array(blob, "u1", graphs, triangle_bytes(self.plan.nodes))

    def _array(self, blob: bytes, kind: str, *shape: int) -> npt.NDArray[Any]:
        """Return a blob as an array, in the machine's own byte order, or raise ValueError."""
        array = np.frombuffer(blob, dtype=kind).reshape(shape)
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        """Turn what a damaged file makes of the block into one sentence."""
        try:
            with one_sentence(self.path):
                yield
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise DatabaseError(
                f"graph database {str(self.path)!r} is corrupt ({error}): restore a copy of it or "
                "build it again under another name"
            ) from error
