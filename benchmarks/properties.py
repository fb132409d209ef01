"""Property vectors a second against networkx and igraph, all in one run: `make bench`.

First the seven properties of a vector at each density, one core, on the same graphs: bogp from a
stack of bool matrices, packing included; networkx and igraph from graphs built beforehand, by
their quickest calls. Then each property alone. Times on a shared machine vary: each side's is the
best of a few rounds that take turns, and the ratio is what to read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import igraph
import networkx as nx
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bogp.graphs import PROPERTIES, edges_for_sparsity, generate, properties

DENSITIES = (0.1, 0.5, 0.9)
GOAL_NETWORKX, GOAL_IGRAPH = 300.0, 20.0


def mean(values: dict[Any, float]) -> float:
    return float(np.mean(list(values.values())))


NETWORKX: dict[str, Callable[[Any], float]] = {
    "clustering": nx.average_clustering,
    "transitivity": nx.transitivity,
    "average_shortest_path_length": nx.average_shortest_path_length,
    "edge_connectivity": nx.edge_connectivity,
    "eigenvector_centrality": lambda g: mean(nx.eigenvector_centrality_numpy(g)),
    "degree_centrality": lambda g: mean(nx.degree_centrality(g)),
    "cycle_rank": lambda g: (
        g.number_of_edges() - g.number_of_nodes() + nx.number_connected_components(g)
    ),
}


def igraph_eigenvector(graph: Any) -> float:
    vector = np.array(graph.eigenvector_centrality())
    return float(vector.mean() / np.linalg.norm(vector))


IGRAPH: dict[str, Callable[[Any], float]] = {
    "clustering": lambda g: g.transitivity_avglocal_undirected(mode="zero"),
    "transitivity": lambda g: g.transitivity_undirected(),
    "average_shortest_path_length": lambda g: g.average_path_length(),
    "edge_connectivity": lambda g: g.edge_connectivity(),
    "eigenvector_centrality": igraph_eigenvector,
    "degree_centrality": lambda g: g.density(),
    "cycle_rank": lambda g: g.ecount() - g.vcount() + len(g.components()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=128)
    parser.add_argument("--graphs", type=int, default=1024, help="graphs for bogp's side")
    parser.add_argument("--igraph", type=int, default=24, help="of them, for igraph's side")
    parser.add_argument("--networkx", type=int, default=3, help="of them, for networkx's side")
    parser.add_argument("--rounds", type=int, default=3, help="of which each side's best counts")
    given = parser.parse_args()
    vectors = Table(
        title=f"Seven properties, n = {given.nodes}, graphs a second on one core; "
        f"goal {GOAL_NETWORKX:.0f} × networkx, {GOAL_IGRAPH:.0f} × igraph"
    )
    for column in ("density", "networkx", "igraph", "bogp", "× nx", "× ig", "differ by", "goal"):
        vectors.add_column(column, justify="right")
    alone = Table(title=f"Each property alone, n = {given.nodes}, µs a graph on one core")
    alone.add_column("property")
    stacks = [stack(density, given.nodes, given.graphs) for density in DENSITIES]
    with threadpool_limits(1):
        for density, adjacency in zip(DENSITIES, stacks, strict=True):
            alone.add_column(f"density {density:g}", justify="right")
            sizes = (given.networkx, given.igraph)
            vectors.add_row(f"{density:g}", *compare(adjacency, *sizes, given.rounds))
        for name in PROPERTIES:
            alone.add_row(name, *(f"{microseconds(graphs[:64], name):.1f}" for graphs in stacks))
    Console().print(vectors, alone)


def stack(density: float, nodes: int, graphs: int) -> Any:
    """Return uniform graphs of one density, bool (graphs, nodes, nodes)."""
    edges = edges_for_sparsity(nodes, 1 - density)
    return np.stack([generate("uniform", nodes, edges, seed).adjacency for seed in range(graphs)])


def compare(adjacency: Any, few: int, some: int, rounds: int) -> tuple[str, ...]:
    """Time the three sides in turn; networkx on the first few graphs, igraph on some."""
    bare = adjacency & ~np.eye(adjacency.shape[1], dtype=bool)
    slow = [nx.from_numpy_array(matrix.astype(np.uint8)) for matrix in bare[:few]]
    middle = [igraph.Graph.Adjacency(matrix, mode="undirected") for matrix in bare[:some]]
    names = tuple(NETWORKX)
    properties(adjacency[:2], names, threads=1)  # Warm: the first use compiles.
    best = [np.inf, np.inf, np.inf]
    for _ in range(rounds):
        started = time.perf_counter()
        theirs = {name: [float(call(g)) for g in slow] for name, call in NETWORKX.items()}
        best[0] = min(best[0], time.perf_counter() - started)
        started = time.perf_counter()
        others = {name: [float(call(g)) for g in middle] for name, call in IGRAPH.items()}
        best[1] = min(best[1], time.perf_counter() - started)
        for _ in range(5):
            started = time.perf_counter()
            ours = properties(adjacency, names, threads=1)
            best[2] = min(best[2], time.perf_counter() - started)
    rates = [few / best[0], some / best[1], len(adjacency) / best[2]]
    worst = max(
        float(np.abs(ours[name][: len(side[name])] - side[name]).max())
        for side in (theirs, others)
        for name in names
    )
    over = rates[2] / rates[0], rates[2] / rates[1]
    met = over[0] >= GOAL_NETWORKX and over[1] >= GOAL_IGRAPH
    return (
        f"{rates[0]:.1f}",
        f"{rates[1]:.0f}",
        f"{rates[2]:,.0f}",
        f"{over[0]:,.0f}",
        f"{over[1]:,.0f}",
        f"{worst:.1e}",
        "met" if met else "missed",
    )


def microseconds(adjacency: Any, name: str) -> float:
    """Return the time of one property a graph, packing included, the best of a few."""
    best = np.inf
    for _ in range(3):
        started = time.perf_counter()
        properties(adjacency, name, threads=1)
        best = min(best, time.perf_counter() - started)
    return best / len(adjacency) * 1e6


if __name__ == "__main__":
    main()
