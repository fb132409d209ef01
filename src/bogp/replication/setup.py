"""What a replication runs on: sizes, seeds, recipe and folders, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bogp.data import Dataset, load_dataset
from bogp.database import PAPER_SPARSITIES, GraphDatabase
from bogp.errors import SettingError, SparsityError, UnknownNameError
from bogp.graphs import CANDIDATES
from bogp.replication.jobs import Place
from bogp.training import Recipe, recipe
from bogp.types import Progress

DATABASE_PROPERTIES = (*CANDIDATES, "cycle_length")
"""What the replication's database stores. The keys of all its records hash the database's plan, so
neither these names nor the family, ``uniform``, follow the defaults of a new database."""


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
    """

    out: Path
    data: str = "mnist"
    recipe_name: str = "calibrated"
    seeds: int = 5
    workers: int = 2
    sparsities: tuple[float, ...] = PAPER_SPARSITIES
    database_sparsities: tuple[float, ...] = (*PAPER_SPARSITIES, 0.95, 0.98)
    readings: tuple[str, ...] = ("hidden", "all")
    trials: int = 20
    graphs: int = 1000
    nodes: int = 128
    width: int = 128
    alphas: tuple[float, ...] = (0.1, 0.15, 0.25, 0.5, 0.75, 0.9)
    variance_graphs: int = 16
    figure_seeds: int = 10

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.workers < 1:
            raise SettingError(
                f"{self.seeds} seeds on {self.workers} workers: give at least one of each"
            )
        self.recipe  # noqa: B018  An unknown recipe is refused here, before any work.
        for reading in self.readings:
            if reading not in ("hidden", "all"):
                raise UnknownNameError("reading of the layers", reading, ("hidden", "all"))
        for sparsity in self.sparsities:
            if sparsity not in self.database_sparsities:
                held = ", ".join(f"{s:g}" for s in self.database_sparsities)
                raise SparsityError(f"sparsity {sparsity:g} is not replicated: choose from {held}")

    def narrowed(self, sparsities: Sequence[float] | None, readings: Sequence[str] | None) -> Setup:
        """Return this set-up with only some columns and readings of table 1.

        Raises:
            SparsityError, UnknownNameError: one that is not replicated.
        """
        return replace(
            self,
            sparsities=tuple(sorted(set(sparsities or self.sparsities))),
            readings=tuple(dict.fromkeys(readings or self.readings)),
        )

    @property
    def recipe(self) -> Recipe:
        """The training recipe."""
        return recipe(self.recipe_name)

    @property
    def model(self) -> str:
        """The paper's network: one hidden layer."""
        return f"mlp:{self.width}"

    @property
    def place(self) -> Place:
        """Where jobs find data, database and studies."""
        return Place(self.data, self.out / "work" / "studies", self.out / "work" / "graphs.db")

    def dataset(self) -> Dataset:
        """Return the dataset (loaded anew at each call)."""
        return load_dataset(self.data)

    def database(self, dataset: Dataset, progress: Progress | None = None) -> GraphDatabase:
        """Build the graph database, or open it where it is already built (algorithm 1)."""
        path = self.place.database
        assert path is not None
        return GraphDatabase.build(
            path,
            nodes=self.nodes,
            sparsities=self.database_sparsities,
            graphs=self.graphs,
            family="uniform",
            shape=(self.width, dataset.features),
            seed=0,
            names=DATABASE_PROPERTIES,
            progress=progress,
        )

    def shared(self, layers: str, protocol: str = "paper") -> dict[str, Any]:
        """Return the settings that all jobs of one reading have in common."""
        return {
            "model": self.model,
            "layers": layers,
            "recipe": self.recipe,
            "protocol": protocol,
        }


def quick(setup: Setup) -> Setup:
    """Return ``setup`` cut to a size that runs in a minute or two: a check, not evidence."""
    return replace(
        setup,
        seeds=min(setup.seeds, 2),
        sparsities=(0.30, 0.90),
        database_sparsities=(0.30, 0.90, 0.95),
        trials=4,
        graphs=60,
        nodes=min(setup.nodes, 32),
        alphas=(0.1, 0.5, 0.9),
        variance_graphs=8,
        figure_seeds=2,
    )
