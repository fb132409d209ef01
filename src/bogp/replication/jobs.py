"""Jobs: the trainings of an experiment, each recorded as it ends and never run twice."""

from __future__ import annotations

import functools
import hashlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bogp.data import Dataset, Split, load_dataset, split
from bogp.database import GraphDatabase
from bogp.errors import ConstantPropertyWarning, LayerCollapseWarning
from bogp.graphs import RelationalGraph, generate, properties
from bogp.keys import content_key, derive_seed
from bogp.pipeline import (
    GRAPH,
    METHODS,
    RANDOM,
    WINNER,
    SearchResult,
    TrainingResult,
    known_candidate,
    prune_and_train,
    prune_and_train_population,
    search,
    search_record,
)
from bogp.pruning import prune
from bogp.settings.search import SearchSettings
from bogp.training import Recipe, model_factory, relational_network

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Place:
    """Where a job finds its inputs; no field of it changes a result."""

    data: str
    studies: Path
    database: Path | None = None


@dataclass(frozen=True)
class Job:
    """One unit of an experiment.

    Attributes:
        kind: name of the function in :data:`KINDS` that runs it.
        fields: every setting that can change its result, as a JSON object.
        trainings: its cost, for the progress bar.
    """

    kind: str
    fields: Mapping[str, Any]
    trainings: int

    @property
    def key(self) -> str:
        """The key of the job's record."""
        return content_key({"kind": self.kind, **self.fields})


def search_job(
    database: GraphDatabase, dataset: Dataset, *, trials: int, finals: int, **settings: Any
) -> Job:
    """Return the job of one search (the fields of ``bogp.SearchSettings`` are its settings)."""
    fields = search_record(SearchSettings(**settings), dataset, database)
    return Job("search", fields | {"trials": trials, "finals": finals}, trials + finals)


def method_job(dataset: Dataset, name: str, **settings: Any) -> Job:
    """Return the job of one run of a baseline (see ``bogp.pipeline.METHODS``)."""
    method = METHODS[name]
    fields = {"name": name, "method": None if method is None else method.record()}
    return Job("method", _shared(dataset, settings) | fields, method.trainings if method else 1)


def methods_job(dataset: Dataset, name: str, *, runs: int, **settings: Any) -> Job:
    """Return the job of ``runs`` networks of one method, on the fresh seeds of a pool search.

    A search of the same seed trains its winner from the same initial weights on the same batches,
    so that the two are paired.
    """
    job = method_job(dataset, name, **settings)
    return Job("methods", {**job.fields, "runs": runs}, runs)


def pool_job(
    database: GraphDatabase, dataset: Dataset, *, trials: int, finals: int, **settings: Any
) -> Job:
    """Return the job of one pool search with its evidence (fields of ``bogp.PoolSettings``)."""
    fields = search_record(SearchSettings(**settings), dataset, database)
    return Job("pool", fields | {"trials": trials, "finals": finals}, 2 * trials + finals)


def prune_job(dataset: Dataset, *, trials: int, **settings: Any) -> Job:
    """Return the job of one search by :func:`bogp.prune`, without controls, on one fresh seed.

    A method's job of the same seed trains from the same initial weights on the same batches.
    """
    fields = {"trials": trials, "begin": "known"}
    return Job("prune", _shared(dataset, settings) | fields, trials + 3)


def graph_job(dataset: Dataset, **settings: Any) -> Job:
    """Return the job of training one generated graph's mask on one seed."""
    graph = _generate(settings)
    content = {"graph": hashlib.sha256(graph.packed()).hexdigest()}
    return Job("graph", _shared(dataset, settings) | content, 1)


def network_job(dataset: Dataset, **settings: Any) -> Job:
    """Return the job of training the network of a given relational graph on one seed."""
    return Job("network", _shared(dataset, settings), 1)


def _shared(dataset: Dataset, settings: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(settings)
    fields["recipe"] = settings["recipe"].model_dump()
    fields["dataset"] = {"name": dataset.name, "fingerprint": dataset.fingerprint}
    return fields


@functools.lru_cache(maxsize=2)
def _dataset(source: str) -> Dataset:
    return load_dataset(source)


@functools.lru_cache(maxsize=2)
def _split(source: str, protocol: str) -> Split:
    return split(_dataset(source), protocol, seed=0)


def _run_search(job: Job, place: Place, tick: Tick) -> dict[str, Any]:
    fields = dict(job.fields)
    trials, finals = fields.pop("trials"), fields.pop("finals")
    for derived in ("dataset", "database"):
        fields.pop(derived)
    done = 0

    def progress(now: int, total: int) -> None:
        nonlocal done
        tick(now - done)
        done = now

    assert place.database is not None
    with warnings.catch_warnings():
        # Hundreds of searches would each say what the report says once.
        warnings.simplefilter("ignore", ConstantPropertyWarning)
        result = search(
            place.database,
            _dataset(place.data),
            SearchSettings(trials=trials, final_seeds=finals, **fields),
            study=place.studies / f"{job.key}.db",
            progress=progress,
        )
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


def _measured(result: TrainingResult) -> dict[str, Any]:
    reported = result.reported
    assert reported is not None
    loss = reported.loss if math.isfinite(reported.loss) else None
    kept = {k: v for k, v in result.record().items() if k not in ("accuracies", "ended")}
    return kept | {"reported": {"accuracy": reported.accuracy, "loss": loss}}


def _run_method(job: Job, place: Place, tick: Tick) -> dict[str, Any]:
    fields = job.fields
    data, dataset = _split(place.data, fields["protocol"]), _dataset(place.data)
    seed = fields["seed"]
    known = known_candidate(fields["name"], fields["sparsity"], seed)
    result = prune_and_train(
        model_factory(fields["model"], dataset.shape, dataset.classes),
        data,
        Recipe(**fields["recipe"]),
        layers=fields["layers"],
        sparsity=known.sparsity,
        method=known.method,
        mask_seed=known.mask_seed,
        seed=seed,
        report=True,
    )
    tick(job.trainings)
    return _measured(result)


def _run_methods(job: Job, place: Place, tick: Tick) -> dict[str, Any]:
    fields = job.fields
    started = time.perf_counter()
    data, dataset = _split(place.data, fields["protocol"]), _dataset(place.data)
    factory = model_factory(fields["model"], dataset.shape, dataset.classes)
    measured, epochs = [], 0
    for number in range(fields["runs"]):
        # The seeds on which a pool search of this seed trains its winner.
        seed = derive_seed(fields["seed"], "final", number)
        (found,) = prune_and_train_population(
            factory,
            data,
            Recipe(**fields["recipe"]),
            [known_candidate(fields["name"], fields["sparsity"], seed)],
            seeds=[seed],
            layers=fields["layers"],
            order_seed=derive_seed(fields["seed"], "final order", number),
            report=True,
        )
        measured.append(_measured(found))
        epochs += found.epochs
        tick(1)
    return {
        "selected": [one["accuracy"] for one in measured],
        "reported": [one["reported"]["accuracy"] for one in measured],
        "sparsity": [one["sparsity"] for one in measured],
        **({"collapsed": emptied} if (emptied := _collapsed(measured)) else {}),
        "epochs": {"methods": epochs},
        "seconds": round(time.perf_counter() - started, 3),
    }


def _collapsed(measured: list[dict[str, Any]]) -> list[str]:
    """Return the layers that any of the networks has no weight of."""
    return sorted({name for one in measured for name in one.get("collapsed", ())})


def _run_pool(job: Job, place: Place, tick: Tick) -> dict[str, Any]:
    started = time.perf_counter()
    done = 0

    def progress(now: int, total: int) -> None:
        nonlocal done
        tick(now - done)
        done = now

    result = pool_result(job, place, progress)
    return _found(result) | {"seconds": round(time.perf_counter() - started, 3)}


def pool_result(
    job: Job, place: Place, progress: Callable[[int, int], None] | None = None
) -> SearchResult:
    """Run the search of a pool job, or return what it found: all of it is in its study."""
    fields = dict(job.fields)
    trials, finals = fields.pop("trials"), fields.pop("finals")
    for derived in ("dataset", "database"):
        fields.pop(derived)
    assert place.database is not None
    return search(
        place.database,
        _dataset(place.data),
        SearchSettings(trials=trials, final_seeds=finals, **fields),
        study=place.studies / f"{job.key}.db",
        progress=progress,
    )


def _found(result: SearchResult) -> dict[str, Any]:
    """Return what a pool search found, as a JSON object: its winner and the evidence."""
    evidence = result.evidence
    assert evidence is not None
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


def _run_prune(job: Job, place: Place, tick: Tick) -> dict[str, Any]:
    fields, started, done = job.fields, time.perf_counter(), 0

    def progress(now: int, total: int) -> None:
        nonlocal done
        tick(now - done)
        done = now

    with warnings.catch_warnings():
        # The record has the emptied layers, and the table's note counts them.
        warnings.simplefilter("ignore", LayerCollapseWarning)
        result = prune(
            fields["model"],
            _dataset(place.data),
            sparsity=fields["sparsity"],
            trials=fields["trials"],
            recipe=Recipe(**fields["recipe"]),
            layers=fields["layers"],
            final_seeds=1,
            controls=False,
            study=place.studies / f"{job.key}.db",
            seed=fields["seed"],
            progress=progress,
        )
    tick(max(0, job.trainings - done))
    record = result.record()
    return {
        "how": record["how"],
        "selected": [result.found.fresh.estimate],
        "reported": [result.pruned.estimate],
        "dense": [result.dense.estimate],
        "sparsity": [record["sparsity"]],
        "collapsed": record["collapsed"],
        "epochs": record["epochs"],
        "seconds": round(time.perf_counter() - started, 3),
    }


def _run_graph(job: Job, place: Place, tick: Tick) -> dict[str, Any]:
    fields = job.fields
    data, dataset = _split(place.data, fields["protocol"]), _dataset(place.data)
    graph = _generate(fields)
    outcome = prune_and_train(
        model_factory(fields["model"], dataset.shape, dataset.classes),
        data,
        Recipe(**fields["recipe"]),
        layers=fields["layers"],
        sparsity=fields["sparsity"],
        method=GRAPH,
        support=graph,
        mask_seed=fields["graph_seed"],
        seed=fields["seed"],
        report=True,
    )
    tick(1)
    return _measured(outcome) | {"properties": _values(graph, fields["properties"])}


def _run_network(job: Job, place: Place, tick: Tick) -> dict[str, Any]:
    fields = job.fields
    data, dataset = _split(place.data, fields["protocol"]), _dataset(place.data)
    graph = RelationalGraph.from_packed(bytes.fromhex(fields["graph"]), fields["nodes"])
    shape = (fields["rounds"], fields["width"], dataset.features, dataset.classes)
    _, mask = relational_network(graph, *shape)
    outcome = prune_and_train(
        lambda: relational_network(graph, *shape)[0],
        data,
        Recipe(**fields["recipe"]),
        layers="hidden",
        sparsity=mask.sparsity,
        method=GRAPH,
        support=mask,
        mask_seed=0,
        seed=derive_seed(fields["seed"], "network"),
        report=True,
    )
    tick(1)
    return _measured(outcome)


def _generate(fields: Mapping[str, Any]) -> RelationalGraph:
    return generate(fields["family"], fields["nodes"], fields["edges"], fields["graph_seed"])


def _values(graph: RelationalGraph, names: list[str]) -> dict[str, float]:
    batch = properties(graph.adjacency[None], names)
    return {name: float(values[0]) for name, values in batch.items()}


KINDS: dict[str, Callable[[Job, Place, Tick], dict[str, Any]]] = {
    "search": _run_search,
    "method": _run_method,
    "methods": _run_methods,
    "pool": _run_pool,
    "prune": _run_prune,
    "graph": _run_graph,
    "network": _run_network,
}


def run_job(job: Job, place: Place, tick: Tick) -> dict[str, Any]:
    """Run ``job`` and return its record: key, kind, fields and result."""
    result = KINDS[job.kind](job, place, tick)
    return {"key": job.key, "kind": job.kind, "fields": dict(job.fields), "result": result}
