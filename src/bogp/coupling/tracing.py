"""The graph of a module's calls, by torch.fx, with the shape of every tensor."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, fx, nn

from bogp.errors import first_line

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module was called with: positional and named."""


class UntraceableError(Exception):
    """The module does what torch.fx cannot follow; the message says what."""


@dataclass(frozen=True)
class Traced:
    """The graph of a module.

    Attributes:
        graph: the calls in the order of execution.
        shapes: the shape of each node's output; absent where that is no tensor.
        leaves: names of the modules in it that torch.fx cannot follow.
    """

    graph: fx.Graph
    shapes: dict[fx.Node, tuple[int, ...]]
    leaves: tuple[str, ...]


def trace(module: nn.Module, arguments: Arguments) -> Traced:
    """Return the graph of ``module``, called with ``arguments``, in evaluation mode.

    A module inside it that torch.fx cannot follow is a single node.

    Raises:
        UntraceableError: the module itself cannot be followed, or takes more than tensors.
    """
    given = _bound(module, arguments)
    opaque: set[nn.Module] = set()
    for child in _inner(module):
        try:
            _Tracer(opaque).trace(child)
        except Exception:  # whatever a foreign forward raises on a stand-in for a tensor
            opaque.add(child)
    try:
        graph = _called_with(module, opaque, given)
        shapes = _shapes(module, graph, given)
    except Exception as error:
        raise UntraceableError(first_line(error)) from error
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    leaves = tuple(name for name, each in module.named_modules() if each in opaque)
    return Traced(graph, shapes, tuple(name for name in leaves if name in called))


def recorded(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[nn.Module, Arguments]:
    """Run ``model`` on ``inputs``; return what each of its modules is first called with."""
    calls: dict[nn.Module, Arguments] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.setdefault(module, (args, kwargs))

    handles = [
        module.register_forward_pre_hook(note, with_kwargs=True) for module in model.modules()
    ]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def tied_modules(model: nn.Module) -> frozenset[nn.Module]:
    """Return the modules of ``model`` that share a parameter with another, or are in it twice."""
    pairs = list(model.named_parameters(remove_duplicate=False))
    counts = Counter(id(parameter) for _, parameter in pairs)
    return frozenset(
        model.get_submodule(name.rpartition(".")[0])
        for name, parameter in pairs
        if counts[id(parameter)] > 1
    )


def joined(name: str, child: str) -> str:
    """Return the full name of ``child`` in the module ``name``."""
    return f"{name}.{child}" if name else child


class _Tracer(fx.Tracer):
    """torch.fx's tracer; the modules ``opaque`` and torch's own layers are single nodes."""

    def __init__(self, opaque: set[nn.Module]) -> None:
        super().__init__()
        self._opaque = opaque

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self._opaque or super().is_leaf_module(m, module_qualified_name)


def is_torchs(module: nn.Module) -> bool:
    """Return whether a module is one of torch's own layers, which are single nodes."""
    return fx.Tracer().is_leaf_module(module, "")


def _inner(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules inside that are not torch's own, the innermost first."""
    for child in module.children():
        if not is_torchs(child):
            yield from _inner(child)
            yield child


def _bound(module: nn.Module, arguments: Arguments) -> dict[str, Tensor]:
    """Return the tensors that ``module`` is called with, by the names of its arguments."""
    signature = inspect.signature(module.forward)
    args, kwargs = arguments
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise UntraceableError(str(error)) from error
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise UntraceableError("it takes any number of arguments")
    if not all(isinstance(value, Tensor) for value in given.values()):
        raise UntraceableError("it takes an argument that is no tensor")
    return given


def _called_with(module: nn.Module, opaque: set[nn.Module], names: Iterable[str]) -> fx.Graph:
    """Return the graph of a call with the arguments ``names``; the others are constants of it.

    As tensors they would be followed wrongly: a traced `if targets is None` is false.
    """
    parameters = inspect.signature(module.forward).parameters
    defaults = {name: each.default for name, each in parameters.items() if name not in names}
    graph = _Tracer(opaque).trace(module, defaults or None)
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.target not in names:
            _erase(graph, node)  # torch.fx keeps a check that the constant is what it was
    return graph


def _erase(graph: fx.Graph, node: fx.Node) -> None:
    """Take a node and all that depends on it out of a graph."""
    for user in list(node.users):
        _erase(graph, user)
    graph.erase_node(node)


@final
class _Shapes(fx.Interpreter):
    """Runs a graph and notes the shape of every tensor."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value


def _shapes(
    module: nn.Module, graph: fx.Graph, given: Mapping[str, Tensor]
) -> dict[fx.Node, tuple[int, ...]]:
    runner = _Shapes(module, graph)
    with torch.no_grad():
        runner.run(*(value.clone() for value in given.values()))
    return runner.shapes
