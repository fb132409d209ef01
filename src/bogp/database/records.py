"""What a graph database returns: graphs, nearest graphs, and how far properties reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from bogp.errors import DatabaseError
from bogp.graphs.property_vectors import constant_columns
from bogp.graphs.relational import RelationalGraph
from bogp.types import Floats


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


def ranges(names: Sequence[str], vectors: Floats) -> dict[str, Range]:
    """Return how far each column of ``vectors`` (graphs, names) reaches; empty without a graph.

    >>> ranges(["girth"], np.array([[3.0], [5.0]]))
    {'girth': Range(minimum=3.0, median=4.0, maximum=5.0, sd=1.0, constant=False)}
    """
    if len(vectors) == 0:
        return {}
    constant = constant_columns(vectors)
    columns = zip(
        names,
        vectors.min(axis=0).tolist(),
        np.median(vectors, axis=0).tolist(),
        vectors.max(axis=0).tolist(),
        np.where(constant, 0.0, vectors.std(axis=0)).tolist(),  # and not its rounding
        constant.tolist(),
        strict=True,
    )
    return {name: Range(*numbers) for name, *numbers in columns}


def no_graphs(what: str) -> DatabaseError:
    """Return the error of asking for ``what`` where only property vectors are known."""
    return DatabaseError(
        f"{what} is known by its properties alone: import a table with the column adjacency to "
        "have graphs"
    )
