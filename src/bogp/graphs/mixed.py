"""The family ``mixed``: ten kinds of graphs that together reach the corners of property space.

Uniform graphs of one edge count are nearly alike. The kinds here differ from them, and from each
other, in clustering, path length, spread and pairing of degrees, and connectivity, at the same
edge count; their parameters lead from each kind's extreme to near-uniform graphs, so that what
lies between is reached too. :mod:`bogp.graphs.pilot` chooses kinds and parameters so that a
database covers that region evenly.

Node order means something to a mask (neighbouring nodes own neighbouring channels): the ring of
``small_world`` and ``regular``, the blocks of ``communities``, ``cliques`` and ``layers`` and the
first coordinate of ``geometric`` run along it. Cores, hubs and the nodes that ``exponent`` favours
are placed at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs.kernels import mixed as kernels
from bogp.graphs.kernels.bits import Rows, unpack, words
from bogp.graphs.kernels.mixed import COLUMNS, Whole
from bogp.graphs.kernels.pair_keys import (
    NOISE,
    UNIT,
)
from bogp.types import BoolArray, Floats


@dataclass(frozen=True)
class Parameter:
    """One number of a kind: where it is kept, what may be asked for and what is drawn."""

    name: str
    column: int
    least: float
    most: float
    low: float
    high: float
    type: type = float
    logarithmic: bool = False
    sparse: bool = False
    """Whether ``low`` and ``high`` are in units of one over the density."""
    atom: float = 0.0
    """The share of the prior that is exactly ``low``."""

    def prior(self, unit: Floats, nodes: int, edges: int) -> Floats:
        """Return the values that the prior puts at ``unit`` (count,), numbers in [0, 1)."""
        low, high = self.low, self.high
        if self.type is bool:
            return np.floor(2.0 * unit)
        if self.sparse:
            scale = nodes * (nodes - 1) / (2.0 * max(edges, 1))
            low, high = (min(max(scale * x, 2.0), max(nodes / 2.0, 2.0)) for x in (low, high))
        part = np.clip((unit - self.atom) / (1.0 - self.atom), 0.0, 1.0)
        if self.type is int:
            high += 0.999  # A whole number stands for the unit length above it.
        value = low * (high / low) ** part if self.logarithmic else low + (high - low) * part
        if self.type is int:
            return np.floor(value)
        return np.array([float(f"{x:.4g}") for x in value.tolist()])  # short to record

    def value(self, number: float) -> Any:
        """Return a number of an array as the parameter's own type."""
        return self.type(number)


_P = Parameter("p", 1, 0.0, 1.0, 1e-3, 1.0, logarithmic=True)
_RING_P = Parameter("p", 0, 0.0, 1.0, 1e-3, 1.0, logarithmic=True)
_START = Parameter("start", 1, 0.0, 1.0, 0.0, 1.0, atom=0.4)
_SKEW = Parameter("skew", 2, 1.0, 1e6, 1.0, 20.0, logarithmic=True, atom=0.3)
_CLOSED = Parameter("closed", 3, 0.0, 1.0, 0.0, 1.0, type=bool)
_EXPONENT = Parameter("exponent", 4, 0.0, 8.0, 0.0, 1.5, atom=0.4)
_EVENNESS = Parameter("evenness", 5, 0.0, 1.0, 0.0, 1.0, atom=0.5)

KINDS: dict[str, tuple[Parameter, ...]] = {
    "uniform": (),
    "small_world": (_RING_P, _START, _EXPONENT, _EVENNESS),
    "regular": (_RING_P, _START),
    "scale_free": (Parameter("exponent", 4, 0.0, 8.0, 0.05, 4.0, logarithmic=True), _EVENNESS),
    "communities": (
        Parameter("blocks", 0, 1.0, 1e9, 2.0, 16.0, type=int, logarithmic=True),
        Parameter("contrast", 1, 1e-9, 1e9, 1e-3, 1e3, logarithmic=True),
        _SKEW,
        _EXPONENT,
        _EVENNESS,
    ),
    "cliques": (
        Parameter("blocks", 0, 1.0, 1e9, 0.5, 2.5, type=int, logarithmic=True, sparse=True),
        _P,
        _SKEW,
        _CLOSED,
        _EVENNESS,
    ),
    "layers": (
        Parameter("blocks", 0, 1.0, 1e9, 1.0, 4.0, type=int, logarithmic=True, sparse=True),
        _P,
        _SKEW,
        _CLOSED,
        _EVENNESS,
    ),
    "core_periphery": (Parameter("core", 0, 0.0, 1.0, 0.05, 0.95), _P, _EXPONENT, _EVENNESS),
    "hubs": (
        Parameter("share", 0, 0.0, 1.0, 0.01, 0.5, logarithmic=True),
        _P,
        _EXPONENT,
        _EVENNESS,
    ),
    "geometric": (
        Parameter("dimensions", 0, 1.0, 16.0, 1.0, 4.0, type=int),
        Parameter("torus", 1, 0.0, 1.0, 0.0, 1.0, type=bool),
        Parameter("noise", 2, 1e-3, 1e3, 0.01, 1.0, logarithmic=True),
        _EXPONENT,
        _EVENNESS,
    ),
}
"""Kind → its parameters; kinds are numbered in this order."""

NUMBERS = {name: number for number, name in enumerate(kernels.KINDS)}
"""Kind → its number in the arrays of :func:`draw_mixed`."""


def mixed(
    nodes: int,
    edges: int,
    seed: int,
    kind: str | None = None,
    p: float | None = None,
    start: float | None = None,
    exponent: float | None = None,
    evenness: float | None = None,
    blocks: int | None = None,
    contrast: float | None = None,
    skew: float | None = None,
    closed: bool | None = None,
    core: float | None = None,
    share: float | None = None,
    dimensions: int | None = None,
    torus: bool | None = None,
    noise: float | None = None,
) -> BoolArray:
    """Return a graph of one of ten kinds, which together cover what ``edges`` edges can be.

    A kind or a parameter left out is drawn from the seed, the kind among those that take every
    parameter given.

    Args:
        nodes: number of nodes, at least 1.
        edges: number of undirected edges.
        seed: 0 or more, below 2^64.
        kind: ``uniform``; ``small_world``, a ring of near nodes; ``regular``, the same with
            degrees that differ by at most one; ``scale_free``, odds of a node falling as a power
            of its rank (Goh et al. 2001); ``communities``, blocks (Holland et al. 1983);
            ``cliques``, a chain of dense blocks; ``layers``, blocks joined to the blocks next to
            them; ``core_periphery``, a full core, then pairs of core and rim; ``hubs``, pairs of
            hub and rim first; ``geometric``, near points in a cube.
        p: share of the edges that fall anywhere instead of where the kind has them.
        start: distance on the ring that is filled first, 0 the nearest and 1 the farthest.
        exponent: log-odds that a node of rank r among n gains are ``exponent`` log(n / r).
        evenness: share of the way to degrees that differ by at most one, gone edge by edge.
        blocks: number of blocks, at most one a node.
        contrast: odds of a pair within a block over those of a pair across.
        skew: size of the first block over that of the last.
        closed: whether the last block is next to the first.
        core: share of the nodes that are the core.
        share: share of the nodes that are hubs.
        dimensions: of the cube, 1 to 16.
        torus: whether opposite faces of the cube are joined.
        noise: the logistic scale of a pair's distance, in units of the usual length of an edge.

    Raises:
        UnknownNameError: no such kind, or no such parameter of it.
        GraphError: the edges do not fit, or a parameter is out of range or none of its kind.
        SettingError: a seed below 0 or not below 2^64.

    >>> int(mixed(8, 10, 0, kind="small_world", p=0.1).sum()) // 2
    10
    """
    given = {
        "p": p, "start": start, "exponent": exponent, "evenness": evenness, "blocks": blocks,
        "contrast": contrast, "skew": skew, "closed": closed, "core": core, "share": share,
        "dimensions": dimensions, "torus": torus, "noise": noise,
    }  # fmt: skip
    if not 0 <= seed < 2**64:
        raise SettingError(f"seed {seed} is not in [0, 2^64): the family mixed takes 64 bits")
    check_edges(nodes, edges)
    number, values = setting(
        nodes, edges, seed, kind, {name: x for name, x in given.items() if x is not None}
    )
    seeds = np.array([seed], dtype=np.uint64)
    rows = draw_mixed(nodes, edges, seeds, np.array([number]), values[None])
    graph: BoolArray = unpack(rows, nodes)[0]
    return graph


def draw_mixed(nodes: int, edges: int, seeds: Rows, kinds: Whole, values: Floats) -> Rows:
    """Return graphs of the family ``mixed``, each from its own seed, kind and values alone.

    Args:
        nodes: number of nodes of each graph.
        edges: number of edges of each graph.
        seeds: uint64 (graphs,).
        kinds: numbers of the kinds, :data:`NUMBERS`; int64 (graphs,).
        values: parameters, each in its :attr:`Parameter.column`, 0 elsewhere; float64
            (graphs, :data:`COLUMNS`).

    Returns:
        rows of bits, uint64 (graphs, nodes, words).

    Raises:
        GraphError: the edges do not fit, the arrays do not belong together, or a value is out of
            its parameter's range.

    >>> seeds, kinds = np.arange(3, dtype=np.uint64), np.full(3, NUMBERS["uniform"])
    >>> rows = draw_mixed(8, 10, seeds, kinds, np.zeros((3, COLUMNS)))
    >>> np.bitwise_count(rows).sum(axis=(1, 2)).tolist()
    [20, 20, 20]
    """
    check_edges(nodes, edges)
    seeds = np.ascontiguousarray(seeds, dtype=np.uint64)
    kinds = np.ascontiguousarray(kinds, dtype=np.int64)
    values = np.ascontiguousarray(values, dtype=np.float64)
    graphs = len(seeds)
    if kinds.shape != (graphs,) or values.shape != (graphs, COLUMNS):
        raise GraphError(
            f"{graphs} seeds, kinds of shape {kinds.shape} and values of shape {values.shape} do "
            f"not belong together: give shapes ({graphs},) and ({graphs}, {COLUMNS})"
        )
    _check_values(kinds, values)
    logs = np.rint(np.log(nodes / np.arange(1, nodes + 1)) * UNIT).astype(np.int32)
    rows = np.zeros((graphs, nodes, words(nodes)), dtype=np.uint64)
    kernels.draw(edges, seeds, kinds, values, NOISE, logs, rows)
    return rows


def setting(
    nodes: int, edges: int, seed: int, kind: str | None, given: Mapping[str, Any]
) -> tuple[int, Floats]:
    """Return the number of a kind and its values (columns,), what is not given drawn from ``seed``.

    A kind that is not given is one of those that take every parameter given.

    Raises:
        UnknownNameError: no such kind, or no such parameter of it.
        GraphError: a parameter is out of range.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of mixed graph", kind, KINDS)
    able = [name for name in KINDS if set(given) <= {parameter.name for parameter in KINDS[name]}]
    if kind is None and not able:
        raise GraphError(f"no kind of mixed graph takes {sorted(given)} together: leave some out")
    if kind is not None and kind not in able:
        known = [parameter.name for parameter in KINDS[kind]]
        wrong = next(name for name in given if name not in known)
        if not known:
            raise GraphError(f"kind {kind!r} takes no parameters: leave out {wrong!r}")
        raise UnknownNameError(f"{kind} parameter", wrong, known)
    unit = np.random.default_rng((seed, 1)).random(COLUMNS + 1)
    name = able[int(unit[-1] * len(able))] if kind is None else kind
    values = prior(name, unit[None, :COLUMNS], nodes, edges)[0]
    for parameter in KINDS[name]:
        if parameter.name in given:
            values[parameter.column] = _checked(parameter, given[parameter.name])
    return NUMBERS[name], values


def prior(kind: str, unit: Floats, nodes: int, edges: int) -> Floats:
    """Return values of a kind, float64 (count, columns), at points of the unit cube of that shape.

    >>> prior("scale_free", np.zeros((1, COLUMNS)), 8, 10).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.05, 0.0]]
    """
    values = np.zeros((len(unit), COLUMNS))
    for parameter in KINDS[kind]:
        values[:, parameter.column] = parameter.prior(unit[:, parameter.column], nodes, edges)
    return values


def check_edges(nodes: int, edges: int) -> None:
    """Raise GraphError if no graph of ``nodes`` nodes has ``edges`` edges."""
    if nodes < 1:
        raise GraphError(f"a graph of {nodes} nodes cannot exist: give at least 1 node")
    pairs = nodes * (nodes - 1) // 2
    if not 0 <= edges <= pairs:
        raise GraphError(
            f"{edges} edges do not fit a graph of {nodes} nodes: give between 0 and {pairs}"
        )


def _checked(parameter: Parameter, value: Any) -> float:
    """Return the number that stands for a parameter's value, or raise GraphError."""
    number = float(value) if isinstance(value, (int, float, np.number, np.bool_)) else np.nan
    whole = parameter.type is float or number == np.rint(number)
    if not (parameter.least <= number <= parameter.most and whole):
        raise GraphError(f"{parameter.name} {value} is not {_range(parameter)}")
    return number


def _range(parameter: Parameter) -> str:
    if parameter.type is bool:
        return "true or false: give one of them"
    what = "a whole number" if parameter.type is int else "a number"
    example = parameter.value(parameter.high)
    return f"in [{parameter.least:g}, {parameter.most:g}]: give {what}, {example} say"


_LEAST, _MOST = np.zeros((2, len(kernels.KINDS), COLUMNS))
for _name, _parameters in KINDS.items():
    for _parameter in _parameters:
        _LEAST[NUMBERS[_name], _parameter.column] = _parameter.least
        _MOST[NUMBERS[_name], _parameter.column] = _parameter.most


def _check_values(kinds: Whole, values: Floats) -> None:
    """Raise GraphError unless every kind exists and every value is in its range."""
    wrong = (kinds < 0) | (kinds >= len(kernels.KINDS))
    if wrong.any():
        raise GraphError(
            f"kind number {kinds[wrong][0]} does not exist: give 0 to {len(kernels.KINDS) - 1}"
        )
    outside = ~((values >= _LEAST[kinds]) & (values <= _MOST[kinds]))
    if outside.any():
        graph, column = (int(k) for k in np.argwhere(outside)[0])
        raise GraphError(
            f"value {values[graph, column]} in column {column} of graph {graph} is out of range "
            f"for kind {kernels.KINDS[kinds[graph]]!r}: give "
            f"{_LEAST[kinds[graph], column]:g} to {_MOST[kinds[graph], column]:g}"
        )


def named(kind: int, values: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return a kind's number and values (columns,) as the keywords of :func:`mixed`.

    >>> named(NUMBERS["scale_free"], np.array([0, 0, 0, 0, 1.5, 0.0]))
    {'kind': 'scale_free', 'exponent': 1.5, 'evenness': 0.0}
    """
    name = kernels.KINDS[kind]
    return {"kind": name} | {
        parameter.name: parameter.value(values[parameter.column]) for parameter in KINDS[name]
    }
