"""What each column of an outside table is: how a graph was made, a property, a measured value."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bogp.database.plan import ALL_PROPERTIES, one_or_more
from bogp.errors import DatabaseError, UnknownNameError
from bogp.graphs import PROPERTIES

MADE = ("id", "sparsity", "family", "parameters", "seed", "edges")
"""The columns that say which graph a row is of and how it was made."""

GRAPH = ("adjacency", "mask")
"""The columns that hold a graph and, family random_mask, its mask: packed bits, hexadecimal."""

MEASURED = ("accuracy", "accuracy_sd", "loss", "loss_sd", "error", "error_sd")
"""The columns that are taken for measured values without being named."""


@dataclass(frozen=True)
class Roles:
    """Which column of the table is what; names are ours."""

    columns: dict[str, str]  # ours → the table's
    names: tuple[str, ...]  # of all properties to store
    computed: tuple[str, ...]
    measured: tuple[str, ...]

    @property
    def any_column(self) -> str:
        """A column of the table."""
        return next(iter(self.columns.values()))


def find_roles(
    source: Path,
    header: list[str],
    renamed: Mapping[str, str | None],
    names: str | Sequence[str] | None,
    measured: str | Sequence[str] | None,
) -> Roles:
    """Return what each column of the table at ``source`` is, or raise."""
    for name in renamed:
        if name not in header:
            raise UnknownNameError(f"column of {str(source)!r}", name, header)
    ours = [(renamed.get(name, name), name) for name in header]
    columns = {own: name for own, name in ours if own is not None}
    for own, name in ours:
        if own is not None and columns[own] != name:
            raise DatabaseError(f"two columns of {str(source)!r} are {own}: leave one of them out")
    values = (
        tuple(name for name in columns if name in MEASURED)
        if measured is None
        else one_or_more(measured)
    )
    there = tuple(name for name in columns if name in PROPERTIES and name not in values)
    graphs = "adjacency" in columns
    chosen = there or (ALL_PROPERTIES if graphs else ()) if names is None else one_or_more(names)
    if not chosen:
        raise DatabaseError(
            f"table {str(source)!r} has neither a property nor graphs among its columns "
            f"{', '.join(header)}: say in names or columns which are properties"
        )
    computed = tuple(name for name in chosen if name not in columns)
    for name in (*computed, *values):
        if name not in columns and not (name in computed and name in PROPERTIES and graphs):
            raise DatabaseError(
                f"table {str(source)!r} has no column {name!r}: it has {', '.join(header)}"
            )
    for name in (*chosen, *values):
        if name in (*MADE, *GRAPH) or (name in chosen and name in values):
            raise DatabaseError(
                f"column {name!r} of {str(source)!r} has two roles: name it once, or rename it in "
                "columns"
            )
    used = {*MADE, *GRAPH, *chosen, *values}
    for name, theirs in columns.items():
        if name not in used:
            raise DatabaseError(
                f"column {theirs!r} of {str(source)!r} would be lost: name it as a property or a "
                f"measured value, or leave it out with `--leave-out {shlex.quote(theirs)}`, in "
                f"Python columns={{{theirs!r}: None}}"
            )
    return Roles(columns, tuple(dict.fromkeys(chosen)), computed, tuple(dict.fromkeys(values)))
