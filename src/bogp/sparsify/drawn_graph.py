"""A graph that bounds masks as a value: a family and its parameters, drawn anew for each mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, final

from bogp.errors import SettingError, SparsityError
from bogp.graphs import RelationalGraph, edges_for_sparsity, generate
from bogp.keys import derive_seed

EXAMPLE = "ring_lattice:nodes=64,density=0.25"
"""A text that :func:`read_drawn` reads, for errors and help."""


@final
@dataclass(frozen=True, init=False)
class DrawnGraph:
    """A relational graph that is drawn when a mask is made, by the mask's own seed.

    Trainings on several seeds then have several graphs of one kind, as they have several initial
    weights. A :class:`bogp.RelationalGraph` is the same graph for all of them.

    Attributes:
        family: a name that ``bogp list families`` has, but for ``random_mask``.
        nodes: number of nodes.
        density: the share of a layer's weights that it keeps, self-loops among them; the graph has
            the fewest edges that keep as many in a layer of ``nodes`` outputs and inputs.
        seed: tells graphs of one mask apart: layers that share it, and all the rest, share a graph.
        parameters: of the family, ``p`` of ``ws_flex`` say.

    Raises:
        UnknownNameError: no such family, or no such parameter of it.
        SparsityError: a density that is not in (0, 1].
        GraphError, SettingError: a number of nodes, a parameter or a seed that cannot be.

    >>> drawn = DrawnGraph("ws_flex", nodes=16, density=0.25, p=0.1)
    >>> drawn.graph(0), drawn.graph(0) == drawn.graph(1)
    (RelationalGraph(nodes=16, edges=24), False)
    >>> str(drawn)
    'ws_flex:nodes=16,density=0.25,p=0.1'
    """

    family: str
    nodes: int
    density: float
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __init__(
        self, family: str, nodes: int, density: float, seed: int = 0, **parameters: Any
    ) -> None:
        values = {"family": family, "nodes": nodes, "density": density, "seed": seed}
        for name, value in {**values, "parameters": parameters}.items():
            object.__setattr__(self, name, value)
        for name in ("nodes", "seed"):
            if not isinstance(values[name], int) or isinstance(values[name], bool):
                raise SettingError(
                    f"{name} = {values[name]!r} of a drawn graph: give a whole number"
                )
        if not isinstance(density, int | float) or not 0.0 < density <= 1.0:
            raise SparsityError(
                f"density {density!r} of a drawn graph is not in (0, 1]: give the share of weights "
                "that it keeps, 0.25 say"
            )
        self.graph(0)  # What cannot be drawn is refused now, and not by the first training.

    def graph(self, seed: int) -> RelationalGraph:
        """Return the graph that belongs to the mask of a seed."""
        edges = edges_for_sparsity(self.nodes, 1.0 - self.density)
        drawn = derive_seed(seed, "support graph", self.seed)
        return generate(self.family, self.nodes, edges, drawn, **self.parameters)

    def record(self) -> dict[str, Any]:
        """Return it as a JSON object, for the keys of records."""
        return asdict(self)

    def __str__(self) -> str:
        seed = {"seed": self.seed} if self.seed else {}
        values = {"nodes": self.nodes, "density": self.density, **seed, **self.parameters}
        return f"{self.family}:" + ",".join(f"{name}={value}" for name, value in values.items())


def read_drawn(text: str) -> DrawnGraph:
    """Return the graph of a text, a family and its parameters as the command line has them.

    Raises:
        SettingError: a text of another form, or without nodes and density.
        UnknownNameError, SparsityError, GraphError: see :class:`DrawnGraph`.

    >>> read_drawn("ring_lattice:nodes=64,density=0.25").density
    0.25
    """
    family, _, rest = text.partition(":")
    values: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        name, equals, value = (each.strip() for each in part.partition("="))
        if not (name and equals and value) or name in values:
            raise SettingError(
                f"support {text!r}: {part!r} is not NAME=VALUE, or its name comes twice; write "
                f"{EXAMPLE} say"
            )
        values[name] = value if name == "kind" else _number(text, name, value)
    if lacking := [name for name in ("nodes", "density") if name not in values]:
        raise SettingError(
            f"support {text!r} says no {' and no '.join(lacking)}: write {EXAMPLE} say"
        )
    return DrawnGraph(family.strip(), **values)


def _number(text: str, name: str, value: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    raise SettingError(f"support {text!r}: {name} = {value!r} is no number; write {EXAMPLE} say")
