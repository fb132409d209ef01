"""A database as a CSV or Parquet table, and a table of somebody's results as a database."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bogp.database.blocks import (
    UNKNOWN_EDGES,
    UNKNOWN_SEED,
    Block,
    Origin,
    block_size,
    write_blocks,
)
from bogp.database.build import planned_database
from bogp.database.connect import one_sentence, only_writer, remove_leftovers
from bogp.database.plan import IMPORTED, Plan
from bogp.database.store import GraphDatabase
from bogp.database.table_files import read_table, table_format
from bogp.database.table_rows import Arrays, Sheet, add_layer, find_columns, read_rows
from bogp.errors import DatabaseError
from bogp.files import new_file, output_folder
from bogp.keys import canonical_json
from bogp.types import Progress


def export_table(
    database: GraphDatabase,
    path: str | os.PathLike[str],
    *,
    names: str | Sequence[str] | None = None,
    sparsity: float | None = None,
    with_graphs: bool = True,
    with_measured: bool = True,
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
        with_graphs: whether to write the graphs themselves.
        with_measured: whether to write measured values.
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
    blocks = (
        reader.block(number, with_graphs=with_graphs, with_measured=with_measured)
        for number in numbers
    )
    values = database.measured_names if with_measured else ()
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

    made = database.reader.made(block)
    columns = {
        "id": block.ids,
        "sparsity": np.full(block.graphs, block.sparsity),
        "family": [family for family, _ in made],
        "parameters": [canonical_json(parameters) for _, parameters in made],
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
    known by their names: properties by those of :data:`~bogp.graphs.PROPERTIES`, the others by
    those that :func:`export_table` writes, and measured
    values by ``accuracy``, ``loss`` and ``error``, or these with ``_sd``.
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
        sheet = find_columns(source, header, columns or {}, names, measured)
        told = _told(batches, progress)
        first = next(told, None)
        if first is None:
            raise DatabaseError(f"table {str(source)!r} has no row: give at least one graph")
        sheet = add_layer(sheet, first, nodes, shape, sparsity)
        rows, origins = read_rows(sheet, itertools.chain((first,), told))
        plan = _make_plan(sheet, rows, origins)
        with new_file(target) as temporary, one_sentence(target):
            temporary.write_bytes(planned_database(plan, origins))
            with contextlib.closing(sqlite3.connect(temporary)) as connection, connection:
                write_blocks(connection, _blocks(plan, sheet.measured, rows))
    if progress is not None:
        progress(plan.graphs, plan.graphs)
    return GraphDatabase.open(target)


def _make_plan(sheet: Sheet, rows: Arrays, origins: tuple[Origin, ...]) -> Plan:
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
