"""Graphs made to measure from a graph database: the nearest ones, changed by edge swaps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bogp.database import GraphDatabase
from bogp.errors import SettingError
from bogp.graphs import RelationalGraph
from bogp.graphs.synthesis import Synthesis
from bogp.graphs.synthesis import synthesize as synthesize_graph

Start = GraphDatabase | RelationalGraph | Sequence[RelationalGraph] | str | os.PathLike[str] | None

_STARTS = 8
"""Graphs of a database to begin with: where one is a dead end, the next may not be."""


def synthesize(
    target: Mapping[str, float],
    *,
    start: Start = None,
    sparsity: float | None = None,
    **options: Any,
) -> Synthesis:
    """Make a graph of wanted properties by edge swaps at a fixed edge count.

    Args:
        target: property name → wanted value.
        start: a graph, or several; or a graph database or its file, whose nearest graphs are the
            starts (least Euclidean distance, standardised) and whose ranges are the units of the
            distance; or None, to draw some of the family ``mixed``.
        sparsity: of the graphs of the database that may be the start, needed where it holds
            several; or of the graph to draw.
        options: see :func:`bogp.graphs.synthesis.synthesize`: ``budget``, ``tolerance``,
            ``preserve_degrees``, ``seed``, …

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
    chosen = _sparsity(start, sparsity)
    found = start.nearest(target, metric="l2", scale="standardised", count=_STARTS, sparsity=chosen)
    records = [start.record(neighbour.id) for neighbour in found]
    if records[0].mask is not None:
        raise SettingError(
            f"{str(start.path)!r} is of family 'random_mask' and holds masks, not graphs to be "
            "changed: build a database of another family"
        )
    ranges = start.coverage(chosen, tuple(target))
    options.setdefault(
        "scale", {n: r.maximum - r.minimum for n, r in ranges.items() if not r.constant}
    )
    # Imported graphs of one sparsity may differ in their edges, and swaps keep the number.
    graphs = [record.graph for record in records if record.edges == records[0].edges]
    return synthesize_graph(target, start=graphs, **options)


def _sparsity(database: GraphDatabase, sparsity: float | None) -> float:
    """Return the sparsity asked for, or the only one there is."""
    if sparsity is not None:
        return sparsity
    if len(database.sparsities) > 1:
        raise SettingError(
            f"{str(database.path)!r} has graphs of several sparsities: "
            f"choose one with sparsity, of {', '.join(map(str, database.sparsities))}"
        )
    return database.sparsities[0]
