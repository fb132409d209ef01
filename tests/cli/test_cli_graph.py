import json
import re

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bogp.cli.graph import graph as app
from bogp.database import ALL_PROPERTIES, GraphDatabase
from bogp.errors import (
    BogpError,
    DatabaseError,
    GraphError,
    MaskError,
    OutputError,
    SettingError,
    UnknownNameError,
)
from bogp.graphs import edges_for_sparsity, generate, graph_to_mask, mask_to_graph, properties
from bogp.graphs.synthesis import synthesize
from bogp.masks import Mask, load_mask, save_mask

FAMILY = ["--family", "ws_flex", "--nodes", "12"]
WANTED = ["-p", "clustering=0.3", "-p", "average_shortest_path_length=2"]
TARGET = {"clustering": 0.3, "average_shortest_path_length": 2.0}


def run(*arguments, expect=None):
    """Run a command; return its standard output, or the error that it raised if expected."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if expect is not None:
        assert isinstance(result.exception, expect), (result.output, result.exception)
        assert isinstance(result.exception, BogpError)
        return str(result.exception)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    file = tmp_path_factory.mktemp("graph") / "graphs.db"
    with GraphDatabase.build(file, nodes=12, shape=(12, 24), sparsities=(0.5, 0.7), graphs=20):
        return file


def expected(found):
    return {name: values[0] for name, values in properties(found[None], ALL_PROPERTIES).items()}


def test_show_draws_a_graph_of_a_family(here):
    said = run("show", *FAMILY, "--edges", "24", "--seed", "3", "--parameter", "p=0.1")
    assert "12 nodes, 24 edges" in said
    assert "p = 0.1, seed 3" in said
    assert "picture written to graph.png" in said
    assert (here / "graph.png").read_bytes().startswith(b"\x89PNG")
    as_json = json.loads(
        run("show", *FAMILY, "--edges", "24", "--seed", "3", "--parameter", "p=0.1", "--json")
    )
    drawn = generate("ws_flex", 12, 24, 3, p=0.1)
    assert as_json["properties"] == pytest.approx(expected(drawn.adjacency))
    for name, value in as_json["properties"].items():
        assert re.search(rf"{name} +{re.escape(f'{value:.6g}')}\n", said)


def test_the_sparsity_of_a_layer_decides_the_edges(here):
    options = ["--sparsity", "0.6", "--shape", "12x30", "-o", "g.svg", "--json"]
    said = json.loads(run("show", *FAMILY, *options))
    assert said["edges"] == edges_for_sparsity(12, 0.6, 12, 30)
    assert said["mask_shape"] == [12, 30]
    drawn = generate("ws_flex", 12, said["edges"], 0)
    share = 1 - graph_to_mask(drawn, 12, 30).double().mean()
    assert said["mask_sparsity"] == pytest.approx(float(share))
    assert (here / "g.svg").read_text().startswith("<?xml")


def test_show_takes_a_graph_of_a_database(graphs):
    said = json.loads(run("show", "--database", graphs, "--id", "25", "--json"))
    with GraphDatabase.open(graphs) as opened:
        record = opened.record(25)
    assert said["properties"] == record.properties
    assert (said["sparsity"], said["seed"]) == (0.7, record.seed)
    assert said["parameters"] == record.parameters
    text = run("show", "--database", graphs, "--id", "25")
    assert "Graph 25 of graphs.db" in text
    assert "least there" in text


def test_a_stored_mask_is_shown_as_it_is(here):
    with GraphDatabase.build(
        "m.db", nodes=4, shape=(8, 8), sparsities=(0.9,), graphs=2, family="random_mask"
    ) as built:
        mask = built.record(1).mask
    said = json.loads(run("show", "--database", "m.db", "--id", "1", "--json"))
    assert said["mask_sparsity"] == pytest.approx(1 - float(mask.double().mean()))


def test_show_reads_the_graph_of_a_saved_mask():
    torch.manual_seed(0)
    layers = {"a.weight": torch.rand(12, 20) < 0.1, "b.weight": torch.rand(13, 15, 3, 3) < 0.02}
    save_mask(Mask(layers), "two.safetensors")
    for name, layer in layers.items():
        words = ["--mask", "two.safetensors", "--layer", name, "--nodes", "6", "--json"]
        said = json.loads(run("show", *words))
        assert said["edges"] == mask_to_graph(layer, 6).edges
        assert said["mask_shape"] == list(layer.shape)
    save_mask(Mask({"only": layers["a.weight"]}), "one.safetensors")
    assert json.loads(run("show", "--mask", "one.safetensors", "--nodes", "6", "--json"))["edges"]


def test_show_tells_the_matrices_of_an_attention_apart():
    queries, others = torch.eye(8).bool(), torch.ones(8, 8).bool()
    save_mask(Mask({"a.in_proj_weight": torch.cat([queries, others, others])}), "a.safetensors")
    words = ["--mask", "a.safetensors", "--nodes", "4", "--json", "--layer"]
    assert json.loads(run("show", *words, "a.in_proj_weight[q]"))["edges"] == 0
    assert json.loads(run("show", *words, "a.in_proj_weight[v]"))["edges"] == 6


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ([], SettingError, "none is given"),
        ([*FAMILY, "--mask", "m"], SettingError, "--family and --mask are given"),
        ([*FAMILY], SettingError, "either --edges or --sparsity"),
        ([*FAMILY, "--edges", "5", "-s", "0.5"], SettingError, "not both or neither"),
        ([*FAMILY, "--edges", "500"], GraphError, "between 0 and 66"),
        ([*FAMILY, "--edges", "5", "--id", "1"], SettingError, "--id goes with --database"),
        (["--family", "ws_flex", "--edges", "5"], SettingError, "--family needs --nodes"),
        (["--family", "ws_flx", "--nodes", "5", "--edges", "5"], UnknownNameError, "ws_flex"),
        ([*FAMILY, "--edges", "5", "--parameter", "q=1"], UnknownNameError, "'q'"),
        ([*FAMILY, "--edges", "5", "--shape", "9"], SettingError, "OUTxIN"),
        ([*FAMILY, "--edges", "5", "-o", "g.pdf"], OutputError, ".png or .svg"),
        ([*FAMILY, "--edges", "5", "-o", "file/g.png"], OutputError, "cannot write"),
        (["-d", "{g}"], SettingError, "--database needs --id"),
        (["-d", "{g}", "--id", "99"], DatabaseError, "graph 99 is not in"),
        (["-d", "gone.db", "--id", "0"], DatabaseError, "no graph database"),
        (["--mask", "file", "--nodes", "3"], MaskError, "'file'"),
        (["--mask", "two.safetensors", "--nodes", "3"], SettingError, "a.weight, b.weight"),
        (["--mask", "two.safetensors", "--nodes", "3", "--layer", "c"], UnknownNameError, "'c'"),
        (["--mask", "two.safetensors"], SettingError, "--mask needs --nodes"),
        (["--mask", "two.safetensors", "--nodes", "9", "--layer", "a.weight"], GraphError, "9"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_graph_that_cannot_be_shown_is_one_sentence(words, error, said, graphs, here):
    (here / "file").write_text("in the way")
    ones = torch.ones(4, 4, dtype=torch.bool)
    save_mask(Mask({"a.weight": ones, "b.weight": ones}), "two.safetensors")
    sentence = run("show", *[word.format(g=graphs) for word in words], expect=error)
    assert said in sentence
    assert "\n" not in sentence
    assert sorted(path.name for path in here.iterdir()) == ["file", "two.safetensors"]


def test_synthesis_without_a_database_is_the_librarys(here):
    words = ["--nodes", "12", "--sparsity", "0.6", "--budget", "500", "--seed", "2", "--json", "-q"]
    said = json.loads(run("synthesize", *WANTED, *words, "-o", "m.safetensors", "-o", "g.png"))
    edges = edges_for_sparsity(12, 0.6)
    found = synthesize(TARGET, nodes=12, edges=edges, budget=500, seed=2)
    assert said["achieved"] == found.achieved
    assert (said["distance"], said["met"]) == (found.distance, found.met)
    assert said["written"] == ["m.safetensors", "g.png"]
    assert mask_to_graph(load_mask("m.safetensors")["1.weight"], 12) == found.graph
    assert (here / "g.png").read_bytes().startswith(b"\x89PNG")
    assert said["properties"] == pytest.approx(expected(found.graph.adjacency))


def test_synthesis_starts_near_the_target_in_a_database(graphs):
    words = ["-d", graphs, "-s", "0.7", "-q"]
    said = json.loads(run("synthesize", *WANTED, *words, "--budget", "0", "--json"))
    with GraphDatabase.open(graphs) as opened:
        near = opened.nearest(TARGET, metric="l2", scale="standardised", count=8, sparsity=0.7)
        vectors = [neighbour.vector for neighbour in near]
        reach = opened.coverage(0.7, tuple(TARGET))
    assert said["achieved"] in [pytest.approx(vector) for vector in vectors]
    errors = {
        n: (said["achieved"][n] - TARGET[n]) / (r.maximum - r.minimum) for n, r in reach.items()
    }
    assert said["errors"] == pytest.approx(errors)
    text = run("synthesize", *WANTED, *words, "--budget", "200")
    assert "error / range" in text
    assert "distance " in text
    assert said["mask_shape"] == [12, 24]
    further = json.loads(run("synthesize", *WANTED, *words, "--budget", "2000", "--json"))
    assert further["distance"] <= said["distance"]


def test_degrees_can_be_kept(graphs):
    words = ["-d", graphs, "-s", "0.7", "-q", "--preserve-degrees", "-o", "m.safetensors"]
    said = json.loads(run("synthesize", *WANTED, *words, "--tolerance", "0", "--json"))
    made = load_mask("m.safetensors")["1.weight"]
    degrees = np.sort(mask_to_graph(made, 12).adjacency.sum(axis=0)).tolist()
    with GraphDatabase.open(graphs) as opened:
        near = opened.nearest(TARGET, metric="l2", scale="standardised", count=8, sparsity=0.7)
        starts = [opened.record(neighbour.id).graph for neighbour in near]
    assert degrees in [np.sort(start.adjacency.sum(axis=0)).tolist() for start in starts]
    assert said["accepted"] > 0


def test_progress_goes_to_standard_error_unless_quiet():
    words = ["synthesize", *WANTED, "--nodes", "12", "-s", "0.6", "--budget", "50"]
    assert "proposals: 50 of 50" in CliRunner().invoke(app, words).stderr
    assert CliRunner().invoke(app, [*words, "-q"]).stderr == ""


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ([], SettingError, "--database or needs --nodes"),
        (["--nodes", "12"], SettingError, "either --edges or --sparsity"),
        (["--nodes", "12", "-s", "1.5"], BogpError, "1.5"),
        (["-d", "{g}"], SettingError, "choose one with sparsity, of 0.5, 0.7"),
        (["-d", "{g}", "-s", "0.6"], DatabaseError, "0.5, 0.7"),
        (["-d", "{g}", "--nodes", "4"], SettingError, "--nodes is what the database says"),
        (["-d", "{g}", "-s", "0.5", "-p", "clustering=2"], SettingError, "given twice"),
        (["--nodes", "12", "-s", "0.6", "-p", "clusterin=2"], UnknownNameError, "clustering"),
        (["--nodes", "12", "-s", "0.6", "-p", "cycle_rank=2"], SettingError, "cannot be met"),
        (["--nodes", "12", "-s", "0.6", "-o", "m.txt"], OutputError, ".png or .svg"),
        (["--nodes", "12", "-s", "0.6", "--tolerance", "-1"], SettingError, "tolerance"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_synthesis_that_cannot_be_is_one_sentence(words, error, said, graphs, here):
    words = [word.format(g=graphs) for word in words]
    sentence = run("synthesize", "-p", "clustering=0.3", *words, expect=error)
    assert said in sentence
    assert "\n" not in sentence
    assert not list(here.iterdir())


def test_a_property_that_no_graph_of_the_database_knows(here):
    GraphDatabase.build("few.db", nodes=6, sparsities=(0.5,), graphs=3, names=("girth",)).close()
    said = run("synthesize", "-d", "few.db", "-p", "clustering=0.3", expect=UnknownNameError)
    assert "girth" in said


@pytest.mark.parametrize("command", ["show", "synthesize"])
def test_help_ends_with_an_example(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = run(command, "--help")
    assert f"Example: bogp graph {command}" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert command in run("--help")
