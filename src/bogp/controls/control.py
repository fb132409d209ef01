"""What a control is: drawn from a winner, left out where it says nothing, checked afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from bogp.errors import MaskError
from bogp.graphs import RelationalGraph
from bogp.masks import Mask

LayerBound = RelationalGraph | Tensor | None
"""What bounds one layer's mask: a graph, a mask or nothing."""

Bound = LayerBound | Mapping[str, LayerBound] | Mask
"""What bounds a mask: one thing for all layers that it fits, one for each, or a whole mask."""


@dataclass(frozen=True)
class Winner:
    """What a control begins with: the winner's mask, and how it was made.

    Attributes:
        mask: its mask.
        support: what bounds its mask.
        available: the weights that the support leaves to the criterion.
        graph: the support as one graph; None where it is no graph.
        criterion: the name of the criterion that chose among the available weights.
        fixed_weights: whether nothing says how to draw other initial weights.
        not_inverted: why nothing follows from inverted scores, where the method is the reason.
    """

    mask: Mask
    support: Bound
    available: Mask
    graph: RelationalGraph | None
    criterion: str
    fixed_weights: bool = False
    not_inverted: str | None = None


@dataclass(frozen=True)
class Drawn:
    """What is trained in the winner's place.

    Attributes:
        support: what bounds its mask.
        whole: whether the support is the mask itself, of which the criterion takes nothing away.
        inverted: whether the lowest scores are kept first.
        other_weights: whether it starts from other initial weights than the winner.
    """

    support: Bound
    whole: bool = False
    inverted: bool = False
    other_weights: bool = False


@dataclass(frozen=True)
class Change:
    """What a control did to the winner.

    Attributes:
        control: its name in :data:`CONTROLS`.
        moved: the share of the winner's kept weights that the control does not keep.
        jaccard_distance: 1 - (weights kept by both) / (weights kept by either); 0 for two masks
            that keep nothing.
        total_kept: whether as many weights are kept.
        layers_kept: whether as many weights of each layer are kept.
        edges_moved: the share of the graph's edges that are elsewhere; None without graphs.
        degrees_kept: whether every node has as many neighbours; None without graphs.
        weights_changed: the share of kept weights that start from another value.
        problem: what the control should have changed or kept and did not; None where all is well.
    """

    control: str
    moved: float
    jaccard_distance: float
    total_kept: bool
    layers_kept: bool
    edges_moved: float | None
    degrees_kept: bool | None
    weights_changed: float
    problem: str | None

    def record(self) -> dict[str, Any]:
        """Return the change as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Control:
    """The winner with one thing taken away.

    Attributes:
        name: what records and reports call it.
        help: what is changed, and what that takes away.
        draw: from the winner and a seed to what is trained in its place.
        useless: from the winner to the reason why the control says nothing about it, or None.
        fault: from the measured change and the masks before and after to what else the control
            should have changed or kept and did not, or None.
        keeps_mask: whether its mask is the winner's; the masks of all others must differ from it.
    """

    name: str
    help: str
    draw: Callable[[Winner, int], Drawn]
    useless: Callable[[Winner], str | None]
    fault: Callable[[Change, Mask, Mask], str | None] = lambda change, before, after: None
    keeps_mask: bool = False

    def why_not(self, winner: Winner) -> str | None:
        """Return why the control cannot say anything about a winner, or None if it can."""
        if winner.mask.kept == 0:
            return "the winner keeps no weight: there is nothing to change"
        return self.useless(winner)

    def change(
        self,
        before: Mask,
        after: Mask,
        *,
        graphs: tuple[RelationalGraph, RelationalGraph] | None = None,
        weights_changed: float = 0.0,
    ) -> Change:
        """Return what the control did, with the ``problem`` if it is not what it is for.

        Args:
            before: the winner's mask.
            after: the control's mask.
            graphs: the winner's graph and the control's, where there are such.
            weights_changed: the share of kept weights that start from another value (True for all):
                see :func:`differing_share`.

        Raises:
            MaskError: the masks are not of the same layers, or the graphs not of the same nodes.
        """
        _check_alike(before, after, graphs)
        both = sum(int((layer & after[name]).sum()) for name, layer in before.items())
        either = before.kept + after.kept - both
        edges_moved = degrees_kept = None
        if graphs is not None:
            first, second = (graph.adjacency for graph in graphs)
            lost = int((first & ~second).sum()) // 2
            edges_moved = lost / graphs[0].edges if graphs[0].edges else 0.0
            degrees_kept = np.array_equal(first.sum(axis=0), second.sum(axis=0))
        change = Change(
            control=self.name,
            moved=1.0 - both / before.kept if before.kept else 0.0,
            jaccard_distance=1.0 - both / either if either else 0.0,
            total_kept=before.kept == after.kept,
            layers_kept=layer_counts(before) == layer_counts(after),
            edges_moved=edges_moved,
            degrees_kept=degrees_kept,
            weights_changed=float(weights_changed),
            problem=None,
        )
        if not change.total_kept:
            problem: str | None = f"it keeps {after.kept} weights and the winner {before.kept}"
        elif self.keeps_mask != (change.moved == 0.0):
            problem = "it has another mask" if self.keeps_mask else "it has the winner's mask"
        else:
            problem = self.fault(change, before, after)
        return replace(change, problem=problem)


def differing_share(mask: Mask, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> float:
    """Return the share of the weights that ``mask`` keeps whose values differ.

    Args:
        mask: the winner's mask.
        before: its initial weights by parameter name; others than the mask's may be there.
        after: the control's initial weights.

    Raises:
        MaskError: a layer of the mask is missing in either.

    >>> import torch
    >>> mask = Mask({"w": torch.tensor([True, True, False])})
    >>> differing_share(mask, {"w": torch.tensor([1.0, 2.0, 3.0])}, {"w": torch.zeros(3)})
    1.0
    """
    differing = 0
    for name, layer in mask.items():
        if name not in before or name not in after:
            raise MaskError(f"the weights have no {name!r}: give those that the mask prunes")
        differing += int((before[name][layer] != after[name][layer]).sum())
    return differing / mask.kept if mask.kept else 0.0


def layer_counts(mask: Mask) -> list[int]:
    """Return how many weights each layer keeps."""
    return [int(layer.sum()) for layer in mask.values()]


def _check_alike(
    before: Mask, after: Mask, graphs: tuple[RelationalGraph, RelationalGraph] | None
) -> None:
    shapes = [
        {name: tuple(layer.shape) for name, layer in mask.items()} for mask in (before, after)
    ]
    if shapes[0] != shapes[1]:
        raise MaskError(
            f"the winner's mask has layers {shapes[0]} and the control's {shapes[1]}: "
            "compare masks of one model"
        )
    if graphs is not None and graphs[0].nodes != graphs[1].nodes:
        raise MaskError(
            f"the winner's graph has {graphs[0].nodes} nodes and the control's {graphs[1].nodes}: "
            "compare graphs of one size"
        )
