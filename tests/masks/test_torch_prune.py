"""Masks from and to torch.nn.utils.prune, against torch itself."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from bogp.errors import MaskError
from bogp.masks import Mask, choose_layers, mask_from_torch_prune, with_torch_prune
from bogp.training import mlp


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )


def random_mask(model, seed, dense=0.5):
    generator = torch.Generator().manual_seed(seed)
    return Mask(
        {
            name: torch.rand(model.get_parameter(name).shape, generator=generator) < dense
            for name in choose_layers(model, "all")
        }
    )


def zeros_after_remove(model, names):
    for module in model.modules():
        for hook in list(module._forward_pre_hooks.values()):
            prune.remove(module, hook._tensor_name)
    return {name: model.get_parameter(name) != 0 for name in names}


@pytest.mark.parametrize("seed", range(3))
def test_the_mask_is_what_remove_makes_zero(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = network()
        prune.random_unstructured(model[0], "weight", amount=0.5)
        prune.ln_structured(model[4], "weight", amount=0.25, n=2, dim=1)
        prune.l1_unstructured(model[4], "weight", amount=5)  # a PruningContainer now
    mask = mask_from_torch_prune(model)
    assert list(mask) == ["0.weight", "4.weight"]
    assert (int(mask["0.weight"].sum()), int(mask["4.weight"].sum())) == (18, 31)
    found = zeros_after_remove(model, mask)
    assert all(torch.equal(mask[name], layer) for name, layer in found.items())


def test_global_and_custom_pruning_are_read():
    model = mlp([6, 5, 4, 3])
    layers = [(model[k], "weight") for k in (1, 3, 5)]
    prune.global_unstructured(layers, prune.L1Unstructured, amount=40)
    custom = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    before = model[3].weight_mask.bool()
    prune.custom_from_mask(model[3], "weight", custom)
    mask = mask_from_torch_prune(model)
    assert list(mask) == ["1.weight", "3.weight", "5.weight"]
    assert torch.equal(mask["3.weight"], before & custom)


def test_biases_are_not_of_the_mask():
    model = mlp([6, 5, 3])
    prune.l1_unstructured(model[1], "bias", amount=2)
    with pytest.raises(MaskError, match="has pruned no weight"):
        mask_from_torch_prune(model)
    prune.l1_unstructured(model[1], "weight", amount=2)
    assert list(mask_from_torch_prune(model)) == ["1.weight"]


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_there_and_back_is_the_same_mask(seed, dense):
    model = network()
    mask = random_mask(model, seed, dense)
    assert mask_from_torch_prune(with_torch_prune(model, mask)) == mask


def test_the_copy_computes_what_the_masked_model_does_and_keeps_it_after_remove():
    model = network().eval()
    before = copy.deepcopy(model.state_dict())
    mask = random_mask(model, 1)
    pruned = with_torch_prune(model, mask)
    masked = copy.deepcopy(model)
    for name, layer in mask.items():
        masked.get_parameter(name).data.mul_(layer)
    inputs = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pruned(inputs), masked(inputs))
    assert torch.equal(pruned[0].weight_orig, model[0].weight)
    for k in (0, 4):
        prune.remove(pruned[k], "weight")
    assert {n: p.shape for n, p in pruned.named_parameters()} == {
        n: p.shape for n, p in model.named_parameters()
    }
    for name, value in masked.state_dict().items():
        assert torch.equal(pruned.state_dict()[name], value)
    # The model that was given is as it was.
    assert not prune.is_pruned(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_copy_trains_and_stays_at_its_mask():
    model = mlp([6, 5, 3])
    mask = random_mask(model, 2)
    pruned = with_torch_prune(model, mask)
    inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        loss = nn.functional.cross_entropy(pruned(inputs), torch.arange(8) % 3)
        parameters = list(pruned.parameters())
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= slope
    prune.remove(pruned[1], "weight")
    assert torch.equal(pruned[1].weight != 0, mask["1.weight"])
    assert not torch.equal(pruned[1].weight[mask["1.weight"]], model[1].weight[mask["1.weight"]])


@pytest.mark.parametrize("sizes", [{}, {"kdim": 6, "vdim": 5}])
def test_attention(sizes):
    model = nn.MultiheadAttention(8, 2, **sizes).eval()
    mask = random_mask(model, 3)
    pruned = with_torch_prune(model, mask)
    assert mask_from_torch_prune(pruned) == mask
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(4, 2, width, generator=generator)
        for width in (8, sizes.get("kdim", 8), sizes.get("vdim", 8))
    )
    masked = copy.deepcopy(model)
    for name, layer in mask.items():
        masked.get_parameter(name).data.mul_(layer)
    torch.testing.assert_close(pruned(query, key, value)[0], masked(query, key, value)[0])
    assert not torch.equal(pruned(query, key, value)[0], model(query, key, value)[0])
    found = zeros_after_remove(pruned, mask)
    assert all(torch.equal(mask[name], layer) for name, layer in found.items())


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.two.weight = self.one.weight

    def forward(self, inputs):
        return self.two(self.one(inputs).relu())


def test_a_shared_weight_is_pruned_wherever_it_is():
    model = Shared()
    mask = random_mask(model, 4)
    assert list(mask) == ["one.weight"]
    pruned = with_torch_prune(model, mask)
    assert torch.equal(pruned.two.weight != 0, mask["one.weight"])
    assert mask_from_torch_prune(pruned) == mask
    for module in (pruned.one, pruned.two):
        prune.remove(module, "weight")
    assert pruned.one.weight is pruned.two.weight
    assert torch.equal(pruned.one.weight, model.one.weight * mask["one.weight"])


def test_what_cannot_be_read_or_pruned_is_refused():
    with pytest.raises(MaskError, match="has pruned no weight"):
        mask_from_torch_prune(network())
    model = mlp([6, 5, 3])
    mask = random_mask(model, 5)
    pruned = with_torch_prune(model, mask)
    with pytest.raises(MaskError, match=r"'1' is pruned by torch.*remove\(module, 'weight'\)"):
        with_torch_prune(pruned, mask)
    pruned[1].weight_mask[0, 0] = 0.5
    with pytest.raises(MaskError, match=r"mask of '1.weight' holds 0.5"):
        mask_from_torch_prune(pruned)
    with pytest.raises(MaskError, match=r"\(5, 6\).*\(5, 7\)"):
        with_torch_prune(mlp([7, 5, 3]), mask)
    shared = Shared()
    prune.l1_unstructured(shared.one, "weight", amount=3)
    prune.l1_unstructured(shared.two, "weight", amount=4)
    with pytest.raises(MaskError, match=r"'one.weight' and 'two.weight' are one weight with two"):
        mask_from_torch_prune(shared)
