import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from bogp.errors import MaskError
from bogp.masks import Mask, check_fits, choose_layers, complete_mask
from bogp.training import mlp


def test_counts_are_those_of_the_tensors():
    mask = Mask({"a": torch.tensor([[True, False, True]]), "b": torch.tensor([[False]])})
    assert (mask.kept, mask.total) == (2, 4)
    assert mask.density == 0.5
    assert mask.sparsity == 0.5


def test_a_mask_does_not_change_when_its_source_does():
    source = torch.tensor([[True, True]])
    mask = Mask({"a": source})
    source[0, 0] = False
    assert mask.kept == 2


def test_equality_and_fingerprint_follow_the_bits():
    one, same = (Mask({"a": torch.tensor([[True, False]])}) for _ in range(2))
    other = Mask({"a": torch.tensor([[False, True]])})
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({}, "at least one layer"),
        ({"a": torch.ones(2, 2)}, "torch.float32"),
        ({"a": [[True]]}, "list"),
        ({"a": torch.ones(0, 2, dtype=torch.bool)}, "no weights"),
    ],
)
def test_what_is_no_mask_is_refused(layers, words):
    with pytest.raises(MaskError, match=words):
        Mask(layers)


def test_prunable_takes_weights_and_leaves_biases():
    model = mlp([6, 5, 4, 3])
    assert choose_layers(model, "all") == ("1.weight", "3.weight", "5.weight")
    assert choose_layers(model, "hidden") == ("1.weight", "3.weight")


def test_prunable_refuses_a_model_without_hidden_weights():
    with pytest.raises(MaskError, match="no hidden weights"):
        choose_layers(nn.Linear(3, 2), "hidden")
    with pytest.raises(MaskError, match="choose 'hidden' or 'all'"):
        choose_layers(mlp([3, 2, 2]), "some")


def test_a_mask_for_another_model_is_refused():
    mask = complete_mask(mlp([6, 5, 3]), ("1.weight",))
    check_fits(mlp([6, 5, 3]), mask)
    with pytest.raises(MaskError, match=r"\(5, 6\).*\(5, 7\)"):
        check_fits(mlp([7, 5, 3]), mask)
    with pytest.raises(MaskError, match="does not have"):
        check_fits(nn.Linear(6, 5), mask)
    with pytest.raises(MaskError, match="no parameter"):
        complete_mask(nn.Linear(6, 5), ("1.weight",))


def test_apply_makes_zeros_exact_and_leaves_the_rest():
    model = mlp([6, 5, 3])
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    mask = Mask({"1.weight": torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) < 0.5})
    kept = mask["1.weight"]
    pruned = (~kept).nonzero()[0]
    with torch.no_grad():
        model[1].weight[tuple(pruned)] = torch.nan
    assert mask.apply(model) is None
    weight = model[1].weight
    assert torch.equal(weight[~kept], torch.zeros(int((~kept).sum())))
    assert not torch.signbit(weight[~kept]).any()
    assert torch.equal(weight[kept], before["1.weight"][kept])
    for name in ("1.bias", "3.weight", "3.bias"):
        assert torch.equal(model.get_parameter(name), before[name])
    assert weight.requires_grad
    # A step of training moves pruned weights too; applied again they are where they were.
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(2, 6)).square().sum().backward()
    optimiser.step()
    assert bool((weight[~kept] != 0).any())
    mask.apply(model)
    assert not bool((weight[~kept] != 0).any())


def test_a_mask_that_does_not_fit_changes_nothing():
    model = mlp([6, 5, 3])
    before = model[1].weight.detach().clone()
    none = torch.zeros(5, 6, dtype=torch.bool)
    with pytest.raises(MaskError, match=r"mask of '3.weight' is \(3, 6\).* \(3, 5\): use the mask"):
        Mask({"1.weight": none, "3.weight": torch.ones(3, 6, dtype=torch.bool)}).apply(model)
    with pytest.raises(MaskError, match=r"prunes '2.weight', which the model does not have"):
        Mask({"1.weight": none, "2.weight": none}).apply(model)
    assert torch.equal(model[1].weight, before)
    held = prune.identity(nn.Linear(6, 5), "weight")
    with pytest.raises(MaskError, match=r"held by torch.nn.utils.prune: call"):
        Mask({"weight": none}).apply(held)
