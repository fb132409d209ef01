"""Prune a network of the user's own: by a search or one method, with evidence and the network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bogp.analysis import Interval, mean_interval
from bogp.criteria import criterion
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.errors import RecipeError, SettingError, StudyError
from bogp.graphs import RelationalGraph
from bogp.keys import derive_seed
from bogp.masks import Mask, PrunableLayer, prunable_layers
from bogp.pipeline.bench import Bench, Counter, Work
from bogp.pipeline.evidence import WINNER, Comparison, comparisons
from bogp.pipeline.finals import DENSE, Contender, Final, dense, run_finals
from bogp.pipeline.given import network_factory
from bogp.pipeline.methods import Method
from bogp.pipeline.pool_search import INFORMATIVE, opened_bench, run_pool_search
from bogp.pipeline.pool_settings import PoolSettings
from bogp.pipeline.results import SearchResult, study_name
from bogp.pipeline.sharing import Group, graph_groups, one_graph
from bogp.pipeline.space import CandidateSpace, Point
from bogp.pipeline.supports import Support, carries
from bogp.pipeline.workers import evaluator
from bogp.study import Study
from bogp.training import initialise, recipe
from bogp.types import BoolArray

GRAPHS = 64
"""Graphs of each density that a search of one's own network chooses among."""

SUPPORTS = (1.25, 2.5, 5.0)
"""Densities of the supports, in multiples of the kept one: a graph that is nearly the mask, and
those inside which SNIP did best on MNIST (2.5 to 5 times)."""

_DENSEST = 0.9
"""A support that keeps more is hardly one."""


@dataclass(frozen=True)
class PrunedNetwork:
    """What pruning a network of one's own came to.

    Attributes:
        fields: every setting that can change a result, as a JSON object.
        point, method: how the mask is chosen.
        mask: of the network on the first fresh seed.
        state: the network's state dict, trained, pruned weights exactly zero.
        runs: all networks on fresh seeds.
        pruned, dense: accuracy on the report data over the fresh seeds.
        fresh: accuracy of the pruned network on the data that selects.
        lead: pruned − dense, paired by seed.
        comparisons: what else stood beside, the controls among it.
        left_out: controls that do not apply, and why.
        search: what chose the mask, if a search did.
        epochs: training spent, in epochs, by what it was spent on.
        links: the adjacency (nodes, nodes) of the graph that bounds the mask, several side by side;
            None of the complete support.
        bound: names of the layers that a graph bounds.
    """

    fields: Mapping[str, Any]
    point: Point
    method: Method
    mask: Mask
    state: Mapping[str, Tensor]
    runs: tuple[Final, ...]
    pruned: Interval
    dense: Interval
    fresh: Interval
    lead: Interval
    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, str]
    search: SearchResult | None
    epochs: Mapping[str, int]
    links: BoolArray | None = None
    bound: tuple[str, ...] = ()


def support_sparsities(sparsity: float) -> tuple[float, ...]:
    """Return the sparsities of the graphs among which a search at ``sparsity`` chooses.

    >>> support_sparsities(0.9), support_sparsities(0.5)
    ((0.5, 0.75, 0.875), (0.375,))
    """
    density = 1.0 - sparsity
    found = {round(1.0 - factor * density, 6) for factor in SUPPORTS if factor * density < _DENSEST}
    return tuple(sorted(found)) or (round(sparsity / 2, 6),)


@contextmanager
def graphs_for(
    layers: Sequence[PrunableLayer], share: str, sparsity: float, nodes: int | None, seed: int
) -> Iterator[GraphDatabase]:
    """Open a database of graphs for the layers, for as long as the block runs.

    Raises:
        SettingError: no layer has channels enough for a graph.
    """
    groups: tuple[Group, ...] = graph_groups(layers, share, nodes)
    if not groups:
        widest = max(layers, key=lambda layer: min(layer.outputs, layer.inputs))
        raise SettingError(
            f"no layer can carry a graph of {nodes or 4} nodes: the widest, {widest.name!r}, has "
            f"{widest.outputs} outputs and {widest.inputs} inputs; prune by a method, 'snip' say"
            + (", or with fewer nodes" if nodes else "")
        )
    with tempfile.TemporaryDirectory(prefix="bogp-graphs-") as folder:
        built = GraphDatabase.build(
            Path(folder) / "graphs.db",
            nodes=groups[0].nodes,
            shape=groups[0].shape,
            sparsities=support_sparsities(sparsity),
            graphs=GRAPHS,
            names=INFORMATIVE,
            seed=seed,
        )
        with built:
            yield built


def prune_by_search(
    database: GraphDatabase,
    dataset: Dataset,
    settings: PoolSettings,
    work: Work,
    *,
    trials: int,
    final_seeds: int,
    controls: bool = True,
) -> PrunedNetwork:
    """Search for the mask, then train winner, dense network and controls on fresh seeds."""
    with opened_bench(
        database, dataset, settings, work, trials=trials, final_seeds=final_seeds
    ) as bench:
        found = run_pool_search(
            bench, trials, final_seeds, beside=lambda best: [dense(best.rounds)], controls=controls
        )
        assert found.evidence is not None
        winner = Contender(WINNER, bench.space.points[found.best.point["index"]])
        runs, left_out = found.evidence.runs, found.evidence.left_out
        return _network(bench, winner, runs, left_out, found, found.epochs)


def prune_by_method(
    dataset: Dataset,
    settings: PoolSettings,
    method: Method,
    work: Work,
    *,
    final_seeds: int,
    controls: bool = True,
) -> PrunedNetwork:
    """Prune by one method on the complete support; train it beside the dense network."""
    assert settings.sparsity is not None
    scored_by = criterion(method.criterion).name
    point = Point(None, 0.0, scored_by, method.scope, method.rounds, settings.sparsity)
    space = CandidateSpace((point,), ("sparsity",), np.zeros((1, 1)), (0,))
    with evaluator(dataset, workers=work.workers) as evaluate:
        fields = _fields(settings, method, evaluate.dataset)
        with Study(
            work.study,
            fields,
            name=study_name(work.name, fields),
            objectives=("accuracy",),
            space=space.ranges(),
            retries=work.retries,
        ) as study:
            study.note("command", dict(work.command))
            bench = Bench(
                settings,
                space,
                lambda _: None,
                evaluate.data,
                study,
                evaluate,
                Counter(work.progress, final_seeds),
                fields=fields,
            )
            winner = Contender(WINNER, point, method)
            # A lottery ticket is what one training makes of it: those before only chose the mask.
            whole = dense(1 if method.rewind else method.trainings)
            finals = run_finals(bench, [winner, whole], final_seeds, controls=controls)
            spent = {"fresh seeds and controls": finals.epochs}
            return _network(bench, winner, finals.runs, finals.left_out, None, spent)


def _fields(settings: PoolSettings, method: Method, dataset: Dataset) -> dict[str, Any]:
    """Return what decides the result of one method: nothing of the search."""
    names = (
        *("model", "model_fingerprint", "layers", "recipe", "sparsity", "protocol", "seed"),
        *("dataset", "device", "random_arm"),  # the last: whether there are controls
    )
    known = settings.described(dataset)
    return {name: known[name] for name in names if name in known} | {"method": method.record()}


def _network(
    bench: Bench,
    winner: Contender,
    runs: Sequence[Final],
    left_out: Mapping[str, str],
    search: SearchResult | None,
    epochs: Mapping[str, int],
) -> PrunedNetwork:
    """Train the network of the first fresh seed once more, to keep it, and sum up."""
    settings = bench.settings
    own = [run for run in runs if run.name == WINNER]
    beside = comparisons(runs, left_out)
    whole = next(entry for entry in beside if entry.name == DENSE)
    plan = bench.plan(winner.point, own[0].seed, winner.method)
    order = derive_seed(settings.seed, "final order", own[0].number)
    (kept,) = bench.evaluator.submit(bench.task([plan], order, keep=True)).result()
    assert kept.mask is not None
    assert kept.weights is not None
    if kept.diverged:
        raise RecipeError(
            f"the pruned network's training diverged: lower the learning rate from "
            f"{recipe(settings.recipe).learning_rate}, or look for what makes its outputs NaN"
        )
    if kept.mask.fingerprint != own[0].mask:
        raise StudyError(
            "the winner's mask came out otherwise than when it was measured: the model or the data "
            "have changed since, or the study is from another machine; begin another study"
        )
    graph = one_graph(plan.support)
    return PrunedNetwork(
        fields=bench.fields,
        point=winner.point,
        method=plan.method,
        mask=kept.mask,
        state=kept.weights,
        runs=tuple(runs),
        pruned=mean_interval([run.accuracy for run in own]),
        dense=whole.accuracy,
        fresh=mean_interval([run.selected for run in own]),
        lead=whole.lead,
        comparisons=tuple(entry for entry in beside if entry.name != DENSE),
        left_out=dict(left_out),
        search=search,
        epochs=dict(epochs) | {"the network that is returned": kept.epochs},
        links=None if graph is None else graph.adjacency,
        bound=() if graph is None else _bound(plan.support, graph, kept.mask, bench),
    )


def _bound(support: Support, graph: RelationalGraph, mask: Mask, bench: Bench) -> tuple[str, ...]:
    """Return the layers that have a graph and can carry it."""
    if isinstance(support, Mapping):
        return tuple(name for name in mask if name in support)
    model = initialise(network_factory(bench.settings.model, bench.evaluator.dataset), 0)
    able = {layer.name for layer in prunable_layers(model) if carries(layer, graph.nodes)}
    return tuple(name for name in mask if name in able)
