import pytest
import safetensors.torch
import torch
from torch import nn

from bogp.errors import MaskError
from bogp.masks import Mask, load_state, save_model
from bogp.training import mlp


def other(model: nn.Module) -> nn.Module:
    fresh = mlp([6, 4, 3])
    assert not torch.equal(fresh[1].weight, model[1].weight)
    return fresh


@pytest.mark.parametrize("kind", ["bogp", "safetensors", "torch"])
def test_weights_of_any_file_are_taken(kind: str, tmp_path) -> None:
    model, path = mlp([6, 4, 3]), tmp_path / "weights"
    if kind == "bogp":
        save_model(model, Mask({"1.weight": torch.ones(4, 6, dtype=torch.bool)}), path)
    elif kind == "safetensors":
        safetensors.torch.save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)
    given = other(model)
    before = given[1].weight.clone()
    loaded = load_state(given, path)
    assert torch.equal(loaded[1].weight, model[1].weight)
    assert torch.equal(given[1].weight, before)


def test_a_tied_tensor_may_be_there_once(tmp_path) -> None:
    def tied() -> nn.ModuleList:
        pair = nn.ModuleList([nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)])
        pair[1].weight = pair[0].weight
        return pair

    model, path = tied(), tmp_path / "tied.safetensors"
    safetensors.torch.save_file({"0.weight": model[0].weight.detach()}, path)
    loaded = load_state(tied(), path)
    assert torch.equal(loaded[1].weight, model[1].weight)
    assert loaded[1].weight is loaded[0].weight


def test_another_models_weights_are_refused(tmp_path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(mlp([6, 5, 3]).state_dict(), path)
    with pytest.raises(MaskError, match=r"'1.weight' is \(5, 6\) in .* and \(4, 6\) in the model"):
        load_state(mlp([6, 4, 3]), path)
