"""What a graph database answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bogp.graphs.relational import RelationalGraph


@dataclass(frozen=True)
class GraphRecord:
    """One graph of a database: how it was made and what it is."""

    id: int
    sparsity: float
    family: str
    parameters: dict[str, Any]
    seed: int
    edges: int  # undirected, self-loops not counted
    graph: RelationalGraph
    properties: dict[str, float]
    mask: torch.Tensor | None  # bool (out_features, in_features), family random_mask only


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


def unpack_mask(mask: bytes, shape: tuple[int, int]) -> torch.Tensor:
    """Return packed bits as a bool mask (out, in)."""
    bits = np.unpackbits(np.frombuffer(mask, dtype=np.uint8), count=shape[0] * shape[1])
    return torch.from_numpy(bits.astype(np.bool_)).reshape(shape)
