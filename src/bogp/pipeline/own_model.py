"""Prune a network of the user's own: by a search or one method, with evidence and the network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bogp.analysis import Interval, mean_interval
from bogp.controls import Bound
from bogp.criteria import criterion
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.errors import RecipeError, SettingError, StudyError
from bogp.graphs import RelationalGraph
from bogp.masks import Mask, PrunableLayer, prunable_layers
from bogp.pipeline.candidate import Candidate
from bogp.pipeline.evidence import WINNER, Comparison, comparisons
from bogp.pipeline.finals import DENSE, ByMask, Contender, Final
from bogp.pipeline.first_mask import mask_before, untrained
from bogp.pipeline.given import network_factory
from bogp.pipeline.narrowing import narrower_for_mask, why_no_narrower
from bogp.pipeline.pool_search import PoolStudy, open_pool_study, run_pool_search
from bogp.pipeline.pool_space import INFORMATIVE
from bogp.pipeline.records import training_record
from bogp.pipeline.results import SearchResult
from bogp.pipeline.session import open_session
from bogp.pipeline.sharing import Group, graph_groups, one_graph
from bogp.pipeline.space import CandidateSpace, Point
from bogp.pipeline.workers import open_workers
from bogp.settings.search import Execution, SearchSettings
from bogp.sparsify import Method, Support, drawn_support, support_record, support_words
from bogp.sparsify.supports import carries
from bogp.training import ModelFactory, Narrower, initialise
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
        comparisons: what else stood beside: narrower networks, random search, controls.
        narrower: the narrower networks among them, by name.
        left_out: what could not stand beside, and why.
        search: what chose the mask, if a search did.
        epochs: training spent, in epochs, by what it was spent on.
        links: the adjacency (nodes, nodes) of the graph that bounds the mask, several side by side;
            None of the complete support.
        bound: names of the layers that a graph bounds.
        before: the mask before training, inside which or from which it moved
            (:func:`bogp.pipeline.first_mask.mask_before`); None where that was every weight.
        inside: the support in words; empty without one, and of a search.
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
    narrower: Mapping[str, Narrower]
    left_out: Mapping[str, str]
    search: SearchResult | None
    epochs: Mapping[str, int]
    links: BoolArray | None = None
    bound: tuple[str, ...] = ()
    before: Mask | None = None
    inside: str = ""


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
    settings: SearchSettings,
    execution: Execution,
    *,
    controls: bool = True,
) -> PrunedNetwork:
    """Search for the mask, then train it beside what it must beat, on fresh seeds."""
    with open_pool_study(database, dataset, settings, execution, command=_COMMAND) as opened:
        found = run_pool_search(
            opened,
            beside=lambda best: [_dense(opened, best.rounds)],
            by_mask=lambda best: _narrower(opened, best.rounds),
            controls=controls,
        )
        assert found.evidence is not None
        evidence, point = found.evidence, opened.space.points[found.best.point["index"]]
        winner = opened.contender(WINNER, point)
        kept = found.mask, found.weights
        runs = evidence.runs, evidence.left_out
        return _network(opened, winner, point, *kept, *runs, found, found.epochs)


def prune_by_method(
    dataset: Dataset,
    settings: SearchSettings,
    method: Method,
    execution: Execution,
    *,
    support: Support = None,
    controls: bool = True,
) -> PrunedNetwork:
    """Prune by one method; train it beside the dense and the narrower networks."""
    assert settings.sparsity is not None
    scored_by = criterion(method.criterion).name
    point = Point(None, 0.0, scored_by, method.scope, method.rounds, settings.sparsity)
    space = CandidateSpace((point,), ("sparsity",), np.zeros((1, 1)), (0,))
    with open_workers(dataset, workers=execution.workers) as workers:
        fields = {
            **training_record(settings, workers.dataset),
            "sparsity": settings.sparsity,
            "controls": controls,
            "method": method.record(),
            **({} if support is None else {"support": support_record(support)}),
        }
        factory = network_factory(settings.model, workers.dataset)
        # The error of a mask that cannot be made, before there is a study.
        tried = Candidate(support, method, settings.sparsity)
        untrained(factory, workers.dataset, settings, tried)
        with open_session(
            workers,
            settings,
            execution,
            fields,
            lambda _: (settings.final_seeds, 0),
            shown=space.ranges(),
            command=_COMMAND,
        ) as session:
            opened = PoolStudy(
                settings,
                session,
                space,
                lambda one: support if one == point else None,
                workers.dataset,
                factory,
                fields,
            )
            winner = opened.contender(WINNER, point, method)
            # A lottery ticket is what one training makes of it: those before only chose the mask.
            trainings = 1 if method.rewind else method.trainings
            whole = _dense(opened, trainings)
            finals = opened.finals(controls, _narrower(opened, trainings)).run([winner, whole])
            kept = finals.masks[WINNER], finals.weights.get(WINNER)
            spent = {"fresh seeds and controls": finals.epochs}
            runs = finals.runs, finals.left_out
            return _network(opened, winner, point, *kept, *runs, None, spent)


_COMMAND = {"made_by": "bogp prune"}
"""What the study of a model of one's own notes: `bogp study resume` cannot make the model."""


def _dense(opened: PoolStudy, trainings: int) -> Contender:
    """Return the contender that keeps every weight, through as many trainings as the winner."""
    return opened.contender(DENSE, Point(None, 0.0, "random", "uniform", trainings, 0.0))


def _narrower(opened: PoolStudy, trainings: int) -> ByMask | None:
    """Return what gives the narrower networks beside the dense one, trained as often.

    A network that bogp cannot shrink has none.
    """
    source = opened.settings.model
    if why_no_narrower(source) is not None:
        return None
    whole = _dense(opened, trainings)

    def contender(name: str, spec: str) -> Contender:
        record = [whole.record, spec]
        return Contender(name, record, lambda seed: replace(whole.candidate(seed), model=spec))

    def by_mask(mask: Mask) -> list[Contender]:
        found = narrower_for_mask(source, opened.dataset, mask)
        return [contender(name, one.spec) for name, one in found.items()]

    return by_mask


def _network(
    opened: PoolStudy,
    winner: Contender,
    point: Point,
    mask: Mask | None,
    weights: Mapping[str, Tensor] | None,
    runs: Sequence[Final],
    left_out: Mapping[str, str],
    search: SearchResult | None,
    epochs: Mapping[str, int],
) -> PrunedNetwork:
    """Sum up, with the network of the first fresh seed.

    It is trained once more where another process trained it, and only its mask is in the study.
    """
    own = [run for run in runs if run.name == WINNER]
    beside = {entry.name: entry for entry in comparisons(runs, left_out)}
    whole = beside.pop(DENSE)
    candidate = winner.candidate(own[0].seed)
    spent = dict(epochs)
    if weights is None:
        finals = opened.finals(controls=False)
        (again,), _ = finals.train([(candidate, own[0].seed)], own[0].number, "network", "again")
        mask, weights = again.mask, again.weights
        spent["the network that is returned"] = again.epochs
    assert mask is not None
    assert weights is not None
    if mask.fingerprint != own[0].mask:
        raise StudyError(
            "the winner's mask came out otherwise than when it was measured: the model or the data "
            "have changed since, or the study is from another machine; begin another study"
        )
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise RecipeError(
            f"the pruned network's training diverged: lower the learning rate from "
            f"{opened.settings.recipe.learning_rate}, or look for what makes its outputs NaN"
        )
    support = drawn_support(candidate.support, tuple(mask), candidate.mask_seed)
    graph = one_graph(support)
    source = opened.settings.model
    why = why_no_narrower(source)
    smaller = {} if why is not None else narrower_for_mask(source, opened.dataset, mask)
    return PrunedNetwork(
        fields=opened.fields,
        point=point,
        method=candidate.method,
        mask=mask,
        state=weights,
        runs=tuple(runs),
        pruned=mean_interval([run.accuracy for run in own]),
        dense=whole.accuracy,
        fresh=mean_interval([run.selected for run in own]),
        lead=whole.lead,
        comparisons=tuple(({name: beside[name] for name in smaller} | beside).values()),
        narrower=smaller,
        left_out={**({} if why is None else {"narrower network": why}), **left_out},
        search=search,
        epochs=spent,
        links=None if graph is None else graph.adjacency,
        bound=() if graph is None else _bound(support, graph, mask, opened.factory),
        before=mask_before(opened.factory, opened.dataset, opened.settings, candidate, own[0].seed),
        inside="" if search or candidate.support is None else support_words(candidate.support),
    )


def _bound(
    support: Bound, graph: RelationalGraph, mask: Mask, factory: ModelFactory
) -> tuple[str, ...]:
    """Return the layers that have a graph and can carry it."""
    if isinstance(support, Mapping):
        return tuple(name for name in mask if isinstance(support.get(name), RelationalGraph))
    model = initialise(factory, 0)
    able = {layer.name for layer in prunable_layers(model) if carries(layer, graph.nodes)}
    return tuple(name for name in mask if name in able)
