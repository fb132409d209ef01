"""Kernels that draw graphs at an exact number of edges, by keys of pairs.

Every pair of nodes gets a key, a whole number: the log-odds that its kind of graph gives it, plus
logistic noise, in units of 1 / :data:`UNIT`. The pairs of the greatest keys are joined. Given the
threshold that this puts between them, pairs are joined independently of each other, with exactly
those log-odds: a sample without replacement in the spirit of Efraimidis & Spirakis (2006), with
noise that treats joined and free pairs alike. Whole numbers, so that nothing hangs on the rounding
of one machine's arithmetic.

Keys lie in one row of int32, as the upper triangle is read: (0, 1), (0, 2), ..., (1, 2), ....
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.graphs.kernels.bits import Rows, bit, count_bits, transpose
from bogp.graphs.kernels.compiled import compiled, inlined, lowest_bit
from bogp.graphs.kernels.random import Random, next_below, next_word
from bogp.types import Floats, Integers

Keys = npt.NDArray[np.int32]

_BINS = 2048

UNIT = 65536.0
"""Steps of a key in one unit of log-odds."""

BUCKETS = 512
"""Number of buckets in which keys are counted at once."""

_FEW = 48
"""Candidates that are sorted instead of counted again."""


def _noise_table() -> Keys:
    """Return the logistic quantiles at the edges of the bins, int32 (bins + 1,)."""
    share = np.clip(np.arange(_BINS + 1) / _BINS, 0.25 / _BINS, 1.0 - 0.25 / _BINS)
    return np.rint(np.log(share / (1.0 - share)) * UNIT).astype(np.int32)


NOISE = _noise_table()


@inlined
def _logistic(table: Keys, bits: Any) -> Any:
    """Return logistic noise from 32 random bits: between two quantiles, exact in the tails."""
    bin_ = np.int64(bits >> np.uint64(21))
    if bin_ == 0 or bin_ == _BINS - 1:
        share = (np.float64(bits) + 0.5) / 4294967296.0
        return np.int64(np.rint(np.log(share / (1.0 - share)) * UNIT))
    low = np.int64(table[bin_])
    part = np.int64(bits & np.uint64(0x1FFFFF))
    return low + (((np.int64(table[bin_ + 1]) - low) * part) >> 21)


@compiled
def add_noise(keys: Keys, table: Keys, state: Random) -> None:
    """Add independent logistic noise to each key, in place; two keys to a random word.

    xoshiro256++ as in :mod:`bogp.graphs.kernels.random`, its state in registers.
    """
    a, b, c, d = state[0], state[1], state[2], state[3]
    low_half = np.uint64(0xFFFFFFFF)
    for k in range(0, len(keys), 2):
        total = a + d
        word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + a
        shifted = b << np.uint64(17)
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= shifted
        d = (d << np.uint64(45)) | (d >> np.uint64(19))
        keys[k] += np.int32(_logistic(table, word >> np.uint64(32)))
        if k + 1 < len(keys):
            keys[k + 1] += np.int32(_logistic(table, word & low_half))
    state[0], state[1], state[2], state[3] = a, b, c, d


@compiled
def add_fitness(keys: Keys, fitness: Keys) -> None:
    """Add the fitness (nodes,) of both ends to the key of each pair, in place."""
    nodes, position = len(fitness), 0
    for u in range(nodes - 1):
        own = fitness[u]
        for v in range(u + 1, nodes):
            keys[position + v - u - 1] += own + fitness[v]
        position += nodes - 1 - u


@compiled
def ring_keys(keys: Keys, weight: Keys, nodes: int) -> None:
    """Set each key to the weight of its distance along the row of nodes; ``weight`` (nodes,)."""
    position = 0
    for u in range(nodes - 1):
        count = nodes - 1 - u
        for k in range(count):
            keys[position + k] = weight[k + 1]
        position += count


@compiled
def class_keys(keys: Keys, labels: Integers, weight: Keys, lines: Keys) -> None:
    """Set each key to ``weight[label of u, label of v]``; ``lines`` (classes, nodes) is scratch."""
    nodes, position = len(labels), 0
    for label in range(len(weight)):
        for v in range(nodes):
            lines[label, v] = weight[label, labels[v]]
    for u in range(nodes - 1):
        line = lines[labels[u]]
        for v in range(u + 1, nodes):
            keys[position + v - u - 1] = line[v]
        position += nodes - 1 - u


@compiled
def space_keys(keys: Keys, points: Floats, torus: bool, sharpness: float) -> None:
    """Set each key to minus the distance of its points (dimensions, nodes), times ``sharpness``."""
    dimensions, nodes = points.shape
    squares = np.empty(nodes)
    position = 0
    for u in range(nodes - 1):
        squares[u + 1 :] = 0.0
        for k in range(dimensions):
            own = points[k, u]
            for v in range(u + 1, nodes):
                apart = abs(points[k, v] - own)
                if torus:
                    apart = min(apart, 1.0 - apart)
                squares[v] += apart * apart
        for v in range(u + 1, nodes):
            length = min(np.sqrt(squares[v]) * sharpness, 16000.0)
            keys[position + v - u - 1] = np.int32(-length * UNIT)
        position += nodes - 1 - u


@compiled
def threshold(keys: Keys, edges: int, counts: Keys, spare: Keys) -> Any:
    """Return the key that exactly ``edges`` keys reach, 1 to all of them.

    Where equal keys straddle it, the last of them in ``keys`` are lowered by one. Counts keys in
    buckets, then looks again at those of the bucket in which the threshold falls; ``counts``
    (buckets,) and ``spare`` (pairs,) are scratch.
    """
    spare[: len(keys)] = keys
    size, left = len(keys), edges
    while size > _FEW:
        low, high = spare[0], spare[0]
        for k in range(size):
            low, high = min(low, spare[k]), max(high, spare[k])
        if low == high:
            break
        shift = 0
        while (np.int64(high) - np.int64(low)) >> shift >= BUCKETS:
            shift += 1
        counts[:] = 0
        for k in range(size):
            counts[(np.int64(spare[k]) - np.int64(low)) >> shift] += 1
        bucket = BUCKETS - 1
        while counts[bucket] < left:
            left -= counts[bucket]
            bucket -= 1
        kept = 0
        for k in range(size):
            key = spare[k]
            spare[kept] = key
            kept += (np.int64(key) - np.int64(low)) >> shift == bucket
        size = kept
    if size <= _FEW:
        _sort_down(spare, size)
    least = spare[left - 1]
    surplus = -edges
    for k in range(len(keys)):
        surplus += keys[k] >= least
    k = len(keys) - 1
    while surplus > 0:
        if keys[k] == least:
            keys[k] -= 1
            surplus -= 1
        k -= 1
    return np.int64(least)


@inlined
def _sort_down(values: Keys, size: int) -> None:
    for k in range(1, size):
        value, place = values[k], k
        while place > 0 and values[place - 1] < value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value


@compiled
def join(keys: Keys, least: int, rows: Rows, block: Rows) -> None:
    """Set the rows (nodes, words) of the graph whose pairs have keys of at least ``least``.

    ``block`` (64,) is scratch.
    """
    nodes, width = rows.shape
    position = 0
    for u in range(nodes):
        for j in range(width):
            first, last = max(u + 1, 64 * j), min(nodes, 64 * j + 64)
            word = np.uint64(0)
            for v in range(first, last):
                reached = np.uint64(keys[position + v - u - 1] >= least)
                word |= reached << np.uint64(v & 63)
            rows[u, j] = word
        position += nodes - 1 - u
    for i in range(width):
        for j in range(i, width):
            for k in range(64):
                block[k] = rows[64 * i + k, j] if 64 * i + k < nodes else np.uint64(0)
            transpose(block)
            for k in range(min(64, nodes - 64 * j)):
                rows[64 * j + k, i] |= block[k]


@compiled
def level(rows: Rows, degree: Integers, share: float, state: Random) -> None:
    """Even out the degrees of ``rows`` (nodes, words) in place, at the same number of edges.

    One edge at a time passes from a node of the highest degree to one of the lowest, its other end
    kept, until degrees differ by at most one: the ``share`` of those steps that is asked for.
    ``degree`` (nodes,) is scratch.
    """
    nodes = rows.shape[0]
    total = 0
    for u in range(nodes):
        degree[u] = count_bits(rows, u)
        total += degree[u]
    most = (total + nodes - 1) // nodes
    above, below = 0, 0
    for u in range(nodes):
        above += max(degree[u] - most, 0)
        below += max(total // nodes - degree[u], 0)
    steps = int(np.rint(max(above, below) * share))
    for _ in range(steps):
        high = low = next_below(state, nodes)
        for v in range(nodes):
            if degree[v] > degree[high]:
                high = v
            if degree[v] < degree[low]:
                low = v
        if degree[high] - degree[low] <= 1:
            return
        _pass_edge(rows, high, low, state)
        degree[high] -= 1
        degree[low] += 1


@inlined
def _pass_edge(rows: Rows, giver: int, taker: int, state: Random) -> None:
    """Move one edge from ``giver`` to ``taker``, of lower degree; its other end is kept."""
    width = rows.shape[1]
    j = next_below(state, width)
    while True:
        free = rows[giver, j] & ~rows[taker, j]
        if j == taker >> 6:
            free &= ~bit(taker)
        if free:
            break
        j = j + 1 if j + 1 < width else 0
    below = (np.uint64(1) << (next_word(state) >> np.uint64(58))) - np.uint64(1)
    above = free & ~below
    other = 64 * j + lowest_bit(above if above else free)
    rows[giver, j] ^= bit(other)
    rows[taker, j] |= bit(other)
    rows[other, giver >> 6] ^= bit(giver)
    rows[other, taker >> 6] |= bit(taker)
