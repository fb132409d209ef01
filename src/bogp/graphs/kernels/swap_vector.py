"""The leading eigenvector of a graph that changes by one swap at a time.

After a swap the old vector is nearly right; :func:`refine` mends it by conjugate gradients on the
Rayleigh quotient (Bradbury & Fletcher 1966; Knyazev 2001), which closes small gaps, those of
ring-like graphs, much sooner than power iteration does. Sums run in a fixed order without fused
operations, so that the numbers are the same on every machine. Loops are written out because array
expressions take several times as long to compile.
"""

from __future__ import annotations

import numpy as np

from bogp.graphs.kernels.compiled import compiled
from bogp.types import Floats


@compiled
def dot(left: Floats, right: Floats) -> float:
    """Return the inner product of two vectors, in four interleaved sums."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = len(left) // 4 * 4
    for k in range(0, whole, 4):
        a += left[k] * right[k]
        b += left[k + 1] * right[k + 1]
        c += left[k + 2] * right[k + 2]
        d += left[k + 3] * right[k + 3]
    for k in range(whole, len(left)):
        a += left[k] * right[k]
    return (a + b) + (c + d)


@compiled
def multiply(matrix: Floats, vector: Floats, result: Floats) -> None:
    """Write a symmetric matrix times a vector into ``result``, four rows at a time."""
    size = len(vector)
    for j in range(size):
        result[j] = 0.0
    whole = size // 4 * 4
    for k in range(0, whole, 4):
        a, b, c, d = vector[k], vector[k + 1], vector[k + 2], vector[k + 3]
        for j in range(size):
            result[j] += (matrix[k, j] * a + matrix[k + 1, j] * b) + (
                matrix[k + 2, j] * c + matrix[k + 3, j] * d
            )
    for k in range(whole, size):
        for j in range(size):
            result[j] += matrix[k, j] * vector[k]


@compiled
def combine(left: Floats, a: float, right: Floats, b: float) -> None:
    """Replace the vector ``left`` by a left + b right."""
    for k in range(len(left)):
        left[k] = a * left[k] + b * right[k]


@compiled
def total(vector: Floats) -> float:
    """Return the sum of a vector."""
    result = 0.0
    for k in range(len(vector)):
        result += vector[k]
    return result


@compiled
def refine(joined: Floats, vector: Floats, steps: int, enough: float) -> float:
    """Improve the unit vector ``vector[0]`` and its product ``vector[1]``; return the eigenvalue.

    Goes on for ``steps`` products, or until the residual's squared length is ``enough``.
    """
    x, image, size = vector[0], vector[1], vector.shape[1]
    direction, product, residual = np.zeros(size), np.empty(size), np.empty(size)
    multiply(joined, x, image)
    value, before = dot(x, image), 0.0
    for _ in range(steps):
        for k in range(size):
            residual[k] = image[k] - value * x[k]
        square = dot(residual, residual)
        if square <= enough:
            break
        combine(direction, square / before if before > 0.0 else 0.0, residual, 1.0)
        before = square
        combine(direction, 1.0, x, -dot(direction, x))
        length = np.sqrt(dot(direction, direction))
        multiply(joined, direction, product)
        # The best vector of the plane that the two span: a symmetric 2 x 2 eigenproblem.
        cross, other = dot(x, product) / length, dot(direction, product) / (length * length)
        half = (value - other) / 2.0
        # The gain in the eigenvalue, without the cancellation of a difference of near numbers.
        root = np.sqrt(half * half + cross * cross)
        along = cross * cross / (half + root) if half > 0.0 else root - half
        norm = np.sqrt(cross * cross + along * along)
        if not norm > 0.0:
            break
        add = along / norm / length if cross > 0.0 else -along / norm / length
        combine(x, abs(cross) / norm, direction, add)
        combine(image, abs(cross) / norm, product, add)
        value += along
    combine(x, 1.0 / np.sqrt(dot(x, x)), x, 0.0)
    return value


@compiled
def respond(joined: Floats, vector: Floats, value: float, response: Floats, steps: int) -> None:
    """Improve ``response``, the z with (value - A) z = 1 - x (x . 1) and z . x = 0.

    To first order a change D of the matrix changes the sum of the vector by z . D x. By conjugate
    gradients (Hestenes & Stiefel 1952) from the last response.
    """
    x, size = vector[0], vector.shape[1]
    product, residual = np.empty(size), np.empty(size)
    combine(response, 1.0, x, -dot(response, x))
    multiply(joined, response, product)
    mean = total(x)
    for k in range(size):
        residual[k] = (1.0 - mean * x[k]) - (value * response[k] - product[k])
    combine(residual, 1.0, x, -dot(residual, x))
    direction = residual.copy()
    square = dot(residual, residual)
    for _ in range(steps):
        if square < 1e-12:
            break
        multiply(joined, direction, product)
        combine(product, -1.0, direction, value)
        curve = dot(direction, product)
        if curve <= 0.0:
            break
        pace = square / curve
        combine(response, 1.0, direction, pace)
        combine(residual, 1.0, product, -pace)
        combine(residual, 1.0, x, -dot(residual, x))
        after = dot(residual, residual)
        combine(direction, after / square, residual, 1.0)
        square = after
