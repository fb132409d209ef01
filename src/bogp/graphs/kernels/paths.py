"""Shortest paths from all nodes at once, by growing balls of bits, and shortest cycles."""

from __future__ import annotations

from typing import Any

import numpy as np

from bogp.graphs.kernels.bits import Rows, bit, count_bits
from bogp.graphs.kernels.compiled import compiled, inlined, lowest_bit, popcount
from bogp.types import Floats, Integers

REACHED, TOTAL, INVERSE, FARTHEST, NEAR = range(5)
"""What :func:`distances` writes of each node."""


@compiled
def distances(rows: Rows) -> Floats:
    """Return what is needed of the shortest paths from each node, float64 (5, graphs, nodes).

    Over the nodes that a node reaches: their number, itself included; the sum of the distances to
    them; the sum of 1 / distance; the largest distance; and the number of those at distance 2 or
    less, itself included.
    """
    graphs, nodes, width = rows.shape
    result = np.empty((5, graphs, nodes))
    everything = np.zeros(width, np.uint64)
    for u in range(nodes):
        everything[u >> 6] |= bit(u)
    balls, grown = np.empty((nodes, width), np.uint64), np.empty((nodes, width), np.uint64)
    seen = np.empty(nodes, np.int64)
    for g in range(graphs):
        out = result[:, g]
        for u in range(nodes):
            for k in range(width):
                balls[u, k] = rows[g, u, k]
            balls[u, u >> 6] |= bit(u)
            seen[u] = count_bits(balls, u)
            out[TOTAL, u] = out[INVERSE, u] = seen[u] - 1
            out[FARTHEST, u] = 1.0 if seen[u] > 1 else 0.0
            out[NEAR, u] = seen[u]
        step, growing = 2, True
        while growing:
            growing = False
            for u in range(nodes):
                # A ball that did not grow in the last round holds the whole component.
                if out[FARTHEST, u] == step - 1 and seen[u] < nodes:
                    _grow(rows[g], balls, grown, u, everything)
                else:
                    for k in range(width):
                        grown[u, k] = balls[u, k]
                count = count_bits(grown, u)
                new = count - seen[u]
                if new:
                    growing = growing or count < nodes
                    seen[u] = count
                    out[TOTAL, u] += step * new
                    out[INVERSE, u] += new / step
                    out[FARTHEST, u] = step
                if step == 2:
                    out[NEAR, u] = count
            balls, grown = grown, balls
            step += 1
        for u in range(nodes):
            out[REACHED, u] = seen[u]
    return result


@inlined
def _grow(graph: Rows, balls: Rows, grown: Rows, u: int, everything: Rows) -> None:
    """Write the union of the balls of u and of its neighbours, or ``everything`` at once."""
    width = graph.shape[1]
    if width == 1:
        only = balls[u, 0]
        word = graph[u, 0]
        while word and only != everything[0]:
            only |= balls[lowest_bit(word), 0]
            word &= word - np.uint64(1)
        grown[u, 0] = only
    elif width == 2:
        low, high = balls[u, 0], balls[u, 1]
        for k in range(2):
            word = graph[u, k]
            while word and (low != everything[0] or high != everything[1]):
                v = 64 * k + lowest_bit(word)
                low |= balls[v, 0]
                high |= balls[v, 1]
                word &= word - np.uint64(1)
        grown[u, 0], grown[u, 1] = low, high
    else:
        _grow_wide(graph, balls, grown, u, everything)


@compiled
def _grow_wide(graph: Rows, balls: Rows, grown: Rows, u: int, everything: Rows) -> None:
    """Do the same for any width, looking only now and then whether everything is reached."""
    width = graph.shape[1]
    for k in range(width):
        grown[u, k] = balls[u, k]
    met = 0
    for k in range(width):
        word = graph[u, k]
        while word:
            v = 64 * k + lowest_bit(word)
            word &= word - np.uint64(1)
            for i in range(width):
                grown[u, i] |= balls[v, i]
            met += 1
            if met & 15 == 0:
                missing = np.uint64(0)
                for i in range(width):
                    missing |= everything[i] ^ grown[u, i]
                if not missing:
                    return


@compiled
def local_efficiencies(rows: Rows) -> Floats:
    """Return the mean of 1 / distance among the neighbours of each node, float64 (graphs, nodes).

    Paths run within the neighbours; 0 for a node of fewer than two.
    """
    graphs, nodes, width = rows.shape
    result = np.zeros((graphs, nodes))
    room = np.empty((3, nodes, width), np.uint64)
    members, latest = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    for g in range(graphs):
        for u in range(nodes):
            size = 0
            for k in range(width):
                word = rows[g, u, k]
                while word:
                    members[size] = 64 * k + lowest_bit(word)
                    word &= word - np.uint64(1)
                    size += 1
            if size < 2:
                continue
            among = members[:size]
            pairs = size * (size - 1.0)
            joined = _joined_within_two(rows[g], u, among)
            if joined >= 0:  # the others are all at distance 2
                result[g, u] = (joined + 0.5 * (pairs - joined)) / pairs
            else:
                result[g, u] = _inverse_sum(rows[g], u, among, latest, room) / pairs
    return result


@compiled
def _joined_within_two(graph: Rows, u: int, members: Integers) -> int:
    """Return how many ordered pairs of neighbours of ``u`` are joined.

    -1 if another pair of them shares no neighbour among them.
    """
    width = graph.shape[1]
    joined = len(members) * (len(members) - 1)
    for v in members:
        for k in range(width):
            apart = graph[u, k] & ~graph[v, k]
            if k == v >> 6:
                apart &= ~bit(v)
            joined -= popcount(apart)
            if k == v >> 6:  # each pair once, from its lower node
                apart &= ~((np.uint64(2) << np.uint64(v & 63)) - np.uint64(1))
            while apart and k >= v >> 6:
                w = 64 * k + lowest_bit(apart)
                apart &= apart - np.uint64(1)
                if not _meet(graph, u, v, w):
                    return -1
    return joined


@inlined
def _meet(graph: Rows, u: int, v: int, w: int) -> Any:
    """Return whether three nodes have a common neighbour."""
    width = graph.shape[1]
    if width == 1:
        return graph[u, 0] & graph[v, 0] & graph[w, 0] != 0
    if width == 2:
        low = graph[u, 0] & graph[v, 0] & graph[w, 0]
        return low | (graph[u, 1] & graph[v, 1] & graph[w, 1]) != 0
    found = np.uint64(0)
    for k in range(width):
        found |= graph[u, k] & graph[v, k] & graph[w, k]
    return found != 0


@compiled
def _inverse_sum(graph: Rows, u: int, members: Integers, latest: Integers, room: Rows) -> float:
    """Return the sum of 1 / distance over ordered pairs of the neighbours ``members`` of ``u``.

    Balls grow as in :func:`distances`. ``latest`` (nodes,) and ``room`` (3, nodes, words) are for
    work: the last step at which a node's ball grew; what it is joined to, and its two balls.
    """
    size, width = len(members), graph.shape[1]
    among, balls, grown = room[0], room[1], room[2]
    result = 0.0
    for v in members:
        for k in range(width):
            among[v, k] = balls[v, k] = graph[u, k] & graph[v, k]
        result += count_bits(among, v)
        balls[v, v >> 6] |= bit(v)
        latest[v] = 1
    step, growing = 2, True
    while growing:
        growing = False
        for v in members:
            before = count_bits(balls, v)
            if latest[v] < step - 1 or before == size:
                for k in range(width):
                    grown[v, k] = balls[v, k]
                continue
            _grow(among, balls, grown, v, graph[u])
            count = count_bits(grown, v)
            if count > before:
                growing = growing or count < size
                result += (count - before) / step
                latest[v] = step
        balls, grown = grown, balls
        step += 1
    return result
