"""What a graph database is to hold: the settings that decide each graph, and algorithm 1's draw."""

from __future__ import annotations

import inspect
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bogp.errors import (
    DatabaseError,
    GraphError,
    SettingError,
    UnknownNameError,
    check_sparsity,
)
from bogp.graphs.generators import GENERATORS, generate, random_mask
from bogp.graphs.properties import CANDIDATES, PROPERTIES
from bogp.graphs.relational import RelationalGraph, edges_for_sparsity, mask_to_graph
from bogp.keys import canonical_json, derive_seed

PAPER_SPARSITIES = (0.15, 0.30, 0.45, 0.60, 0.75, 0.90)
"""The sparsities of the paper's table 1."""

ALL_PROPERTIES: tuple[str, ...] = (*CANDIDATES, "cycle_length")
"""What a database stores unless told otherwise: the paper's nine candidates and the girth."""

RANDOM_MASK = "random_mask"
"""The family of the paper's algorithm 1: a plain random 0-1 mask, read as a graph."""

FAMILIES: tuple[str, ...] = (*GENERATORS, RANDOM_MASK)
"""The names that ``family`` takes."""


@dataclass(frozen=True)
class Drawn:
    """One graph before its properties are known."""

    id: int
    sparsity: float
    seed: int
    graph: RelationalGraph
    mask: torch.Tensor | None  # bool (out, in), family random_mask only


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
        return len(self.sparsities) * self.graphs

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """The edge count of each sparsity's graphs (for ``random_mask`` the mask decides)."""
        return tuple(edges_for_sparsity(self.nodes, s, *self.shape) for s in self.sparsities)

    def draw(self, graph_id: int) -> Drawn:
        """Return graph ``graph_id`` = index of the sparsity × graphs + k, from its seed alone."""
        index, k = divmod(graph_id, self.graphs)
        sparsity = self.sparsities[index]
        seed = derive_seed(self.seed, self.family, self.nodes, sparsity, k)
        if self.family == RANDOM_MASK:
            mask = random_mask(*self.shape, sparsity, seed)
            return Drawn(graph_id, sparsity, seed, mask_to_graph(mask, self.nodes), mask)
        graph = generate(self.family, self.nodes, self.edges[index], seed, **self.parameters)
        return Drawn(graph_id, sparsity, seed, graph, None)

    def rows(self) -> list[tuple[str, str]]:
        """Return the rows of the table ``plan``."""
        return [(f.name, canonical_json(getattr(self, f.name))) for f in fields(self)]


def make_plan(
    *,
    nodes: int,
    sparsities: Sequence[float],
    graphs: int,
    family: str,
    shape: tuple[int, int] | None,
    seed: int,
    names: Sequence[str],
    parameters: Mapping[str, Any] | None,
) -> Plan:
    """Return the checked plan: sparsities ascending and each once, names each once.

    Raises:
        SparsityError, GraphError, UnknownNameError, SettingError: see ``GraphDatabase.build``.
    """
    out_features, in_features = (nodes, nodes) if shape is None else shape
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
    if not names or not sparsities:
        raise SettingError(
            "a database without a property or a sparsity is empty: name at least one of each"
        )
    if family == RANDOM_MASK and parameters:
        raise SettingError(
            f"family {RANDOM_MASK} takes no parameters, and {sorted(parameters)} is given: "
            "leave them out or name another family"
        )
    return Plan(
        nodes=int(nodes),
        shape=(int(out_features), int(in_features)),
        sparsities=tuple(sorted({check_sparsity(s) for s in sparsities})),
        graphs=int(graphs),
        family=family,
        seed=int(seed),
        names=tuple(dict.fromkeys(names)),
        parameters=_with_defaults(family, parameters or {}),
    )


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


def differences(stored: Plan, wanted: Plan) -> str:
    """Return ``name stored, not wanted`` for each setting that differs, joined; empty if none."""
    pairs = zip(stored.rows(), wanted.rows(), strict=True)
    return "; ".join(f"{name} {old}, not {new}" for (name, old), (_, new) in pairs if old != new)
