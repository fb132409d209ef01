"""Edge connectivity of many graphs, exactly, with a flow for hardly any of them.

Four steps, each for the graphs that the one before leaves open. Write d for the minimum degree,
an upper bound of the edge connectivity.

1. Disconnected: 0. Connected and d <= 1: d.
2. Connected, and too few nodes far enough apart for any cut smaller than d: d
   (:func:`_no_smaller_cut`, which covers d >= n // 2, Chartrand 1966, and diameter <= 2, Plesník
   1975).
3. Scan the nodes in maximum-adjacency order, all graphs at once, and contract the pairs that no
   cut below the bound separates (Nagamochi & Ibaraki 1992); lower the bound to the least degree of
   the contracted graph. Graphs of uneven degrees shrink to one node in a scan or two.
4. Maximum flows in the contracted graph between the members of a set that every cut below d
   separates: one that dominates the nodes with some other at distance 3 or more (after Esfahanian
   & Hakimi 1984).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, maximum_flow

from bogp.graphs.batch import Batch, FloatArray, SingleArray
from bogp.graphs.relational import BoolArray

Labels = npt.NDArray[np.intp]

_SCANS = 2
"""Scans before flows take over; the lattices left then shrink by a few nodes a scan."""


def edge_connectivities(batch: Batch) -> FloatArray:
    """Return the least number of edges whose removal disconnects each graph, float64 (graphs,)."""
    if batch.nodes < 2:
        return np.zeros(batch.graphs)
    least = batch.degree.min(axis=1)
    result = np.where(batch.connected, least, 0.0)
    far = batch.nodes - batch.distances.near
    settled = ~batch.connected | (least <= 1) | _no_smaller_cut(least, far)
    open_graphs = np.flatnonzero(~settled)
    weights = batch.joined[open_graphs]
    labels = np.broadcast_to(np.arange(batch.nodes), weights.shape[:2])
    for _ in range(_SCANS):
        if not len(open_graphs):
            return result
        weights, merged = _contract(weights, _inseparable(weights, result[open_graphs]))
        labels = np.take_along_axis(merged, labels, axis=1)
        size = labels.max(axis=1) + 1
        dead = np.arange(weights.shape[1]) >= size[:, None]
        degree = np.where(dead | (size == 1)[:, None], np.inf, weights.sum(axis=2))
        result[open_graphs] = np.minimum(result[open_graphs], degree.min(axis=1))
        left = size > 1
        open_graphs, weights, labels = open_graphs[left], weights[left], labels[left]
    for graph, weight, label in zip(open_graphs, weights, labels, strict=True):
        terminals = np.unique(label[_dominating(batch.adjacency[graph], far[graph] > 0)])
        result[graph] = min(result[graph], _least_flow(weight, terminals))
    return result


def _no_smaller_cut(least: FloatArray, far: FloatArray) -> BoolArray:
    """Return which connected graphs have no cut of fewer than ``least`` (graphs,) edges for sure.

    ``far`` (graphs, nodes) is the number of nodes at distance 3 or more from each. Suppose such a
    cut, of fewer than d edges, with sides of s <= t nodes. Then s > d: of k <= d nodes each has
    d - k + 1 or more neighbours outside, k (d - k + 1) >= d edges in all. At most d - 1 nodes of a
    side touch the cut, so at least j = s - d + 1 >= 2 nodes of the one side and t - d + 1 = K - j
    of the other, K = n - 2 d + 2, have all their neighbours on their own side. Any two of these
    from different sides are at distance 3 or more. So for some 2 <= j <= K / 2 at least j nodes
    have K - j far ones, and at least K nodes have j far ones.
    """
    nodes = far.shape[1]
    ranked = -np.sort(-far, axis=1)
    needed = (nodes - 2.0 * least + 2.0)[:, None]  # K
    last = np.clip(needed.astype(np.intp) - 1, 0, nodes - 1)
    j = np.arange(1, nodes + 1)
    possible = (j >= 2) & (2 * j <= needed)
    possible &= (ranked >= needed - j) & (np.take_along_axis(ranked, last, axis=1) >= j)
    found: BoolArray = possible.any(axis=1)
    return ~found


def _inseparable(weights: SingleArray, bound: FloatArray) -> BoolArray:
    """Return pairs of nodes (graphs, nodes, nodes) that no cut below ``bound`` (graphs,) separates.

    When a node is scanned, the weight between each neighbour and the nodes scanned so far is a
    lower bound of the least cut between the two. The last node always joins one before it.
    """
    graphs, nodes = weights.shape[:2]
    rows = np.arange(graphs)
    attached = np.zeros((graphs, nodes), dtype=np.float32)
    joined = np.zeros(weights.shape, dtype=np.bool_)
    least = bound.astype(np.float32)[:, None]
    for _ in range(nodes):
        node = attached.argmax(axis=1)
        weight = weights[rows, node]
        attached[rows, node] = -np.inf  # scanned
        attached += weight
        joined[rows, node] = (attached >= least) & (weight > 0)
    return joined


def _contract(weights: SingleArray, joined: BoolArray) -> tuple[SingleArray, Labels]:
    """Return the weights after merging joined nodes, and the new number of each old node.

    Graphs that shrink more than others are padded with nodes of no weight.
    """
    graphs, nodes = weights.shape[:2]
    graph, row, column = np.nonzero(joined)
    total = graphs * nodes
    links = csr_array(
        (np.ones(len(graph)), (graph * nodes + row, graph * nodes + column)), shape=(total, total)
    )
    component = connected_components(links, directed=False)[1]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    head = np.zeros(total, dtype=np.intp)
    head[first] = 1  # the lowest node of each component stands for it
    rank = np.cumsum(head.reshape(graphs, nodes), axis=1) - 1
    merged = rank.ravel()[first[inverse]].reshape(graphs, nodes)
    hot = (merged[:, :, None] == np.arange(merged.max() + 1)).astype(np.float32)
    smaller = hot.transpose(0, 2, 1) @ weights @ hot
    diagonal = np.arange(smaller.shape[1])
    smaller[:, diagonal, diagonal] = 0.0
    return smaller, merged


def _dominating(adjacency: BoolArray, targets: BoolArray) -> Labels:
    """Return nodes (greedy, few) such that each of ``targets`` is one of them or next to one."""
    cover = adjacency.copy()
    np.fill_diagonal(cover, True)
    left, chosen = targets.copy(), []
    while left.any():
        node = int((cover @ left.astype(np.float32)).argmax())
        chosen.append(node)
        left &= ~cover[node]
    return np.array(chosen, dtype=np.intp)


def _least_flow(weights: SingleArray, terminals: Labels) -> float:
    """Return the least maximum flow from the first terminal to any other, inf without two."""
    if len(terminals) < 2:
        return np.inf
    capacity = csr_array(weights.astype(np.int32))
    source = int(terminals[0])
    flows = (maximum_flow(capacity, source, int(sink)).flow_value for sink in terminals[1:])
    return float(min(flows))
