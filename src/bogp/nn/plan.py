"""How a layer's kept blocks are computed: which inputs its nodes read, and in what order.

A plan is made of *buckets* of out nodes. The nodes of a bucket read the same number of in nodes,
so that a bucket is one batched product. Where the nodes that it reads are a window that moves on
by a fixed step from one node to the next, as in a ring, they need not be copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np

from bogp.errors import UnknownNameError
from bogp.nn.blocks import Blocks, neighbours
from bogp.nn.costs import DEFAULT, Costs
from bogp.types import BoolArray

Kind = Literal["window", "window+gather", "gather", "buckets", "padded", "dense"]
"""The kinds of plans.

``window`` copies no input; ``window+gather`` adds the blocks beside a window; ``gather`` copies
what each node reads; ``buckets`` does so for each number of neighbours apart; ``padded`` lets
nodes of fewer neighbours read blocks of zeros; ``dense`` is the dense layer.
"""

NONE = -1
"""The block of zeros, in a bucket's ``blocks``."""

CACHED = 2**18
"""How many numbers of the input and output of some rows a CPU's cache is taken to hold."""

FEWEST = 16
"""The fewest rows that a CPU is given at a time."""


class Window(NamedTuple):
    """The nodes that a bucket's rows read: row r those from ``start + r * step`` on.

    The nodes are on a circle. ``start`` may be negative.
    """

    start: int
    step: int


class Bucket(NamedTuple):
    """Out nodes that read the same number of in nodes.

    Attributes:
        rows: the out nodes.
        reads: the in nodes that each of them reads.
        blocks: which of the layer's blocks belongs to each of these, or ``NONE``.
        window: what is read, as a window; None where it is none.
    """

    rows: tuple[int, ...]
    reads: tuple[tuple[int, ...], ...]
    blocks: tuple[tuple[int, ...], ...]
    window: Window | None

    @property
    def width(self) -> int:
        """How many in nodes each row reads."""
        return len(self.reads[0])


@dataclass(frozen=True)
class Plan:
    """How one layer is computed.

    Attributes:
        kind: what it is in a word, see :data:`Kind`.
        buckets: what is computed; if ``added``, the first has all rows, and the others' rows are
            added to it; otherwise each row is in one bucket, or reads nothing.
        shape: (out nodes, in nodes).
        added: see ``buckets``.
        seconds: what the costs predict for it.
        dense_seconds: what they predict for the dense layer.
    """

    kind: Kind
    buckets: tuple[Bucket, ...]
    shape: tuple[int, int]
    added: bool
    seconds: float
    dense_seconds: float

    @property
    def gain(self) -> float:
        """The predicted speed over the dense layer."""
        return self.dense_seconds / self.seconds


class Layer(NamedTuple):
    """What plans depend on besides the wiring: numbers of one layer.

    Attributes:
        rows: how many vectors of channels it gets at a time: batch, tokens and pixels multiplied.
        out: output channels of a node, the most that any has.
        into: input channels of a node, the most that any has.
        places: numbers in a kernel: 9 in a 3 x 3 convolution, 1 in a linear layer.
    """

    rows: int
    out: int
    into: int
    places: int = 1


GAIN = 1.25
"""The predicted speed over dense from which on a layer is computed by its blocks.

Predictions are rather too high than too low: the costs leave out what falls out of a cache.
"""


def plan_blocks(
    blocks: Blocks,
    rows: int = 64,
    *,
    places: int = 1,
    costs: Costs = DEFAULT,
    kind: Kind | None = None,
    windows: bool = True,
) -> Plan:
    """Return the quickest plan of a layer, or the quickest of one ``kind``.

    Args:
        blocks: the layer's kept blocks.
        rows: how many vectors of channels it gets at a time: batch, tokens and pixels multiplied.
        places: numbers in a kernel; 1 for a linear layer.
        costs: what this machine takes for its parts, see :func:`bogp.nn.measured`.
        kind: only plans of this kind; by default ``"dense"`` where no other gains a quarter.
        windows: whether windows of the input may be read; a convolution cannot.

    Raises:
        UnknownNameError: there is no such kind, or no such plan of this wiring.

    >>> ring = np.eye(8) + np.roll(np.eye(8), 1, 1) + np.roll(np.eye(8), -1, 1)
    >>> plan = plan_blocks(Blocks(ring, (64,) * 8, (64,) * 8))
    >>> plan.kind, plan.buckets[0].window, plan.buckets[0].reads[0]
    ('window', Window(start=-1, step=1), (7, 0, 1))
    """
    found = block_plans(blocks, rows, places=places, costs=costs, windows=windows)
    if kind is None:
        best = quickest(found)
        kind = best.kind if best.gain >= GAIN else "dense"
    if kind == "dense":
        seconds = found[0].dense_seconds
        return Plan("dense", (), found[0].shape, False, seconds, seconds)
    return quickest(found, kind)


def quickest(plans: Sequence[Plan], kind: Kind | None = None) -> Plan:
    """Return the plan with the fewest predicted seconds, of one kind or of all.

    Raises:
        UnknownNameError: there is no plan of that kind.
    """
    found = [each for each in plans if kind is None or each.kind == kind]
    if not found:
        raise UnknownNameError("plan of this wiring", str(kind), {each.kind for each in plans})
    return min(found, key=lambda each: each.seconds)


def block_plans(
    blocks: Blocks,
    rows: int,
    *,
    places: int = 1,
    costs: Costs = DEFAULT,
    windows: bool = True,
    turned: bool = False,
) -> list[Plan]:
    """Return every plan that computes a layer by its blocks.

    With ``turned`` these are plans of the backward pass, from the outputs' gradient to the inputs';
    the blocks have the numbers that they have in the layer.
    """
    blocks_of = {pair: k for k, pair in enumerate(blocks.order)}
    if turned:
        blocks = Blocks(blocks.wiring.T, blocks.in_sizes, blocks.out_sizes)
        blocks_of = {(u, v): k for (v, u), k in blocks_of.items()}
    layer = Layer(rows, max(blocks.out_sizes), max(blocks.in_sizes), places)
    shape = blocks.wiring.shape[0], blocks.wiring.shape[1]
    dense = costs.dense_seconds(rows, blocks.out_channels, blocks.in_channels, places)
    return [
        Plan(kind, buckets, shape, added, _seconds(buckets, shape, added, layer, costs), dense)
        for kind, buckets, added in _plans(blocks.wiring, blocks_of, layer, costs, windows)
    ]


_Candidate = tuple[Kind, tuple[Bucket, ...], bool]


def _plans(
    wiring: BoolArray,
    blocks_of: Mapping[tuple[int, int], int],
    layer: Layer,
    costs: Costs,
    windows: bool,
) -> Iterator[_Candidate]:
    """Yield what can be computed: kind, buckets, and whether they are added."""
    rows = dict(enumerate(neighbours(wiring)))
    nodes = wiring.shape[1]
    lengths = sorted({len(reads) for reads in rows.values() if reads})
    exact = _buckets(rows, [(n, n) for n in lengths], blocks_of, nodes, windows)
    if exact and all(bucket.window for bucket in exact):
        yield "window", exact, False
    gathered = tuple(bucket._replace(window=None) for bucket in exact)
    yield "gather" if len(exact) < 2 else "buckets", gathered, False
    if len(lengths) > 1:
        cuts = _merged(rows, lengths, layer, costs)
        merged = _buckets(rows, cuts, blocks_of, nodes, False)
        yield "padded" if len(cuts) == 1 else "buckets", merged, False
        if len(cuts) > 1:
            whole = [(lengths[0], lengths[-1])]
            yield "padded", _buckets(rows, whole, blocks_of, nodes, False), False
    if windows and (band := _band(wiring)) is not None:
        yield from _with_band(wiring, band, blocks_of, layer, costs)


def _buckets(
    rows: Mapping[int, tuple[int, ...]],
    cuts: Sequence[tuple[int, int]],
    blocks_of: Mapping[tuple[int, int], int],
    nodes: int,
    windows: bool,
) -> tuple[Bucket, ...]:
    """Return one bucket for each range of numbers of neighbours, (fewest, most)."""
    found = []
    for fewest, most in cuts:
        mine = [v for v, reads in rows.items() if fewest <= len(reads) <= most]
        mine.sort(key=lambda v: (len(rows[v]), v))
        # A row of fewer neighbours reads one of them again, times zeros.
        reads = tuple(rows[v] + rows[v][-1:] * (most - len(rows[v])) for v in mine)
        blocks = tuple(
            tuple(blocks_of[v, u] for u in rows[v]) + (NONE,) * (most - len(rows[v])) for v in mine
        )
        window = _window(reads, nodes) if windows else None
        found.append(Bucket(tuple(mine), reads, blocks, window))
    return tuple(found)


def _window(reads: Sequence[tuple[int, ...]], nodes: int) -> Window | None:
    """Return the window that the rows read, or None where there is none."""
    first = reads[0][0]
    step = (reads[1][0] - first) % nodes if len(reads) > 1 else 1
    if step == 0 or any(
        each != tuple((first + r * step + k) % nodes for k in range(len(each)))
        for r, each in enumerate(reads)
    ):
        return None
    # What is left of the first node or right of the last is a copy of the other end.
    length = (len(reads) - 1) * step + len(reads[0])
    outside = {
        start: max(0, -start) + max(0, start + length - nodes) for start in (first, first - nodes)
    }
    start = min(outside, key=lambda each: outside[each])
    return Window(start, step) if outside[start] <= nodes else None


def _merged(
    rows: Mapping[int, tuple[int, ...]], lengths: Sequence[int], layer: Layer, costs: Costs
) -> list[tuple[int, int]]:
    """Return the ranges of numbers of neighbours that make the cheapest buckets."""
    counts = [sum(len(reads) == n for reads in rows.values()) for n in lengths]
    best: list[tuple[float, list[tuple[int, int]]]] = [(0.0, [])]
    for end in range(1, len(lengths) + 1):
        options = []
        for start in range(end):
            count = sum(counts[start:end])
            padded = end - start > 1
            seconds = best[start][0] + _bucket_seconds(
                count, lengths[end - 1], layer, costs, padded=padded
            )
            options.append((seconds, [*best[start][1], (lengths[start], lengths[end - 1])]))
        best.append(min(options))
    return best[-1][1]


def _band(wiring: BoolArray) -> tuple[int, int] | None:
    """Return the diagonals, (first, how many), that a ring with changes keeps; None if none.

    Row v reads nodes from v + first on; at least half of the blocks on each diagonal are kept.
    """
    nodes = len(wiring)
    if wiring.shape[1] != nodes or nodes < 3:
        return None
    at = np.arange(nodes)
    share = np.array([wiring[at, (at + k) % nodes].mean() for k in range(nodes)])
    runs = [
        [k for k, _ in run]
        for mostly, run in groupby(enumerate(share >= 0.5), key=lambda each: bool(each[1]))
        if mostly
    ]
    if not runs or len(runs[0]) == nodes:
        return None
    if len(runs) > 1 and runs[0][0] == 0 and runs[-1][-1] == nodes - 1:
        runs[-1] += runs.pop(0)
    longest = max(runs, key=len)
    return longest[0], len(longest)


def _with_band(
    wiring: BoolArray,
    band: tuple[int, int],
    blocks_of: Mapping[tuple[int, int], int],
    layer: Layer,
    costs: Costs,
) -> Iterator[_Candidate]:
    """Yield the plan of a window for the band, and buckets for the blocks beside it."""
    nodes = len(wiring)
    reads = tuple(tuple((v + band[0] + k) % nodes for k in range(band[1])) for v in range(nodes))
    window = _window(reads, nodes)
    beside = {
        v: tuple(int(u) for u in np.flatnonzero(wiring[v]) if u not in reads[v])
        for v in range(nodes)
    }
    lengths = sorted({len(each) for each in beside.values() if each})
    if window is None or not lengths:
        return
    blocks = tuple(tuple(blocks_of.get((v, u), NONE) for u in reads[v]) for v in range(nodes))
    base = Bucket(tuple(range(nodes)), reads, blocks, window)
    extra = _buckets(beside, _merged(beside, lengths, layer, costs), blocks_of, nodes, False)
    yield "window+gather", (base, *extra), True


def _seconds(
    buckets: Sequence[Bucket], shape: tuple[int, int], added: bool, layer: Layer, costs: Costs
) -> float:
    """Return what the costs predict for buckets."""
    # The outputs of several buckets are brought into order once more.
    passes = 1 if len(buckets) < 2 else 2
    copied = passes * layer.rows * shape[0] * layer.out
    parts = 1
    if layer.places == 1:
        parts = -(-layer.rows // rows_at_a_time(buckets, shape, layer.into, layer.out))
    calls = (parts - 1) * (1 + len(buckets)) + 2 * added
    return (
        costs.layer
        + costs.call * calls
        + costs.copy * copied
        + sum(
            _bucket_seconds(
                len(each.rows),
                each.width,
                layer,
                costs,
                circle=None if each.window is None else shape[1],
                padded=added or any(NONE in blocks for blocks in each.blocks),
            )
            for each in buckets
        )
    )


def rows_at_a_time(buckets: Sequence[Bucket], shape: tuple[int, int], into: int, out: int) -> int:
    """Return how many rows a CPU is given at a time: what it reads and writes stays in its cache.

    Buckets are computed one after another, so that what the largest gathers counts.
    """
    read = [len(each.rows) * each.width if each.window is None else shape[1] for each in buckets]
    return max(FEWEST, CACHED // max(1, shape[0] * out + into * max(read, default=0)))


def _bucket_seconds(
    count: int,
    width: int,
    layer: Layer,
    costs: Costs,
    *,
    circle: int | None = None,
    padded: bool = False,
) -> float:
    """Return what the costs predict for a bucket of ``count`` nodes that read ``width`` each.

    Args:
        count: the number of out nodes.
        width: the number of in nodes that each reads.
        layer: the layer's numbers.
        costs: what this machine takes.
        circle: how many nodes are copied, one after another, to read windows of them; None where
            what each out node reads is gathered.
        padded: whether the weights are brought together with blocks of zeros, at each call.
    """
    weights = count * width * layer.into * layer.out * layer.places
    each = costs.product_seconds(layer.rows, layer.out, layer.places)
    # The ends of a circle are copied with all between them, in one piece for each row.
    pieces = layer.rows * (count * width if circle is None else 1)
    numbers = layer.rows * layer.into * (count * width if circle is None else circle)
    seconds = costs.call + costs.piece * pieces + costs.gather * numbers
    return seconds + each * layer.rows * weights + 2 * costs.copy * weights * padded
