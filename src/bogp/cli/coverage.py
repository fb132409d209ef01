"""What ``bogp database show`` says of coverage: numbers, text histograms, words and a figure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bogp.cli.common import print_table, say

if TYPE_CHECKING:
    from bogp.analysis import Collinear, Coverage, CoverageComparison, RankCorrelation
    from bogp.database import GraphDatabase
    from bogp.database.blocks import Ids
    from bogp.graphs import RelationalGraph
    from bogp.types import Floats, Progress

MOST_UNIFORM = 2_000
"""The most uniform graphs that are drawn to compare with."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_FEWEST = 3  # points of a rank correlation


@dataclass(frozen=True)
class UniformGraphs:
    """Graphs of family uniform, to compare the graphs of a database with."""

    names: tuple[str, ...]  # the properties that can be computed
    vectors: Floats  # (graphs, names)
    comparison: CoverageComparison  # of as many graphs of the database with them


@dataclass(frozen=True)
class Shown:
    """All that is shown of what the graphs of a database cover."""

    names: tuple[str, ...]
    vectors: Floats  # (graphs, names)
    coverage: Coverage
    uniform: UniformGraphs | None
    uniform_wanted: bool
    measured: dict[str, dict[str, RankCorrelation]]  # measured value → property → correlation


def measure(
    database: GraphDatabase, sparsity: float | None, *, uniform: bool, progress: Progress
) -> Shown | None:
    """Return what there is to show of the graphs (of ``sparsity``); None while there are none."""
    from bogp.analysis import coverage

    ids, vectors = database.vectors(database.names, sparsity)
    if len(ids) == 0:
        return None
    return Shown(
        names=database.names,
        vectors=vectors,
        coverage=coverage(database.names, vectors),
        uniform=_uniform(database, ids, vectors, progress) if uniform else None,
        uniform_wanted=uniform,
        measured=_correlations(database, ids, vectors),
    )


def _uniform(
    database: GraphDatabase, ids: Ids, vectors: Floats, progress: Progress
) -> UniformGraphs | None:
    """Return as many uniform graphs as the database has, but no more than :data:`MOST_UNIFORM`.

    Each has the nodes and edges of one graph of the database; None where those are not known.
    """
    import numpy as np

    from bogp.analysis import compare_coverage
    from bogp.graphs import PROPERTIES, properties
    from bogp.keys import derive_seed

    rows = np.arange(len(ids))
    if len(ids) > MOST_UNIFORM:
        # A step through the rows could fall in with the order in which kinds take turns.
        rows = np.sort(np.random.default_rng(0).choice(len(ids), MOST_UNIFORM, replace=False))
    names = tuple(name for name in database.names if name in PROPERTIES)
    if not names or not database.nodes:
        return None
    pairs = []
    for graph_id in ids[rows].tolist():
        edges = database.record(graph_id).edges
        if edges is None:
            return None
        pairs.append((edges, derive_seed(database.seed, "uniform twin", graph_id)))
    found = properties(_drawn(database.nodes, pairs, progress), names)
    others = np.column_stack([found[name] for name in names])
    own = vectors[rows][:, [database.names.index(name) for name in names]]
    return UniformGraphs(names, others, compare_coverage(names, own, others))


def _drawn(
    nodes: int, pairs: Sequence[tuple[int, int]], progress: Progress
) -> Iterator[RelationalGraph]:
    """Yield a uniform graph for each (edges, seed)."""
    from bogp.graphs import generate

    for done, (edges, seed) in enumerate(pairs):
        progress(done, len(pairs))
        yield generate("uniform", nodes, edges, seed)
    progress(len(pairs), len(pairs))


def _correlations(
    database: GraphDatabase, ids: Ids, vectors: Floats
) -> dict[str, dict[str, RankCorrelation]]:
    """Return the rank correlation of each property with each measured value.

    A value that was measured for fewer than three of the graphs is left out.
    """
    import numpy as np

    from bogp.analysis import rank_correlation

    correlations = {}
    for measured in database.measured_names:
        there, values = database.measured(measured)
        _, rows, places = np.intersect1d(ids, there, assume_unique=True, return_indices=True)
        if len(rows) >= _FEWEST:
            correlations[measured] = {
                # The interval needs no permutations; a p-value of each of many would mislead.
                name: rank_correlation(column[rows], values[places], seed=0, resamples=100)
                for name, column in zip(database.names, vectors.T, strict=True)
            }
    return correlations


def as_json(shown: Shown) -> dict[str, Any]:
    """Return all numbers as a JSON object."""
    uniform = None
    if shown.uniform is not None:
        found = shown.uniform.comparison
        uniform = {
            **_coverage_json(found.second),
            "graphs": found.second.graphs,
            "ratios": found.ratios,
            "variance": found.variance,
            "axes": found.axes,
            "cells": found.second_cells,
            "database": {
                "graphs": found.first.graphs,
                "dimensions": found.first.dimensions,
                "cells": found.cells,
            },
        }
    measured = {
        value: {
            name: {
                "rho": found.rho,
                "interval": found.interval and dataclasses.asdict(found.interval),
                "graphs": found.count,
            }
            for name, found in correlations.items()
        }
        for value, correlations in shown.measured.items()
    }
    return {**_coverage_json(shown.coverage), "uniform": uniform, "measured": measured}


def _coverage_json(found: Coverage) -> dict[str, Any]:
    from bogp.analysis import json_matrix

    entries = [dataclasses.asdict(entry) for entry in found.properties]
    return {
        "coverage": {entry.pop("name"): entry for entry in entries},
        "dimensions": found.dimensions,
        "collinear": [dataclasses.asdict(group) for group in found.collinear],
        "correlation": json_matrix(found.correlation),
    }


def print_coverage(shown: Shown, where: str) -> None:
    """Print the ranges and histograms beside those of uniform graphs, then what follows."""
    from bogp.report import Column, Table

    number = "{:.4g}".format
    columns: list[str | Column] = ["property"]
    columns += [Column(name, number, "right") for name in ("min", "median", "max", "sd")]
    columns.append("histogram")
    rows: list[list[Any]] = [
        [e.name, e.minimum, e.median, e.maximum, e.sd, histogram(e.counts)]
        for e in shown.coverage.properties
    ]
    notes = []
    if shown.uniform is not None:
        columns += [
            Column("uniform", align="right"),
            Column("range ratio", "{:.3g}".format, "right"),
        ]
        notes.append("range ratio: the range of the database over that of the uniform graphs.")
        compared = shown.uniform.comparison
        others = {entry.name: entry for entry in compared.second.properties}
        for row, entry in zip(rows, shown.coverage.properties, strict=True):
            other = others.get(entry.name)
            if other is None:  # a property of an imported table that bogp cannot compute
                row += [None, None]
                continue
            low, high = number(other.minimum), number(other.maximum)
            ratio = compared.ratios[entry.name]
            infinite = ratio is None and not entry.constant
            row += [low if other.constant else f"{low} to {high}", "∞" if infinite else ratio]
    print_table(Table(f"Properties, {where}", columns, rows, notes))
    say(*_words(shown))
    note = "Spearman's rho [95 % interval, Bonett and Wright]; a dash where a property is constant."
    for value, found in shown.measured.items():
        rows = [[name, correlation.interval] for name, correlation in found.items()]
        print_table(Table(f"Rank correlation with {value}", ["property", "rho"], rows, [note]))


def histogram(counts: Sequence[int]) -> str:
    """Return a histogram as text, an empty bar as a space and any other at least a low block.

    >>> histogram([1, 0, 5, 10])
    '▁ ▄█'
    """
    most = max(counts)
    return "".join(
        _BLOCKS[math.ceil(count / most * len(_BLOCKS)) - 1] if count else " " for count in counts
    )


def _words(shown: Shown) -> list[str]:
    """Return sentences on dimensions, cells, and which properties follow from others."""
    found = shown.coverage
    varying = len(found.names) - len(found.constant)
    lines = [f"Effective dimensions: {found.dimensions:.1f} of {varying} varying properties."]
    lines += [_collinear_words(group) for group in found.collinear]
    if shown.uniform is not None:
        lines += _uniform_words(shown.uniform.comparison, found.graphs)
    elif shown.uniform_wanted:
        lines.append("No uniform graphs beside them: the nodes or edges of these are not known.")
    return lines


def _collinear_words(group: Collinear) -> str:
    several = len(group.followers) > 1
    names = (", " if len(group.followers) > 2 else " and ").join(group.followers)
    how = "exactly" if group.exact else f"nearly, |r| >= {math.floor(group.weakest * 1e4) / 1e4:g}"
    return f"Collinear: {names} {'follow' if several else 'follows'} from {group.leader} ({how})."


def _uniform_words(found: CoverageComparison, graphs: int) -> list[str]:
    count = found.second.graphs
    capped = ""
    if count < graphs:
        capped = f" (no more than {MOST_UNIFORM} are drawn; set against {count} of the database)"
    lines = [f"Uniform: {count} graphs of family uniform with the same nodes and edges{capped}."]
    if found.variance is not None:
        varying = len(found.second.names) - len(found.second.constant)
        lines.append(
            f"They have {100 * found.variance:.2g} % of the variance (mean over the properties) "
            f"and, each property in units of its own small spread, {found.second.dimensions:.1f} "
            f"effective dimensions of {varying}."
        )
    if found.axes:
        lines.append(
            f"Cells that hold a graph, of 10 along each of {', '.join(found.axes)}: "
            f"{found.cells}, uniform {found.second_cells}."
        )
    return lines


def write_coverage_figure(shown: Shown, path: Path, title: str) -> None:
    """Draw the coverage to a PNG or SVG file."""
    from bogp.report import coverage_figure, plural, write_figure

    names, vectors, other, note = shown.names, shown.vectors, None, ""
    if shown.uniform is not None:
        names, other = shown.uniform.names, shown.uniform.vectors
        vectors = vectors[:, [shown.names.index(name) for name in names]]
        note = (
            f"In grey: {plural(len(other), 'graph')} of family uniform with the same nodes and "
            "edges. Each histogram is scaled to its highest bar."
        )
    write_figure(coverage_figure(names, vectors, other, title=title, note=note), path)
