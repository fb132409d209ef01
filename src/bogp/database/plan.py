"""What a graph database is to hold: the settings that decide each graph, and algorithm 1's draw."""

from __future__ import annotations

import inspect
import json
import operator
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.database.blocks import (
    Bytes,
    Ids,
    Origin,
    block_size,
    triangle_bytes,
)
from bogp.errors import (
    DatabaseError,
    GraphError,
    SettingError,
    UnknownNameError,
    check_sparsity,
)
from bogp.graphs.generators import GENERATORS, generate, random_mask
from bogp.graphs.kernels.bits import Rows, pack
from bogp.graphs.mixed import KINDS, NUMBERS, draw_mixed
from bogp.graphs.pilot import VERSION, Pilot, pilot_size, run_pilot
from bogp.graphs.property_vectors import PROPERTIES
from bogp.graphs.relational import edges_for_sparsity, mask_to_graph
from bogp.keys import canonical_json, derive_seed
from bogp.types import Floats

PAPER_SPARSITIES = (0.15, 0.30, 0.45, 0.60, 0.75, 0.90)
"""The sparsities of the paper's table 1."""

ALL_PROPERTIES: tuple[str, ...] = tuple(name for name in PROPERTIES if name != "cycle_length")
"""What a database stores unless told otherwise: all but ``cycle_length``, another name of girth."""

MIXED = "mixed"
"""The family that covers property space, each graph with a kind and parameters of its own."""

RANDOM_MASK = "random_mask"
"""The family of the paper's algorithm 1: a plain random 0-1 mask, read as a graph."""

FAMILIES: tuple[str, ...] = (*GENERATORS, RANDOM_MASK)
"""The names that ``family`` takes."""


IMPORTED = "imported"
"""The family of a database that was made from a table."""


_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Span:
    """Which graphs a block holds: ``graphs`` of one sparsity, from its graph ``start`` on."""

    number: int
    index: int  # of the sparsity
    start: int
    graphs: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """The graphs of a block before their properties are known; each array has a row a graph."""

    seeds: npt.NDArray[np.uint64]
    edges: npt.NDArray[np.int32]
    origins: npt.NDArray[np.int32]
    numbers: Floats
    rows: Rows
    masks: Bytes | None  # packed bits, family random_mask only


@dataclass(frozen=True)
class Plan:
    """The settings that decide the content of a database; make one with :func:`make_plan`."""

    nodes: int
    shape: tuple[int, int]  # (out_features, in_features)
    sparsities: tuple[float, ...]  # ascending
    graphs: int  # per sparsity
    family: str
    seed: int
    names: tuple[str, ...]
    parameters: dict[str, Any]

    @property
    def expected(self) -> int:
        """The number of graphs once the database is complete."""
        return self.graphs * (1 if self.family == IMPORTED else len(self.sparsities))

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """The edge count of each sparsity's graphs (for ``random_mask`` the mask decides)."""
        return tuple(edges_for_sparsity(self.nodes, s, *self.shape) for s in self.sparsities)

    @cached_property
    def origins(self) -> tuple[Origin, ...]:
        """How the graphs are made: one for the whole family, or one for each kind of ``mixed``."""
        if self.family == MIXED:
            return tuple(
                Origin(
                    MIXED,
                    {"kind": kind},
                    {p.name: (p.type.__name__, p.column) for p in KINDS[kind]},
                )
                for kind in sorted(NUMBERS, key=NUMBERS.__getitem__)
            )
        return (Origin(self.family, self.parameters),)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The blocks, which the other settings decide, whatever is there already."""
        graph_bytes = triangle_bytes(self.nodes)
        if self.family == RANDOM_MASK:
            graph_bytes += (self.shape[0] * self.shape[1] + 7) // 8
        size = block_size(graph_bytes)
        places = [
            (index, start)
            for index in range(len(self.sparsities))
            for start in range(0, self.graphs, size)
        ]
        return tuple(
            Span(number, index, start, min(size, self.graphs - start))
            for number, (index, start) in enumerate(places)
        )

    def block_row(self, span: Span) -> tuple[int, float, int, int]:
        """Return number, sparsity, graphs and first id of a block, as the file has them."""
        first = span.index * self.graphs + span.start
        return span.number, self.sparsities[span.index], span.graphs, first

    def ids(self, span: Span) -> Ids:
        """Return the ids of a block's graphs: index of the sparsity × graphs + k."""
        first = span.index * self.graphs + span.start
        return np.arange(first, first + span.graphs, dtype=np.int64)

    def mixture(self, index: int) -> Pilot:
        """Return what chooses the kinds and parameters of a sparsity's graphs, family mixed."""
        seed = derive_seed(self.seed, MIXED, self.nodes, self.sparsities[index])
        with _ONE_AT_A_TIME:  # or each thread that comes to need it would make its own
            return _mixture(self.nodes, self.edges[index], seed, self.parameters["pilot"])

    def draw(self, span: Span) -> Drawn:
        """Return the graphs of a block, each from its own seed and parameters alone."""
        return self._draw_mixed(span) if self.family == MIXED else self._draw(span)

    def _draw_mixed(self, span: Span) -> Drawn:
        settings = self.mixture(span.index).settings(span.start, span.graphs, self.graphs)
        edges = self.edges[span.index]
        return Drawn(
            seeds=settings.seeds,
            edges=np.full(span.graphs, edges, dtype=np.int32),
            origins=settings.kinds.astype(np.int32),
            numbers=settings.values,
            rows=draw_mixed(self.nodes, edges, settings.seeds, settings.kinds, settings.values),
            masks=None,
        )

    def _draw(self, span: Span) -> Drawn:
        sparsity, edges = self.sparsities[span.index], self.edges[span.index]
        seeds = [
            derive_seed(self.seed, self.family, self.nodes, sparsity, k)
            for k in range(span.start, span.start + span.graphs)
        ]
        masks = None
        if self.family == RANDOM_MASK:
            drawn = [random_mask(*self.shape, sparsity, seed) for seed in seeds]
            graphs = [mask_to_graph(mask, self.nodes) for mask in drawn]
            masks = np.packbits(
                np.stack([m.numpy() for m in drawn]).reshape(len(drawn), -1), axis=1
            )
        else:
            graphs = [
                generate(self.family, self.nodes, edges, seed, **self.parameters) for seed in seeds
            ]
        return Drawn(
            seeds=np.array(seeds, dtype=np.uint64),
            edges=np.array([graph.edges for graph in graphs], dtype=np.int32),
            origins=np.zeros(span.graphs, dtype=np.int32),
            numbers=np.empty((span.graphs, 0)),
            rows=pack(np.stack([graph.adjacency for graph in graphs])),
            masks=masks,
        )

    def rows(self) -> list[tuple[str, str]]:
        """Return the rows of the table ``plan``."""
        return [(f.name, canonical_json(getattr(self, f.name))) for f in fields(self)]


@lru_cache(maxsize=32)
def _mixture(nodes: int, edges: int, seed: int, pilot: int) -> Pilot:
    """Return the mixture of one sparsity, made once for all its blocks."""
    return run_pilot(nodes, edges, seed, pilot)


def make_plan(
    *,
    nodes: int,
    sparsities: Sequence[float] | float,
    graphs: int,
    family: str,
    shape: tuple[int, int] | None,
    seed: int,
    names: str | Sequence[str],
    parameters: Mapping[str, Any] | None,
) -> Plan:
    """Return the checked plan: sparsities ascending and each once, names each once.

    Raises:
        SparsityError, GraphError, UnknownNameError, SettingError: see ``GraphDatabase.build``.
    """
    nodes, graphs = whole_number("nodes", nodes), whole_number("graphs", graphs)
    out_features, in_features = (
        whole_number("shape", size) for size in ((nodes, nodes) if shape is None else shape)
    )
    names = one_or_more(names)
    wanted = (sparsities,) if isinstance(sparsities, (int, float)) else tuple(sparsities)
    if nodes < 1:
        raise GraphError(f"a graph of {nodes} nodes cannot exist: give at least 1 node")
    if nodes > min(out_features, in_features):
        raise GraphError(
            f"{nodes} nodes do not fit a layer of shape {out_features}x{in_features}: "
            f"give at most {min(out_features, in_features)} nodes"
        )
    if graphs < 1:
        raise SettingError(f"{graphs} graphs per sparsity is below 1: ask for at least one")
    if family not in FAMILIES:
        raise UnknownNameError("family", family, FAMILIES)
    for name in names:
        if name not in PROPERTIES:
            raise UnknownNameError("property", name, PROPERTIES)
    if not names or not wanted:
        raise SettingError(
            "a database without a property or a sparsity is empty: name at least one of each"
        )
    if family == RANDOM_MASK and parameters:
        raise SettingError(
            f"family {RANDOM_MASK} takes no parameters, and {sorted(parameters)} is given: "
            "leave them out or name another family"
        )
    return Plan(
        nodes=nodes,
        shape=(out_features, in_features),
        sparsities=tuple(sorted({check_sparsity(s) for s in wanted})),
        graphs=graphs,
        family=family,
        seed=whole_number("seed", seed),
        names=tuple(dict.fromkeys(names)),
        parameters=(
            _pilot(nodes, graphs, parameters or {})
            if family == MIXED
            else _with_defaults(family, parameters or {})
        ),
    )


def one_or_more(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return names, of which one may stand alone.

    >>> one_or_more("girth"), one_or_more(["girth", "diameter"])
    (('girth',), ('girth', 'diameter'))
    """
    return (names,) if isinstance(names, str) else tuple(names)


def whole_number(name: str, value: Any) -> int:
    """Return ``value``, which may be a float without a fraction, as an int, or raise.

    >>> whole_number("nodes", 8.0)
    8
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return operator.index(value)
    except TypeError as error:
        raise SettingError(f"{name} {value!r} is not a whole number: give one") from error


def _pilot(nodes: int, graphs: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a database of mixed graphs: how many settings are tried for it.

    The version of the mixture stands beside them, so that a build is not continued by another one.
    """
    for name in parameters:
        if name == "version" and parameters[name] != VERSION:
            raise SettingError(
                f"version {parameters[name]} of the mixture is asked for, and this bogp has "
                f"version {VERSION}: leave it out"
            )
        if name not in ("pilot", "version"):
            raise UnknownNameError("parameter of a mixed database", name, ("pilot",))
    pilot = parameters.get("pilot", pilot_size(graphs, nodes))
    number = whole_number("pilot", pilot)
    if number < 1:
        raise SettingError(
            f"a pilot of {pilot} graphs shows nothing: give a whole number, 1 or more"
        )
    return {"pilot": number, "version": VERSION}


def _with_defaults(family: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the family's parameters, those left out at their defaults, as they are recorded.

    A whole number stands for the equal float and the other way round, as the default has it.
    """
    known = {}
    if family != RANDOM_MASK:
        keywords = list(inspect.signature(GENERATORS[family]).parameters.values())[3:]
        known = {keyword.name: keyword.default for keyword in keywords}
    settings = known | dict(parameters)
    for name, default in known.items():
        kind = type(default)
        if isinstance(settings[name], (int, float)) and kind(settings[name]) == settings[name]:
            settings[name] = kind(settings[name])
    try:
        canonical_json(settings)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"parameters {dict(parameters)} cannot be recorded ({error}): give finite numbers"
        ) from error
    return settings


def read_plan(connection: sqlite3.Connection, path: Path) -> Plan:
    """Return the plan that the database file at ``path`` holds.

    Raises:
        DatabaseError: the table lacks a row or holds no JSON.
    """
    try:
        stored = {
            name: json.loads(value)
            for name, value in connection.execute("SELECT name, value FROM plan")
        }
        return Plan(
            nodes=stored["nodes"],
            shape=(stored["shape"][0], stored["shape"][1]),
            sparsities=tuple(stored["sparsities"]),
            graphs=stored["graphs"],
            family=stored["family"],
            seed=stored["seed"],
            names=tuple(stored["names"]),
            parameters=stored["parameters"],
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DatabaseError(
            f"graph database {str(path)!r} is corrupt (its plan cannot be read, {error!r}): "
            "restore a copy of it or build it again under another name"
        ) from error


def check_blocks(connection: sqlite3.Connection, path: Path, plan: Plan) -> None:
    """Raise DatabaseError unless the blocks of the file at ``path`` are some of the plan's.

    Of an imported database, whose blocks the plan does not decide, only their sparsities are known.
    """
    rows = connection.execute("SELECT id, sparsity, graphs, first FROM block ORDER BY id")
    if plan.family == IMPORTED:
        known = set(plan.sparsities)
        wrong = [number for number, sparsity, _, _ in rows if sparsity not in known]
    else:
        spans = plan.spans
        wrong = [
            row[0]
            for row in rows
            if row[0] not in range(len(spans)) or row != plan.block_row(spans[row[0]])
        ]
    if wrong:
        raise DatabaseError(
            f"graph database {str(path)!r} is corrupt (block {wrong[0]} is not one of its plan): "
            "restore a copy of it or build it again under another name"
        )


def differences(stored: Plan, wanted: Plan) -> str:
    """Return ``name stored, not wanted`` for each setting that differs, joined; empty if none."""
    pairs = zip(stored.rows(), wanted.rows(), strict=True)
    return "; ".join(f"{name} {old}, not {new}" for (name, old), (_, new) in pairs if old != new)
