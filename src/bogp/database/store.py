"""The graph database: graphs of known properties, in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, final

import numpy as np

from bogp.database.blocks import Ids
from bogp.database.build import build_file
from bogp.database.connect import connect
from bogp.database.neighbours import Vectors
from bogp.database.plan import IMPORTED, Plan, make_plan, one_or_more, read_plan
from bogp.database.read import Reader
from bogp.database.records import GraphRecord, Neighbour, Range, no_graphs, ranges
from bogp.errors import (
    ConstantPropertyWarning,
    DatabaseError,
    UnknownNameError,
)
from bogp.graphs import PAPER_FIVE
from bogp.graphs.kernels.bits import Rows, unpack_triangles, words
from bogp.settings.database import DatabaseSettings
from bogp.sparsity import check_sparsity
from bogp.types import Floats, Progress

CACHE_BYTES = 1 << 29
"""An open database keeps the property vectors that it has read, up to so many bytes of them."""


class _Kept(NamedTuple):
    """Ids and property vectors that were read and are kept; their arrays are read-only."""

    ids: Ids
    vectors: Vectors


@final
class GraphDatabase:
    """Relational graphs of one layer, with their properties: the paper's Ψ.

    Make one with :meth:`build`, open one with :meth:`open`; both give a view for reading, which a
    ``with`` statement closes.

    Attributes:
        path: the file.
        plan: the settings that decide what is in it, of which the following are a part.
        nodes: nodes of each graph, 0 if a table was imported that does not tell.
        shape: (out_features, in_features) of the layer that the graphs are for.
        family: the generator, ``random_mask`` or ``imported``.
        seed: of all draws.
        names: the stored properties.
        sparsities: ascending.
        expected: the number of graphs once the database is complete.
        reader: what reads the file.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, plan: Plan) -> None:
        self.path, self.plan = path, plan
        self.nodes, self.shape = plan.nodes, plan.shape
        self.family, self.seed = plan.family, plan.seed
        self.names, self.sparsities = plan.names, plan.sparsities
        self.expected = plan.expected
        self.reader = Reader(path, connection, plan)
        self._connection = connection
        self._kept: dict[tuple[tuple[str, ...], float | None], _Kept] = {}
        self._version = -1

    @classmethod
    def build(  # noqa: D417 (DatabaseSettings says what its fields are for)
        cls,
        path: str | os.PathLike[str],
        *,
        nodes: int = DatabaseSettings.nodes,
        sparsities: Sequence[float] | float = DatabaseSettings.sparsities,
        graphs: int = DatabaseSettings.graphs,
        family: str = DatabaseSettings.family,
        shape: Sequence[int] | None = DatabaseSettings.shape,
        seed: int = DatabaseSettings.seed,
        names: str | Sequence[str] | None = DatabaseSettings.names,
        parameters: Mapping[str, Any] | None = DatabaseSettings.parameters,
        progress: Progress | None = None,
        threads: int | None = None,
    ) -> GraphDatabase:
        """Build the database at ``path``, or continue it, and open it (the paper's algorithm 1).

        Each graph depends on the settings alone, so a build that was killed and continued equals
        one that was not, whatever its number of threads. A complete database is opened as it is.

        Args:
            path: the file; its folder is made if need be.
            nodes, sparsities, graphs, family, shape, seed, names, parameters: the fields of
                :class:`bogp.DatabaseSettings`, which says what each is for.
            progress: told (graphs there are, graphs planned) at the start and then about twice a
                second.
            threads: how many draw and describe graphs; all cores by default.

        Raises:
            SparsityError: a sparsity is outside [0, 1).
            GraphError: the nodes do not fit the layer, or the family cannot have that many edges.
            UnknownNameError: the family or a property is unknown.
            SettingError: another setting is out of range.
            DatabaseError: ``path`` holds anything but a database of the same settings, or another
                process is building it.
            OutputError: the folder cannot be written to.
        """
        given: dict[str, Any] = {
            "nodes": nodes,
            "sparsities": sparsities,
            "graphs": graphs,
            "family": family,
            "shape": shape,
            "seed": seed,
            "names": names,
            "parameters": parameters,
        }
        build_file(Path(path), make_plan(DatabaseSettings(**given)), progress, threads)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> GraphDatabase:
        """Open the database at ``path`` for reading; it need not be complete.

        Raises:
            DatabaseError: there is no such file, or it is no bogp database, is of another schema
                version, or is corrupt.
        """
        file = Path(path)
        connection = connect(file)
        try:
            return cls(file, connection, read_plan(connection, file))
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the file; doing so twice does no harm."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GraphDatabase({str(self.path)!r}, {self.plan.family}, {self.nodes} nodes)"

    @property
    def complete(self) -> bool:
        """Whether every planned graph is there."""
        return len(self) == self.expected

    def require_complete(self) -> None:
        """Raise :class:`DatabaseError` unless the build was finished."""
        if not self.complete:
            raise DatabaseError(
                f"database {str(self.path)!r} holds {len(self)} of {self.expected} graphs: "
                "run its build again to finish it"
            )

    def __len__(self) -> int:
        """Return the number of graphs there are."""
        return self.reader.count()

    def select_names(self, names: str | Sequence[str] | None = None) -> tuple[str, ...]:
        """Return ``names``, checked; by default the paper's five, or all where none is stored.

        Raises:
            UnknownNameError: a name is not stored here.
        """
        if names is None:
            return tuple(name for name in PAPER_FIVE if name in self.names) or self.names
        names = one_or_more(names)
        for name in names:
            if name not in self.names:
                raise UnknownNameError("property", name, self.names)
        return names

    def vectors(
        self, names: Sequence[str] | None = None, sparsity: float | None = None
    ) -> tuple[Ids, Floats]:
        """Return the ids, int64 (graphs,) ascending, and property vectors, float64 (graphs, names).

        Raises:
            UnknownNameError: a name is not stored here.
            SparsityError, DatabaseError: there are no graphs of that sparsity.
        """
        kept = self._vectors(names, sparsity)
        return kept.ids.copy(), kept.vectors.raw.copy(order="K")

    def record(self, graph_id: int) -> GraphRecord:
        """Return one graph with everything that is known of it.

        Raises:
            DatabaseError: there is no graph of that id.
        """
        record = self.reader.record(int(graph_id))
        if record is None:
            there = f"graph {graph_id} is not in {str(self.path)!r}, which has "
            if self.family == IMPORTED:
                raise DatabaseError(f"{there}{len(self)} graphs: give the id of one of its rows")
            raise DatabaseError(
                f"{there}{len(self)} of its {self.expected} graphs: give an id from 0 to "
                f"{self.expected - 1}, and continue the build if it is not complete"
            )
        return record

    def records(self, sparsity: float | None = None) -> Iterator[GraphRecord]:
        """Yield every graph (of ``sparsity``), a block of them in memory at a time.

        Raises:
            SparsityError, DatabaseError: there are no graphs of that sparsity.
        """
        for number in self.block_numbers(sparsity):
            yield from self.reader.records(self.reader.block(number))

    def batches(
        self,
        names: Sequence[str] | None = None,
        sparsity: float | None = None,
        *,
        with_graphs: bool = True,
    ) -> Iterator[tuple[Ids, Floats, Rows]]:
        """Yield (ids, property vectors, graphs as rows of bits) of up to 1,024 graphs at a time.

        Ids are int64 (graphs,), vectors float64 (graphs, names) and rows uint64 (graphs, nodes,
        words), as :func:`bogp.graphs.describe` takes them. ``with_graphs=False`` leaves the graphs
        unread and gives no rows. Other arguments and errors are those of :meth:`vectors`.

        Raises:
            DatabaseError: graphs are wanted, and the database was imported without them.
        """
        columns = [self.names.index(name) for name in self.select_names(names)]
        for number in self.block_numbers(sparsity):
            block = self.reader.block(number, with_graphs=with_graphs)
            rows: Rows = np.empty((0, self.nodes, words(self.nodes)), dtype=np.uint64)
            if with_graphs:
                if block.triangles is None:
                    raise no_graphs(f"each graph of {str(self.path)!r}")
                rows = unpack_triangles(block.triangles, self.nodes)
            yield block.ids, block.vectors[:, columns], rows

    @property
    def measured_names(self) -> tuple[str, ...]:
        """The measured values that were imported with the graphs, sorted."""
        return self.reader.measured_names()

    def measured(self, name: str) -> tuple[Ids, Floats]:
        """Return a measured value of the graphs that have it.

        These are ids, int64 (graphs,) ascending, and values, float64 (graphs,).

        Raises:
            UnknownNameError: nothing of that name was measured here.
        """
        if name not in (known := self.measured_names):
            raise UnknownNameError("measured value", name, known)
        return self.reader.measured(name)

    def constant(
        self, names: Sequence[str] | None = None, sparsity: float | None = None
    ) -> tuple[str, ...]:
        """Return the properties with one value in all graphs (of ``sparsity``), in order.

        Such a property tells a search nothing. Arguments and errors are those of :meth:`vectors`.
        """
        found = self.coverage(sparsity, names)
        return tuple(name for name, reach in found.items() if reach.constant)

    def warn_constant(
        self, names: Sequence[str] | None = None, sparsity: float | None = None
    ) -> tuple[str, ...]:
        """Return what :meth:`constant` does, and warn of each (``ConstantPropertyWarning``)."""
        found = self.coverage(sparsity, names)
        graphs = self.reader.count(self.match_sparsity(sparsity))
        where = "" if sparsity is None else f" at sparsity {sparsity:g}"
        constant = {name: reach.median for name, reach in found.items() if reach.constant}
        for name, value in constant.items():
            warnings.warn(
                f"{name} is {value:.4g} in all {graphs} graphs{where}: it tells the search nothing "
                "there",
                ConstantPropertyWarning,
                stacklevel=2,
            )
        return tuple(constant)

    def coverage(
        self, sparsity: float | None = None, names: Sequence[str] | None = None
    ) -> dict[str, Range]:
        """Return how far each property reaches over the graphs (of ``sparsity``).

        Empty while there are no such graphs yet. Arguments and errors are those of :meth:`vectors`.
        """
        vectors = self._vectors(names, sparsity).vectors.raw
        return ranges(self.select_names(names), vectors)

    def nearest(
        self,
        target: Mapping[str, float],
        *,
        metric: str = "cosine",
        scale: str = "raw",
        count: int = 1,
        sparsity: float | None = None,
    ) -> list[Neighbour]:
        """Return the graphs whose properties are nearest to ``target`` (the paper's algorithm 2).

        Args:
            target: property name → wanted value; only these are compared.
            metric: ``cosine`` (of largest similarity), ``l1`` or ``l2`` (of least distance).
            scale: ``raw`` values, or ``standardised`` over the graphs that are searched.
            count: how many, best first; ties in the order of their ids.
            sparsity: search the graphs of this sparsity only.

        Raises:
            UnknownNameError: a property is not stored here, or the metric or scale is unknown.
            SettingError: ``count`` is below 1, or the target is empty or not finite.
            SparsityError, DatabaseError: there are no graphs of that sparsity.
        """
        names = self.select_names(tuple(target))
        ids, vectors = self._vectors(names, sparsity)
        wanted = np.array([float(target[name]) for name in names], dtype=np.float64)
        rows, scores = vectors.nearest(wanted, metric, scale, count)
        return [
            Neighbour(
                id=int(ids[row]),
                score=float(score),
                vector=dict(zip(names, vectors.raw[row].tolist(), strict=True)),
            )
            for row, score in zip(rows, scores, strict=True)
        ]

    def match_sparsity(self, sparsity: float | None) -> float | None:
        """Return ``sparsity`` as the plan has it, None for all of them.

        Raises:
            SparsityError, DatabaseError: there are no graphs of that sparsity.
        """
        if sparsity is None:
            return None
        gaps = np.abs(np.array(self.sparsities) - check_sparsity(sparsity))
        if gaps.min() > 1e-9:
            raise DatabaseError(
                f"{str(self.path)!r} has no graphs of sparsity {sparsity}: choose from "
                f"{', '.join(map(str, self.sparsities))}, or build another database"
            )
        return self.sparsities[int(gaps.argmin())]

    def block_numbers(self, sparsity: float | None = None) -> list[int]:
        """Return the numbers of the blocks (of ``sparsity``) that ``reader`` can read."""
        return self.reader.numbers(self.match_sparsity(sparsity))

    def _vectors(self, names: Sequence[str] | None, sparsity: float | None) -> _Kept:
        """Return ids and vectors. They are read again only after another process has added some."""
        version = self.reader.version()
        if version != self._version:
            self._kept.clear()
            self._version = version
        key = self.select_names(names), self.match_sparsity(sparsity)
        kept = self._kept.pop(key, None)
        if kept is None:
            ids, columns = self.reader.vectors([self.names.index(n) for n in key[0]], key[1])
            ids.setflags(write=False)
            columns.setflags(write=False)
            kept = _Kept(ids, Vectors(columns.T))
        self._kept[key] = kept  # last: the first of them is the one to let go
        while (
            len(self._kept) > 1 and sum(k.vectors.nbytes for k in self._kept.values()) > CACHE_BYTES
        ):
            del self._kept[next(iter(self._kept))]
        return kept
