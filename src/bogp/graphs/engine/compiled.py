"""How kernels are compiled, and the three instructions that Python has no word for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from bogp.graphs.engine.cache import keep

Function = TypeVar("Function", bound=Callable[..., Any])

_HIGH_FIRST = sys.byteorder == "big"
"""Whether the highest bit of a word, read as a vector of bits, comes first."""


def compiled(function: Function) -> Function:
    """Return ``function`` compiled at its first call, the machine code kept on disk for the next.

    Where and for how long, :mod:`bogp.graphs.engine.cache` says.

    Kernels release the GIL, so threads run them side by side; none is parallel within, so a result
    does not depend on the number of threads. Division is NumPy's: by zero it gives inf or nan.
    """
    return cast("Function", keep(numba.njit(nogil=True, error_model="numpy")(function)))


def inlined(function: Function) -> Function:
    """Return ``function`` compiled into its callers, for the few lines inside a hot loop."""
    decorate = numba.njit(nogil=True, error_model="numpy", forceinline=True)
    return cast("Function", keep(decorate(function)))


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a generator of machine code as what kernels call: without the context it is given."""
    return cast("Callable[..., Any]", intrinsic(function))


@instruction
def popcount(typing_context: Any, word: Any) -> Any:
    """Return the number of ones of a uint64, as int64."""
    return types.int64(types.uint64), lambda context, builder, signature, arguments: builder.ctpop(
        arguments[0]
    )


@instruction
def lowest_bit(typing_context: Any, word: Any) -> Any:
    """Return the position of the lowest one of a uint64, as int64; 64 where there is none."""
    return types.int64(types.uint64), lambda context, builder, signature, arguments: builder.cttz(
        arguments[0], ir.Constant(ir.IntType(1), 0)
    )


@instruction
def add_where(typing_context: Any, graph: Any, column: Any, vector: Any, product: Any) -> Any:
    """Write what 64 nodes get when every node gives its entry of ``vector`` to its neighbours.

    ``graph`` is uint64 (nodes, words), ``vector`` float64 of at least that many nodes; written are
    the entries of ``product`` from 64 * ``column`` on, all 64 of which must exist. The 64 sums are
    one wide number, so that where the processor has masked additions a row of bits is used as it
    is. Each is added in the order of the nodes.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = (signature.args[0], signature.args[2], signature.args[3])
        graph, vector, product = (
            context.make_array(kind)(context, builder, arguments[k])
            for kind, k in zip(kinds, (0, 2, 3), strict=True)
        )
        column = arguments[1]
        tools: Any = cgutils  # has no types of its own

        def entry(kind: Any, array: Any, position: list[Any]) -> Any:
            return tools.get_item_pointer(context, builder, kind, array, position)

        wide, lane = ir.VectorType(ir.DoubleType(), 64), ir.IntType(32)
        zeros, anything = ir.Constant(wide, [0.0] * 64), ir.Constant(wide, ir.Undefined)
        total = tools.alloca_once_value(builder, zeros)
        with tools.for_range(builder, builder.extract_value(graph.shape, 0)) as loop:
            word = builder.load(entry(kinds[0], graph, [loop.index, column]))
            some = builder.icmp_unsigned("!=", word, ir.Constant(word.type, 0))
            with builder.if_then(some, likely=True):
                given = builder.load(entry(kinds[1], vector, [loop.index]))
                given = builder.insert_element(anything, given, ir.Constant(lane, 0))
                first = ir.Constant(ir.VectorType(lane, 64), [0] * 64)
                given = builder.shuffle_vector(given, anything, first)
                if _HIGH_FIRST:
                    word = builder.bitreverse(word)
                mask = builder.bitcast(word, ir.VectorType(ir.IntType(1), 64))
                taken = builder.select(mask, given, zeros)
                builder.store(builder.fadd(builder.load(total), taken), total)
        start = builder.mul(column, ir.Constant(column.type, 64))
        target = builder.bitcast(entry(kinds[2], product, [start]), wide.as_pointer())
        builder.store(builder.load(total), target, align=8)
        return context.get_dummy_value()

    return types.void(graph, types.int64, vector, product), generate
