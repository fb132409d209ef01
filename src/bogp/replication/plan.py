"""The jobs of each table, figure and claim of the paper."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np

from bogp.graphs import CANDIDATES, RelationalGraph, edges_for_sparsity
from bogp.keys import derive_seed
from bogp.replication.jobs import Job
from bogp.replication.setup import Inputs, Setup
from bogp.replication.trainings import graph_job, method_job, network_job, search_job

METHOD_NAMES = ("glob1", "glob5", "unif1", "unif5")
"""The baselines of table 1."""

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

ROUNDS = 3
"""Hidden layers of the network of figures 5 to 7 (the paper's §3)."""


def table1_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the jobs of table 1: the dense network, the four baselines and the searches.

    With one layer to prune, global and uniform scope are the same thing: Glob is run, and stands
    for Unif. Random search stands beside the paper's engine in the first reading: one is enough to
    tell whether optimisation gains anything.
    """
    dense = [
        method_job(inputs, "dense", sparsity=None, seed=seed, **setup.shared("hidden"))
        for seed in range(setup.seeds)
    ]
    pruned = [
        method_job(inputs, name, sparsity=sparsity, seed=seed, **setup.shared(layers))
        for layers in setup.readings
        for name in (("glob1", "glob5") if layers == "hidden" else METHOD_NAMES)
        for sparsity in setup.sparsities
        for seed in range(setup.seeds)
    ]
    searches = [
        _search(setup, inputs, layers, engine=engine, sparsity=sparsity, seed=seed)
        for layers in setup.readings
        for engine in (("paper", "random") if layers == setup.readings[0] else ("paper",))
        for sparsity in setup.sparsities
        for seed in range(setup.seeds)
    ]
    return dense + pruned + searches


def table2_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the searches of table 2: f2 at each alpha, over all sparsities."""
    return [
        _search(setup, inputs, "hidden", engine="paper", alpha=alpha, seed=seed)
        for alpha in setup.alphas
        for seed in range(setup.seeds)
    ]


def metric_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the searches with L1 and L2 in place of cosine (whose runs are table 1's)."""
    return [
        _search(setup, inputs, "hidden", engine="paper", sparsity=s, seed=seed, metric=metric)
        for metric in ("l1", "l2")
        for s in metric_sparsities(setup)
        for seed in range(setup.seeds)
    ]


def metric_sparsities(setup: Setup) -> tuple[float, ...]:
    """Return the sparsities at which cosine, L1 and L2 are compared: the two highest."""
    return tuple(sorted(setup.sparsities)[-2:])


def _search(setup: Setup, inputs: Inputs, layers: str, **settings: Any) -> Job:
    return search_job(inputs, trials=setup.trials, finals=1, **settings, **setup.shared(layers))


def variance_cases(setup: Setup) -> list[tuple[str, tuple[str, ...], float]]:
    """Return the comparisons of variances: name, families, sparsity."""
    sparsities = sorted(setup.sparsities)
    high = sparsities[-1]
    middle = sparsities[max(0, min(len(sparsities) // 2, len(sparsities) - 2))]
    uniform = [
        (f"uniform graphs, s = {s:g}", ("uniform",), s) for s in dict.fromkeys((high, middle))
    ]
    return [*uniform, (f"{len(MIXED)} families, s = {high:g}", MIXED, high)]


def variance_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return graphs × seeds at fixed sparsity: uniform graphs, and a mix of families."""
    jobs = [
        job
        for _, families, sparsity in variance_cases(setup)
        for row in variance_case_jobs(setup, inputs, families, sparsity)
        for job in row
    ]
    return list({job.key: job for job in jobs}.values())


def variance_case_jobs(
    setup: Setup, inputs: Inputs, families: tuple[str, ...], sparsity: float
) -> list[list[Job]]:
    """Return the jobs of one comparison of variances: a row a graph, in it a job a seed."""
    edges = edges_for_sparsity(
        setup.nodes, sparsity, setup.width, inputs.datasets[setup.data].features
    )
    rows = []
    for number in range(setup.variance_graphs):
        family = families[number % len(families)]
        label = ("variance", family, sparsity, number)
        graph = {"family": family, "nodes": setup.nodes, "edges": edges, "sparsity": sparsity}
        graph |= {"graph_seed": derive_seed(0, *label), "properties": list(CANDIDATES)}
        rows.append(
            [
                graph_job(inputs, seed=derive_seed(seed, *label), **graph, **setup.shared("hidden"))
                for seed in range(setup.seeds)
            ]
        )
    return rows


def network_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the trainings of figures 5 to 7: every 5-node graph as a 3-hidden-layer network.

    Which node owns which pixels is an accident of the numbering, so that each seed numbers the
    nodes anew.
    """
    return [
        network_job(
            inputs,
            data=setup.data,
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


def five_node_graphs() -> list[RelationalGraph]:
    """Return all connected graphs of five nodes, one of each isomorphism class (21 of them)."""
    atlas = nx.graph_atlas_g()
    five = [graph for graph in atlas if graph.number_of_nodes() == 5 and nx.is_connected(graph)]
    return [RelationalGraph.from_networkx(graph) for graph in five]


def relabelled(graph: RelationalGraph, seed: int) -> RelationalGraph:
    """Return ``graph`` with its nodes numbered anew."""
    order = np.random.default_rng(seed).permutation(graph.nodes)
    return RelationalGraph(graph.adjacency[np.ix_(order, order)])
