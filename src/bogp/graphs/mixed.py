"""The family ``mixed``: ten kinds of graphs that together reach the corners of property space.

Uniform graphs of one edge count are nearly alike; these are not. :mod:`bogp.graphs.pilot` chooses
kinds and parameters so that a database covers the region that they reach evenly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs.kernels import mixed as kernels
from bogp.graphs.kernels.bits import Rows, unpack, words
from bogp.graphs.kernels.mixed import COLUMNS
from bogp.graphs.kernels.pair_keys import NOISE, UNIT
from bogp.graphs.mixed_kinds import KINDS, NUMBERED, Kind
from bogp.graphs.relational import check_edges
from bogp.types import BoolArray, Floats, Integers


def mixed(
    nodes: int, edges: int, seed: int, kind: str | None = None, **parameters: Any
) -> BoolArray:
    """Return a graph of one of ten kinds, which together cover what ``edges`` edges can be.

    A kind or a parameter left out is drawn from the seed, the kind among those that take every
    parameter given.

    Args:
        nodes: number of nodes, at least 1.
        edges: number of undirected edges.
        seed: 0 or more, below 2^64.
        kind: a key of :data:`~bogp.graphs.mixed_kinds.KINDS`.
        parameters: those of the kind:
            ``p``, the share of the edges that fall anywhere instead of where the kind has them;
            ``start``, the distance on the ring that is filled first, 0 the nearest and 1 the
            farthest;
            ``exponent``: the log-odds that a node of rank r among n gains are ``exponent``
            log(n / r);
            ``evenness``, the share of the way to degrees that differ by at most one, gone edge by
            edge;
            ``blocks``, their number, at most one a node;
            ``contrast``, the odds of a pair within a block over those of a pair across;
            ``skew``, the size of the first block over that of the last;
            ``closed``, whether the last block is next to the first;
            ``core`` and ``share``, the shares of the nodes that are the core or hubs;
            ``dimensions`` of the cube, 1 to 16;
            ``torus``, whether opposite faces of the cube are joined;
            ``noise``, the logistic scale of a pair's distance, in units of the usual length of an
            edge.

    Raises:
        UnknownNameError: no such kind, or no such parameter of it.
        GraphError: the edges do not fit, or a parameter is out of range or none of its kind.
        SettingError: a seed below 0 or not below 2^64.

    >>> int(mixed(8, 10, 0, kind="small_world", p=0.1).sum()) // 2
    10
    """
    if not 0 <= seed < 2**64:
        raise SettingError(f"seed {seed} is not in [0, 2^64): the family mixed takes 64 bits")
    check_edges(nodes, edges)
    given = {name: value for name, value in parameters.items() if value is not None}
    unit = np.random.default_rng((seed, 1)).random(COLUMNS + 1)
    chosen = _choose(kind, given, unit[-1])
    values = chosen.prior(unit[None, :COLUMNS], nodes, edges)
    for parameter in chosen.parameters:
        if parameter.name in given:
            values[0, parameter.column] = parameter.checked(given[parameter.name])
    seeds = np.array([seed], dtype=np.uint64)
    rows = draw_mixed(nodes, edges, seeds, np.array([chosen.number]), values)
    graph: BoolArray = unpack(rows, nodes)[0]
    return graph


def _choose(name: str | None, given: Mapping[str, Any], unit: float) -> Kind:
    """Return the kind of a name, or the one that ``unit``, in [0, 1), draws.

    Raises:
        UnknownNameError: no such kind, or no such parameter of it.
        GraphError: no kind takes all that is given.
    """
    if name is None:
        able = [k for k in NUMBERED if set(given) <= {parameter.name for parameter in k.parameters}]
        if not able:
            raise GraphError(
                f"no kind of mixed graph takes {sorted(given)} together: leave some out"
            )
        return able[int(unit * len(able))]
    if name not in KINDS:
        raise UnknownNameError("kind of mixed graph", name, KINDS)
    known = [parameter.name for parameter in KINDS[name].parameters]
    for parameter in given:
        if not known:
            raise GraphError(f"kind {name!r} takes no parameters: leave out {parameter!r}")
        if parameter not in known:
            raise UnknownNameError(f"{name} parameter", parameter, known)
    return KINDS[name]


def draw_mixed(nodes: int, edges: int, seeds: Rows, kinds: Integers, values: Floats) -> Rows:
    """Return graphs of the family ``mixed``, each from its own seed, kind and values alone.

    Args:
        nodes: number of nodes of each graph.
        edges: number of edges of each graph.
        seeds: uint64 (graphs,).
        kinds: the :attr:`Kind.number` of each; int64 (graphs,).
        values: parameters, each in its :attr:`Parameter.column`, 0 elsewhere; float64
            (graphs, :data:`COLUMNS`).

    Returns:
        rows of bits, uint64 (graphs, nodes, words).

    Raises:
        GraphError: the edges do not fit, the arrays do not belong together, or a value is out of
            its parameter's range.

    >>> seeds, kinds = np.arange(3, dtype=np.uint64), np.full(3, KINDS["uniform"].number)
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


_LEAST, _MOST = np.zeros((2, len(KINDS), COLUMNS))
for _kind in NUMBERED:
    for _parameter in _kind.parameters:
        _LEAST[_kind.number, _parameter.column] = _parameter.least
        _MOST[_kind.number, _parameter.column] = _parameter.most


def _check_values(kinds: Integers, values: Floats) -> None:
    """Raise GraphError unless every kind exists and every value is in its range."""
    wrong = (kinds < 0) | (kinds >= len(KINDS))
    if wrong.any():
        raise GraphError(
            f"kind number {kinds[wrong][0]} does not exist: give 0 to {len(KINDS) - 1}"
        )
    outside = ~((values >= _LEAST[kinds]) & (values <= _MOST[kinds]))
    if outside.any():
        graph, column = (int(k) for k in np.argwhere(outside)[0])
        raise GraphError(
            f"value {values[graph, column]} in column {column} of graph {graph} is out of range "
            f"for kind {NUMBERED[kinds[graph]].name!r}: give "
            f"{_LEAST[kinds[graph], column]:g} to {_MOST[kinds[graph], column]:g}"
        )
