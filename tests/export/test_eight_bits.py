"""ONNX files in eight bits: smaller, near the network, zeros still zeros."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from small_networks import perceptron, randomise

from bogp.errors import ExportError, SettingError
from bogp.export import export_model
from bogp.export.eight_bits import quantised
from bogp.masks import Mask

onnx = pytest.importorskip("onnx")


def test_weights_have_eight_bits_and_zeros_stay_zeros(tmp_path: Path) -> None:
    model = randomise(perceptron([64, 256, 5]), 1)
    mask = Mask({"1.weight": torch.rand(256, 64) < 0.25})
    x, y = torch.randn(8, 64), torch.randint(5, (8,))
    found = export_model(
        model,
        mask,
        x,
        tmp_path,
        formats=("onnx",),
        int8=True,
        labelled=(x, y),
        batches=(1,),
        repeats=6,
    )
    whole, small = found.formats
    assert (small.name, small.failure) == ("onnx-int8", "")
    assert small.size == (tmp_path / "model.int8.onnx").stat().st_size < 0.4 * whole.size
    assert 0 < small.difference < 0.2
    assert "eight bits: accuracy" in small.note
    assert "on 8 examples" in found.sentences[1]
    held = [
        onnx.numpy_helper.to_array(each)
        for each in onnx.load(tmp_path / "model.int8.onnx").graph.initializer
    ]
    weights = {each.shape: each for each in held if each.dtype == "int8" and each.ndim == 2}
    first = torch.from_numpy(weights[64, 256].copy()).T
    assert not first[~mask["1.weight"]].any()
    assert first[mask["1.weight"]].any()
    assert all(not each.any() for each in held if each.dtype == "int8" and each.ndim == 0)


def test_bad_input_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, mask = perceptron([4, 4]), Mask({"1.weight": torch.eye(4, dtype=torch.bool)})
    with pytest.raises(SettingError, match="add onnx, compact-onnx or graph-onnx"):
        export_model(model, mask, torch.randn(2, 4), tmp_path, formats=("csr",), int8=True)
    real = importlib.import_module

    def without(name: str, *rest: object):
        if name == "onnxruntime.quantization":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ExportError, match=r'quantiser, .*pip install "bogp\[export\]"'):
        quantised(tmp_path / "model.onnx")
