"""A job that is one training, wholly said by its fields: data, network, method, support, recipe."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bogp.data import Split
from bogp.graphs import RelationalGraph, edges_for_sparsity, generate, properties
from bogp.keys import derive_seed
from bogp.masks import Granularity, choose_layers
from bogp.pipeline import TrainingResult, prune_and_train
from bogp.replication.jobs import Job
from bogp.replication.parts import dataset_of, split_of
from bogp.replication.setup import Entry, Inputs
from bogp.sparsify import GRAPH, Method, Moves
from bogp.training import Recipe, initialise, model_factory

AXES = ("clustering", "average_shortest_path_length")
"""The properties of a graph that its records hold."""


def training_job(
    inputs: Inputs,
    entry: Entry,
    *,
    name: str,
    layers: str,
    seed: int,
    method: Method | None = None,
    sparsity: float | None = None,
    network: str | None = None,
    support: Mapping[str, Any] | None = None,
    examples: int | None = None,
    shuffled: bool = False,
    epochs: int | None = None,
) -> Job:
    """Return the job of one network, whose epochs are those of its entry's recipe in all.

    Args:
        inputs: holds the dataset.
        entry: the network that is pruned, its data and recipe.
        name: of the row that the network belongs to.
        layers: which are pruned, or count where nothing is.
        seed: everything random is derived from it: weights, batches, mask, graph, pixels.
        method: prunes it; one of several trainings divides the epochs among them. None is dense.
        sparsity: share of the weights to remove, or that a narrower network lacks.
        network: the narrower network that is trained in place of the entry's.
        support: what :func:`support_graph` takes, beside the seed, and the ``kind`` that rows know
            it by; None bounds the mask by nothing.
        examples: the first so many training examples are used, and all inputs standardised by the
            mean and standard deviation of all their values; None leaves the data as it is.
        shuffled: whether the features are permuted, all examples' in the same way.
        epochs: in place of the recipe's.
    """
    dataset = inputs.datasets[entry.data]
    every = epochs or entry.recipe.epochs
    each = every // (1 if method is None else method.trainings)
    fields = {
        "name": name,
        "method": None if method is None else method.record(),
        "model": entry.model,
        "network": network,
        "layers": layers,
        "sparsity": sparsity,
        "support": support,
        "graph": None if support is None else _content(support, seed),
        "epochs": every,
        "recipe": entry.recipe.model_copy(update={"epochs": each}).model_dump(),
        "protocol": "holdout",
        "examples": examples,
        "shuffled": shuffled,
        "seed": seed,
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
    }
    return Job("training", fields, 1, entry.data)


def support_graph(support: Mapping[str, Any], seed: int) -> RelationalGraph:
    """Return the graph that a seed draws: of a family, with so many nodes, of a density.

    The density is that of its mask, self-loops among it, by the least number of edges that reaches
    it.
    """
    nodes = support["nodes"]
    edges = edges_for_sparsity(nodes, 1.0 - support["density"])
    drawn = derive_seed(seed, "support")
    return generate(support["family"], nodes, edges, drawn, **support["parameters"])


def _content(support: Mapping[str, Any], seed: int) -> str:
    return hashlib.sha256(support_graph(support, seed).packed()).hexdigest()


def train_one(job: Job) -> dict[str, Any]:
    """Do the job and return its numbers."""
    fields, seed = job.fields, job.fields["seed"]
    parts = _prepared(job.data, fields["protocol"], fields["examples"])
    if fields["shuffled"]:
        parts = shuffled(parts, derive_seed(seed, "pixels"))
    data = dataset_of(job.data)
    method = None if fields["method"] is None else method_of(fields["method"])
    graph = None if fields["support"] is None else support_graph(fields["support"], seed)
    found = prune_and_train(
        model_factory(fields["network"] or fields["model"], data.shape, data.classes),
        parts,
        Recipe(**fields["recipe"]),
        layers=fields["layers"],
        sparsity=None if method is None else fields["sparsity"],
        method=method or GRAPH,
        support=graph,
        mask_seed=derive_seed(seed, "mask"),
        seed=seed,
        report=True,
    )
    assert found.reported is not None
    record = found.record()
    kept = ("accuracy", "loss", "examples", "mask", "epochs", "seconds", "diverged", "collapsed")
    return {
        **{name: record[name] for name in kept if name in record},
        "reported": found.reported.accuracy,
        **_size(job, found),
        **({} if graph is None else {"properties": _properties(graph)}),
    }


def _size(job: Job, found: TrainingResult) -> dict[str, Any]:
    """Return how many weights there are, the sparsities, and the output channels in use a layer."""
    if found.mask is None:
        assert found.model is not None
        data = dataset_of(job.data)
        dense = initialise(model_factory(job.fields["model"], data.shape, data.classes), 0)
        counts = [
            sum(
                net.get_parameter(name).numel() for name in choose_layers(net, job.fields["layers"])
            )
            for net in (found.model, dense)
        ]
        missing = 1.0 - counts[0] / counts[1]
        return {"weights": counts[0], "sparsity": missing, "effective_sparsity": missing}
    assert found.structure is not None
    return {
        "weights": found.mask.kept,
        "sparsity": found.mask.sparsity,
        "effective_sparsity": found.structure.effective_sparsity,
        "widths": [int(layer.flatten(1).any(1).sum()) for layer in found.mask.values()],
    }


def _properties(graph: RelationalGraph) -> dict[str, float | None]:
    described = properties(graph.adjacency[None], AXES)
    found = {name: float(values[0]) for name, values in described.items()}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def method_of(record: Mapping[str, Any]) -> Method:
    """Return the method of a record, whose criteria are names.

    >>> method_of(Method("snip", moves=Moves(every=5)).record()).moves.every
    5
    """
    parts: dict[str, Any] = dict(record)
    for name, kind in (("moves", Moves), ("granularity", Granularity)):
        if name in parts:
            parts[name] = kind(**parts[name])
    return Method(**parts)


@functools.lru_cache(maxsize=2)
def _prepared(source: str, protocol: str, examples: int | None) -> Split:
    """Return the parts of a dataset with the first training examples, standardised; or as it is."""
    parts = split_of(source, protocol)
    if examples is None:
        return parts
    train = parts.train_inputs[:examples]
    mean, deviation = train.mean(), train.std()
    return replace(
        parts,
        train_inputs=(train - mean) / deviation,
        train_targets=parts.train_targets[:examples],
        select_inputs=(parts.select_inputs - mean) / deviation,
        report_inputs=(parts.report_inputs - mean) / deviation,
    )


def shuffled(parts: Split, seed: int) -> Split:
    """Return the parts with the features of every example permuted in the same way.

    What is sorted is PCG64's raw output, which numpy promises never to change.
    """
    shape = parts.train_inputs.shape[1:]
    raw = np.random.PCG64(seed).random_raw(shape.numel())
    order = torch.from_numpy(np.argsort(raw, kind="stable"))
    moved = {
        name: getattr(parts, name).flatten(1)[:, order].unflatten(1, shape)
        for name in ("train_inputs", "select_inputs", "report_inputs")
    }
    return replace(parts, **moved)
