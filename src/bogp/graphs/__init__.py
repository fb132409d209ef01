"""Relational graphs: masks, generators and properties."""

from bogp.graphs.generators import (
    GENERATORS,
    Generator,
    find_generator,
    generate,
    random_mask,
)
from bogp.graphs.property_vectors import (
    CANDIDATES,
    PAPER_FIVE,
    PROPERTIES,
    Property,
    describe,
    find_property,
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
    "CANDIDATES",
    "GENERATORS",
    "PAPER_FIVE",
    "PROPERTIES",
    "Generator",
    "Property",
    "RelationalGraph",
    "channel_nodes",
    "describe",
    "edges_for_sparsity",
    "find_generator",
    "find_property",
    "generate",
    "graph_to_mask",
    "mask_to_graph",
    "properties",
    "random_mask",
]
