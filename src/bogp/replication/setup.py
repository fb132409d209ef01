"""What a replication runs on: sizes, seeds, recipe, folder, data and graphs, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bogp.data import Dataset, load_dataset
from bogp.database import PAPER_SPARSITIES, GraphDatabase
from bogp.errors import SparsityError, UnknownNameError
from bogp.replication.jobs import Records
from bogp.training import Recipe, recipe
from bogp.types import Progress

READINGS = {"hidden": "hidden layer only", "all": "all layers"}
"""Which layers table 1 prunes: the paper does not say."""


@dataclass(frozen=True)
class Entry:
    """A model of the table of models: what it is called, made by, trained on and trained by."""

    label: str
    model: str
    data: str
    recipe: Recipe


@dataclass(frozen=True)
class Setup:
    """The sizes of a replication and where it is kept.

    Attributes:
        out: folder of records, tables and figures.
        data: name of the dataset.
        recipe_name: ``"written"`` or ``"calibrated"``.
        seeds: independent repetitions of everything.
        workers: processes.
        sparsities: the columns of table 1.
        database_sparsities: what the graph database holds: the columns of the paper's table 1,
            and two more for table 2, whose sparsest masks (0.98) are beyond the database that
            §6.3 describes (0.15 to 0.90).
        readings: which layers are pruned: ``"hidden"``, ``"all"``, or both.
        trials: masks trained by one search (the paper's 20).
        graphs: graphs a sparsity (the paper's 1000).
        nodes: nodes of a relational graph: one a hidden unit.
        width: hidden units (the paper's 128).
        alphas: the columns of table 2.
        variance_graphs: graphs in each comparison of between-graph with between-seed variance.
        figure_seeds: repetitions of each 5-node graph in figures 5 to 7.
        entries: the models of the table of models, each with its own data and recipe.
    """

    out: Path
    data: str = "mnist"
    recipe_name: str = "calibrated"
    seeds: int = 5
    workers: int = 2
    sparsities: tuple[float, ...] = PAPER_SPARSITIES
    database_sparsities: tuple[float, ...] = (*PAPER_SPARSITIES, 0.95, 0.98)
    readings: tuple[str, ...] = tuple(READINGS)
    trials: int = 20
    graphs: int = 1000
    nodes: int = 128
    width: int = 128
    alphas: tuple[float, ...] = (0.1, 0.15, 0.25, 0.5, 0.75, 0.9)
    variance_graphs: int = 16
    figure_seeds: int = 10
    entries: tuple[Entry, ...] = ()

    def narrowed(self, sparsities: Sequence[float], readings: Sequence[str]) -> Setup:
        """Return this set-up with only some columns and readings; with none given, all of them.

        Raises:
            SparsityError, UnknownNameError: one that is not replicated.
        """
        for sparsity in sparsities:
            if sparsity not in self.database_sparsities:
                held = ", ".join(f"{s:g}" for s in self.database_sparsities)
                raise SparsityError(f"sparsity {sparsity:g} is not replicated: choose from {held}")
        for reading in readings:
            if reading not in READINGS:
                raise UnknownNameError("reading of the layers", reading, READINGS)
        return replace(
            self,
            sparsities=tuple(sorted(set(sparsities or self.sparsities))),
            readings=tuple(dict.fromkeys(readings or self.readings)),
        )

    def quick(self) -> Setup:
        """Return this set-up cut to a size that runs in a minute or two: no evidence, a check."""
        return replace(
            self,
            seeds=min(self.seeds, 2),
            sparsities=(0.30, 0.90),
            database_sparsities=(0.30, 0.90, 0.95),
            trials=4,
            graphs=60,
            nodes=min(self.nodes, 32),
            alphas=(0.1, 0.5, 0.9),
            variance_graphs=8,
            figure_seeds=2,
        )

    @property
    def recipe(self) -> Recipe:
        """The training recipe."""
        return recipe(self.recipe_name)

    def shared(self, layers: str, protocol: str = "paper") -> dict[str, Any]:
        """Return the settings that all jobs of one reading have in common."""
        return {
            "data": self.data,
            "model": f"mlp:{self.width}",  # the paper's network: one hidden layer
            "layers": layers,
            "recipe": self.recipe,
            "protocol": protocol,
        }


@dataclass(frozen=True)
class Inputs:
    """What jobs are trained on: datasets by their names, and the graphs that searches choose from.

    Where no graphs are searched there is no database.
    """

    datasets: Mapping[str, Dataset]
    stored: GraphDatabase | None = None

    @property
    def database(self) -> GraphDatabase:
        """The database of the graphs that are searched."""
        assert self.stored is not None
        return self.stored


@dataclass(frozen=True)
class Run:
    """What was run: the set-up, what it was run on, and the records of its jobs."""

    setup: Setup
    inputs: Inputs
    records: Records

    @property
    def dataset(self) -> Dataset:
        """The dataset that all jobs have in common."""
        return self.inputs.datasets[self.setup.data]


def prepare(
    setup: Setup, plan: Mapping[str, Any] | None, progress: Progress | None = None
) -> tuple[Setup, Inputs]:
    """Load the data, and build the graph database or open it where it is built (algorithm 1).

    The relational graphs of a dataset of fewer features than ``setup.nodes`` have a node a feature.

    Args:
        setup: the set-up.
        plan: of the database: its family and, where not the default ones, its properties.
        progress: called with (graphs described, graphs in all).

    Returns:
        The set-up with the nodes that there are, and the inputs of its jobs.
    """
    names = [entry.data for entry in setup.entries] or [setup.data]
    datasets = {name: load_dataset(name) for name in dict.fromkeys(names)}
    if plan is None:
        return setup, Inputs(datasets)
    features = datasets[setup.data].features
    setup = replace(setup, nodes=min(setup.nodes, setup.width, features))
    database = GraphDatabase.build(
        setup.out / "work" / f"{plan['family']}.db",
        nodes=setup.nodes,
        sparsities=setup.database_sparsities,
        graphs=setup.graphs,
        shape=(setup.width, features),
        seed=0,
        progress=progress,
        **plan,
    )
    return setup, Inputs(datasets, database)
