"""How kernels are compiled, and the two instructions that Python has no word for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return ``function`` compiled at its first call, the machine code kept on disk for the next.

    Kernels release the GIL, so threads run them side by side; none is parallel within, so a result
    does not depend on the number of threads. Division is NumPy's: by zero it gives inf or nan.
    """
    return cast("Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """Return ``function`` compiled into its callers, for the few lines inside a hot loop."""
    decorate = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
    return cast("Function", decorate(function))


@intrinsic
def popcount(typing_context: Any, word: Any) -> Any:
    """Return the number of ones of a uint64, as int64."""
    return types.int64(types.uint64), lambda context, builder, signature, arguments: builder.ctpop(
        arguments[0]
    )


@intrinsic
def lowest_bit(typing_context: Any, word: Any) -> Any:
    """Return the position of the lowest one of a uint64, as int64; 64 where there is none."""
    return types.int64(types.uint64), lambda context, builder, signature, arguments: builder.cttz(
        arguments[0], ir.Constant(ir.IntType(1), 0)
    )
