"""What ``bogp database show`` says of coverage: numbers, text histograms, words and a figure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bogp.cli.common import console, flush_right, print_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bogp.analysis import (
        Collinear,
        Coverage,
        CoverageComparison,
        PropertyCoverage,
        RankCorrelation,
    )
    from bogp.database import GraphDatabase
    from bogp.graphs import RelationalGraph

    Floats = npt.NDArray[np.float64]

MOST_UNIFORM = 2_000
"""Uniform graphs that are drawn for a comparison."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_FEWEST = 3  # points of a rank correlation


@dataclass(frozen=True)
class Uniform:
    """A uniform set to compare a database with."""

    names: tuple[str, ...]  # the properties that can be computed
    vectors: Floats  # of the uniform graphs (graphs, names)
    comparison: CoverageComparison  # of as many graphs of the database with them


@dataclass(frozen=True)
class Shown:
    """All that is shown of the coverage of a database."""

    names: tuple[str, ...]
    vectors: Floats  # (graphs, names)
    coverage: Coverage
    uniform: Uniform | None
    wanted: bool  # whether a uniform set was asked for
    measured: dict[str, dict[str, RankCorrelation]]  # measured number → property → correlation


def look_at(
    database: GraphDatabase,
    sparsity: float | None,
    *,
    uniform: bool,
    progress: Callable[[int, int], None],
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
        wanted=uniform,
        measured=_correlations(database, ids, vectors),
    )


def _uniform(
    database: GraphDatabase,
    ids: npt.NDArray[np.int64],
    vectors: Floats,
    progress: Callable[[int, int], None],
) -> Uniform | None:
    """Return as many uniform graphs as the database has, or :data:`MOST_UNIFORM` where it has more.

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
    twins = np.column_stack([found[name] for name in names])
    own = vectors[rows][:, [database.names.index(name) for name in names]]
    return Uniform(names, twins, compare_coverage(names, own, twins))


def _drawn(
    nodes: int, pairs: Sequence[tuple[int, int]], progress: Callable[[int, int], None]
) -> Iterator[RelationalGraph]:
    """Yield a uniform graph for each (edges, seed)."""
    from bogp.graphs import generate

    for done, (edges, seed) in enumerate(pairs):
        progress(done, len(pairs))
        yield generate("uniform", nodes, edges, seed)
    progress(len(pairs), len(pairs))


def _correlations(
    database: GraphDatabase, ids: npt.NDArray[np.int64], vectors: Floats
) -> dict[str, dict[str, RankCorrelation]]:
    """Return the rank correlation of each property with each measured number.

    A number that fewer than three of the graphs have is left out.
    """
    import numpy as np

    from bogp.analysis import rank_correlation

    correlations = {}
    for number in database.measured_names:
        there, values = database.measured(number)
        _, rows, places = np.intersect1d(ids, there, assume_unique=True, return_indices=True)
        if len(rows) >= _FEWEST:
            correlations[number] = {
                # The interval needs no permutations; a p-value of each of many would mislead.
                name: rank_correlation(column[rows], values[places], seed=0, resamples=100)
                for name, column in zip(database.names, vectors.T, strict=True)
            }
    return correlations


def as_json(shown: Shown) -> dict[str, Any]:
    """Return all numbers of the coverage as a JSON object."""
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
        number: {name: _correlation_json(value) for name, value in found.items()}
        for number, found in shown.measured.items()
    }
    return {**_coverage_json(shown.coverage), "uniform": uniform, "measured": measured}


def _coverage_json(found: Coverage) -> dict[str, Any]:
    from bogp.analysis import json_matrix

    return {
        "coverage": {
            entry.name: {k: v for k, v in dataclasses.asdict(entry).items() if k != "name"}
            for entry in found.properties
        },
        "dimensions": found.dimensions,
        "collinear": [dataclasses.asdict(group) for group in found.collinear],
        "correlation": json_matrix(found.correlation),
    }


def _correlation_json(found: RankCorrelation) -> dict[str, Any]:
    interval = None if found.interval is None else dataclasses.asdict(found.interval)
    return {"rho": found.rho, "interval": interval, "graphs": found.count}


def print_coverage(shown: Shown, where: str) -> None:
    """Print the ranges and histograms beside those of the uniform set, then what follows."""
    from bogp.report import Table

    columns, notes = ["property", "min", "median", "max", "sd", "histogram"], []
    rows = [[entry.name, *_cells(entry)] for entry in shown.coverage.properties]
    if shown.uniform is not None:
        columns += ["uniform", "range ratio"]
        notes.append("range ratio: the range of the database over that of the uniform graphs.")
        twins = {entry.name: entry for entry in shown.uniform.comparison.second.properties}
        for row, entry in zip(rows, shown.coverage.properties, strict=True):
            row += _twin_cells(entry, twins.get(entry.name), shown.uniform.comparison.ratios)
    columns, *rows = flush_right([columns, *rows])
    print_table(Table(f"Properties, {where}", columns, rows, notes))
    for line in _words(shown):
        console.print(line, markup=False, soft_wrap=True)
    for number, found in shown.measured.items():
        _print_correlations(number, found)


def _cells(entry: PropertyCoverage) -> list[str]:
    numbers = (entry.minimum, entry.median, entry.maximum, entry.sd)
    return [*(f"{number:.4g}" for number in numbers), histogram(entry.counts)]


def _twin_cells(
    entry: PropertyCoverage, twin: PropertyCoverage | None, ratios: dict[str, float | None]
) -> list[str]:
    if twin is None:  # a property of an imported table that bogp cannot compute
        return ["–", "–"]
    low, high, ratio = f"{twin.minimum:.4g}", f"{twin.maximum:.4g}", ratios[entry.name]
    text = f"{ratio:.3g}" if ratio is not None else "–" if entry.constant else "∞"
    return [low if twin.constant else f"{low} to {high}", text]


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
    elif shown.wanted:
        lines.append("No uniform graphs beside them: the nodes or edges of these are not known.")
    return lines


def _collinear_words(group: Collinear) -> str:
    names = (
        " and ".join(group.followers) if len(group.followers) < 3 else ", ".join(group.followers)
    )
    follow = "follows" if len(group.followers) == 1 else "follow"
    how = "exactly" if group.exact else f"nearly, |r| >= {math.floor(group.weakest * 1e4) / 1e4:g}"
    return f"Collinear: {names} {follow} from {group.leader} ({how})."


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


def _print_correlations(number: str, found: dict[str, RankCorrelation]) -> None:
    """Print the rank correlation of each property with one measured number."""
    from bogp.report import Table

    rows = [[name, value.interval] for name, value in found.items()]
    note = "Spearman's rho [95 % interval, Bonett and Wright]; a dash where a property is constant."
    print_table(Table(f"Rank correlation with {number}", ["property", "rho"], rows, [note]))


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
