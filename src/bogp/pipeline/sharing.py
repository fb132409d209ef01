"""Groups of layers that share a graph, and the graphs of a candidate with several groups.

All graphs of a database have the same number of nodes. If a candidate has several groups of layers
(the stages of a network, say), the group with the most weights takes a graph of the database. Each
other group takes one drawn alike: of the same family and parameters, at the same density, on as
many nodes as the layers of that group can carry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.linalg import block_diag

from bogp.controls import Bound, LayerBound
from bogp.database import GraphRecord
from bogp.errors import DatabaseError, GraphError
from bogp.graphs import RelationalGraph, edges_for_sparsity, generate
from bogp.keys import derive_seed
from bogp.masks import Mask, PrunableLayer
from bogp.sparsify.supports import carries, share_groups

MOST_NODES = 64
"""How many nodes a graph has at most, unless a number is asked for."""

LEAST_NODES = 4
"""A graph of fewer nodes has hardly any wiring to choose."""

_COVERED = 0.9
"""The layers that carry a group's graph hold at least this share of the group's weights.

Layers that are too narrow for ``LEAST_NODES`` do not count.
"""


@dataclass(frozen=True)
class Group:
    """Layers that share a graph.

    Attributes:
        name: the group's name.
        layers: the layers that can carry the graph.
        nodes: how many nodes the graph has.
    """

    name: str
    layers: tuple[PrunableLayer, ...]
    nodes: int

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs of the largest layer, or of one of its matrices."""
        largest = max(self.layers, key=lambda layer: layer.weights)
        return largest.outputs, largest.inputs


def graph_groups(
    layers: Sequence[PrunableLayer], share: str, nodes: int | None = None
) -> tuple[Group, ...]:
    """Return the groups that have a graph, the one with the most weights first.

    The number of nodes is ``nodes``, if it is given. Otherwise it is the largest power of two, up
    to :data:`MOST_NODES`, for which the layers that can carry the graph hold nine tenths of the
    weights of those that can carry any. Layers that cannot carry it are in no group and get the
    complete support; a group of which no layer can is left out.

    >>> wide = PrunableLayer("a.weight", "a", "linear", (300, 784))
    >>> last = PrunableLayer("b.weight", "b", "linear", (10, 300))
    >>> [(group.nodes, len(group.layers)) for group in graph_groups([wide, last], "model")]
    [(64, 1)]
    """
    found = []
    for name, members in share_groups(layers, share).items():
        chosen = _nodes(members) if nodes is None else nodes
        able = _carrying(members, chosen) if chosen else ()
        if able:
            found.append(Group(name, able, chosen))
    return tuple(sorted(found, key=lambda group: -_weights(group.layers)))


def _nodes(layers: Sequence[PrunableLayer]) -> int:
    """Return how many nodes a group's graph has, 0 where no layer can carry a graph."""
    able = _weights(_carrying(layers, LEAST_NODES))
    count = MOST_NODES
    while able and count >= LEAST_NODES:
        if _weights(_carrying(layers, count)) >= _COVERED * able:
            return count
        count //= 2
    return 0


def _carrying(layers: Sequence[PrunableLayer], nodes: int) -> tuple[PrunableLayer, ...]:
    return tuple(layer for layer in layers if carries(layer, nodes))


def _weights(layers: Sequence[PrunableLayer]) -> int:
    return sum(layer.weights for layer in layers)


def groups_of_database(
    layers: Sequence[PrunableLayer], share: str, nodes: int, asked: int | None = None
) -> tuple[Group, ...]:
    """Return the groups of a search whose database has graphs of ``nodes`` nodes.

    The first group takes graphs of the database; ``asked`` is the number of nodes of the others.

    Raises:
        DatabaseError: the layers of the first group cannot carry graphs of the database.
    """
    groups = graph_groups(layers, share, asked)
    if not groups or groups[0].nodes == nodes:
        return groups
    first = groups[0]
    able = _carrying(first.layers, nodes)
    if not able:
        raise DatabaseError(
            f"the database's graphs have {nodes} nodes, more than the layers of {first.name!r} "
            f"carry: build a database of {first.nodes} nodes"
        )
    return (Group(first.name, able, nodes), *groups[1:])


def candidate_support(record: GraphRecord, groups: Sequence[Group], share: str) -> Bound:
    """Return the support of a candidate that has this graph of the database.

    Raises:
        DatabaseError: no graph alike can be drawn for another group.
    """
    if share == "model":
        return record.graph if record.mask is None else record.mask
    graphs: dict[str, RelationalGraph] = {}
    for number, group in enumerate(groups):
        graph = record.graph if number == 0 else _alike(record, group)
        graphs |= dict.fromkeys((layer.name for layer in group.layers), graph)
    return graphs


def _alike(record: GraphRecord, group: Group) -> RelationalGraph:
    if record.seed is None or record.mask is not None:
        raise DatabaseError(
            f"graph {record.id} of family {record.family!r} has no like on other numbers of nodes: "
            "share one graph over the model, or build a database of the family mixed"
        )
    edges = edges_for_sparsity(group.nodes, record.sparsity, *group.shape)
    seed = derive_seed(record.seed, "alike", group.name)
    try:
        return generate(record.family, group.nodes, edges, seed, **record.parameters)
    except GraphError as error:
        raise DatabaseError(
            f"graph {record.id} of family {record.family!r} has no like on the {group.nodes} nodes "
            f"of {group.name!r} ({error}): share one graph over the model, or build a database of "
            "the family mixed"
        ) from error


def distinct_graphs(support: Mapping[str, LayerBound]) -> list[RelationalGraph]:
    """Return the graphs of a support in the order of their layers, each once."""
    found: list[RelationalGraph] = []
    for bound in support.values():
        if isinstance(bound, RelationalGraph) and not any(bound is other for other in found):
            found.append(bound)
    return found


def one_graph(support: Bound) -> RelationalGraph | None:
    """Return a support's graphs as one graph, side by side; None if it has no graph.

    >>> pair, lone = RelationalGraph([[1, 1], [1, 1]]), RelationalGraph([[1]])
    >>> one_graph({"a": pair, "b": lone})
    RelationalGraph(nodes=3, edges=1)
    """
    if isinstance(support, RelationalGraph):
        return support
    if not isinstance(support, Mapping) or isinstance(support, Mask):
        return None
    graphs = distinct_graphs(support)
    if not graphs:
        return None
    return RelationalGraph(block_diag(*(graph.adjacency for graph in graphs)))
