"""The networks that come with bogp: sizes in closed form, what they compute, what they learn."""

import pytest
import torch
from torch import fx, nn

import bogp
from bogp.errors import SettingError, UnknownNameError
from bogp.masks import choose_layers
from bogp.training import (
    Recipe,
    evaluate,
    gpt,
    initialise,
    lenet_5,
    lenet_300_100,
    model_factory,
    resnet,
    train,
    vit,
)
from bogp.training.zoo.resnet import Residual


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def images(shape, number=3):
    return torch.rand(number, *shape, generator=torch.Generator().manual_seed(0))


SHAPES = [(8, 8), (1, 8, 8), (28, 28), (3, 32, 32), (2, 11, 14)]


@pytest.mark.parametrize("shape", SHAPES)
def test_lenets(shape):
    features = torch.Size(shape).numel()
    model = lenet_300_100(features, 7)
    assert model(images(shape)).shape == (3, 7)
    assert count(model) == 300 * (features + 1) + 100 * 301 + 7 * 101
    model = lenet_5(shape, 7)
    assert model(images(shape)).shape == (3, 7)
    channels = shape[0] if len(shape) == 3 else 1
    # What is left of the last maps, worked out by hand for each shape.
    left = {8: 2 * 2, 28: 5 * 5, 32: 5 * 5, 14: 2 * 3}[shape[-1]]
    linear = 120 * (16 * left + 1) + 84 * 121 + 7 * 85
    assert count(model) == 6 * (25 * channels + 1) + 16 * 151 + linear


@pytest.mark.parametrize("shape", [*SHAPES, (4, 5)])
@pytest.mark.parametrize(("depth", "width"), [(8, 4), (20, 3)])
def test_resnets(shape, depth, width):
    model = resnet(depth, shape, 7, width).eval()
    assert model(images(shape)).shape == (3, 7)
    channels, blocks = shape[0] if len(shape) == 3 else 1, (depth - 2) // 6
    weights = 9 * channels * width + 2 * width + 7 * (4 * width + 1)
    for fan_in, fan_out in ((width, width), (width, 2 * width), (2 * width, 4 * width)):
        weights += 9 * fan_out * (fan_in + (2 * blocks - 1) * fan_out) + 2 * fan_out * 2 * blocks
    assert count(model) == weights
    weighted = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth
    assert "layer1.0.conv1.weight" in choose_layers(model, "all")


def test_the_paper_s_resnets_have_its_numbers_of_parameters():
    # He et al. 2016, table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 million.
    for depth, millions in ((20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7")):
        assert f"{count(resnet(depth, (3, 32, 32), 10)) / 1e6:.2g}" == millions


def test_the_shortcut_is_the_input_with_every_other_place_and_further_channels_of_zeros():
    block, inputs = Residual(2, 4).eval(), torch.randn(3, 2, 5, 6)
    nn.init.zeros_(block.bn2.weight)
    found = block(inputs)
    assert torch.equal(found[:, :2], inputs[:, :, ::2, ::2].relu())
    assert not found[:, 2:].any()


@pytest.mark.parametrize("attention", ["separate", "packed"])
@pytest.mark.parametrize("pool", ["mean", "token"])
def test_vision_transformers(attention, pool):
    sizes = {"width": 12, "depth": 3, "heads": 3, "ratio": 5, "patch": 4}
    model = vit((2, 8, 12), 7, attention=attention, pool=pool, **sizes)
    assert model(images((2, 8, 12))).shape == (3, 7)
    tokens = 6 + (pool == "token")
    weights = 12 * (2 * 16 + 1) + tokens * 12 + (12 if pool == "token" else 0)
    weights += 3 * block_parameters(12, 5) + 2 * 12 + 7 * 13
    assert count(model) == weights
    assert vit((28, 28), 7).patches.kernel_size == (7, 7)


def block_parameters(width, ratio):
    return 4 * width + 4 * width * (width + 1) + 2 * ratio * width**2 + (ratio + 1) * width


@pytest.mark.parametrize("attention", ["separate", "packed"])
@pytest.mark.parametrize("tied", [True, False])
def test_language_models(attention, tied):
    sizes = {"width": 12, "depth": 2, "heads": 3, "ratio": 5}
    model = gpt(20, 9, attention=attention, tied=tied, **sizes)
    tokens = torch.randint(0, 20, (3, 9))
    assert model(tokens).shape == (3, 9, 20)
    weights = (20 + 9) * 12 + 2 * block_parameters(12, 5) + 2 * 12 + (0 if tied else 240)
    assert count(model) == weights
    # What is said up to a position does not depend on what comes after it.
    other = tokens.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 20
    same, changed = model(tokens), model(other)
    torch.testing.assert_close(same[:, :5], changed[:, :5])
    assert not torch.allclose(same[:, 5:], changed[:, 5:])
    torch.testing.assert_close(model(tokens[:, :4]), same[:, :4])


@pytest.mark.parametrize("make", [lambda **a: vit((8, 8), 7, **a), lambda **a: gpt(20, 9, **a)])
def test_separate_projections_compute_what_torch_s_attention_does(make):
    one, two = make(attention="separate").double(), make(attention="packed").double()
    state = dict(one.state_dict())
    for name in list(state):
        prefix, _, last = name.rpartition(".q.")
        if prefix:
            parts = [state.pop(f"{prefix}.{part}.{last}") for part in "qkv"]
            state[f"{prefix}.in_proj_{last}"] = torch.cat(parts)
            state[f"{prefix}.out_proj.{last}"] = state.pop(f"{prefix}.o.{last}")
    two.load_state_dict(state)
    tokens = torch.randint(0, 20, (3, 9))
    inputs = tokens if "token.weight" in state else images((8, 8)).double()
    torch.testing.assert_close(one(inputs), two(inputs))
    torch.testing.assert_close(one.eval()(inputs), two.eval()(inputs))


SMALL = {
    "lenet-5": ((8, 8), 10),
    "resnet-8:width=4": ((8, 8), 10),
    "vit": ((8, 8), 10),
    "vit:attention=packed,pool=token": ((8, 8), 10),
    "gpt": ((9,), 20),
    "gpt:attention=packed": ((9,), 20),
}


def example(shape, classes):
    return images(shape) if len(shape) > 1 else torch.randint(0, classes, (3, *shape))


@pytest.mark.parametrize("spec", SMALL)
def test_each_is_traced_by_fx_and_exported_for_any_number_of_examples(spec):
    shape, classes = SMALL[spec]
    model = model_factory(spec, shape, classes)().eval()
    inputs = example(shape, classes)
    expected = model(inputs).detach()
    torch.testing.assert_close(fx.symbolic_trace(model)(inputs), expected)
    sizes = ({0: torch.export.Dim("examples", min=1)},)
    program = torch.export.export(model, (inputs,), dynamic_shapes=sizes).module()
    twice = torch.cat([inputs, inputs])
    torch.testing.assert_close(program(twice), model(twice))


LEARNING = {
    "lenet-300-100": (2, 0.8),
    "lenet-5": (4, 0.7),
    "resnet-8:width=8": (2, 0.8),
    "vit": (3, 0.6),
    "vit:attention=packed,pool=token": (3, 0.6),
}


@pytest.mark.parametrize("spec", LEARNING)
def test_each_learns_the_digits(spec):
    data, (epochs, accuracy) = bogp.load_dataset("digits"), LEARNING[spec]
    model = initialise(model_factory(spec, data.shape, data.classes), 0)
    recipe = Recipe(learning_rate=0.003, batch_size=25, epochs=epochs)
    found = train(model, data.train_inputs[:900], data.train_targets[:900], recipe, seed=0)
    metrics = evaluate(found.model, data.test_inputs, data.test_targets)
    assert metrics.accuracy > accuracy


@pytest.mark.parametrize("spec", ["gpt", "gpt:attention=packed"])
def test_each_language_model_learns_what_comes_next(spec):
    tokens = [torch.randint(0, 11, (300,), generator=torch.Generator().manual_seed(0))]
    for _ in range(12):
        tokens.append((3 * tokens[-1] + 2) % 11)
    sequences = torch.stack(tokens, 1)
    inputs, targets = sequences[:, :-1], sequences[:, 1:]
    model = initialise(model_factory(spec, (12,), 11), 0)
    recipe = Recipe(learning_rate=0.01, batch_size=25, epochs=3)
    found = train(model, inputs[:250], targets[:250], recipe, seed=0)
    metrics = evaluate(found.model, inputs[250:], targets[250:])
    assert metrics.count == 50 * 12
    assert metrics.accuracy > 0.95


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: lenet_5((7, 8), 10), "lenet-5 cannot take images of 7 x 8: it needs 8 x 8"),
        (lambda: lenet_5((64,), 10), r"lenet-5 cannot take inputs of shape \(64,\)"),
        (lambda: lenet_5((8, 8), 0), "classes = 0 is below 1"),
        (lambda: resnet(9, (8, 8), 10), r"depth 9 cannot be: give 6n \+ 2"),
        (lambda: resnet(2, (8, 8), 10), "depth 2 cannot be"),
        (lambda: resnet(8, (8, 8), 10, width=0), "width = 0 is below 1"),
        (lambda: resnet(8, (3, 8, 8, 8), 10), r"resnet-8 cannot take .* \(3, 8, 8, 8\)"),
        (lambda: vit((8, 8), 10, patch=3), "8 x 8 do not divide into patches of 3 x 3"),
        (lambda: vit((8, 8), 10, width=30), "width 30 is not divisible by 4 heads"),
        (lambda: gpt(0, 9), "vocabulary = 0 is below 1"),
        (lambda: gpt(9, 9, depth=0), "depth = 0 is below 1"),
    ],
)
def test_sizes_that_cannot_be(make, sentence):
    with pytest.raises(SettingError, match=sentence):
        make()


def test_unknown_words():
    with pytest.raises(UnknownNameError, match="unknown attention 'pack'"):
        gpt(9, 9, attention="pack")
    with pytest.raises(UnknownNameError, match="unknown pool 'max'"):
        vit((8, 8), 10, pool="max")
