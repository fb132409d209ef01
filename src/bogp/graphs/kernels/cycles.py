"""Components and shortest cycles, by searches that spread as sets of bits."""

from __future__ import annotations

import numpy as np

from bogp.graphs.kernels.bits import Rows, bit
from bogp.graphs.kernels.compiled import compiled, inlined, lowest_bit
from bogp.types import Floats


@compiled
def component_counts(rows: Rows) -> Floats:
    """Return the number of connected components, float64 (graphs,), by flooding one by one."""
    graphs, nodes, width = rows.shape
    result = np.empty(graphs)
    left, front = np.empty(width, np.uint64), np.empty(width, np.uint64)
    for g in range(graphs):
        for k in range(width):
            left[k] = front[k] = 0
        for u in range(nodes):
            left[u >> 6] |= bit(u)
        count = 0
        for start in range(nodes):
            if not left[start >> 6] & bit(start):
                continue
            count += 1
            front[start >> 6] = bit(start)
            left[start >> 6] &= ~front[start >> 6]
            flood(rows[g], left, front)
        result[g] = count
    return result


@inlined
def flood(graph: Rows, left: Rows, front: Rows) -> None:
    """Take out of ``left`` whatever ``front`` reaches within it; both (words,), in place."""
    width = graph.shape[1]
    spreading = True
    while spreading:
        spreading = False
        for k in range(width):
            while front[k]:
                v = 64 * k + lowest_bit(front[k])
                front[k] &= front[k] - np.uint64(1)
                for i in range(width):
                    new = graph[v, i] & left[i]
                    front[i] |= new
                    left[i] ^= new
                    spreading = spreading or (new != 0 and i < k)


@compiled
def girths(rows: Rows) -> Floats:
    """Return the length of the shortest cycle of each graph, 0 without one, float64 (graphs,)."""
    graphs, nodes, width = rows.shape
    result = np.zeros(graphs)
    room = np.empty((4, width), np.uint64)
    for g in range(graphs):
        best = nodes + 1
        for root in range(nodes):
            best = min(best, _shortest_through(rows[g], root, best, room))
            if best == 3:
                break
        result[g] = best if best <= nodes else 0
    return result


@compiled
def _shortest_through(graph: Rows, root: int, best: int, room: Rows) -> int:
    """Return the length of some cycle shorter than ``best`` near ``root``, or ``best``.

    Ring k is the nodes at distance k. Two joined nodes of a ring close a cycle of at most 2k + 1, a
    node of ring k + 1 with two neighbours in ring k one of at most 2k + 2, and a root on the
    shortest cycle meets it at exactly that k (Itai & Rodeh 1978). ``room`` (4, words) is for work.
    """
    width = graph.shape[1]
    ring, seen, after, twice = room[0], room[1], room[2], room[3]
    for k in range(width):
        ring[k] = seen[k] = graph[root, k]
    seen[root >> 6] |= bit(root)
    step = 1
    while 2 * step + 1 < best:
        for k in range(width):
            after[k] = twice[k] = 0
        for k in range(width):
            word = ring[k]
            while word:
                v = 64 * k + lowest_bit(word)
                word &= word - np.uint64(1)
                for i in range(width):
                    if graph[v, i] & ring[i]:
                        return 2 * step + 1
                    twice[i] |= after[i] & graph[v, i]
                    after[i] |= graph[v, i]
        even, going = False, False
        for k in range(width):
            even = even or (twice[k] & ~seen[k]) != 0
            ring[k] = after[k] & ~seen[k]
            seen[k] |= ring[k]
            going = going or ring[k] != 0
        if even:
            return min(best, 2 * step + 2)
        if not going:
            break
        step += 1
    return best
