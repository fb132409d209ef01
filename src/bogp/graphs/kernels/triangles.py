"""Degrees, triangles and what follows from both, by counting bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from bogp.graphs.kernels.bits import Rows, count_bits
from bogp.graphs.kernels.compiled import compiled, inlined, lowest_bit, popcount
from bogp.types import Floats


@compiled
def degrees(rows: Rows) -> Floats:
    """Return the number of neighbours of each node, float64 (graphs, nodes)."""
    graphs, nodes, _ = rows.shape
    result = np.empty((graphs, nodes))
    for g in range(graphs):
        for u in range(nodes):
            result[g, u] = count_bits(rows[g], u)
    return result


@inlined
def common_neighbours(graph: Rows, u: int, v: int) -> Any:
    """Return the number of common neighbours of two nodes of one graph (nodes, words)."""
    width = graph.shape[1]
    # The first two cases are the usual sizes: without a loop they are several times quicker.
    if width == 1:
        return popcount(graph[u, 0] & graph[v, 0])
    if width == 2:
        return popcount(graph[u, 0] & graph[v, 0]) + popcount(graph[u, 1] & graph[v, 1])
    count = 0
    for k in range(width):
        count += popcount(graph[u, k] & graph[v, k])
    return count


@compiled
def triangles(rows: Rows) -> Floats:
    """Return the number of triangles through each node, float64 (graphs, nodes).

    An edge lies in as many triangles as its ends have common neighbours; summed over the edges of
    a node that counts each of its triangles twice.
    """
    graphs, nodes, width = rows.shape
    result = np.empty((graphs, nodes))
    twice = np.empty(nodes, np.int64)
    for g in range(graphs):
        graph = rows[g]
        for u in range(nodes):
            twice[u] = 0
        for u in range(nodes):
            for k in range(u >> 6, width):
                word = graph[u, k]
                if k == u >> 6:  # each edge once, from its lower end
                    word &= ~((np.uint64(2) << np.uint64(u & 63)) - np.uint64(1))
                while word:
                    v = 64 * k + lowest_bit(word)
                    word &= word - np.uint64(1)
                    count = common_neighbours(graph, u, v)
                    twice[u] += count
                    twice[v] += count
        for u in range(nodes):
            result[g, u] = twice[u] / 2.0
    return result


@compiled
def assortativities(rows: Rows) -> Floats:
    """Return the correlation of the degrees at the two ends of edges, float64 (graphs,).

    0 where all edges have ends of one degree, or there are none. Degrees are counted from the
    least one's: that changes no correlation and keeps the whole numbers in the sums small.
    """
    graphs, nodes, width = rows.shape
    result = np.zeros(graphs)
    degree = np.empty(nodes, np.int64)
    for g in range(graphs):
        ends, first = 0, 0
        for u in range(nodes):
            degree[u] = count_bits(rows[g], u)
            ends += degree[u]
            first += degree[u] * degree[u]
        if ends == 0:
            continue
        middle = first // ends
        first -= middle * ends
        second, product = 0, 0
        for u in range(nodes):
            apart = degree[u] - middle
            second += degree[u] * apart * apart
            for k in range(width):
                word = rows[g, u, k]
                while word:
                    product += apart * (degree[64 * k + lowest_bit(word)] - middle)
                    word &= word - np.uint64(1)
        spread = float(ends) * float(second) - float(first) * float(first)
        if spread > 0.0:
            result[g] = (float(ends) * float(product) - float(first) * float(first)) / spread
    return result
