"""How far properties reach over the graphs of a database, and which of them are constant there."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bogp.database.fetch import constant_columns
from bogp.database.records import Range
from bogp.errors import ConstantPropertyWarning
from bogp.types import Floats

if TYPE_CHECKING:
    from bogp.database.store import GraphDatabase


def ranges(names: Sequence[str], vectors: Floats) -> dict[str, Range]:
    """Return how far each column of ``vectors`` (graphs, names) reaches; empty without a graph.

    >>> ranges(["girth"], np.array([[3.0], [5.0]]))
    {'girth': Range(minimum=3.0, median=4.0, maximum=5.0, sd=1.0, constant=False)}
    """
    if len(vectors) == 0:
        return {}
    constant = constant_columns(vectors)
    columns = zip(
        names,
        vectors.min(axis=0).tolist(),
        np.median(vectors, axis=0).tolist(),
        vectors.max(axis=0).tolist(),
        np.where(constant, 0.0, vectors.std(axis=0)).tolist(),  # and not its rounding
        constant.tolist(),
        strict=True,
    )
    return {name: Range(*numbers) for name, *numbers in columns}


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
