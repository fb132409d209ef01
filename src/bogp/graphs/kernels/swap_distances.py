"""Distances of one graph by balls that grow around all nodes, and what follows from them."""

from __future__ import annotations

import numpy as np

from bogp.graphs.kernels.bits import Rows
from bogp.graphs.kernels.compiled import compiled, lowest_bit, popcount
from bogp.graphs.kernels.swap_state import (
    DISTANCES,
    Integers,
)
from bogp.types import Floats


@compiled
def distance_values(rows: Rows, around: Rows, edges: int, values: Floats) -> None:
    """Write what follows from distances into its places of ``values`` (properties,).

    ``around`` (4, nodes, words) gets the two sets of ``State.around`` and is room for two of balls.
    The ball of radius k around a node is the union of the balls of radius k - 1 around its
    neighbours; a node is done when its ball is full or grows no more.
    """
    nodes, width = rows.shape
    reached, length = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    first, second = _first_two(rows, around, reached, length)
    efficiency = first + second / 2.0
    diameter = 2 if second else (1 if first else 0)
    waiting, count = np.empty(nodes, np.int64), 0
    for u in range(nodes):
        for k in range(width):
            around[2, u, k] = around[3, u, k] = around[0, u, k]
        if reached[u] < nodes:
            waiting[count] = u
            count += 1
    step, now = 3, 2
    while count:
        left, found = 0, 0
        for j in range(count):
            u = waiting[j]
            fresh = _grow(rows, around, now, u) - reached[u]
            reached[u] += fresh
            length[u] += step * fresh
            found += fresh
            # One more round, unless full, so that a ball that rests is the same in both sets.
            if fresh:
                waiting[left] = u
                left += 1
        if found:
            efficiency += found / step
            diameter = step
        count, now, step = left, 5 - now, step + 1
    _summarise(reached, length, efficiency, diameter, edges, values)


@compiled
def _first_two(rows: Rows, around: Rows, reached: Integers, length: Integers) -> tuple[int, int]:
    """Fill ``around[:2]`` and the counts up to distance 2; return ordered pairs at 1 and at 2."""
    nodes, width = rows.shape
    ones, twos = np.empty(width, np.uint64), np.empty(width, np.uint64)
    every = np.empty(width, np.uint64)
    for k in range(width):
        every[k] = ~np.uint64(0)
    if nodes & 63:
        every[width - 1] = (np.uint64(1) << np.uint64(nodes & 63)) - np.uint64(1)
    first, second = 0, 0
    for u in range(nodes):
        for k in range(width):
            ones[k] = twos[k] = np.uint64(0)
        degree, size, full = 0, 0, False
        for k in range(width):
            word = rows[u, k]
            degree += popcount(word)
            while word and not full:
                v = 64 * k + lowest_bit(word)
                word &= word - np.uint64(1)
                full = True
                for i in range(width):
                    twos[i] |= ones[i] & rows[v, i]
                    ones[i] |= rows[v, i]
                    full = full and twos[i] == every[i]
        own = np.uint64(1) << np.uint64(u & 63)
        ones[u >> 6] |= own
        twos[u >> 6] |= own
        for k in range(width):
            around[0, u, k] = ones[k] | rows[u, k]
            around[1, u, k] = ones[k] & ~twos[k]
            size += popcount(around[0, u, k])
        reached[u] = size
        length[u] = degree + 2 * (size - 1 - degree)
        first += degree
        second += size - 1 - degree
    return first, second


@compiled
def _grow(rows: Rows, around: Rows, now: int, u: int) -> int:
    """Write the next ball around u and return its size; stop early once it is full."""
    nodes, width = rows.shape
    after, size = 5 - now, 0
    for k in range(width):
        around[after, u, k] = around[now, u, k]
        size += popcount(around[now, u, k])
    for k in range(width):
        word = rows[u, k]
        while word and size < nodes:
            v = 64 * k + lowest_bit(word)
            word &= word - np.uint64(1)
            size = 0
            for i in range(width):
                around[after, u, i] |= around[now, v, i]
                size += popcount(around[after, u, i])
    return size


@compiled
def _summarise(
    reached: Integers,
    length: Integers,
    efficiency: float,
    diameter: int,
    edges: int,
    values: Floats,
) -> None:
    nodes, first = len(reached), DISTANCES.start
    pairs, total, closeness, components = 0, 0, 0.0, 0.0
    for u in range(nodes):
        others = reached[u] - 1
        pairs += others
        total += length[u]
        components += 1.0 / reached[u]
        if others:
            closeness += others * others / length[u]
    values[first] = total / pairs if pairs else 0.0
    scale = nodes * (nodes - 1.0) * (nodes - 2.0)
    values[first + 1] = (total - pairs) / scale if nodes > 2 else 0.0
    values[first + 2] = closeness / nodes / max(nodes - 1, 1)
    values[first + 3] = efficiency / max(nodes * (nodes - 1), 1)
    values[first + 4] = diameter
    values[first + 5] = np.rint(components)
    values[first + 6] = edges - nodes + values[first + 5]
