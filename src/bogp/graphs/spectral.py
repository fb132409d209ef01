"""Properties of graphs that come of the eigenvalues of their matrices."""

from __future__ import annotations

import numpy as np

from bogp.graphs.batch import Batch
from bogp.graphs.engine.bits import Values


def eigenvector_centrality(batch: Batch) -> Values:
    """Return the mean entry of the unit, non-negative leading eigenvector (Bonacich 1987).

    It is largest, 1 / sqrt(n), on regular graphs, and falls as degrees spread. Disconnected: the
    component of the largest eigenvalue carries the vector; components that tie share it as the
    all-ones vector projected on their span does. Edgeless: 1 / sqrt(n). One node: 1.

    >>> eigenvector_centrality(Batch.of(np.ones((1, 4, 4)))).tolist()
    [0.5]
    """
    return np.sqrt(batch.leading_share / batch.nodes)


def spectral_radius(batch: Batch) -> Values:
    """Return the largest eigenvalue of the adjacency matrix (Collatz & Sinogowitz 1957).

    It lies between the mean and the largest degree. Disconnected: the largest over components.
    Edgeless or one node: 0.

    >>> spectral_radius(Batch.of(np.ones((1, 4, 4)))).round(9).tolist()
    [3.0]
    """
    return np.where(batch.edges > 0, batch.eigenvalues[:, -1], 0.0)


def spectral_gap(batch: Batch) -> Values:
    """Return the difference of the two largest eigenvalues of the adjacency matrix.

    Of a regular graph it equals the algebraic connectivity (Hoory, Linial & Wigderson 2006).
    Disconnected: 0 where two components tie for the largest eigenvalue, else above 0. Edgeless or
    one node: 0.

    >>> spectral_gap(Batch.of(np.ones((1, 4, 4)))).round(9).tolist()
    [4.0]
    """
    if batch.nodes == 1:
        return np.zeros(batch.graphs)
    gap = batch.eigenvalues[:, -1] - batch.eigenvalues[:, -2]
    return np.where(batch.edges > 0, gap, 0.0)


def ramanujan_gap(batch: Batch) -> Values:
    """Return 2 sqrt(d - 1) - mu, d the average degree, mu the second largest |eigenvalue|.

    The gap of Hoang et al. (2023), sqrt(d_L - 1) + sqrt(d_R - 1) - mu, of the bipartite double
    cover: node v on the left and w on the right are joined where v and w are, so both average
    degrees are d, the biadjacency matrix is the adjacency matrix without self-loops, and mu its
    second largest singular value. At 0 or above the cover is a Ramanujan graph. An average degree
    below 1 counts as 1 under the root. Disconnected: two components that tie give mu the largest
    eigenvalue. Edgeless or one node: 0.

    >>> ramanujan_gap(Batch.of(np.ones((1, 5, 5)))).round(3).tolist()
    [2.464]
    """
    if batch.nodes == 1:
        return np.zeros(batch.graphs)
    singular = np.sort(np.abs(batch.eigenvalues), axis=1)
    average = np.maximum(2.0 * batch.edges / batch.nodes, 1.0)
    return np.where(batch.edges > 0, 2.0 * np.sqrt(average - 1.0) - singular[:, -2], 0.0)


def algebraic_connectivity(batch: Batch) -> Values:
    """Return the second smallest eigenvalue of the Laplacian matrix, degrees - A (Fiedler 1973).

    Disconnected or edgeless: 0. One node: 0.

    >>> algebraic_connectivity(Batch.of(np.ones((1, 4, 4)))).round(9).tolist()
    [4.0]
    """
    if batch.nodes == 1:
        return np.zeros(batch.graphs)
    return np.where(batch.components == 1, batch.laplacian_eigenvalues[:, 1], 0.0)
