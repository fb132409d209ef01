"""What a graph database is to hold: the checked settings, and the blocks that follow from them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from bogp.database.blocks import Origin, block_size, mask_bytes, triangle_bytes
from bogp.database.connect import damaged, reading
from bogp.database.rows import select
from bogp.errors import BogpError, GraphError, SettingError, UnknownNameError
from bogp.graphs import PROPERTIES
from bogp.graphs.generators import GENERATORS, random_mask
from bogp.graphs.mixed_kinds import NUMBERED
from bogp.graphs.pilot import VERSION, pilot_size
from bogp.graphs.relational import edges_for_sparsity
from bogp.keys import canonical_json
from bogp.outside import parsed
from bogp.settings.database import DatabaseSettings
from bogp.sparsity import check_sparsity

ALL_PROPERTIES: tuple[str, ...] = tuple(name for name in PROPERTIES if name != "cycle_length")
"""What a database stores unless told otherwise: all but ``cycle_length``, another name of girth."""

MIXED = "mixed"
"""The family whose graphs, each of a kind and with parameters of its own, cover property space."""

RANDOM_MASK = "random_mask"
"""The family of the paper's algorithm 1: a plain random 0-1 mask, read as a graph."""

FAMILIES: dict[str, Any] = {**GENERATORS, RANDOM_MASK: random_mask}
"""The names that ``family`` takes, each with what draws its graphs, or masks."""

IMPORTED = "imported"
"""The family of a database that was made from a table."""


class Span(NamedTuple):
    """Which graphs a block holds; a row of the table ``block`` begins with the same values."""

    number: int
    sparsity: float
    graphs: int
    first: int  # id


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
        if self.family != MIXED:
            return (Origin(self.family, self.parameters),)
        own = [{p.name: (p.type.__name__, p.column) for p in kind.parameters} for kind in NUMBERED]
        names = [{"kind": kind.name} for kind in NUMBERED]
        return tuple(Origin(MIXED, *given) for given in zip(names, own, strict=True))

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The blocks of the complete database; the settings decide them."""
        count = len(self.sparsities) * -(-self.graphs // self._block_size)
        return tuple(span for span in map(self.span, range(count)) if span is not None)

    def span(self, number: int) -> Span | None:
        """Return a block of the complete database, or None if it has none of that number.

        The id of a graph is index of its sparsity × ``graphs`` + its place among the graphs of it.
        """
        size = self._block_size
        index, place = divmod(number, -(-self.graphs // size))
        if not 0 <= index < len(self.sparsities):
            return None
        start = place * size
        first = index * self.graphs + start
        return Span(number, self.sparsities[index], min(size, self.graphs - start), first)

    @property
    def _block_size(self) -> int:
        graph_bytes = triangle_bytes(self.nodes)
        if self.family == RANDOM_MASK:
            graph_bytes += mask_bytes(self.shape)
        return block_size(graph_bytes)

    def rows(self) -> list[tuple[str, str]]:
        """Return the rows of the table ``plan``."""
        return [(f.name, canonical_json(getattr(self, f.name))) for f in fields(self)]

    def differences(self, wanted: Plan) -> str:
        """Return ``seed 3, not 5`` for each setting of which another value is wanted, joined."""
        pairs = zip(self.rows(), wanted.rows(), strict=True)
        return "; ".join(
            f"{name} {own}, not {new}" for (name, own), (_, new) in pairs if own != new
        )


def make_plan(chosen: DatabaseSettings) -> Plan:
    """Return the plan of a database: sparsities ascending and each once, names each once.

    Raises:
        GraphError: the nodes do not fit the layer.
        UnknownNameError, SettingError: the family has no such parameter, or not of that value.
    """
    out_features, in_features = chosen.shape or (chosen.nodes, chosen.nodes)
    check_nodes(chosen.nodes, (out_features, in_features))
    return Plan(
        nodes=chosen.nodes,
        shape=(out_features, in_features),
        sparsities=tuple(sorted(set(chosen.sparsities))),
        graphs=chosen.graphs,
        family=chosen.family,
        seed=chosen.seed,
        names=ALL_PROPERTIES if chosen.names is None else tuple(dict.fromkeys(chosen.names)),
        parameters=_parameters(chosen),
    )


def check_nodes(nodes: int, shape: tuple[int, int]) -> None:
    """Raise GraphError unless graphs of so many nodes fit a layer of ``shape``."""
    if nodes < 1:
        raise GraphError(f"a graph of {nodes} nodes cannot exist: give at least 1 node")
    if nodes > min(shape):
        raise GraphError(
            f"{nodes} nodes do not fit a layer of shape {shape[0]}x{shape[1]}: give at most "
            f"{min(shape)} nodes"
        )


def one_or_more(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return names, of which one may stand alone.

    >>> one_or_more("girth"), one_or_more(["girth", "diameter"])
    (('girth',), ('girth', 'diameter'))
    """
    return (names,) if isinstance(names, str) else tuple(names)


def _parameters(chosen: DatabaseSettings) -> dict[str, Any]:
    """Return the parameters of the family, those left out at their defaults, as they are recorded.

    A whole number stands for the equal float and the other way round, as the default has it.
    """
    given = dict(chosen.parameters or {})
    if chosen.family == MIXED:
        return _mixed_parameters(given, chosen.graphs, chosen.nodes)
    if chosen.family == RANDOM_MASK and given:
        raise SettingError(
            f"family {RANDOM_MASK} takes no parameters, and {sorted(given)} is given: "
            "leave them out or name another family"
        )
    known = {} if chosen.family == RANDOM_MASK else dict(GENERATORS[chosen.family].parameters)
    parameters = known | given
    for name, default in known.items():
        kind, value = type(default), parameters[name]
        if isinstance(value, (int, float)) and kind(value) == value:
            parameters[name] = kind(value)
    try:
        canonical_json(parameters)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"parameters {given} cannot be recorded ({error}): give finite numbers"
        ) from error
    return parameters


def _mixed_parameters(given: dict[str, Any], graphs: int, nodes: int) -> dict[str, Any]:
    """Return how many settings the family mixed tries, and the version of what it does with them.

    The version keeps a build from being continued by another one.
    """
    for name in given:
        if name not in ("pilot", "version"):
            raise UnknownNameError("parameter of a mixed database", name, ("pilot",))
    if given.get("version", VERSION) != VERSION:
        raise SettingError(
            f"version {given['version']} of the mixture is asked for, and this bogp has "
            f"version {VERSION}: leave it out"
        )
    pilot = given.get("pilot", pilot_size(graphs, nodes))
    if not isinstance(pilot, (int, float)) or not float(pilot).is_integer() or pilot < 1:
        raise SettingError(f"a pilot of {pilot!r} graphs: give a whole number, 1 or more")
    return {"pilot": int(pilot), "version": VERSION}


def read_plan(connection: sqlite3.Connection, path: Path) -> Plan:
    """Return the plan that the database file at ``path`` holds.

    Raises:
        DatabaseError: the table is damaged, or a setting in it is none that bogp writes.
    """
    with reading(path):
        stored = dict(select(connection, "plan", f"LIMIT {len(_NAMES) + 1}"))
        if set(stored) != set(_NAMES):
            raise ValueError(f"its plan has {', '.join(map(str, stored)) or 'no setting'}")
        text = ", ".join(f"{json.dumps(name)}: {stored[name]}" for name in _NAMES)
        plan: Plan = parsed(Plan, f"{{{text}}}")
    try:
        _check(plan)
    except BogpError as error:
        raise damaged(path, f"its plan: {error}") from error
    return plan


_NAMES = tuple(field.name for field in fields(Plan))


def _check(plan: Plan) -> None:
    """Raise unless a plan is one that :func:`make_plan`, or a table that was imported, gives.

    The parameters of a family are those that it had when the file was made.
    """
    if plan.family != IMPORTED:
        chosen = DatabaseSettings(
            **{name: getattr(plan, name) for name in _NAMES if name != "parameters"}
        )
        if replace(make_plan(chosen), parameters=plan.parameters) != plan:
            raise SettingError("its sparsities or names are not in order")
        return
    for sparsity in plan.sparsities:
        check_sparsity(sparsity)
    if plan.nodes:
        check_nodes(plan.nodes, plan.shape)
    if plan.graphs < 1 or plan.nodes < 0 or min(plan.shape) < 0 or not plan.names:
        raise SettingError(f"{plan.graphs} graphs of {plan.nodes} nodes for shape {plan.shape}")
