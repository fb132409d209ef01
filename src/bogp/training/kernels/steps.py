"""Training steps and inference of many perceptrons, tile by tile.

A mini-batch is cut into tiles of :data:`~bogp.training.kernels.vectors.LANES` examples. A tile is
gathered once and stays in the second cache while every candidate goes forward and backward over it;
the optimiser follows after the last tile. Each candidate's sums run in an order of its own masks
and batches alone, so its result does not depend on the other candidates, on K or on threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from bogp.graphs.kernels.compiled import compiled, inlined
from bogp.training.kernels.layout import Arrays
from bogp.training.kernels.optimisers import Optimiser, State, Vector, update
from bogp.training.kernels.vectors import (
    LANES,
    gradient_1,
    gradient_2,
    gradient_4,
    product_1,
    product_2,
    product_4,
)
from bogp.types import Floats, Integers


class Buffers(NamedTuple):
    """Working memory of one thread."""

    tile: Vector  # (inputs + 1) x LANES, the last row of ones
    hidden: Vector  # for each layer (features + 1) x LANES, the last row of ones
    errors: Vector  # 2 x widest layer x LANES: derivatives by a layer's output, and by its input
    lanes: Floats  # (2, LANES)


@compiled
def train(
    arrays: Arrays,
    candidates: Integers,  # numbers of the candidates
    inputs: Vector,  # (N, features)
    targets: Integers,  # (N,)
    order: Integers,  # examples in the order of the mini-batches
    batch: int,
    optimiser: Optimiser,
    smoothing: float,
    rates: Floats,  # one learning rate a mini-batch
    taken: int,  # steps taken before
    state: State,
    buffers: Buffers,
    losses: Floats,  # (K,), the sum over examples is added to it
) -> None:
    """Train ``candidates`` on the examples ``order``."""
    layers = len(arrays.sizes) - 1
    for number in range((len(order) + batch - 1) // batch):
        begin, end = number * batch, min(len(order), (number + 1) * batch)
        for k in candidates:
            _transpose(arrays, k, state)
        for start in range(begin, end, LANES):
            count = min(LANES, end - start)
            _gather(inputs, order, start, count, arrays.live, buffers.tile)
            for k in candidates:
                _forward(arrays, k, state.parameters, buffers)
                losses[k] += _loss(
                    arrays.sizes, buffers, targets, order, start, count, smoothing, end - begin
                )
                _backward(arrays, k, state, buffers, count)
        for k in candidates:
            update(
                optimiser, state, arrays.keep, arrays.begins[k, 0], arrays.begins[k, layers],
                taken + number + 1, rates[number],
            )  # fmt: skip


@compiled
def infer(
    arrays: Arrays,
    candidates: Integers,  # numbers of the candidates
    places: Integers,  # (K,) where each goes in `result`
    inputs: Vector,  # (N, features)
    parameters: Vector,
    buffers: Buffers,
    result: Vector,  # (active, N, classes)
) -> None:
    """Write the logits of ``candidates``."""
    classes = arrays.sizes[-1]
    order = np.arange(len(inputs))
    logits = _begin(arrays.sizes, len(arrays.sizes) - 2)
    for start in range(0, len(inputs), LANES):
        count = min(LANES, len(inputs) - start)
        _gather(inputs, order, start, count, arrays.live, buffers.tile)
        for k in candidates:
            _forward(arrays, k, parameters, buffers)
            for lane in range(count):
                for c in range(classes):
                    result[places[k], start + lane, c] = buffers.hidden[logits + c * LANES + lane]


@compiled
def _begin(sizes: Integers, layer: int) -> int:
    """Return where a layer's outputs begin in ``hidden``."""
    total = 0
    for k in range(layer):
        total += (sizes[k + 1] + 1) * LANES
    return total


@compiled
def _gather(
    inputs: Vector,
    order: Integers,
    start: int,
    count: int,
    live: npt.NDArray[np.int32],
    tile: Vector,
) -> None:
    """Copy examples into a tile, features first; a short tile is filled with zeros."""
    for lane in range(0, LANES, 16):
        width = min(16, count - lane)
        if width == 16:  # Sixteen rows at once, unrolled: this is all but the last tile.
            rows = order[start + lane : start + lane + 16]
            for f in range(len(live)):
                feature, place = live[f], f * LANES + lane
                for k in range(16):
                    tile[place + k] = inputs[rows[k], feature]
        else:
            for f in range(len(live)):
                feature, place = live[f], f * LANES + lane
                for k in range(max(0, width)):
                    tile[place + k] = inputs[order[start + lane + k], feature]
                for k in range(max(0, width), 16):
                    tile[place + k] = 0


@compiled
def _transpose(arrays: Arrays, k: int, state: State) -> None:
    """Copy the weights of a candidate's later layers in the order of their transposes."""
    parameters = state.parameters
    for layer in range(1, len(arrays.sizes) - 1):
        begin, end, place = arrays.transposes[k, layer]
        weights = arrays.begins[k, layer]
        for q in range(begin, end):
            source = arrays.sources[q]
            state.transposed[place + q - begin] = (
                parameters[weights + source] if source >= 0 else parameters.dtype.type(0)
            )


@compiled
def _product(
    arrays: Arrays,
    begin: int,
    end: int,
    inputs: Vector,
    inputs_begin: int,
    weights: Vector,
    weights_begin: int,
    result: Vector,
    result_begin: int,
    rectify: bool,
) -> None:
    for g in range(begin, end):
        row, rows, count, columns, values = arrays.groups[g]
        place, values = result_begin + row * LANES, weights_begin + values
        if rows == 1:
            product_1(
                result, place, inputs, inputs_begin, weights, values, arrays.columns, columns,
                count, rectify,
            )  # fmt: skip
        elif rows == 2:
            product_2(
                result, place, inputs, inputs_begin, weights, values, arrays.columns, columns,
                count, rectify,
            )  # fmt: skip
        else:
            product_4(
                result, place, inputs, inputs_begin, weights, values, arrays.columns, columns,
                count, rectify,
            )  # fmt: skip


@compiled
def _gradient(
    arrays: Arrays,
    begin: int,
    end: int,
    inputs: Vector,
    inputs_begin: int,
    errors: Vector,
    errors_begin: int,
    gradients: Vector,
    gradients_begin: int,
    examples: int,
) -> None:
    for g in range(begin, end):
        row, rows, count, columns, values = arrays.groups[g]
        place, values = errors_begin + row * LANES, gradients_begin + values
        if rows == 1:
            gradient_1(
                gradients, values, errors, place, inputs, inputs_begin, arrays.columns, columns,
                count, examples,
            )  # fmt: skip
        elif rows == 2:
            gradient_2(
                gradients, values, errors, place, inputs, inputs_begin, arrays.columns, columns,
                count, examples,
            )  # fmt: skip
        else:
            gradient_4(
                gradients, values, errors, place, inputs, inputs_begin, arrays.columns, columns,
                count, examples,
            )  # fmt: skip


@compiled
def _forward(arrays: Arrays, k: int, parameters: Vector, buffers: Buffers) -> None:
    """Fill the hidden layers and logits of candidate ``k``, ReLU between the layers."""
    layers = len(arrays.sizes) - 1
    inputs, begin, result = buffers.tile, 0, 0
    for layer in range(layers):
        low, high = arrays.forward[k, layer]
        _product(
            arrays, low, high, inputs, begin, parameters, arrays.begins[k, layer],
            buffers.hidden, result, layer < layers - 1,
        )  # fmt: skip
        inputs, begin = buffers.hidden, result
        result += (arrays.sizes[layer + 1] + 1) * LANES


@compiled
def _backward(arrays: Arrays, k: int, state: State, buffers: Buffers, count: int) -> None:
    """Add the gradients of candidate ``k``, from the errors of its logits at ``errors[0:]``."""
    hidden, errors = buffers.hidden, buffers.errors
    here, there = 0, len(errors) // 2
    for layer in range(len(arrays.sizes) - 2, -1, -1):
        low, high = arrays.forward[k, layer]
        inputs, begin = buffers.tile, 0
        if layer > 0:
            inputs, begin = hidden, _begin(arrays.sizes, layer - 1)
        _gradient(
            arrays, low, high, inputs, begin, errors, here, state.gradients,
            arrays.begins[k, layer], count,
        )  # fmt: skip
        if layer > 0:
            low, high = arrays.backward[k, layer]
            _product(
                arrays, low, high, errors, here, state.transposed, arrays.transposes[k, layer, 2],
                errors, there, False,
            )  # fmt: skip
            _gate(errors, there, hidden, begin, arrays.sizes[layer] * LANES)
            here, there = there, here


@compiled
def _gate(errors: Vector, errors_begin: int, hidden: Vector, begin: int, count: int) -> None:
    """Set to zero the errors of units that ReLU shut."""
    outputs, derivatives = hidden[begin : begin + count], errors[errors_begin:]
    zero = errors.dtype.type(0)
    for q in range(count):
        derivatives[q] = zero if outputs[q] <= zero else derivatives[q]


@compiled
def _loss(
    sizes: Integers,
    buffers: Buffers,
    targets: Integers,
    order: Integers,
    start: int,
    count: int,
    smoothing: float,
    batch: int,
) -> float:
    """Write the errors of the logits; return the sum of the cross-entropy over the tile (nats)."""
    classes = sizes[-1]
    logits = buffers.hidden[_begin(sizes, len(sizes) - 2) :]
    errors = buffers.errors
    highest, total = buffers.lanes[0], buffers.lanes[1]
    number = errors.dtype.type
    highest[:] = -np.inf
    total[:] = 0.0
    for c in range(classes):
        for lane in range(LANES):
            value = np.float64(logits[c * LANES + lane])
            # The comparison is false for NaN, which then becomes the highest and the loss.
            highest[lane] = highest[lane] if value <= highest[lane] else value
    for c in range(classes):
        for lane in range(LANES):
            share = _exponential(np.float64(logits[c * LANES + lane]) - highest[lane])
            errors[c * LANES + lane] = number(share)
            total[lane] += share
    loss, even = 0.0, smoothing / classes
    for lane in range(count):
        wanted = targets[order[start + lane]]
        shift = highest[lane] + math.log(total[lane])
        loss += shift - (1.0 - smoothing) * np.float64(logits[wanted * LANES + lane])
        if smoothing > 0.0:
            for c in range(classes):
                loss -= even * np.float64(logits[c * LANES + lane])
        total[lane] = 1.0 / (total[lane] * batch)
    total[count:] = 0.0
    base, even = number(1.0 - smoothing) / number(batch), even / batch
    for c in range(classes):
        for lane in range(LANES):
            place = c * LANES + lane
            errors[place] = number(np.float64(errors[place]) * total[lane] - even)
    for lane in range(count):
        errors[targets[order[start + lane]] * LANES + lane] -= base
    for c in range(classes):
        errors[c * LANES + count : (c + 1) * LANES] = 0
    return loss


def _bits_of(typing_context: Any, value: Any) -> Any:
    return types.int64(
        types.float64
    ), lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.IntType(64))


def _float_of(typing_context: Any, value: Any) -> Any:
    return types.float64(
        types.int64
    ), lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.DoubleType())


# The bits of a float64 as int64, and back.
_bits: Any = intrinsic(_bits_of)
_float: Any = intrinsic(_float_of)


@inlined
def _exponential(value: float) -> float:
    """Return exp(value) of a float64 that is not above 0, to 1e-15; exp(-700) below -700.

    By 2^n times the series of the rest (|rest| < 0.35, 13 terms), without a branch or a call, so
    that a loop over it runs in vectors. NaN gives NaN.
    """
    value = -700.0 if value < -700.0 else value
    # Adding 1.5 * 2^52 rounds to a whole number, which is then the low bits.
    rounded = value * 1.4426950408889634 + 6755399441055744.0
    power = rounded - 6755399441055744.0
    rest = value - power * 0.693147180369123816490  # ln 2 in two parts, the first of few bits
    rest = rest - power * 1.90821492927058770002e-10
    series = 1.0 / 6227020800.0
    series = series * rest + 1.0 / 479001600.0
    series = series * rest + 1.0 / 39916800.0
    series = series * rest + 1.0 / 3628800.0
    series = series * rest + 1.0 / 362880.0
    series = series * rest + 1.0 / 40320.0
    series = series * rest + 1.0 / 5040.0
    series = series * rest + 1.0 / 720.0
    series = series * rest + 1.0 / 120.0
    series = series * rest + 1.0 / 24.0
    series = series * rest + 1.0 / 6.0
    series = series * rest + 0.5
    series = series * rest + 1.0
    series = series * rest + 1.0
    return series * _float((_bits(rounded) << 52) + (1023 << 52))  # type: ignore[no-any-return]
