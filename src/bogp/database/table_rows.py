"""The rows of somebody's table as checked arrays: what each column is, and what each cell holds."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.database.blocks import UNKNOWN_EDGES, UNKNOWN_SEED, Origin, triangle_bytes
from bogp.database.plan import ALL_PROPERTIES, IMPORTED, check_nodes, one_or_more
from bogp.database.table_files import Column
from bogp.errors import DatabaseError, SettingError, UnknownNameError
from bogp.graphs import PROPERTIES, describe
from bogp.graphs.kernels.bits import unpack_triangles
from bogp.sparsity import check_sparsity

MADE = ("id", "sparsity", "family", "parameters", "seed", "edges")
"""The columns that say which graph a row is of and how it was made."""

GRAPH = ("adjacency", "mask")
"""The columns that hold a graph and, family random_mask, its mask: packed bits, hexadecimal."""

MEASURED = ("accuracy", "accuracy_sd", "loss", "loss_sd", "error", "error_sd")
"""The columns that are taken for measured values without being named."""

MOST_SPARSITIES = 1000
"""How many sparsities a table may have: each has blocks and ranges of its own."""

Arrays = dict[str, npt.NDArray[Any]]
"""Rows of a table: a field of :class:`Block` → array with a row a graph; ``measured`` is float64
(graphs, measured values)."""


@dataclass(frozen=True)
class Sheet:
    """What a table holds: the role of each column, and what the caller says of all its rows."""

    path: Path
    header: list[str]
    places: dict[str, int]  # our name → index of the column
    names: tuple[str, ...]  # of all properties to store
    computed: tuple[str, ...]  # those of them that have no column
    measured: tuple[str, ...]
    nodes: int = 0  # where not known
    shape: tuple[int, int] = (0, 0)
    sparsity: float = 0.0  # where there is no column of it

    def columns(self, batch: Any, first: int) -> dict[str, Column]:
        """Return the columns of a record batch whose first row has the number ``first``.

        Those of :data:`MADE` that the table lacks are there too, and empty if nothing is known.
        """
        from pyarrow import array, nulls

        count = len(batch)
        cells = {name: nulls(count) for name in MADE} | {
            "id": array(np.arange(first - 1, first - 1 + count)),
            "sparsity": array(np.full(count, self.sparsity)),
        }
        cells |= {name: batch.column(place) for name, place in self.places.items()}
        theirs = {name: self.header[place] for name, place in self.places.items()}
        return {
            name: Column(self.path, theirs.get(name, name), first, found)
            for name, found in cells.items()
        }


def find_columns(
    path: Path,
    header: list[str],
    renamed: Mapping[str, str | None],
    names: str | Sequence[str] | None,
    measured: str | Sequence[str] | None,
) -> Sheet:
    """Return what each column is; raise if one is missing, has two roles or has none."""
    table, listed = str(path), ", ".join(header)
    for name in renamed:
        if name not in header:
            raise UnknownNameError(f"column of {table!r}", name, header)
    places: dict[str, int] = {}
    for place, theirs in enumerate(header):
        ours = renamed.get(theirs, theirs)
        if ours in places:
            raise DatabaseError(f"two columns of {table!r} are {ours}: leave one of them out")
        if ours is not None:
            places[ours] = place
    values = one_or_more([n for n in places if n in MEASURED] if measured is None else measured)
    there = [name for name in places if name in PROPERTIES and name not in values]
    computable = set(PROPERTIES if "adjacency" in places else ())
    if names is None:
        names = there or [name for name in ALL_PROPERTIES if name in computable]
    names = one_or_more(names)
    if not names:
        raise DatabaseError(
            f"table {table!r} has neither a property nor graphs among its columns {listed}: say in "
            "names or columns which are properties"
        )
    for name in (*names, *values):
        if name in (*MADE, *GRAPH) or (name in names and name in values):
            raise DatabaseError(
                f"column {name!r} of {table!r} has two roles: name it once, or rename it in columns"
            )
        if name not in places and (name in values or name not in computable):
            raise DatabaseError(f"table {table!r} has no column {name!r}: it has {listed}")
    for name, place in places.items():
        if name not in (*MADE, *GRAPH, *names, *values):
            theirs = header[place]
            raise DatabaseError(
                f"column {theirs!r} of {table!r} would be lost: name it as a property or a "
                f"measured value, or leave it out with `--leave-out {shlex.quote(theirs)}`, in "
                f"Python columns={{{theirs!r}: None}}"
            )
    computed = tuple(name for name in dict.fromkeys(names) if name not in places)
    distinct = tuple(dict.fromkeys(names)), computed, tuple(dict.fromkeys(values))
    return Sheet(path, header, places, *distinct)


def add_layer(
    sheet: Sheet,
    first: Any,
    nodes: int | None,
    shape: tuple[int, int] | None,
    sparsity: float | None,
) -> Sheet:
    """Return the sheet with what the caller says of all rows, checked.

    The caller need not say how many nodes the graphs have where the first of them tells: it is in
    the record batch ``first``.
    """
    table = str(sheet.path)
    if sparsity is not None and "sparsity" in sheet.places:
        raise SettingError(
            f"sparsity {sparsity} is given for a table that has a column of it: give one of them"
        )
    if sparsity is None and "sparsity" not in sheet.places:
        raise DatabaseError(
            f"table {table!r} has no column 'sparsity': name the one that is, or give the sparsity "
            "of all its rows"
        )
    if "mask" in sheet.places and shape is None:
        raise SettingError("a table with masks does not tell the layer's shape: give it")
    if nodes is None and "adjacency" in sheet.places:
        width = len(sheet.columns(first, 1)["adjacency"].texts()[0]) // 2
        most = math.isqrt(16 * width) + 1  # as n (n - 1) / 2 is 8 width at most
        fitting = [n for n in range(2, most + 1) if triangle_bytes(n) == width]
        if len(fitting) != 1:
            raise DatabaseError(
                f"the graphs of {table!r} have {width} bytes each, which does not tell how many "
                "nodes they have: give nodes"
            )
        nodes = fitting[0]
    if nodes is not None:
        check_nodes(nodes, shape or (nodes, nodes))
    return replace(
        sheet,
        nodes=nodes or 0,
        shape=shape or (nodes or 0, nodes or 0),
        sparsity=check_sparsity(sparsity or 0.0),
    )


def read_rows(sheet: Sheet, batches: Iterable[Any]) -> tuple[Arrays, tuple[Origin, ...]]:
    """Return the checked rows in the order of (sparsity, id), and how their graphs were made."""
    parts: list[Arrays] = []
    origins: dict[tuple[str, ...], tuple[int, Origin]] = {}
    own: list[list[float]] = []
    first = 1
    for batch in batches:
        columns = sheet.columns(batch, first)
        numbered = []
        made = zip(columns["family"].texts(), columns["parameters"].objects(), strict=True)
        for family, parameters in made:
            origin, numbers = Origin.of(family or IMPORTED, parameters)
            number, _ = origins.setdefault(origin.row(), (len(origins), origin))
            numbered.append(number)
            own.append(numbers)
        parts.append(_arrays(sheet, columns) | {"origins": np.array(numbered, dtype=np.int32)})
        first += len(batch)
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows["numbers"] = np.zeros((len(own), max(map(len, own))))
    for row, numbers in zip(rows["numbers"], own, strict=True):
        row[: len(numbers)] = numbers
    _check_together(rows, sheet.path)
    order = np.lexsort((rows["ids"], rows["sparsity"]))
    rows = {name: array[order] for name, array in rows.items()}
    return rows, tuple(origin for _, origin in origins.values())


def _arrays(sheet: Sheet, columns: Mapping[str, Column]) -> Arrays:
    """Return some rows of a table, each cell checked by itself."""
    sparsity = columns["sparsity"].floats()
    outside = (sparsity < 0.0) | (sparsity >= 1.0)
    if outside.any():
        what = "is not in [0, 1): give the share of weights that are removed"
        raise columns["sparsity"].error(int(outside.argmax()), what)
    seeds = columns["seed"].whole(0, UNKNOWN_SEED - 1, empty=UNKNOWN_SEED)
    edges = columns["edges"].whole(0, (1 << 31) - 1, empty=UNKNOWN_EDGES)
    arrays: Arrays = {
        "sparsity": sparsity,
        "ids": np.array(columns["id"].whole(0, (1 << 63) - 1), dtype=np.int64),
        "vectors": np.empty((len(sparsity), len(sheet.names))),
        "seeds": np.array(seeds, dtype=np.uint64),
        "edges": np.array(edges, dtype=np.int32),
    }
    for place, name in enumerate(sheet.names):
        if name in columns:
            arrays["vectors"][:, place] = columns[name].floats()
    if "adjacency" in columns:
        pairs = sheet.nodes * (sheet.nodes - 1) // 2
        packed = columns["adjacency"].packed(pairs, f"a graph of {sheet.nodes} nodes")
        counts = np.bitwise_count(packed).sum(axis=1, dtype=np.int32)
        wrong = (arrays["edges"] != UNKNOWN_EDGES) & (arrays["edges"] != counts)
        if wrong.any():
            row = int(wrong.argmax())
            what = f"is not the {counts[row]} edges of its graph: mend one"
            raise columns["edges"].error(row, what)
        arrays |= {"edges": counts, "triangles": packed}
        if sheet.computed:
            found = describe(unpack_triangles(packed, sheet.nodes), sheet.computed, threads=None)
            arrays["vectors"][:, [sheet.names.index(name) for name in sheet.computed]] = found
    if "mask" in columns:
        size, what = math.prod(sheet.shape), "a mask of {}x{}".format(*sheet.shape)
        arrays["masks"] = columns["mask"].packed(size, what)
    arrays["measured"] = np.empty((len(sparsity), len(sheet.measured)))
    for place, name in enumerate(sheet.measured):
        arrays["measured"][:, place] = columns[name].floats(missing=True)
    return arrays


def _check_together(rows: Arrays, path: Path) -> None:
    """Raise DatabaseError if two rows have one id, or there are too many sparsities."""
    ids = rows["ids"]
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(again):
        first, second = order[again[0] : again[0] + 2].tolist()
        raise DatabaseError(
            f"row {second + 1} of {str(path)!r}: id {ids[second]} is that of row {first + 1} too: "
            "give each graph an id of its own"
        )
    different = len(np.unique(rows["sparsity"]))
    if different > MOST_SPARSITIES:
        raise DatabaseError(
            f"table {str(path)!r} has {different} different sparsities, and a database keeps each "
            f"by itself: round them, to two decimals say, so that there are {MOST_SPARSITIES} at "
            "most"
        )
