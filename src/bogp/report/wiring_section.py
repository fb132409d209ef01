"""The wiring of a pruned model on its page: what its layers' graphs were and what they became."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bogp.pipeline.analyze import LayerAnalysis, analyze
from bogp.pipeline.own_model import PrunedNetwork
from bogp.pipeline.pool_space import INFORMATIVE
from bogp.report.analysis_page import GRAPH_TEXT, blocks_table, narrower_table
from bogp.report.graph_figures import wirings_and_mask
from bogp.report.page import Section
from bogp.report.pictures import Picture
from bogp.tables import Cell, Column, Table

MOST_PICTURES = 8
"""Layers that get a picture of their own."""


def wiring_sections(found: PrunedNetwork, model: nn.Module) -> list[Section]:
    """Return the section on the wiring: of whole blocks, or of a mask that something bounded."""
    granularity = found.method.granularity
    block = granularity if granularity.kind == "block" else None
    if block is None and found.before is None:
        return []
    nodes = None if block is not None else nodes_of(found)
    names = None if nodes is None else found.bound
    masks = {} if found.before is None else {"before": found.before}
    stages = {
        stage: analyze(mask, model=model, nodes=nodes, block=block, layers=names)
        for stage, mask in {**masks, "after": found.mask}.items()
    }
    each = list(zip(*(found.layers for found in stages.values()), strict=True))
    layers = [dict(zip(stages, layer, strict=True)) for layer in each]
    tables = [_graph_table(layers)]
    if block is not None:
        tables.insert(0, blocks_table(stages["after"]))
    text = GRAPH_TEXT
    if found.before is not None:
        text += (
            "\n\nBefore training there is the mask that it begins with, or inside which the mask "
            "moves; after it the one that the network has in the end."
        )
    return [Section("Wiring", text, tables, _pictures(layers, block is not None))]


def nodes_of(found: PrunedNetwork) -> int | None:
    """Return how many nodes the graph has that bounds the mask; None where it is not just one."""
    if found.links is None or not found.bound:
        return None
    fits = all(min(found.mask[name].shape[:2]) >= len(found.links) for name in found.bound)
    return len(found.links) if fits else None


def _graph_table(layers: Sequence[dict[str, LayerAnalysis]]) -> Table:
    """Return two rows for each layer: the properties of its graph before and after."""
    rows: list[list[Cell]] = []
    for stages in layers:
        for stage, layer in stages.items():
            if layer.graph is not None:
                values = [layer.properties[name] for name in INFORMATIVE]
                name = f"{layer.name} {stage}"
                rows.append([name, layer.graph.nodes, layer.graph.edges, *values])
    columns: list[str | Column] = ["layer", "nodes", "edges"]
    columns += [name.replace("_", " ") for name in INFORMATIVE]
    return narrower_table(Table("Relational graphs", columns, rows, digits=4))


def _pictures(layers: Sequence[dict[str, LayerAnalysis]], blocks: bool) -> list[Picture]:
    """Return the wirings of the largest layers before and after, beside their masks."""
    drawn = [stages for stages in layers if stages["after"].graph is not None]
    largest = sorted(drawn, key=lambda stages: -stages["after"].total)[:MOST_PICTURES]
    return [_picture(stages, blocks) for stages in drawn if stages in largest]


def _picture(stages: dict[str, LayerAnalysis], blocks: bool) -> Picture:
    """Return the kept blocks of a layer, or the graph of its weights, and its mask in the end."""
    wirings = {
        stage: layer.wiring.kept.numpy()
        if blocks and layer.wiring is not None
        else layer.graph.adjacency
        for stage, layer in stages.items()
        if layer.graph is not None
    }
    layer = stages["after"]
    figure = wirings_and_mask(wirings, layer.mask.cpu().numpy(), layer.name)
    caption = (
        f"{layer.name}: what joins its nodes {' and '.join(wirings)} training, and its mask, dark "
        "where kept."
    )
    return Picture(figure, caption)
