"""The check that a control changed what it should, and kept the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from bogp.controls.draws import can_move, erk_random, units, why_not_rewire
from bogp.controls.names import (
    CONTROLS,
    EQUAL,
    ERK,
    INVERT,
    NO_SUPPORT,
    REINITIALISE,
    REWIRE,
    SHUFFLE,
)
from bogp.errors import MaskError, UnknownNameError
from bogp.graphs import RelationalGraph
from bogp.masks import Mask


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


def why_not(
    control: str,
    mask: Mask,
    *,
    graph: RelationalGraph | None = None,
    support: Mask | None = None,
    criterion: str | None = None,
) -> str | None:
    """Return why a control cannot say anything about a winner, or None if it can.

    Args:
        control: a name of :data:`CONTROLS`.
        mask: the winner's mask.
        graph: the graph of its support; None where the support is no graph.
        support: the weights that its criterion chose from; None for all of them.
        criterion: the criterion that chose them, if known.

    Raises:
        UnknownNameError: no such control.
    """
    if control not in CONTROLS:
        raise UnknownNameError("control", control, CONTROLS)
    if mask.kept == 0:
        return "the winner keeps no weight: there is nothing to change"
    if control in (SHUFFLE, EQUAL) and not can_move(mask):
        return "each layer is kept whole or not at all: no weight can move inside one"
    if control == REWIRE:
        missing = "the support is complete: there is no graph"
        return missing if graph is None else why_not_rewire(graph)
    if control == ERK and len(mask) == 1:
        return f"one layer is pruned, of which ERK keeps as much: see {EQUAL!r}"
    if control == ERK and mask.kept == mask.total:
        return "every weight is kept: ERK keeps the same"
    available = mask.total if support is None else support.kept
    if control == NO_SUPPORT and available == mask.total:
        return "the support is complete: there is none to take away"
    if control == INVERT and criterion == "random":
        return "the scores are random: inverted they are as random"
    if control == INVERT and available == mask.kept:
        return "the support is kept whole: the scores choose nothing"
    return None


def check_change(
    control: str,
    before: Mask,
    after: Mask,
    *,
    graphs: tuple[RelationalGraph, RelationalGraph] | None = None,
    weights_changed: float = 0.0,
) -> Change:
    """Return what a control did to the winner, or raise if that is not what it is for.

    Raises:
        MaskError: as :func:`measure_change`, or something moved that should not have, or did not
            that should.
    """
    change = measure_change(control, before, after, graphs=graphs, weights_changed=weights_changed)
    if change.problem is not None:
        raise MaskError(f"the control {control!r} is no control: {change.problem}")
    return change


def measure_change(
    control: str,
    before: Mask,
    after: Mask,
    *,
    graphs: tuple[RelationalGraph, RelationalGraph] | None = None,
    weights_changed: float = 0.0,
) -> Change:
    """Return what a control did to the winner, with the ``problem`` if it is not what it is for.

    Args:
        control: a name of :data:`CONTROLS`.
        before: the winner's mask.
        after: the control's mask.
        graphs: the winner's graph and the control's, where there are such.
        weights_changed: the share of kept weights that start from another value (True for all): see
            :func:`differing_share`.

    Raises:
        UnknownNameError: no such control.
        MaskError: the two masks are not of the same layers, or the graphs not of the same nodes.
    """
    if control not in CONTROLS:
        raise UnknownNameError("control", control, CONTROLS)
    _check_alike(before, after, graphs)
    both = sum(int((layer & after[name]).sum()) for name, layer in before.items())
    either = before.kept + after.kept - both
    edges_moved = degrees_kept = None
    if graphs is not None:
        first, second = (graph.adjacency for graph in graphs)
        lost = int((first & ~second).sum()) // 2
        edges_moved = lost / graphs[0].edges if graphs[0].edges else 0.0
        degrees_kept = np.array_equal(first.sum(axis=0), second.sum(axis=0))
    counts = [[int(layer.sum()) for layer in mask.values()] for mask in (before, after)]
    change = Change(
        control=control,
        moved=1.0 - both / before.kept if before.kept else 0.0,
        jaccard_distance=1.0 - both / either if either else 0.0,
        total_kept=before.kept == after.kept,
        layers_kept=counts[0] == counts[1],
        edges_moved=edges_moved,
        degrees_kept=degrees_kept,
        weights_changed=float(weights_changed),
        problem=None,
    )
    problem = _problem(change, before, after)
    return Change(**{**asdict(change), "problem": problem})


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


def _problem(change: Change, before: Mask, after: Mask) -> str | None:
    """Return what a control should have changed or kept and did not."""
    control = change.control
    if not change.total_kept:
        return f"it keeps {after.kept} weights and the winner {before.kept}"
    if control == REINITIALISE:
        if change.moved > 0.0:
            return "it has another mask"
        # A layer whose initial weights are constant would keep them; most must differ.
        return None if change.weights_changed > 0.5 else "it starts from the same weights"
    if change.moved == 0.0:
        return "it has the winner's mask"
    if control in (SHUFFLE, EQUAL):
        if not change.layers_kept:
            return "it keeps another number of weights of some layer"
        if change.moved * before.kept < _least_moved(before, control == SHUFFLE):
            return f"it moves only {change.moved:.3%} of the weights, too few for a random draw"
    if control == ERK:
        wanted = [int(layer.sum()) for layer in erk_random(before, 0).values()]
        if wanted != [int(layer.sum()) for layer in after.values()]:
            return "its layers do not have the densities of ERK"
    if control == REWIRE and change.degrees_kept is False:
        return "a node has another number of neighbours"
    if control == REWIRE and change.edges_moved == 0.0:
        return "it has the winner's graph"
    return None


def _least_moved(mask: Mask, whole_kernels: bool) -> float:
    """Return the fewest weights that a random draw of the same layer counts moves, near enough.

    Of k kept among n, a draw keeps a hypergeometric number in place: 8 SDs from its mean.
    """
    mean = variance = 0.0
    for layer in mask.values():
        kept = units(layer, whole_kernels)
        n, k, size = kept.numel(), int(kept.sum()), layer.numel() / kept.numel()
        mean += size * k * (1.0 - k / n)
        variance += size**2 * k * (k / n) * (1.0 - k / n) * (n - k) / max(n - 1, 1)
    return mean - 8.0 * math.sqrt(variance)


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
