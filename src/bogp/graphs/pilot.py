"""A pilot: which kinds and parameters of mixed graphs make a database cover property space evenly.

A few thousand graphs, spread over the kinds and their parameters, are drawn and described. Each of
these settings then gets a weight, such that graphs drawn by weight spread most evenly over every
pair of properties. Graph number k of a database takes a setting by weight, and a seed of its own.
All of it follows from (nodes, edges, seed, total): not from batches, threads or workers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bogp.errors import SettingError
from bogp.graphs.kernels.mixed import COLUMNS
from bogp.graphs.kernels.random import GAMMA, scramble
from bogp.graphs.mixed import draw_mixed
from bogp.graphs.mixed_kinds import NUMBERED
from bogp.graphs.property_vectors import describe
from bogp.graphs.relational import check_edges
from bogp.keys import derive_seed
from bogp.types import Floats, Integers

COVERED = (
    "clustering",
    "transitivity",
    "average_shortest_path_length",
    "eigenvector_centrality",
    "edge_connectivity",
    "degree_deviation",
    "degree_assortativity",
)
"""The properties whose region the weights cover: those that vary at a fixed edge count."""

VERSION = 1
"""Of everything here that decides which settings a database gets; recorded with each database."""

_BINS = 10
_STEPS = 6
"""More of them make the graphs no more even, and rest the weight on fewer settings."""


@dataclass(frozen=True, eq=False)
class MixedSettings:
    """The seeds, kinds and parameters of graphs, as :func:`bogp.graphs.mixed.draw_mixed` takes."""

    seeds: npt.NDArray[np.uint64]
    """Below 2^63, shape (graphs,)."""
    kinds: Integers
    """Shape (graphs,)."""
    values: Floats
    """Shape (graphs, columns)."""

    def __len__(self) -> int:
        return len(self.seeds)

    def parameters(self, k: int) -> dict[str, Any]:
        """Return what ``generate("mixed", nodes, edges, seeds[k], **...)`` takes for graph ``k``.

        Its values survive JSON.
        """
        return NUMBERED[int(self.kinds[k])].named(self.values[k])


@dataclass(frozen=True, eq=False)
class Pilot:
    """The settings that were tried and their weights; make one with :func:`run_pilot`."""

    seed: int
    kinds: Integers
    """Shape (size,), settings of like properties next to each other."""
    values: Floats
    """Shape (size, columns)."""
    weights: Floats
    """Shape (size,), of sum 1."""

    def settings(self, first: int, count: int, total: int) -> MixedSettings:
        """Return the settings of graphs ``first`` to ``first + count - 1`` of ``total``.

        Graph k stands at one of ``total`` equal parts of the summed weights, so that settings are
        taken as often as their weights say (systematic sampling of a list in spatial order, as in
        Stevens & Olsen 2004). The parts are visited in steps of about 1 / golden ratio of the
        whole, so that the first few graphs are spread as widely as all.

        Raises:
            SettingError: the graphs asked for are not among ``total``.

        >>> run_pilot(8, 10, seed=0, size=64).settings(0, 2, total=5).parameters(0)["kind"]
        'geometric'
        """
        if not 0 <= first <= first + count <= total:
            raise SettingError(
                f"graphs {first} to {first + count - 1} are not among {total}: give a first of 0 "
                "or more, and a last below the total"
            )
        graph = np.arange(first, first + count, dtype=np.int64)
        start = derive_seed(self.seed, "mixture", "start") % max(total, 1)
        place = (graph * _golden_step(total) + start) % max(total, 1)
        ends = np.cumsum(self.weights)
        chosen = np.searchsorted(ends, (place + 0.5) / max(total, 1) * ends[-1], side="right")
        chosen = np.minimum(chosen, len(ends) - 1)
        seeds = _seeds(derive_seed(self.seed, "mixture", "graphs"), graph)
        return MixedSettings(seeds, self.kinds[chosen], self.values[chosen])


def run_pilot(nodes: int, edges: int, seed: int, size: int = 4096) -> Pilot:
    """Return settings of mixed graphs and the weights that cover the reachable properties evenly.

    Args:
        nodes: number of nodes.
        edges: number of edges.
        seed: decides the pilot and every seed that follows.
        size: number of settings to try; :func:`pilot_size` says how many a database wants.

    Raises:
        GraphError: no graph of ``nodes`` nodes has ``edges`` edges.
        SettingError: ``size`` is below 1.

    >>> tried = run_pilot(16, 30, seed=0, size=64)
    >>> len(tried.weights), round(float(tried.weights.sum()), 9)
    (64, 1.0)
    """
    check_edges(nodes, edges)
    if size < 1:
        raise SettingError(f"a pilot of {size} graphs shows nothing: give at least 1")
    kinds, values = _settings_to_try(nodes, edges, seed, size)
    seeds = _seeds(derive_seed(seed, "mixture", "pilot"), np.arange(size))
    place = _in_unit_cube(describe(draw_mixed(nodes, edges, seeds, kinds, values), COVERED))
    weights = even_weights(place)
    order = _spatial_order(place, weights)
    return Pilot(seed, kinds[order], values[order], weights[order])


def pilot_size(total: int, nodes: int) -> int:
    """Return how many settings to try for a database of ``total`` graphs.

    Eight a graph, from 256 up to 4,096; fewer for graphs of 256 nodes or more, which cost more to
    describe.

    >>> pilot_size(20, 64), pilot_size(10**6, 64), pilot_size(10**6, 1024)
    (256, 4096, 256)
    """
    most = max(256, 4096 // max(1, nodes // 128) ** 2)
    return max(256, min(8 * total, most))


def even_weights(place: Floats, steps: int = _STEPS) -> Floats:
    """Return weights (points,) that spread points in the unit cube (points, dimensions) evenly.

    They raise the mean entropy, over all pairs of dimensions, of the share of the weight in each
    cell of a grid of ten by ten. It is concave in the weights; mirror ascent from equal weights
    with step 1, w_i ← w_i exp(-mean log share of i's cell), never lowers it, because a cell's
    share is a sum of weights (data processing: Kullback-Leibler divergence cannot grow), and ends
    near its maximum. Few steps also keep the weights from resting on few points.

    >>> even_weights(np.array([[0.1, 0.1], [0.1, 0.1], [0.9, 0.9]])).round(3).tolist()
    [0.25, 0.25, 0.5]
    """
    points, dimensions = place.shape
    weights = np.full(points, 1.0 / points)
    bins = np.minimum((place * _BINS).astype(np.int64), _BINS - 1)
    pairs = list(combinations(range(dimensions), 2)) or [(k, k) for k in range(dimensions)]
    cells = [bins[:, i] * _BINS + bins[:, j] for i, j in pairs]
    for _ in range(steps if cells else 0):
        surprise = np.zeros(points)
        for cell in cells:
            share = np.bincount(cell, weights, minlength=_BINS**2)
            surprise -= np.log(share[cell])
        weights = weights * np.exp(surprise / len(cells))
        weights = weights / weights.sum()
    return weights


def _settings_to_try(nodes: int, edges: int, seed: int, size: int) -> tuple[Integers, Floats]:
    """Return kinds (size,) and values (size, columns), spread over kinds and parameters.

    Kinds get a share for each parameter and one more; parameters follow the additive recurrence of
    Roberts (2018), whose points fill the cube evenly, from a start drawn with the seed.
    """
    share = np.cumsum([1 + len(kind.parameters) for kind in NUMBERED])
    ends = np.rint(share * size / share[-1]).astype(np.int64)
    base = 1.1
    for _ in range(64):  # the root of x^(d + 1) = x + 1
        base = (1.0 + base) ** (1.0 / (COLUMNS + 1))
    step = base ** -np.arange(1.0, COLUMNS + 1)
    start = np.random.default_rng(derive_seed(seed, "mixture", "start")).random(COLUMNS)
    kinds, values = np.empty(size, np.int64), np.empty((size, COLUMNS))
    first = 0
    for kind, end in zip(NUMBERED, ends.tolist(), strict=True):
        unit = (start + np.arange(1, end - first + 1)[:, None] * step) % 1.0
        kinds[first:end], values[first:end] = kind.number, kind.prior(unit, nodes, edges)
        first = end
    return kinds, values


def _in_unit_cube(found: Floats) -> Floats:
    """Return ``found`` (graphs, properties) scaled to [0, 1], properties that vary only.

    Rounded first, so that the last bit of a sum, which machines add in different orders, does not
    move a graph to another cell.
    """
    found = np.round(found, 9)
    low, high = found.min(axis=0), found.max(axis=0)
    varies = high - low > 1e-6
    return cast("Floats", (found[:, varies] - low[varies]) / (high[varies] - low[varies]))


def _spatial_order(place: Floats, weights: Floats) -> Integers:
    """Return an order of points (points, dimensions) in which near ones are near.

    Sets are halved by weight along their longest side until one point is left (a k-d tree).
    """
    if not place.shape[1]:
        return np.arange(len(place))
    order: list[int] = []
    waiting = [np.arange(len(place))]
    while waiting:
        points = waiting.pop()
        if len(points) == 1:
            order.append(int(points[0]))
            continue
        side = int(np.argmax(np.ptp(place[points], axis=0)))
        points = points[np.argsort(place[points, side], kind="stable")]
        half = np.cumsum(weights[points])
        middle = int(np.clip(np.searchsorted(half, half[-1] / 2.0), 1, len(points) - 1))
        waiting += [points[middle:], points[:middle]]
    return np.array(order, dtype=np.int64)


def _golden_step(total: int) -> int:
    """Return the number nearest to ``total`` / golden ratio that shares no factor with it."""
    middle = round(total * (math.sqrt(5.0) - 1.0) / 2.0)
    for away in range(total + 1):
        for step in (middle - away, middle + away):
            if step > 0 and math.gcd(step, total) == 1:
                return step
    return 1


def _seeds(seed: int, number: Integers) -> npt.NDArray[np.uint64]:
    """Return a seed below 2^63 for each number (count,): SplitMix64 (Steele et al. 2014)."""
    word = np.uint64(seed) + number.astype(np.uint64) * GAMMA
    return cast("npt.NDArray[np.uint64]", scramble(word) >> np.uint64(1))
