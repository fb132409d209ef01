"""The families of graphs by name, and the drawing of one graph or mask."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bogp.docstrings import summary
from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs import families
from bogp.graphs.mixed import mixed
from bogp.graphs.mixed_kinds import NUMBERED
from bogp.graphs.relational import RelationalGraph, check_edges
from bogp.sparsity import kept_count
from bogp.types import BoolArray


@dataclass(frozen=True)
class Generator:
    """A family of graphs.

    Attributes:
        name: what options and records call it.
        draw: ``(nodes, edges, rng, **parameters) -> bool (nodes, nodes)``, a graph of exactly
            ``edges`` edges without self-loops, from the state of a NumPy generator alone. It is
            called with numbers of nodes and edges that fit each other.
        parameters: keyword of ``draw`` → its default.
        takes_seed: whether ``draw`` takes the seed itself in place of ``rng``, as compiled code
            does, which makes its own random numbers.
    """

    name: str
    draw: Callable[..., BoolArray]
    parameters: Mapping[str, Any]
    takes_seed: bool = False

    @property
    def help(self) -> str:
        """What the graphs are, in a line."""
        return summary(self.draw)


def find_generator(given: str | Generator | Callable[..., BoolArray]) -> Generator:
    """Return the family of a name, or the one that a function draws, which goes by its own name.

    Raises:
        UnknownNameError: no such family.

    >>> find_generator("ws_flex").parameters
    {'p': 0.3}
    """
    if isinstance(given, Generator):
        return given
    if isinstance(given, str):
        if given not in GENERATORS:
            raise UnknownNameError("graph family", given, GENERATORS)
        return GENERATORS[given]
    keywords = list(inspect.signature(given).parameters.values())[3:]
    name = getattr(given, "__name__", type(given).__name__)
    return Generator(name, given, {keyword.name: keyword.default for keyword in keywords})


_OF_MIXED = ("kind", *(parameter.name for kind in NUMBERED for parameter in kind.parameters))

GENERATORS: dict[str, Generator] = {
    generator.name: generator
    for generator in (
        find_generator(families.uniform),
        find_generator(families.ws_flex),
        find_generator(families.barabasi_albert),
        find_generator(families.random_regular),
        find_generator(families.stochastic_block),
        find_generator(families.ring_lattice),
        find_generator(families.core_periphery),
        find_generator(families.random_geometric),
        Generator("mixed", mixed, dict.fromkeys(_OF_MIXED), takes_seed=True),
    )
}
"""Name → family; ``mixed`` is many kinds in one, in compiled code."""


def generate(
    family: str | Generator | Callable[..., BoolArray],
    nodes: int,
    edges: int,
    seed: int,
    **parameters: Any,
) -> RelationalGraph:
    """Return the graph of a family that ``seed`` draws, with exactly ``edges`` edges.

    Args:
        family: a key of :data:`GENERATORS`, or a function as :attr:`Generator.draw` is.
        nodes: number of nodes, at least 1.
        edges: number of undirected edges, self-loops not counted.
        seed: the draw; the same arguments always give the same graph.
        parameters: keywords of the family's function, ``p`` of ``ws_flex`` say.

    Raises:
        UnknownNameError: no such family, or no such parameter of it.
        GraphError: no graph of ``nodes`` nodes has ``edges`` edges, a parameter is out of range, or
            a function of your own drew another number of edges.
        SettingError: ``seed`` is negative, or for ``mixed`` not below 2^64.

    >>> generate("ws_flex", nodes=16, edges=30, seed=1, p=0.1)
    RelationalGraph(nodes=16, edges=30)
    """
    generator = find_generator(family)
    for name in parameters:
        if not generator.parameters:
            raise GraphError(
                f"graph family {generator.name!r} takes no parameters: leave out {name!r}"
            )
        if name not in generator.parameters:
            raise UnknownNameError(f"{generator.name} parameter", name, generator.parameters)
    if seed < 0:
        raise SettingError(f"seed {seed} is negative: give 0 or more")
    check_edges(nodes, edges)
    source = seed if generator.takes_seed else np.random.default_rng(seed)
    graph = RelationalGraph(generator.draw(nodes, edges, source, **parameters))
    if (graph.nodes, graph.edges) != (nodes, edges):
        raise GraphError(
            f"the graph family {generator.name!r} drew {graph}, and {nodes} nodes with {edges} "
            "edges were asked for: make its function exact"
        )
    return graph


def random_mask(out_features: int, in_features: int, sparsity: float, seed: int) -> torch.Tensor:
    """Return a plain random mask, bool (out, in), of exactly ``round((1 - sparsity) * N)`` kept.

    The paper's baseline: every set of that many weights is equally likely.

    Raises:
        SparsityError: ``sparsity`` is not in [0, 1).
        GraphError: the layer has no outputs or no inputs.

    >>> int(random_mask(10, 7, 0.9, seed=0).sum())
    7
    """
    if out_features < 1 or in_features < 1:
        raise GraphError(
            f"a layer of {out_features} outputs and {in_features} inputs has no weights: "
            "give at least 1 of each"
        )
    weights = out_features * in_features
    mask = np.zeros(weights, dtype=np.bool_)
    kept = kept_count(weights, sparsity)
    mask[np.random.default_rng(seed).choice(weights, kept, replace=False, shuffle=False)] = True
    return torch.from_numpy(mask.reshape(out_features, in_features))
