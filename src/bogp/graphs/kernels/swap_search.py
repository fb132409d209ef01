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
from bogp.graphs.kernels.random import State as Random
from bogp.graphs.kernels.random import next_below, next_float
from bogp.graphs.kernels.swap_choice import FEATURES, Goal, choose, met, set_slopes, squared
from bogp.graphs.kernels.swap_distances import distance_values
from bogp.graphs.kernels.swap_state import (
    ASSORTATIVITY,
    DISTANCES,
    EIGENVECTOR,
    MINIMUM,
    RADIUS,
    Integers,
    State,
    copy,
    local_values,
    toggle,
)
from bogp.graphs.kernels.swap_vector import refine, respond, total
from bogp.types import Floats

_FIRST, _LAST = DISTANCES.start, DISTANCES.stop
_RATE = 0.05
"""Weight of the newest swap in the learned slopes of distances."""
BLIND = 8
"""One proposal in so many is judged exactly whatever its estimated distances."""


class Room(NamedTuple):
    """Where a swap is worked out before it is accepted."""

    around: Rows
    """As in the state, and two sets of balls to work with, (4, nodes, words)."""
    swap: Integers
    """(4,)"""
    change: Floats
    """(8,)"""
    slopes: Floats
    """(properties, 8)"""
    values: Floats
    """(properties,)"""
    vector: Floats
    """(2, nodes)"""
    sums: Floats
    """(8,)"""


def new_room(state: State) -> Room:
    """Return room for the swaps of a state."""
    return Room(
        around=np.empty((4, *state.rows.shape), np.uint64),
        swap=np.zeros(4, np.int64),
        change=np.zeros(FEATURES),
        slopes=np.zeros((len(state.values), FEATURES)),
        values=np.empty_like(state.values),
        vector=np.empty_like(state.vector),
        sums=np.empty_like(state.sums),
    )


@compiled
def search(
    state: State,
    room: Room,
    edges: int,
    goal: Goal,
    random: Random,
    limits: Integers,
    heat: float,
    learned: Floats,
    best: Rows,
    counts: Integers,
) -> float:
    """Swap until the target is met, or proposals or patience run out; return the best distance.

    ``limits`` (3,) are the most proposals in all, the most in a row without one accepted, and the
    first so many that may also lead away, by up to ``heat``. ``best`` (nodes, words) becomes the
    rows of the best state; ``counts`` (3,) grows by the proposals made, judged exactly, accepted.
    """
    settle(state, edges, goal, room)
    set_slopes(state, edges, goal, learned, room.slopes)
    energy = squared(goal, state.values)
    least, idle = energy, 0
    copy(best, state.rows)
    for step in range(limits[0]):
        if idle == limits[1] or met(goal, state.values):
            break
        counts[0] += 1
        idle += 1
        blind = next_below(random, BLIND) == 0
        picks = 1 if blind else 1 << next_below(random, 4)
        moves = choose(state, edges, goal, room.slopes, random, room.swap, room.change, picks)
        if moves == 0:
            continue
        bound = np.sqrt(energy)
        if step < limits[2]:
            bound += heat * next_float(random)
        after = _judge(state, room, edges, goal, moves, bound * bound, blind, learned, counts)
        if after < 0.0:
            continue
        _accept(state, room, edges, goal, moves, learned)
        counts[2] += 1
        idle, energy = 0, after
        if energy < least:
            if met(goal, state.values):
                settle(state, edges, goal, room)
                energy = squared(goal, state.values)
            if energy < least:
                least = energy
                copy(best, state.rows)
    return float(np.sqrt(least))


@compiled
def settle(state: State, edges: int, goal: Goal, room: Room) -> None:
    """Compute all values of a state from scratch, the eigenvector as well as can be."""
    local_values(state, edges, goal.target[MINIMUM], state.values)
    distance_values(state.rows, room.around, edges, state.values)
    copy(state.around, room.around)
    if goal.spectral:
        state.values[RADIUS] = refine(state.joined, state.vector, 300, 1e-18)
        state.values[EIGENVECTOR] = total(state.vector[0]) / len(state.degree)
        respond(state.joined, state.vector, state.values[RADIUS], state.response, 30)


@compiled
def _judge(
    state: State,
    room: Room,
    edges: int,
    goal: Goal,
    moves: int,
    bound: float,
    blind: bool,
    learned: Floats,
    counts: Integers,
) -> float:
    """Return the squared distance after the swap in ``room``, or -1 where it is not below bound.

    If it is, rows, degrees, triangles, sums and vector are those after the swap, and ``room`` holds
    the rest; if not, the state is as it was.
    """
    values, change = room.values, room.change
    copy(room.sums, state.sums)
    _toggle_all(state, room.swap, moves, goal.weight[ASSORTATIVITY] > 0.0)
    local_values(state, edges, goal.target[MINIMUM], values)
    for k in range(_FIRST, len(values)):
        values[k] = state.values[k]
        for j in range(FEATURES):
            values[k] += room.slopes[k, j] * change[j]
        if blind and k < _LAST:
            values[k] = goal.target[k]
    after = squared(goal, values)
    good = after < bound
    if good and goal.distant:
        distance_values(state.rows, room.around, edges, values)
        after = squared(goal, values)
        good = after < bound
        counts[1] += 1
        # Least squares through the origin, old swaps fading.
        near = room.change[3]
        for k in range(_FIRST, _LAST):
            learned[1, k] = (1.0 - _RATE) * learned[1, k] + near * near
            step = values[k] - state.values[k]
            learned[0, k] = (1.0 - _RATE) * learned[0, k] + near * step
    if good and goal.spectral:
        copy(room.vector, state.vector)
        _join_all(state, room.swap, moves)
        values[RADIUS] = refine(state.joined, state.vector, 12, 1e-12)
        values[EIGENVECTOR] = total(state.vector[0]) / len(state.degree)
        after = squared(goal, values)
        good = after < bound
        if not good:
            _join_all(state, room.swap, moves)
            copy(state.vector, room.vector)
    if good:
        return after
    _toggle_all(state, room.swap, moves, False)
    copy(state.sums, room.sums)
    return -1.0


@compiled
def _accept(state: State, room: Room, edges: int, goal: Goal, moves: int, learned: Floats) -> None:
    """Bring up to date what :func:`_judge` has left."""
    exchange(state, room.swap, moves)
    if goal.distant:
        copy(state.around, room.around)
    copy(state.values, room.values)
    if goal.spectral:
        respond(state.joined, state.vector, state.values[RADIUS], state.response, 3)
    set_slopes(state, edges, goal, learned, room.slopes)


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
def spread(
    state: State, room: Room, edges: int, goal: Goal, random: Random, learned: Floats, copies: Rows
) -> None:
    """Write graphs a few swaps away from the state into ``copies`` (graphs, nodes, words).

    Copy k is 1, 2, 4 or 8 swaps away, in turn; the swaps are drawn as in :func:`search`, but not
    judged. A copy from which no swap is found stays nearer. The state ends as it began.
    """
    settle(state, edges, goal, room)
    set_slopes(state, edges, goal, learned, room.slopes)
    done = np.empty((8, 5), np.int64)
    for k in range(len(copies)):
        count = 0
        for _ in range(1 << (k & 3)):
            moves = choose(state, edges, goal, room.slopes, random, room.swap, room.change, 4)
            if moves == 0:
                continue
            _toggle_all(state, room.swap, moves, False)
            exchange(state, room.swap, moves)
            done[count, 4] = moves
            copy(done[count], room.swap)
            count += 1
        copy(copies[k], state.rows)
        for j in range(count - 1, -1, -1):
            copy(room.swap, done[j])
            _toggle_all(state, room.swap, done[j, 4], False)
            exchange(state, room.swap, done[j, 4])
