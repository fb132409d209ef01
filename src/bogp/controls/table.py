"""The controls: how each is drawn, when it says nothing, and what it must have changed."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bogp.controls.control import Change, Control, Drawn, Winner, layer_counts
from bogp.controls.draws import (
    can_move,
    erk_random,
    random_like,
    rewire,
    rewire_each,
    shuffle_layers,
    units,
    why_not_rewire,
)
from bogp.graphs import RelationalGraph
from bogp.masks import Mask


def _nothing_moves(winner: Winner) -> str | None:
    if can_move(winner.mask):
        return None
    return "each layer is kept whole or not at all: no weight can move inside one"


def _cannot_rewire(winner: Winner) -> str | None:
    if winner.graph is None:
        return "the support is complete: there is no graph"
    return why_not_rewire(winner.graph)


def _weights_are_fixed(winner: Winner) -> str | None:
    if winner.fixed_weights:
        return (
            "the model was given with its weights, and nothing says how to draw others: give a "
            "function that makes it"
        )
    return None


def _scores_choose_nothing(winner: Winner) -> str | None:
    if winner.not_inverted is not None:
        return winner.not_inverted
    if winner.criterion == "random":
        return "the scores are random: inverted they are as random"
    if winner.available.kept == winner.mask.kept:
        return "the support is kept whole: the scores choose nothing"
    return None


def _erk_is_the_same(winner: Winner) -> str | None:
    if len(winner.mask) == 1:
        return f"one layer is pruned, of which ERK keeps as much: see {EQUAL!r}"
    if winner.mask.kept == winner.mask.total:
        return "every weight is kept: ERK keeps the same"
    return None


def _no_support(winner: Winner) -> str | None:
    if winner.available.kept == winner.mask.total:
        return "the support is complete: there is none to take away"
    return None


def _no_draw(change: Change, before: Mask, after: Mask) -> str | None:
    """Return why a mask is no random draw of the winner's layer counts, or None if it may be.

    It must move as many weights as such a draw does, near enough. Of k kept among n, a draw keeps a
    hypergeometric number in place: 8 SDs from its mean.
    """
    if not change.layers_kept:
        return "it keeps another number of weights of some layer"
    mean = variance = 0.0
    for layer in before.values():
        kept = units(layer, whole_kernels=change.control == SHUFFLE)
        n, k, size = kept.numel(), int(kept.sum()), layer.numel() / kept.numel()
        mean += size * k * (1.0 - k / n)
        variance += size**2 * k * (k / n) * (1.0 - k / n) * (n - k) / max(n - 1, 1)
    if change.moved * before.kept < mean - 8.0 * math.sqrt(variance):
        return f"it moves only {change.moved:.3%} of the weights, too few for a random draw"
    return None


def _other_degrees(change: Change, before: Mask, after: Mask) -> str | None:
    if change.degrees_kept is False:
        return "a node has another number of neighbours"
    return "it has the winner's graph" if change.edges_moved == 0.0 else None


def _same_weights(change: Change, before: Mask, after: Mask) -> str | None:
    # A layer whose initial weights are constant would keep them; most must differ.
    return None if change.weights_changed > 0.5 else "it starts from the same weights"


def _not_erk(change: Change, before: Mask, after: Mask) -> str | None:
    if layer_counts(erk_random(before, 0)) != layer_counts(after):
        return "its layers do not have the densities of ERK"
    return None


def _rewired(winner: Winner, seed: int) -> Drawn:
    support = winner.support
    if isinstance(support, RelationalGraph):
        return Drawn(rewire(support, seed))
    assert isinstance(support, Mapping)  # why_not has seen to it
    assert not isinstance(support, Mask)
    return Drawn(rewire_each(support, seed))


SHUFFLE = "layerwise shuffle"
EQUAL = "equal layer densities"

CONTROLS: dict[str, Control] = {
    control.name: control
    for control in (
        Control(
            SHUFFLE,
            "the winner's mask, its places permuted inside each layer (kernels that are whole stay "
            "whole): takes away which weights are kept, leaves how many of each layer",
            draw=lambda winner, seed: Drawn(shuffle_layers(winner.mask, seed), whole=True),
            useless=_nothing_moves,
            fault=_no_draw,
        ),
        Control(
            "degree-preserving rewire",
            "the winner's graph, edges swapped with every node's degree kept: takes away who is "
            "joined to whom, leaves how many neighbours each node has",
            draw=_rewired,
            useless=_cannot_rewire,
            fault=_other_degrees,
        ),
        Control(
            "re-initialisation",
            "the winner's mask on other initial weights: takes away the match of mask and initial "
            "weights",
            draw=lambda winner, seed: Drawn(winner.mask, whole=True, other_weights=True),
            useless=_weights_are_fixed,
            fault=_same_weights,
            keeps_mask=True,
        ),
        Control(
            "inverted scores",
            "the winner's graph and criterion, the lowest scores kept first: takes away what the "
            "criterion knows, leaves the graph",
            draw=lambda winner, seed: Drawn(winner.support, inverted=True),
            useless=_scores_choose_nothing,
        ),
        Control(
            EQUAL,
            "a fresh random mask with as many weights of each layer: takes away everything but the "
            "layers' densities (for masks without whole kernels, the layerwise shuffle on another "
            "draw)",
            draw=lambda winner, seed: Drawn(random_like(winner.mask, seed), whole=True),
            useless=_nothing_moves,
            fault=_no_draw,
        ),
        Control(
            "ERK",
            "a random mask of as many weights, shared out by layer shape alone "
            "(Erdős–Rényi-Kernel): takes away the winner's layer densities too",
            draw=lambda winner, seed: Drawn(erk_random(winner.mask, seed), whole=True),
            useless=_erk_is_the_same,
            fault=_not_erk,
        ),
        Control(
            "no support",
            "the winner's criterion on all weights: takes away the graph",
            draw=lambda winner, seed: Drawn(None),
            useless=_no_support,
        ),
    )
}
"""The controls by name, in the order of the report."""
