"""The jobs of each table, figure and claim of the paper."""

from __future__ import annotations

import networkx as nx
import numpy as np

from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.graphs import CANDIDATES, RelationalGraph, edges_for_sparsity
from bogp.keys import derive_seed
from bogp.replication.jobs import Job, graph_job, method_job, network_job, search_job
from bogp.replication.setup import Setup

MIXED = (
    "uniform",
    "ws_flex",
    "barabasi_albert",
    "random_regular",
    "stochastic_block",
    "ring_lattice",
    "core_periphery",
    "random_geometric",
)
"""The families of the second comparison of variances: wiring as different as one can make it."""

FIGURE_PROPERTIES = ("clustering", "average_shortest_path_length", "eigenvector_centrality")
"""The properties of the paper's figures 5, 6 and 7."""

ROUNDS = 3
"""Hidden layers of the network of figures 5 to 7 (the paper's §3)."""


def searches(setup: Setup, dataset: Dataset, database: GraphDatabase) -> list[Job]:
    """Return the searches of table 1: every sparsity, reading and seed.

    Random search stands beside the paper's engine in the first reading: one is enough to tell
    whether optimisation gains anything.
    """
    return [
        search_job(
            database,
            dataset,
            engine=engine,
            sparsity=sparsity,
            seed=seed,
            trials=setup.trials,
            finals=1,
            **setup.shared(layers),
        )
        for layers in setup.readings
        for engine in (("paper", "random") if layers == setup.readings[0] else ("paper",))
        for sparsity in setup.sparsities
        for seed in range(setup.seeds)
    ]


def baselines(setup: Setup, dataset: Dataset) -> list[Job]:
    """Return the dense network and the four baselines of table 1.

    With one layer to prune, global and uniform scope are the same thing: Glob is run, and stands
    for Unif.
    """
    dense = [
        method_job(dataset, "dense", sparsity=None, seed=seed, **setup.shared("hidden"))
        for seed in range(setup.seeds)
    ]
    pruned = [
        method_job(dataset, name, sparsity=sparsity, seed=seed, **setup.shared(layers))
        for layers in setup.readings
        for name in (("glob1", "glob5") if layers == "hidden" else METHOD_NAMES)
        for sparsity in setup.sparsities
        for seed in range(setup.seeds)
    ]
    return dense + pruned


METHOD_NAMES = ("glob1", "glob5", "unif1", "unif5")


def tradeoffs(setup: Setup, dataset: Dataset, database: GraphDatabase) -> list[Job]:
    """Return the searches of table 2: f2 at each alpha, over all sparsities."""
    return [
        search_job(
            database,
            dataset,
            alpha=alpha,
            seed=seed,
            trials=setup.trials,
            finals=1,
            **setup.shared("hidden"),
        )
        for alpha in setup.alphas
        for seed in range(setup.seeds)
    ]


def metric_sparsities(setup: Setup) -> tuple[float, ...]:
    """Return the sparsities at which cosine, L1 and L2 are compared: the two highest."""
    return tuple(sorted(setup.sparsities)[-2:])


def metrics(setup: Setup, dataset: Dataset, database: GraphDatabase) -> list[Job]:
    """Return the searches with L1 and L2 in place of cosine (whose runs are table 1's)."""
    return [
        search_job(
            database,
            dataset,
            engine="paper",
            sparsity=sparsity,
            seed=seed,
            metric=metric,
            trials=setup.trials,
            finals=1,
            **setup.shared("hidden"),
        )
        for metric in ("l1", "l2")
        for sparsity in metric_sparsities(setup)
        for seed in range(setup.seeds)
    ]


def variance_cases(setup: Setup) -> list[tuple[str, tuple[str, ...], float]]:
    """Return the comparisons of variances: name, families, sparsity."""
    sparsities = sorted(setup.sparsities)
    high = sparsities[-1]
    middle = sparsities[max(0, min(len(sparsities) // 2, len(sparsities) - 2))]
    uniform = [
        (f"uniform graphs, s = {s:g}", ("uniform",), s) for s in dict.fromkeys((high, middle))
    ]
    return [*uniform, (f"{len(MIXED)} families, s = {high:g}", MIXED, high)]


def variances(setup: Setup, dataset: Dataset) -> list[Job]:
    """Return graphs × seeds at fixed sparsity: uniform graphs, and a mix of families."""
    jobs = [
        variance_job(setup, dataset, families[number % len(families)], sparsity, number, seed)
        for _, families, sparsity in variance_cases(setup)
        for number in range(setup.variance_graphs)
        for seed in range(setup.seeds)
    ]
    return list({job.key: job for job in jobs}.values())


def variance_job(
    setup: Setup, dataset: Dataset, family: str, sparsity: float, number: int, seed: int
) -> Job:
    """Return the training of graph ``number`` of ``family`` on ``seed``."""
    edges = edges_for_sparsity(setup.nodes, sparsity, setup.width, dataset.features)
    return graph_job(
        dataset,
        family=family,
        nodes=setup.nodes,
        edges=edges,
        sparsity=sparsity,
        graph_seed=derive_seed(0, "variance", family, sparsity, number),
        seed=derive_seed(seed, "variance", family, sparsity, number),
        properties=list(CANDIDATES),
        **setup.shared("hidden"),
    )


def five_node_graphs() -> list[RelationalGraph]:
    """Return all connected graphs of five nodes, one of each isomorphism class (21 of them)."""
    atlas = nx.graph_atlas_g()
    five = [graph for graph in atlas if graph.number_of_nodes() == 5 and nx.is_connected(graph)]
    return [RelationalGraph.from_networkx(graph) for graph in five]


def networks(setup: Setup, dataset: Dataset) -> list[Job]:
    """Return the trainings of figures 5 to 7: every 5-node graph as a 3-hidden-layer network.

    Which node owns which pixels is an accident of the numbering, so that each seed numbers the
    nodes anew.
    """
    return [
        network_job(
            dataset,
            graph=relabelled(graph, derive_seed(seed, "labels", number)).packed().hex(),
            atlas=number,
            nodes=graph.nodes,
            rounds=ROUNDS,
            width=setup.width,
            seed=seed,
            protocol="paper",
            recipe=setup.recipe,
        )
        for number, graph in enumerate(five_node_graphs())
        for seed in range(setup.figure_seeds)
    ]


def relabelled(graph: RelationalGraph, seed: int) -> RelationalGraph:
    """Return ``graph`` with its nodes numbered anew."""
    order = np.random.default_rng(seed).permutation(graph.nodes)
    return RelationalGraph(graph.adjacency[np.ix_(order, order)])
