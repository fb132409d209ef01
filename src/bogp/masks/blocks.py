"""Blocks as units: from the scores of weights to a mask of whole blocks.

The blocks of a layer, its rows of blocks, or the edges of a graph that layers share are ranked, the
best first; how many each layer keeps is then settled over all layers at once, so that the number of
weights is the nearest to the wanted one that whole units give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bogp.errors import MaskError, SparsityError
from bogp.keys import derive_seed
from bogp.masks.granularity import Granularity, Units
from bogp.masks.layers import PrunableLayer
from bogp.masks.mask import Mask
from bogp.masks.select import SCOPES, Layers, checked_support
from bogp.masks.wiring import Grid, block_sums, grids, wiring_mask


@final
@dataclass(frozen=True)
class BlockUnits(Units):
    """The blocks of ``layers``, as ``granularity`` says.

    A block counts as the root mean square of its weights' scores inside the support, which favours
    no block for its size; where any score is negative, as GraSP's are, it counts as their mean. A
    kept block keeps all of its weights inside the support.

    With ``equal_rows`` a unit is the best block of every output node of a layer, the second best of
    every one, and so on; a row that the support leaves fewer blocks keeps all of them. With
    ``shared`` a unit is an edge of the graph: the blocks (u, v) and (v, u) of every layer that
    carries it. It counts as the mean of theirs, each divided by the mean of its layer's. The
    self-loops are always kept, and layers that are too narrow for the graph have their own blocks.

    Attributes:
        layers: layers of one network.
        granularity: how many channels a node owns, and which wirings there may be.

    Raises:
        GraphError: the layers are too narrow for the blocks (:func:`bogp.masks.grids`).
    """

    layers: tuple[PrunableLayer, ...]
    granularity: Granularity

    def __post_init__(self) -> None:
        grids(self.layers, self.granularity)

    def choose(self, scores: Layers, kept: int, *, scope: str, support: Layers, seed: int) -> Mask:
        """Return the mask of the best blocks (:meth:`bogp.masks.Units.choose`).

        The number of its weights differs from ``kept`` by at most half of the largest unit. With a
        scope that shares weights out by the shapes of layers, the layers take units in turn as
        Sainte-Laguë's method gives seats to parties.

        Raises:
            SparsityError: also where the self-loops of a shared wiring are more than ``kept``.
            MaskError: also where a score is of none of ``layers``.

        >>> units = BlockUnits((PrunableLayer("w", "", "linear", (2, 4)),), Granularity("block", 2))
        >>> scores = {"w": torch.tensor([[1.0, 1.0, 3.0, 0.0], [1.0, 1.0, 0.0, 0.0]])}
        >>> complete = {"w": torch.ones(2, 4).bool()}
        >>> units.choose(scores, 4, scope="global", support=complete, seed=0)["w"].int().tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
        """
        allowed = checked_support(scores, kept, scope, support)
        blocks = self._blocks(scores, allowed)
        rankings = self._rankings(blocks, seed)
        shares = None
        if scope != "global":
            counts, _ = SCOPES[scope](scores, allowed, kept, seed)
            share = dict(zip(scores, counts, strict=True))
            shares = [sum(share[name] for name in ranking.names) for ranking in rankings]
        wirings = {
            name: ranking.wiring(count)
            for ranking, count in zip(rankings, _taken(rankings, kept, shares, seed), strict=True)
            for name in ranking.names
        }
        return Mask(
            {name: each.mask(wirings[name]) & allowed[name] for name, each in blocks.items()}
        )

    def least(self, support: Layers) -> int:
        """Return the weights on the self-loops of a shared wiring."""
        grid = grids(self.layers, self.granularity)
        return sum(
            int(
                block_sums(support[layer.name].double(), layer, grid[layer.name])
                .view(-1, *grid[layer.name])
                .diagonal(dim1=1, dim2=2)
                .sum()
            )
            for layer in self.layers
            if layer.name in support and self._shares(grid[layer.name])
        )

    def _shares(self, grid: Grid) -> bool:
        """Return whether a layer carries the shared wiring: has two nodes or more on both sides."""
        return self.granularity.shared and min(grid) > 1

    def _blocks(self, scores: Layers, allowed: Layers) -> dict[str, _Blocks]:
        """Return the blocks of each layer, by the parameter's name."""
        layers = {layer.name: layer for layer in self.layers}
        grid = grids(self.layers, self.granularity)
        inside = {name: torch.where(allowed[name], score, 0) for name, score in scores.items()}
        signed = any(float(values.min()) < 0 for values in inside.values())
        found = {}
        for name, values in inside.items():
            if name not in layers:
                raise MaskError(
                    f"there are scores of {name!r}, of which no blocks are known: name it among "
                    f"the layers, {', '.join(layers)}"
                )
            layer = layers[name]
            sizes = block_sums(allowed[name].double(), layer, grid[name]).cpu()
            values = values.double() if signed else values.double().square_()
            sums = block_sums(values, layer, grid[name]).cpu()
            means = (sums / sizes.clamp(min=1.0)).clamp(min=torch.finfo(sums.dtype).min)
            found[name] = _Blocks(layer, grid[name], means, sizes)
        return found

    def _rankings(self, blocks: dict[str, _Blocks], seed: int) -> list[_Ranking]:
        """Return the units of each layer, those of a shared wiring first."""
        shared = {name: each for name, each in blocks.items() if self._shares(each.grid)}
        found = [_ranked_edges(shared, seed)] if shared else []
        for name, each in blocks.items():
            if name not in shared:
                rows = len(each.means) if self.granularity.equal_rows else 1
                found.append(_ranked_rows((name,), each.means, each.sizes, rows, seed))
        return found


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The blocks of one layer; what is of a block that the support does not touch has size 0."""

    layer: PrunableLayer
    grid: Grid
    means: Tensor  # (parts * out nodes, in nodes), of squared scores or of scores
    sizes: Tensor  # of the same shape: weights inside the support

    def mask(self, wiring: Tensor) -> Tensor:
        """Return the mask of a wiring; one that is shared is that of each of the parts."""
        copies = len(self.means) // len(wiring)
        return wiring_mask(wiring.repeat(copies, 1), self.layer, self.grid)


@dataclass(frozen=True, eq=False)
class _Ranking:
    """The units that layers of one wiring can keep, the best first."""

    names: tuple[str, ...]
    scores: Tensor  # (units,)
    sizes: Tensor  # (units,), weights
    order: Tensor  # (rows, blocks of a row): the best block of each row first; unit k is column k
    shape: tuple[int, int]  # of the wiring
    always: int = 0  # weights of blocks that are no unit, since they are always kept
    symmetric: bool = False  # whether the blocks that ``order`` names are pairs of nodes

    def wiring(self, count: int) -> Tensor:
        """Return the wiring that keeps the ``count`` best units, bool (out nodes, in nodes)."""
        chosen = torch.zeros_like(self.order, dtype=torch.bool)
        chosen.scatter_(1, self.order[:, :count], True)
        if not self.symmetric:
            return chosen.view(self.shape)
        above = torch.zeros(self.shape, dtype=torch.bool)
        rows, columns = torch.triu_indices(*self.shape, 1)
        above[rows, columns] = chosen[0]
        return above | above.T | torch.eye(len(above), dtype=torch.bool)


def _ranked_rows(
    names: tuple[str, ...], means: Tensor, sizes: Tensor, rows: int, seed: int
) -> _Ranking:
    """Return units of one block of each of ``rows`` rows; with one row, of a block each."""
    means_of, sizes_of = means.view(rows, -1), sizes.view(rows, -1)
    order = _best_first(
        torch.where(sizes_of > 0, means_of, -torch.inf), derive_seed(seed, "blocks", *names)
    )
    means_of, sizes_of = means_of.gather(1, order), sizes_of.gather(1, order)
    every = sizes_of.sum(0)
    count = int((every > 0).sum())  # the last columns are of blocks outside the support
    shares = sizes_of[:, :count] / every[:count]
    scores = (means_of[:, :count] * shares).sum(0)
    return _Ranking(names, scores, every[:count].long(), order, (len(means), means.shape[1]))


def _ranked_edges(blocks: dict[str, _Blocks], seed: int) -> _Ranking:
    """Return the edges of the graph that layers share, each a unit."""
    first = next(iter(blocks.values()))
    sums, touched, sizes = torch.zeros(3, *first.grid, dtype=first.means.dtype)
    for each in blocks.values():
        inside = each.sizes > 0
        finite = each.means[inside & each.means.isfinite()]  # an infinite score is above all others
        scale = finite.abs().mean() if len(finite) else 0.0
        relative = each.means / scale if scale > 0 else each.means
        sums += relative.view(-1, *each.grid).sum(0)
        touched += inside.view(-1, *each.grid).sum(0)
        sizes += each.sizes.view(-1, *each.grid).sum(0)
    rows, columns = torch.triu_indices(*first.grid, 1)
    sums, touched, both = ((of + of.T)[rows, columns][None] for of in (sums, touched, sizes))
    found = _ranked_rows(tuple(blocks), sums / touched.clamp(min=1.0), both, 1, seed)
    always = int(sizes.diagonal().sum())
    return replace(found, shape=first.grid, always=always, symmetric=True)


def _best_first(scores: Tensor, seed: int) -> Tensor:
    """Return the order of each row's scores from the highest to the lowest, equal ones by seed."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.rand(scores.shape, generator=generator, dtype=torch.double).argsort(1)
    ranked = scores.gather(1, shuffled).argsort(dim=1, descending=True, stable=True)
    return shuffled.gather(1, ranked)


def _taken(
    rankings: Sequence[_Ranking], kept: int, shares: Sequence[int] | None, seed: int
) -> list[int]:
    """Return how many of the best units of each ranking give ``kept`` weights, or nearly.

    ``shares`` are the weights that each ranking should have; without them all are ranked together.
    """
    sizes = torch.cat([ranking.sizes for ranking in rankings])
    always = sum(ranking.always for ranking in rankings)
    if 2 * (always - kept) > max(sizes.tolist(), default=0):
        raise SparsityError(
            f"the self-loops of a shared wiring keep {always} weights, and {kept} are wanted: take "
            "smaller blocks or a lower sparsity"
        )
    if shares is None:
        keys = torch.cat([-ranking.scores for ranking in rankings])
    else:
        keys = torch.cat(
            [
                (ranking.sizes.cumsum(0) - ranking.sizes / 2) / max(0, share - ranking.always)
                for ranking, share in zip(rankings, shares, strict=True)
            ]
        )
    generator = torch.Generator().manual_seed(derive_seed(seed, "blocks"))
    shuffled = torch.randperm(len(keys), generator=generator)
    merged = shuffled[keys[shuffled].argsort(stable=True)]
    owners = torch.arange(len(rankings)).repeat_interleave(
        torch.tensor([len(ranking.sizes) for ranking in rankings])
    )
    # Each ranking's units stay in their order: equal keys may have changed it, and so may a unit
    # of fewer rows, whose mean can be above that of the unit before it.
    merged[owners[merged].argsort(stable=True)] = torch.arange(len(merged))
    count = _nearest(sizes[merged], kept - always)
    return torch.bincount(owners[merged[:count]], minlength=len(rankings)).tolist()


def _nearest(sizes: Tensor, wanted: int) -> int:
    """Return how many of the first ``sizes`` add up to about ``wanted``; as round, evens of two.

    >>> [_nearest(torch.tensor([4, 4, 4]), wanted) for wanted in (1, 2, 6, 10, 99)]
    [0, 0, 2, 2, 3]
    """
    sums = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    distances = (sums - wanted).abs()
    nearest: list[int] = (distances == distances.min()).nonzero().flatten().tolist()
    return min(nearest, key=lambda count: count % 2)
