"""The two inner products, written for the registers of a vector processor.

Numba has no word for a vector register, so these few lines build LLVM's instructions themselves;
LLVM splits the vectors where the processor's are shorter. A *tile* holds ``LANES`` examples, one
after the other, for each feature: ``tile[feature * LANES + example]``. A *group* is a run of 1, 2
or 4 rows (outputs) that read the same columns (inputs): each vector of inputs is then loaded once
for all of its rows. Loads are what limits these products, because a tile of inputs lies in the
second cache, which feeds one fused multiply-add of two: two rows and more come near the peak.

The weights of a group lie row by row, ``count`` to a row. No bounds are checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

LANES = 128
"""Examples of a tile: 784 features x 128 x 4 bytes leave room in a second cache of 1 MB."""

_INT64 = ir.IntType(64)
_INT32 = ir.IntType(32)


def _registers() -> tuple[int, int]:
    """Return the bytes of a vector register of this processor and how many it has."""
    named: str | None = getattr(config, "CPU_FEATURES", None)
    features = named if named is not None else llvmlite.binding.get_host_cpu_features().flatten()
    found = set(features.split(","))
    if "+avx512f" in found:
        return 64, 32
    if "+avx2" in found:
        return 32, 16
    return 16, 32 if "+neon" in found else 16


BYTES, REGISTERS = _registers()
# Sums kept in registers: rows x vectors of lanes (products), rows x columns (gradients).
WIDTH = {1: 8, 2: 8, 4: 4} if REGISTERS == 32 else {1: 8, 2: 4, 4: 2}


class _Emitter:
    """Instructions on vectors of one number type."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        self.scalar = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        self.bytes = dtype.bitwidth // 8
        self.lanes = BYTES // self.bytes
        self.vector = ir.VectorType(self.scalar, self.lanes)

    def arrays(self, signature: Any, arguments: Any) -> tuple[list[Any], list[Any]]:
        """Return the pointers to the four arrays of a product, and where to begin in each."""
        pointers = [
            self.context.make_array(signature.args[k])(self.context, self.builder, value).data
            for k, value in enumerate(arguments[:8])
            if k % 2 == 0
        ]
        return pointers, list(arguments[1:8:2])

    def offset(self, start: Any, *terms: Any) -> Any:
        """Return a sum of int64 values and Python ints."""
        for term in terms:
            start = self.builder.add(start, _INT64(term) if isinstance(term, int) else term)
        return start

    def times(self, left: Any, right: int) -> Any:
        return self.builder.mul(left, _INT64(right))

    def load(self, pointer: Any, at: Any, kind: Any = None) -> Any:
        where = self.builder.gep(pointer, [at])
        if kind is None:
            return self.builder.load(where)
        where = self.builder.bitcast(where, kind.as_pointer())
        return self.builder.load(where, align=self.bytes)

    def store(self, value: Any, pointer: Any, at: Any) -> None:
        where = self.builder.bitcast(self.builder.gep(pointer, [at]), value.type.as_pointer())
        self.builder.store(value, where, align=self.bytes)

    def spread(self, value: Any) -> Any:
        """Return a vector with ``value`` in every lane."""
        empty = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(empty, value, _INT32(0))
        return self.choose(first, first, [0] * self.lanes)

    def choose(self, left: Any, right: Any, lanes: list[int]) -> Any:
        """Return the numbered lanes of ``left`` and, from its length on, of ``right``."""
        numbers = ir.Constant(ir.VectorType(_INT32, len(lanes)), [_INT32(k) for k in lanes])
        return self.builder.shuffle_vector(left, right, numbers)

    def accumulate(self, total: Any, left: Any, right: Any) -> None:
        """Add a product to the variable ``total``, as one fused instruction where there is one."""
        product = self.builder.fmul(left, right, flags=("contract",))
        added = self.builder.fadd(self.builder.load(total), product, flags=("contract",))
        self.builder.store(added, total)

    def zeros(self, rows: int, columns: int) -> list[list[Any]]:
        """Return rows x columns new variables; the caller sets them to zero."""
        make: Any = cgutils.alloca_once
        return [[make(self.builder, self.vector) for _ in range(columns)] for _ in range(rows)]

    def clear(self, totals: list[list[Any]]) -> None:
        for row in totals:
            for total in row:
                self.builder.store(ir.Constant(self.vector, None), total)

    def sums(self, totals: list[Any]) -> tuple[Any, list[int]]:
        """Return a vector of the sums over lanes of a power of two of vectors, and their places.

        Two vectors become one of half sums each, and so on: about three instructions to a sum
        where one vector at a time takes eight.
        """
        places, width, count = [[k] for k in range(len(totals))], self.lanes, len(totals)
        while len(totals) > 1 and width > 1:
            half, blocks = len(totals) // 2, self.lanes // width
            width //= 2
            starts = [b * 2 * width + s for b in range(blocks) for s in (0, self.lanes)]
            low = [start + lane for start in starts for lane in range(width)]
            high = [lane + width for lane in low]
            totals = [
                self.builder.fadd(
                    self.choose(totals[k], totals[k + half], low),
                    self.choose(totals[k], totals[k + half], high),
                )
                for k in range(half)
            ]
            places = [
                [p for pair in zip(places[k], places[k + half], strict=True) for p in pair]
                for k in range(half)
            ]
        if len(totals) > 1:  # More sums than lanes: join the full vectors.
            joined = totals[0]
            for k in range(1, len(totals)):
                joined = self._join(joined, totals[k], k * self.lanes)
            return joined, [place for part in places for place in part]
        total = totals[0]
        while width > 1:
            width //= 2
            low = [k * 2 * width + lane for k in range(count) for lane in range(width)]
            total = self.builder.fadd(
                self.choose(total, total, low), self.choose(total, total, [k + width for k in low])
            )
        return total, places[0]

    def _join(self, left: Any, right: Any, size: int) -> Any:
        # shuffle_vector takes two vectors of one length: widen the right one first.
        wide = self.choose(right, right, [min(k, self.lanes - 1) for k in range(size)])
        return self.choose(left, wide, list(range(size + self.lanes)))


def _product(rows: int) -> Callable[..., None]:
    width = WIDTH[rows]

    @intrinsic
    def product(
        typing_context: Any,
        result: Any,
        result_begin: Any,
        inputs: Any,
        inputs_begin: Any,
        weights: Any,
        weights_begin: Any,
        columns: Any,
        columns_begin: Any,
        count: Any,
        rectify: Any,
    ) -> Any:
        given = (result, result_begin, inputs, inputs_begin, weights, weights_begin)
        return types.void(*given, columns, columns_begin, count, rectify), emit

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        make = _Emitter(context, builder, signature.args[0].dtype)
        (result, inputs, weights, columns), begins = make.arrays(signature, arguments)
        result_begin, inputs_begin, weights_begin, columns_begin = begins
        count, rectify = arguments[8:]
        panel = width * make.lanes
        totals = make.zeros(rows, width)
        zero = ir.Constant(make.vector, None)
        with cgutils.for_range(builder, _INT64(LANES // panel)) as panels:
            first = make.times(panels.index, panel)
            make.clear(totals)
            with cgutils.for_range(builder, count) as loop:
                column = make.load(columns, make.offset(columns_begin, loop.index))
                start = make.times(builder.sext(column, _INT64), LANES)
                start = make.offset(inputs_begin, first, start)
                vectors = [
                    make.load(inputs, make.offset(start, k * make.lanes), make.vector)
                    for k in range(width)
                ]
                at = make.offset(weights_begin, loop.index)
                for row in range(rows):
                    weight = make.spread(make.load(weights, at))
                    at = make.offset(at, count)
                    for k in range(width):
                        make.accumulate(totals[row][k], weight, vectors[k])
            for row in range(rows):
                for k in range(width):
                    value = builder.load(totals[row][k])
                    # NaN is not below zero and stays, as in torch.
                    negative = builder.fcmp_ordered("<", value, zero)
                    rectified = builder.select(negative, zero, value)
                    value = builder.select(rectify, rectified, value)
                    place = make.offset(result_begin, first, row * LANES + k * make.lanes)
                    make.store(value, result, place)
        return context.get_dummy_value()

    return cast("Callable[..., None]", product)


def _gradient(rows: int) -> Callable[..., None]:
    width = WIDTH[rows]

    @intrinsic
    def gradient(
        typing_context: Any,
        gradients: Any,
        gradients_begin: Any,
        errors: Any,
        errors_begin: Any,
        inputs: Any,
        inputs_begin: Any,
        columns: Any,
        columns_begin: Any,
        count: Any,
        examples: Any,
    ) -> Any:
        given = (gradients, gradients_begin, errors, errors_begin, inputs, inputs_begin)
        return types.void(*given, columns, columns_begin, count, examples), emit

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        make = _Emitter(context, builder, signature.args[0].dtype)
        (gradients, errors, inputs, columns), begins = make.arrays(signature, arguments)
        gradients_begin, errors_begin, inputs_begin, columns_begin = begins
        count, examples = arguments[8:]
        used = make.offset(examples, make.lanes - 1)
        used = builder.sdiv(used, _INT64(make.lanes))
        totals = make.zeros(rows, width)
        blocks = builder.sdiv(make.offset(count, width - 1), _INT64(width))
        with cgutils.for_range(builder, blocks) as block:
            first = make.times(block.index, width)
            rest = builder.sub(count, first)
            starts = []
            for k in range(width):
                # Beyond the last column: the last one again, and its sums are thrown away.
                inside = builder.icmp_signed("<", _INT64(k), rest)
                last = builder.sub(rest, _INT64(1))
                at = make.offset(columns_begin, first, builder.select(inside, _INT64(k), last))
                column = builder.sext(make.load(columns, at), _INT64)
                starts.append(make.offset(inputs_begin, make.times(column, LANES)))
            make.clear(totals)
            with cgutils.for_range(builder, used) as loop:
                lane = make.times(loop.index, make.lanes)
                error = [
                    make.load(errors, make.offset(errors_begin, lane, row * LANES), make.vector)
                    for row in range(rows)
                ]
                for k in range(width):
                    vector = make.load(inputs, make.offset(starts[k], lane), make.vector)
                    for row in range(rows):
                        make.accumulate(totals[row][k], error[row], vector)
            _add_sums(make, totals, gradients, make.offset(gradients_begin, first), count, rest)
        return context.get_dummy_value()

    return cast("Callable[..., None]", gradient)


def _add_sums(
    make: _Emitter, totals: list[list[Any]], gradients: Any, begin: Any, count: Any, rest: Any
) -> None:
    """Add the sums over lanes to the first ``rest`` gradients of each row."""
    builder, width = make.builder, len(totals[0])
    together, places = make.sums([builder.load(total) for row in totals for total in row])
    kind = ir.VectorType(make.scalar, width)
    full = builder.icmp_signed(">=", rest, _INT64(width))
    for row in range(len(totals)):
        lanes = [places.index(row * width + k) for k in range(width)]
        sums = make.choose(together, together, lanes)
        with builder.if_else(full) as (whole, part):
            with whole:
                make.store(builder.fadd(make.load(gradients, begin, kind), sums), gradients, begin)
            with part:
                for k in range(width - 1):
                    with builder.if_then(builder.icmp_signed("<", _INT64(k), rest)):
                        at = make.offset(begin, k)
                        one = builder.extract_element(sums, _INT32(k))
                        make.store(builder.fadd(make.load(gradients, at), one), gradients, at)
        begin = make.offset(begin, count)


product_1, product_2, product_4 = _product(1), _product(2), _product(4)
"""``result[row] = sum_j weight[row, j] * inputs[columns[j]]`` for a tile, for 1, 2 or 4 rows."""

gradient_1, gradient_2, gradient_4 = _gradient(1), _gradient(2), _gradient(4)
"""``gradients[row, j] += errors[row] . inputs[columns[j]]`` over a tile's first examples."""
