"""The two ways of :func:`bogp.graphs.synthesis.synthesize`: swap by swap, or block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bogp.graphs.kernels.bits import Rows
from bogp.graphs.kernels.random import Random
from bogp.graphs.kernels.swap_choice import Goal, new_workspace
from bogp.graphs.kernels.swap_search import Limits, search, spread
from bogp.graphs.kernels.swap_state import DISTANCES, TRACKED, new_state
from bogp.graphs.property_vectors import Property, describe
from bogp.types import Floats, Integers, Progress

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
    """What is searched for: properties, their wanted values, and what an error of 1 is of each."""

    properties: Sequence[Property]
    target: Floats
    """(properties,)"""
    scale: Floats
    """(properties,)"""
    tolerance: float
    preserve_degrees: bool
    fixed: frozenset[str]
    """Names that the edge count fixes: reported, but not searched for."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the properties."""
        return tuple(entry.name for entry in self.properties)

    @property
    def free(self) -> tuple[str, ...]:
        """The names that swaps can change."""
        return tuple(name for name in self.names if name not in self.fixed)

    def errors(self, measured: Floats) -> Floats:
        """Return achieved less wanted in units of scale, of ``measured`` (..., properties)."""
        return (measured - self.target) / self.scale

    def distances(self, measured: Floats) -> Floats:
        """Return the Euclidean length of the errors of ``measured`` (..., properties)."""
        return np.asarray(np.sqrt((self.errors(measured) ** 2).sum(axis=-1)))

    def ranks(self, measured: Floats) -> Floats:
        """Return the distances as choices go by them: rounded, so that no last bit decides.

        Sums and eigenvalues end in other bits on other machines.
        """
        return np.round(self.distances(measured), 9)

    def met(self, measured: Floats) -> bool:
        """Return whether every error of ``measured`` (properties,) is within the tolerance."""
        return bool((np.abs(self.errors(measured)) <= self.tolerance).all())

    def tracked_as(self, name: str) -> str | None:
        """Return the property that swaps keep track of for this one, None where there is none."""
        if name in TRACKED:
            return name
        stand_in = STAND_INS.get(name)
        return None if stand_in in self.names else stand_in

    def goal(self, *, stop: bool) -> Goal:
        """Return what the compiled search is given; ``stop`` where it may end by itself."""
        target, weight = np.zeros(len(TRACKED)), np.zeros(len(TRACKED))
        for name, value, scale in zip(self.names, self.target, self.scale, strict=True):
            tracked = self.tracked_as(name)
            if name not in self.fixed and tracked is not None:
                target[TRACKED.index(tracked)] = value
                weight[TRACKED.index(tracked)] = 1.0 / scale
        return Goal(
            target,
            weight,
            self.tolerance if stop else -1.0,
            self.preserve_degrees,
            distant=bool(weight[DISTANCES].any()),
            spectral=bool(weight[DISTANCES.stop :].any()),
        )


@dataclass
class BestGraph:
    """The best graph so far, by exact values, and what it has cost."""

    aim: Aim
    rows: Rows
    measured: Floats
    budget: int
    progress: Progress | None
    counts: Integers = field(default_factory=lambda: np.zeros(2, np.int64))
    """Proposals made and accepted."""

    @property
    def distance(self) -> float:
        """The distance of the best graph to the target, in units of scale."""
        return float(self.aim.distances(self.measured))

    @property
    def left(self) -> int:
        """The proposals left of the budget; 0 once the target is met."""
        return 0 if self.aim.met(self.measured) else self.budget - int(self.counts[0])

    def offer(self, rows: Rows, measured: Floats) -> bool:
        """Keep a graph if it is better than the best; return whether it is."""
        if self.progress is not None:
            self.progress(int(self.counts[0]), self.budget)
        better = bool(self.aim.ranks(measured) < self.aim.ranks(self.measured))
        if better:
            self.rows, self.measured = rows, measured
        return better


def swap_by_swap(best: BestGraph, starts: Rows, random: Random) -> None:
    """Search from the first of ``starts`` (graphs, nodes, words), and from others where stuck.

    A search is stuck when many proposals in a row bring no gain. After the last start it goes on
    from the best graph, shaken by some swaps that may lead away from the target.
    """
    aim = best.aim
    goal, state, start = aim.goal(stop=True), new_state(starts[0]), 0
    work, found = new_workspace(starts.shape[1]), starts[0].copy()
    heat, shake = 0.0, 0
    while best.left:
        proposals, before = min(_SLICE, best.left), int(best.counts[0])
        limits = Limits(proposals, _PATIENCE, shake, heat)
        search(state, work, goal, limits, random, found, best.counts)
        best.offer(found.copy(), describe(found[None], aim.properties)[0])
        if not best.left:
            break
        used, shake = int(best.counts[0]) - before, 0
        if used == proposals:
            continue
        if used < _PATIENCE:
            # Met by the search's own values but not by the exact ones: those count.
            goal = aim.goal(stop=False)
            continue
        start += 1
        if start < len(starts):
            state = new_state(starts[start])
        else:
            state, shake, heat = new_state(best.rows), _SHAKE, _HEAT * best.distance


def block_by_block(best: BestGraph, random: Random) -> None:
    """Describe some graphs near the best in full and go to the best one, again and again.

    Slow, but right for every property.
    """
    aim, idle = best.aim, 0
    goal, state = aim.goal(stop=False), new_state(best.rows)
    work = new_workspace(len(best.rows))
    while best.left and idle < _BLOCKS:
        copies = np.empty((min(_COPIES, best.left), *best.rows.shape), np.uint64)
        spread(state, work, goal, random, copies)
        best.counts[0] += len(copies)
        measured = describe(copies, aim.properties)
        nearest = int(np.argmin(aim.ranks(measured)))
        idle += 1
        if best.offer(copies[nearest].copy(), measured[nearest]):
            best.counts[1] += 1
            idle, state = 0, new_state(best.rows)
