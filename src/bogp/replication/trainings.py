"""The kinds of jobs: what decides each, and the call of the library that does it."""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bogp import SearchSettings
from bogp.errors import ConstantPropertyWarning, LayerCollapseWarning
from bogp.graphs import RelationalGraph, generate, properties
from bogp.keys import derive_seed
from bogp.pipeline import (
    RANDOM,
    WINNER,
    Candidate,
    Evidence,
    SearchResult,
    TrainingResult,
    known_candidate,
    narrower_for_sparsity,
    prune_and_train,
    prune_and_train_population,
    search,
    search_record,
)
from bogp.pruning import prune
from bogp.replication.jobs import Job
from bogp.replication.one_training import train_one
from bogp.replication.parts import dataset_of, split_of
from bogp.replication.setup import Inputs
from bogp.sparsify import METHODS, NARROWER
from bogp.sparsity import effective_sparsity
from bogp.training import ModelFactory, Recipe, model_factory, relational_network
from bogp.types import Progress

Result = dict[str, Any]
"""What a job gives, as a JSON object."""

# What a job is --------------------------------------------------------------------------------


def search_job(inputs: Inputs, *, data: str, trials: int, finals: int, **settings: Any) -> Job:
    """Return the job of one search, whose settings are those of ``bogp.SearchSettings``."""
    chosen = SearchSettings(trials=trials, final_seeds=finals, **settings)
    fields = search_record(chosen, inputs.datasets[data], inputs.database)
    fields |= {"trials": trials, "finals": finals}
    cost = finals + trials * (2 if chosen.engine == "pool" else 1)  # with random search beside
    return Job("search", fields, cost, data, Path(inputs.database.path))


def method_job(inputs: Inputs, name: str, **settings: Any) -> Job:
    """Return the job of one training by a method of ``bogp.sparsify.METHODS``.

    The fields of the narrower network hold its name.
    """
    method = METHODS[name]
    described = None if method is None else method.record()
    trainings = 1 if method is None else method.trainings
    if name == NARROWER:
        chosen = (settings[field] for field in ("layers", "sparsity"))
        dataset = inputs.datasets[settings["data"]]
        settings[NARROWER] = narrower_for_sparsity(settings["model"], dataset, *chosen).spec
    return _job("method", inputs, trainings, name=name, method=described, **settings)


def methods_job(inputs: Inputs, name: str, *, runs: int, **settings: Any) -> Job:
    """Return the job of ``runs`` networks of one method, on the fresh seeds of a search.

    A search of the same seed trains its winner from the same initial weights on the same batches,
    so that the two are paired.
    """
    job = method_job(inputs, name, **settings)
    return replace(job, kind="methods", fields={**job.fields, "runs": runs}, trainings=runs)


def prune_job(inputs: Inputs, *, trials: int, **settings: Any) -> Job:
    """Return the job of one search by :func:`bogp.prune`, without controls, on one fresh seed.

    A method's job of the same seed trains from the same initial weights on the same batches.
    """
    # Beside the trials: the winner, the dense network, two narrower ones, and the winner once more.
    return _job("prune", inputs, trials + 5, trials=trials, begin="known", **settings)


def graph_job(inputs: Inputs, **settings: Any) -> Job:
    """Return the job of one training of a generated graph's mask."""
    content = hashlib.sha256(_generated(settings).packed()).hexdigest()
    return _job("graph", inputs, graph=content, **settings)


def network_job(inputs: Inputs, **settings: Any) -> Job:
    """Return the job of one training of the network that a given relational graph wires."""
    return _job("network", inputs, **settings)


def _job(kind: str, inputs: Inputs, trainings: int = 1, *, data: str, **settings: Any) -> Job:
    dataset = inputs.datasets[data]
    described = {"name": dataset.name, "fingerprint": dataset.fingerprint}
    fields = {**settings, "recipe": settings["recipe"].model_dump(), "dataset": described}
    return Job(kind, fields, trainings, data)


# What does it ---------------------------------------------------------------------------------


def run_job(job: Job, studies: Path, progress: Progress) -> dict[str, Any]:
    """Do a job and return its record: key, kind, fields and result.

    Args:
        job: what to do.
        studies: folder of the studies of searches, each of which goes on where it stopped.
        progress: called with (trainings done, trainings in all) of the job.
    """
    started = time.perf_counter()
    with warnings.catch_warnings():
        # Hundreds of jobs would each say what the report says once.
        warnings.simplefilter("ignore", ConstantPropertyWarning)
        warnings.simplefilter("ignore", LayerCollapseWarning)
        result = KINDS[job.kind](job, studies, progress)
    result = {"seconds": round(time.perf_counter() - started, 3), **result}
    return {"key": job.key, "kind": job.kind, "fields": dict(job.fields), "result": result}


def search_result(job: Job, studies: Path, progress: Progress | None = None) -> SearchResult:
    """Do the search of a job, or return what it found: all of it is in its study."""
    fields = dict(job.fields)
    for described in ("dataset", "database"):
        fields.pop(described)
    fields |= {"final_seeds": fields.pop("finals"), "recipe": Recipe(**fields["recipe"])}
    assert job.database is not None
    return search(
        job.database,
        dataset_of(job.data),
        SearchSettings(**fields),
        study=studies / f"{job.key}.db",
        progress=progress,
    )


def _search(job: Job, studies: Path, progress: Progress) -> Result:
    result = search_result(job, studies, progress)
    if result.evidence is not None:
        return _with_evidence(result, result.evidence)
    kept = ("accuracy", "loss", "sparsity", "graph", "score", "proposed", "fetched", "seconds")
    return {
        "trials": [
            {"value": trial.value, **{name: trial.record[name] for name in kept}}
            for trial in result.trials
        ],
        "best": result.best.number,
        "value": result.best.value,
        "accuracy": result.best.record["accuracy"],
        "sparsity": result.best.record["sparsity"],
        "finals": [run.accuracy for run in result.finals],
        "seconds": round(result.seconds, 3),
    }


def _with_evidence(result: SearchResult, evidence: Evidence) -> Result:
    """Return what engine pool found: its trials, its winner, and what stands beside that."""
    kept = ("graph", "support", "criterion", "scope", "rounds", "sparsity")
    accuracies: dict[str, list[float]] = {}
    for run in evidence.runs:
        accuracies.setdefault(run.name, []).append(run.accuracy)
    finals, other = accuracies.pop(WINNER), accuracies.pop(RANDOM)
    return {
        "winner": {name: result.best.point[name] for name in kept},
        "trials": [
            {name: trial.point[name] for name in kept}
            | {"accuracy": trial.record["accuracy"], "stopped": trial.stopped}
            for trial in result.trials
        ],
        "selected": evidence.selected,
        "posterior": list(evidence.posterior),
        "shrunken": None if evidence.shrunken is None else asdict(evidence.shrunken),
        "conditional": None if evidence.conditional is None else asdict(evidence.conditional),
        "finals": finals,
        "random_finals": other,
        "controls": accuracies,
        "epochs": dict(result.epochs),
    }


def _method(job: Job, studies: Path, progress: Progress) -> Result:
    seed = job.fields["seed"]
    known = _known(job, seed)
    sparsity, mask_seed = known.sparsity, known.mask_seed
    return _trained(job, method=known.method, sparsity=sparsity, mask_seed=mask_seed, seed=seed)


def _methods(job: Job, studies: Path, progress: Progress) -> Result:
    fields, found = job.fields, list[TrainingResult]()
    for number in range(fields["runs"]):
        # The seeds on which a search of this seed trains its winner.
        seed = derive_seed(fields["seed"], "final", number)
        found += prune_and_train_population(
            _factory(job),
            split_of(job.data, fields["protocol"]),
            Recipe(**fields["recipe"]),
            [_known(job, seed)],
            seeds=[seed],
            layers=fields["layers"],
            order_seed=derive_seed(fields["seed"], "final order", number),
            report=True,
        )
        progress(number + 1, fields["runs"])
    emptied = sorted({name for one in found for name in one.collapsed})
    return {
        "selected": [one.selected.accuracy for one in found],
        "reported": [one.reported.accuracy for one in found if one.reported],
        "sparsity": [one.sparsity for one in found],
        "effective_sparsity": [effective_sparsity([one.record()]) for one in found],
        **({"collapsed": emptied} if emptied else {}),
        "epochs": {"methods": sum(one.epochs for one in found)},
    }


def _prune(job: Job, studies: Path, progress: Progress) -> Result:
    fields = job.fields
    result = prune(
        fields["model"],
        dataset_of(job.data),
        sparsity=fields["sparsity"],
        trials=fields["trials"],
        recipe=Recipe(**fields["recipe"]),
        layers=fields["layers"],
        final_seeds=1,
        controls=False,
        study=studies / f"{job.key}.db",
        seed=fields["seed"],
        progress=progress,
    )
    record = result.record()
    return {
        "how": record["how"],
        "selected": [result.found.fresh.estimate],
        "reported": [result.pruned.estimate],
        "dense": [result.dense.estimate],
        "sparsity": [record["sparsity"]],
        "effective_sparsity": [effective_sparsity([record])],
        "collapsed": record["collapsed"],
        "epochs": record["epochs"],
    }


def _graph(job: Job, studies: Path, progress: Progress) -> Result:
    graph = _generated(job.fields)
    seeds = {"mask_seed": job.fields["graph_seed"], "seed": job.fields["seed"]}
    described = properties(graph.adjacency[None], job.fields["properties"])
    values = {name: float(values[0]) for name, values in described.items()}
    return _trained(job, support=graph, **seeds) | {"properties": values}


def _network(job: Job, studies: Path, progress: Progress) -> Result:
    fields, dataset = job.fields, dataset_of(job.data)
    graph = RelationalGraph.from_packed(bytes.fromhex(fields["graph"]), fields["nodes"])
    shape = (fields["rounds"], fields["width"], dataset.features, dataset.classes)
    _, mask = relational_network(graph, *shape)
    return _trained(
        job,
        factory=lambda: relational_network(graph, *shape)[0],
        layers="hidden",
        sparsity=mask.sparsity,
        support=mask,
        seed=derive_seed(fields["seed"], "network"),
    )


KINDS: dict[str, Callable[[Job, Path, Progress], Result]] = {
    "search": _search,
    "method": _method,
    "methods": _methods,
    "prune": _prune,
    "graph": _graph,
    "network": _network,
    "training": lambda job, studies, progress: train_one(job),
}
"""Kind of job → what does it."""


def _trained(job: Job, *, factory: ModelFactory | None = None, **settings: Any) -> Result:
    """Return what one training gives: the numbers of its job, with those on the report data.

    The settings are those of :func:`bogp.prune_and_train` that are not in the job's fields.
    """
    fields = job.fields
    shared = {name: fields[name] for name in ("layers", "sparsity") if name in fields}
    found = prune_and_train(
        factory or _factory(job),
        split_of(job.data, fields["protocol"]),
        Recipe(**fields["recipe"]),
        **{**shared, **settings},
        report=True,
    )
    assert found.reported is not None
    record, loss = found.record(), found.reported.loss
    kept = ("accuracy", "loss", "examples", "sparsity", "mask", "epochs", "seconds", "diverged")
    return {
        **{name: record[name] for name in (*kept, "collapsed") if name in record},
        "effective_sparsity": effective_sparsity([record]),
        "reported": {
            "accuracy": found.reported.accuracy,
            "loss": loss if math.isfinite(loss) else None,
        },
    }


def _known(job: Job, seed: int) -> Candidate:
    """Return the candidate of a method's job, of the network that ``_factory`` makes."""
    fields = job.fields
    known = known_candidate(fields["name"], fields["sparsity"], seed, fields.get(NARROWER))
    return replace(known, model=None)


def _factory(job: Job) -> ModelFactory:
    dataset = dataset_of(job.data)
    model = job.fields.get(NARROWER, job.fields["model"])
    return model_factory(model, dataset.shape, dataset.classes)


def _generated(fields: Mapping[str, Any]) -> RelationalGraph:
    return generate(fields["family"], fields["nodes"], fields["edges"], fields["graph_seed"])
