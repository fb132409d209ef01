"""The two ways of :func:`bogp.graphs.synthesis.synthesize`: swap by swap, or block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bogp.graphs.kernels.bits import Rows
from bogp.graphs.kernels.random import State as Random
from bogp.graphs.kernels.swap_choice import Goal
from bogp.graphs.kernels.swap_search import new_room, search, spread
from bogp.graphs.kernels.swap_state import (
    DISTANCES,
    TRACKED,
    new_state,
)
from bogp.graphs.property_vectors import describe
from bogp.types import Floats, Progress

STAND_INS = {"edge_connectivity": "minimum_degree"}
"""Equal in nearly all graphs, and much quicker to keep track of."""

_SLICE = 4096
"""Proposals between two looks from outside."""
_PATIENCE = 1500
"""Proposals in a row without a gain before the search starts anew."""
_SHAKE, _HEAT = 100, 0.5
"""First proposals that may also lead away from the target where the search starts anew from its
best graph, and by how much of the distance left."""
_COPIES, _BLOCKS = 64, 60
"""Graphs described at once; blocks in a row without a gain before the search gives up."""


@dataclass(frozen=True, eq=False)
class Aim:
    """What is searched for."""

    names: tuple[str, ...]
    target: Floats
    """(names,)"""
    scale: Floats
    """(names,)"""
    tolerance: float
    preserve: bool
    edges: int
    fixed: frozenset[str]
    """Names that the edge count fixes: reported, but not searched for."""

    @property
    def free(self) -> tuple[str, ...]:
        """The names that swaps can change."""
        return tuple(name for name in self.names if name not in self.fixed)

    def errors(self, measured: Floats) -> Floats:
        """Return achieved less wanted in units of scale, of ``measured`` (..., names)."""
        return (measured - self.target) / self.scale

    def distances(self, measured: Floats) -> Floats:
        """Return the Euclidean length of the errors of ``measured`` (..., names)."""
        return np.asarray(np.sqrt((self.errors(measured) ** 2).sum(axis=-1)))

    def ranks(self, measured: Floats) -> Floats:
        """Return the distances as choices go by them: rounded, so that no last bit decides.

        Sums and eigenvalues end in other bits on other machines.
        """
        return np.round(self.distances(measured), 9)

    def met(self, measured: Floats) -> bool:
        """Return whether every error of ``measured`` (names,) is within the tolerance."""
        return bool((np.abs(self.errors(measured)) <= self.tolerance).all())

    def goal(self, *, stop: bool) -> Goal:
        """Return what the compiled search is given; ``stop`` where it may end by itself."""
        target, weight = np.zeros(len(TRACKED)), np.zeros(len(TRACKED))
        for name, value, scale in zip(self.names, self.target, self.scale, strict=True):
            if name in self.fixed:
                continue
            name = STAND_INS.get(name, name) if STAND_INS.get(name) not in self.names else name
            if name in TRACKED:
                target[TRACKED.index(name)] = value
                weight[TRACKED.index(name)] = 1.0 / scale
        return Goal(
            target,
            weight,
            self.tolerance if stop else -1.0,
            self.preserve,
            distant=bool(weight[DISTANCES].any()),
            spectral=bool(weight[DISTANCES.stop :].any()),
        )

    @property
    def tracked(self) -> bool:
        """Whether every property can be kept track of swap by swap."""
        return all(
            name in TRACKED or STAND_INS.get(name) not in (None, *self.names) for name in self.free
        )


class Search:
    """The best graph so far, by exact values, and what it has cost."""

    def __init__(
        self, aim: Aim, rows: Rows, measured: Floats, budget: int, progress: Progress | None
    ) -> None:
        self.aim, self.budget, self._progress = aim, budget, progress
        self.best, self.measured = rows, measured
        self.counts = np.zeros(3, np.int64)

    @property
    def distance(self) -> float:
        """The distance of the best graph to the target, in units of scale."""
        return float(self.aim.distances(self.measured))

    @property
    def left(self) -> int:
        """The proposals left of the budget; 0 once the target is met."""
        done = self.aim.met(self.measured)
        return 0 if done else self.budget - int(self.counts[0])

    def offer(self, rows: Rows, measured: Floats) -> bool:
        """Keep a graph if it is better than the best; return whether it is."""
        if self._progress is not None:
            self._progress(int(self.counts[0]), self.budget)
        better = bool(self.aim.ranks(measured) < self.aim.ranks(self.measured))
        if better:
            self.best, self.measured = rows, measured
        return better


def swap(found: Search, starts: Rows, random: Random) -> None:
    """Search from the first of ``starts`` (graphs, nodes, words), and from others where stuck.

    A search is stuck when many proposals in a row bring no gain. After the last start it goes on
    from the best graph, shaken by some swaps that may lead away from the target.
    """
    aim = found.aim
    learned = _first_slopes(starts.shape[1])
    goal, state, round_number = aim.goal(stop=True), new_state(starts[0]), 0
    room, best = new_room(state), starts[0].copy()
    heat, shake = 0.0, 0
    while found.left:
        proposals, before = min(_SLICE, found.left), int(found.counts[0])
        limits = np.array([proposals, _PATIENCE, shake])
        search(state, room, aim.edges, goal, random, limits, heat, learned, best, found.counts)
        measured = describe(best[None], aim.names)[0]
        found.offer(best.copy(), measured)
        if not found.left:
            break
        used, shake = int(found.counts[0]) - before, 0
        if used == proposals:
            continue
        if used < _PATIENCE:
            # Met by the search's own values but not by the exact ones: those count.
            goal = aim.goal(stop=False)
            continue
        round_number += 1
        if round_number < len(starts):
            state = new_state(starts[round_number])
        else:
            state, shake, heat = new_state(found.best), _SHAKE, _HEAT * found.distance


def climb(found: Search, random: Random) -> None:
    """Search block by block: describe some graphs near the best in full, and go to the best one.

    Slow, but right for every property.
    """
    aim, idle = found.aim, 0
    goal = aim.goal(stop=False)
    state = new_state(found.best)
    room, learned = new_room(state), _first_slopes(len(found.best))
    while found.left and idle < _BLOCKS:
        copies = np.empty((min(_COPIES, found.left), *found.best.shape), np.uint64)
        spread(state, room, aim.edges, goal, random, learned, copies)
        found.counts[:2] += len(copies)
        measured = describe(copies, aim.names)
        nearest = int(np.argmin(aim.ranks(measured)))
        idle += 1
        if found.offer(copies[nearest].copy(), measured[nearest]):
            found.counts[2] += 1
            idle, state = 0, new_state(found.best)


def _first_slopes(nodes: int) -> Floats:
    """Return what the search knows of distances before any swap is seen, (2, properties).

    The second row is a weight, the first that weight times how each property changes with the
    pairs within two steps: as if all others were at a distance of 3.
    """
    learned = np.zeros((2, len(TRACKED)))
    pair = 2.0 / max(nodes * (nodes - 1.0), 1.0)
    learned[0, DISTANCES][:4] = -pair, -pair / max(nodes - 2.0, 1.0), pair / 4.0, pair / 6.0
    learned[1] = 1.0
    return 100.0 * learned
