"""The rows of an outside table as checked arrays, and as blocks of graphs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.database.blocks import (
    UNKNOWN_EDGES,
    UNKNOWN_SEED,
    Block,
    Bytes,
    Ids,
    Origin,
    block_size,
    triangle_bytes,
)
from bogp.database.cells import Cells, Origins, check_padding, nodes_of, parameters
from bogp.database.plan import IMPORTED, Plan
from bogp.database.table_columns import Roles
from bogp.database.table_files import Columns
from bogp.errors import DatabaseError, GraphError, SettingError, check_sparsity
from bogp.graphs import describe
from bogp.graphs.kernels.bits import unpack_triangles
from bogp.keys import canonical_json
from bogp.types import Floats

MOST_SPARSITIES = 1000
"""How many sparsities a table may have: each has blocks and ranges of its own."""


@dataclass(frozen=True)
class Settings:
    """What the caller says of the table at ``path``."""

    path: Path
    nodes: int | None
    shape: tuple[int, int] | None
    sparsity: float | None


@dataclass(frozen=True, eq=False)
class Rows:
    """A whole table, in the order of (sparsity, id); every array has a row a graph."""

    nodes: int  # 0 where not known
    shape: tuple[int, int]
    sparsity: Floats
    ids: Ids
    vectors: Floats
    seeds: npt.NDArray[np.uint64]
    edges: npt.NDArray[np.int32]
    origins_of: npt.NDArray[np.int32]
    numbers: Floats
    origins: tuple[Origin, ...]
    triangles: Bytes | None
    masks: Bytes | None
    measured: dict[str, Floats]

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any] | None]:
        """Everything that has a row a graph, but for measured values."""
        return {
            "sparsity": self.sparsity,
            "ids": self.ids,
            "vectors": self.vectors,
            "seeds": self.seeds,
            "edges": self.edges,
            "origins_of": self.origins_of,
            "numbers": self.numbers,
            "triangles": self.triangles,
            "masks": self.masks,
        }


def read_rows(settings: Settings, roles: Roles, batches: Iterator[Columns]) -> Rows:
    """Return the checked rows of a table.

    Raises:
        DatabaseError: see :func:`bogp.database.import_table`; so do the others.
    """
    settings, parts = _checked(settings, roles), []
    origins = Origins()
    own: list[list[float]] = []
    first = 1
    for batch in batches:
        cells = {
            ours: Cells(settings.path, theirs, first, batch[theirs])
            for ours, theirs in roles.columns.items()
        }
        if "adjacency" in cells and settings.nodes is None:
            settings = _checked(replace(settings, nodes=nodes_of(cells["adjacency"])), roles)
        parts.append(
            _batch(settings, roles, cells, first, len(batch[roles.any_column]), origins, own)
        )
        first += len(batch[roles.any_column])
    if not parts:
        raise DatabaseError(f"table {str(settings.path)!r} has no row: give at least one graph")
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    numbers = np.zeros((len(own), max(map(len, own))))
    for row, values in enumerate(own):
        numbers[row, : len(values)] = values
    order = np.lexsort((arrays["ids"], arrays["sparsity"]))
    _check_ids(arrays["ids"], settings.path)
    _check_sparsities(arrays["sparsity"], settings.path)
    measured = {name: arrays.pop(f"measured {name}")[order] for name in roles.measured}
    nodes = settings.nodes or 0
    return Rows(
        nodes=nodes,
        shape=settings.shape or (nodes, nodes),
        numbers=numbers[order],
        origins=origins.origins,
        triangles=arrays.pop("triangles")[order] if "triangles" in arrays else None,
        masks=arrays.pop("masks")[order] if "masks" in arrays else None,
        measured=measured,
        **{name: array[order] for name, array in arrays.items()},
    )


def _checked(settings: Settings, roles: Roles) -> Settings:
    """Return ``settings``, or raise if they cannot be."""
    if settings.sparsity is not None:
        check_sparsity(settings.sparsity)
        if "sparsity" in roles.columns:
            raise SettingError(
                f"sparsity {settings.sparsity} is given for a table that has a column of it: give "
                "one of them"
            )
    elif "sparsity" not in roles.columns:
        raise DatabaseError(
            f"table {str(settings.path)!r} has no column 'sparsity': name the one that is, or give "
            "the sparsity of all its rows"
        )
    if settings.nodes is not None and settings.nodes < 1:
        raise GraphError(f"a graph of {settings.nodes} nodes cannot exist: give at least 1 node")
    if settings.nodes is not None and settings.shape and settings.nodes > min(settings.shape):
        out_features, in_features = settings.shape
        raise GraphError(
            f"{settings.nodes} nodes do not fit a layer of shape {out_features}x{in_features}: "
            f"give at most {min(settings.shape)} nodes"
        )
    if "mask" in roles.columns and settings.shape is None:
        raise SettingError("a table with masks does not tell the layer's shape: give it")
    return settings


def _batch(
    settings: Settings,
    roles: Roles,
    cells: Mapping[str, Cells],
    first: int,
    count: int,
    origins: Origins,
    own: list[list[float]],
) -> dict[str, npt.NDArray[Any]]:
    """Return some rows as arrays; their origins and own parameters are added to the last two."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "ids": cells["id"].ids() if "id" in cells else np.arange(first - 1, first - 1 + count),
        "sparsity": _sparsity(settings, cells, count),
        "seeds": (
            cells["seed"].seeds() if "seed" in cells else np.full(count, UNKNOWN_SEED, np.uint64)
        ),
        "edges": _edges(cells, count),
        "origins_of": _origins(cells, count, origins, own),
    }
    vectors = np.empty((count, len(roles.names)))
    for place, name in enumerate(roles.names):
        if name not in roles.computed:
            vectors[:, place] = cells[name].floats()
    if "adjacency" in cells:
        arrays["triangles"] = _triangles(settings, cells, arrays["edges"])
        if roles.computed:
            graphs = unpack_triangles(arrays["triangles"], settings.nodes or 0)
            found = describe(graphs, roles.computed, threads=None)
            vectors[:, [roles.names.index(name) for name in roles.computed]] = found
    if "mask" in cells and settings.shape:
        out_features, in_features = settings.shape
        bits, what = out_features * in_features, f"a mask of {out_features}x{in_features}"
        arrays["masks"] = cells["mask"].packed((bits + 7) // 8, what)
        check_padding(cells["mask"], arrays["masks"], bits, what)
    arrays["vectors"] = vectors
    return arrays | {f"measured {n}": cells[n].floats(missing=True) for n in roles.measured}


def _sparsity(settings: Settings, cells: Mapping[str, Cells], count: int) -> Floats:
    if settings.sparsity is not None:
        return np.full(count, float(settings.sparsity))
    values = cells["sparsity"].floats()
    outside = np.flatnonzero((values < 0.0) | (values >= 1.0))
    if len(outside):
        what = "is not in [0, 1): give the share of weights that are removed"
        raise cells["sparsity"].error(int(outside[0]), what)
    return values


def _edges(cells: Mapping[str, Cells], count: int) -> npt.NDArray[np.int32]:
    found = cells["edges"].whole(0, (1 << 31) - 1) if "edges" in cells else [None] * count
    return np.array([UNKNOWN_EDGES if n is None else n for n in found], dtype=np.int32)


def _origins(
    cells: Mapping[str, Cells], count: int, origins: Origins, own: list[list[float]]
) -> npt.NDArray[np.int32]:
    families = cells["family"].texts() if "family" in cells else [None] * count
    found: list[dict[str, Any]] = (
        parameters(cells["parameters"]) if "parameters" in cells else [{}] * count
    )
    pairs = [origins.add(f or IMPORTED, p) for f, p in zip(families, found, strict=True)]
    own.extend(numbers for _, numbers in pairs)
    return np.array([origin for origin, _ in pairs], dtype=np.int32)


def _triangles(
    settings: Settings, cells: Mapping[str, Cells], edges: npt.NDArray[np.int32]
) -> Bytes:
    """Return the graphs, and set the edge counts that are not known."""
    nodes = settings.nodes or 0
    what = f"a graph of {nodes} nodes"
    packed = cells["adjacency"].packed(triangle_bytes(nodes), what)
    check_padding(cells["adjacency"], packed, nodes * (nodes - 1) // 2, what)
    counts = np.bitwise_count(packed).sum(axis=1, dtype=np.int32)
    wrong = np.flatnonzero((edges != UNKNOWN_EDGES) & (edges != counts))
    if len(wrong):
        row = int(wrong[0])
        raise cells["edges"].error(row, f"is not the {counts[row]} edges of its graph: mend one")
    edges[:] = counts
    return packed


def _check_ids(ids: Ids, path: Path) -> None:
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(again):
        first, second = int(order[again[0]]), int(order[again[0] + 1])
        raise DatabaseError(
            f"row {second + 1} of {str(path)!r}: id {ids[second]} is that of row {first + 1} too: "
            "give each graph an id of its own"
        )


def _check_sparsities(sparsity: Floats, path: Path) -> None:
    different = len(np.unique(sparsity))
    if different > MOST_SPARSITIES:
        raise DatabaseError(
            f"table {str(path)!r} has {different} different sparsities, and a database keeps each "
            f"by itself: round them, to two decimals say, so that there are {MOST_SPARSITIES} at "
            "most"
        )


def make_plan(rows: Rows, roles: Roles) -> Plan:
    """Return the plan of an imported database; a hash of all it holds stands for its settings."""
    digest = hashlib.sha256()
    for name, array in {**rows.arrays, **rows.measured}.items():
        if array is not None:
            kind = array.dtype.newbyteorder("<")
            digest.update(canonical_json([name, array.shape, kind.str]).encode())
            digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    made = [[o.family, dict(o.parameters), dict(o.own)] for o in rows.origins]
    digest.update(canonical_json(made).encode())
    return Plan(
        nodes=rows.nodes,
        shape=rows.shape,
        sparsities=tuple(np.unique(rows.sparsity).tolist()),
        graphs=len(rows.ids),
        family=IMPORTED,
        seed=0,
        names=roles.names,
        parameters={"content": digest.hexdigest()},
    )


def make_blocks(rows: Rows, plan: Plan) -> Iterator[Block]:
    """Yield the blocks of a table."""
    parts = (rows.triangles, rows.masks)
    size = block_size(sum(0 if part is None else part.shape[1] for part in parts))
    number = 0
    for sparsity in plan.sparsities:
        low, high = np.searchsorted(rows.sparsity, [sparsity, np.nextafter(sparsity, 2.0)])
        for start in range(int(low), int(high), size):
            span = slice(start, min(start + size, int(high)))
            yield Block(
                number=number,
                sparsity=sparsity,
                ids=rows.ids[span],
                vectors=rows.vectors[span],
                seeds=rows.seeds[span],
                edges=rows.edges[span],
                origins=rows.origins_of[span],
                numbers=rows.numbers[span],
                triangles=None if rows.triangles is None else rows.triangles[span],
                masks=None if rows.masks is None else rows.masks[span],
                measured={name: values[span] for name, values in rows.measured.items()},
            )
            number += 1
