"""What the family ``mixed`` covers, beside uniform graphs and the older families, and how fast.

Prints, for each size and density and the same number of graphs a side: the range of each property
over that of uniform graphs, the occupied cells of a grid of ten by ten over each pair of
properties (bins over the range of all sides together), how evenly graphs lie in them (entropy over
the logarithm of the number of cells), the effective number of dimensions (participation ratio of
the eigenvalues of the correlations), and graphs drawn a second on one core.

The goal: at every size and density ``mixed`` occupies more cells than each of the others. The last
line says whether it is reached. The rate of drawing has no goal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np
from rich.console import Console
from rich.table import Table

from bogp.graphs import GENERATORS, describe, generate
from bogp.graphs.kernels.bits import Rows, pack
from bogp.graphs.mixed import draw_mixed
from bogp.graphs.pilot import COVERED, pilot_size, run_pilot
from bogp.types import Floats

OLDER = tuple(name for name in GENERATORS if name not in ("mixed",))
BINS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=20000, help="graphs for the time of a draw")
    given = parser.parse_args()
    cases = [(nodes, density) for nodes in (128, 64) for density in (0.1, 0.25, 0.5, 0.9)]
    sides: dict[str, Callable[[int, int, int], Rows]] = {
        "uniform": uniform,
        "older, equal parts": older,
        "mixed": mixed,
    }
    console, short = Console(width=200), []
    for nodes, density in cases:
        edges = round(density * nodes * (nodes - 1) / 2)
        found = {
            name: describe(side(nodes, edges, given.graphs), COVERED)
            for name, side in sides.items()
        }
        title = f"n = {nodes}, density {density:g}"
        console.print(compare(title, found))
        occupied = {name: cells for name, (cells, _) in grids(found).items()}
        if occupied.pop("mixed") <= max(occupied.values()):
            short.append(title)
    console.print(speed(given.draws))
    outcome = f"NOT reached at {'; '.join(short)}" if short else f"reached at all {len(cases)}"
    console.print(f"goal: mixed occupies more cells than uniform and than the older: {outcome}")


def uniform(nodes: int, edges: int, graphs: int) -> Rows:
    return pack(np.stack([generate("uniform", nodes, edges, s).adjacency for s in range(graphs)]))


def older(nodes: int, edges: int, graphs: int) -> Rows:
    drawn = [generate(OLDER[s % len(OLDER)], nodes, edges, s).adjacency for s in range(graphs)]
    return pack(np.stack(drawn))


def mixed(nodes: int, edges: int, graphs: int) -> Rows:
    chosen = run_pilot(nodes, edges, 0, pilot_size(graphs, nodes)).settings(0, graphs, graphs)
    return draw_mixed(nodes, edges, chosen.seeds, chosen.kinds, chosen.values)


def compare(title: str, found: dict[str, Floats]) -> Table:
    """Return the table of one size and density from the properties of each side."""
    covered = grids(found)
    table = Table(title=title)
    for column in ("side", *(name.replace("_", " ") for name in COVERED)):
        table.add_column(column, justify="left" if column == "side" else "right")
    for column in ("cells", "evenness", "dimensions"):
        table.add_column(column, justify="right")
    base = np.ptp(found["uniform"], axis=0)
    for name, values in found.items():
        ranges = [
            f"{own / of:.3g} ×" if of > 1e-9 else "-"  # every uniform graph has the same value
            for own, of in zip(np.ptp(values, axis=0), base, strict=True)
        ]
        cells, evenness = covered[name]
        spread = f"{effective_dimensions(values):.1f}"
        table.add_row(name, *ranges, f"{cells:.1f}", f"{evenness:.2f}", spread)
    return table


def grids(found: dict[str, Floats]) -> dict[str, tuple[float, float]]:
    """Return the cells and the evenness of each side, over the range of all sides together."""
    every = np.concatenate(list(found.values()))
    low, width = every.min(axis=0), np.maximum(np.ptp(every, axis=0), 1e-12)
    return {name: grid((values - low) / width) for name, values in found.items()}


def grid(place: Floats) -> tuple[float, float]:
    """Return the mean, over pairs of properties, of occupied cells and of the evenness in 100."""
    bins = np.minimum((place * BINS).astype(int), BINS - 1)
    cells, evenness = [], []
    for i, j in combinations(range(place.shape[1]), 2):
        share = np.bincount(bins[:, i] * BINS + bins[:, j], minlength=BINS**2) / len(bins)
        share = share[share > 0]
        cells.append(len(share))
        evenness.append(-(share * np.log(share)).sum() / np.log(BINS**2))
    return float(np.mean(cells)), float(np.mean(evenness))


def effective_dimensions(values: Floats) -> float:
    """Return (sum of eigenvalues)² / sum of their squares, of the correlations."""
    varying = values[:, values.std(axis=0) > 1e-9]
    size = np.linalg.eigvalsh(np.corrcoef(varying, rowvar=False))
    return float(size.sum() ** 2 / (size**2).sum())


def speed(draws: int) -> Table:
    """Return graphs a second on one core, older families and mixed in one run."""
    table = Table(title="graphs a second on one core, best of three")
    for column in ("nodes", "density", "older, equal parts", "mixed", "ratio"):
        table.add_column(column, justify="right")
    for nodes, density in ((64, 0.1), (64, 0.5), (64, 0.9), (128, 0.1), (128, 0.5), (128, 0.9)):
        edges = round(density * nodes * (nodes - 1) / 2)
        chosen = run_pilot(nodes, edges, 0).settings(0, draws, draws)
        best, other = np.inf, np.inf
        for _ in range(3):
            started = time.perf_counter()
            draw_mixed(nodes, edges, chosen.seeds, chosen.kinds, chosen.values)
            best = min(best, (time.perf_counter() - started) / draws)
            started = time.perf_counter()
            for seed in range(80):
                GENERATORS[OLDER[seed % len(OLDER)]].draw(nodes, edges, np.random.default_rng(seed))
            other = min(other, (time.perf_counter() - started) / 80)
        table.add_row(
            str(nodes),
            f"{density:g}",
            f"{1 / other:.0f}",
            f"{1 / best:.0f}",
            f"{other / best:.0f} ×",
        )
    return table


if __name__ == "__main__":
    main()
