"""What is known of a model's channels: its own graph, and those of parts where it has none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from bogp.coupling.channels import Flow
from bogp.coupling.rules import read_graph
from bogp.coupling.tracing import (
    Arguments,
    UntraceableError,
    is_torchs,
    joined,
    recorded,
    tied_modules,
    trace,
)


@dataclass(frozen=True)
class Reading:
    """What is known of one traced module, the model itself as a rule.

    Attributes:
        name: the module's name in the model; the model's own is "".
        graph: its calls.
        flow: what they do to channels; the names in it are those within the module.
    """

    name: str
    graph: fx.Graph
    flow: Flow

    def full(self, name: str) -> str:
        """Return the name in the model of what the module calls ``name``."""
        return joined(self.name, name)


@dataclass(frozen=True)
class Readings:
    """All that is known of a model.

    Attributes:
        parts: the modules that could be traced, an outer one before those inside it. One that
            torch.fx cannot follow is a single call of the outer one, and what is inside it is
            traced by itself.
        unread: names of modules that torch.fx cannot follow; the model's own name is "".
    """

    parts: tuple[Reading, ...]
    unread: tuple[str, ...]


def read_model(model: nn.Module, inputs: tuple[Tensor, ...], gather: bool = False) -> Readings:
    """Return what is known of ``model``, which is run on ``inputs`` to learn its shapes.

    With ``gather`` its first layers may select the input features that they read.
    """
    work = _Work(recorded(model, inputs), tied_modules(model))
    parts = tuple(_read(work, model, "", gather))
    return Readings(parts, tuple(work.unread))


@dataclass
class _Work:
    """What each module is called with, the modules that share weights, and what is unread."""

    calls: Mapping[nn.Module, Arguments]
    tied: frozenset[nn.Module]
    unread: list[str] = field(default_factory=list)


def _read(work: _Work, module: nn.Module, name: str, gather: bool = False) -> Iterator[Reading]:
    """Yield what is known of ``module``, and of modules inside that are a single call in it."""
    try:
        traced = trace(module, work.calls[module])
    except UntraceableError:
        work.unread.append(name)
        yield from _read_children(work, module, name)
        return
    flow = Flow(module, traced.shapes, _fixed(work, module, traced.graph))
    read_graph(flow, traced.graph, gather)
    _tie_tables(flow)
    _settle(flow)
    yield Reading(name, traced.graph, flow)
    for leaf in traced.leaves:
        work.unread.append(joined(name, leaf))
        yield from _read_children(work, module.get_submodule(leaf), joined(name, leaf))


def _read_children(work: _Work, module: nn.Module, name: str) -> Iterator[Reading]:
    """Yield what is known of those modules inside a module that can be traced."""
    for child_name, child in module.named_children():
        if child in work.calls and any(child.children()) and not is_torchs(child):
            yield from _read(work, child, joined(name, child_name))
        elif child not in work.calls and not is_torchs(child):
            yield from _read_children(work, child, joined(name, child_name))


def _fixed(work: _Work, module: nn.Module, graph: fx.Graph) -> frozenset[str]:
    """Return the names of modules whose weights must not change."""
    called = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    tied = {name for name, each in module.named_modules() if each in work.tied}
    for table, head in _tables(module):
        tied -= {table, head}
    return frozenset({name for name, count in called.items() if count > 1} | read | tied)


def _tables(module: nn.Module) -> list[tuple[str, str]]:
    """Return pairs of an embedding and the linear layer that alone shares its weight, by names."""
    holders: dict[nn.Parameter, list[str]] = defaultdict(list)
    for name, parameter in module.named_parameters(remove_duplicate=False):
        holders[parameter].append(name.rpartition(".")[0])
    found = []
    for names in holders.values():
        kinds = {type(module.get_submodule(name)): name for name in names}
        if len(names) == 2 and set(kinds) == {nn.Embedding, nn.Linear}:
            found.append((kinds[nn.Embedding], kinds[nn.Linear]))
    return found


def _tie_tables(flow: Flow) -> None:
    """Make the channels of an embedding go with those that a linear layer of its weight reads."""
    layers = {layer.name: layer for layer in flow.layers}
    for table, head in _tables(flow.module):
        if table not in layers and head not in layers:
            continue
        known = [layers[name] for name in (table, head) if name in layers]
        if len(known) < 2 or known[1].source is None:
            for layer in known:
                units = layer.output.units if layer.source is None else layer.source.units
                flow.units.pin(units, "their weight is shared with another layer")
            continue
        flow.units.tie(known[0].output.units, known[1].source.units)
        # The rows of both are tokens.
        flow.units.pin(known[1].output.units, "they are the tokens of an embedding")


def _settle(flow: Flow) -> None:
    """Leave in ``flow.even`` the sets of those rows of units of which some can go, and pin others.

    All units of one tensor stay if one must, if two positions hold the same, or if another tensor
    splits them otherwise.
    """
    before = -1
    while before < int(flow.units.pinned().sum()):
        roots, pinned = flow.units.roots(), flow.units.pinned()
        before = int(pinned.sum())
        rows = {tuple(map(tuple, roots[units].tolist())): roots[units] for units in flow.even}
        free = []
        for units in rows.values():
            others = [each for each in rows.values() if each is not units]
            crossed = any(bool(torch.isin(units, each).any()) for each in others)
            if pinned[units].any() or crossed or len(set(units.flatten().tolist())) < units.numel():
                flow.units.pin(units.flatten(), "heads share them with channels that stay")
            else:
                free.append(units)
        flow.even = free
