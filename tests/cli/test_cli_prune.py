import json
from pathlib import Path

import pytest
import torch

import bogp
from bogp.cli import main
from bogp.training import evaluate, model_factory

MODULE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset


def make():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))


def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(160, 8, generator=generator)
    labels = (inputs[:, 0] * inputs[:, 1] > 0).long()
    parts = (slice(0, 100), slice(100, 130), slice(130, 160))
    return [TensorDataset(inputs[part], labels[part]) for part in parts]
"""
RECIPE = "learning_rate = 0.05\nbatch_size = 32\nepochs = 3\n"


@pytest.fixture(autouse=True)
def _module(tmp_path, monkeypatch):
    Path("mine.py").write_text(MODULE)
    Path("quick.toml").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "mine", raising=False)


def run(*words, status=0):
    with pytest.raises(SystemExit) as end:
        main([*words])
    assert end.value.code == status


OWN = (
    "prune",
    "mine:make",
    "--data",
    "mine:data",
    "-s",
    "0.75",
    "--recipe",
    "quick.toml",
    "--quiet",
)


def test_a_model_of_ones_own_becomes_three_files(capsys) -> None:
    run(*OWN, "--trials", "4", "--final-seeds", "2", "--out", "smaller")
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "pruned − dense, points" in shown.out
    assert "layerwise shuffle" in shown.out
    record = json.loads(Path("smaller/result.json").read_text())
    assert record["kept"] == round(0.25 * (8 * 16 + 16 * 2))
    assert Path("smaller/study.db").exists()
    assert record["key"] in Path("smaller/report.html").read_text()
    model, mask = bogp.load_model(model_factory("mine:make", 8, 2)(), "smaller/pruned.safetensors")
    assert mask.kept == record["kept"]
    parts = bogp.load_dataset("mine:data")
    measured = evaluate(model, parts.test_inputs, parts.test_targets).accuracy
    runs = [measured, record["pruned"]["estimate"] * 2 - measured]
    assert 0.0 <= min(runs) <= max(runs) <= 1.0
    run("study", "resume", "smaller/study.db", status=2)
    assert "run bogp prune, or call bogp.prune" in capsys.readouterr().err
    # The same command goes on from the study, and finds the same.
    run(*OWN, "--trials", "4", "--final-seeds", "2", "--out", "smaller", "--json")
    assert json.loads(capsys.readouterr().out)["pruned"] == record["pruned"]


def test_a_checkpoint_is_pruned_from_its_weights(capsys) -> None:
    model = model_factory("mine:make", 8, 2)()
    torch.save(model.state_dict(), "trained.pt")
    given = evaluate(model, *_test()).accuracy
    words = ("--method", "magnitude", "--no-controls", "--final-seeds", "1", "--json")
    run(*OWN, "--weights", "trained.pt", *words)
    record = json.loads(capsys.readouterr().out)
    assert record["given"] == given
    assert record["comparisons"] == {}
    assert record["how"] == "magnitude global"
    largest = model[0].weight.detach().abs().flatten().tolist()
    largest += model[2].weight.detach().abs().flatten().tolist()
    threshold = sorted(largest)[-record["kept"]]
    _, mask = bogp.load_model(model, "pruned/pruned.safetensors")
    assert torch.equal(mask["0.weight"], model[0].weight.abs() >= threshold)


def _test():
    parts = bogp.load_dataset("mine:data")
    return parts.test_inputs, parts.test_targets


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("-s", "1.5"), "sparsity 1.5 is not in [0, 1)"),
        (("--method", "snap"), "unknown method 'snap'"),
        (("--include", "conv*"), "'conv*'"),
        (("--weights", "none.pt"), "none.pt"),
        (("--type", "conv3d"), "no layer"),
        (("--graph-per", "block"), "'block'"),
        (("--trials", "0"), "trials = 0"),
        (("--final-seeds", "0"), "final_seeds = 0"),
        (("--recipe", "none.toml"), "none.toml"),
        (("--data", "mine:nothing"), "'nothing'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(words, sentence, capsys) -> None:
    run(*OWN, *words, status=2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sentence in shown.err
    assert shown.err.startswith("error: ")
    assert len(shown.err.splitlines()) == 1
    assert not Path("pruned").exists()


@pytest.mark.parametrize("model", ["mine:data", "lenet-9", "nowhere:make", "mine:none"])
def test_models_that_are_none_are_refused(model, capsys) -> None:
    run("prune", model, "--data", "mine:data", "--quiet", status=2)
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert model.split(":")[-1] in shown or model.split(":")[0] in shown
    assert len(shown.splitlines()) == 1
