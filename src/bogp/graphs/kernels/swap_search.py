"""The search of :mod:`bogp.graphs.synthesis`: swaps of edges, judged twice.

A proposed swap is judged by cheap values first (local properties exactly, distances and spectrum
by estimate) and, if it passes, by exact ones before it is accepted (delayed acceptance, Christen &
Fox 2005). It is accepted if it brings the graph nearer to the target.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bogp.graphs.kernels.bits import Rows
from bogp.graphs.kernels.compiled import compiled
from bogp.graphs.kernels.random import Random, next_below, next_float
from bogp.graphs.kernels.swap_choice import (
    FEATURES,
    Goal,
    Workspace,
    choose,
    met,
    set_slopes,
    squared,
)
from bogp.graphs.kernels.swap_state import (
    ASSORTATIVITY,
    DISTANCES,
    EIGENVECTOR,
    MINIMUM,
    RADIUS,
    State,
    copy,
    local_values,
    toggle,
)
from bogp.graphs.kernels.swap_values import distance_values, refine, respond
from bogp.types import Integers

_FIRST, _LAST = DISTANCES.start, DISTANCES.stop
_RATE = 0.05
"""Weight of the newest swap in the learned slopes of distances."""
BLIND = 8
"""One proposal in so many is judged exactly whatever its estimated distances."""


class Limits(NamedTuple):
    """How long a search goes on."""

    proposals: int
    """Most proposals in all."""
    patience: int
    """Most proposals in a row without one accepted."""
    shaken: int = 0
    """The first so many proposals may also lead away from the target,"""
    heat: float = 0.0
    """by up to this distance."""


@compiled
def search(
    state: State,
    work: Workspace,
    goal: Goal,
    limits: Limits,
    random: Random,
    best: Rows,
    counts: Integers,
) -> float:
    """Swap until the target is met, or proposals or patience run out; return the best distance.

    ``best`` (nodes, words) becomes the rows of the best state; ``counts`` (2,) grows by the
    proposals made and accepted.
    """
    settle(state, work, goal)
    set_slopes(state, work, goal)
    energy = squared(goal, state.values)
    least, idle = energy, 0
    copy(best, state.rows)
    for step in range(limits.proposals):
        if idle == limits.patience or met(goal, state.values):
            break
        counts[0] += 1
        idle += 1
        blind = next_below(random, BLIND) == 0
        picks = 1 if blind else 1 << next_below(random, 4)
        moves = choose(state, work, goal, random, picks)
        if moves == 0:
            continue
        bound = np.sqrt(energy)
        if step < limits.shaken:
            bound += limits.heat * next_float(random)
        after = _judge(state, work, goal, moves, bound * bound, blind)
        if after < 0.0:
            continue
        _accept(state, work, goal, moves)
        counts[1] += 1
        idle, energy = 0, after
        if energy < least:
            if met(goal, state.values):
                settle(state, work, goal)
                energy = squared(goal, state.values)
            if energy < least:
                least = energy
                copy(best, state.rows)
    return float(np.sqrt(least))


@compiled
def settle(state: State, work: Workspace, goal: Goal) -> None:
    """Compute all values of a state from scratch, the eigenvector as well as can be."""
    local_values(state, goal.target[MINIMUM], state.values)
    distance_values(state, work.around, state.values)
    copy(state.around, work.around)
    if goal.spectral:
        state.values[RADIUS] = refine(state.joined, state.vector, 300, 1e-18)
        state.values[EIGENVECTOR] = state.vector[0].sum() / len(state.degree)
        respond(state.joined, state.vector, state.values[RADIUS], state.response, 30)


@compiled
def _judge(
    state: State, work: Workspace, goal: Goal, moves: int, bound: float, blind: bool
) -> float:
    """Return the squared distance after the swap at hand, or -1 where it is not below ``bound``.

    If it is, rows, degrees, triangles, sums and vector are those after the swap, and the workspace
    holds the rest; if not, the state is as it was.
    """
    values, learned = work.values, work.learned
    copy(work.sums, state.sums)
    _toggle_all(state, work.swap, moves, goal.weight[ASSORTATIVITY] > 0.0)
    local_values(state, goal.target[MINIMUM], values)
    for k in range(_FIRST, len(values)):
        values[k] = state.values[k]
        for j in range(FEATURES):
            values[k] += work.slopes[k, j] * work.change[j]
        if blind and k < _LAST:
            values[k] = goal.target[k]
    after = squared(goal, values)
    good = after < bound
    if good and goal.distant:
        distance_values(state, work.around, values)
        after = squared(goal, values)
        good = after < bound
        # Least squares through the origin, old swaps fading.
        near = work.change[3]
        for k in range(_FIRST, _LAST):
            learned[1, k] = (1.0 - _RATE) * learned[1, k] + near * near
            step = values[k] - state.values[k]
            learned[0, k] = (1.0 - _RATE) * learned[0, k] + near * step
    if good and goal.spectral:
        copy(work.vector, state.vector)
        _join_all(state, work.swap, moves)
        values[RADIUS] = refine(state.joined, state.vector, 12, 1e-12)
        values[EIGENVECTOR] = state.vector[0].sum() / len(state.degree)
        after = squared(goal, values)
        good = after < bound
        if not good:
            _join_all(state, work.swap, moves)
            copy(state.vector, work.vector)
    if good:
        return after
    _toggle_all(state, work.swap, moves, False)
    copy(state.sums, work.sums)
    return -1.0


@compiled
def _accept(state: State, work: Workspace, goal: Goal, moves: int) -> None:
    """Bring up to date what :func:`_judge` has left."""
    exchange(state, work.swap, moves)
    if goal.distant:
        copy(state.around, work.around)
    copy(state.values, work.values)
    if goal.spectral:
        respond(state.joined, state.vector, state.values[RADIUS], state.response, 3)
    set_slopes(state, work, goal)


@compiled
def _toggle_all(state: State, swap: Integers, moves: int, products: bool) -> None:
    nodes = len(state.degree)
    for j in range(2 * moves):
        toggle(state, swap[j] // nodes, swap[j] % nodes, products)


@compiled
def _join_all(state: State, swap: Integers, moves: int) -> None:
    """Bring the matrix of zeros and ones up to date with a swap, or back."""
    nodes = len(state.degree)
    for j in range(2 * moves):
        u, v = swap[j] // nodes, swap[j] % nodes
        state.joined[u, v] = 1.0 - state.joined[u, v]
        state.joined[v, u] = state.joined[u, v]


@compiled
def exchange(state: State, swap: Integers, moves: int) -> None:
    """Let the pairs that a swap parts and joins change places in the list of pairs."""
    for j in range(moves):
        parted, joined = swap[j], swap[moves + j]
        first, second = state.place[parted], state.place[joined]
        state.pairs[first], state.pairs[second] = joined, parted
        state.place[parted], state.place[joined] = second, first


@compiled
def spread(state: State, work: Workspace, goal: Goal, random: Random, copies: Rows) -> None:
    """Write graphs a few swaps away from the state into ``copies`` (graphs, nodes, words).

    Copy k is 1, 2, 4 or 8 swaps away, in turn; the swaps are drawn as in :func:`search`, but not
    judged. A copy from which no swap is found stays nearer. The state ends as it began.
    """
    settle(state, work, goal)
    set_slopes(state, work, goal)
    done = np.empty((8, 5), np.int64)
    for k in range(len(copies)):
        count = 0
        for _ in range(1 << (k & 3)):
            moves = choose(state, work, goal, random, 4)
            if moves == 0:
                continue
            _toggle_all(state, work.swap, moves, False)
            exchange(state, work.swap, moves)
            done[count, 4] = moves
            copy(done[count], work.swap)
            count += 1
        copy(copies[k], state.rows)
        for j in range(count - 1, -1, -1):
            copy(work.swap, done[j])
            _toggle_all(state, work.swap, done[j, 4], False)
            exchange(state, work.swap, done[j, 4])
