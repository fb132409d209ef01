"""A batch of graphs as rows of bits, with what several properties are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bogp.graphs.kernels import cycles, paths, spectra, triangles
from bogp.graphs.kernels.bits import Rows, pack
from bogp.types import Floats


class Distances(NamedTuple):
    """Sums over the nodes that each node reaches by a path, float64 (graphs, nodes) each."""

    reached: Floats
    """Number of nodes reached, the node itself included."""
    total: Floats
    """Sum of the distances to them."""
    inverse: Floats
    """Sum of 1 / distance over them, the node itself left out."""
    farthest: Floats
    """Largest distance to one of them."""
    near: Floats
    """Number of nodes at distance 2 or less, the node itself included."""


@dataclass(frozen=True, eq=False, repr=False)
class GraphBatch:
    """Simple graphs of one size: ``rows`` is uint64 (graphs, nodes, words), as ``bits`` has it.

    What properties share is computed by compiled kernels when it is first asked for, and kept. A
    graph's numbers come from that graph alone, so they do not depend on the batch that it is in.

    >>> GraphBatch.of([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]]).degree.tolist()
    [[1.0, 2.0, 1.0]]
    """

    rows: Rows

    @classmethod
    def of(cls, adjacency: Any, first: int = 0) -> GraphBatch:
        """Return the batch of a bool array (graphs, nodes, nodes), self-loops stripped.

        Errors count graphs from ``first``.

        Raises:
            GraphError: the array is not three-dimensional, square and symmetric, or holds values
                other than 0 and 1.
        """
        return cls(pack(adjacency, first))

    @property
    def graphs(self) -> int:
        """Number of graphs."""
        return int(self.rows.shape[0])

    @property
    def nodes(self) -> int:
        """Number of nodes of each graph."""
        return int(self.rows.shape[1])

    @cached_property
    def degree(self) -> Floats:
        """Number of neighbours of each node, float64 (graphs, nodes)."""
        return triangles.degrees(self.rows)

    @property
    def edges(self) -> Floats:
        """Number of edges, float64 (graphs,)."""
        return np.asarray(self.degree.sum(axis=1), dtype=np.float64) / 2.0

    @cached_property
    def triangles(self) -> Floats:
        """Number of triangles through each node, float64 (graphs, nodes)."""
        return triangles.triangles(self.rows)

    @cached_property
    def distances(self) -> Distances:
        """Number of nodes that each node reaches, near and far, and sums over the distances."""
        return Distances(*paths.distances(self.rows))

    @cached_property
    def components(self) -> Floats:
        """Number of connected components, float64 (graphs,)."""
        return cycles.component_counts(self.rows)

    @cached_property
    def girth(self) -> Floats:
        """Length of the shortest cycle, 0 without one, float64 (graphs,)."""
        return cycles.girths(self.rows)

    @cached_property
    def eigenvalues(self) -> Floats:
        """Eigenvalues of the adjacency matrix, ascending, float64 (graphs, nodes)."""
        return spectra.adjacency_spectra(self.rows)
