import json

import pytest
from typer.testing import CliRunner

from bogp.cli.common import parse_pairs, parse_shape
from bogp.cli.database import database as app
from bogp.database import ALL_PROPERTIES, PAPER_SPARSITIES, GraphDatabase
from bogp.errors import BogpError, DatabaseError, SettingError, SparsityError, UnknownNameError

SMALL = ["--nodes", "8", "--shape", "8x12", "-s", "0.6", "-s", "0.3", "--graphs", "5"]


def run(*arguments, expect=None):
    """Run a command; return its standard output, or the error that it raised if expected."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if expect is not None:
        assert isinstance(result.exception, expect), result.output
        assert isinstance(result.exception, BogpError)
        return str(result.exception)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("cli") / "graphs.db"
    run("build", file, *SMALL, "--quiet")
    return file


def test_build_says_what_it_built_and_what_is_constant(tmp_path):
    file = tmp_path / "g.db"
    text = run("build", file, *SMALL)
    assert "10 of 10, 5 for each sparsity" in text
    assert "8x12" in text
    assert "Constant at sparsity 0.6" in text
    assert "degree_centrality=" in text
    again = json.loads(run("build", file, *SMALL, "--json"))
    assert again["complete"]
    assert again["sparsities"] == [0.3, 0.6]
    assert again["shape"] == [8, 12]
    assert "degree_centrality" in again["constant"]["0.6"]


def test_build_passes_every_option_on(tmp_path):
    file = tmp_path / "g.db"
    options = ["--family", "random_mask", "--seed", "9", "-p", "clustering", "-p", "transitivity"]
    run("build", file, *SMALL, *options, "-q")
    with GraphDatabase.open(file) as opened:
        assert (opened.nodes, opened.shape, opened.plan.graphs) == (8, (8, 12), 5)
        assert (opened.family, opened.seed) == ("random_mask", 9)
        assert opened.names == ("clustering", "transitivity")


def test_progress_goes_to_standard_error_unless_quiet(tmp_path):
    result = CliRunner().invoke(app, ["build", str(tmp_path / "g.db"), *SMALL])
    assert "building g.db: 10 of 10" in result.stderr
    assert "building" not in result.stdout
    result = CliRunner().invoke(app, ["build", str(tmp_path / "h.db"), *SMALL, "-q"])
    assert result.stderr == ""


def test_show_prints_plan_ranges_and_constants(path):
    text = run("show", path)
    for name in ALL_PROPERTIES:
        assert name in text
    assert "all sparsities" in text
    assert "Constant at sparsity 0.3" in text
    only = run("show", path, "-s", "0.6", "--rows", "2")
    assert "sparsity 0.6" in only
    assert "Constant at sparsity 0.3" not in only
    assert "First graphs" in only
    assert "First graphs" not in text


def test_show_as_json_holds_the_numbers(path):
    shown = json.loads(run("show", path, "--sparsity", "0.6", "--rows", "2", "--json"))
    with GraphDatabase.open(path) as opened:
        reach = opened.coverage(0.6, opened.names)["clustering"]
        record = opened.record(5)
    assert shown["coverage"]["clustering"] == vars(reach)
    assert [row["id"] for row in shown["rows"]] == [5, 6]
    assert shown["rows"][0]["clustering"] == record.properties["clustering"]
    assert shown["graphs"] == 10


def test_nearest_agrees_with_the_library(path):
    wanted = ["-p", "clustering=0.5", "-p", "edge_connectivity=2"]
    options = ["-s", "0.6", "--metric", "l2", "--scale", "standardised", "--count", "3"]
    entries = json.loads(run("nearest", path, *wanted, *options, "--json"))
    with GraphDatabase.open(path) as opened:
        found = opened.nearest(
            {"clustering": 0.5, "edge_connectivity": 2.0},
            metric="l2",
            scale="standardised",
            count=3,
            sparsity=0.6,
        )
    assert [entry["id"] for entry in entries] == [n.id for n in found]
    assert [entry["score"] for entry in entries] == [n.score for n in found]
    assert {entry["sparsity"] for entry in entries} == {0.6}
    text = run("nearest", path, *wanted, *options)
    assert "score is distance" in text
    assert f"{found[0].score:.6g}" in text


def test_bad_input_is_one_sentence(path, tmp_path):
    new = tmp_path / "g.db"
    assert "1.2 is not in [0, 1)" in run("build", new, "-s", "1.2", expect=SparsityError)
    assert "'128'" in run("build", new, "--shape", "128", expect=SettingError)
    assert "did you mean uniform?" in run(
        "build", new, "--family", "unifom", expect=UnknownNameError
    )
    assert not new.exists()
    assert "seed 0, not 1" in run("build", path, *SMALL, "--seed", "1", expect=DatabaseError)
    assert "no graph database" in run("show", new, expect=DatabaseError)
    assert "0.3, 0.6" in run("show", path, "-s", "0.5", expect=DatabaseError)
    assert "'cosin'" in run(
        "nearest", path, "-p", "clustering=1", "--metric", "cosin", expect=UnknownNameError
    )
    assert "NAME=VALUE" in run("nearest", path, "-p", "clustering", expect=SettingError)
    twice = ["-p", "clustering=1", "-p", "clustering=2"]
    assert "given twice" in run("nearest", path, *twice, expect=SettingError)


def test_help_is_a_manual():
    text = run("--help")
    for command in ("build", "show", "nearest"):
        assert command in text
        assert "Example: bogp database" in run(command, "--help")
    options = " ".join(run("build", "--help").replace("│", " ").split())
    for sparsity in PAPER_SPARSITIES:
        assert str(sparsity) in options
    assert "random_mask" in options


@pytest.mark.parametrize("text", ["128", "ax3", "3x", "1x2x3", "-1x2", "1.5x2"])
def test_a_shape_is_two_whole_numbers(text):
    with pytest.raises(SettingError, match="is not two whole numbers: write OUTxIN"):
        parse_shape(text)
    assert parse_shape("3 X 4") == parse_shape("3×4") == (3, 4)


def test_pairs():
    assert parse_pairs(["a=1e-3", "b = 2"], "-p") == {"a": 0.001, "b": 2.0}
    with pytest.raises(SettingError, match="NAME=VALUE"):
        parse_pairs(["a=x"], "-p")
