"""The families of graphs that NumPy draws, one function each, all at an exact number of edges.

Random graphs of one density are nearly alike in their properties, so a database of uniform graphs
covers little. These families differ in clustering, path length and degree at the same edge count.
Every family gives exactly ``edges`` edges for every count from 0 to ``n (n - 1) / 2``, which
:func:`bogp.graphs.generate` checks, and is a function of its generator's state alone. Node order
means something to a mask (neighbouring nodes own neighbouring channels): ``ws_flex``,
``ring_lattice`` and ``stochastic_block`` keep their ring or block order; the others place their
nodes at random.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammaln

from bogp.errors import GraphError
from bogp.graphs.rewiring import Indices, havel_hakimi, swap_ends
from bogp.types import BoolArray, Floats


def uniform(nodes: int, edges: int, rng: np.random.Generator) -> BoolArray:
    """Return a graph drawn uniformly among all of ``edges`` edges (Erdős–Rényi G(n, m)).

    >>> int(uniform(8, 10, np.random.default_rng(0)).sum()) // 2
    10
    """
    pairs = nodes * (nodes - 1) // 2
    return _from_pairs(nodes, rng.choice(pairs, edges, replace=False, shuffle=False))


def ws_flex(nodes: int, edges: int, rng: np.random.Generator, p: float = 0.3) -> BoolArray:
    """Return a small-world ring of any average degree (WS-flex, You et al. 2020, section 2.3).

    Each node is joined to its ``edges // nodes`` next neighbours on a ring; nodes drawn at random
    get one more, which makes up the count. Then each edge keeps its first end and moves the other
    to a random node not yet joined to it, with probability ``p`` (Watts & Strogatz 1998). ``p`` = 0
    gives nearly a ring lattice, ``p`` = 1 nearly a uniform graph.
    """
    _check_share("p", p)
    adjacency = np.zeros((nodes, nodes), dtype=np.bool_)
    forward = [_ring(nodes, distance) for distance in range(1, edges // nodes + 1)]
    left = edges - sum(len(ring) for ring in forward)
    if left:
        ring = _ring(nodes, len(forward) + 1)
        forward.append(ring[rng.choice(len(ring), left, replace=False)])
    pairs = np.concatenate([*forward, np.empty((0, 2), dtype=np.intp)])
    _join(adjacency, pairs)
    moving = pairs[rng.random(len(pairs)) < p]
    for node in np.unique(moving[:, 0]):
        old = moving[moving[:, 0] == node, 1]
        free = ~adjacency[node]
        free[node] = False
        new = np.flatnonzero(free)
        count = min(len(old), len(new))  # a node joined to nearly all has nowhere to go
        new = rng.choice(new, count, replace=False)
        adjacency[node, old[:count]] = adjacency[old[:count], node] = False
        adjacency[node, new] = adjacency[new, node] = True
    return adjacency


def barabasi_albert(
    nodes: int, edges: int, rng: np.random.Generator, power: float = 1.0
) -> BoolArray:
    """Return a graph grown by preferential attachment (Barabási & Albert 1999).

    Node ``t`` joins ``min(t, k)`` earlier ones, or ``k + 1`` for nodes drawn at random so that the
    count is exact, each chosen with odds ``degree ** power`` (Krapivsky et al. 2000; 1 is the
    model of Barabási and Albert, 0 attaches blindly). The order of growth is then shuffled.

    Raises:
        GraphError: ``power`` is negative or not finite.
    """
    if not 0.0 <= power < np.inf:
        raise GraphError(f"power {power} is not a number of 0 or more: 1 is the usual model")
    # With k links a node, the first k + 1 nodes are complete: C(k, 2) + k (n - k) edges in all.
    links = max(k for k in range(nodes) if k * (k - 1) // 2 + k * (nodes - k) <= edges)
    wanted = np.minimum(np.arange(nodes), links)
    left = edges - int(wanted.sum())
    wanted[links + 1 + rng.choice(max(nodes - links - 1, 0), left, replace=False)] += 1
    adjacency = np.zeros((nodes, nodes), dtype=np.bool_)
    degree = np.zeros(nodes)
    for node, count in enumerate(wanted.tolist()):
        # The smallest of exponential draws over weights is a weighted draw without replacement.
        keys = np.log(rng.exponential(size=node)) - power * np.log(np.maximum(degree[:node], 1.0))
        targets = np.argsort(keys, kind="stable")[:count]
        adjacency[node, targets] = adjacency[targets, node] = True
        degree[targets] += 1
        degree[node] = count
    order = rng.permutation(nodes)
    return adjacency[np.ix_(order, order)]


def random_regular(nodes: int, edges: int, rng: np.random.Generator) -> BoolArray:
    """Return a random graph whose degrees differ by at most one.

    A randomised Havel–Hakimi graph of those degrees is mixed by :func:`swap_ends`, whose limit is
    uniform. Above half of the pairs the complement is drawn instead.
    """
    pairs = nodes * (nodes - 1) // 2
    if 2 * edges > pairs:
        adjacency = ~random_regular(nodes, pairs - edges, rng)
        np.fill_diagonal(adjacency, False)
        return adjacency
    degree = np.full(nodes, 2 * edges // nodes)
    degree[rng.choice(nodes, 2 * edges % nodes, replace=False)] += 1
    return swap_ends(havel_hakimi(degree, rng), rng)


def stochastic_block(
    nodes: int, edges: int, rng: np.random.Generator, blocks: int = 4, contrast: float = 8.0
) -> BoolArray:
    """Return a stochastic block model conditioned on its number of edges (Holland et al. 1983).

    Nodes form ``blocks`` contiguous groups, at most one a node. ``contrast`` is the odds of a pair
    within a group over those of a pair across: above 1 gives communities, below 1 nearly
    multipartite graphs. Given the total, the number of edges within groups follows Fisher's
    noncentral hypergeometric law; within and across, they are uniform.

    Raises:
        GraphError: ``blocks`` is below 1, or ``contrast`` is not positive and finite.
    """
    if blocks < 1:
        raise GraphError(f"blocks {blocks} is below 1: give the number of groups of nodes")
    if not 0.0 < contrast < np.inf:
        raise GraphError(f"contrast {contrast} is not positive and finite: 8 gives communities")
    block = np.arange(nodes) * min(blocks, nodes) // nodes
    rows, columns = _triangle(nodes)
    same = block[rows] == block[columns]
    within, across = np.flatnonzero(same), np.flatnonzero(~same)
    inside = np.arange(max(0, edges - len(across)), min(edges, len(within)) + 1)
    log_weight = (
        inside * np.log(contrast)
        + _log_choose(len(within), inside)
        + _log_choose(len(across), edges - inside)
    )
    weight = np.cumsum(np.exp(log_weight - log_weight.max()))
    drawn = np.searchsorted(weight, rng.random() * weight[-1], side="right")
    count = int(inside[min(drawn, len(inside) - 1)])
    chosen = (
        rng.choice(within, count, replace=False),
        rng.choice(across, edges - count, replace=False),
    )
    return _from_pairs(nodes, np.concatenate(chosen))


def ring_lattice(nodes: int, edges: int, rng: np.random.Generator) -> BoolArray:
    """Return a ring whose nodes are joined to the nearest ones, as evenly as the count allows.

    Whole rings of neighbours at distance 1, 2, ... are filled first; the rest of the edges are
    spread evenly over the next ring, from a random start, which is all that is random here.
    """
    adjacency = np.zeros((nodes, nodes), dtype=np.bool_)
    start, left, distance = rng.random(), edges, 1
    while left:
        ring = _ring(nodes, distance)
        if left < len(ring):
            steps = (np.arange(left) * len(ring)) // left + int(start * len(ring))
            ring = ring[steps % len(ring)]
        _join(adjacency, ring)
        left, distance = left - len(ring), distance + 1
    return adjacency


def core_periphery(
    nodes: int, edges: int, rng: np.random.Generator, core: float = 0.25
) -> BoolArray:
    """Return a dense core with a sparse rim (Borgatti & Everett 2000).

    A share ``core`` of the nodes, at least one, placed at random, is the core. Pairs within the
    core are filled first, then pairs of core and rim, then pairs within the rim, each at random.

    Raises:
        GraphError: ``core`` is not in [0, 1].
    """
    _check_share("core", core)
    rim = np.ones(nodes)
    rim[rng.choice(nodes, max(1, round(core * nodes)), replace=False)] = 0.0
    rows, columns = _triangle(nodes)
    return _closest(nodes, edges, rim[rows] + rim[columns] + rng.random(len(rows)))


def random_geometric(
    nodes: int,
    edges: int,
    rng: np.random.Generator,
    dimensions: int = 2,
    torus: bool = False,
) -> BoolArray:
    """Return the graph of the ``edges`` closest pairs of random points (Penrose 2003).

    Points are uniform in the unit cube of ``dimensions`` dimensions; with ``torus`` its opposite
    faces are joined, which does away with the cube's corners.

    Raises:
        GraphError: ``dimensions`` is below 1.
    """
    if dimensions < 1:
        raise GraphError(f"dimensions {dimensions} is below 1: 2 is the usual choice")
    points = rng.random((nodes, dimensions))
    rows, columns = _triangle(nodes)
    apart = np.abs(points[rows] - points[columns])
    if torus:
        apart = np.minimum(apart, 1.0 - apart)
    return _closest(nodes, edges, (apart**2).sum(axis=1))


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise GraphError(f"{name} {value} is not in [0, 1]: give a share")


@lru_cache(maxsize=8)
def _triangle(nodes: int) -> tuple[Indices, Indices]:
    """Return rows and columns of the pairs of nodes, row < column, in a fixed order."""
    rows, columns = np.triu_indices(nodes, 1)
    rows.setflags(write=False)
    columns.setflags(write=False)
    return rows, columns


def _from_pairs(nodes: int, chosen: Indices) -> BoolArray:
    """Return the adjacency of the pairs whose positions in :func:`_triangle` are ``chosen``."""
    rows, columns = _triangle(nodes)
    adjacency = np.zeros((nodes, nodes), dtype=np.bool_)
    _join(adjacency, np.stack([rows[chosen], columns[chosen]], axis=1))
    return adjacency


def _join(adjacency: BoolArray, pairs: Indices) -> None:
    """Set the edges ``pairs`` (edges, 2) in place."""
    adjacency[pairs[:, 0], pairs[:, 1]] = adjacency[pairs[:, 1], pairs[:, 0]] = True


def _closest(nodes: int, edges: int, distance: Floats) -> BoolArray:
    """Return the graph of the ``edges`` pairs of least ``distance`` (pairs,)."""
    return _from_pairs(nodes, np.argsort(distance, kind="stable")[:edges])


def _ring(nodes: int, distance: int) -> Indices:
    """Return the pairs ``distance`` apart on a ring, shape (nodes or nodes / 2, 2)."""
    first = np.arange(nodes // 2 if 2 * distance == nodes else nodes)
    return np.stack([first, (first + distance) % nodes], axis=1)


def _log_choose(total: int, part: Indices) -> Floats:
    result = gammaln(total + 1.0) - gammaln(part + 1.0) - gammaln(total - part + 1.0)
    return np.asarray(result, dtype=np.float64)
