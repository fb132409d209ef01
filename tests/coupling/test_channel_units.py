"""Channels as units of a mask, against brute force and against channels really removed."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
import torch
from coupled_models import magnitudes, names
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bogp.coupling import channel_units, couplings
from bogp.errors import MaskError, SettingError, SparsityError, UnknownNameError
from bogp.masks import Mask, complete_mask

seeds = st.integers(0, 10_000)


def perceptron(sizes: list[int], seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.Sigmoid()]
        return nn.Sequential(*layers[:-1])


def brute_force(model: nn.Sequential, kept: int, scope: str) -> tuple[int, list[list[int]]]:
    """The nearest number of weights, and the hidden units of each width that stay, best first."""
    weights = [module.weight.detach().double() for module in model if hasattr(module, "weight")]
    ranked = []
    for layer, (down, up) in enumerate(pairwise(weights)):
        for unit in range(len(down)):
            score = (down[unit].square().mean() * up[:, unit].square().mean()).sqrt()
            ranked.append((float(score), layer, unit))
    ranked.sort(reverse=True)
    widths = [[unit for _, at, unit in ranked if at == layer] for layer in range(len(weights) - 1)]
    heads = [(1.0, layer, units[0]) for layer, units in enumerate(widths)]
    if scope == "uniform":
        order = [
            (-(place + 0.5) / len(units), layer, unit)
            for layer, units in enumerate(widths)
            for place, unit in enumerate(units)
        ]
        ranked = sorted(order, reverse=True)
    path = heads + [each for each in ranked if each[1:] not in [head[1:] for head in heads]]
    best: tuple[int, list[list[int]]] = (10**9, [])
    for count in range(len(heads), len(path) + 1):
        stay = [
            [unit for _, at, unit in path[:count] if at == layer] for layer in range(len(heads))
        ]
        sizes = [weights[0].shape[1], *(len(units) for units in stay), len(weights[-1])]
        total = sum(a * b for a, b in pairwise(sizes))
        if abs(total - kept) < abs(best[0] - kept):
            best = total, stay
    return best


@given(
    sizes=st.lists(st.integers(1, 7), min_size=3, max_size=5),
    seed=seeds,
    share=st.floats(0.0, 1.0),
    scope=st.sampled_from(["global", "uniform"]),
)
@settings(max_examples=60)
def test_the_nearest_count_that_whole_channels_give(
    sizes: list[int], seed: int, share: float, scope: str
) -> None:
    model = perceptron(sizes, seed)
    support = complete_mask(model, names(model))
    kept = round(share * support.total)
    units = channel_units(model, names(model), torch.zeros(1, sizes[0]))
    mask = units.choose(magnitudes(model), kept, scope=scope, support=support, seed=seed)
    best, _ = brute_force(model, kept, scope)
    # Widths of one size come back in an order that the seed draws, so the counts may differ by it.
    if scope == "global" or len({*sizes[1:-1]}) == len(sizes) - 2:
        assert abs(mask.kept - kept) == abs(best - kept)
    for down, up in pairwise(mask.values()):
        stays = down.any(1)
        assert stays.any()
        assert torch.equal(stays, up.any(0))
    outer = [torch.outer(layer.any(1), layer.any(0)) for layer in mask.values()]
    assert all(torch.equal(a, b) for a, b in zip(outer, mask.values(), strict=True))


def test_channels_of_a_network_worked_out_by_hand() -> None:
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False))
    scores = {
        "0.weight": torch.tensor([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]]),  # 25 : 1 : 100 in squares
        "2.weight": torch.tensor([[3.0, 9.0, 1.0]]),  # so the products are 15 : 9 : 10
    }
    units = channel_units(model, tuple(scores), torch.zeros(1, 2))
    support = complete_mask(model, tuple(scores))
    for kept, stay in ((0, [0]), (4, [0]), (5, [0, 2]), (6, [0, 2]), (7, [0, 2]), (8, [0, 1, 2])):
        mask = units.choose(scores, kept, scope="global", support=support, seed=0)
        assert mask["2.weight"][0].nonzero().flatten().tolist() == stay, kept
        assert mask["0.weight"].tolist() == [[row in stay] * 2 for row in range(3)]


class Small(nn.Module):
    """Convolution, pooling, flattening, linear layers: a LeNet of few channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.hidden, self.out = nn.Linear(12, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.conv(x).relu(), 2).flatten(1)
        out: Tensor = self.out(self.hidden(x).relu())
        return out


def test_a_flattened_channel_goes_with_all_its_places() -> None:
    model = Small()
    group = couplings(model, torch.zeros(1, 1, 4, 4)).groups[0]
    places = {(each.parameter, each.axis): each.positions.tolist() for each in group.members}
    assert places == {
        ("conv.weight", 0): [[0], [1], [2]],
        ("conv.bias", 0): [[0], [1], [2]],
        ("hidden.weight", 1): [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]],
    }
    units = channel_units(model, names(model), torch.zeros(1, 1, 4, 4))
    scores = {name: torch.ones_like(value) for name, value in magnitudes(model).items()}
    scores["conv.weight"][1] = 0.5
    support = complete_mask(model, names(model))
    # Two channels and all four hidden units: 18 + 32 + 8.
    mask = units.choose(scores, 58, scope="global", support=support, seed=0)
    assert mask.kept == 58
    assert mask["hidden.weight"].any(0).tolist() == [True] * 4 + [False] * 4 + [True] * 4


def test_channels_that_left_stay_away_and_the_support_bounds_what_stays() -> None:
    model = perceptron([6, 8, 8, 3])
    units = channel_units(model, names(model), torch.zeros(1, 6))
    generator = torch.Generator().manual_seed(3)
    support = complete_mask(model, names(model))
    inside = Mask(
        {
            name: torch.rand(layer.shape, generator=generator) < 0.7
            for name, layer in support.items()
        }
    )
    mask = inside
    for kept in (80, 50, 30, 10):
        scores = {
            name: torch.rand(layer.shape, generator=generator) for name, layer in mask.items()
        }
        for scope in ("uniform", "global"):
            smaller = units.choose(scores, kept, scope=scope, support=mask, seed=kept)
            assert all(not (smaller[name] & ~mask[name]).any() for name in mask)
            stays = [smaller[name].any(1) for name in mask]
            gone = [~layer.any(1) for layer in mask.values()]
            assert not any((a & b).any() for a, b in zip(stays, gone, strict=True))
        mask = smaller
    assert units.choose(scores, mask.kept, scope="global", support=mask, seed=0) == mask


def test_equal_channels_are_drawn_by_the_seed() -> None:
    model = perceptron([4, 20, 2])
    units = channel_units(model, names(model), torch.zeros(1, 4))
    support = complete_mask(model, names(model))
    scores = {name: torch.ones(layer.shape) for name, layer in support.items()}
    drawn = [
        pickle.loads(pickle.dumps(units)).choose(
            scores, 60, scope="uniform", support=support, seed=seed
        )
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {mask.kept for mask in drawn} == {60}


def test_widths_are_held_to_multiples() -> None:
    model = perceptron([5, 20, 16, 3])
    units = channel_units(model, names(model), torch.zeros(1, 5), multiple=8)
    support = complete_mask(model, names(model))
    seen = set()
    for kept in range(0, support.total + 1, 7):
        for scope in ("uniform", "global"):
            mask = units.choose(magnitudes(model), kept, scope=scope, support=support, seed=0)
            seen.add(tuple(int(layer.any(1).sum()) for layer in mask.values())[:2])
    assert {a for a, _ in seen} == {8, 16, 20}
    assert {b for _, b in seen} == {8, 16}


def test_what_cannot_be_done_is_one_sentence() -> None:
    model = perceptron([4, 6, 5, 2])
    example = torch.zeros(1, 4)
    with pytest.raises(MaskError, match=r"does not name '2\.weight', which reads channels of '0"):
        channel_units(model, ["0.weight"], example)
    with pytest.raises(MaskError, match=r"cannot be run on the example"):
        channel_units(model, names(model), torch.zeros(1, 3))
    with pytest.raises(SettingError, match="multiple = 0 of channels is below 1"):
        channel_units(model, names(model), example, multiple=0)
    units = channel_units(model, ["0.weight", "2.weight"], example)
    assert [group.size for group in units.groups] == [6]
    scores, support = magnitudes(model), complete_mask(model, names(model))
    with pytest.raises(UnknownNameError, match="scope of channels"):
        units.choose(scores, 9, scope="erk", support=support, seed=0)
    with pytest.raises(SparsityError, match="cannot keep 9999"):
        units.choose(scores, 9999, scope="global", support=support, seed=0)


def test_the_sentence_says_which_call_pins_the_channels_of_a_layer() -> None:
    class Sorts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.end = nn.Linear(3, 6), nn.Linear(6, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.end(self.b(torch.sort(self.a(x)).values).relu())
            return out

    found = couplings(Sorts(), torch.zeros(1, 3))
    assert [group.size for group in found.groups] == [5]
    assert found.fixed["a"] == "the channels of 'a' stay: a call of sort reads them"
