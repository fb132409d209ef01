"""Graphs as rows of bits: 64 pairs of nodes to a word.

``rows`` is uint64 (graphs, nodes, words), words = ceil(nodes / 64). Bit ``v % 64`` of
``rows[g, u, v // 64]`` says whether u and v are joined in graph g. Rows are symmetric, hold no
self-loops, and no bit beyond the last node is set; :func:`pack` makes them so and kernels rely on
it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.errors import GraphError
from bogp.graphs.kernels.compiled import compiled, inlined, popcount
from bogp.graphs.relational import as_bool
from bogp.types import BoolArray

Rows = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]


def words(nodes: int) -> int:
    """Return the number of 64-bit words of a row.

    >>> words(64), words(65)
    (1, 2)
    """
    return (nodes + 63) // 64


def check_stack(adjacency: Any) -> BoolArray:
    """Return ``adjacency`` as a bool array (graphs, nodes, nodes), or raise GraphError."""
    array = as_bool(adjacency, "the adjacency array")
    if array.ndim == 2:
        raise GraphError(
            f"an adjacency array of shape {array.shape} has no batch axis: add one with "
            "adjacency[None], so that it is (graphs, nodes, nodes)"
        )
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise GraphError(
            f"an adjacency array of shape {array.shape} holds no graphs: give (graphs, nodes, "
            "nodes), with one row and one column for each node"
        )
    if array.shape[0] and not array.shape[1]:
        raise GraphError("a graph of 0 nodes has no properties: give at least 1 node")
    return array


def pack(adjacency: Any, first: int = 0) -> Rows:
    """Return bool (graphs, nodes, nodes) as rows of bits, self-loops stripped.

    Errors count graphs from ``first``.

    Raises:
        GraphError: the array is not three-dimensional, square and symmetric, or holds values other
            than 0 and 1.

    >>> pack(np.ones((1, 3, 3))).tolist()
    [[[6], [5], [3]]]
    """
    array = check_stack(adjacency)
    graphs, nodes = array.shape[:2]
    rows = np.zeros((graphs, nodes, words(nodes) * 8), dtype=np.uint8)
    rows[:, :, : (nodes + 7) // 8] = np.packbits(array, axis=2, bitorder="little")
    packed: Rows = rows.view("<u8").astype(np.uint64, copy=False)
    uneven = _clean(packed)
    if uneven >= 0:
        raise GraphError(
            f"the adjacency matrix of graph {first + uneven} is not symmetric: "
            "give undirected graphs"
        )
    return packed


def unpack(rows: Rows, nodes: int) -> BoolArray:
    """Return rows of bits as bool (graphs, nodes, nodes), False on the diagonal.

    >>> unpack(pack(np.ones((1, 2, 2))), 2).astype(int).tolist()
    [[[0, 1], [1, 0]]]
    """
    parts = np.ascontiguousarray(rows).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(parts, axis=2, count=nodes, bitorder="little").view(np.bool_)


def pack_triangles(rows: Rows) -> Bytes:
    """Return the upper triangle of each graph, uint8 (graphs, bytes).

    Each row is what :meth:`RelationalGraph.packed` writes: row by row, eight pairs to a byte, the
    first of them in the highest bit.

    >>> pack_triangles(pack(np.ones((1, 4, 4)))).tolist()
    [[252]]
    """
    nodes = rows.shape[1]
    result = np.zeros((len(rows), (nodes * (nodes - 1) // 2 + 7) // 8), dtype=np.uint8)
    _write_triangles(rows, result)
    return result


def unpack_triangles(triangles: Bytes, nodes: int) -> Rows:
    """Return the rows of bits of what :func:`pack_triangles` wrote.

    >>> rows = pack(np.ones((1, 4, 4)))
    >>> bool((unpack_triangles(pack_triangles(rows), 4) == rows).all())
    True
    """
    result = np.zeros((len(triangles), nodes, words(nodes)), dtype=np.uint64)
    _read_triangles(np.ascontiguousarray(triangles), result)
    return result


@inlined
def bit(v: int) -> Any:
    """Return the word in which the place of node v alone is set."""
    return np.uint64(1) << np.uint64(v & 63)


@inlined
def is_joined(graph: Rows, u: int, v: int) -> Any:
    """Return whether u and v are joined in one graph (nodes, words)."""
    return (graph[u, v >> 6] >> np.uint64(v & 63)) & np.uint64(1) != np.uint64(0)


@inlined
def count_bits(sets: Rows, u: int) -> Any:
    """Return the size of the set ``sets[u]``, which for a row of a graph is the degree of u."""
    count = 0
    for k in range(sets.shape[1]):
        count += popcount(sets[u, k])
    return count


@compiled
def _clean(rows: Rows) -> int:
    """Strip self-loops in place; return the first graph that is not symmetric, or -1."""
    graphs, nodes, width = rows.shape
    block, mirror = np.empty(64, np.uint64), np.empty(64, np.uint64)
    for g in range(graphs):
        for u in range(nodes):
            rows[g, u, u >> 6] &= ~bit(u)
        for i in range(width):
            for j in range(i, width):
                for k in range(64):
                    block[k] = rows[g, 64 * i + k, j] if 64 * i + k < nodes else np.uint64(0)
                    mirror[k] = rows[g, 64 * j + k, i] if 64 * j + k < nodes else np.uint64(0)
                transpose(mirror)
                for k in range(64):
                    if block[k] != mirror[k]:
                        return g
    return -1


@compiled
def transpose(block: Rows) -> None:
    """Transpose a square of 64 x 64 bits in place, by halves (Warren, Hacker's Delight, 7-3)."""
    half = np.uint64(32)
    low = np.uint64(0x00000000FFFFFFFF)
    while half:
        k = np.uint64(0)
        while k < np.uint64(64):
            other = k | half
            swap = ((block[k] >> half) ^ block[other]) & low
            block[k] ^= swap << half
            block[other] ^= swap
            k = (other + np.uint64(1)) & ~half
        half >>= np.uint64(1)
        low ^= low << half


@compiled
def _write_triangles(rows: Rows, result: Bytes) -> None:
    graphs, nodes, _ = rows.shape
    for g in range(graphs):
        position, byte = 0, np.uint8(0)
        for u in range(nodes):
            for v in range(u + 1, nodes):
                bit = (rows[g, u, v >> 6] >> np.uint64(v & 63)) & np.uint64(1)
                byte = np.uint8((byte << 1) | np.uint8(bit))
                position += 1
                if position & 7 == 0:
                    result[g, (position >> 3) - 1] = byte
                    byte = np.uint8(0)
        if position & 7:
            result[g, position >> 3] = np.uint8(byte << (8 - (position & 7)))


@compiled
def _read_triangles(triangles: Bytes, rows: Rows) -> None:
    graphs, nodes, _ = rows.shape
    for g in range(graphs):
        position = 0
        for u in range(nodes):
            for v in range(u + 1, nodes):
                if (triangles[g, position >> 3] >> (7 - (position & 7))) & 1:
                    rows[g, u, v >> 6] |= bit(v)
                    rows[g, v, u >> 6] |= bit(u)
                position += 1
