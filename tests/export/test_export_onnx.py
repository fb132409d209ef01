"""ONNX files against the torch model, loaded by onnxruntime itself."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import Attention, ResNet, perceptron, prune_at_random, randomise
from torch import Tensor, nn

import bogp.export
from bogp.export import ExportError, to_onnx
from bogp.export.onnx import session
from bogp.masks import Mask

onnxruntime = pytest.importorskip("onnxruntime")


def run(path: Path, x: Tensor) -> np.ndarray:
    found = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return found.run(None, {found.get_inputs()[0].name: x.numpy()})[0]


@pytest.mark.parametrize(
    ("make", "shape"), [(ResNet, (2, 6, 6)), (Attention, (5, 8))], ids=["resnet", "attention"]
)
def test_the_file_gives_the_models_outputs_at_any_batch(
    make: type[nn.Module], shape: tuple[int, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = prune_at_random(randomise(make(), 1), 0.8, 1)
    found = to_onnx(model, torch.randn(1, *shape), tmp_path / "model.onnx")
    assert found.size == (tmp_path / "model.onnx").stat().st_size
    assert 0 <= found.difference < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    x = torch.randn(17, *shape)
    with torch.no_grad():
        np.testing.assert_allclose(run(found.path, x), model(x), atol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_a_mask_is_applied(tmp_path: Path) -> None:
    model = randomise(perceptron([20, 40, 5]), 2)
    kept = torch.zeros(40, 20, dtype=torch.bool)
    kept[:10, :7] = True
    x = torch.randn(4, 20)
    found = to_onnx(model, x, tmp_path / "dense.onnx", Mask({"1.weight": kept}))
    assert not np.allclose(run(found.path, x), model(x).detach(), atol=1e-3)
    model[1].weight.data.mul_(kept)
    np.testing.assert_allclose(run(found.path, x), model(x).detach(), atol=1e-5)


def test_outputs_that_differ_are_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bogp.export import onnx

    def wrong(content: bytes):
        right = session(content)
        return lambda *inputs: [each + 0.01 for each in right(*inputs)]

    monkeypatch.setattr(onnx, "session", wrong)
    model = randomise(perceptron([4, 3]), 3)
    with pytest.raises(ExportError, match=r"outputs differ by 0\.0\d+ .*more than 0\.0001"):
        to_onnx(model, torch.randn(2, 4), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_exported_is_one_sentence(tmp_path: Path) -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if x.sum().item() > 0 else x

    with pytest.raises(ExportError, match="cannot be written as ONNX") as caught:
        to_onnx(Branches(), torch.randn(2, 4), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_extra(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def without(name: str, *rest: object):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ExportError, match=rf'need {missing}, .*pip install "bogp\[export\]"'):
        to_onnx(perceptron([4, 3]), torch.randn(2, 4), tmp_path / "model.onnx")


def test_nothing_imports_them_before_they_are_needed() -> None:
    for path in Path(bogp.export.__file__).parent.glob("*.py"):
        for line in path.read_text().splitlines():
            assert not re.match(r"\s*(import|from) onnx", line), path
