"""A pruned network as a smaller dense one, without the channels that are dead or constant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import fx, nn

from bogp.coupling.channels import Flow
from bogp.coupling.rules import read_graph
from bogp.coupling.tracing import (
    Arguments,
    UntraceableError,
    is_torchs,
    recorded,
    tied_modules,
    trace,
)
from bogp.export.models import (
    Example,
    as_inputs,
    checked_difference,
    parameter_count,
    plain_copy,
    probes,
    run_example,
)
from bogp.export.shrink import Verdict, judge, kept_inputs, rebuild, rewritten
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
    """

    model: nn.Module
    removed: Mapping[str, LayerSize]
    parameters_before: int
    parameters_after: int
    difference: float
    note: str


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
    work = _Work(recorded(smaller, inputs), tied_modules(smaller))
    smaller = _shrink(work, smaller, "", gather=True)
    compared = probes(inputs, seed)
    difference = checked_difference("the compacted model", smaller, dense, compared, tolerance)
    counts = parameter_count(dense), parameter_count(smaller)
    return Compacted(smaller, work.removed, *counts, difference, _note(work.unread))


@dataclass
class _Work:
    """What a compaction knows, and what it has done.

    Attributes:
        calls: what each module is called with.
        tied: modules that share weights.
        removed: the layers that lost channels so far, by name.
        unread: names of modules that torch.fx cannot follow; the model's own name is "".
    """

    calls: Mapping[nn.Module, Arguments]
    tied: frozenset[nn.Module]
    removed: dict[str, LayerSize] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def _shrink(work: _Work, module: nn.Module, name: str, gather: bool = False) -> nn.Module:
    """Return ``module`` smaller, changed in place or as a graph of its own.

    Where torch.fx cannot follow the module, the same is done with the modules inside it.
    """
    try:
        traced = trace(module, work.calls[module])
    except UntraceableError:
        work.unread.append(name)
        _shrink_children(work, module, name)
        return module
    flow = Flow(module, traced.shapes, _fixed(work, module, traced.graph))
    read_graph(flow, traced.graph, gather)
    verdict = judge(flow)
    changed = rebuild(flow, verdict)
    _note_removed(work, flow, verdict, name)
    for target, layer in changed.items():
        module.set_submodule(target, layer)
    for leaf in traced.leaves:
        work.unread.append(_join(name, leaf))
        _shrink_children(work, module.get_submodule(leaf), _join(name, leaf))
    return rewritten(module, flow, verdict, traced.graph) or module


def _shrink_children(work: _Work, module: nn.Module, name: str) -> None:
    """Make those modules inside a module smaller that can be, in place."""
    for child_name, child in list(module.named_children()):
        if child in work.calls and any(child.children()) and not is_torchs(child):
            new = _shrink(work, child, _join(name, child_name))
            setattr(module, child_name, new)
        elif child not in work.calls and not is_torchs(child):
            _shrink_children(work, child, _join(name, child_name))


def _fixed(work: _Work, module: nn.Module, graph: fx.Graph) -> frozenset[str]:
    """Return the names of modules whose weights must not change."""
    called = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    tied = {name for name, each in module.named_modules() if each in work.tied}
    return frozenset({name for name, count in called.items() if count > 1} | read | tied)


def _note_removed(work: _Work, flow: Flow, verdict: Verdict, name: str) -> None:
    """Note the layers that lose channels."""
    for layer in flow.layers:
        inputs, outputs = kept_inputs(layer, verdict), verdict.keeps(layer.output)
        before = len(inputs), len(outputs)
        after = int(inputs.sum()), int(outputs.sum())
        if before != after:
            work.removed[_join(name, layer.name)] = LayerSize(before, after)


def _join(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _note(unread: list[str]) -> str:
    """Return a sentence on the modules that torch.fx cannot follow."""
    if not unread:
        return ""
    names = [name or "the model itself" for name in unread]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"torch.fx cannot follow {shown}: only parts inside were compacted, if any"
