"""What pruning makes of a network: graphs, spectrum and dead units of each layer of a mask."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from bogp.analysis.bipartite_graph import Bipartite, Spectrum, bipartite, spectrum
from bogp.analysis.block_wiring import BlockWiring, block_wiring
from bogp.analysis.paths import dead_units
from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs import PROPERTIES, RelationalGraph, mask_to_graph, properties
from bogp.masks import Granularity, Grid, Mask, PrunableLayer, grids
from bogp.pipeline.candidate import finite_or_none
from bogp.pipeline.pruned_model import all_inputs, mask_and_network, parts, paths_of, read_layouts

MOST_NODES = 64
"""Nodes of a layer's relational graph by default, if the layer is wide enough."""


@dataclass(frozen=True)
class LayerAnalysis:
    """One layer of a pruned network.

    Attributes:
        name: the parameter's name; ``[q]``, ``[k]`` or ``[v]`` is added for a part of a packed one.
        mask: bool (out, in, *kernel), True keeps; a grouped convolution's is over all inputs.
        kept: how many weights the mask keeps.
        total: how many weights the layer has.
        bipartite: the graph in which kept weights join the layer's inputs to its outputs.
        spectrum: the singular values of that graph and its Ramanujan gap; None without edges.
        dead_inputs: how many inputs are on no path of kept weights through the network; None where
            that is unknown, for which the notes of the model give the reason.
        dead_outputs: how many outputs are on no such path, or None.
        on_path: how many kept weights are on such a path, or None.
        graph: the relational graph; None for a layer of one input or one output.
        properties: the relational graph's properties, name → value; empty without a graph.
        wiring: the kept blocks between nodes, where the size or the number of nodes is given.
    """

    name: str
    mask: Tensor = field(repr=False, compare=False)
    kept: int
    total: int
    bipartite: Bipartite
    spectrum: Spectrum | None
    dead_inputs: int | None
    dead_outputs: int | None
    on_path: int | None
    graph: RelationalGraph | None
    properties: Mapping[str, float]
    wiring: BlockWiring | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Outputs, inputs and kernel."""
        return tuple(self.mask.shape)

    @property
    def density(self) -> float:
        """Kept weights divided by all that the layer has."""
        return self.kept / self.total

    def record(self, properties: Iterable[str] | None = None) -> dict[str, Any]:
        """Return all of it but the mask as a JSON object, the graph's edges as pairs of nodes.

        ``properties`` names those to include; by default all.
        """
        graph = self.bipartite
        names = self.properties if properties is None or not self.properties else properties
        relational = None
        if self.graph is not None:
            pairs = [list(pair) for pair in self.graph.to_networkx().edges]
            relational = {"nodes": self.graph.nodes, "edges": self.graph.edges, "pairs": pairs}
        return {
            "name": self.name,
            "shape": list(self.shape),
            "kept": self.kept,
            "total": self.total,
            "density": self.density,
            "bipartite": {
                **dataclasses.asdict(graph),
                "is_connected": graph.is_connected,
                "is_biregular": graph.is_biregular,
            },
            "spectrum": None if self.spectrum is None else dataclasses.asdict(self.spectrum),
            "dead_inputs": self.dead_inputs,
            "dead_outputs": self.dead_outputs,
            "on_path": self.on_path,
            "wiring": None if self.wiring is None else self.wiring.record(),
            "graph": relational,
            "properties": {name: finite_or_none(self.properties[name]) for name in names},
        }


@dataclass(frozen=True)
class ModelAnalysis:
    """A pruned network, layer by layer.

    Attributes:
        layers: the layers that were asked for, in the order of the network or file.
        kept: how many weights the whole mask keeps.
        total: how many weights the whole mask covers.
        effective_sparsity: the sparsity if kept weights on no path from the input to the output
            are counted as removed (Vysogorets & Kempe 2023); None where that is unknown.
        notes: sentences that say how the file was read, and what is unknown and why.
    """

    layers: tuple[LayerAnalysis, ...]
    kept: int
    total: int
    effective_sparsity: float | None
    notes: tuple[str, ...]

    @property
    def sparsity(self) -> float:
        """Pruned weights divided by all weights of the mask."""
        return 1.0 - self.kept / self.total

    def record(self, properties: Iterable[str] | None = None) -> dict[str, Any]:
        """Return all of it but the masks as a JSON object, with these properties of each graph."""
        return {
            "sparsity": self.sparsity,
            "effective_sparsity": self.effective_sparsity,
            "kept": self.kept,
            "total": self.total,
            "notes": list(self.notes),
            "layers": [layer.record(properties) for layer in self.layers],
        }


def analyze(
    source: str | os.PathLike[str] | nn.Module | Mask,
    *,
    model: nn.Module | None = None,
    example: Tensor | None = None,
    nodes: int | None = None,
    block: int | Granularity | None = None,
    threshold: float | None = None,
    layers: Sequence[str] | None = None,
) -> ModelAnalysis:
    """Return the graphs, spectra, dead units and effective sparsity of a pruned network.

    Dead units are found along a chain of layers; of a file alone, the order and the shapes of the
    layers decide whether they are one. A model says which convolutions are grouped. With an example
    too, paths are followed through the network itself, skip connections included.

    Args:
        source: a mask, a pruned network (masks of ``torch.nn.utils.prune``, or weights that are
            exactly 0), or a file that :func:`bogp.read_mask` reads.
        model: the network that the mask belongs to; it is not changed. A network given as
            ``source`` needs none.
        example: one input or a batch (N, \\*shape); only its shape and type matter.
        nodes: how many nodes each layer's relational graph has; by default the largest power of two
            that is at most :data:`MOST_NODES`, the layer's outputs and its inputs.
        block: in place of ``nodes``, the channels of a node, or the :class:`bogp.Granularity` of a
            mask of blocks: each layer has as many nodes as fit its outputs, and as fit its inputs,
            and its graph as many as the fewer of the two.
        threshold: the least share of kept weights that joins two nodes, in (0, 1]; by default one
            weight does.
        layers: names of the parameters to describe; all by default. Paths run through all.

    Raises:
        MaskError: a file that holds no mask, a mask of another model, weights that are NaN.
        GraphError: more nodes than a layer has channels, or a threshold out of range.
        SettingError: ``block`` is no number of channels, or ``nodes`` is given beside it.
        UnknownNameError: ``layers`` names one that the mask does not have.

    >>> import torch
    >>> mask = Mask({"0.weight": torch.eye(4).bool(), "2.weight": torch.ones(2, 4).bool()})
    >>> found = analyze(mask)
    >>> [layer.bipartite.parts for layer in found.layers], found.effective_sparsity
    ([4, 1], 0.5)
    """
    mask, network = mask_and_network(source, model)
    layouts = read_layouts(mask, network)
    names = _chosen(mask, layers)
    whole = {name: all_inputs(layer, layouts[name][0]) for name, layer in mask.items()}
    views = {name: parts(whole[name], name, layouts[name][1]) for name in names}
    _check_nodes(nodes, block, views)
    grid = _grids(nodes, block, views)
    one_node = nodes is not None
    on_path, why = paths_of(mask, network, example)
    found = []
    for name in names:
        carried = {} if on_path is None else parts(on_path[name], name, layouts[name][1])
        for part, view in views[name].items():
            total = mask[name].numel() // len(views[name])
            on = carried.get(part)
            found.append(_describe(part, view, total, on, grid.get(part), threshold, one_node))
    live = None if on_path is None else sum(int(on.sum()) for on in on_path.values())
    return ModelAnalysis(
        layers=tuple(found),
        kept=mask.kept,
        total=mask.total,
        effective_sparsity=None if live is None else 1.0 - live / mask.total,
        notes=(*_notes(mask, network, found), *why),
    )


def _describe(
    name: str,
    mask: Tensor,
    total: int,
    on_path: Tensor | None,
    grid: Grid | None,
    threshold: float | None,
    one_node: bool,
) -> LayerAnalysis:
    """Return the analysis of one layer's mask (out, in, *kernel)."""
    outputs, inputs = mask.shape[:2]
    size = default_nodes(outputs, inputs) if grid is None else min(grid)
    graph = mask_to_graph(mask, size, threshold) if size > 1 or one_node else None
    values = {} if graph is None else properties(graph, PROPERTIES, threads=1)
    dead = (None, None) if on_path is None else dead_units(on_path)
    return LayerAnalysis(
        name=name,
        mask=mask,
        kept=int(mask.sum()),
        total=total,
        bipartite=bipartite(mask),
        spectrum=spectrum(mask),
        dead_inputs=dead[0],
        dead_outputs=dead[1],
        on_path=None if on_path is None else int(on_path.sum()),
        graph=graph,
        properties={known: float(value[0]) for known, value in values.items()},
        wiring=None if grid is None else block_wiring(mask, grid),
    )


def default_nodes(outputs: int, inputs: int) -> int:
    """Return the largest power of two that is at most :data:`MOST_NODES` and both numbers.

    >>> default_nodes(128, 784), default_nodes(10, 128), default_nodes(16, 1)
    (64, 8, 1)
    """
    return 1 << (min(outputs, inputs, MOST_NODES).bit_length() - 1)


def _chosen(mask: Mask, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Return the layers to describe, in the order of the mask."""
    wanted = tuple(mask) if layers is None else tuple(layers)
    for name in wanted:
        if name not in mask:
            raise UnknownNameError("layer", name, mask)
    return tuple(name for name in mask if name in wanted)


def _grids(
    nodes: int | None,
    block: int | Granularity | None,
    views: Mapping[str, Mapping[str, Tensor]],
) -> Mapping[str, Grid]:
    """Return how many output and input nodes each part of a layer has, where that is asked for."""
    shapes = {
        part: tuple(view.shape) for of_layer in views.values() for part, view in of_layer.items()
    }
    if nodes is not None:
        return dict.fromkeys(shapes, (nodes, nodes))
    if block is None:
        return {}
    granularity = block if isinstance(block, Granularity) else Granularity("block", block)
    layers = [PrunableLayer(part, "", "linear", shape) for part, shape in shapes.items()]
    return grids(layers, granularity)


def _check_nodes(
    nodes: int | None, block: int | Granularity | None, views: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Raise unless each layer can carry a graph of so many nodes, or nodes of so many channels."""
    if block is not None and nodes is not None:
        raise SettingError(
            f"{nodes} nodes and nodes of {block!r} channels are two answers to one question: give "
            "nodes or block"
        )
    if nodes is None:
        return
    if nodes < 1:
        raise GraphError(f"a graph of {nodes} nodes cannot exist: give at least 1 node")
    for name, of_layer in views.items():
        outputs, inputs = next(iter(of_layer.values())).shape[:2]
        if nodes > min(outputs, inputs):
            raise GraphError(
                f"{nodes} nodes do not fit layer {name!r} of {outputs} outputs and {inputs} "
                f"inputs: use at most {min(outputs, inputs)} nodes, or name the layers to describe"
            )


def _notes(mask: Mask, model: nn.Module | None, layers: Sequence[LayerAnalysis]) -> list[str]:
    """Return what a reader of the analysis must know of how the network was read."""
    notes = []
    if mask.kept == mask.total:
        notes.append("Nothing is pruned: every graph below is complete.")
    empty = [layer.name for layer in layers if layer.kept == 0]
    if empty:
        notes.append(f"No weight is left in {', '.join(empty)}: nothing passes there.")
    if model is None and any(layer.dim() > 2 for layer in mask.values()):
        notes.append(
            "Whether a convolution is grouped cannot be seen in a mask: each is read as one group."
        )
    narrow = [layer.name for layer in layers if layer.graph is None]
    if narrow:
        notes.append(f"Too narrow for a relational graph of two nodes: {', '.join(narrow)}.")
    return notes
