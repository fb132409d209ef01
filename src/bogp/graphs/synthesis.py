"""Inverse design: from a wanted property vector to a graph that has it.

Edge swaps lead from a start towards the target at a fixed edge count. The search and its estimates
are compiled (:mod:`bogp.graphs.kernels.swap_search`); what is reported is computed afresh from the
graph that came out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bogp.errors import GraphError, SettingError, SparsityError
from bogp.graphs.kernels.bits import Rows, pack, unpack
from bogp.graphs.kernels.random import seed_state
from bogp.graphs.mixed import draw_mixed
from bogp.graphs.pilot import run_pilot
from bogp.graphs.property_vectors import Property, describe
from bogp.graphs.relational import RelationalGraph, edges_for_sparsity
from bogp.graphs.swapping import Aim, BestGraph, block_by_block, swap_by_swap
from bogp.graphs.synthesis_checks import (
    Wanted,
    check_reachable,
    check_scale,
    check_starts,
    check_target,
    limits,
    real,
    whole,
)
from bogp.keys import derive_seed
from bogp.types import Floats, Progress

BUDGET = 40_000
"""Proposals by default: about 0.1 s at 128 nodes where they are all needed."""

_VARIED = 48
"""Mixed graphs drawn as starts, or to measure the range of a property."""
_NEAREST = 4
"""Starts to begin with, where several are given."""


@dataclass(frozen=True, eq=False)
class Synthesis:
    """The graph that came nearest to a target, and how near."""

    graph: RelationalGraph
    start: RelationalGraph
    """The graph that the swaps began with."""
    target: dict[str, float]
    achieved: dict[str, float]
    """The properties of ``graph``, computed afresh."""
    distance: float
    """Euclidean, in units of scale."""
    errors: dict[str, float]
    """Achieved less wanted, in units of scale."""
    met: bool
    """Whether every error is within the tolerance."""
    proposals: int
    accepted: int
    seconds: float


def synthesize(
    target: Wanted,
    *,
    start: RelationalGraph | Sequence[RelationalGraph] | None = None,
    sparsity: float | None = None,
    nodes: int = 128,
    shape: tuple[int, int] | None = None,
    edges: int | None = None,
    budget: int = BUDGET,
    scale: Wanted | None = None,
    tolerance: float = 0.01,
    preserve_degrees: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Synthesis:
    """Return a graph whose properties are near ``target``, found by edge swaps from a start.

    A swap parts one joined pair of nodes and joins another, or, with ``preserve_degrees``, turns
    edges a-b, c-d into a-d, c-b. The best graph seen is returned, by exact values: never one
    further from the target than the start. Where nothing can be swapped (no edges, or all of them)
    or the start is within the tolerance, that is the start itself.

    The budget counts proposals, not seconds, so that the same arguments give the same graph on one
    machine with the same versions of NumPy and numba. On another, ties that hang on the last bit of
    a number may be decided otherwise; choices are made by rounded numbers, so they are rare.

    Clustering, transitivity, triangles, degrees, assortativity, distances, components and the
    leading eigenvector are kept track of swap by swap (edge connectivity through the minimum
    degree); with any other property in the target every proposal is described in full, which takes
    10 to 1000 times as long. What the edge count fixes is checked and reported, not searched for.

    Args:
        target: property → wanted value, a property by its name or as a function of one graph.
            ``degree_centrality`` cannot change and ``cycle_rank`` only with the number of
            components; they are checked first.
        start: a graph, or several of one size: the search begins with the nearest and goes on with
            the next where it is stuck. By default a few dozen graphs of the family ``mixed``.
        sparsity: decides the edge count, see :func:`~bogp.graphs.edges_for_sparsity`.
        nodes: number of nodes of the graphs drawn as starts.
        shape: outputs and inputs of the layer whose sparsity is meant; ``nodes`` each by default.
        edges: the edge count itself, instead of ``sparsity``.
        budget: most swaps proposed.
        scale: property name → what an error of 1 is. By default the range of the property over the
            starts, or over a few dozen mixed graphs where one start is given; of ``cycle_rank`` all
            that it can have at this edge count, and of ``degree_centrality`` the density itself.
        tolerance: the search ends once every error is within so many units of scale.
        preserve_degrees: keep every node's degree.
        seed: decides the random choices.
        progress: called with (proposals so far, budget).

    Raises:
        UnknownNameError: no such property.
        GraphError, SparsityError: the starts do not fit each other or the edge count asked for.
        SettingError: a target that is no finite number or cannot be met at this edge count, or
            another setting that is out of range or of the wrong type.

    >>> ring = RelationalGraph(np.roll(np.eye(32), 1, 0) + np.roll(np.eye(32), -1, 0))
    >>> found = synthesize({"average_shortest_path_length": 5.0}, start=ring, scale={
    ...     "average_shortest_path_length": 10.0})
    >>> found.met, found.graph.edges, abs(found.errors["average_shortest_path_length"]) <= 0.01
    (True, 32, True)
    """
    began = time.perf_counter()
    wanted = check_target(target)
    properties = tuple(wanted)
    tolerance = real(tolerance, "tolerance", 0.0, "0.01 is 1 %")
    budget, seed = whole(budget, "budget", 0), whole(seed, "seed", 0)
    rows = _starts(start, sparsity, nodes, shape, edges, seed)
    size, count = rows.shape[1], int(np.bitwise_count(rows[0]).sum()) // 2
    measured = describe(rows, properties)
    scales = _scales(properties, scale, rows, measured, count)
    check_reachable(wanted, size, count, tolerance * scales)
    fixed = {name for name, (low, high) in limits(size, count).items() if low == high}
    values = np.array(list(wanted.values()))
    aim = Aim(properties, values, scales, tolerance, preserve_degrees, frozenset(fixed))
    order = np.argsort(aim.ranks(measured), kind="stable")[:_NEAREST]
    best = BestGraph(aim, rows[order[0]], measured[order[0]], budget, progress)
    random = np.zeros(4, np.uint64)
    seed_state(random, np.uint64(derive_seed(seed, "synthesize")))
    if aim.free and 0 < count < size * (size - 1) // 2:
        if all(aim.tracked_as(name) for name in aim.free):
            swap_by_swap(best, rows[order], random)
        else:
            block_by_block(best, random)
    if progress is not None:
        progress(budget, budget)
    return Synthesis(
        graph=_graph(best.rows),
        start=_graph(rows[order[0]]),
        target=dict(zip(aim.names, values.tolist(), strict=True)),
        achieved=dict(zip(aim.names, best.measured.tolist(), strict=True)),
        distance=best.distance,
        errors=dict(zip(aim.names, aim.errors(best.measured).tolist(), strict=True)),
        met=aim.met(best.measured),
        proposals=int(best.counts[0]),
        accepted=int(best.counts[1]),
        seconds=time.perf_counter() - began,
    )


def _starts(
    start: RelationalGraph | Sequence[RelationalGraph] | None,
    sparsity: float | None,
    nodes: int,
    shape: tuple[int, int] | None,
    edges: int | None,
    seed: int,
) -> Rows:
    """Return the graphs to start from, (graphs, nodes, words), all of one edge count."""
    if start is None:
        nodes = whole(nodes, "nodes", 1)
        count = _wanted_edges(nodes, sparsity, shape, edges)
        if count is None:
            raise SettingError("nothing decides the number of edges: give start, sparsity or edges")
        return _varied(nodes, count, seed)
    graphs = check_starts(start)
    first = graphs[0]
    count = _wanted_edges(first.nodes, sparsity, shape, edges)
    if count is not None and count != first.edges:
        raise GraphError(
            f"the start has {first.edges} edges but {count} are asked for, and swaps keep the "
            "number: leave out sparsity and edges, or give a start that fits"
        )
    return pack(np.stack([graph.adjacency for graph in graphs]))


def _wanted_edges(
    nodes: int, sparsity: float | None, shape: tuple[int, int] | None, edges: int | None
) -> int | None:
    """Return the edge count that the settings ask for, None where they leave it open."""
    if edges is not None:
        edges = whole(edges, "edges", 0)
    if sparsity is None:
        return edges
    sparsity = real(sparsity, "sparsity")
    count = edges_for_sparsity(nodes, sparsity, *(shape or (nodes, nodes)))
    if edges is not None and edges != count:
        raise SparsityError(
            f"sparsity {sparsity} takes {count} edges, not {edges}: give only one of the two"
        )
    return count


def _varied(nodes: int, edges: int, seed: int) -> Rows:
    """Return a few dozen mixed graphs, spread over the region of properties."""
    seed = derive_seed(seed, "synthesize", "starts")
    settings = run_pilot(nodes, edges, seed, size=_VARIED).settings(0, _VARIED, _VARIED)
    return draw_mixed(nodes, edges, settings.seeds, settings.kinds, settings.values)


def _scales(
    properties: Sequence[Property],
    scale: Wanted | None,
    rows: Rows,
    measured: Floats,
    edges: int,
) -> Floats:
    """Return what an error of 1 is for each property, (properties,)."""
    nodes = rows.shape[1]
    bounds = limits(nodes, edges)
    # What can be reached, where that is known; the edge count fixes the density.
    least, most = bounds["cycle_rank"]
    density = bounds["degree_centrality"][0]
    given = {"degree_centrality": density or 1.0, "cycle_rank": max(most - least, 1.0)}
    given |= check_scale(scale or {}, properties)
    columns = [column for column, entry in enumerate(properties) if entry.name not in given]
    if columns:
        missing = [properties[column] for column in columns]
        seen = measured[:, columns]
        if len(rows) == 1:
            seen = np.concatenate([seen, describe(_varied(nodes, edges, seed=0), missing)])
        width, size = np.ptp(seen, axis=0), np.abs(seen).max(axis=0)
        width = np.where(width > 0.0, width, np.where(size > 0.0, size, 1.0))
        given |= dict(zip((entry.name for entry in missing), width.tolist(), strict=True))
    return np.array([given[entry.name] for entry in properties])


def _graph(rows: Rows) -> RelationalGraph:
    return RelationalGraph(unpack(rows[None], len(rows))[0])
