"""Relational graphs, and the two ways between a graph and the mask of a layer.

A relational graph (You et al. 2020, "Graph Structure of Neural Networks", arXiv 2007.06559) says
which groups of channels exchange messages. Node ``v`` owns a contiguous group of a layer's output
channels and one of its input channels, and weight ``(o, i)`` is kept where ``node(o)`` and
``node(i)`` are joined. Every node is joined to itself: self-loops are always kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch

from bogp.errors import GraphError
from bogp.nodes import channel_nodes, group_sizes
from bogp.sparsity import kept_count
from bogp.types import BoolArray


@dataclass(frozen=True, eq=False, repr=False)
class RelationalGraph:
    """An undirected graph of channel groups, each joined to itself.

    ``adjacency`` is given as a square, symmetric NumPy array or torch tensor of zeros and ones, of
    shape (nodes, nodes), and is kept as a read-only bool array whose diagonal is True.

    Raises:
        GraphError: ``adjacency`` is not square or not symmetric, has no node, or holds values
            other than 0 and 1.

    >>> graph = RelationalGraph(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))
    >>> graph
    RelationalGraph(nodes=3, edges=2)
    >>> graph.adjacency[0].tolist()
    [True, True, False]
    """

    adjacency: BoolArray

    def __post_init__(self) -> None:
        adjacency = as_bool(self.adjacency, "an adjacency matrix").copy()
        if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1]:
            raise GraphError(
                f"an adjacency matrix of shape {adjacency.shape} is not square: "
                "give one row and one column for each node"
            )
        if adjacency.shape[0] < 1:
            raise GraphError("a relational graph of 0 nodes cannot exist: give at least 1 node")
        if not np.array_equal(adjacency, adjacency.T):
            row, column = np.argwhere(adjacency != adjacency.T)[0]
            raise GraphError(
                f"the adjacency matrix is not symmetric: entries ({row}, {column}) and "
                f"({column}, {row}) differ; give an undirected graph"
            )
        np.fill_diagonal(adjacency, True)
        adjacency.setflags(write=False)
        object.__setattr__(self, "adjacency", adjacency)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self.adjacency.shape[0])

    @property
    def edges(self) -> int:
        """Number of undirected edges, self-loops not counted."""
        return (int(np.count_nonzero(self.adjacency)) - self.nodes) // 2

    @property
    def density(self) -> float:
        """Edges divided by pairs of nodes; 0.0 for one node, as networkx has it."""
        pairs = self.nodes * (self.nodes - 1) // 2
        return self.edges / pairs if pairs else 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RelationalGraph):
            return NotImplemented
        return np.array_equal(self.adjacency, other.adjacency)

    def __hash__(self) -> int:
        return hash((self.nodes, self.packed()))

    def __repr__(self) -> str:
        return f"RelationalGraph(nodes={self.nodes}, edges={self.edges})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickling the array itself would lose its read-only flag.
        return (RelationalGraph.from_packed, (self.packed(), self.nodes))

    @classmethod
    def from_networkx(cls, graph: nx.Graph[Any]) -> RelationalGraph:
        """Return the relational graph of a networkx graph; weights and self-loops are ignored.

        Nodes that are named 0 .. n-1 keep their numbers; others are numbered in the order of
        ``graph.nodes``.

        Raises:
            GraphError: ``graph`` has no node, or is directed and not symmetric.

        >>> RelationalGraph.from_networkx(nx.cycle_graph(5))
        RelationalGraph(nodes=5, edges=5)
        """
        labels = list(graph.nodes)
        if set(labels) == set(range(len(labels))):
            labels = list(range(len(labels)))
        given: Any = {"nodelist": labels, "dtype": np.bool_, "weight": None}  # None: each counts 1
        return cls(nx.to_numpy_array(graph, **given))

    def to_networkx(self) -> nx.Graph[int]:
        """Return the simple networkx graph on nodes 0 .. n-1, without self-loops.

        >>> RelationalGraph(np.ones((3, 3))).to_networkx().number_of_edges()
        3
        """
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(self.nodes))
        rows, columns = np.nonzero(np.triu(self.adjacency, 1))
        graph.add_edges_from(zip(rows.tolist(), columns.tolist(), strict=True))
        return graph

    def packed(self) -> bytes:
        """Return the upper triangle without the diagonal, row by row, eight pairs to a byte.

        >>> RelationalGraph(np.ones((4, 4))).packed()
        b'\\xfc'
        """
        return np.packbits(self.adjacency[np.triu_indices(self.nodes, 1)]).tobytes()

    @classmethod
    def from_packed(cls, packed: bytes, nodes: int) -> RelationalGraph:
        """Return the graph that :meth:`packed` wrote.

        Raises:
            GraphError: the number of bytes does not belong to a graph of ``nodes`` nodes.

        >>> RelationalGraph.from_packed(b"\\xfc", 4).edges
        6
        """
        pairs = nodes * (nodes - 1) // 2
        if nodes < 1 or len(packed) != (pairs + 7) // 8:
            raise GraphError(
                f"{len(packed)} bytes do not hold a graph of {nodes} nodes: "
                f"expected {(pairs + 7) // 8}; give the number of nodes it was packed with"
            )
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
        if bits[pairs:].any():
            raise GraphError(
                f"the packed graph has edges beyond its {nodes} nodes: "
                "give the number of nodes it was packed with"
            )
        adjacency = np.zeros((nodes, nodes), dtype=np.bool_)
        adjacency[np.triu_indices(nodes, 1)] = bits[:pairs]
        return cls(adjacency | adjacency.T)


def graph_to_mask(
    graph: RelationalGraph,
    out_features: int,
    in_features: int,
    kernel_size: Sequence[int] = (),
) -> torch.Tensor:
    """Return the mask of a layer's weight, a bool tensor (out, in, *kernel_size); True keeps.

    Weight ``(o, i)`` is kept where ``node(o)`` and ``node(i)`` are joined; the kernel of a
    convolution is kept or pruned whole.

    Raises:
        GraphError: the graph has more nodes than the layer has outputs or inputs.

    >>> graph_to_mask(RelationalGraph(np.eye(2)), 3, 2).int().tolist()
    [[1, 0], [1, 0], [0, 1]]
    """
    _check_fit(graph.nodes, out_features, in_features)
    rows = channel_nodes(out_features, graph.nodes)
    columns = channel_nodes(in_features, graph.nodes)
    mask = torch.from_numpy(graph.adjacency[np.ix_(rows, columns)])
    kernel = tuple(kernel_size)
    if not kernel:
        return mask
    return mask[(..., *(None,) * len(kernel))].expand(*mask.shape, *kernel).contiguous()


def mask_to_graph(
    mask: torch.Tensor | npt.NDArray[Any], nodes: int, threshold: float | None = None
) -> RelationalGraph:
    """Return the relational graph of a mask of shape (out, in, *kernel).

    Nodes ``u`` and ``v`` are joined where the share of kept weights in the blocks ``(u, v)`` and
    ``(v, u)`` together is at least ``threshold``, or, by default, where any of them is kept.
    ``mask_to_graph(graph_to_mask(g, out, in), g.nodes)`` is ``g``, for every threshold.

    Raises:
        GraphError: the mask is no mask of a layer of at least ``nodes`` outputs and inputs, or
            ``threshold`` is not in (0, 1].

    >>> mask_to_graph(torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1]]), 3).edges
    1
    """
    if threshold is not None and not 0.0 < threshold <= 1.0:
        raise GraphError(
            f"threshold {threshold} is not in (0, 1]: give the least share of kept weights that "
            "joins two nodes, or None for any"
        )
    kept = as_bool(mask, "a mask")
    if kept.ndim < 2:
        raise GraphError(
            f"a mask of shape {kept.shape} has no outputs and inputs: give (out, in) or "
            "(out, in, *kernel)"
        )
    out_features, in_features = kept.shape[:2]
    _check_fit(nodes, out_features, in_features)
    kept = kept.reshape(out_features, in_features, -1)
    counts = np.count_nonzero(kept, axis=2)
    rows, columns = group_sizes(out_features, nodes), group_sizes(in_features, nodes)
    counts = np.add.reduceat(counts, np.cumsum(rows) - rows, axis=0)
    counts = np.add.reduceat(counts, np.cumsum(columns) - columns, axis=1)
    counts = counts + counts.T
    if threshold is None:
        return RelationalGraph(counts > 0)
    sizes = np.outer(rows, columns) * kept.shape[2]
    return RelationalGraph(counts / (sizes + sizes.T) >= threshold)


def edges_for_sparsity(
    nodes: int,
    sparsity: float,
    out_features: int | None = None,
    in_features: int | None = None,
) -> int:
    """Return the least edge count whose every graph keeps enough weights of a layer.

    A layer of N = out x in weights (nodes x nodes by default) keeps ``round((1 - sparsity) * N)``
    of them. The smallest ``m`` is returned such that *every* graph of ``m`` edges expands to at
    least that many, self-loops counted. An edge u-v is worth ``o_u i_v + o_v i_u`` weights, where
    ``o`` and ``i`` are the group sizes, so the worst graph is made of the ``m`` lightest edges.
    The result is 0 where the self-loops alone suffice; the complete graph always does.

    Raises:
        SparsityError: ``sparsity`` is not in [0, 1).
        GraphError: the layer has fewer outputs or inputs than ``nodes``.

    >>> edges_for_sparsity(128, 0.9)  # (1638 kept - 128 self-loops) / 2 weights an edge
    755
    """
    out_features = nodes if out_features is None else out_features
    in_features = nodes if in_features is None else in_features
    _check_fit(nodes, out_features, in_features)
    wanted = kept_count(out_features * in_features, sparsity)
    rows, columns = group_sizes(out_features, nodes), group_sizes(in_features, nodes)
    blocks = np.outer(rows, columns)
    weights = np.sort((blocks + blocks.T)[np.triu_indices(nodes, 1)])
    kept = int(np.trace(blocks)) + np.concatenate(([0], np.cumsum(weights)))
    return int(np.searchsorted(kept, wanted))


def check_edges(nodes: int, edges: int) -> int:
    """Return the number of pairs of nodes, or raise GraphError if no graph has so many edges."""
    check_nodes(nodes)
    pairs = nodes * (nodes - 1) // 2
    if not 0 <= edges <= pairs:
        raise GraphError(
            f"{edges} edges do not fit a graph of {nodes} nodes: give between 0 and {pairs}"
        )
    return pairs


def check_nodes(nodes: int) -> None:
    """Raise GraphError if there is no node."""
    if nodes < 1:
        raise GraphError(f"a graph of {nodes} nodes cannot exist: give at least 1 node")


def as_bool(values: Any, what: str) -> BoolArray:
    """Return ``values`` (array-like or tensor of zeros and ones) as a NumPy bool array.

    Raises:
        GraphError: some value is neither 0 nor 1.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    array: npt.NDArray[Any] = np.asarray(values)
    if array.dtype == np.bool_:
        return array
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        raise GraphError(f"{what} holds {array[wrong].flat[0]}: give only 0 and 1, or bools")
    return array.astype(np.bool_)


def _check_fit(nodes: int, out_features: int, in_features: int) -> None:
    """Raise GraphError unless every node can own an output and an input of the layer."""
    check_nodes(nodes)
    least = min(out_features, in_features)
    if nodes > least:
        raise GraphError(
            f"{nodes} nodes do not fit a layer of {out_features} outputs and {in_features} "
            f"inputs: use at most {least} nodes"
        )
