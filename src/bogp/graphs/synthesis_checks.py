"""What :func:`bogp.graphs.synthesis.synthesize` refuses, and what its edge count decides."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs.property_vectors import PROPERTIES
from bogp.graphs.relational import RelationalGraph

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


def real(value: Any, what: str) -> float:
    """Return a setting as a float, or raise SettingError if it is no number or not finite."""
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise SettingError(f"{what} is {value!r}, not a finite number: give 0.4, say")
    return number


def check_target(target: Mapping[str, float]) -> dict[str, float]:
    """Return the target as floats, or raise if it names no property or is not finite."""
    if not target:
        raise SettingError("the target names no property: give {'clustering': 0.4}, say")
    _check_names(target)
    return {name: real(value, f"the target of {name}") for name, value in target.items()}


def check_tolerance(tolerance: float) -> float:
    """Return the tolerance as a float, or raise SettingError if it is below 0."""
    number = real(tolerance, "tolerance")
    if number < 0.0:
        raise SettingError(f"tolerance {tolerance} is not a number of 0 or more: 0.01 is 1 %")
    return number


def check_scale(scale: Mapping[str, float]) -> dict[str, float]:
    """Return the scale as floats, or raise if it names no property or is not positive."""
    _check_names(scale)
    given = {name: real(value, f"the scale of {name}") for name, value in scale.items()}
    for name, value in given.items():
        if value <= 0.0:
            raise SettingError(
                f"scale {value} of {name} is not positive: give the range of the property, or "
                "leave the property out where it is constant"
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
    target: Mapping[str, float], nodes: int, edges: int, slack: Mapping[str, float]
) -> None:
    """Raise SettingError where a target is beyond its limits by more than ``slack``."""
    for name, (low, high) in limits(nodes, edges).items():
        value = target.get(name, low)
        if max(low - value, value - high) > slack.get(name, 0.0) + 1e-9:
            between = f"{low:.6g}" if low == high else f"between {low:.6g} and {high:.6g}"
            raise SettingError(
                f"{name} {value:.6g} cannot be met: it is {between} for every graph of {nodes} "
                f"nodes and {edges} edges, and swaps keep the number; change the sparsity, or "
                "leave it out of the target"
            )


def _check_names(given: Mapping[str, float]) -> None:
    for name in given:
        if name not in PROPERTIES:
            raise UnknownNameError("property", name, PROPERTIES)
