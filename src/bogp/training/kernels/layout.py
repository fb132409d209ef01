"""How the weights of many masked perceptrons lie in memory, as arrays that the kernels walk.

The weights of all candidates lie in one flat vector, candidate after candidate and layer after
layer. A layer's weights lie group after group (see :mod:`bogp.training.kernels.vectors`) and row
after row within a group; a group's rows hold an entry for each column that any of them keeps, so
some entries are *padding*: held at zero. A bias is the weight of one more input, which is always 1.
Weights of inputs that are never on (``live``) come last in the first layer: they take part in the
optimiser's step, with a gradient of zero, but in no product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bogp.errors import MaskError
from bogp.training.kernels.cost import COSTS, OVERHEAD, grouping
from bogp.types import BoolArray, Floats, Integers


class Arrays(NamedTuple):
    """What the kernels read, for K candidates of L layers."""

    sizes: Integers  # (L + 1,) features of the input and of each layer
    live: npt.NDArray[np.int32]  # inputs that are ever on, in order
    groups: Integers  # (groups, 5): first row, rows, columns, begin in `columns`, begin of weights
    columns: npt.NDArray[np.int32]
    forward: Integers  # (K, L, 2): span in `groups`
    backward: Integers  # (K, L, 2): span in `groups`, of the transposed weights; none for layer 0
    begins: Integers  # (K, L + 1): begin of each layer in the flat vector; the last is the end
    sources: npt.NDArray[np.int32]  # where each transposed weight is, from its layer's begin; or -1
    transposes: Integers  # (K, L, 3): span in `sources`, begin in the buffer of transposed weights
    keep: npt.NDArray[np.uint8]  # (flat,) 0 for padding


@dataclass(frozen=True, eq=False)
class Layout:
    """Where in one flat vector the weights lie that the masks of K candidates keep."""

    arrays: Arrays
    places: tuple[tuple[Integers, ...], ...]
    """Where each entry goes in its layer's (out, in + 1) matrix, bias last; -1 for padding."""
    costs: Floats  # (K,) relative time of one mini-batch
    transposed_size: int  # length of the buffer of transposed weights

    @property
    def candidates(self) -> int:
        """Number of candidates."""
        return len(self.places)

    @property
    def parameters(self) -> int:
        """Length of the flat vector."""
        return len(self.arrays.keep)


@dataclass(frozen=True, eq=False)
class _Layer:
    """The layout of one layer: spans count from the first layer's begin, the rest from its own."""

    forward: tuple[int, int]
    backward: tuple[int, int]
    sources: tuple[int, int]
    places: Integers
    keep: npt.NDArray[np.uint8]
    cost: float


class _Builder:
    """The groups, columns and sources of all layers, as they grow; equal masks share theirs."""

    def __init__(self, costs: dict[int, float]) -> None:
        self.costs = costs
        self.groups: list[Integers] = []
        self.columns: list[npt.NDArray[np.int32]] = []
        self.sources: list[npt.NDArray[np.int32]] = []
        self.group_count = self.column_count = self.source_count = 0
        self.layers: dict[tuple[bool, tuple[int, ...], bytes], _Layer] = {}

    def layer(self, mask: BoolArray, live: Integers | None) -> _Layer:
        """Return the layout of a layer's mask (out, in); ``live`` for the first layer only."""
        key = (live is not None, mask.shape, np.packbits(mask).tobytes())
        if key not in self.layers:
            self.layers[key] = self._lay_out(mask, live)
        return self.layers[key]

    def _lay_out(self, mask: BoolArray, live: Integers | None) -> _Layer:
        out, inputs = mask.shape
        kept = mask if live is None else mask[:, live]
        kept = np.concatenate([kept, np.ones((out, 1), dtype=np.bool_)], axis=1)
        forward, rows, columns, cost = self._add(kept)
        keep = kept[rows, columns]
        original = np.arange(inputs + 1) if live is None else np.append(live, inputs)
        places = np.where(keep, rows * (inputs + 1) + original[columns], -1)
        if live is not None:
            dead = mask.copy()
            dead[:, live] = False
            loose_rows, loose_columns = np.nonzero(dead)
            places = np.append(places, loose_rows * (inputs + 1) + loose_columns)
            keep = np.append(keep, np.ones(len(loose_rows), dtype=np.bool_))
            backward, sources = (0, 0), (0, 0)
        else:
            backward, transposed_rows, transposed_columns, more = self._add(mask.T)
            where = np.full(mask.shape, -1, dtype=np.int32)
            weights = columns < inputs
            where[rows[weights], columns[weights]] = np.flatnonzero(weights)
            source = where[transposed_columns, transposed_rows]
            sources = (self.source_count, self.source_count + len(source))
            self.sources.append(source)
            self.source_count += len(source)
            cost += more
        return _Layer(forward, backward, sources, places, keep.astype(np.uint8), cost)

    def _add(self, kept: BoolArray) -> tuple[tuple[int, int], Integers, Integers, float]:
        """Add the groups of a matrix; return its span, the entries' places and its cost."""
        firsts, rows = np.array(grouping(kept, self.costs), dtype=np.int64).T
        union = np.logical_or.reduceat(kept, firsts, axis=0)
        counts = np.count_nonzero(union, axis=1)
        columns = np.nonzero(union)[1].astype(np.int32)
        entries = rows * counts
        begins = np.cumsum(counts) - counts + self.column_count
        parts = [firsts, rows, counts, begins, np.cumsum(entries) - entries]
        span = (self.group_count, self.group_count + len(firsts))
        self.groups.append(np.stack(parts, axis=1))
        self.columns.append(columns)
        self.group_count += len(firsts)
        self.column_count += len(columns)
        cost = sum(self.costs[r] * c + OVERHEAD for r, c in zip(rows, counts, strict=True))
        all_rows, all_columns = np.nonzero(np.repeat(union, rows, axis=0))
        return span, all_rows, all_columns, float(cost)


def make_layout(
    masks: Sequence[Sequence[BoolArray]],
    live: npt.ArrayLike | None = None,
    costs: dict[int, float] | None = None,
) -> Layout:
    """Return the layout of K candidates from their masks.

    Args:
        masks: for each candidate and layer, bool (out, in); the shapes are those of one perceptron.
            A layer that is not pruned has a mask that is True everywhere.
        live: the inputs that are ever other than zero, increasing; all by default.
        costs: what groups of 1, 2 and 4 rows cost (:data:`~bogp.training.kernels.cost.COSTS` by
            default): it changes the time of training, and no number.

    Raises:
        MaskError: no candidates, or layers whose shapes do not follow one another.

    >>> layout = make_layout([[np.eye(3, dtype=bool), np.ones((2, 3), dtype=bool)]])
    >>> layout.candidates, layout.arrays.sizes.tolist()
    (1, [3, 3, 2])
    """
    sizes = _sizes(masks)
    ever = np.arange(sizes[0]) if live is None else np.asarray(live, dtype=np.int64)
    builder = _Builder(COSTS if costs is None else costs)
    laid = [
        [builder.layer(mask, ever if number == 0 else None) for number, mask in enumerate(layers)]
        for layers in masks
    ]
    lengths = np.array([[len(layer.places) for layer in layers] for layers in laid])
    ends = lengths.cumsum().reshape(lengths.shape)
    begins = np.concatenate([(ends - lengths)[:, :1], ends], axis=1)
    transposed = np.array([[np.diff(layer.sources)[0] for layer in layers] for layers in laid])
    transposed_begins = transposed.cumsum().reshape(transposed.shape) - transposed
    spans = np.array([[layer.sources for layer in layers] for layers in laid])
    arrays = Arrays(
        sizes=np.array(sizes, dtype=np.int64),
        live=ever.astype(np.int32),
        groups=np.concatenate(builder.groups),
        columns=np.concatenate(builder.columns),
        forward=np.array([[layer.forward for layer in layers] for layers in laid]),
        backward=np.array([[layer.backward for layer in layers] for layers in laid]),
        begins=begins,
        sources=np.concatenate([np.empty(0, dtype=np.int32), *builder.sources]),
        transposes=np.concatenate([spans, transposed_begins[..., None]], axis=2),
        keep=np.concatenate([layer.keep for layers in laid for layer in layers]),
    )
    places = tuple(tuple(layer.places for layer in layers) for layers in laid)
    times = np.array([sum(layer.cost for layer in layers) for layers in laid])
    return Layout(arrays, places, times, int(transposed.sum()))


def _sizes(masks: Sequence[Sequence[BoolArray]]) -> list[int]:
    if not masks or not masks[0]:
        raise MaskError("a population of no candidates or no layers has no layout: give masks")
    shapes = [mask.shape for mask in masks[0]]
    for candidate, layers in enumerate(masks):
        if [mask.shape for mask in layers] != shapes:
            found = [tuple(mask.shape) for mask in layers]
            raise MaskError(
                f"candidate {candidate} has masks of shapes {found} and candidate 0 of {shapes}: "
                "give one network's shapes to all"
            )
        for mask in layers:
            if mask.dtype != np.bool_ or mask.ndim != 2:
                raise MaskError(
                    f"candidate {candidate} has a mask of {mask.dtype} {mask.shape}: give bool "
                    "(out, in)"
                )
    for number in range(1, len(shapes)):
        if shapes[number][1] != shapes[number - 1][0]:
            raise MaskError(
                f"layer {number} reads {shapes[number][1]} inputs and layer {number - 1} gives "
                f"{shapes[number - 1][0]}: give masks (out, in) of one perceptron, in order"
            )
    return [int(shapes[0][1]), *(int(shape[0]) for shape in shapes)]
