"""A batch of graphs as rows of bits, and the intermediates that several properties share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bogp.graphs.engine import cuts, cycles, paths, spectra, triangles
from bogp.graphs.engine.bits import Rows, Values, pack


class Distances(NamedTuple):
    """What is needed of the shortest paths from each node, over the nodes it reaches.

    Each is float64 (graphs, nodes).
    """

    reached: Values
    """Number of nodes reached, the node itself included."""
    total: Values
    """Sum of the distances to them."""
    inverse: Values
    """Sum of 1 / distance over them, the node itself left out."""
    farthest: Values
    """Largest distance to one of them."""
    near: Values
    """Number of nodes at distance 2 or less, the node itself included."""


@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """Simple graphs of one size: ``rows`` uint64 (graphs, nodes, words), as ``engine.bits`` has it.

    Intermediates are computed by compiled kernels when first asked for, and kept. Each graph's are
    of that graph alone, so they do not depend on the batch it is in. :meth:`of` makes a batch of
    bool matrices.

    >>> batch = Batch.of(np.ones((2, 5, 5), dtype=bool))
    >>> batch.degree.tolist() == [[4.0] * 5] * 2
    True
    """

    rows: Rows

    @classmethod
    def of(cls, adjacency: Any, first: int = 0) -> Batch:
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
    def degree(self) -> Values:
        """Number of neighbours of each node, float64 (graphs, nodes)."""
        return triangles.degrees(self.rows)

    @cached_property
    def edges(self) -> Values:
        """Number of edges, float64 (graphs,)."""
        return node_sum(self.degree) / 2.0

    @cached_property
    def triangles(self) -> Values:
        """Number of triangles through each node, float64 (graphs, nodes)."""
        return triangles.triangles(self.rows)

    @cached_property
    def distances(self) -> Distances:
        """Number of nodes reached, near and far, and sums over the distances of each node."""
        return Distances(*paths.distances(self.rows))

    @cached_property
    def components(self) -> Values:
        """Number of connected components, float64 (graphs,)."""
        return cycles.component_counts(self.rows)

    @cached_property
    def girth(self) -> Values:
        """Length of the shortest cycle, 0 without one, float64 (graphs,)."""
        return cycles.girths(self.rows)

    @cached_property
    def edge_connectivity(self) -> Values:
        """Least number of edges whose removal disconnects the graph, float64 (graphs,)."""
        return cuts.edge_connectivities(self.rows, self.components, self.distances.near, True)

    @cached_property
    def leading_share(self) -> Values:
        """Share of the all-ones vector in the leading eigenspace, float64 (graphs,)."""
        return spectra.leading_shares(self.rows)

    @cached_property
    def eigenvalues(self) -> Values:
        """Eigenvalues of the adjacency matrix, ascending, float64 (graphs, nodes)."""
        return spectra.adjacency_spectra(self.rows)

    @cached_property
    def laplacian_eigenvalues(self) -> Values:
        """Eigenvalues of the Laplacian matrix, ascending, float64 (graphs, nodes)."""
        return spectra.laplacian_spectra(self.rows)


def node_sum(values: Values) -> Values:
    """Return the sum over nodes of ``values`` (graphs, nodes)."""
    return np.asarray(values.sum(axis=1), dtype=np.float64)


def node_mean(values: Values) -> Values:
    """Return the mean over nodes of ``values`` (graphs, nodes)."""
    return np.asarray(values.mean(axis=1), dtype=np.float64)


def ratio(above: Values, below: Values) -> Values:
    """Return ``above / below``, and 0 where ``below`` is 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
