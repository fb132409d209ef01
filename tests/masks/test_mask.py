import pytest
import torch
from torch import nn

from bogp.errors import MaskError
from bogp.masks import Mask, check_fits, complete_mask, prunable
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
    assert prunable(model, "all") == ("1.weight", "3.weight", "5.weight")
    assert prunable(model, "hidden") == ("1.weight", "3.weight")


def test_prunable_refuses_a_model_without_hidden_weights():
    with pytest.raises(MaskError, match="no hidden weights"):
        prunable(nn.Linear(3, 2), "hidden")
    with pytest.raises(MaskError, match="choose 'hidden' or 'all'"):
        prunable(mlp([3, 2, 2]), "some")


def test_a_mask_for_another_model_is_refused():
    mask = complete_mask(mlp([6, 5, 3]), ("1.weight",))
    check_fits(mlp([6, 5, 3]), mask)
    with pytest.raises(MaskError, match=r"\(5, 6\).*\(5, 7\)"):
        check_fits(mlp([7, 5, 3]), mask)
    with pytest.raises(MaskError, match="does not have"):
        check_fits(nn.Linear(6, 5), mask)
    with pytest.raises(MaskError, match="no parameter"):
        complete_mask(nn.Linear(6, 5), ("1.weight",))
