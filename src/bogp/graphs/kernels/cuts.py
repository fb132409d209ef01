"""Edge connectivity, exactly, with a flow for hardly any graph.

Three steps, each for the graphs that the one before leaves open. Write d for the minimum degree,
an upper bound of the edge connectivity.

1. Disconnected: 0. Connected and d <= 1: d.
2. Connected, and too few nodes far enough apart for any cut smaller than d: d
   (:func:`_no_smaller_cut`, which covers d >= n // 2, Chartrand 1966, and diameter <= 2, Plesník
   1975).
3. Grow a set X that no cut below the bound separates, until it dominates all nodes that have two
   or more others at distance 3 or more. Every cut below the bound has such a node, with all its
   neighbours, on either side (the proof is in :func:`_no_smaller_cut`), so none is left (after
   Matula 1987 and Esfahanian & Hakimi 1984). A node joins X for nothing if as many of its
   neighbours as the bound are in X or next to it: each is an edge or a path of two edges into X of
   its own. Otherwise a maximum flow from it to X, stopped at the bound, lowers the bound to its
   value if that is less.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bogp.graphs.kernels.bits import Rows, bit, count_bits, is_joined
from bogp.graphs.kernels.compiled import compiled, inlined, lowest_bit, popcount
from bogp.types import Floats, Integers


@compiled
def edge_connectivities(rows: Rows, components: Floats, near: Floats, shortcut: bool) -> Floats:
    """Return the least number of edges whose removal disconnects each graph, float64 (graphs,).

    ``components`` (graphs,) is the number of components; ``near`` (graphs, nodes) the number of
    nodes at distance 2 or less from each, itself included. Without ``shortcut`` the second step is
    left out; the result is the same.
    """
    graphs, nodes, width = rows.shape
    result = np.zeros(graphs)
    far, far_set = np.empty(nodes, np.int64), np.empty(width, np.uint64)
    for g in range(graphs):
        if components[g] != 1.0 or nodes == 1:
            continue
        least = nodes
        for k in range(width):
            far_set[k] = 0
        for u in range(nodes):
            least = min(least, count_bits(rows[g], u))
            far[u] = nodes - np.int64(near[g, u])
            if far[u] >= 2 or not shortcut:
                far_set[u >> 6] |= bit(u)
        if least > 1 and not (shortcut and _no_smaller_cut(least, far)):
            least = _least_cut(rows[g], least, far_set)
        result[g] = least
    return result


@compiled
def _no_smaller_cut(least: int, far: Integers) -> bool:
    """Return whether a connected graph has no cut of fewer than ``least`` edges for sure.

    ``far`` (nodes,) is the number of nodes at distance 3 or more from each. Suppose such a cut, of
    fewer than d edges, with sides of s <= t nodes. Then s > d: of k <= d nodes each has d - k + 1
    or more neighbours outside, k (d - k + 1) >= d edges in all. At most d - 1 nodes of a side
    touch the cut, so at least j = s - d + 1 >= 2 nodes of the one side and t - d + 1 = K - j of
    the other, K = n - 2 d + 2, have all their neighbours on their own side. Any two of these from
    different sides are at distance 3 or more. So for some 2 <= j <= K / 2 at least j nodes have
    K - j far ones, and at least K nodes have j far ones.
    """
    nodes = len(far)
    needed = nodes - 2 * least + 2
    if needed < 4:
        return True
    at_least = np.zeros(nodes + 1, np.int64)  # at_least[j]: nodes with j far ones or more
    for u in range(nodes):
        at_least[far[u]] += 1
    for j in range(nodes - 1, -1, -1):
        at_least[j] += at_least[j + 1]
    for j in range(2, needed // 2 + 1):
        if at_least[needed - j] >= j and at_least[j] >= needed:
            return False
    return True


@compiled
def _least_cut(graph: Rows, bound: int, far_set: Rows) -> int:
    """Return the least cut of a connected graph (nodes, words) of minimum degree ``bound``.

    ``far_set`` (words,) has all nodes that may have their whole neighbourhood on one side of a cut
    below the bound. ``inside`` is X, ``reach`` is X and its neighbours.
    """
    nodes, width = graph.shape
    inside, reach = np.zeros(width, np.uint64), np.zeros(width, np.uint64)
    queue, parent = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    residual = np.empty_like(graph)
    _absorb(graph, _busiest(graph), inside, reach)
    while bound > 1:
        joining = True
        while joining:
            joining = False
            for u in range(nodes):
                outside = not inside[u >> 6] & bit(u)
                if outside and _known_paths(graph, u, reach) >= bound:
                    _absorb(graph, u, inside, reach)
                    joining = True
        node = _next_node(graph, bound, far_set, inside, reach)
        if node < 0:
            break
        bound = min(bound, _flow(graph, node, bound, inside, residual, queue, parent))
        _absorb(graph, node, inside, reach)
    return bound


@compiled
def _busiest(graph: Rows) -> int:
    """Return the node of most neighbours."""
    best, most = 0, -1
    for u in range(graph.shape[0]):
        count = count_bits(graph, u)
        if count > most:
            best, most = u, count
    return best


@inlined
def _absorb(graph: Rows, u: int, inside: Rows, reach: Rows) -> None:
    """Add node ``u`` to ``inside``, and it and its neighbours to ``reach``, in place."""
    inside[u >> 6] |= bit(u)
    reach[u >> 6] |= bit(u)
    for k in range(graph.shape[1]):
        reach[k] |= graph[u, k]


@inlined
def _known_paths(graph: Rows, u: int, reach: Rows) -> Any:
    """Return how many paths of one or two edges lead from ``u`` into the set, no edge shared."""
    count = 0
    for k in range(graph.shape[1]):
        count += popcount(graph[u, k] & reach[k])
    return count


@compiled
def _next_node(graph: Rows, bound: int, far_set: Rows, inside: Rows, reach: Rows) -> int:
    """Return the node outside that newly dominates most for the paths to be found, -1 if done."""
    nodes, width = graph.shape
    best, best_gain, best_cost = -1, 0, 1
    for u in range(nodes):
        if inside[u >> 6] & bit(u):
            continue
        gain = 0
        for k in range(width):
            gain += popcount(graph[u, k] & far_set[k] & ~reach[k])
        if far_set[u >> 6] & ~reach[u >> 6] & bit(u):
            gain += 1
        cost = bound - _known_paths(graph, u, reach)
        ahead = gain * best_cost - best_gain * cost
        if ahead > 0 or (ahead == 0 and gain > best_gain):
            best, best_gain, best_cost = u, gain, cost
    return best


@compiled
def _flow(
    graph: Rows,
    source: int,
    limit: int,
    inside: Rows,
    residual: Rows,
    queue: Integers,
    parent: Integers,
) -> int:
    """Return the least cut between ``source`` and the set ``inside``, or ``limit`` if that is less.

    Augmenting paths (Ford & Fulkerson 1956), found breadth first. ``residual`` has the arcs that
    can take one unit more; the other three arrays are room to work in. ``gates`` are the nodes
    outside with such an arc into the set.
    """
    nodes, width = graph.shape
    gates, seen = np.zeros(width, np.uint64), np.empty(width, np.uint64)
    flow = 0
    for u in range(nodes):
        for k in range(width):
            residual[u, k] = graph[u, k]
    for v in range(nodes):
        if inside[v >> 6] & bit(v):
            if is_joined(residual, source, v):  # the edge itself
                residual[source, v >> 6] ^= bit(v)
                flow += 1
            continue
        if v == source:
            continue
        if is_joined(residual, source, v) and _enter(residual, v, inside):
            residual[source, v >> 6] ^= bit(v)  # a path of two edges
            flow += 1
        if _open(residual, v, inside):
            gates[v >> 6] |= bit(v)
    while flow < limit:
        last = _search(residual, source, gates, seen, queue, parent)
        if last < 0:
            break
        _enter(residual, last, inside)
        if not _open(residual, last, inside):
            gates[last >> 6] &= ~bit(last)
        _push(residual, source, last, parent)
        flow += 1
    return min(flow, limit)


@inlined
def _open(residual: Rows, v: int, inside: Rows) -> Any:
    """Return whether an arc of ``v`` into the set can take one unit more."""
    found = np.uint64(0)
    for k in range(residual.shape[1]):
        found |= residual[v, k] & inside[k]
    return found != 0


@inlined
def _enter(residual: Rows, v: int, inside: Rows) -> bool:
    """Use an arc of ``v`` into the set up, and return whether there was one."""
    for k in range(residual.shape[1]):
        into = residual[v, k] & inside[k]
        if into:
            residual[v, k] ^= into & (~into + np.uint64(1))
            return True
    return False


@compiled
def _search(
    residual: Rows, source: int, gates: Rows, seen: Rows, queue: Integers, parent: Integers
) -> Any:
    """Return the first gate met breadth first from ``source``, -1 if none; fills ``parent``."""
    width = residual.shape[1]
    for k in range(width):
        seen[k] = 0
    seen[source >> 6] = bit(source)
    queue[0] = source
    first, behind = 0, 1
    while first < behind:
        u = queue[first]
        first += 1
        for k in range(width):
            new = residual[u, k] & ~seen[k]
            if new & gates[k]:
                v = 64 * k + lowest_bit(new & gates[k])
                parent[v] = u
                return v
            seen[k] |= new
            while new:
                v = 64 * k + lowest_bit(new)
                new &= new - np.uint64(1)
                parent[v] = u
                queue[behind] = v
                behind += 1
    return -1


@inlined
def _push(residual: Rows, source: int, last: int, parent: Integers) -> None:
    """Send one unit along the path to ``last``: it undoes a unit the other way, if there is one."""
    v = last
    while v != source:
        u = parent[v]
        if is_joined(residual, v, u):
            residual[u, v >> 6] &= ~bit(v)
        else:
            residual[v, u >> 6] |= bit(u)
        v = u
