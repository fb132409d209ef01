"""Relational graphs: masks, generators and properties."""

from bogp.graphs.generators import GENERATORS, generate, random_mask
from bogp.graphs.properties import (
    ALL_PROPERTIES,
    CANDIDATES,
    PAPER_FIVE,
    PROPERTIES,
    describe,
    properties,
)
from bogp.graphs.relational import (
    RelationalGraph,
    channel_nodes,
    edges_for_sparsity,
    graph_to_mask,
    mask_to_graph,
)

__all__ = [
    "ALL_PROPERTIES",
    "CANDIDATES",
    "GENERATORS",
    "PAPER_FIVE",
    "PROPERTIES",
    "RelationalGraph",
    "channel_nodes",
    "describe",
    "edges_for_sparsity",
    "generate",
    "graph_to_mask",
    "mask_to_graph",
    "properties",
    "random_mask",
]
