"""A graph that is changed by edge swaps, and the numbers that are kept up to date with it.

A :class:`State` holds a graph as rows of bits and, beside it, the sums that the local properties
(clustering, transitivity, degrees and what follows from them) are made of. :func:`toggle` joins or
parts one pair and brings all of them up to date in the time of one intersection of two rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bogp.graphs.kernels.bits import Rows, bit, count_bits, is_joined
from bogp.graphs.kernels.compiled import compiled, lowest_bit, popcount
from bogp.graphs.kernels.triangles import common_neighbours
from bogp.types import Floats, Integers

TRACKED = (
    "clustering",
    "transitivity",
    "triangles",
    "degree_deviation",
    "minimum_degree",
    "degree_assortativity",
    "average_shortest_path_length",
    "betweenness_centrality",
    "closeness_centrality",
    "global_efficiency",
    "diameter",
    "components",
    "cycle_rank",
    "spectral_radius",
    "eigenvector_centrality",
)
"""The properties that swaps keep track of, in the order of ``State.values``."""

DISTANCES = slice(TRACKED.index("average_shortest_path_length"), TRACKED.index("spectral_radius"))
"""Those that follow from distances."""

RADIUS = TRACKED.index("spectral_radius")
EIGENVECTOR = TRACKED.index("eigenvector_centrality")
MINIMUM = TRACKED.index("minimum_degree")
ASSORTATIVITY = TRACKED.index("degree_assortativity")

CLUSTERING, CLOSED, TRIADS, SQUARES, CUBES, PRODUCTS, LEAST, CENTRE = range(8)
"""Places in ``State.sums``: local clusterings, closed triads, triads, squares and cubes of degrees
over nodes; products of the degrees of the two ends over edges. The least degree and the mean degree
at the end of an edge serve estimates only, and are set once a swap is accepted."""


class State(NamedTuple):
    """One graph of n nodes, and all that the search for swaps knows of it."""

    edges: int
    """Number of edges, which swaps keep."""
    rows: Rows
    """Neighbours of each node, (nodes, words)."""
    around: Rows
    """Nodes at distance 2 or less from each node, itself included; and nodes that share exactly one
    neighbour with it, (2, nodes, words)."""
    degree: Integers
    """(nodes,)"""
    triangles: Integers
    """Triangles through each node, (nodes,)."""
    pairs: npt.NDArray[np.int32]
    """Every pair u < v as u n + v, the edges first, (n (n - 1) / 2,)."""
    place: npt.NDArray[np.int32]
    """Where a pair u n + v stands in ``pairs``, (n n,)."""
    joined: Floats
    """The adjacency as zeros and ones, (nodes, nodes)."""
    vector: Floats
    """The leading unit eigenvector and the matrix times it, (2, nodes)."""
    response: Floats
    """How the sum of the vector answers a change of the matrix, (nodes,)."""
    share: Floats
    """One over the pairs of d neighbours, 0 below two, for d = 0 .. n, (nodes + 1,)."""
    sums: Floats
    """(8,), see the names above."""
    values: Floats
    """The properties of ``TRACKED``."""


def new_state(rows: Rows) -> State:
    """Return the state of one graph, ``rows`` (nodes, words); only local properties are filled."""
    nodes, width = rows.shape
    degrees = np.arange(nodes + 1, dtype=np.float64)
    pairs = degrees * (degrees - 1.0) / 2.0
    state = State(
        edges=int(np.bitwise_count(rows).sum()) // 2,
        rows=rows.copy(),
        around=np.zeros((2, nodes, width), np.uint64),
        degree=np.zeros(nodes, np.int64),
        triangles=np.zeros(nodes, np.int64),
        pairs=np.zeros(nodes * (nodes - 1) // 2, np.int32),
        place=np.zeros(nodes * nodes, np.int32),
        joined=np.zeros((nodes, nodes)),
        vector=np.full((2, nodes), 1.0 / np.sqrt(nodes)),
        response=np.zeros(nodes),
        share=np.divide(1.0, pairs, out=np.zeros(nodes + 1), where=pairs > 0),
        sums=np.zeros(8),
        values=np.zeros(len(TRACKED)),
    )
    count_all(state)
    return state


@compiled
def copy(target: Any, source: Any) -> None:
    """Copy numbers in order from one array to another of any shape, as many as both hold."""
    left, right = target.ravel(), source.ravel()
    for k in range(min(len(left), len(right))):
        left[k] = right[k]


@compiled
def count_all(state: State) -> None:
    """Fill everything but distances and spectrum from ``state.rows``."""
    rows, degree, triangles = state.rows, state.degree, state.triangles
    nodes = rows.shape[0]
    edge, gap = 0, state.edges
    for u in range(nodes):
        degree[u], triangles[u] = count_bits(rows, u), 0
        for v in range(nodes):
            state.joined[u, v] = 0.0
    for u in range(nodes):
        for v in range(u + 1, nodes):
            if is_joined(rows, u, v):
                place, edge = edge, edge + 1
                state.joined[u, v] = state.joined[v, u] = 1.0
                both = common_neighbours(rows, u, v)
                triangles[u] += both
                triangles[v] += both
            else:
                place, gap = gap, gap + 1
            state.pairs[place] = u * nodes + v
            state.place[u * nodes + v] = place
    sums = state.sums
    for k in range(len(sums)):
        sums[k] = 0.0
    for u in range(nodes):
        triangles[u] //= 2
        d = np.float64(degree[u])
        sums[CLUSTERING] += triangles[u] * state.share[degree[u]]
        sums[CLOSED] += triangles[u]
        sums[TRIADS] += d * (d - 1.0) / 2.0
        sums[SQUARES] += d * d
        sums[CUBES] += d * d * d
        sums[PRODUCTS] += d * neighbour_degrees(rows, degree, u) / 2.0


@compiled
def neighbour_degrees(rows: Rows, degree: Integers, u: int) -> int:
    """Return the sum of the degrees of the neighbours of u."""
    total = 0
    for k in range(rows.shape[1]):
        word = rows[u, k]
        while word:
            total += degree[64 * k + lowest_bit(word)]
            word &= word - np.uint64(1)
    return total


@compiled
def toggle(state: State, u: int, v: int, products: bool) -> None:
    """Join or part u and v, and bring degrees, triangles and sums up to date.

    ``joined``, ``pairs`` and what follows from distances and spectrum stay as they are. The sum of
    products, which takes a walk over both neighbourhoods, is updated only if asked for.
    """
    rows, degree, triangles = state.rows, state.degree, state.triangles
    share, sums = state.share, state.sums
    sign = -1 if is_joined(rows, u, v) else 1
    clustering, both = sums[CLUSTERING], 0
    clustering -= triangles[u] * share[degree[u]] + triangles[v] * share[degree[v]]
    for k in range(rows.shape[1]):
        word = rows[u, k] & rows[v, k]
        both += popcount(word)
        while word:
            node = 64 * k + lowest_bit(word)
            word &= word - np.uint64(1)
            triangles[node] += sign
            clustering += sign * share[degree[node]]
    triangles[u] += sign * both
    triangles[v] += sign * both
    if products:
        around = neighbour_degrees(rows, degree, u) + neighbour_degrees(rows, degree, v)
        if sign > 0:
            sums[PRODUCTS] += around + (degree[u] + 1) * (degree[v] + 1)
        else:
            sums[PRODUCTS] -= around - degree[u] - degree[v] + degree[u] * degree[v]
    rows[u, v >> 6] ^= bit(v)
    rows[v, u >> 6] ^= bit(u)
    for node in (u, v):
        before = np.float64(degree[node])
        degree[node] += sign
        after = np.float64(degree[node])
        sums[TRIADS] += (after * (after - 1.0) - before * (before - 1.0)) / 2.0
        sums[SQUARES] += after * after - before * before
        sums[CUBES] += after * after * after - before * before * before
    sums[CLOSED] += 3.0 * sign * both
    clustering += triangles[u] * share[degree[u]] + triangles[v] * share[degree[v]]
    sums[CLUSTERING] = clustering


@compiled
def lowest(degree: Integers) -> tuple[int, int]:
    """Return the least degree and how many nodes have it."""
    least, count = degree[0], 0
    for d in degree:
        if d < least:
            least, count = d, 0
        if d == least:
            count += 1
    return least, count


@compiled
def local_values(state: State, aim: float, values: Floats) -> None:
    """Write the local properties of the state into ``values``, the first places of ``TRACKED``.

    A minimum degree below ``aim`` counts the less, by up to a half, the more nodes have it, so that
    each of them that gains an edge is a step forward; pass -inf for the plain number.
    """
    sums, nodes, edges = state.sums, len(state.degree), state.edges
    mean = 2.0 * edges / nodes
    values[0] = sums[CLUSTERING] / nodes
    values[1] = sums[CLOSED] / sums[TRIADS] if sums[TRIADS] > 0.0 else 0.0
    values[2] = sums[CLOSED] / 3.0
    values[3] = np.sqrt(max(0.0, sums[SQUARES] / nodes - mean * mean))
    least, count = lowest(state.degree)
    values[4] = least - 0.5 + 1.0 / (count + 1.0) if least < aim else least
    # Pearson's correlation of the degrees at the two ends, over edges in both directions.
    centre = sums[SQUARES] / (2.0 * edges)
    spread = sums[CUBES] / (2.0 * edges) - centre * centre
    along = sums[PRODUCTS] / edges - centre * centre
    values[5] = along / spread if spread > 1e-12 * centre * centre else 0.0
