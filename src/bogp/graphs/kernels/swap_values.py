"""What follows from the distances of a state and from its leading eigenvector.

Distances are found by balls that grow around all nodes. The eigenvector is nearly right after a
swap; :func:`refine` mends it by conjugate gradients on the Rayleigh quotient (Bradbury & Fletcher
1966; Knyazev 2001), which closes small gaps, those of ring-like graphs, much sooner than power
iteration does. Sums run in a fixed order without fused operations, so that the numbers are the same
on every machine. Loops are written out because array expressions take several times as long to
compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bogp.graphs.kernels.bits import Rows, bit, count_bits
from bogp.graphs.kernels.compiled import compiled, lowest_bit, popcount
from bogp.graphs.kernels.swap_state import DISTANCES, State
from bogp.types import Floats, Integers


@compiled
def distance_values(state: State, around: Rows, values: Floats) -> None:
    """Write what follows from distances into its places of ``values`` (properties,).

    ``around`` (4, nodes, words) gets the two sets of ``State.around``, and its other half holds
    balls that grow.
    The ball of radius k around a node is the union of the balls of radius k - 1 around its
    neighbours; a node is done when its ball is full or grows no more.
    """
    rows = state.rows
    nodes, width = rows.shape
    reached, length = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    first, second = _first_two(rows, around, reached, length)
    efficiency = first + second / 2.0
    diameter = 2 if second else (1 if first else 0)
    waiting, count = np.empty(nodes, np.int64), 0
    for u in range(nodes):
        for k in range(width):
            around[2, u, k] = around[3, u, k] = around[0, u, k]
        if reached[u] < nodes:
            waiting[count] = u
            count += 1
    step, now = 3, 2
    while count:
        left, found = 0, 0
        for j in range(count):
            u = waiting[j]
            fresh = _grow(rows, around, now, u) - reached[u]
            reached[u] += fresh
            length[u] += step * fresh
            found += fresh
            # One more round, unless full, so that a ball that rests is the same in both sets.
            if fresh:
                waiting[left] = u
                left += 1
        if found:
            efficiency += found / step
            diameter = step
        count, now, step = left, 5 - now, step + 1
    _summarise(state, reached, length, efficiency, diameter, values)


@compiled
def _first_two(rows: Rows, around: Rows, reached: Integers, length: Integers) -> tuple[int, int]:
    """Fill ``around[:2]`` and the counts up to distance 2; return ordered pairs at 1 and at 2."""
    nodes, width = rows.shape
    ones, twos = np.empty(width, np.uint64), np.empty(width, np.uint64)
    every = np.empty(width, np.uint64)
    for k in range(width):
        every[k] = ~np.uint64(0)
    if nodes & 63:
        every[width - 1] = bit(nodes) - np.uint64(1)
    first, second = 0, 0
    for u in range(nodes):
        for k in range(width):
            ones[k] = twos[k] = np.uint64(0)
        degree, full = 0, False
        for k in range(width):
            word = rows[u, k]
            degree += popcount(word)
            while word and not full:
                v = 64 * k + lowest_bit(word)
                word &= word - np.uint64(1)
                full = True
                for i in range(width):
                    twos[i] |= ones[i] & rows[v, i]
                    ones[i] |= rows[v, i]
                    full = full and twos[i] == every[i]
        ones[u >> 6] |= bit(u)
        twos[u >> 6] |= bit(u)
        for k in range(width):
            around[0, u, k] = ones[k] | rows[u, k]
            around[1, u, k] = ones[k] & ~twos[k]
        size = count_bits(around[0], u)
        reached[u] = size
        length[u] = degree + 2 * (size - 1 - degree)
        first += degree
        second += size - 1 - degree
    return first, second


@compiled
def _grow(rows: Rows, around: Rows, now: int, u: int) -> Any:
    """Write the next ball around u and return its size; stop early once it is full."""
    nodes, width = rows.shape
    after, size = 5 - now, count_bits(around[now], u)
    for k in range(width):
        around[after, u, k] = around[now, u, k]
    for k in range(width):
        word = rows[u, k]
        while word and size < nodes:
            v = 64 * k + lowest_bit(word)
            word &= word - np.uint64(1)
            size = 0
            for i in range(width):
                around[after, u, i] |= around[now, v, i]
                size += popcount(around[after, u, i])
    return size


@compiled
def _summarise(
    state: State,
    reached: Integers,
    length: Integers,
    efficiency: float,
    diameter: int,
    values: Floats,
) -> None:
    nodes, first = len(reached), DISTANCES.start
    pairs, total, closeness, components = 0, 0, 0.0, 0.0
    for u in range(nodes):
        others = reached[u] - 1
        pairs += others
        total += length[u]
        components += 1.0 / reached[u]
        if others:
            closeness += others * others / length[u]
    values[first] = total / pairs if pairs else 0.0
    scale = nodes * (nodes - 1.0) * (nodes - 2.0)
    values[first + 1] = (total - pairs) / scale if nodes > 2 else 0.0
    values[first + 2] = closeness / nodes / max(nodes - 1, 1)
    values[first + 3] = efficiency / max(nodes * (nodes - 1), 1)
    values[first + 4] = diameter
    values[first + 5] = np.rint(components)
    values[first + 6] = state.edges - nodes + values[first + 5]


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
    mean = x.sum()
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
