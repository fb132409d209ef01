"""Outside tables: a database as CSV or Parquet, and somebody else's results as a database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bogp.database.blocks import UNKNOWN_EDGES, UNKNOWN_SEED, Block, Origin, write_block
from bogp.database.build import (
    only_writer,
    planned_database,
)
from bogp.database.connect import one_sentence, remove_leftovers, transaction
from bogp.database.plan import Plan, one_or_more
from bogp.database.store import GraphDatabase
from bogp.database.table_columns import MADE, find_roles
from bogp.database.table_files import Columns, check_suffix, new_file, read_table, write_table
from bogp.database.table_rows import Settings, make_blocks, make_plan, read_rows
from bogp.errors import DatabaseError
from bogp.files import output_folder
from bogp.keys import canonical_json
from bogp.types import Progress


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
        path: a name that ends in .csv or .parquet; Parquet needs ``pip install 'bogp[parquet]'``.
        names: the properties to write, all by default.
        sparsity: write the graphs of this sparsity only.
        graphs: whether to write the graphs themselves.
        measured: whether to write measured values.
        progress: told (rows written, rows in all) at the start and after each block.

    Raises:
        UnknownNameError: a property is not stored.
        SparsityError, DatabaseError: there are no graphs of that sparsity, ``path`` has another
            suffix, or pyarrow is missing.
        OutputError: the file cannot be written.
    """
    target = Path(path)
    check_suffix(target)
    chosen = database.names if names is None else database.select_names(one_or_more(names))
    numbers = database.block_numbers(sparsity)
    first = [database.reader.block(number) for number in numbers[:1]]
    kinds = dict.fromkeys(MADE, "int") | {
        "sparsity": "float",
        "family": "text",
        "parameters": "text",
        "seed": "seed",
    }
    kinds |= dict.fromkeys(chosen, "float")
    if graphs and any(block.triangles is not None for block in first):
        kinds["adjacency"] = "text"
    if graphs and any(block.masks is not None for block in first):
        kinds["mask"] = "text"
    values = database.measured_names if measured else ()
    kinds |= dict.fromkeys(values, "float")
    blocks = (database.reader.block(n, graphs=graphs, measured=measured) for n in numbers)
    places = {name: database.names.index(name) for name in chosen}
    origins = database.reader.origins
    batches = (_cells(block, places, values, origins) for block in blocks)
    rows = 0 if progress is None else database.reader.count(database.match_sparsity(sparsity))
    with contextlib.closing(_told(batches, progress, rows)) as told:
        write_table(target, kinds, told)
    return target


def _told(
    batches: Iterable[Columns], progress: Progress | None, rows: int = 0
) -> Generator[Columns]:
    """Yield ``batches``, and tell ``progress`` how many rows were dealt with before each."""
    done = 0
    for batch in batches:
        if progress is not None:
            progress(done, rows)
        yield batch
        done += len(next(iter(batch.values())))
    if progress is not None:
        progress(done, rows)


def _cells(
    block: Block, places: Mapping[str, int], values: Sequence[str], origins: Mapping[int, Origin]
) -> Columns:
    """Return a block as columns of a table."""
    made = [origins[number] for number in block.origins.tolist()]
    parameters_of = [o.parameters_of(n) for o, n in zip(made, block.numbers, strict=True)]
    columns: Columns = {
        "id": block.ids.tolist(),
        "sparsity": [block.sparsity] * block.graphs,
        "family": [origin.family for origin in made],
        "parameters": [canonical_json(found) for found in parameters_of],
        "seed": [None if seed == UNKNOWN_SEED else seed for seed in block.seeds.tolist()],
        "edges": [None if edges == UNKNOWN_EDGES else edges for edges in block.edges.tolist()],
    }
    columns |= {name: block.vectors[:, place].tolist() for name, place in places.items()}
    if block.triangles is not None:
        columns["adjacency"] = [row.tobytes().hex() for row in block.triangles]
    if block.masks is not None:
        columns["mask"] = [row.tobytes().hex() for row in block.masks]
    for name in values:
        numbers = block.measured.get(name, np.full(block.graphs, np.nan)).tolist()
        columns[name] = [None if number != number else number for number in numbers]
    return columns


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
    others by the names in :mod:`bogp.database.table_columns`. Every column must be accounted for.

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
        roles = find_roles(source, header, columns or {}, names, measured)
        with contextlib.closing(_told(batches, progress)) as told:
            rows = read_rows(Settings(source, nodes, shape, sparsity), roles, told)
        plan = make_plan(rows, roles)
        with new_file(target) as temporary:
            _write(target, temporary, plan, rows.origins, make_blocks(rows, plan))
    if progress is not None:
        progress(len(rows.ids), len(rows.ids))
    return GraphDatabase.open(target)


def _write(
    target: Path, temporary: Path, plan: Plan, origins: tuple[Origin, ...], blocks: Iterator[Block]
) -> None:
    """Write a whole database to ``temporary``; errors name ``target``."""
    temporary.write_bytes(planned_database(plan, origins))
    with one_sentence(target), contextlib.closing(sqlite3.connect(temporary)) as connection:
        connection.isolation_level = None
        with transaction(connection):
            for block in blocks:
                write_block(connection, block)
