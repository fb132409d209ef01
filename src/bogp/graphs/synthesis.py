"""Inverse design: from a wanted property vector to a graph that has it.

Edge swaps lead from a start towards the target at a fixed edge count. The search and its estimates
are compiled (:mod:`bogp.graphs.engine.swaps`); what is reported is computed afresh from the graph
that came out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bogp.errors import GraphError, SettingError, SparsityError, UnknownNameError
from bogp.graphs.engine.bits import Rows, pack, unpack
from bogp.graphs.engine.random import seed_state
from bogp.graphs.engine.swap_state import Floats
from bogp.graphs.mixed import draw_mixed
from bogp.graphs.mixture import mixture
from bogp.graphs.properties import PROPERTIES, describe
from bogp.graphs.relational import RelationalGraph, edges_for_sparsity
from bogp.graphs.swapping import Aim, Progress, Search, climb, swap
from bogp.keys import derive_seed

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
    target: Mapping[str, float],
    *,
    start: RelationalGraph | Sequence[RelationalGraph] | None = None,
    sparsity: float | None = None,
    nodes: int = 128,
    shape: tuple[int, int] | None = None,
    edges: int | None = None,
    budget: int = BUDGET,
    scale: Mapping[str, float] | None = None,
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

    The budget counts proposals, not seconds, so that the same arguments give the same graph on any
    machine. Clustering, transitivity, triangles, degrees, assortativity, distances and the leading
    eigenvector are kept track of swap by swap (edge connectivity through the minimum degree); with
    any other property in the target every proposal is described in full, which takes 10 to 1000
    times as long.

    Args:
        target: property name → wanted value. ``degree_centrality`` cannot change and
            ``cycle_rank`` only with the number of components; they are checked.
        start: a graph, or several of one size: the search begins with the nearest and goes on with
            the next where it is stuck. By default a few dozen graphs of the family ``mixed``.
        sparsity: decides the edge count, see :func:`~bogp.graphs.edges_for_sparsity`.
        nodes: number of nodes of the graphs drawn as starts.
        shape: outputs and inputs of the layer whose sparsity is meant; ``nodes`` each by default.
        edges: the edge count itself, instead of ``sparsity``.
        budget: most swaps proposed.
        scale: property name → what an error of 1 is. By default the range of the property over the
            starts, or over a few dozen mixed graphs where one start is given.
        tolerance: the search ends once every error is within so many units of scale.
        preserve_degrees: keep every node's degree.
        seed: of the random choices.
        progress: called with (proposals so far, budget).

    Raises:
        UnknownNameError: no such property.
        GraphError, SparsityError: the starts do not fit each other or the edge count asked for.
        SettingError: a target that is not finite or cannot be met at this edge count, or another
            setting out of range.

    >>> ring = RelationalGraph(np.roll(np.eye(32), 1, 0) + np.roll(np.eye(32), -1, 0))
    >>> found = synthesize({"average_shortest_path_length": 5.0}, start=ring, scale={
    ...     "average_shortest_path_length": 10.0})
    >>> found.met, found.graph.edges, abs(found.errors["average_shortest_path_length"]) <= 0.01
    (True, 32, True)
    """
    began = time.perf_counter()
    names = _check(target, budget, tolerance, seed)
    rows = _starts(start, sparsity, nodes, shape, edges, seed)
    measured = describe(rows, names)
    count = _edge_count(rows[0])
    scales = _scales(names, scale, rows, measured, count)
    wanted = np.array([float(target[name]) for name in names])
    _check_constants(dict(zip(names, wanted, strict=True)), rows.shape[1], count, scales, tolerance)
    aim = Aim(names, wanted, scales, tolerance, preserve_degrees, count)
    order = np.argsort(aim.distances(measured), kind="stable")[:_NEAREST]
    found = Search(aim, rows[order[0]], measured[order[0]], budget, progress)
    random = np.zeros(4, np.uint64)
    seed_state(random, np.uint64(derive_seed(seed, "synthesize")))
    if 0 < count < rows.shape[1] * (rows.shape[1] - 1) // 2:
        if aim.tracked:
            swap(found, rows[order], random)
        else:
            climb(found, random)
    if progress is not None:
        progress(budget, budget)
    errors = aim.errors(found.measured)
    return Synthesis(
        graph=_graph(found.best),
        start=_graph(rows[order[0]]),
        target=dict(zip(names, wanted.tolist(), strict=True)),
        achieved=dict(zip(names, found.measured.tolist(), strict=True)),
        distance=found.distance,
        errors=dict(zip(names, errors.tolist(), strict=True)),
        met=aim.met(found.measured),
        proposals=int(found.counts[0]),
        accepted=int(found.counts[2]),
        seconds=time.perf_counter() - began,
    )


def _check(
    target: Mapping[str, float], budget: int, tolerance: float, seed: int
) -> tuple[str, ...]:
    """Return the names of the target, or raise if it or a setting is out of range."""
    if not target:
        raise SettingError("the target names no property: give {'clustering': 0.4}, say")
    for name, value in target.items():
        if name not in PROPERTIES:
            raise UnknownNameError("property", name, PROPERTIES)
        if not math.isfinite(value):
            raise SettingError(f"the target {value} of {name} is not finite: give a number")
    if budget < 0:
        raise SettingError(f"budget {budget} is negative: give the most swaps to propose")
    if not 0.0 <= tolerance < math.inf:
        raise SettingError(f"tolerance {tolerance} is not a number of 0 or more: 0.01 is 1 %")
    if seed < 0:
        raise SettingError(f"seed {seed} is negative: give 0 or more")
    return tuple(target)


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
        count = _wanted_edges(nodes, sparsity, shape, edges)
        if count is None:
            raise SettingError("nothing decides the number of edges: give start, sparsity or edges")
        return _varied(nodes, count, seed)
    graphs = [start] if isinstance(start, RelationalGraph) else list(start)
    if not graphs:
        raise GraphError("no start is given: give at least one graph, or None to draw some")
    first = graphs[0]
    for graph in graphs:
        if (graph.nodes, graph.edges) != (first.nodes, first.edges):
            raise GraphError(
                f"the starts differ: one has {first.nodes} nodes and {first.edges} edges, another "
                f"{graph.nodes} and {graph.edges}; give starts of one size"
            )
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
    if sparsity is None:
        return edges
    count = edges_for_sparsity(nodes, sparsity, *(shape or (nodes, nodes)))
    if edges is not None and edges != count:
        raise SparsityError(
            f"sparsity {sparsity} takes {count} edges, not {edges}: give only one of the two"
        )
    return count


def _varied(nodes: int, edges: int, seed: int) -> Rows:
    """Return a few dozen mixed graphs, spread over the region of properties."""
    seed = derive_seed(seed, "synthesize", "starts")
    settings = mixture(nodes, edges, seed, pilot=_VARIED).settings(0, _VARIED, _VARIED)
    return draw_mixed(nodes, edges, settings.seeds, settings.kinds, settings.values)


def _scales(
    names: tuple[str, ...],
    scale: Mapping[str, float] | None,
    rows: Rows,
    measured: Floats,
    edges: int,
) -> Floats:
    """Return what an error of 1 is for each property, (names,)."""
    given = dict(scale or {})
    for name, value in given.items():
        if name not in PROPERTIES:
            raise UnknownNameError("property", name, PROPERTIES)
        if not 0.0 < value < math.inf:
            raise SettingError(
                f"scale {value} of {name} is not positive and finite: give the range of the "
                "property, or leave the property out where it is constant"
            )
    nodes = rows.shape[1]
    pairs = nodes * (nodes - 1) // 2
    given = {"degree_centrality": 1.0, "cycle_rank": float(max(pairs, 1)), **given}
    missing = [name for name in names if name not in given]
    if missing:
        columns = [names.index(name) for name in missing]
        seen = measured[:, columns]
        if len(rows) == 1:
            seen = np.concatenate([seen, describe(_varied(nodes, edges, seed=0), missing)])
        width = seen.max(axis=0) - seen.min(axis=0)
        size = np.abs(seen).max(axis=0)
        width = np.where(width > 0.0, width, np.where(size > 0.0, size, 1.0))
        given.update(zip(missing, width.tolist(), strict=True))
    return np.array([given[name] for name in names])


def _check_constants(
    target: Mapping[str, float], nodes: int, edges: int, scales: Floats, tolerance: float
) -> None:
    """Raise SettingError where a target asks for another edge count than swaps keep."""
    pairs = nodes * (nodes - 1) // 2
    density = edges / pairs if pairs else 1.0
    # The most components leave all edges to a clique: as few nodes as can hold them.
    clique = math.ceil((1.0 + math.sqrt(1.0 + 8.0 * edges)) / 2.0)
    most = edges - nodes + (nodes - clique + 1)
    limits = {
        "degree_centrality": (density, density),
        "cycle_rank": (max(edges - nodes + 1, 0), max(most, 0)),
    }
    for (name, value), unit in zip(target.items(), scales, strict=True):
        low, high = limits.get(name, (value, value))
        if max(low - value, value - high) > tolerance * unit:
            between = f"{low:.6g}" if low == high else f"between {low:.6g} and {high:.6g}"
            raise SettingError(
                f"{name} {value:.6g} cannot be met: it is {between} for every graph of {nodes} "
                f"nodes and {edges} edges, and swaps keep the number; change the sparsity, or "
                "leave it out of the target"
            )


def _edge_count(rows: Rows) -> int:
    return int(np.bitwise_count(rows).sum()) // 2


def _graph(rows: Rows) -> RelationalGraph:
    return RelationalGraph(unpack(rows[None], len(rows))[0])
