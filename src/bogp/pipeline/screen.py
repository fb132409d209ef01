"""Screening: train many graphs of a database in populations, the poorer ones only for a while."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bogp.analysis import RankCorrelation, rank_correlation
from bogp.data import Dataset, Split, load_dataset, split
from bogp.database import GraphDatabase
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.pipeline.populations import prune_and_train_population
from bogp.pipeline.pruning import Support
from bogp.study import Study
from bogp.training import Candidate, Halving, Recipe, model_factory, recipe
from bogp.types import Progress


@dataclass(frozen=True)
class ScreenSettings:
    """Every choice of a screening that can change its result.

    Attributes:
        sparsity: of the graphs that are screened.
        graphs: how many, drawn at random from the database; None takes them all.
        population: candidates that are trained together and compared with each other.
        rungs: epochs after which only the best go on; none trains every candidate to its end.
        keep: share of the candidates that go on at a rung.
        model, layers, recipe, protocol: as in :class:`bogp.SearchSettings`.
        seed: master seed.
    """

    sparsity: float
    graphs: int | None = 64
    population: int = 16
    rungs: tuple[int, ...] = ()
    keep: float = 0.5
    model: str = "mlp:128"
    layers: str = "hidden"
    recipe: Recipe | str = "calibrated"
    protocol: str = "holdout"
    seed: int = 0

    def fields(self, dataset: Dataset, database: GraphDatabase) -> dict[str, Any]:
        """Return every field that can change a result, as a JSON object."""
        return asdict(self) | {
            "kind": "screen",
            "rungs": list(self.rungs),
            "recipe": recipe(self.recipe).model_dump(),
            "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "database": dict(database.plan.rows()),
        }

    @property
    def halving(self) -> Halving | None:
        """The halving, if there are rungs."""
        return Halving(self.rungs, self.keep) if self.rungs else None


@dataclass(frozen=True)
class Screened:
    """One graph of a screening.

    ``accuracies`` are on the data that selects, one an epoch that it ran; ``accuracy`` is the last
    of them and ``loss`` goes with it; ``losses`` are the mean training losses, one an epoch. A loss
    that was no number is None. ``ended`` says why its training did: "whole", "rung" or "patience".
    """

    graph: int
    accuracy: float
    loss: float | None
    losses: tuple[float | None, ...]
    accuracies: tuple[float, ...]
    ended: str
    diverged: bool
    mask: str

    @property
    def stopped(self) -> bool:
        """Whether a rung ended its training: its last accuracy is no final one."""
        return self.ended == "rung"


@dataclass(frozen=True)
class Screening:
    """A finished screening: its graphs, best first, and what training them cost."""

    settings: dict[str, Any]
    graphs: tuple[Screened, ...]
    epochs: int
    seconds: float

    @property
    def full_epochs(self) -> int:
        """What training every graph to its end would have cost, in epochs."""
        return len(self.graphs) * int(self.settings["recipe"]["epochs"])

    def correlations(self) -> tuple[RankCorrelation, ...]:
        """Return Spearman's correlation of the accuracy after epoch 1, 2, … with the final one.

        Graphs that a rung stopped have no final accuracy and do not count, so with rungs it is that
        of the survivors, which is lower than that of all: screen without rungs to see what a rung
        would have missed. A graph counts for the epochs before its last.
        """
        whole = [graph.accuracies for graph in self.graphs if not graph.stopped]
        found = []
        for epoch in range(max(map(len, whole), default=1) - 1):
            pairs = [(one[epoch], one[-1]) for one in whole if len(one) > epoch + 1]
            if len(pairs) < _FEWEST:
                break
            early, final = np.array(pairs).T
            found.append(rank_correlation(early, final, seed=0))
        return tuple(found)


_FEWEST = 4
"""Graphs of a rank correlation."""


def screen(
    database: GraphDatabase | str | os.PathLike[str],
    data: Dataset | str = "mnist",
    *,
    study: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **settings: Any,
) -> Screening:
    """Train many graphs of a database at once and rank them.

    Populations are trained one after another and each is in ``study`` before the next begins; the
    same call resumes. A graph's result depends on its own seeds and, with rungs, on whom its
    population compares it with: never on memory, threads or devices beyond rounding.

    Args:
        database: a graph database or its file.
        data: a dataset or its name.
        study: file of the study; None keeps it in memory.
        device: where to train: ``"cpu"``, ``"cuda"``, …; it changes results by rounding alone.
        progress: called with (epochs done, epochs in all), stopped ones counted as done.
        settings: the fields of :class:`ScreenSettings`.

    Returns:
        The graphs, best first by their last accuracy, stopped ones after all that ran to the end.

    Raises:
        SettingError: a setting is unknown or out of range.
        DatabaseError, SparsityError: the database has no graphs of that sparsity.
        StudyError: the study was made with other settings, or is in use.
    """
    if isinstance(database, (str, os.PathLike)):
        with GraphDatabase.open(database) as opened:
            return screen(opened, data, study=study, device=device, progress=progress, **settings)
    unknown = sorted(set(settings) - set(ScreenSettings.__dataclass_fields__))
    if unknown:
        raise SettingError(
            f"screen has no setting {unknown[0]!r}: "
            f"it has {', '.join(ScreenSettings.__dataclass_fields__)}"
        )
    chosen = ScreenSettings(**settings)
    ids = _sample(database, chosen)
    _ = chosen.halving  # refused here, before there is a study that was made with it
    dataset = load_dataset(data) if isinstance(data, str) else data
    parts = split(dataset, chosen.protocol, seed=0).to(device)
    fields = chosen.fields(dataset, database)
    rows: list[Screened] = []
    seconds = 0.0
    with Study(study, fields) as opened_study:
        for number, start in enumerate(range(0, len(ids), chosen.population)):
            group = ids[start : start + chosen.population]
            stored = opened_study.noted(f"population {number}")
            if stored is None:
                report = _part(progress, start, len(group), len(ids), chosen)
                started = time.perf_counter()
                found = _train(database, dataset, parts, chosen, group, report)
                spent = round(time.perf_counter() - started, 3)
                stored = {"seconds": spent, "graphs": [asdict(row) for row in found]}
                opened_study.note(f"population {number}", stored)
            rows += [_screened(row) for row in stored["graphs"]]
            seconds += stored["seconds"]
            if progress is not None:
                epochs = recipe(chosen.recipe).epochs
                progress(len(rows) * epochs, len(ids) * epochs)
    best = sorted(rows, key=lambda row: (row.diverged, row.stopped, -row.accuracy, row.graph))
    return Screening(fields, tuple(best), sum(len(row.losses) for row in rows), seconds)


def _sample(database: GraphDatabase, chosen: ScreenSettings) -> list[int]:
    """Return the ids of the graphs to screen, in random order."""
    for name, value in (("graphs", chosen.graphs), ("population", chosen.population)):
        if value is not None and value < 1:
            raise SettingError(f"{name} = {value} is below 1: give at least one")
    ids, _ = database.vectors(database.names[:1], sparsity=chosen.sparsity)
    order = np.random.default_rng(derive_seed(chosen.seed, "screen")).permutation(ids)
    wanted = len(ids) if chosen.graphs is None else chosen.graphs
    if wanted > len(ids):
        raise SettingError(
            f"{wanted} graphs are more than the {len(ids)} of sparsity {chosen.sparsity:g} in "
            f"{str(database.path)!r}: ask for fewer, or build a larger database"
        )
    return [int(graph) for graph in order[:wanted]]


def _train(
    database: GraphDatabase,
    dataset: Dataset,
    parts: Split,
    chosen: ScreenSettings,
    group: Sequence[int],
    progress: Progress | None,
) -> list[Screened]:
    records = [database.record(graph) for graph in group]
    supports: list[Support] = [r.graph if r.mask is None else r.mask for r in records]
    found = prune_and_train_population(
        model_factory(chosen.model, dataset.shape, dataset.classes),
        parts,
        recipe(chosen.recipe),
        supports,
        seeds=[derive_seed(chosen.seed, "screened", graph) for graph in group],
        mask_seeds=[derive_seed(chosen.seed, "mask", graph) for graph in group],
        sparsity=records[0].sparsity,
        layers=chosen.layers,
        order_seed=derive_seed(chosen.seed, "order"),
        halving=chosen.halving,
        progress=progress,
    )
    pairs = zip(group, found.candidates, strict=True)
    return [_result(graph, candidate) for graph, candidate in pairs]


def _result(graph: int, candidate: Candidate) -> Screened:
    return Screened(
        graph,
        candidate.metrics.accuracy,
        candidate.metrics.loss if math.isfinite(candidate.metrics.loss) else None,
        tuple(loss if math.isfinite(loss) else None for loss in candidate.losses),
        candidate.accuracies,
        candidate.ended,
        candidate.diverged,
        "" if candidate.mask is None else candidate.mask.fingerprint,
    )


def _screened(stored: dict[str, Any]) -> Screened:
    lists = {name: tuple(stored[name]) for name in ("losses", "accuracies")}
    return Screened(**(stored | lists))


def _part(
    progress: Progress | None, before: int, group: int, every: int, chosen: ScreenSettings
) -> Progress | None:
    epochs = recipe(chosen.recipe).epochs
    if progress is None:
        return None
    return lambda done, _: progress(before * epochs + min(done, group * epochs), every * epochs)
