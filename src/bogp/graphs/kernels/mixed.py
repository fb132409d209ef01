"""The kinds of graphs of the family ``mixed``: how each sets the keys of its pairs.

A structured kind ranks pairs in levels, nearest first, and gives every level the log-odds at which
the edges would fill the levels in order, but for a share ``p`` of them that fall anywhere. The
names of the kinds and what their parameters mean are in :mod:`bogp.graphs.mixed`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bogp.graphs.kernels.bits import Rows
from bogp.graphs.kernels.compiled import compiled, inlined
from bogp.graphs.kernels.pair_keys import (
    BUCKETS,
    UNIT,
    Keys,
    add_fitness,
    add_noise,
    class_keys,
    join,
    level,
    ring_keys,
    space_keys,
    threshold,
)
from bogp.graphs.kernels.random import Random, next_float, seed_state, shuffle
from bogp.types import Floats, Integers

COLUMNS = 6
"""Numbers that describe a graph: four of its kind's own, then ``exponent`` and ``evenness``."""

UNIFORM, SMALL_WORLD, REGULAR, SCALE_FREE, COMMUNITIES = range(5)
CLIQUES, LAYERS, CORE, HUBS, GEOMETRIC = range(5, 10)
"""Numbers of the kinds, which databases record: a new one goes last."""

_SURE = 60.0
"""Log-odds beyond what noise or a fitness undoes."""


@compiled
def draw(
    edges: int, seeds: Rows, kinds: Integers, values: Floats, noise: Keys, logs: Keys, rows: Rows
) -> None:
    """Set ``rows`` (graphs, nodes, words) to the graphs of ``seeds``, ``kinds`` and ``values``.

    ``noise`` is ``pair_keys.NOISE``; ``logs`` (nodes,) holds the logarithms of nodes / 1,
    nodes / 2, ..., in units of a key.
    """
    graphs, nodes, _ = rows.shape
    pairs = nodes * (nodes - 1) // 2
    keys, spare = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    counts = np.empty(BUCKETS, np.int32)
    state, block = np.empty(4, np.uint64), np.empty(64, np.uint64)
    degree, fitness = np.empty(nodes, np.int64), np.empty(nodes, np.int32)
    for g in range(graphs):
        if edges == 0 or edges == pairs:
            keys[:] = 0
            join(keys, 1 if edges == 0 else 0, rows[g], block)
            continue
        seed_state(state, seeds[g])
        _set_keys(keys, nodes, edges, kinds[g], values[g], state)
        add_noise(keys, noise, state)
        if values[g, 4] > 0.0:
            _set_fitness(fitness, logs, values[g, 4], state)
            add_fitness(keys, fitness)
        join(keys, threshold(keys, edges, counts, spare), rows[g], block)
        evenness = 1.0 if kinds[g] == REGULAR else values[g, 5]
        if evenness > 0.0:
            level(rows[g], degree, evenness, state)


@compiled
def _set_keys(keys: Keys, nodes: int, edges: int, kind: int, values: Floats, state: Random) -> None:
    if kind in (SMALL_WORLD, REGULAR):
        ring_keys(keys, _ring_weights(nodes, edges, values[0], values[1]), nodes)
    elif kind == GEOMETRIC:
        _set_space(keys, nodes, edges, values, state)
    elif kind in (UNIFORM, SCALE_FREE):
        keys[:] = 0
    else:
        if kind in (CORE, HUBS):
            classes = 2
            labels = _two_classes(nodes, values[0], state)
        else:
            classes = _clipped(values[0], nodes)
            labels = _blocks(nodes, classes, values[2])
        if kind == COMMUNITIES:
            weight = np.zeros((classes, classes), np.int32)
            for k in range(classes):
                weight[k, k] = np.int32(np.rint(np.log(values[1]) * UNIT))
        else:
            closed = values[3] > 0.0
            weight = _class_weights(labels, classes, edges, kind, values[1], closed)
        class_keys(keys, labels, weight, np.empty((classes, nodes), np.int32))


@compiled
def _set_fitness(fitness: Keys, logs: Keys, exponent: float, state: Random) -> None:
    """Give the node of rank r the log-odds ``exponent`` log(n / r), ranks in random order."""
    for u in range(len(fitness)):
        fitness[u] = np.int32(np.rint(exponent * logs[u]))
    shuffle(state, fitness)


@inlined
def _clipped(value: float, most: int) -> int:
    """Return a whole number of at least 1 and at most ``most``."""
    return int(min(max(value, 1.0), most))


@inlined
def _log_odds(share: float) -> Any:
    if share >= 1.0:
        return np.int32(_SURE * UNIT)
    if share <= 0.0:
        return np.int32(-_SURE * UNIT)
    return np.int32(np.rint(min(max(np.log(share / (1.0 - share)), -_SURE), _SURE) * UNIT))


@compiled
def _level_weights(sizes: Integers, edges: int, p: float) -> Keys:
    """Return the log-odds of pairs of each level, int32 (levels,), from the number of such pairs.

    Levels are filled in order; each edge moves to any pair with probability p. So a level of which
    a share f would be filled has edges at f (1 - p) + p density of its pairs, m edges in all.
    """
    weight = np.empty(len(sizes), np.int32)
    density, left = edges / sizes.sum(), edges
    for k in range(len(sizes)):
        taken = min(sizes[k], left)
        left -= taken
        share = taken / sizes[k] if sizes[k] else 0.0
        weight[k] = _log_odds(share * (1.0 - p) + p * density)
    return weight


@compiled
def _ring_weights(nodes: int, edges: int, p: float, start: float) -> Keys:
    """Return the weight of each distance along the row of nodes, on a ring, int32 (nodes,).

    Distances are filled from 1 + ``start`` of the way to the farthest outwards, then inwards.
    """
    half = nodes // 2
    first = 1 + np.int64(np.rint(start * (half - 1)))
    sizes = np.full(half, nodes, np.int64)
    order = np.empty(half + 1, np.int64)
    for apart in range(1, half + 1):
        order[apart] = apart - first if apart >= first else half - apart
    if nodes % 2 == 0:
        sizes[order[half]] = half
    by_level = _level_weights(sizes, edges, p)
    weight = np.zeros(nodes, np.int32)
    for apart in range(1, nodes):
        weight[apart] = by_level[order[min(apart, nodes - apart)]]
    return weight


@compiled
def _two_classes(nodes: int, share: float, state: Random) -> Integers:
    """Return labels (nodes,): 0 for the nodes of a random ``share``, at least one, 1 for others."""
    labels = np.ones(nodes, np.int64)
    labels[: _clipped(np.rint(share * nodes), nodes)] = 0
    shuffle(state, labels)
    return labels


@compiled
def _blocks(nodes: int, blocks: int, skew: float) -> Integers:
    """Return labels (nodes,) of contiguous blocks, the first ``skew`` times as large as the last.

    Sizes fall geometrically in between; each block has a node at least.
    """
    sizes = np.empty(blocks)
    for k in range(blocks):
        sizes[k] = skew ** (-k / max(blocks - 1, 1))
    total, labels, done, first = sizes.sum(), np.empty(nodes, np.int64), 0.0, 0
    for k in range(blocks):
        done += sizes[k]
        end = max(int(np.rint(nodes * done / total)), first + 1)
        end = nodes if k == blocks - 1 else min(end, nodes - (blocks - 1 - k))
        labels[first:end] = k
        first = end
    return labels


@compiled
def _class_weights(
    labels: Integers, classes: int, edges: int, kind: int, p: float, closed: bool
) -> Keys:
    """Return the weights of pairs of classes, int32 (classes, classes)."""
    rank = np.empty((classes, classes), np.int64)
    count, sizes = np.zeros(classes, np.int64), np.zeros(classes + 3, np.int64)
    for label in labels:
        count[label] += 1
    for i in range(classes):
        for j in range(classes):
            apart = abs(i - j)
            if kind == CORE:
                rank[i, j] = i + j
            elif kind == HUBS:
                rank[i, j] = 0 if apart else 1 + i
            else:
                apart = min(apart, classes - apart) if closed else apart
                odd_first = apart // 2 if apart % 2 else (classes + apart) // 2 + 1
                rank[i, j] = odd_first if kind == LAYERS else apart
            pairs = count[i] * count[j] if i < j else count[i] * (count[i] - 1) // 2
            sizes[rank[i, j]] += pairs if i <= j else 0
    by_rank = _level_weights(sizes, edges, p)
    weight = np.empty((classes, classes), np.int32)
    for i in range(classes):
        for j in range(classes):
            weight[i, j] = by_rank[rank[i, j]]
    return weight


@compiled
def _set_space(keys: Keys, nodes: int, edges: int, values: Floats, state: Random) -> None:
    """Key pairs by the distance of random points, in units of ``noise`` times the usual link.

    The first coordinate of a node is random within its own nth part of the unit length, so that
    nodes that follow each other lie together along it.
    """
    dimensions = _clipped(values[0], 16)
    points = np.empty((dimensions, nodes))
    for k in range(dimensions):
        for u in range(nodes):
            points[k, u] = (u + next_float(state)) / nodes if k == 0 else next_float(state)
    density = 2.0 * edges / (nodes * (nodes - 1.0))
    reach = 0.5 * density ** (1.0 / dimensions)
    space_keys(keys, points, values[1] > 0.0, 1.0 / (reach * max(values[2], 1e-3)))
