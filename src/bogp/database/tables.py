"""A database as a CSV or Parquet table, and a table of somebody's results as a database."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
import shlex
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.database.blocks import (
    UNKNOWN_EDGES,
    UNKNOWN_SEED,
    Block,
    Origin,
    block_size,
    triangle_bytes,
    write_block,
)
from bogp.database.build import planned_database
from bogp.database.connect import one_sentence, only_writer, remove_leftovers
from bogp.database.plan import ALL_PROPERTIES, IMPORTED, Plan, check_nodes, one_or_more
from bogp.database.store import GraphDatabase
from bogp.database.table_files import Column, read_table, table_format
from bogp.errors import DatabaseError, SettingError, UnknownNameError, check_sparsity
from bogp.files import new_file, output_folder
from bogp.graphs import PROPERTIES, describe
from bogp.graphs.kernels.bits import unpack_triangles
from bogp.keys import canonical_json
from bogp.types import Progress

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


def export_table(
    database: GraphDatabase,
    path: str | os.PathLike[str],
    *,
    names: str | Sequence[str] | None = None,
    sparsity: float | None = None,
    graphs: bool = True,
    measured: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write a database as a table, CSV or Parquet by the name of ``path``, whole or not at all.

    Columns: id, sparsity, family, parameters (JSON), seed, edges, the properties, adjacency (and
    mask; bits in hexadecimal) and the measured values, as far as they are known.
    :func:`import_table` reads them back.

    Args:
        database: what to write, a block at a time.
        path: a name that ends in .csv or .parquet.
        names: the properties to write, all by default.
        sparsity: write the graphs of this sparsity only.
        graphs: whether to write the graphs themselves.
        measured: whether to write measured values.
        progress: told (rows written, rows in all) at the start and after each block.

    Raises:
        UnknownNameError: a property is not stored.
        SparsityError, DatabaseError: there are no graphs (of that sparsity), or ``path`` has
            another suffix.
        OutputError: the file cannot be written.
    """
    from pyarrow import csv, parquet

    target = Path(path)
    writer = csv.CSVWriter if table_format(target) == ".csv" else parquet.ParquetWriter
    chosen = database.names if names is None else database.select_names(names)
    reader, numbers = database.reader, database.block_numbers(sparsity)
    blocks = (reader.block(number, graphs=graphs, measured=measured) for number in numbers)
    values = database.measured_names if measured else ()
    rows = reader.count(database.match_sparsity(sparsity))
    told = _told(
        (_record_batch(database, block, chosen, values) for block in blocks), progress, rows
    )
    first = next(told, None)
    if first is None:
        raise DatabaseError(
            f"{str(database.path)!r} has no graphs to write yet: continue its `bogp database build`"
        )
    with new_file(target) as temporary, writer(temporary, first.schema) as file:
        for batch in itertools.chain((first,), told):
            file.write_batch(batch)
    return target


def _record_batch(
    database: GraphDatabase, block: Block, names: Sequence[str], measured: Sequence[str]
) -> Any:
    """Return a block as rows of a table, a pyarrow record batch; what is not known is null."""
    from pyarrow import array, record_batch

    origins = [database.reader.origins[number] for number in block.origins.tolist()]
    made = [o.parameters_of(numbers) for o, numbers in zip(origins, block.numbers, strict=True)]
    columns = {
        "id": block.ids,
        "sparsity": np.full(block.graphs, block.sparsity),
        "family": [origin.family for origin in origins],
        "parameters": [canonical_json(parameters) for parameters in made],
        "seed": array(block.seeds, mask=block.seeds == UNKNOWN_SEED),
        "edges": array(block.edges.astype(np.int64), mask=block.edges == UNKNOWN_EDGES),
    }
    columns |= {name: block.vectors[:, database.names.index(name)] for name in names}
    for name, packed in (("adjacency", block.triangles), ("mask", block.masks)):
        if packed is not None:
            columns[name] = [row.tobytes().hex() for row in packed]
    for name in measured:
        numbers = block.measured.get(name, np.full(block.graphs, np.nan))
        columns[name] = array(numbers, mask=np.isnan(numbers))
    return record_batch(columns)


def _told(batches: Iterable[Any], progress: Progress | None, total: int = 0) -> Generator[Any]:
    """Yield ``batches``, and tell ``progress`` how many rows were dealt with before each."""
    done = 0
    for batch in batches:
        if progress is not None:
            progress(done, total)
        yield batch
        done += len(batch)
    if progress is not None:
        progress(done, total)


def import_table(
    path: str | os.PathLike[str],
    table: str | os.PathLike[str],
    *,
    nodes: int | None = None,
    shape: tuple[int, int] | None = None,
    sparsity: float | None = None,
    names: str | Sequence[str] | None = None,
    measured: str | Sequence[str] | None = None,
    columns: Mapping[str, str | None] | None = None,
    progress: Progress | None = None,
) -> GraphDatabase:
    """Make a database at ``path`` of a table, and open it; its family is ``imported``.

    A row is a graph: its properties, its edges or both, and what was measured of it. Columns are
    known by their names: properties by those of :data:`~bogp.graphs.PROPERTIES`, the
    others by those that :func:`export_table` writes, and measured values by :data:`MEASURED`.
    Every column must be accounted for.

    Args:
        path: the database; there must be no such file yet.
        table: a .csv or .parquet file whose first row names its columns.
        nodes: nodes of each graph; told by the graphs where they are longer than a few bytes.
        shape: (out_features, in_features) of the layer; (nodes, nodes) if not given.
        sparsity: of all rows, where there is no column of that name.
        names: the properties to store, under any names. Those without a column are computed from
            the graphs. By default those that have a column, or, without any, all of them.
        measured: the columns of measured values, in which a cell may be empty or NaN.
        columns: name in the table → name here, or None to leave the column out.
        progress: told (rows read, 0) while the table is read, as how many there are is not known,
            and (rows, rows) once the database is there.

    Raises:
        DatabaseError: a column or a cell is missing or no number, a column has no role, an id
            occurs twice, there are more than 1,000 sparsities, or a graph does not have that many
            nodes; nothing is left at ``path``, or something is there.
        UnknownNameError: ``columns`` names one that the table lacks.
        SparsityError, GraphError: a setting is out of range.
        OutputError: the folder cannot be written to.
    """
    target, source = Path(path), Path(table)
    header, batches = read_table(source)
    output_folder(target.parent)
    with contextlib.closing(batches), only_writer(target):
        if target.exists():
            raise DatabaseError(
                f"{str(target)!r} is there already: give another file, or remove that one first"
            )
        remove_leftovers(target)
        sheet = _find_roles(source, header, columns or {}, names, measured)
        told = _told(batches, progress)
        first = next(told, None)
        if first is None:
            raise DatabaseError(f"table {str(source)!r} has no row: give at least one graph")
        sheet = _with_layer(sheet, first, nodes, shape, sparsity)
        rows, origins = _read_rows(sheet, itertools.chain((first,), told))
        plan = _make_plan(sheet, rows, origins)
        with new_file(target) as temporary, one_sentence(target):
            temporary.write_bytes(planned_database(plan, origins))
            with contextlib.closing(sqlite3.connect(temporary)) as connection, connection:
                for block in _blocks(plan, sheet.measured, rows):
                    write_block(connection, block)
    if progress is not None:
        progress(plan.graphs, plan.graphs)
    return GraphDatabase.open(target)


@dataclass(frozen=True)
class _Sheet:
    """What the columns of a table are, and what the caller says of all its rows."""

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


def _find_roles(
    path: Path,
    header: list[str],
    renamed: Mapping[str, str | None],
    names: str | Sequence[str] | None,
    measured: str | Sequence[str] | None,
) -> _Sheet:
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
    computed = tuple(name for name in names if name not in places)
    return _Sheet(path, header, places, names, computed, values)


def _with_layer(
    sheet: _Sheet,
    first: Any,
    nodes: int | None,
    shape: tuple[int, int] | None,
    sparsity: float | None,
) -> _Sheet:
    """Add what the caller says of all rows; where it says no nodes, the ``first`` graph may tell.

    Raises if what is needed is missing, cannot be, or is a column as well.
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


def _read_rows(sheet: _Sheet, batches: Iterable[Any]) -> tuple[Arrays, tuple[Origin, ...]]:
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


def _arrays(sheet: _Sheet, columns: Mapping[str, Column]) -> Arrays:
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


def _make_plan(sheet: _Sheet, rows: Arrays, origins: tuple[Origin, ...]) -> Plan:
    """Return the plan of an imported database; a hash of all it holds stands for its settings."""
    digest = hashlib.sha256()
    fields = ("sparsity", "ids", "vectors", "seeds", "edges", "origins", "numbers")
    hashed = [(name, rows[name]) for name in (*fields, "triangles", "masks") if name in rows]
    for name, array in (*hashed, *zip(sheet.measured, rows["measured"].T, strict=True)):
        kind = array.dtype.newbyteorder("<")
        label = name.replace("origins", "origins_of")  # what they are comes after the arrays
        digest.update(canonical_json([label, array.shape, kind.str]).encode())
        digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    made = [[o.family, dict(o.parameters), dict(o.own)] for o in origins]
    digest.update(canonical_json(made).encode())
    return Plan(
        nodes=sheet.nodes,
        shape=sheet.shape,
        sparsities=tuple(np.unique(rows["sparsity"]).tolist()),
        graphs=len(rows["ids"]),
        family=IMPORTED,
        seed=0,
        names=sheet.names,
        parameters={"content": digest.hexdigest()},
    )


def _blocks(plan: Plan, measured: Sequence[str], rows: Arrays) -> Iterator[Block]:
    """Yield the rows of a table as blocks of one sparsity each."""
    size = block_size(sum(rows[n].shape[1] for n in ("triangles", "masks") if n in rows))
    starts = np.searchsorted(rows["sparsity"], [*plan.sparsities, 1.0]).tolist()
    spans = [
        slice(start, min(start + size, stop))
        for first, stop in itertools.pairwise(starts)
        for start in range(first, stop, size)
    ]
    for number, span in enumerate(spans):
        part = {name: array[span] for name, array in rows.items()}
        sparsity = float(part.pop("sparsity")[0])
        values = dict(zip(measured, part.pop("measured").T, strict=True))
        yield Block(number=number, sparsity=sparsity, measured=values, **part)
