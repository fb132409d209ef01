"""The settings that decide what a graph database holds, each declared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bogp.settings import Option, Several, named_in, settings
from bogp.settings.search import Sparsity

PAPER_SPARSITIES = (0.15, 0.30, 0.45, 0.60, 0.75, 0.90)
"""The sparsities of the paper's table 1."""


def _whole(value: Any) -> Any:
    """Return a float without a fraction as an int, and anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number, which may be given as 8.0."""


@settings
class DatabaseSettings:
    """Every choice that decides the graphs of a database.

    Whether the nodes fit the layer, and whether the family has such parameters, is checked by
    :meth:`bogp.GraphDatabase.build`.
    """

    nodes: Annotated[
        Whole, Field(description="Nodes of each graph; at most the layer's smaller width.")
    ] = 128
    shape: Annotated[
        Several[Whole] | None,
        Field(
            min_length=2,
            max_length=2,
            description="(out_features, in_features) of the layer to be pruned, which decide how "
            "many edges give a sparsity; by default (nodes, nodes).",
        ),
    ] = None
    sparsities: Annotated[
        Several[Sparsity],
        Field(
            min_length=1,
            description="Share of the layer's weights to remove, in [0, 1); repeat for several. "
            "The default is the paper's six.",
        ),
        Option(("--sparsity", "-s")),
    ] = PAPER_SPARSITIES
    graphs: Annotated[Whole, Field(ge=1, description="Graphs for each sparsity.")] = 1000
    family: Annotated[
        str,
        named_in("family", "bogp.database:FAMILIES"),
        Field(
            description="How graphs are drawn (`bogp list families` says how). mixed covers what "
            "graphs can be at that edge count; uniform graphs are nearly alike. random_mask is the "
            "paper's own: a plain random 0-1 mask, read as a graph and stored with it. The graphs "
            "of all other families have just so many edges that their masks keep at least the "
            "wanted weights."
        ),
    ] = "mixed"
    seed: Annotated[Whole, Field(description="Seed of every draw.")] = 0
    names: Annotated[
        Annotated[
            Several[Annotated[str, named_in("property", "bogp.graphs:PROPERTIES")]],
            Field(min_length=1),
        ]
        | None,
        Field(
            description="A property to store; repeat for several. Default: every one of `bogp "
            "list properties`."
        ),
        Option(("--property", "-p"), metavar="NAME"),
    ] = None
    parameters: Annotated[
        Mapping[str, Any] | None,
        Field(
            description="Parameters of the family's generator by name; of mixed it is pilot, the "
            "number of settings that it tries."
        ),
        Option(hidden=True),
    ] = None
