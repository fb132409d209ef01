"""What :func:`bogp.graphs.synthesis.synthesize` refuses, and what its edge count decides."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bogp.errors import GraphError, SettingError
from bogp.graphs.property_vectors import NamedProperty, Property, find_property
from bogp.graphs.relational import RelationalGraph
from bogp.types import Floats

Wanted = Mapping[str, float] | Mapping[NamedProperty, float]
"""Property, by its name or as a function of one graph → number."""

Limits = dict[str, tuple[float, float]]
"""Property name → least and greatest value that it can have."""


def whole(value: Any, what: str, least: int) -> int:
    """Return a setting as an int, or raise SettingError if it is none or below ``least``."""
    try:
        number = operator.index(value)
    except TypeError:
        raise SettingError(
            f"{what} is {value!r}, not a whole number: give {least} or more"
        ) from None
    if number < least:
        raise SettingError(f"{what} {number} is below {least}: give {least} or more")
    return number


def real(value: Any, what: str, least: float = -math.inf, example: str = "") -> float:
    """Return a setting as a float, or raise SettingError if it is not finite or below ``least``."""
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise SettingError(f"{what} is {value!r}, not a finite number: give 0.4, say")
    if number < least:
        raise SettingError(f"{what} {value} is not a number of {least:g} or more: {example}")
    return number


def check_target(target: Wanted) -> dict[Property, float]:
    """Return the target as floats, or raise if it names no property or is not finite."""
    if not target:
        raise SettingError("the target names no property: give {'clustering': 0.4}, say")
    found = {find_property(given): value for given, value in target.items()}
    return {entry: real(value, f"the target of {entry.name}") for entry, value in found.items()}


def check_scale(scale: Wanted, properties: Sequence[Property]) -> dict[str, float]:
    """Return the scale as floats, or raise if it names no property or is not positive.

    The functions among ``properties`` may be named by their own names.
    """
    own = {entry.name: entry for entry in properties}
    given = {}
    for key, value in scale.items():
        name = find_property(own.get(key, key) if isinstance(key, str) else key).name
        given[name] = real(value, f"the scale of {name}")
        if given[name] <= 0.0:
            raise SettingError(
                f"scale {given[name]} of {name} is not positive: give the range of the property, "
                "or leave the property out where it is constant"
            )
    return given


def check_starts(start: RelationalGraph | Sequence[RelationalGraph]) -> list[RelationalGraph]:
    """Return the graphs to start from, or raise GraphError if they are none or differ in size."""
    graphs: list[Any] = list(start) if isinstance(start, Sequence | Iterator) else [start]
    if not graphs:
        raise GraphError("no start is given: give at least one graph, or None to draw some")
    for graph in graphs:
        if not isinstance(graph, RelationalGraph):
            raise GraphError(
                f"a start of type {type(graph).__name__} is no relational graph: make one of a "
                "matrix with RelationalGraph(adjacency), of a networkx graph with "
                "RelationalGraph.from_networkx(graph)"
            )
    first = graphs[0]
    for graph in graphs:
        if (graph.nodes, graph.edges) != (first.nodes, first.edges):
            raise GraphError(
                f"the starts differ: one has {first.nodes} nodes and {first.edges} edges, another "
                f"{graph.nodes} and {graph.edges}; give starts of one size"
            )
    return graphs


def limits(nodes: int, edges: int) -> Limits:
    """Return the limits of the properties that the edge count decides, wholly or nearly so.

    >>> limits(20, 50)["cycle_rank"]
    (31, 40)
    """
    pairs = nodes * (nodes - 1) // 2
    density = edges / pairs if pairs else 1.0
    # The most components leave all edges to a clique: as few nodes as can hold them.
    clique = math.ceil((1.0 + math.sqrt(1.0 + 8.0 * edges)) / 2.0)
    most = edges - nodes + (nodes - clique + 1)
    return {
        "degree_centrality": (density, density),
        "cycle_rank": (max(edges - nodes + 1, 0), max(most, 0)),
    }


def check_reachable(
    target: Mapping[Property, float], nodes: int, edges: int, slack: Floats
) -> None:
    """Raise SettingError where a target is beyond its limits by more than ``slack`` (target,)."""
    bounds = limits(nodes, edges)
    for (entry, value), spare in zip(target.items(), slack.tolist(), strict=True):
        low, high = bounds.get(entry.name, (-math.inf, math.inf))
        if max(low - value, value - high) > spare + 1e-9:
            between = f"{low:.6g}" if low == high else f"between {low:.6g} and {high:.6g}"
            raise SettingError(
                f"{entry.name} {value:.6g} cannot be met: it is {between} for every graph of "
                f"{nodes} nodes and {edges} edges, and swaps keep the number; change the "
                "sparsity, or leave it out of the target"
            )
