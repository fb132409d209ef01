"""Supports of every kind of layer, against dense layers and the way back to the graph."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bogp.errors import GraphError, MaskError, UnknownNameError
from bogp.graphs import RelationalGraph, generate, graph_to_mask, mask_to_graph
from bogp.masks import Mask, PrunableLayer, choose_layers, prunable_layers
from bogp.sparsify.supports import carries, layer_support, share_groups, support_mask
from bogp.training import mlp


def graph_of(nodes, seed, share=0.4):
    pairs = nodes * (nodes - 1) // 2
    return generate("uniform", nodes, round(share * pairs), seed)


def layer_of(module, name="weight"):
    return next(layer for layer in prunable_layers(module) if layer.name == name)


def block_diagonal(values, groups):
    """The weight of the dense convolution that a grouped convolution is, zeros between groups."""
    outputs, inputs, *kernel = values.shape
    dense = torch.zeros(outputs, inputs * groups, *kernel, dtype=values.dtype)
    for output in range(outputs):
        first = (output // (outputs // groups)) * inputs
        dense[output, first : first + inputs] = values[output]
    return dense


@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 999), st.integers(1, 3)
)
def test_a_grouped_convolution_has_the_support_of_its_dense_one(groups, out, into, seed, size):
    outputs, inputs = groups * out, groups * into
    nodes = 1 + seed % min(outputs, inputs)
    graph = graph_of(nodes, seed)
    grouped = layer_support(graph, layer_of(nn.Conv2d(inputs, outputs, (size, 2), groups=groups)))
    dense = layer_support(graph, layer_of(nn.Conv2d(inputs, outputs, (size, 2))))
    assert grouped.shape == (outputs, into, size, 2)
    there = block_diagonal(torch.ones_like(grouped), groups)
    assert torch.equal(block_diagonal(grouped, groups), dense & there)


def test_a_grouped_convolution_computes_what_the_masked_dense_one_does():
    # torch itself says which input channel a weight is of.
    module = nn.Conv1d(6, 8, 3, groups=2, bias=False).double()
    graph = graph_of(5, 0)
    support = layer_support(graph, layer_of(module))
    dense = nn.Conv1d(6, 8, 3, bias=False).double()
    weight = block_diagonal(module.weight.detach(), 2)
    dense.weight.data = weight * layer_support(graph, layer_of(dense))
    module.weight.data *= support
    inputs = torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(module(inputs), dense(inputs))
    assert not support.all()


def test_by_hand():
    # Two nodes that are not joined, 4 outputs and 4 inputs in 2 groups: node 0 has channels 0, 1.
    apart = RelationalGraph(np.eye(2))
    grouped = layer_support(apart, layer_of(nn.Conv1d(4, 4, 1, groups=2)))[..., 0]
    assert grouped.tolist() == [[True, True]] * 4
    # 6 inputs in 2 groups of 3, of nodes 000111: all of each group's own node.
    assert layer_support(apart, layer_of(nn.Conv1d(6, 2, 1, groups=2))).all()
    # 3 nodes on them are 001122: group 0 reads nodes 0, 0, 1 and writes 0, 0, 1.
    apart = RelationalGraph(np.eye(3))
    grouped = layer_support(apart, layer_of(nn.Conv1d(6, 6, 1, groups=2)))[..., 0].int()
    assert grouped.tolist() == [[1, 1, 0]] * 2 + [[0, 0, 1]] + [[1, 0, 0]] + [[0, 1, 1]] * 2


@given(st.integers(1, 12), st.integers(0, 999))
def test_a_depthwise_convolution_is_kept_whole(channels, seed):
    graph = graph_of(1 + seed % channels, seed, share=0.0)
    layer = layer_of(nn.Conv2d(channels, channels, 3, groups=channels))
    assert layer_support(graph, layer).all()


@given(st.integers(2, 9), st.integers(0, 7), st.integers(0, 7), st.integers(0, 999))
def test_graph_to_mask_and_back_is_the_graph_in_every_layer(nodes, more, others, seed):
    graph = graph_of(nodes, seed)
    width, other = nodes + more, nodes + others
    model = nn.ModuleList(
        [
            nn.Linear(other, width),
            nn.Conv1d(other, width, 2),
            nn.Conv3d(other, width, (1, 2, 1)),
            nn.MultiheadAttention(width, 1),
            nn.MultiheadAttention(width, 1, kdim=other, vdim=width + 1),
        ]
    )
    mask = support_mask(graph, model, choose_layers(model, "all"))
    for layer in prunable_layers(model):
        for part in mask[layer.name].chunk(layer.parts):
            assert mask_to_graph(part, nodes) == graph
        assert torch.equal(mask[layer.name], layer_support(graph, layer))


def test_kernels_are_kept_whole():
    graph = graph_of(6, 1)
    support = layer_support(graph, layer_of(nn.Conv2d(8, 7, 3)))
    assert torch.equal(support, graph_to_mask(graph, 7, 8, (3, 3)))


def network():
    return nn.ModuleDict(
        {
            "conv1": nn.Conv2d(3, 8, 3),
            "layer1": nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), nn.Conv2d(8, 12, 1)),
            "fc": nn.Linear(12, 10),
        }
    )


NAMES = ("conv1.weight", "layer1.0.weight", "layer1.1.weight", "fc.weight")


def test_layers_too_narrow_get_the_complete_support():
    # 8 nodes: the 3 inputs of the first are too few, the 2 of each of 4 groups are 8.
    graph = graph_of(8, 2)
    mask = support_mask(graph, network(), NAMES)
    assert list(mask) == list(NAMES)
    assert mask["conv1.weight"].all()
    for name, layer in zip(NAMES[1:], prunable_layers(network())[1:], strict=True):
        assert torch.equal(mask[name], layer_support(graph, layer))
    assert not mask["layer1.1.weight"].all()
    widths = [
        [carries(layer, nodes) for nodes in (3, 4, 8, 9, 10, 11)]
        for layer in prunable_layers(network())
    ]
    assert widths == [
        [True] + [False] * 5,
        [True] * 3 + [False] * 3,
        [True] * 3 + [False] * 3,
        [True] * 5 + [False],
    ]


def test_attentions_width_is_of_one_projection():
    layer = layer_of(nn.MultiheadAttention(6, 2), "in_proj_weight")
    assert carries(layer, 6)
    assert not carries(layer, 7)
    support = layer_support(graph_of(6, 3), layer)
    assert support.shape == (18, 6)
    assert torch.equal(support[:6], support[6:12])
    assert torch.equal(support[:6], support[12:])


def test_each_layer_has_its_own_graph():
    one, two = graph_of(8, 4), graph_of(5, 5)
    graphs = {"layer1.0.weight": one, "fc.weight": two, "conv1.weight": two}
    mask = support_mask(graphs, network(), NAMES)
    layers = dict(zip(NAMES, prunable_layers(network()), strict=True))
    assert torch.equal(mask["layer1.0.weight"], layer_support(one, layers["layer1.0.weight"]))
    assert torch.equal(mask["fc.weight"], layer_support(two, layers["fc.weight"]))
    assert mask["layer1.1.weight"].all()  # no graph
    assert mask["conv1.weight"].all()  # too narrow for its graph


def test_one_graph_for_each_layer_is_one_graph_for_all():
    graph = graph_of(8, 6)
    one = support_mask(graph, network(), NAMES)
    assert support_mask(dict.fromkeys(NAMES, graph), network(), NAMES) == one


@given(st.integers(0, 999), st.integers(2, 12))
def test_perceptrons_get_the_graphs_masks(seed, nodes):
    graph, model = graph_of(nodes, seed), mlp([20, 16, 12, 10])
    mask = support_mask(graph, model, choose_layers(model, "all"))
    for name in choose_layers(model, "all"):
        shape = model.get_parameter(name).shape
        narrow = min(shape) < nodes
        assert torch.equal(
            mask[name],
            torch.ones(shape).bool() if narrow else graph_to_mask(graph, *shape),
        )


def test_supports_that_fit_nothing_are_refused():
    model = network()
    with pytest.raises(GraphError, match=r"'fc.weight': 13 nodes do not fit a layer of 10 outputs"):
        support_mask(graph_of(13, 0), model, NAMES)
    with pytest.raises(GraphError, match=r"'conv1.weight': 5 nodes do not fit .* 3 inputs"):
        support_mask({"conv1.weight": graph_of(5, 0)}, model, NAMES)
    with pytest.raises(MaskError, match=r"a support for .fc.bias., which is not a layer to prune"):
        support_mask({"fc.bias": graph_of(5, 0)}, model, NAMES)
    with pytest.raises(MaskError, match=r"a support for .fc.weight., which is not"):
        support_mask({"fc.weight": graph_of(5, 0)}, model, NAMES[:-1])
    with pytest.raises(MaskError, match=r"fits none of the layers .*\(8, 3, 3, 3\)"):
        support_mask({}, model, NAMES)
    with pytest.raises(GraphError, match=r"9 nodes do not fit a layer of 8 outputs and 8 inputs"):
        layer_support(graph_of(9, 0), prunable_layers(model)[1])


def test_a_mask_is_a_mask_and_not_graphs():
    layer = torch.rand(10, 12, generator=torch.Generator().manual_seed(0)) < 0.5
    for support in (layer, Mask({"fc.weight": layer})):
        mask = support_mask(support, network(), NAMES)
        assert torch.equal(mask["fc.weight"], layer)
        assert mask["conv1.weight"].all()


def test_groups_of_layers():
    layers = prunable_layers(network())
    assert [layer.name for layer in layers] == list(NAMES)
    assert share_groups(layers, "model") == {"model": layers}
    assert share_groups(layers, "stage") == {
        "conv1": layers[:1],
        "layer1": layers[1:3],
        "fc": layers[3:],
    }
    assert share_groups(layers, "layer") == {layer.name: (layer,) for layer in layers}
    with pytest.raises(UnknownNameError, match="did you mean stage"):
        share_groups(layers, "stages")
    assert share_groups((), "model") == {}


def test_frozen_layers_keep_their_dimensions():
    # A mask may bound layers that are trained no more; their groups count all the same.
    model = nn.Conv2d(8, 8, 3, groups=8).requires_grad_(False)
    assert support_mask(graph_of(8, 0), model, ("weight",))["weight"].all()
    assert PrunableLayer("w", "", "linear", (4, 3)).inputs == 3
