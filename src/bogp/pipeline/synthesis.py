"""Graphs made to measure from a graph database: the nearest one, changed by edge swaps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bogp.database import GraphDatabase
from bogp.errors import SettingError
from bogp.graphs import RelationalGraph
from bogp.graphs.synthesis import Synthesis
from bogp.graphs.synthesis import synthesize as synthesize_graph


def synthesize(
    target: Mapping[str, float],
    *,
    start: GraphDatabase
    | RelationalGraph
    | Sequence[RelationalGraph]
    | str
    | os.PathLike[str]
    | None = None,
    sparsity: float | None = None,
    **options: Any,
) -> Synthesis:
    """Make a graph of wanted properties by edge swaps at a fixed edge count.

    Args:
        target: property name → wanted value.
        start: a graph, or several; or a graph database or its file, whose nearest graphs are the
            starts (least Euclidean distance, standardised) and whose ranges are the units of the
            distance; or None, to draw some of the family ``mixed``.
        sparsity: of the graphs of the database that may be the start, or of the graph to draw.
        options: see :func:`bogp.graphs.synthesize`: ``budget``, ``preserve_degrees``, ``seed``, …

    Returns:
        The graph, its exact properties, and how far they are from the target.

    Raises:
        UnknownNameError: a property is unknown, or not stored in the database.
        SettingError, GraphError: an option or the start does not fit.
        DatabaseError, SparsityError: the database has no graphs of that sparsity.
    """
    if isinstance(start, (str, os.PathLike)):
        with GraphDatabase.open(start) as opened:
            return synthesize(target, start=opened, sparsity=sparsity, **options)
    if not isinstance(start, GraphDatabase):
        return synthesize_graph(target, start=start, sparsity=sparsity, **options)
    for name in ("nodes", "edges", "shape"):
        if options.get(name) is not None:
            raise SettingError(
                f"{name} {options[name]} is given beside a graph database, which decides it: "
                f"leave out {name}"
            )
    found = start.nearest(
        target, metric="l2", scale="standardised", count=_STARTS, sparsity=sparsity
    )
    records = [start.record(neighbour.id) for neighbour in found]
    # Swaps keep the edge count: the nearest graph decides it.
    graphs = [record.graph for record in records if record.edges == records[0].edges]
    ranges = start.coverage(records[0].sparsity, tuple(target))
    scale = {n: r.maximum - r.minimum for n, r in ranges.items() if not r.constant}
    options.setdefault("scale", scale)
    return synthesize_graph(target, start=graphs, **options)


_STARTS = 4
"""Graphs of a database to begin with: where one is a dead end, the next may not be."""
