"""Properties a second against networkx, both sides in one run: `make bench`.

Prints, for each density, the ratio of the two sides on the same graphs: all ten properties, one
thread, n = 128. Times on a shared machine vary; the ratio is what to read.
"""

from __future__ import annotations

import argparse
import time

import networkx as nx
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bogp.graphs import PROPERTIES, edges_for_sparsity, generate, properties

ORACLE = {
    "degree_centrality": lambda g: np.mean(list(nx.degree_centrality(g).values())),
    "clustering": nx.average_clustering,
    "edge_connectivity": nx.edge_connectivity,
    "eigenvector_centrality": lambda g: np.mean(list(nx.eigenvector_centrality_numpy(g).values())),
    "cycle_rank": lambda g: (
        g.number_of_edges() - g.number_of_nodes() + nx.number_connected_components(g)
    ),
    "average_shortest_path_length": nx.average_shortest_path_length,
    "transitivity": nx.transitivity,
    "betweenness_centrality": lambda g: np.mean(list(nx.betweenness_centrality(g).values())),
    "closeness_centrality": lambda g: np.mean(list(nx.closeness_centrality(g).values())),
    "cycle_length": nx.girth,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=128)
    parser.add_argument("--graphs", type=int, default=256, help="graphs for bogp's side")
    parser.add_argument("--oracle", type=int, default=4, help="of them, for networkx's side")
    given = parser.parse_args()
    assert set(ORACLE) == set(PROPERTIES), "every property needs its oracle"
    table = Table(title=f"{len(ORACLE)} properties, n = {given.nodes}, one thread")
    for column in ("density", "networkx graphs/s", "bogp graphs/s", "ratio", "largest difference"):
        table.add_column(column, justify="right")
    with threadpool_limits(1):
        for density in (0.1, 0.5, 0.9):
            row = compare(density, given.nodes, given.graphs, given.oracle)
            table.add_row(f"{density:g}", *row)
    Console().print(table)


def compare(density: float, nodes: int, graphs: int, oracle: int) -> tuple[str, str, str, str]:
    """Time both sides on the same graphs, networkx on the first few of them."""
    edges = edges_for_sparsity(nodes, 1 - density)
    drawn = [generate("uniform", nodes, edges, seed) for seed in range(graphs)]
    batch = np.stack([graph.adjacency for graph in drawn])
    names = tuple(ORACLE)
    properties(batch[:2], names)  # Warm: first use imports and allocates.
    started = time.perf_counter()
    ours = properties(batch, names)
    rate = graphs / (time.perf_counter() - started)
    converted = [graph.to_networkx() for graph in drawn[:oracle]]
    started = time.perf_counter()
    theirs = {name: [float(function(g)) for g in converted] for name, function in ORACLE.items()}
    other = oracle / (time.perf_counter() - started)
    worst = max(float(np.abs(ours[name][:oracle] - theirs[name]).max()) for name in names)
    return f"{other:.2f}", f"{rate:.0f}", f"{rate / other:.0f} ×", f"{worst:.1e}"


if __name__ == "__main__":
    main()
