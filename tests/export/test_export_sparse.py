"""Sparse products against dense ones; files against what was put into them."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import Attention, LeNet, perceptron, prune_at_random, randomise
from torch import nn

from bogp.errors import MaskError
from bogp.export import ExportError, load_sparse, save_sparse, to_bsr, to_csr
from bogp.masks import Mask


def random_mask(model: nn.Module, density: float, seed: int) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    return Mask(
        {
            name: torch.rand(value.shape, generator=generator) < density
            for name, value in model.named_parameters()
            if value.ndim > 1
        }
    )


def masked(model: nn.Module, mask: Mask) -> dict[str, torch.Tensor]:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for name, layer in mask.items():
        state[name][~layer] = 0.0
    return state


def test_csr_holds_the_kept_weights_and_gives_the_same() -> None:
    model = randomise(perceptron([30, 20, 5]), 1)
    mask = random_mask(model, 0.2, 1)
    sparse = to_csr(model, mask)
    assert sparse[1].weight.layout is torch.sparse_csr
    assert sparse[1].weight.values().numel() == int(mask["1.weight"].sum())
    model.load_state_dict(masked(model, mask))
    for shape in ((1, 30), (7, 30), (2, 5, 6)):
        x = torch.randn(shape)
        torch.testing.assert_close(sparse(x), model(x), atol=1e-5, rtol=1e-5)


def test_csr_leaves_attention_and_convolutions_dense() -> None:
    model = prune_at_random(randomise(Attention(), 2), 0.8, 2)
    sparse, x = to_csr(model), torch.randn(3, 5, 8)
    assert type(sparse.attention.out_proj) is type(model.attention.out_proj)
    assert sparse.mlp[0].weight.layout is torch.sparse_csr
    torch.testing.assert_close(sparse(x), model(x), atol=1e-5, rtol=1e-5)
    lenet = prune_at_random(randomise(LeNet(), 2), 0.8, 2)
    assert type(to_csr(lenet).c1) is nn.Conv2d


def test_layers_whose_weights_torch_reads_itself_stay_dense() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = prune_at_random(randomise(model, 3), 0.8, 3)
    with pytest.raises(ExportError, match="no linear layer is pruned"):
        to_csr(model)


def test_nothing_sparse_is_an_error() -> None:
    with pytest.raises(ExportError, match="no linear layer is pruned"):
        to_csr(randomise(perceptron([4, 3]), 3))
    scattered = randomise(perceptron([32, 32]), 3)
    with pytest.raises(ExportError, match=r"no linear layer has enough blocks .*32, 16, 8, 4"):
        to_bsr(scattered, random_mask(scattered, 0.5, 3))


def test_bsr_takes_the_blocks_that_store_least() -> None:
    model = randomise(perceptron([32, 32, 6]), 4)
    kept = torch.zeros(32, 32, dtype=torch.bool)
    kept[8:16, 16:24] = True
    kept[0:8, 0:8] = True
    mask = Mask({"1.weight": kept})
    sparse, x = to_bsr(model, mask), torch.randn(5, 32)
    weight = sparse[1].weight
    assert weight.layout is torch.sparse_bsr
    assert weight.values().shape == (2, 8, 8)
    model.load_state_dict(masked(model, mask))
    torch.testing.assert_close(sparse(x), model(x), atol=1e-5, rtol=1e-5)
    assert to_bsr(model, mask, block=4)[1].weight.values().shape == (8, 4, 4)


@given(seed=st.integers(0, 1000), density=st.sampled_from([0.0, 0.002, 0.05, 0.3, 1.0]))
@settings(max_examples=20)
def test_a_file_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, seed: int, density: float
) -> None:
    model = randomise(nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Linear(40, 70)), seed)
    mask = random_mask(model, density, seed)
    path = save_sparse(model, mask, tmp_path_factory.mktemp("sparse") / "model.safetensors")
    fresh = randomise(nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Linear(40, 70)), 1)
    loaded, read = load_sparse(fresh, path)
    assert read == mask
    expected = masked(model, mask)
    assert loaded.state_dict().keys() == expected.keys()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(("sparsity", "bytes_a_weight"), [(0.5, 2 + 1 / 8), (0.9, 0.4 + 0.1)])
def test_a_kept_weight_costs_its_value_and_a_bit_a_weight_or_a_byte(
    tmp_path: Path, sparsity: float, bytes_a_weight: float
) -> None:
    model = randomise(nn.Linear(400, 300, bias=False), 5)
    mask = random_mask(model, 1 - sparsity, 5)
    path = save_sparse(model, mask, tmp_path / "model.safetensors")
    assert path.stat().st_size / mask.total == pytest.approx(bytes_a_weight, rel=0.02)


def test_far_gaps_and_a_kept_zero_survive(tmp_path: Path) -> None:
    model = nn.Linear(50_000, 2, bias=False)
    kept = torch.zeros(2, 50_000, dtype=torch.bool)
    kept[0, 300] = kept[1, 49_999] = True
    model.weight.data[0, 300] = 0.0
    path = save_sparse(model, Mask({"weight": kept}), tmp_path / "model.safetensors")
    loaded, mask = load_sparse(model, path)
    assert torch.equal(mask["weight"], kept)
    assert loaded.weight.nonzero().tolist() == [[1, 49_999]]


def test_tied_weights_are_written_once_and_tied_again(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
        model[1].weight = model[0].weight
        return model

    model = randomise(tied(), 6)
    mask = random_mask(model, 0.3, 6)
    path = save_sparse(model, mask, tmp_path / "model.safetensors")
    assert path.stat().st_size < 50 * 50 * 4 * 0.5
    loaded, _ = load_sparse(tied(), path)
    assert loaded[0].weight is loaded[1].weight
    assert torch.equal(loaded[1].weight, masked(model, mask)["0.weight"])


def test_files_of_other_models_are_refused(tmp_path: Path) -> None:
    model = randomise(perceptron([6, 5, 3]), 7)
    path = save_sparse(model, random_mask(model, 0.5, 7), tmp_path / "model.safetensors")
    with pytest.raises(MaskError, match=r"'1.weight' of shape \(5, 6\) is not the model's"):
        load_sparse(perceptron([7, 5, 3]), path)
    with pytest.raises(MaskError, match=r"has no '5\.weight', which the model has"):
        load_sparse(perceptron([6, 5, 3, 2]), path)
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, str(other))
    with pytest.raises(MaskError, match="holds no sparse model"):
        load_sparse(model, other)
    with pytest.raises(MaskError, match="not a readable safetensors file"):
        load_sparse(model, tmp_path / "missing.safetensors")
