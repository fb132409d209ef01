"""Compaction against paths counted by hand, and its laws on random masks."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import (
    Attention,
    LeNet,
    ResNet,
    perceptron,
    prune_at_random,
    randomise,
    weights,
)
from torch import Tensor, nn

from bogp.coupling.compaction import LayerSize, compact
from bogp.errors import ExportError
from bogp.masks import Mask, prunable_layers
from bogp.training import model_factory

seeds = st.integers(0, 10_000)
sparsities = st.sampled_from([0.3, 0.7, 0.9, 0.97, 0.995])


def alike(a: nn.Module, b: nn.Module, *shape: int, seed: int = 1) -> None:
    """Both models give the same on inputs that compact has not seen."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        torch.testing.assert_close(b(x), a(x), atol=1e-5, rtol=1e-5)


def check_laws(model: nn.Module, example: Tensor) -> nn.Module:
    """Same outputs, nothing left to remove, parameters counted, the model itself untouched."""
    before = copy.deepcopy(model.state_dict())
    found = compact(model, example)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    alike(model, found.model, 7, *example.shape[1:])
    assert found.parameters_before == weights(model)
    assert found.parameters_after == weights(found.model)
    again = compact(found.model, example)
    assert again.removed == {}
    assert again.parameters_after == found.parameters_after
    return found.model


def live_sizes(model: nn.Sequential) -> list[int]:
    """Units of each width of a perceptron with a path to an input and one to an output."""
    linears = [module for module in model if isinstance(module, nn.Linear)]
    moves = [torch.ones(linears[0].in_features, dtype=torch.bool)]
    for layer in linears:
        moves.append((layer.weight != 0)[:, moves[-1]].any(1))
    moves[-1][:] = True
    read = [torch.ones(linears[-1].out_features, dtype=torch.bool)]
    for layer, live in zip(reversed(linears), reversed(moves[1:]), strict=True):
        read.insert(0, (layer.weight != 0)[read[0] & live].any(0))
    return [max(1, int((a & b).sum())) for a, b in zip(moves, read, strict=True)]


@given(seed=seeds, sparsity=sparsities, act=st.sampled_from([nn.ReLU, nn.Sigmoid, nn.GELU]))
@settings(max_examples=25)
def test_a_perceptron_keeps_just_what_lies_on_a_path(
    seed: int, sparsity: float, act: type[nn.Module]
) -> None:
    sizes = [12, 9, 7, 5, 3]
    model = prune_at_random(randomise(perceptron(sizes, act), seed), sparsity, seed)
    assert isinstance(model, nn.Sequential)
    smaller = check_laws(model, torch.randn(2, 3, 4))
    assert isinstance(smaller, nn.Sequential)
    shapes = [module.weight.shape for module in smaller if hasattr(module, "weight")]
    expected = live_sizes(model)
    assert [shape[1] for shape in shapes] == expected[:-1]
    assert shapes[-1][0] == 3


@given(seed=seeds, sparsity=sparsities)
@settings(max_examples=12)
def test_a_convolutional_network_with_a_written_out_reshape(seed: int, sparsity: float) -> None:
    model = prune_at_random(randomise(LeNet(), seed), sparsity, seed)
    smaller = check_laws(model, torch.randn(2, 1, 16, 16))
    reads = smaller.c2.weight.flatten(2).any(2)
    assert bool(reads.any(0).all()) or reads.shape[1] == 1


@given(seed=seeds, sparsity=sparsities, dead=st.integers(0, 5))
@settings(max_examples=8)
def test_a_residual_network_with_batch_norm(seed: int, sparsity: float, dead: int) -> None:
    model = prune_at_random(randomise(ResNet(), seed), sparsity, seed)
    block = model.blocks[0]
    with torch.no_grad():
        block.conv1.weight[dead] = 0.0  # a constant channel
        block.conv2.weight[:, (dead + 1) % 6] = 0.0  # one that nobody reads
    smaller = check_laws(model, torch.randn(2, 2, 6, 6))
    assert weights(smaller) < weights(model)
    assert smaller.blocks[0].conv1.out_channels < 6


@given(seed=seeds, sparsity=sparsities)
@settings(max_examples=6)
def test_hidden_units_of_a_transformer_block(seed: int, sparsity: float) -> None:
    model = prune_at_random(
        randomise(nn.Sequential(Attention(), Attention()), seed), sparsity, seed
    )
    with torch.no_grad():
        model[1].mlp[0].weight[3] = 0.0
    smaller = check_laws(model, torch.randn(2, 5, 8))
    up, down = model[1].mlp[0].weight, model[1].mlp[2].weight
    left = int((up.any(1) & down.any(0)).sum())
    assert smaller[1].mlp[0].out_features == max(1, left) < 16
    assert smaller[1].mlp[2].out_features == 8


def test_a_constant_is_folded_into_the_next_bias() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1))
    state = {
        "0.weight": [[0.0, 0.0], [1.0, 2.0]],
        "0.bias": [0.0, 5.0],
        "2.weight": [[4.0, 3.0]],
        "2.bias": [10.0],
    }
    model.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    found = compact(model, torch.zeros(1, 2))
    assert found.model[0].weight.tolist() == [[1.0, 2.0]]
    assert found.model[2].weight.tolist() == [[3.0]]
    assert found.model[2].bias.tolist() == [12.0]  # 10 + 4 * sigmoid(0)
    assert found.removed == {"0": LayerSize((2, 2), (2, 1)), "2": LayerSize((2, 1), (1, 1))}
    assert (found.parameters_before, found.parameters_after) == (9, 5)


def test_a_layer_without_a_bias_gets_one_where_a_constant_goes_there() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0], [1.0]]))
        model[0].bias.copy_(torch.tensor([3.0, 0.0]))
        model[1].weight.copy_(torch.tensor([[2.0, 1.0]]))
    found = compact(model, torch.zeros(1, 1))
    assert found.model[1].bias.tolist() == [6.0]


def convolutions(padding: int, bias: float) -> nn.Sequential:
    """Two convolutions; channel 1 of the first is the constant ``bias``."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=padding))
    randomise(model, 0)
    with torch.no_grad():
        model[0].weight[1] = 0.0
        model[0].bias.copy_(torch.tensor([0.3, bias]))
    return model


@pytest.mark.parametrize(
    ("padding", "bias", "left"), [(0, 0.7, 1), (1, 0.7, 2), (1, -0.7, 1), (1, 0.0, 1)]
)
def test_a_constant_stays_where_zeros_are_put_around_it(
    padding: int, bias: float, left: int
) -> None:
    model = convolutions(padding, bias)
    smaller = check_laws(model, torch.randn(2, 1, 6, 6))
    assert smaller[0].out_channels == left


def test_of_several_constants_before_a_padded_convolution_one_stays() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 3, 3, padding=1, stride=2))
    randomise(model, 3)
    with torch.no_grad():
        model[0].weight[1:] = 0.0
        model[0].bias[1:] = torch.tensor([0.5, -2.0, 1.0])
    smaller = check_laws(model, torch.randn(2, 1, 7, 7))
    assert smaller[0].bias.tolist() == pytest.approx([model[0].bias[0].item(), -2.0])


def test_a_constant_before_a_norm_moves_its_running_mean() -> None:
    model = nn.Sequential(
        nn.Linear(1, 2), nn.Linear(2, 3, bias=False), nn.BatchNorm1d(3), nn.ReLU()
    )
    randomise(model, 5)
    with torch.no_grad():
        model[0].weight[0] = 0.0
    smaller = check_laws(model, torch.randn(4, 1))
    assert smaller[1].bias is None
    moved = model[2].running_mean - smaller[2].running_mean
    torch.testing.assert_close(moved, (model[1].weight[:, 0] * model[0].bias[0]).detach())


def test_a_norm_of_gain_zero_makes_a_constant() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    randomise(model, 6)
    with torch.no_grad():
        model[1].weight[2] = 0.0
        model[1].bias[2] = 1.5
    smaller = check_laws(model, torch.randn(4, 3))
    assert smaller[0].out_features == smaller[1].num_features == 3


def test_a_residual_channel_goes_only_if_all_who_write_it_are_unread() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)
            self.side, self.end = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.a(x)
            return self.end(torch.relu(x + torch.relu(self.b(x)))), self.side(x)

    model = randomise(Residual(), 2)
    with torch.no_grad():
        model.end.weight[:, :2] = 0.0
        model.b.weight[:, :2] = 0.0
        model.side.weight[:, 1] = 0.0
    found = compact(model, torch.randn(2, 3))
    # Channel 0 is read by `side` before the addition, 1 by nobody: b loses what a loses.
    assert found.model.a.out_features == 3
    assert found.model.b.weight.shape == (3, 3)
    assert found.model.side.weight.shape == (2, 3)


def test_channels_that_only_read_themselves_are_dead() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.hidden = nn.Linear(3, 2), nn.Linear(2, 2)
            self.back, self.end = nn.Linear(2, 2), nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x = x + self.back(torch.relu(self.hidden(x)))
            return self.end(x)

    model = randomise(Loop(), 4)
    with torch.no_grad():
        for layer in (model.hidden, model.back):  # channel 1 writes and reads channel 1 alone
            layer.weight.copy_(torch.eye(2))
        model.end.weight[0, 1] = 0.0
    found = compact(model, torch.randn(2, 3))
    assert [found.model.stem.out_features, found.model.hidden.out_features] == [1, 1]


def test_concatenated_branches_lose_their_own_channels() -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 4, 1)
            self.end = nn.Conv2d(7, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.end(torch.cat([self.a(x), self.b(x)], 1))

    model = randomise(Fork(), 8)
    with torch.no_grad():
        model.end.weight[:, [1, 4, 5]] = 0.0
    found = compact(model, torch.randn(2, 1, 4, 4))
    alike(model, found.model, 3, 1, 5, 5)
    assert (found.model.a.out_channels, found.model.b.out_channels) == (2, 2)
    assert found.model.end.in_channels == 4


def test_a_depthwise_channel_goes_with_its_partner_and_all_groups_lose_the_same() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 1),
        nn.Conv2d(4, 8, 3, padding=1, groups=4),
        nn.PReLU(8),
        nn.Conv2d(8, 4, 1),
        nn.Conv2d(4, 4, 3, groups=2),
    )
    randomise(model, 9)
    with torch.no_grad():
        model[3].weight[:, 2:4] = 0.0  # both outputs of depthwise channel 1
        model[3].weight[:, 4] = 0.0  # one of two of channel 2, which stays
        model[4].weight[:, 0] = 0.0  # the first input of each group
    smaller = check_laws(model, torch.randn(2, 2, 6, 6))
    depthwise = smaller[1]
    assert (depthwise.in_channels, depthwise.out_channels, depthwise.groups) == (3, 6, 3)
    assert smaller[2].num_parameters == 6
    assert smaller[3].weight.shape[:2] == (2, 6)
    assert smaller[4].weight.shape[:2] == (4, 1)


@pytest.mark.parametrize("offset", [0, 4])
def test_a_shortcut_that_slices_and_pads_with_channels(offset: int) -> None:
    class Widens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.wide = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 8, 3, stride=2, padding=1)
            self.end = nn.Conv2d(8, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            around = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, offset, 4 - offset))
            return self.end(self.wide(x) + around)

    model = randomise(Widens(), 20)
    with torch.no_grad():
        model.end.weight[:, [offset, offset + 2, (offset + 5) % 8]] = 0.0
        model.wide.weight[:, :2] = 0.0
    smaller = check_laws(model, torch.randn(2, 1, 6, 6))
    # Channel 0 of the stem is read by nobody, 2 by `wide`, which loses an added channel too.
    assert smaller.stem.out_channels == 3
    assert smaller.wide.weight.shape[:2] == (6, 3)


def test_sliced_channels_stay() -> None:
    class Splits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.end = nn.Linear(3, 6), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.end(x[:, :3] * x[:, 3:])

    model = randomise(Splits(), 22)
    with torch.no_grad():
        model.a.weight[1] = 0.0
        model.end.weight[:, 1] = 0.0
    found = compact(model, torch.randn(2, 3))
    alike(model, found.model, 4, 3)
    assert found.removed == {}


@pytest.mark.parametrize(
    ("spec", "shape", "lost"),
    [
        ("lenet-5", (28, 28), "conv1"),
        ("resnet-8", (12, 12), "layer1.0.conv2"),
        ("vit", (28, 28), "blocks.1.mlp.2"),
        ("gpt", (8,), "blocks.1.mlp.2"),
    ],
)
def test_bogps_own_models_can_all_be_looked_into(
    spec: str, shape: tuple[int, ...], lost: str
) -> None:
    model = model_factory(spec, shape, 10)().eval()
    generator = torch.Generator().manual_seed(21)
    layers = {}
    for layer in prunable_layers(model):
        layers[layer.name] = torch.rand(layer.shape, generator=generator) < 0.3
        layers[layer.name][::3] = False
    example = torch.randint(0, 10, (2, *shape)) if spec == "gpt" else torch.rand(2, *shape)
    found = compact(model, example, Mask(layers))
    assert found.note == ""
    assert lost in found.removed
    assert compact(found.model, example).removed == {}


def test_average_pooling_and_one_dimension() -> None:
    model = nn.Sequential(
        nn.Conv1d(2, 5, 3),
        nn.Tanh(),
        nn.AvgPool1d(2),
        nn.Conv1d(5, 4, 3, padding="same"),
        nn.AdaptiveAvgPool1d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8, 3),
    )
    randomise(model, 10)
    with torch.no_grad():
        model[0].weight[1] = 0.0
        model[3].weight[:, 2] = 0.0
        model[3].weight[0] = 0.0
    smaller = check_laws(model, torch.randn(2, 2, 12))
    assert smaller[0].out_channels == 4  # the constant one stands before a padded convolution
    assert smaller[3].out_channels == 3
    assert smaller[7].in_features == 6


def test_a_mask_prunes_before() -> None:
    model = randomise(perceptron([6, 5, 3]), 11)
    layer = torch.ones(5, 6, dtype=torch.bool)
    layer[2] = False
    layer[:, 4] = False
    found = compact(model, torch.randn(2, 6), Mask({"1.weight": layer}))
    assert found.removed["1"] == LayerSize((6, 5), (5, 4))
    masked = copy.deepcopy(model)
    masked[1].weight.data.mul_(layer)
    alike(masked, found.model, 4, 6)


def test_a_whole_layer_of_dead_units_keeps_one() -> None:
    model = randomise(perceptron([6, 5, 4, 3]), 12)
    with torch.no_grad():
        model[3].weight.zero_()
    smaller = check_laws(model, torch.randn(2, 6))
    assert [smaller[i].weight.shape for i in (1, 3, 5)] == [(1, 1), (1, 1), (3, 1)]


def test_the_one_unit_that_a_constant_layer_keeps_is_not_counted_twice() -> None:
    model = randomise(perceptron([6, 5, 3], nn.Sigmoid), 12)
    with torch.no_grad():
        model[1].weight.zero_()
    smaller = check_laws(model, torch.randn(2, 6))
    assert smaller[1].weight.shape == (1, 1)
    assert smaller[3].weight.tolist() == [[0.0]] * 3
    torch.testing.assert_close(smaller[3].bias, model(torch.zeros(1, 6))[0])


def test_tied_and_repeated_layers_stay_whole() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight
            self.again, self.end = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.b(torch.relu(self.a(x))))
            return self.end(self.again(torch.relu(self.again(x))))

    model = randomise(Tied(), 13)
    with torch.no_grad():
        model.a.weight[1] = 0.0
        model.again.weight[2] = 0.0
        model.end.weight[:, 3] = 0.0
    found = compact(model, torch.randn(2, 4))
    alike(model, found.model, 5, 4)
    assert found.removed == {}


def test_an_overwritten_tensor_is_not_taken_for_what_it_was() -> None:
    class Overwrites(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.end = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            y = nn.functional.relu(x, inplace=True)
            return self.end(x) + self.b(y)

    model = randomise(Overwrites(), 14)
    with torch.no_grad():
        model.a.weight[0] = 0.0
        model.a.bias[0] = -1.0
    found = compact(model, torch.randn(2, 3))
    alike(model, found.model, 4, 3)


def test_sizes_asked_for_pin_the_channels_they_speak_of() -> None:
    class Asks(nn.Module):
        def __init__(self, which: int) -> None:
            super().__init__()
            self.a, self.end, self.which = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1), which

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.end(x) / x.shape[self.which]

    for which, left in ((1, 4), (2, 3), (-1, 3), (-3, 4)):
        model = randomise(Asks(which), 15)
        with torch.no_grad():
            model.end.weight[:, 1] = 0.0
        found = compact(model, torch.randn(2, 1, 3, 5))
        alike(model, found.model, 2, 1, 3, 5)
        assert found.model.a.out_channels == left, which


def test_what_torch_fx_cannot_follow_is_opened_and_named() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = perceptron([4, 6, 4])

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) if bool((x > -9).all()) else x

    model = nn.Sequential(nn.Linear(3, 4), Branches(), nn.Linear(4, 2))
    randomise(model, 16)
    with torch.no_grad():
        model[0].weight[0] = 0.0
        model[1].inner[1].weight[[1, 2]] = 0.0
    found = compact(model, torch.randn(2, 3))
    alike(model, found.model, 3, 3)
    assert found.note.startswith("torch.fx cannot follow 1: ")
    assert found.removed == {
        "1.inner.1": LayerSize((4, 6), (4, 4)),
        "1.inner.3": LayerSize((6, 4), (4, 4)),
    }
    alone = compact(model[1], torch.randn(2, 4))
    assert alone.note.startswith("torch.fx cannot follow the model itself: ")
    assert alone.removed["inner.1"] == LayerSize((4, 6), (4, 4))


def test_an_argument_left_to_its_default_is_not_traced() -> None:
    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = perceptron([4, 6, 3])

        def forward(self, x: Tensor, targets: Tensor | None = None) -> Tensor:
            out = self.net(x)
            return out if targets is None else nn.functional.cross_entropy(out, targets)

    model = randomise(Loss(), 17)
    with torch.no_grad():
        model.net[1].weight[0] = 0.0
    found = compact(model, torch.randn(2, 4))
    assert found.note == ""
    assert found.model.net[1].out_features == 5
    targets = torch.tensor([0, 2])
    x = torch.randn(2, 4)
    torch.testing.assert_close(found.model(x, targets), model(x, targets))


def test_torchs_pruned_modules_are_read_through_their_hooks() -> None:
    from torch.nn.utils import prune

    model = randomise(perceptron([4, 6, 3]), 18)
    mask = torch.ones(6, 4)
    mask[[0, 5]] = 0.0
    prune.custom_from_mask(model[1], "weight", mask)
    model(torch.randn(1, 4))
    found = compact(model, torch.randn(2, 4))
    assert found.model[1].out_features == 4
    assert dict(model.named_buffers())["1.weight_mask"] is not None
    alike(model, found.model, 3, 4)


def test_a_wrong_model_is_an_error() -> None:
    class Peeks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = perceptron([4, 6, 3])

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.net[2](self.net[1](x))
            return self.net[3](hidden) + self.net[1].out_features

    model = randomise(Peeks(), 19)
    with torch.no_grad():
        model.net[1].weight[0] = 0.0
    with pytest.raises(ExportError, match=r"outputs differ by .*, more than 1e-05"):
        compact(model, torch.randn(2, 4))


def test_bad_examples_and_weights_are_one_sentence() -> None:
    model = perceptron([4, 6, 3])
    with pytest.raises(ExportError, match=r"cannot be run on the example of shape \(2, 5\)"):
        compact(model, torch.randn(2, 5))
    with pytest.raises(ExportError, match="the example is empty"):
        compact(model, torch.randn(0, 4))
    model[1].bias.data[0] = float("nan")
    with pytest.raises(ExportError, match=r"'1.bias' holds NaN"):
        compact(model, torch.randn(2, 4))
