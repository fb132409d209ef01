"""``bogp analyze`` as a user runs it."""

import json

import pytest
import torch
import typer
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune
from typer.testing import CliRunner

from bogp.cli.analyze import analyze
from bogp.errors import BogpError
from bogp.graphs import PROPERTIES


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    for layer in (model[1], model[3]):
        prune.l1_unstructured(layer, "weight", amount=0.7)
    path = tmp_path / "pruned.pt"
    torch.save(model.state_dict(), path)
    return path


def run(*words):
    app = typer.Typer()
    app.command()(analyze)
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)


def record(*words):
    shown = run(*words, "--json")
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)


def test_tables(file):
    shown = run(file)
    text = " ".join(shown.stdout.split())
    assert shown.exit_code == 0
    assert "pruned.pt: 533 of 1776 weights kept, sparsity 0.6999, effective sparsity" in text
    assert "24x64 461 0.300" in text
    for head in ("Ramanujan gap", "dead in", "components", "eigenvector centrality", "girth"):
        assert head in text
    assert "take the layers for a chain" in text


def test_json_holds_all_and_the_network_says_the_same_of_a_chain(file):
    alone = record(file)
    assert set(alone["layers"][0]["properties"]) == set(PROPERTIES)
    known = record(file, "--model", "mlp:24", "--data", "digits")
    assert known["effective_sparsity"] == pytest.approx(alone["effective_sparsity"])
    assert known["layers"] == alone["layers"]
    assert known["notes"] != alone["notes"]
    few = record(file, "--property", "girth", "--layer", "1.weight", "--nodes", 12)
    (layer,) = few["layers"]
    assert (layer["graph"]["nodes"], list(layer["properties"])) == (12, ["girth"])
    assert few["effective_sparsity"] == alone["effective_sparsity"]
    dense = record(file, "--nodes", 8, "--threshold", 1.0)
    assert dense["layers"][0]["graph"]["edges"] == 0


def test_page(file, tmp_path):
    out = tmp_path / "new" / "page.html"
    shown = run(file, "--property", "clustering", "--layer", "3.weight", "--out", out)
    assert shown.exit_code == 0, shown.output
    page = out.read_text()
    assert "the wiring of pruned.pt" in page
    assert page.count("<img") == 2  # the overview and the layer
    assert "clustering" in page
    assert "girth" not in page


def test_blocks_are_a_table_of_their_own_in_the_terminal_and_on_the_page(file, tmp_path):
    out = tmp_path / "page.html"
    shown = run(file, "--block", 8, "--out", out)
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.stdout.split())
    assert "Blocks between nodes" in text
    assert "1.weight 3 8 24 24" in text  # 24 outputs and 64 inputs by 8, none left out
    assert "Blocks between nodes" in out.read_text()
    assert "Blocks between nodes" not in run(file).stdout
    wiring = record(file, "--block", 8)["layers"][0]["wiring"]
    assert (wiring["out_nodes"], wiring["in_nodes"], wiring["blocks"]) == (3, 8, 24)
    assert record(file)["layers"][0]["wiring"] is None


def test_folder(file, tmp_path):
    run(file, "--layer", "3.weight", "--out", tmp_path / "folder")
    assert {p.name for p in (tmp_path / "folder").iterdir()} == {"report.html", "analysis.json"}
    written = json.loads((tmp_path / "folder" / "analysis.json").read_text())
    assert written == record(file, "--layer", "3.weight")


def test_a_function_gives_the_model(file, tmp_path, monkeypatch):
    source = """
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
"""
    (tmp_path / "analyzed_network.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert record(file, "--model", "analyzed_network:make")["layers"] == record(file)["layers"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.pt"], "there is no file 'missing.pt'"),
        (["{f}", "--nodes", 16], "layer '3.weight' of 10 outputs and 24 inputs: use at most 10"),
        (["{f}", "--nodes", 8, "--block", 8], "give nodes or block"),
        (["{f}", "--block", 0], "block = 0 of a granularity: give 1 or more channels"),
        (["{f}", "--property", "girt"], "did you mean girth"),
        (["{f}", "--layer", "2.weight"], "unknown layer '2.weight'"),
        (["{f}", "--threshold", 2], "threshold 2.0"),
        (["{f}", "--data", "digits"], "give --model too"),
        (["{f}", "--model", "mlp:24"], "give --data too"),
        (["{f}", "--model", "mlp:32", "--data", "digits"], "1.weight"),
        (["{e}"], "no weight of two or more dimensions"),
        (["{t}"], "t.pt"),
    ],
)
def test_bad_input_is_one_sentence(file, tmp_path, words, said):
    empty, text = tmp_path / "e.safetensors", tmp_path / "t.pt"
    save_file({"bias": torch.ones(3)}, empty)
    text.write_text("nothing of the kind")
    places = {"{f}": file, "{e}": empty, "{t}": text}
    shown = run(*(places.get(word, word) for word in words))
    assert isinstance(shown.exception, BogpError), shown.output
    assert said in str(shown.exception)
    assert "\n" not in str(shown.exception)
    assert shown.stdout == ""
