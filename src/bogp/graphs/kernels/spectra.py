"""The leading eigenvector by Lanczos' method on rows of bits, and spectra by LAPACK."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from bogp.graphs.kernels.bits import Rows, count_bits, unpack
from bogp.graphs.kernels.compiled import add_where, compiled, inlined
from bogp.types import BoolArray, Floats

_RESIDUAL = 1e-11
"""Residual of the leading eigenvector, as a share of its eigenvalue, that counts as none."""

_CLEAR = 1e-6
"""Gap below the leading eigenvalue, as a share of it, that makes it clear of the others: with the
residual above, the part of another eigenvector left is at most 1e-5, and its square 1e-10."""

_ENTRIES = 1 << 18
"""Matrix entries decomposed at once."""

_TIE = 1e-11
"""Eigenvalues within this share of the leading one are the same eigenvalue."""


def leading_shares(rows: Rows) -> Floats:
    """Return the share of the all-ones vector in the leading eigenspace, float64 (graphs,).

    It is |P 1|^2 / n, P the projection on the eigenvectors of the largest eigenvalue. Lanczos'
    method from the all-ones vector 1 has it without the eigenvector, as the weight of the last
    node of a Gauss quadrature (Golub & Meurant 2010, chapter 6), whose error is that of the
    eigenvector squared. Eigenvalues that tie count as one there, as they should. Graphs whose
    leading eigenvalues are too close for it to settle are decomposed in full.
    """
    shares = _lanczos(rows)
    for graph in np.flatnonzero(np.isnan(shares)):
        shares[graph] = _decomposed(unpack(rows[graph : graph + 1], rows.shape[1])[0])
    return shares


def _decomposed(adjacency: BoolArray) -> float:
    """Return the same share by full decomposition of ``adjacency`` (nodes, nodes).

    By components, so that two of nearly the same eigenvalue do not mix.
    """
    labels = connected_components(adjacency, directed=False)[1]
    tops, sums = [], []
    for label in np.unique(labels):
        part = np.flatnonzero(labels == label)
        values, vectors = np.linalg.eigh(adjacency[np.ix_(part, part)].astype(np.float64))
        tops.append(values)
        sums.append(vectors.sum(axis=0) ** 2)
    values, squares = np.concatenate(tops), np.concatenate(sums)
    return float(squares[values >= values.max() * (1.0 - _TIE)].sum() / len(labels))


@compiled
def _lanczos(rows: Rows) -> Floats:
    """Return :func:`leading_shares`, nan where the leading eigenvalue does not stand clear."""
    graphs, nodes, width = rows.shape
    result = np.empty(graphs)
    alpha, beta = np.empty(2 * nodes + 32), np.empty(2 * nodes + 32)
    vectors = np.empty((3, 64 * width))
    for g in range(graphs):
        least, largest = _degree_range(rows[g])
        # A regular graph has the all-ones vector itself for its leading eigenvector.
        result[g] = (
            1.0 if least == largest else _share(rows[g], largest + 1.0, alpha, beta, vectors)
        )
    return result


@compiled
def _share(graph: Rows, above: float, alpha: Floats, beta: Floats, vectors: Floats) -> float:
    """Return the share of one graph (nodes, words) whose eigenvalues are below ``above``, or nan.

    The other arrays are room to work in. The residual falls by about the same factor each step, so
    how far it has come says when it is worth looking again.
    """
    nodes = graph.shape[0]
    vector, before, product = vectors[0], vectors[1], vectors[2]
    for u in range(len(vector)):
        vector[u] = 1.0 / np.sqrt(nodes) if u < nodes else 0.0
        before[u] = 0.0
    length, top, look = 0.0, 0.0, 3
    for k in range(len(alpha)):
        for word in range(graph.shape[1]):
            add_where(graph, word, vector, product)
        alpha[k] = _dot(vector, product)
        length = _next_vector(product, vector, before, alpha[k], length)
        beta[k] = length
        if k == 0:
            top = alpha[0]
        closed = length <= _RESIDUAL * above  # what has been spanned has all that 1 is made of
        if k + 1 < look and not closed:
            continue
        top, share, last = _leading(alpha, beta, k + 1, top, above)
        residual = length * last
        if residual <= _RESIDUAL * top:
            if _count_above(alpha, beta, k + 1, top - _CLEAR * top) <= 1:
                return share
            break
        if closed:
            break
        come = np.log(residual / top) / np.log(_RESIDUAL) if residual > 0.0 else 1.0
        ahead = int(0.9 * (k + 1) / max(come, 0.5))
        look = max(k + 2, min(ahead, k + 2 + (k >> 2)))
    return np.nan


@inlined
def _degree_range(graph: Rows) -> tuple[int, int]:
    nodes = graph.shape[0]
    least, largest = nodes, 0
    for u in range(nodes):
        count = count_bits(graph, u)
        least, largest = min(least, count), max(largest, count)
    return least, largest


@inlined
def _dot(left: Floats, right: Floats) -> Any:
    """Return the inner product of two vectors whose length is a multiple of 4."""
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0  # no sum waits for the one before
    for k in range(0, len(left), 4):
        first += left[k] * right[k]
        second += left[k + 1] * right[k + 1]
        third += left[k + 2] * right[k + 2]
        fourth += left[k + 3] * right[k + 3]
    return (first + second) + (third + fourth)


@inlined
def _next_vector(product: Floats, vector: Floats, before: Floats, alpha: float, beta: float) -> Any:
    """Move ``vector`` and ``before`` on by one Lanczos step; return the length of the rest."""
    for k in range(len(product)):
        product[k] -= alpha * vector[k] + beta * before[k]
    length = np.sqrt(_dot(product, product))
    scale = 1.0 / length if length > 0.0 else 0.0
    for k in range(len(product)):
        before[k] = vector[k]
        vector[k] = product[k] * scale
    return length


@compiled
def _leading(
    alpha: Floats, beta: Floats, size: int, low: float, high: float
) -> tuple[float, float, float]:
    """Return the largest eigenvalue of a tridiagonal matrix, between ``low`` and ``high``.

    With it come the square of the first entry of its unit eigenvector, and the absolute value of
    the last. ``alpha`` is the diagonal, ``beta`` the entries beside it. Newton's method on the
    first pivot of a factorisation from the lower end: the root is the eigenvalue, the slope there
    is the inverse of that square; a bracket guards it.
    """
    value = low
    slope, last = 1.0, 1.0
    for _ in range(100):
        pivot = value - alpha[size - 1]
        slope, last = 1.0, 1.0
        inside = True
        for k in range(size - 2, -1, -1):
            if pivot <= 0.0:
                inside = False
                break
            ratio = beta[k] / pivot
            slope = 1.0 + ratio * ratio * slope
            last *= ratio
            pivot = value - alpha[k] - beta[k] * ratio
        if inside and pivot > 0.0:
            high = value
        else:
            low = value
        after = value - pivot / slope if inside else high
        if abs(after - value) <= 2e-16 * high:
            if abs(pivot) <= 1e-8 * high:
                break
            after = high  # not at the root but beside a pole
        if not low < after < high:
            after = 0.5 * (low + high)
            if not low < after < high:
                break
        value = after
    return value, 1.0 / slope, last / np.sqrt(slope)


@compiled
def _count_above(alpha: Floats, beta: Floats, size: int, value: float) -> int:
    """Return how many eigenvalues of a tridiagonal matrix are above ``value`` (Sylvester)."""
    count = 0
    pivot = 1.0
    for k in range(size - 1, -1, -1):
        link = beta[k] * beta[k] / pivot if k < size - 1 else 0.0
        pivot = value - alpha[k] - link
        if pivot == 0.0:
            pivot = 1e-300
        if pivot < 0.0:
            count += 1
    return count


def adjacency_spectra(rows: Rows) -> Floats:
    """Return the eigenvalues of each adjacency matrix, ascending, float64 (graphs, nodes)."""
    return _spectra(rows, laplacian=False)


def laplacian_spectra(rows: Rows) -> Floats:
    """Return the eigenvalues of each matrix degrees - A, ascending, float64 (graphs, nodes)."""
    return _spectra(rows, laplacian=True)


def _spectra(rows: Rows, *, laplacian: bool) -> Floats:
    """Decompose a few matrices at a time: as numbers they take 64 times the room of their bits."""
    graphs, nodes = rows.shape[:2]
    result = np.empty((graphs, nodes))
    step = max(1, _ENTRIES // nodes**2)
    for start in range(0, graphs, step):
        matrix = unpack(rows[start : start + step], nodes).astype(np.float64)
        if laplacian:
            degree = matrix.sum(axis=2)
            np.negative(matrix, out=matrix)
            diagonal = np.arange(nodes)
            matrix[:, diagonal, diagonal] = degree
        result[start : start + step] = np.linalg.eigvalsh(matrix)
    return result
