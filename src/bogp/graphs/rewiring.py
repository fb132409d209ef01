"""Graphs of given degrees: a first one, and its random rewiring."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bogp.types import BoolArray, Integers

Indices = npt.NDArray[np.intp]

_MOVES = 4.0
"""Times that each edge moves, on average."""


def havel_hakimi(degree: Integers, rng: np.random.Generator) -> BoolArray:
    """Return a graph of these degrees (nodes,), ties broken at random (Hakimi 1962).

    The degrees must belong to some graph; those that differ by at most one, of even sum and below
    the number of nodes, always do.

    >>> havel_hakimi(np.array([2, 2, 2]), np.random.default_rng(0)).sum(axis=0).tolist()
    [2, 2, 2]
    """
    nodes = len(degree)
    adjacency = np.zeros((nodes, nodes), dtype=np.bool_)
    left = degree.copy()
    for _ in range(nodes):
        order = np.argsort(-(left + rng.random(nodes)), kind="stable")
        node, targets = order[0], order[1 : 1 + left[order[0]]]
        adjacency[node, targets] = adjacency[targets, node] = True
        left[targets] -= 1
        left[node] = 0
    return adjacency


def swap_ends(adjacency: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Return the graph after random swaps of the ends of two edges (Maslov & Sneppen 2002).

    In each round a share of the edges is paired at random, and a-b, c-d become a-d, c-b. A pair is
    left alone if a new edge of it is a loop, exists already, or is also a new edge of another
    pair, and also if one of its old edges is a new edge of another pair. So degrees stay, the
    graph stays simple, and the same pairing undoes a round: every graph of these degrees is
    equally likely in the end. Edges move about four times each.

    >>> ring = np.roll(np.eye(8, dtype=bool), 1, axis=0)
    >>> swap_ends(ring | ring.T, np.random.default_rng(0)).sum(axis=0).tolist()
    [2, 2, 2, 2, 2, 2, 2, 2]
    """
    nodes = len(adjacency)
    result = adjacency.copy()
    edges = np.stack(np.nonzero(np.triu(result, 1)), axis=1)
    if len(edges) < 2:
        return result
    share, rounds = _schedule(2.0 * len(edges) / (nodes * (nodes - 1)))
    for _ in range(rounds):
        order = rng.permutation(len(edges))[: len(edges) // 2 * 2].reshape(-1, 2)
        order = order[rng.random(len(order)) < share]
        flip = rng.random(len(order)) < 0.5
        a, b = edges[order[:, 0]].T
        c, d = edges[order[:, 1]].T
        c, d = np.where(flip, d, c), np.where(flip, c, d)
        new = np.stack([_pair_number(a, d, nodes), _pair_number(c, b, nodes)])
        old = np.stack([_pair_number(a, b, nodes), _pair_number(c, d, nodes)])
        times = np.bincount(new.ravel(), minlength=nodes**2)
        free = ~(result[a, d] | result[c, b]) & (a != d) & (c != b)
        free &= ((times[new] == 1) & (times[old] == 0)).all(axis=0)
        a, b, c, d, order = a[free], b[free], c[free], d[free], order[free]
        result[a, b] = result[b, a] = result[c, d] = result[d, c] = False
        result[a, d] = result[d, a] = result[c, b] = result[b, c] = True
        edges[order[:, 0]] = np.stack([a, d], axis=1)
        edges[order[:, 1]] = np.stack([c, b], axis=1)
    return result


def _schedule(density: float) -> tuple[float, int]:
    """Return the share of the edges to pair in a round, and the number of rounds.

    Pairing a share f swaps about f (1 - density)^2 exp(-4 f density) of the edges: the new edges
    must be free, and four edges must not be hit by another pair. That is most at
    f = 1 / (4 density); below 1 so that any single pair may be alone in a round.
    """
    share = min(0.95, 1.0 / (4.0 * density))
    swapped = share * max(1.0 - density, 0.1) ** 2 * math.exp(-4.0 * share * density)
    return share, math.ceil(_MOVES / swapped)


def _pair_number(u: Indices, v: Indices, nodes: int) -> Indices:
    """Return one number for each unordered pair of nodes."""
    return np.minimum(u, v) * nodes + np.maximum(u, v)
