"""The kinds of graphs of the family ``mixed``, and their parameters.

The kinds differ from uniform graphs of the same edge count, and from each other, in clustering,
path length, spread and pairing of degrees, and connectivity. Their parameters lead from each kind's
extreme to near-uniform graphs, so that what lies between is reached too. How a kind draws is in
:mod:`bogp.graphs.kernels.mixed`.

Node order means something to a mask (neighbouring nodes own neighbouring channels): the ring of
``small_world`` and ``regular``, the blocks of ``communities``, ``cliques`` and ``layers`` and the
first coordinate of ``geometric`` run along it. Cores, hubs and the nodes that ``exponent`` favours
are placed at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bogp.errors import GraphError
from bogp.graphs.kernels import mixed as kernels
from bogp.graphs.kernels.mixed import COLUMNS
from bogp.types import Floats


@dataclass(frozen=True)
class Parameter:
    """One number of a kind: where it is kept, what may be asked for and what is drawn."""

    name: str
    column: int
    least: float
    most: float
    low: float
    high: float
    type: type = float
    logarithmic: bool = False
    sparse: bool = False
    """Whether ``low`` and ``high`` are in units of one over the density."""
    atom: float = 0.0
    """The share of the prior that is exactly ``low``."""

    def prior(self, unit: Floats, nodes: int, edges: int) -> Floats:
        """Return the values that the prior puts at ``unit`` (count,), numbers in [0, 1)."""
        low, high = self.low, self.high
        if self.type is bool:
            return np.floor(2.0 * unit)
        if self.sparse:
            scale = nodes * (nodes - 1) / (2.0 * max(edges, 1))
            low, high = (min(max(scale * x, 2.0), max(nodes / 2.0, 2.0)) for x in (low, high))
        part = np.clip((unit - self.atom) / (1.0 - self.atom), 0.0, 1.0)
        if self.type is int:
            high += 0.999  # A whole number stands for the unit length above it.
        value = low * (high / low) ** part if self.logarithmic else low + (high - low) * part
        if self.type is int:
            return np.floor(value)
        return np.array([float(f"{x:.4g}") for x in value.tolist()])  # short to record

    def checked(self, value: Any) -> float:
        """Return the number that stands for a value in an array, or raise GraphError."""
        number = float(value) if isinstance(value, (int, float, np.number, np.bool_)) else np.nan
        whole = self.type is float or number == np.rint(number)
        if self.least <= number <= self.most and whole:
            return number
        if self.type is bool:
            wanted = "true or false: give one of them"
        else:
            what = "a whole number" if self.type is int else "a number"
            example = f"{what}, {self.type(self.high)} say"
            wanted = f"in [{self.least:g}, {self.most:g}]: give {example}"
        raise GraphError(f"{self.name} {value} is not {wanted}")


@dataclass(frozen=True)
class Kind:
    """A kind of mixed graphs: its name, its number in arrays and in records, and what it takes."""

    name: str
    number: int
    help: str
    parameters: tuple[Parameter, ...]

    def prior(self, unit: Floats, nodes: int, edges: int) -> Floats:
        """Return values of the kind, float64 (count, columns), at points of the unit cube.

        >>> KINDS["scale_free"].prior(np.zeros((1, COLUMNS)), 8, 10).tolist()
        [[0.0, 0.0, 0.0, 0.0, 0.05, 0.0]]
        """
        values = np.zeros((len(unit), COLUMNS))
        for parameter in self.parameters:
            column = unit[:, parameter.column]
            values[:, parameter.column] = parameter.prior(column, nodes, edges)
        return values

    def named(self, values: Floats) -> dict[str, Any]:
        """Return the kind and its values (columns,) as the keywords of :func:`mixed`.

        >>> KINDS["scale_free"].named(np.array([0, 0, 0, 0, 1.5, 0.0]))
        {'kind': 'scale_free', 'exponent': 1.5, 'evenness': 0.0}
        """
        return {"kind": self.name} | {
            parameter.name: parameter.type(values[parameter.column])
            for parameter in self.parameters
        }


_P = Parameter("p", 1, 0.0, 1.0, 1e-3, 1.0, logarithmic=True)
_RING_P = Parameter("p", 0, 0.0, 1.0, 1e-3, 1.0, logarithmic=True)
_START = Parameter("start", 1, 0.0, 1.0, 0.0, 1.0, atom=0.4)
_SKEW = Parameter("skew", 2, 1.0, 1e6, 1.0, 20.0, logarithmic=True, atom=0.3)
_CLOSED = Parameter("closed", 3, 0.0, 1.0, 0.0, 1.0, type=bool)
_EXPONENT = Parameter("exponent", 4, 0.0, 8.0, 0.0, 1.5, atom=0.4)
_EVENNESS = Parameter("evenness", 5, 0.0, 1.0, 0.0, 1.0, atom=0.5)


def _blocks(low: float, high: float, *, sparse: bool) -> Parameter:
    return Parameter("blocks", 0, 1.0, 1e9, low, high, type=int, logarithmic=True, sparse=sparse)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("uniform", kernels.UNIFORM, "every graph is as likely", ()),
        Kind(
            "small_world",
            kernels.SMALL_WORLD,
            "a ring of near nodes",
            (_RING_P, _START, _EXPONENT, _EVENNESS),
        ),
        Kind(
            "regular",
            kernels.REGULAR,
            "a ring of near nodes, degrees that differ by at most one",
            (_RING_P, _START),
        ),
        Kind(
            "scale_free",
            kernels.SCALE_FREE,
            "the odds of a node fall as a power of its rank (Goh et al. 2001)",
            (Parameter("exponent", 4, 0.0, 8.0, 0.05, 4.0, logarithmic=True), _EVENNESS),
        ),
        Kind(
            "communities",
            kernels.COMMUNITIES,
            "blocks (Holland et al. 1983)",
            (
                _blocks(2.0, 16.0, sparse=False),
                Parameter("contrast", 1, 1e-9, 1e9, 1e-3, 1e3, logarithmic=True),
                _SKEW,
                _EXPONENT,
                _EVENNESS,
            ),
        ),
        Kind(
            "cliques",
            kernels.CLIQUES,
            "a chain of dense blocks",
            (_blocks(0.5, 2.5, sparse=True), _P, _SKEW, _CLOSED, _EVENNESS),
        ),
        Kind(
            "layers",
            kernels.LAYERS,
            "blocks joined to the blocks next to them",
            (_blocks(1.0, 4.0, sparse=True), _P, _SKEW, _CLOSED, _EVENNESS),
        ),
        Kind(
            "core_periphery",
            kernels.CORE,
            "a full core, then pairs of core and rim",
            (Parameter("core", 0, 0.0, 1.0, 0.05, 0.95), _P, _EXPONENT, _EVENNESS),
        ),
        Kind(
            "hubs",
            kernels.HUBS,
            "pairs of hub and rim first",
            (
                Parameter("share", 0, 0.0, 1.0, 0.01, 0.5, logarithmic=True),
                _P,
                _EXPONENT,
                _EVENNESS,
            ),
        ),
        Kind(
            "geometric",
            kernels.GEOMETRIC,
            "near points in a cube",
            (
                Parameter("dimensions", 0, 1.0, 16.0, 1.0, 4.0, type=int),
                Parameter("torus", 1, 0.0, 1.0, 0.0, 1.0, type=bool),
                Parameter("noise", 2, 1e-3, 1e3, 0.01, 1.0, logarithmic=True),
                _EXPONENT,
                _EVENNESS,
            ),
        ),
    )
}
"""Name → kind, in the order of their numbers."""

NUMBERED = tuple(KINDS.values())
"""The kinds by their numbers."""
