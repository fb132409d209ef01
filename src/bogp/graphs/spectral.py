"""The leading eigenvector of many adjacency matrices."""

from __future__ import annotations

import numpy as np

from bogp.graphs.batch import Batch, FloatArray

_STAGES, _ROUNDS, _STEPS = 4, 4, 8
"""Power iteration: stages, each with the fourth power of the matrix of the one before; checks of
convergence in a stage; products between two checks."""

_CHANGE = 1e-13
"""Largest change of a unit vector in one product that counts as converged.

A mode whose eigenvalue is a share r of the leading one shrinks by r a product, so the part of it
left is at most _CHANGE / (1 - r); a mode too slow to have shrunk by then must have been that small
from the start, and enters the mean entry squared."""

_TIE = 1e-9
"""Eigenvalues within this share of the leading one are the same eigenvalue."""


def leading_eigenvectors(batch: Batch) -> FloatArray:
    """Return the unit, non-negative leading eigenvector of each graph, float64 (graphs, nodes).

    Where the leading eigenvalue belongs to several vectors (components of equal eigenvalue, or no
    edges at all) it is the all-ones vector projected on their span and normalised: the one choice
    that treats all nodes alike, so that relabelling nodes relabels the vector. Power iteration
    from the all-ones vector has this limit; it goes on with powers of the matrix where the leading
    eigenvalues are close (ring-like graphs), and where that is not enough decomposes in full.
    """
    graphs, nodes = batch.graphs, batch.nodes
    result = np.full((graphs, nodes), 1.0 / np.sqrt(max(nodes, 1)))
    active = np.arange(graphs)
    # The identity keeps the eigenvectors and makes -lambda of a bipartite graph the smaller one.
    matrix = batch.joined.astype(np.float64) + np.eye(nodes)
    for stage in range(_STAGES):
        if stage:
            matrix = _fourth_power(matrix)
        for _ in range(_ROUNDS):
            vector, change = _iterate(matrix, result[active])
            result[active] = vector
            going = change > _CHANGE
            if not going.all():
                active, matrix = active[going], matrix[going]
            if not len(active):
                return result
    result[active] = _decomposed(batch.joined[active].astype(np.float64))
    return result


def _iterate(matrix: FloatArray, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return unit vectors (graphs, nodes) after a round, and the change in its last product."""
    column = vector[:, :, None]
    for _ in range(_STEPS - 1):
        column = matrix @ column
    column = column / np.linalg.norm(column, axis=1, keepdims=True)
    after: FloatArray = matrix @ column
    after /= np.linalg.norm(after, axis=1, keepdims=True)
    return after[:, :, 0], np.asarray(np.linalg.norm(after - column, axis=(1, 2)))


def _fourth_power(matrix: FloatArray) -> FloatArray:
    """Return the fourth power of each matrix, scaled so that its largest entry is 1."""
    power = matrix
    for _ in range(2):
        power = power @ power
        power = power / power.max(axis=(1, 2), keepdims=True)
    return power


def _decomposed(matrix: FloatArray) -> FloatArray:
    """Return the same vectors by full decomposition of ``matrix`` (graphs, nodes, nodes)."""
    values, vectors = np.linalg.eigh(matrix)
    leading = values >= values[:, -1:] * (1.0 - _TIE)
    weight = np.where(leading, vectors.sum(axis=1), 0.0)
    vector = np.abs(np.einsum("gij,gj->gi", vectors, weight))
    return np.asarray(vector / np.linalg.norm(vector, axis=1, keepdims=True), dtype=np.float64)
