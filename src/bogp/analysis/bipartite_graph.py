"""What joins what in a pruned layer: its mask as a bipartite graph, and the spectrum of that graph.

Inputs of the layer are the left nodes, outputs the right ones; a kept weight is an edge. A
convolution's kernel is one edge where any of it is kept, and the *multiplicity* of the edge says
how much of it. (The code of Hoang et al. 2023 gives each place of a kernel a left node of its own
instead; of linear layers the two are one.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import svds

from bogp.errors import MaskError
from bogp.graphs.relational import as_bool
from bogp.types import BoolArray

Counts = npt.NDArray[np.int64]

LARGEST_DENSE = 2048
"""Channels of a component's narrower side up to which all its singular values are computed."""

LEAST_DEGREE = 3
"""Below this mean degree the bound says little: Hoang et al. (2023) leave such subgraphs out."""


@dataclass(frozen=True)
class Degrees:
    """The smallest, the mean and the largest of some counts; all 0 where there are none."""

    least: int
    mean: float
    most: int

    @classmethod
    def of(cls, counts: npt.NDArray[Any]) -> Degrees:
        """Return the degrees of an array of counts of any shape."""
        if not counts.size:
            return cls(0, 0.0, 0)
        return cls(int(counts.min()), float(counts.mean()), int(counts.max()))


@dataclass(frozen=True)
class Bipartite:
    """The bipartite graph of one layer's mask.

    Attributes:
        inputs: left nodes.
        outputs: right nodes.
        edges: pairs of an input and an output that a kept weight joins.
        input_degrees: to how many outputs each input is joined, 0 included.
        output_degrees: to how many inputs each output is joined, 0 included.
        multiplicity: how many kept weights make an edge: 1 in a linear layer, up to a kernel's
            places in a convolution.
        components: connected components, an isolated node being one, as networkx counts.
        isolated_inputs: inputs that no kept weight leaves.
        isolated_outputs: outputs that no kept weight enters.
    """

    inputs: int
    outputs: int
    edges: int
    input_degrees: Degrees
    output_degrees: Degrees
    multiplicity: Degrees
    components: int
    isolated_inputs: int
    isolated_outputs: int

    @property
    def is_connected(self) -> bool:
        """Whether every node can be reached from every other."""
        return self.components == 1

    @property
    def parts(self) -> int:
        """Connected components that have an edge: those that isolated nodes do not make."""
        return self.components - self.isolated_inputs - self.isolated_outputs

    @property
    def is_biregular(self) -> bool:
        """Whether all inputs have one degree and all outputs one."""
        degrees = (self.input_degrees, self.output_degrees)
        return all(found.least == found.most for found in degrees)


@dataclass(frozen=True)
class Spectrum:
    """Singular values of a layer's 0-1 biadjacency matrix, and what they are held against.

    Attributes:
        largest: the largest singular value.
        second: the second largest, counted with multiplicity; 0 where there is none.
        gap: ``largest - second``, the spectral gap.
        bound: sqrt(d_L - 1) + sqrt(d_R - 1), d_L and d_R the mean degrees of the inputs and of the
            outputs that have an edge.
        ramanujan_gap: ``bound - second``; at 0 or above the graph is Ramanujan.
        mean_difference: the iterative mean difference of bound; None where no subgraph counts.
    """

    largest: float
    second: float
    gap: float
    bound: float
    ramanujan_gap: float
    mean_difference: float | None


def multiplicities(mask: Any) -> Counts:
    """Return how many weights are kept between each output and input, int64 (outputs, inputs).

    Args:
        mask: bool array or tensor (out, in, *kernel).

    Raises:
        GraphError: values other than 0 and 1.
        MaskError: fewer than two dimensions, or no weights.

    >>> multiplicities(np.array([[[1, 1], [0, 1]]])).tolist()
    [[2, 1]]
    """
    kept = as_bool(mask, "a mask")
    if kept.ndim < 2 or kept.size == 0:
        raise MaskError(
            f"a mask of shape {kept.shape} has no outputs and inputs: give (out, in) or "
            "(out, in, *kernel)"
        )
    counts: Counts = np.count_nonzero(kept.reshape(*kept.shape[:2], -1), axis=2).astype(np.int64)
    return counts


def bipartite(mask: Any) -> Bipartite:
    """Return the bipartite graph of a mask (out, in, *kernel); see :func:`multiplicities`.

    >>> graph = bipartite(np.array([[1, 1, 0], [0, 0, 0]]))
    >>> graph.components, graph.parts, graph.isolated_inputs, graph.isolated_outputs
    (3, 1, 1, 1)
    """
    weights = multiplicities(mask)
    joined = weights > 0
    outputs, inputs = joined.shape
    leaving, entering = joined.sum(axis=0), joined.sum(axis=1)
    return Bipartite(
        inputs=inputs,
        outputs=outputs,
        edges=int(joined.sum()),
        input_degrees=Degrees.of(leaving),
        output_degrees=Degrees.of(entering),
        multiplicity=Degrees.of(weights[joined]),
        components=int(_labels(joined).max()) + 1,
        isolated_inputs=int(np.count_nonzero(leaving == 0)),
        isolated_outputs=int(np.count_nonzero(entering == 0)),
    )


def spectrum(mask: Any) -> Spectrum | None:
    """Return the spectrum of a mask's bipartite graph and its Ramanujan gap; None without edges.

    The nonzero eigenvalues of a bipartite graph are plus and minus the singular values of its
    biadjacency matrix. A (d_L, d_R)-biregular graph is Ramanujan if all but the largest of these
    are at most sqrt(d_L - 1) + sqrt(d_R - 1) (Marcus, Spielman & Srivastava 2015, "Interlacing
    Families I"); Pal et al. (2022, "A Study on the Ramanujan Graph Property of Winning Lottery
    Tickets", ICML) ask it of the layers of pruned networks. For irregular graphs the mean degrees
    stand in, of nodes that have an edge (Hoang et al. 2023, "Revisiting Pruning at Initialization
    Through the Lens of Ramanujan Graph", ICLR; their Delta_r): bound minus second singular value.

    The property ``ramanujan_gap`` of :mod:`bogp.graphs` has the same sign and the same zero, but is
    of another graph: of the double cover of a relational graph, n nodes on either side, without
    self-loops, where isolated nodes count in the mean. This one is of the mask itself.

    ``mean_difference`` is Hoang et al.'s iterative mean difference of bound, as their code has it
    (github.com/VITA-Group/ramanujan-on-pai): the mean gap of the subgraphs of all inputs of one
    degree and the outputs that they reach, of those with :data:`LEAST_DEGREE` inputs and mean
    degrees of as much on either side.

    Raises:
        GraphError, MaskError: as :func:`multiplicities` does.

    >>> spectrum(np.ones((2, 8))).largest  # complete: sqrt(2 * 8)
    4.0
    """
    joined = multiplicities(mask) > 0
    found = _spectrum(joined)
    if found is None:
        return None
    largest, second, bound, _ = found
    return Spectrum(
        largest=largest,
        second=second,
        gap=largest - second,
        bound=bound,
        ramanujan_gap=bound - second,
        mean_difference=_mean_difference(joined),
    )


def _spectrum(joined: BoolArray) -> tuple[float, float, float, float] | None:
    """Return the two largest singular values, the bound and the smaller of the mean degrees."""
    joined = joined[joined.any(axis=1)][:, joined.any(axis=0)]
    if not joined.size:
        return None
    edges = int(joined.sum())
    left, right = edges / joined.shape[1], edges / joined.shape[0]
    values = sorted(value for part in _parts(joined) for value in _two_largest(part))
    largest, second = values[-1], values[-2]  # every part gives two
    return largest, second, math.sqrt(left - 1.0) + math.sqrt(right - 1.0), min(left, right)


def _mean_difference(joined: BoolArray) -> float | None:
    """Return the iterative mean difference of bound of a graph (outputs, inputs)."""
    degrees = joined.sum(axis=0)
    gaps = []
    for degree, inputs in zip(*np.unique(degrees, return_counts=True), strict=True):
        if degree < LEAST_DEGREE or inputs < LEAST_DEGREE:
            continue
        found = _spectrum(joined[:, degrees == degree])
        if found is not None and found[3] >= LEAST_DEGREE:
            gaps.append(found[2] - found[1])
    return float(np.mean(gaps)) if gaps else None


def _labels(joined: BoolArray) -> Counts:
    """Return the component of each output and then of each input, (outputs + inputs,)."""
    outputs, inputs = joined.shape
    if joined.all():
        return np.zeros(outputs + inputs, dtype=np.int64)
    rows, columns = np.nonzero(joined)
    ones = np.ones(len(rows), dtype=np.int8)
    size = outputs + inputs
    graph = sparse.coo_array((ones, (rows, columns + outputs)), shape=(size, size))
    _, labels = connected_components(graph.tocsr(), directed=False)
    return np.asarray(labels, dtype=np.int64)


def _parts(joined: BoolArray) -> Iterator[BoolArray]:
    """Yield the biadjacency matrix of each connected component of a graph without isolated nodes.

    The largest singular value of a connected graph is simple (Perron and Frobenius), so that two
    equal ones, which an iterative solver may take for one, only come of two components.
    """
    labels = _labels(joined)
    rows, columns = labels[: len(joined)], labels[len(joined) :]
    if not labels.any():
        yield joined
        return
    row_order, column_order = np.argsort(rows, kind="stable"), np.argsort(columns, kind="stable")
    count = int(labels.max()) + 1
    row_ends = np.searchsorted(rows[row_order], np.arange(count + 1))
    column_ends = np.searchsorted(columns[column_order], np.arange(count + 1))
    for part in range(count):
        of_part = row_order[row_ends[part] : row_ends[part + 1]]
        with_part = column_order[column_ends[part] : column_ends[part + 1]]
        yield joined[np.ix_(of_part, with_part)]


def _two_largest(part: BoolArray) -> tuple[float, float]:
    """Return the two largest singular values of a connected graph's biadjacency matrix."""
    if part.all():
        return math.sqrt(part.size), 0.0
    wide = part if part.shape[0] <= part.shape[1] else part.T
    if len(wide) <= LARGEST_DENSE:
        # Sums of up to 2 ** 24 ones are exact in single precision, and twice as fast.
        matrix: npt.NDArray[Any] = wide.astype("f4" if wide.shape[1] < 1 << 24 else "f8")
        squares = np.linalg.eigvalsh((matrix @ matrix.T).astype(np.float64))[-2:]
    else:
        start = np.random.default_rng(0).standard_normal(len(wide))
        large = sparse.csr_array(wide, dtype=np.float64)
        squares = np.sort(svds(large, k=2, v0=start, return_singular_vectors=False)) ** 2
    # What rounding leaves of a square that is 0.
    noise = squares[-1] * len(wide) * 8 * np.finfo(np.float64).eps
    second = math.sqrt(squares[-2]) if squares[-2] > noise else 0.0
    return math.sqrt(squares[-1]), second
