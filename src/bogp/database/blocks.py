"""Blocks: up to 1,024 graphs as arrays, which the file keeps in one row of each table."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bogp.database.rows import insert, select
from bogp.keys import canonical_json
from bogp.outside import parsed
from bogp.types import Floats

Ids = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

BLOCK_GRAPHS = 1024
"""The most graphs of a block."""

BLOCK_BYTES = 1 << 18
"""About the most bytes that the graphs of a block take. One graph is read with its whole block."""

UNKNOWN_SEED = (1 << 64) - 1
"""The seed of a graph that was imported without one."""

UNKNOWN_EDGES = -1
"""The edge count of a graph that was imported without one."""


def block_size(graph_bytes: int) -> int:
    """Return the graphs of a block, a power of two, where each graph takes ``graph_bytes``.

    >>> block_size(252), block_size(1016), block_size(1 << 20)
    (1024, 256, 1)
    """
    fitting = max(1, min(BLOCK_GRAPHS, BLOCK_BYTES // max(1, graph_bytes)))
    return 1 << (fitting.bit_length() - 1)


def triangle_bytes(nodes: int) -> int:
    """Return the bytes of one graph of ``nodes`` nodes, its upper triangle packed."""
    return (nodes * (nodes - 1) // 2 + 7) // 8


def mask_bytes(shape: tuple[int, int]) -> int:
    """Return the bytes of one mask of ``shape`` (out_features, in_features), packed."""
    return (shape[0] * shape[1] + 7) // 8


EXACT = 1 << 53
"""Whole numbers below it are exact in a float64."""

_TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float}
"""What a number of :attr:`Block.numbers` stands for."""


@dataclass(frozen=True)
class Origin:
    """How one generator made graphs.

    ``parameters`` are those that all of these graphs share. ``own`` names the parameters of which
    each graph has its own value: with the type (``bool``, ``int`` or ``float``), and with the
    column of :attr:`Block.numbers` that holds the values.
    """

    family: str
    parameters: Mapping[str, Any]
    own: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def parameters_of(self, numbers: Floats) -> dict[str, Any]:
        """Return all parameters of the graph that has ``numbers`` (columns,).

        >>> origin = Origin("mixed", {"kind": "ring"}, {"p": ("float", 1), "blocks": ("int", 0)})
        >>> origin.parameters_of(np.array([3.0, 0.5]))
        {'kind': 'ring', 'p': 0.5, 'blocks': 3}
        """
        own = {name: _TYPES[kind](numbers[column]) for name, (kind, column) in self.own.items()}
        return dict(self.parameters) | own

    @classmethod
    def of(cls, family: str, parameters: Mapping[str, Any]) -> tuple[Origin, list[float]]:
        """Return the origin of one graph, and the numbers that the graph has of its own.

        It is the inverse of :meth:`parameters_of`. What a float64 cannot hold exactly, text say,
        becomes a parameter that all graphs of the origin share.

        >>> Origin.of("mixed", {"kind": "ring", "p": 0.5})
        (Origin(family='mixed', parameters={'kind': 'ring'}, own={'p': ('float', 0)}), [0.5])
        """
        shared: dict[str, Any] = {}
        own: dict[str, tuple[str, int]] = {}
        numbers: list[float] = []
        for name, value in parameters.items():
            kind = type(value).__name__
            if kind in _TYPES and (kind != "int" or abs(value) < EXACT):
                own[name] = kind, len(numbers)
                numbers.append(float(value))
            else:
                shared[name] = value
        return cls(family, shared, own), numbers

    def row(self) -> tuple[str, str, str]:
        """Return what the table ``origin`` keeps of it, beside its number."""
        # Own parameters keep their order, the one in which the generator names them.
        return self.family, canonical_json(dict(self.parameters)), json.dumps(dict(self.own))


@dataclass(frozen=True, eq=False)
class Block:
    """Graphs of one sparsity, in ascending order of their ids; every array has a row a graph."""

    number: int
    sparsity: float
    ids: Ids
    vectors: Floats  # (graphs, names), the properties
    seeds: npt.NDArray[np.uint64]
    edges: npt.NDArray[np.int32]
    origins: npt.NDArray[np.int32]  # the number of each graph's Origin
    numbers: Floats  # (graphs, columns), the parameters that each graph has of its own
    triangles: Bytes | None = None  # (graphs, bytes), RelationalGraph.packed() of each
    masks: Bytes | None = None  # (graphs, bytes), the bits of each mask, row by row
    measured: Mapping[str, Floats] = field(default_factory=dict)  # NaN where not measured

    @property
    def graphs(self) -> int:
        """Number of graphs."""
        return len(self.ids)


def write_origins(connection: sqlite3.Connection, origins: Iterable[Origin]) -> None:
    """Add ``origins``, numbered from 0."""
    insert(connection, "origin", [(number, *origin.row()) for number, origin in enumerate(origins)])


def read_origins(connection: sqlite3.Connection) -> dict[int, Origin]:
    """Return the origins by their numbers.

    Raises:
        ValueError: one is not what was written, or of no such form.
    """
    return {
        number: Origin(
            family,
            parsed(dict[str, Any], parameters),
            parsed(dict[str, tuple[Literal["bool", "int", "float"], int]], own),
        )
        for number, family, parameters, own in select(connection, "origin")
    }


def write_blocks(connection: sqlite3.Connection, blocks: Iterable[Block]) -> None:
    """Add ``blocks`` to the tables and count them, inside the caller's transaction."""
    count = read_state(connection)
    for block in blocks:
        _write_block(connection, block)
        count += 1
    write_state(connection, count)


def read_state(connection: sqlite3.Connection) -> int:
    """Return how many blocks were written.

    Raises:
        ValueError: that is not known.
    """
    rows = list(select(connection, "state", "LIMIT 2"))
    if len(rows) != 1:
        raise ValueError("table state has not one row")
    return int(rows[0][1])


def write_state(connection: sqlite3.Connection, blocks: int) -> None:
    """Note how many blocks there are."""
    connection.execute("DELETE FROM state")
    insert(connection, "state", [(0, blocks)])


def _write_block(connection: sqlite3.Connection, block: Block) -> None:
    number, first, last = block.number, int(block.ids[0]), int(block.ids[-1])
    ids = None if last - first + 1 == block.graphs else _blob(block.ids, "<i8")
    names = json.dumps(sorted(block.measured))
    entry = (number, float(block.sparsity), block.graphs, first, last, names)
    made = (
        number,
        _blob(block.seeds, "<u8"),
        _blob(block.edges, "<i4"),
        _blob(block.origins, "<i4") if block.origins.any() else None,
        _blob(block.numbers, "<f8") if block.numbers.size else None,
    )
    packed = [
        None if bits is None else _blob(bits, "u1") for bits in (block.triangles, block.masks)
    ]
    insert(connection, "block", [entry])
    insert(connection, "vector", [(number, ids, _blob(block.vectors, "<f8"))])
    insert(connection, "graph", [made])
    insert(connection, "wiring", [(number, *packed)])
    measured = [(name, number, _blob(array, "<f8")) for name, array in block.measured.items()]
    insert(connection, "measured", measured)


def _blob(array: npt.NDArray[Any], kind: str) -> bytes:
    return np.ascontiguousarray(array, dtype=kind).tobytes()
