"""A pruned network as a smaller dense one, without the channels that are dead or constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from bogp.coupling.copies import (
    Example,
    as_inputs,
    checked_difference,
    parameter_count,
    plain_copy,
    probes,
    run_example,
)
from bogp.coupling.needs import Verdict, judge
from bogp.coupling.opened import open_attention, opened_layers, pack_attention, packed_layers
from bogp.coupling.reading import Reading, Readings, read_model
from bogp.coupling.shrink import kept_inputs, kept_of, rebuild, rewritten
from bogp.masks import Mask

TOLERANCE = 1e-5
"""The largest difference of outputs that a compacted model may have."""


@dataclass(frozen=True)
class LayerSize:
    """The channels of a layer, (inputs, outputs), before and after."""

    before: tuple[int, int]
    after: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Compacted:
    """A compacted model.

    Attributes:
        model: the smaller network, in evaluation mode, with the inputs and outputs of the first.
        removed: the layers that lost channels, by module name.
        parameters_before: how many numbers the parameters of the model hold.
        parameters_after: how many those of the smaller network hold.
        difference: the largest difference of outputs that was found.
        note: a sentence on the modules that torch.fx cannot follow; empty if it can follow all.
        mask: what is kept of the weights of the smaller network that the mask named; None where
            there was no mask, or nothing is left of what it named.
    """

    model: nn.Module
    removed: Mapping[str, LayerSize]
    parameters_before: int
    parameters_after: int
    difference: float
    note: str
    mask: Mask | None = None


def compact(
    model: nn.Module,
    example: Example,
    mask: Mask | None = None,
    *,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Compacted:
    """Return ``model`` without the channels that its outputs do not depend on.

    A channel goes if no kept weight reads it, or if it is constant (no kept weight of its own) and
    can be a part of the bias of those who read it. Channels that are tied go together: the branches
    of a residual addition, a depthwise convolution and its input, a channel and its pixels. The
    first linear layer selects the features of a flattened input that it reads. Calls that bogp does
    not understand keep all their channels. A layer of which nothing is left keeps one channel that
    nobody reads.

    Args:
        model: any module that torch.fx can follow, or parts of which it can; not changed.
        example: inputs (N, ...), or a tuple of them; they give the shapes and are compared on.
        mask: what is pruned; None takes the weights that are exactly 0.
        tolerance: the largest difference of outputs allowed, on the example and on random inputs.
        seed: draws those random inputs.

    Raises:
        ExportError: the smaller model's outputs differ by more, or the model cannot be run.
        MaskError: the mask does not fit the model.

    >>> import torch
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> _ = network[2].weight.data.copy_(torch.tensor([[1.0, 0.0, 2.0]]))
    >>> compact(network, torch.zeros(1, 2)).removed["0"]
    LayerSize(before=(2, 3), after=(2, 2))
    """
    inputs = as_inputs(example)
    dense, smaller = plain_copy(model, mask), plain_copy(model, mask)
    run_example(dense, inputs)
    smaller = open_attention(smaller, inputs)
    readings = read_model(smaller, inputs, gather=True)
    layers = {} if mask is None else opened_layers(mask, smaller)
    smaller, removed = _shrink(smaller, readings, layers)
    smaller = pack_attention(smaller)
    compared = probes(inputs, seed)
    difference = checked_difference("the compacted model", smaller, dense, compared, tolerance)
    counts = parameter_count(dense), parameter_count(smaller)
    note = _note(readings.unread)
    left = _mask(smaller, packed_layers(layers, smaller))
    return Compacted(smaller, removed, *counts, difference, note, left)


def _shrink(
    model: nn.Module, readings: Readings, mask: dict[str, Tensor]
) -> tuple[nn.Module, dict[str, LayerSize]]:
    """Return ``model`` smaller, changed in place or as a graph of its own, and what it lost.

    The layers of ``mask`` become those of the smaller model, in place.
    """
    removed: dict[str, LayerSize] = {}
    verdicts = []
    for part in readings.parts:
        verdict = judge(part.flow)
        removed |= _lost(part, verdict)
        for layer in part.flow.layers:
            name = part.full(f"{layer.name}.weight")
            if name in mask:
                mask[name] = kept_of(mask[name], layer, verdict)
        rebuild(part.flow, verdict)
        verdicts.append(verdict)
    # A graph holds the modules that it calls: those inside it first.
    for part, verdict in reversed(list(zip(readings.parts, verdicts, strict=True))):
        new = rewritten(part.flow.module, part.flow, verdict, part.graph)
        if new is not None and part.name:
            model.set_submodule(part.name, new)
        elif new is not None:
            model = new
    return model, removed


def _lost(part: Reading, verdict: Verdict) -> dict[str, LayerSize]:
    """Return the layers that lose channels, by name."""
    found = {}
    for layer in part.flow.layers:
        outputs = verdict.keeps(layer.output)
        inputs = kept_inputs(layer, verdict)
        before = len(inputs), len(outputs)
        after = int(inputs.sum()), int(outputs.sum())
        if before != after:
            found[part.full(layer.name)] = LayerSize(before, after)
    return found


def _mask(model: nn.Module, layers: Mapping[str, Tensor]) -> Mask | None:
    """Return the mask of a compacted model.

    A weight is kept, too, that took up another one's part in a constant.
    """
    parameters = dict(model.named_parameters())
    found = {
        name: kept | (parameters[name].detach() != 0)
        for name, kept in layers.items()
        if name in parameters and parameters[name].shape == kept.shape
    }
    return Mask(found) if found else None


def _note(unread: Sequence[str]) -> str:
    """Return a sentence on the modules that torch.fx cannot follow."""
    if not unread:
        return ""
    names = [name or "the model itself" for name in unread]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"torch.fx cannot follow {shown}: only parts inside were compacted, if any"
