"""Which swap to propose: a few are drawn and the one that estimates best is taken.

What a swap does to each property is estimated from eight *features* of the pairs that it joins and
parts, each found in the time of one look at two rows, and the slopes of the properties in them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bogp.graphs.kernels.bits import Rows, bit, is_joined, words
from bogp.graphs.kernels.compiled import compiled, inlined, lowest_bit, popcount
from bogp.graphs.kernels.random import Random, next_below
from bogp.graphs.kernels.swap_state import (
    ASSORTATIVITY,
    CENTRE,
    CLOSED,
    CUBES,
    DISTANCES,
    EIGENVECTOR,
    LEAST,
    RADIUS,
    SQUARES,
    TRACKED,
    TRIADS,
    State,
    copy,
    lowest,
)
from bogp.types import Floats, Integers

FEATURES = 8


class Workspace(NamedTuple):
    """Where a swap is worked out before it is accepted, and what the search has learned."""

    around: Rows
    """As in the state, and two sets of balls, (4, nodes, words)."""
    swap: Integers
    """The pairs that a swap parts and then those that it joins, each as u n + v, u < v, (4,)."""
    change: Floats
    """The features of the swap, (8,)."""
    slopes: Floats
    """How each property changes with each feature, (properties, 8)."""
    learned: Floats
    """What the slopes of distances are made of, (2, properties): see :func:`new_workspace`."""
    values: Floats
    """The properties after the swap, (properties,)."""
    vector: Floats
    """The state's, for the way back, (2, nodes)."""
    sums: Floats
    """The state's, for the way back, (8,)."""


def new_workspace(nodes: int) -> Workspace:
    """Return a workspace for graphs of so many nodes.

    It has learned nothing of distances yet. The second row of ``learned`` is a weight, the first
    that weight times how each property changes with the pairs within two steps: as if all others
    were at a distance of 3.
    """
    learned = np.zeros((2, len(TRACKED)))
    pair = 2.0 / max(nodes * (nodes - 1.0), 1.0)
    learned[0, DISTANCES][:4] = -pair, -pair / max(nodes - 2.0, 1.0), pair / 4.0, pair / 6.0
    learned[1] = 1.0
    return Workspace(
        around=np.empty((4, nodes, words(nodes)), np.uint64),
        swap=np.zeros(4, np.int64),
        change=np.zeros(FEATURES),
        slopes=np.zeros((len(TRACKED), FEATURES)),
        learned=100.0 * learned,
        values=np.empty(len(TRACKED)),
        vector=np.empty((2, nodes)),
        sums=np.empty(8),
    )


class Goal(NamedTuple):
    """What the search aims at."""

    target: Floats
    """Wanted values, in the order of ``TRACKED``."""
    weight: Floats
    """One over the scale of each, 0 where nothing is wanted."""
    tolerance: float
    """Largest error, in units of scale, that counts as met; below 0 never."""
    preserve: bool
    """Whether degrees stay as they are."""
    distant: bool
    """Whether a property of distances is wanted."""
    spectral: bool
    """Whether a property of the leading eigenvector is wanted."""


@inlined
def squared(goal: Goal, values: Floats) -> float:
    """Return the squared distance to the target, in units of scale."""
    total = 0.0
    for k in range(len(values)):
        if goal.weight[k] > 0.0:
            error = (values[k] - goal.target[k]) * goal.weight[k]
            total += error * error
    return total


@inlined
def met(goal: Goal, values: Floats) -> bool:
    """Return whether every wanted property is within the tolerance."""
    within = True
    for k in range(len(values)):
        if abs(values[k] - goal.target[k]) * goal.weight[k] > goal.tolerance:
            within = False
    return within


@compiled
def add_features(state: State, u: int, v: int, change: Floats) -> None:
    """Add to ``change`` (8,) what joining or parting u and v would do, to first order.

    The sum of local clusterings; triangles; the sum of squared degrees; pairs within two steps;
    the sum of the leading eigenvector; its eigenvalue; ends of least degree; the covariance of the
    degrees at the two ends of an edge, times edges.
    """
    rows, share, degree, triangles = state.rows, state.share, state.degree, state.triangles
    joined = is_joined(rows, u, v)
    step = -1 if joined else 1
    both, local, near = 0, 0.0, 0
    for k in range(rows.shape[1]):
        left, right = rows[u, k], rows[v, k]
        word = left & right
        both += popcount(word)
        while word:
            local += step * share[degree[64 * k + lowest_bit(word)]]
            word &= word - np.uint64(1)
        if joined:
            near += popcount(right & ~left & state.around[1, u, k])
            near += popcount(left & ~right & state.around[1, v, k])
        else:
            near += popcount(right & ~state.around[0, u, k]) + popcount(
                left & ~state.around[0, v, k]
            )
    if both == 0:
        near += 1
    for node in (u, v):
        d = degree[node]
        local += (triangles[node] + step * both) * share[d + step] - triangles[node] * share[d]
    x, z = state.vector[0], state.response
    change[0] += local
    change[1] += step * both
    change[2] += step * 2 * (degree[u] + degree[v]) + 2
    change[3] += step * near
    change[4] += step * (z[u] * x[v] + z[v] * x[u])
    change[5] += step * 2.0 * x[u] * x[v]
    least, centre = state.sums[LEAST], state.sums[CENTRE]
    change[6] += step * ((degree[u] <= least) + (degree[v] <= least))
    change[7] += step * (degree[u] - centre) * (degree[v] - centre)


@compiled
def set_slopes(state: State, work: Workspace, goal: Goal) -> None:
    """Set the slopes of the workspace: how each property changes with each feature.

    Those of distances are learned from the swaps so far. The triads change by half as much as the
    squared degrees. Also sets the least degree and the mean degree at the end of an edge.
    """
    slopes, learned, edges = work.slopes, work.learned, state.edges
    nodes, values, triads = len(state.degree), state.values, max(state.sums[TRIADS], 1.0)
    for k in range(slopes.shape[0]):
        for j in range(FEATURES):
            slopes[k, j] = 0.0
    slopes[0, 0] = 1.0 / nodes
    slopes[1, 1] = 3.0 / triads
    slopes[1, 2] = -state.sums[CLOSED] / triads / (2.0 * triads)
    slopes[2, 1] = 1.0
    slopes[3, 2] = 1.0 / (2.0 * nodes * max(values[3], 0.1))
    for k in range(DISTANCES.start, DISTANCES.stop):
        slopes[k, 3] = learned[0, k] / learned[1, k]
    least, count = lowest(state.degree)
    state.sums[LEAST] = least
    # To raise the least degree takes all the nodes that have it, to lower it takes one.
    slopes[4, 6] = 1.0 / (count * (count + 1.0)) if goal.target[4] > least else 1.0
    centre = state.sums[SQUARES] / (2.0 * edges)
    state.sums[CENTRE] = centre
    spread = state.sums[CUBES] / (2.0 * edges) - centre * centre
    slopes[ASSORTATIVITY, 7] = 1.0 / (edges * max(spread, 0.1))
    slopes[RADIUS, 5] = 1.0
    slopes[EIGENVECTOR, 4] = 1.0 / nodes


@compiled
def guess(goal: Goal, values: Floats, slopes: Floats, change: Floats, steep: bool) -> float:
    """Return the squared distance to which a change of the features would lead.

    With ``steep``, half of how fast it grows where the change begins.
    """
    total = 0.0
    for k in range(len(values)):
        if goal.weight[k] > 0.0:
            step = 0.0
            for j in range(FEATURES):
                step += slopes[k, j] * change[j]
            error = values[k] - goal.target[k]
            scale = goal.weight[k] * goal.weight[k]
            total += scale * (error * step if steep else (error + step) * (error + step))
    return total


@compiled
def choose(state: State, work: Workspace, goal: Goal, random: Random, picks: int) -> int:
    """Draw a swap and write its pairs and its features into the workspace.

    Returns how many pairs it parts, and joins as many; 0 where no swap was found.
    """
    if goal.preserve:
        return _choose_double(state, work, goal, random, picks)
    edges, swap, change = state.edges, work.swap, work.change
    nodes, pairs = len(state.degree), state.pairs
    parted, trial = np.zeros(FEATURES), np.empty(FEATURES)
    for j in range(2):
        best = np.inf
        first, count = (edges, len(pairs) - edges) if j else (0, edges)
        for _ in range(picks):
            pair = pairs[first + next_below(random, count)]
            copy(trial, parted)
            add_features(state, pair // nodes, pair % nodes, trial)
            # The slope alone for the pair to part: how far to go is for the other to decide.
            score = guess(goal, state.values, work.slopes, trial, j == 0)
            if score < best:
                best, swap[j] = score, pair
                copy(change, trial)
        copy(parted, change)
    return 1


@compiled
def _choose_double(state: State, work: Workspace, goal: Goal, random: Random, picks: int) -> int:
    """Draw a swap of the ends of two edges: a-b, c-d become a-d, c-b.

    It starts from the pair a-d to join, so that it is found as soon in dense graphs as in sparse.
    """
    nodes, rows, found = len(state.degree), state.rows, 0
    best, trial = np.inf, np.empty(FEATURES)
    free, four = np.empty(rows.shape[1], np.uint64), np.empty(4, np.int64)
    for _ in range(picks):
        pair = state.pairs[state.edges + next_below(random, len(state.pairs) - state.edges)]
        a, d = pair // nodes, pair % nodes
        if next_below(random, 2):
            a, d = d, a
        for k in range(len(free)):
            free[k] = rows[a, k]
        b = _pick(free, random)
        if b < 0:
            continue
        for k in range(len(free)):
            free[k] = rows[d, k] & ~rows[b, k]
        free[b >> 6] &= ~bit(b)
        c = _pick(free, random)
        if c < 0:
            continue
        for k in range(FEATURES):
            trial[k] = 0.0
        for k in range(4):
            u = a if k == 0 or k == 2 else c
            v = b if k == 0 or k == 3 else d
            four[k] = min(u, v) * nodes + max(u, v)
            add_features(state, u, v, trial)
        score = guess(goal, state.values, work.slopes, trial, False)
        if score < best:
            best, found = score, 2
            copy(work.swap, four)
            copy(work.change, trial)
    return found


@compiled
def _pick(bits: Rows, random: Random) -> int:
    """Return the place of a random one of ``bits`` (words,), or -1 where there is none."""
    count = 0
    for k in range(len(bits)):
        count += popcount(bits[k])
    if count == 0:
        return -1
    left, k = next_below(random, count), 0
    while left >= popcount(bits[k]):
        left -= popcount(bits[k])
        k += 1
    word = bits[k]
    for _ in range(left):
        word &= word - np.uint64(1)
    return int(64 * k + lowest_bit(word))
