"""What a graph database answers with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from bogp.errors import DatabaseError
from bogp.graphs.relational import RelationalGraph


@dataclass(frozen=True)
class GraphRecord:
    """One graph of a database: how it was made and what it is.

    ``seed`` and ``edges`` are None, and ``graph`` raises, where a table was imported without them.
    """

    id: int
    sparsity: float
    family: str
    parameters: dict[str, Any]
    seed: int | None
    edges: int | None  # undirected, self-loops not counted
    nodes: int
    packed: bytes | None = field(repr=False)  # RelationalGraph.packed()
    properties: dict[str, float]
    mask: torch.Tensor | None  # bool (out_features, in_features), family random_mask only

    @cached_property
    def graph(self) -> RelationalGraph:
        """The graph itself.

        Raises:
            DatabaseError: the database was imported from a table without graphs.
        """
        if self.packed is None:
            raise no_graphs(f"graph {self.id}")
        return RelationalGraph.from_packed(self.packed, self.nodes)


@dataclass(frozen=True)
class Neighbour:
    """One graph that :meth:`GraphDatabase.nearest` found."""

    id: int
    score: float  # cosine similarity, or distance
    vector: dict[str, float]  # its values of the properties asked for


@dataclass(frozen=True)
class Range:
    """How far a property reaches over a set of graphs."""

    minimum: float
    median: float
    maximum: float
    sd: float  # of the population
    constant: bool


def no_graphs(what: str) -> DatabaseError:
    """Return the error of asking for ``what`` where only property vectors are known."""
    return DatabaseError(
        f"{what} is known by its properties alone: import a table with the column adjacency to "
        "have graphs"
    )


def unpack_mask(mask: bytes, shape: tuple[int, int]) -> torch.Tensor:
    """Return packed bits as a bool mask (out, in)."""
    bits = np.unpackbits(np.frombuffer(mask, dtype=np.uint8), count=shape[0] * shape[1])
    return torch.from_numpy(bits.astype(np.bool_)).reshape(shape)
