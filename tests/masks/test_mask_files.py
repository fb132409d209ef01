import pytest
import safetensors.torch
import torch

from bogp.errors import MaskError, OutputError
from bogp.masks import Mask, load_mask, save_mask


def test_round_trip(tmp_path):
    mask = Mask({"0.weight": torch.rand(3, 4) < 0.5, "2.weight": torch.rand(2, 3) < 0.5})
    path = save_mask(mask, tmp_path / "m.safetensors", {"graph": "7"})
    assert load_mask(path) == mask
    with safetensors.safe_open(str(path), framework="pt") as file:
        assert file.metadata()["graph"] == "7"


def test_other_files_are_refused(tmp_path):
    text = tmp_path / "text"
    text.write_text("not a mask")
    for path in (text, tmp_path / "missing"):
        with pytest.raises(MaskError, match="not a readable safetensors file"):
            load_mask(path)
    weights = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2)}, str(weights))
    with pytest.raises(MaskError, match="holds no bogp mask"):
        load_mask(weights)


def test_an_unwritable_place_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to folder"):
        save_mask(Mask({"w": torch.ones(1, 1, dtype=torch.bool)}), tmp_path / "file" / "m")
