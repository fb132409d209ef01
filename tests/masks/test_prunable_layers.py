"""Which weights are prunable, of which kind and stage, and which are chosen."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from bogp.errors import MaskError, UnknownNameError
from bogp.masks import KINDS, choose_layers, prunable_layers
from bogp.training import mlp


class Tied(nn.Module):
    """A language model's head that is its embedding, and two linear layers of one weight."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(7, 4)
        self.position = nn.Parameter(torch.zeros(1, 5, 4))
        self.one = nn.Linear(4, 4)
        self.norm = nn.LayerNorm((5, 4))  # a norm whose weight has two dimensions
        self.two = nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.tokens.weight


def names(model):
    return [layer.name for layer in prunable_layers(model)]


def everything():
    return nn.Sequential(
        nn.Conv1d(4, 6, 5),
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv3d(2, 3, (1, 2, 3)),
        nn.ConvTranspose2d(4, 4, 3),
        nn.BatchNorm2d(4),
        nn.MultiheadAttention(8, 2),
        nn.MultiheadAttention(8, 2, kdim=6, vdim=5),
        nn.LSTM(4, 4),
        nn.Bilinear(2, 3, 4),
        nn.Linear(4, 3),
    )


def test_every_kind_is_found_with_what_its_dimensions_mean():
    found = {
        layer.name: (layer.kind, layer.shape, layer.groups, layer.parts)
        for layer in prunable_layers(everything())
    }
    assert found == {
        "0.weight": ("conv1d", (6, 4, 5), 1, 1),
        "1.weight": ("conv2d", (8, 2, 3, 3), 2, 1),
        "2.weight": ("conv3d", (3, 2, 1, 2, 3), 1, 1),
        "5.in_proj_weight": ("attention", (24, 8), 1, 3),
        "5.out_proj.weight": ("linear", (8, 8), 1, 1),
        "6.q_proj_weight": ("attention", (8, 8), 1, 1),
        "6.k_proj_weight": ("attention", (8, 6), 1, 1),
        "6.v_proj_weight": ("attention", (8, 5), 1, 1),
        "6.out_proj.weight": ("linear", (8, 8), 1, 1),
        "9.weight": ("linear", (3, 4), 1, 1),
    }
    assert {kind for kind, *_ in found.values()} == set(KINDS)


def test_the_order_and_the_numbers_are_the_parameters():
    model = everything()
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert names(model) == [name for name in shapes if name in names(model)]
    for layer in prunable_layers(model):
        assert layer.shape == shapes[layer.name]
        assert layer.weights == model.get_parameter(layer.name).numel()
        assert layer.name.startswith(layer.module + ".")


def test_real_inputs_and_outputs():
    layers = {layer.name: layer for layer in prunable_layers(everything())}
    widths = {name: (layer.outputs, layer.inputs) for name, layer in layers.items()}
    assert widths["1.weight"] == (8, 4)
    assert widths["5.in_proj_weight"] == (8, 8)
    assert widths["6.v_proj_weight"] == (8, 5)


def test_tied_weights_count_once_and_embeddings_not_at_all():
    assert names(Tied()) == ["one.weight"]
    shared = nn.Linear(3, 3)
    assert names(nn.Sequential(shared, nn.ReLU(), shared)) == ["0.weight"]


def test_frozen_weights_are_left_out():
    model = mlp([6, 5, 4, 3])
    model[3].weight.requires_grad_(False)
    assert names(model) == ["1.weight", "5.weight"]
    with pytest.raises(MaskError, match=r"'3.weight' is frozen"):
        choose_layers(model, ["3.weight"])


def block(width=4):
    return nn.ModuleDict({"conv1": nn.Conv2d(width, width, 3), "conv2": nn.Conv2d(width, width, 3)})


def resnet(first="conv1"):
    model = nn.Module()
    model.add_module(first, nn.Conv2d(3, 4, 3))
    for k in (1, 2, 3):
        model.add_module(f"layer{k}", nn.Sequential(block(), block()))
    model.layer2[0]["downsample"] = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    model.fc = nn.Linear(4, 10)
    return model


def gpt(blocks=2):
    model = nn.Module()
    model.wte = nn.Embedding(7, 4)
    parts = {"attn": nn.MultiheadAttention(4, 2), "mlp": nn.Sequential(nn.Linear(4, 8))}
    model.h = nn.ModuleList([nn.ModuleDict(parts) for _ in range(blocks)])
    return model


@pytest.mark.parametrize(
    ("model", "stages"),
    [
        (resnet(), ["conv1", "layer1", "layer2", "layer3", "fc"]),
        (resnet("stem"), ["stem", "layer1", "layer2", "layer3", "fc"]),
        # A wrapper's name says nothing, whatever it ends in.
        (
            nn.ModuleDict({"resnet20": resnet("stem")}),
            [f"resnet20.{name}" for name in ("stem", "layer1", "layer2", "layer3", "fc")],
        ),
        (nn.ModuleDict({"blocks": nn.ModuleList([block(), block()])}), ["blocks.0", "blocks.1"]),
        (nn.ModuleDict({"blocks": nn.ModuleList([block()])}), ["blocks.0"]),
        (nn.ModuleDict({"vit2": nn.ModuleDict({"a": block(), "b": block()})}), None),
        (mlp([6, 5, 4, 3]), ["1", "3", "5"]),
        (nn.Linear(3, 2), ["model"]),
    ],
)
def test_stages(model, stages):
    found = list(dict.fromkeys(layer.stage for layer in prunable_layers(model)))
    expected = stages or [f"vit2.{part}.conv{k}" for part in "ab" for k in (1, 2)]
    assert found == expected


def test_a_transformers_blocks_are_its_stages():
    model = nn.ModuleDict({"transformer": gpt(), "head": nn.Linear(4, 7)})
    # One block's modules stand in both places here: its weights are one, in the first stage.
    assert [layer.stage for layer in prunable_layers(model)] == ["transformer.h.0"] * 3 + ["head"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["conv1", "layer1.0", "layer1.1", "fc1", "fc2"]),
        ({"types": "linear"}, ["fc1", "fc2"]),
        ({"types": ["conv2d", "conv1d"]}, ["conv1", "layer1.0", "layer1.1"]),
        ({"include": "layer1.*"}, ["layer1.0", "layer1.1"]),
        ({"include": ["fc?", "conv1.weight"]}, ["conv1", "fc1", "fc2"]),
        ({"exclude": "*.1"}, ["conv1", "layer1.0", "fc1", "fc2"]),
        ({"skip_first": True}, ["layer1.0", "layer1.1", "fc1", "fc2"]),
        ({"skip_last": True, "types": "linear"}, ["fc1"]),
        ({"layers": "hidden", "skip_last": True}, ["conv1", "layer1.0", "layer1.1", "fc1"]),
        ({"layers": ["fc2.weight", "conv1.weight"]}, ["conv1", "fc2"]),
        ({"layers": ["fc2.weight", "conv1.weight"], "skip_last": True}, ["conv1"]),
    ],
)
def test_choosing(chosen, expected):
    convolutions = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    parts = {"conv1": nn.Conv2d(1, 4, 3), "layer1": convolutions}
    model = nn.ModuleDict(parts | {"fc1": nn.Linear(4, 4), "fc2": nn.Linear(4, 2)})
    assert choose_layers(model, **chosen) == tuple(f"{name}.weight" for name in expected)


def test_choices_that_cannot_be_are_refused_by_name():
    model = mlp([6, 5, 4, 3])
    with pytest.raises(MaskError, match=r"include pattern 'fc\*' matches no layer.*'1.weight'"):
        choose_layers(model, include="fc*")
    with pytest.raises(MaskError, match="exclude pattern 'conv'"):
        choose_layers(model, exclude=["1", "conv"])
    with pytest.raises(UnknownNameError, match="did you mean linear"):
        choose_layers(model, types="Linear")
    with pytest.raises(MaskError, match=r"no layer is left to prune.*'5.weight'"):
        choose_layers(model, types="conv2d")
    with pytest.raises(MaskError, match="no layer is left"):
        choose_layers(nn.Linear(3, 2), skip_first=True)


def test_exact_names_are_checked():
    model = nn.ModuleDict({"tied": Tied(), "last": nn.Linear(4, 2)})
    assert choose_layers(model, ["last.weight", "tied.one.weight"]) == (
        "tied.one.weight",
        "last.weight",
    )
    for wrong, words in {
        "last.wait": "no parameter 'last.wait': it has 'tied.one.weight', 'last.weight'",
        "last.bias": "'last.bias' is not the weight of a layer",
        "tied.two.weight": "'tied.two.weight' is the same weight as 'tied.one.weight'",
        "tied.head.weight": "'tied.head.weight' is not the weight of a layer",
    }.items():
        with pytest.raises(MaskError, match=words):
            choose_layers(model, [wrong])
    with pytest.raises(MaskError, match="no layer is named"):
        choose_layers(model, [])


def test_a_model_with_nothing_to_prune_says_why():
    frozen = mlp([6, 5, 3]).requires_grad_(False)
    with pytest.raises(MaskError, match=r"all of its layers are frozen \('1.weight'"):
        choose_layers(frozen, "all")
    with pytest.raises(MaskError, match="its parameters are of Embedding, LayerNorm; bogp prunes"):
        choose_layers(nn.Sequential(nn.Embedding(4, 3), nn.LayerNorm(3)))
    with pytest.raises(MaskError, match="it has no parameters"):
        choose_layers(nn.ReLU(), "all")


def test_weights_that_are_computed_are_refused_with_the_way_out():
    pruned = prune.l1_unstructured(nn.Linear(4, 3), "weight", amount=0.5)
    with pytest.raises(MaskError, match=r"'0.weight' is pruned by torch.nn.utils.prune already"):
        prunable_layers(nn.Sequential(pruned))
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    with pytest.raises(MaskError, match=r"'0.weight' is computed.*remove_parametrizations"):
        prunable_layers(nn.Sequential(normed))
    parametrize.remove_parametrizations(normed, "weight")
    assert names(normed) == ["weight"]
    with pytest.raises(MaskError, match="'weight' has no shape yet"):
        prunable_layers(nn.LazyLinear(3))
