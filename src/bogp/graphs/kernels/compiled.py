"""How kernels are compiled and kept, and the three instructions that Python has no word for.

Numba keeps the machine code of a function on disk and compiles it anew when the function's own file
has changed. But the code of a kernel holds that of the kernels it calls, which may lie in other
files. Here the name of each kept file therefore ends in a stamp of all sources that a kernel may
call: those in its own folder and in this one. Code of other sources is never found, whoever writes
at the same time. Numba chooses where to keep it: in the folder of the variable NUMBA_CACHE_DIR, in
``__pycache__`` beside the source, or in the user's cache. Where none of these can be written,
kernels are compiled at every start.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
from llvmlite import ir
from numba.core import caching, cgutils, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])

_untyped_caching: Any = caching
_untyped_cgutils: Any = cgutils

_KERNELS = Path(__file__).resolve().parent

_HIGH_FIRST = sys.byteorder == "big"
"""Whether the highest bit of a word, read as a vector of bits, comes first."""


def compiled(function: Function) -> Function:
    """Return ``function`` compiled at its first call, the machine code kept on disk for the next.

    Kernels release the GIL, so threads run them side by side; none is parallel within, so a result
    does not depend on the number of threads. Division is NumPy's: by zero it gives inf or nan.
    """
    return cast("Function", _kept(numba.njit(nogil=True, error_model="numpy")(function)))


def inlined(function: Function) -> Function:
    """Return ``function`` compiled into its callers, for the few lines inside a hot loop."""
    decorate = numba.njit(nogil=True, error_model="numpy", forceinline=True)
    return cast("Function", _kept(decorate(function)))


def _kept(dispatcher: Any) -> Any:
    """Return a numba dispatcher whose machine code is kept on disk where that is possible."""
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError:  # numba found no folder
        _warn()
    return dispatcher


@cache
def stamp(folder: Path) -> str:
    """Return a hash of the sources in a folder and in this one, and of what compiles them."""
    found = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for place in dict.fromkeys((_KERNELS, folder)):
        for path in sorted(place.glob("*.py")):
            content = path.read_bytes()
            found.update(f"\n{path.name} {len(content)}\n".encode())
            found.update(content)
    return found.hexdigest()[:12]


class _KernelFiles(_untyped_caching.CompileResultCacheImpl):  # type: ignore[misc]
    """Numba's files of one function, the stamp at the end of their names."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._stamp = stamp(Path(inspect.getfile(function)).resolve().parent)
        super().__init__(function)

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-{self._stamp}"

    def remove_stale(self) -> None:
        """Delete what this version of Python kept of the function from other sources."""
        name, version = self.filename_base.removesuffix(f"-{self._stamp}").rsplit("-", 1)
        version = version.rpartition(".")[2]
        kept = re.compile(rf"{re.escape(name)}-\w+\.{version}(-[0-9a-f]+)?(\.\d+)?\.nb[ic]")
        for path in Path(self.locator.get_cache_path()).iterdir():
            match = kept.fullmatch(path.name)
            if match and match[1] != f"-{self._stamp}":
                path.unlink(missing_ok=True)


class _KernelCache(_untyped_caching.FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function; a file that cannot be read or written is done without."""

    _impl_class = _KernelFiles

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            self._impl.remove_stale()
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


@cache
def _warn() -> None:
    """Say once, for the first of many functions, why every start will be slow."""
    warnings.warn(
        "no folder for compiled kernels can be written, so each start compiles those it needs: set "
        "NUMBA_CACHE_DIR to a folder that can",
        RuntimeWarning,
        stacklevel=3,
    )


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

        def entry(kind: Any, array: Any, position: list[Any]) -> Any:
            return _untyped_cgutils.get_item_pointer(context, builder, kind, array, position)

        wide, lane = ir.VectorType(ir.DoubleType(), 64), ir.IntType(32)
        zeros, anything = ir.Constant(wide, [0.0] * 64), ir.Constant(wide, ir.Undefined)
        total = _untyped_cgutils.alloca_once_value(builder, zeros)
        with _untyped_cgutils.for_range(builder, builder.extract_value(graph.shape, 0)) as loop:
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
