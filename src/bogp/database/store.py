"""The graph database: graphs of known properties, in one SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from bogp.database import fetch
from bogp.database.build import Progress, build_file
from bogp.database.connect import connect, one_sentence
from bogp.database.plan import (
    ALL_PROPERTIES,
    PAPER_SPARSITIES,
    Plan,
    make_plan,
    read_plan,
)
from bogp.database.records import GraphRecord, Neighbour, Range, unpack_mask
from bogp.errors import (
    ConstantPropertyWarning,
    DatabaseError,
    UnknownNameError,
    check_sparsity,
)
from bogp.graphs.properties import PAPER_FIVE
from bogp.graphs.relational import RelationalGraph


@final
class GraphDatabase:
    """Relational graphs of one layer, with their properties: the paper's Ψ.

    Make one with :meth:`build`, open one with :meth:`open`; both give a view for reading, which a
    ``with`` statement closes.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, plan: Plan) -> None:
        self.path = path
        self.plan = plan
        self._connection = connection
        self._cache: tuple[int, npt.NDArray[np.int64], fetch.Floats] | None = None

    @classmethod
    def build(
        cls,
        path: str | os.PathLike[str],
        *,
        nodes: int = 128,
        sparsities: Sequence[float] = PAPER_SPARSITIES,
        graphs: int = 1000,
        family: str = "uniform",
        shape: tuple[int, int] | None = None,
        seed: int = 0,
        names: Sequence[str] = ALL_PROPERTIES,
        parameters: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> GraphDatabase:
        """Build the database at ``path``, or continue it, and open it (the paper's algorithm 1).

        Each graph depends on the settings and its own seed alone, so a build that was killed and
        continued equals one that was not. A complete database is opened as it is.

        Args:
            path: the file; its folder is made if need be.
            nodes: nodes of each graph.
            sparsities: shares of the layer's weights to remove, each in [0, 1).
            graphs: graphs for each sparsity.
            family: a generator of :mod:`bogp.graphs.generators`; its graphs have just so many
                edges that their masks keep at least the wanted weights. ``random_mask`` draws
                plain random 0-1 masks instead, reads each as a graph and stores the mask too.
            shape: (out_features, in_features) of the layer to prune; (nodes, nodes) if not given.
            seed: of all draws.
            names: the properties to store.
            parameters: of the generator.
            progress: told (graphs there are, graphs planned) at the start and after each batch.

        Raises:
            SparsityError: a sparsity is outside [0, 1).
            GraphError: the nodes do not fit the layer, or the family cannot have that many edges.
            UnknownNameError: the family or a property is unknown.
            SettingError: another setting is out of range.
            DatabaseError: ``path`` holds anything but a database of the same settings, or another
                process is building it.
            OutputError: the folder cannot be written to.
        """
        plan = make_plan(
            nodes=nodes,
            sparsities=sparsities,
            graphs=graphs,
            family=family,
            shape=shape,
            seed=seed,
            names=names,
            parameters=parameters,
        )
        build_file(Path(path), plan, progress)
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
            with one_sentence(file):
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
    def nodes(self) -> int:
        """Nodes of each graph."""
        return self.plan.nodes

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features) of the layer that the graphs are for."""
        return self.plan.shape

    @property
    def family(self) -> str:
        """The generator, or ``random_mask``."""
        return self.plan.family

    @property
    def seed(self) -> int:
        """The seed of all draws."""
        return self.plan.seed

    @property
    def names(self) -> tuple[str, ...]:
        """The stored properties."""
        return self.plan.names

    @property
    def sparsities(self) -> tuple[float, ...]:
        """The sparsities, ascending."""
        return self.plan.sparsities

    @property
    def expected(self) -> int:
        """The number of graphs once the database is complete."""
        return self.plan.expected

    @property
    def complete(self) -> bool:
        """Whether every planned graph is there."""
        return len(self) == self.expected

    def __len__(self) -> int:
        """Return the number of graphs there are."""
        with one_sentence(self.path):
            return int(self._connection.execute("SELECT count(*) FROM vector").fetchone()[0])

    def select_names(self, names: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return ``names``, checked; by default the paper's five, or all where none is stored.

        Raises:
            UnknownNameError: a name is not stored here.
        """
        if names is None:
            return tuple(name for name in PAPER_FIVE if name in self.names) or self.names
        for name in names:
            if name not in self.names:
                raise UnknownNameError("property", name, self.names)
        return tuple(names)

    def vectors(
        self, names: Sequence[str] | None = None, sparsity: float | None = None
    ) -> tuple[npt.NDArray[np.int64], fetch.Floats]:
        """Return the ids, int64 (graphs,) ascending, and property vectors, float64 (graphs, names).

        Raises:
            UnknownNameError: a name is not stored here.
            SparsityError, DatabaseError: there are no graphs of that sparsity.
        """
        columns = [self.names.index(name) for name in self.select_names(names)]
        span = slice(None)
        ids, vectors = self._all_vectors()
        if sparsity is not None:
            first = self._sparsity_index(sparsity) * self.plan.graphs
            span = slice(*np.searchsorted(ids, [first, first + self.plan.graphs]))
        return ids[span].copy(), vectors[span][:, columns]

    def record(self, graph_id: int) -> GraphRecord:
        """Return one graph with everything that is known of it.

        Raises:
            DatabaseError: there is no graph of that id.
        """
        with one_sentence(self.path):
            row = self._connection.execute(
                "SELECT sparsity, family, parameters, seed, edges, adjacency, mask, properties "
                "FROM graph JOIN vector USING (id) WHERE id = ?",
                (int(graph_id),),
            ).fetchone()
        if row is None:
            raise DatabaseError(
                f"graph {graph_id} is not in {str(self.path)!r}, which has {len(self)} of its "
                f"{self.expected} graphs: give an id from 0 to {self.expected - 1}, and continue "
                "the build if it is not complete"
            )
        sparsity, family, parameters, seed, edges, adjacency, mask, values = row
        vector = self._decode([values])[0]
        return GraphRecord(
            id=int(graph_id),
            sparsity=sparsity,
            family=family,
            parameters=json.loads(parameters),
            seed=seed,
            edges=edges,
            graph=RelationalGraph.from_packed(adjacency, self.nodes),
            properties=dict(zip(self.names, vector.tolist(), strict=True)),
            mask=None if mask is None else unpack_mask(mask, self.shape),
        )

    def constant(
        self, names: Sequence[str] | None = None, sparsity: float | None = None
    ) -> tuple[str, ...]:
        """Return the properties with one value in all graphs (of ``sparsity``), in order.

        Such a property tells a search nothing. Arguments and errors are those of :meth:`vectors`.
        """
        ranges = self.coverage(sparsity, names)
        return tuple(name for name, reach in ranges.items() if reach.constant)

    def coverage(
        self, sparsity: float | None = None, names: Sequence[str] | None = None
    ) -> dict[str, Range]:
        """Return how far each property reaches over the graphs (of ``sparsity``).

        Empty while there are no such graphs yet. Arguments and errors are those of :meth:`vectors`.
        """
        _, vectors = self.vectors(names, sparsity)
        if len(vectors) == 0:
            return {}
        constant = fetch.constant_columns(vectors)
        columns = zip(
            self.select_names(names),
            vectors.min(axis=0).tolist(),
            np.median(vectors, axis=0).tolist(),
            vectors.max(axis=0).tolist(),
            np.where(constant, 0.0, vectors.std(axis=0)).tolist(),  # and not its rounding
            constant.tolist(),
            strict=True,
        )
        return {name: Range(*numbers) for name, *numbers in columns}

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
        ids, vectors = self.vectors(names, sparsity)
        wanted = np.array([float(target[name]) for name in names], dtype=np.float64)
        rows, scores = fetch.nearest(vectors, wanted, metric, scale, count)
        return [
            Neighbour(
                id=int(ids[row]),
                score=float(score),
                vector=dict(zip(names, vectors[row].tolist(), strict=True)),
            )
            for row, score in zip(rows, scores, strict=True)
        ]

    def _sparsity_index(self, sparsity: float) -> int:
        """Return the place of ``sparsity`` in the plan, or raise."""
        gaps = np.abs(np.array(self.sparsities) - check_sparsity(sparsity))
        if gaps.min() > 1e-9:
            raise DatabaseError(
                f"{str(self.path)!r} has no graphs of sparsity {sparsity}: choose from "
                f"{', '.join(map(str, self.sparsities))}, or build another database"
            )
        return int(gaps.argmin())

    def _all_vectors(self) -> tuple[npt.NDArray[np.int64], fetch.Floats]:
        """Return all ids and vectors, read again only after another process has added some."""
        with one_sentence(self.path):
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if self._cache is None or self._cache[0] != version:
                rows = self._connection.execute(
                    "SELECT id, properties FROM vector ORDER BY id"
                ).fetchall()
                ids = np.array([row[0] for row in rows], dtype=np.int64)
                self._cache = (version, ids, self._decode([row[1] for row in rows]))
        return self._cache[1], self._cache[2]

    def _decode(self, blobs: list[bytes]) -> fetch.Floats:
        """Return property blobs as float64 (rows, stored names)."""
        width = 8 * len(self.names)
        if any(len(blob) != width for blob in blobs):
            raise DatabaseError(
                f"graph database {str(self.path)!r} is corrupt (a property vector is not "
                f"{len(self.names)} numbers): restore a copy of it or build it again"
            )
        numbers = np.frombuffer(b"".join(blobs), dtype="<f8").astype(np.float64)
        return numbers.reshape(len(blobs), len(self.names))


def warn_constant(
    database: GraphDatabase, names: Sequence[str] | None = None, sparsity: float | None = None
) -> tuple[str, ...]:
    """Warn of each property that is constant over the database, and return their names.

    Each gets one :class:`~bogp.errors.ConstantPropertyWarning`. Arguments and errors are those of
    :meth:`GraphDatabase.vectors`.
    """
    ranges = database.coverage(sparsity, names)
    constant = tuple(name for name, reach in ranges.items() if reach.constant)
    ids, _ = database.vectors(names, sparsity)
    where = "" if sparsity is None else f" at sparsity {sparsity:g}"
    for name in constant:
        warnings.warn(
            f"{name} is {ranges[name].median:.4g} in all {len(ids)} graphs{where}: "
            "it tells the search nothing there",
            ConstantPropertyWarning,
            stacklevel=2,
        )
    return constant
