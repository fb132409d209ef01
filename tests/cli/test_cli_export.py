"""``bogp export`` as a user runs it."""

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from bogp.cli.export import export
from bogp.errors import BogpError
from bogp.masks import Mask, save_model
from bogp.training import mlp

app = typer.Typer()
app.command()(export)


@pytest.fixture
def pruned(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    model = mlp([64, 40, 10])
    layer = torch.rand(40, 64, generator=generator) < 0.1
    layer[:8] = False
    return save_model(model, Mask({"1.weight": layer}), tmp_path / "pruned.safetensors")


def run(*words: object):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_files_table_and_sentences(pruned: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    words = (pruned, "mlp:40", "--data", "digits", "--out", out, "--repeats", 6)
    shown = run(*words, "--format", "compact", "--format", "csr", "--batch", 1, "--batch", 8)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["compact.pt2", "export.json", "sparse.safetensors"]
    assert "times smaller" in shown.stdout
    assert "speed at batch 8" in shown.stdout
    assert "csr, sparsity 0.9" in shown.stdout
    assert str(out) in " ".join(shown.stdout.split())
    small = torch.export.load(out / "compact.pt2").module()
    assert dict(small.named_parameters())["1.weight"].shape[0] <= 32


def test_json_and_quiet(pruned: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    words = (pruned, "mlp:40", "-d", "digits", "-o", out, "--format", "csr", "--repeats", 6)
    shown = run(*words, "--batch", 2, "--json", "--quiet")
    found = json.loads(shown.stdout)
    assert shown.stderr == ""
    assert found == json.loads((out / "export.json").read_text())
    assert [each["batch"] for each in found["latencies"]] == [2, 2]


def test_a_model_of_ones_own(pruned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exports_own_network.py").write_text(
        "from bogp.training import mlp\n\n\ndef make():\n    return mlp([64, 40, 10])\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ("-d", "digits", "-o", "out", "--format", "compact", "--repeats", 6, "--json", "-q")
    found = json.loads(run(pruned, "exports_own_network:make", *words).stdout)
    assert found["formats"][0]["failure"] == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mlp:41",), r"'1\.weight' is \(40, 64\) .* \(41, 64\)"),
        (("mlp:40", "--format", "tflite"), "unknown format 'tflite'"),
        (("mlp:40", "--format", "csr", "--repeats", 3), "3 rounds give no interval"),
        (("rocket",), "'rocket'"),
    ],
)
def test_bad_input_is_one_sentence(
    pruned: Path, tmp_path: Path, words: tuple[object, ...], said: str
) -> None:
    given = [str(pruned), *map(str, words), "-d", "digits", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, given)
    assert isinstance(result.exception, BogpError)
    with pytest.raises(BogpError, match=said):
        raise result.exception
    assert not (tmp_path / "out" / "export.json").exists()
