"""What is known of a model's channels: its own graph, and those of parts where it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor, fx, nn

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


def joined(name: str, child: str) -> str:
    """Return the full name of ``child`` in the module ``name``."""
    return f"{name}.{child}" if name else child


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
    return frozenset({name for name, count in called.items() if count > 1} | read | tied)
