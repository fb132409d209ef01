import csv
import json

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from bogp.analysis import compare_coverage
from bogp.cli import coverage as coverage_module
from bogp.cli.common import generator_parameters, parse_pairs, parse_shape
from bogp.cli.coverage import histogram
from bogp.cli.database import database as app
from bogp.database import ALL_PROPERTIES, PAPER_SPARSITIES, GraphDatabase, store
from bogp.database.build import planned_database
from bogp.errors import (
    BogpError,
    DatabaseError,
    OutputError,
    SettingError,
    SparsityError,
    UnknownNameError,
)
from bogp.graphs import generate, properties
from bogp.keys import derive_seed

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
    run("build", file, *SMALL, *options, "-q", "--threads", "1")
    with GraphDatabase.open(file) as opened:
        assert (opened.nodes, opened.shape, opened.plan.graphs) == (8, (8, 12), 5)
        assert (opened.family, opened.seed) == ("random_mask", 9)
        assert opened.names == ("clustering", "transitivity")


def test_the_default_family_is_mixed_and_threads_change_nothing(path, tmp_path, monkeypatch):
    file, asked = tmp_path / "g.db", []

    def build_file(*arguments):
        asked.append(arguments[-1])
        store_build_file(*arguments)

    store_build_file = store.build_file
    monkeypatch.setattr(store, "build_file", build_file)
    run("build", file, *SMALL, "-q", "-t", "3")
    run("build", file, *SMALL, "-q")
    assert asked == [3, None]
    with GraphDatabase.open(path) as one, GraphDatabase.open(file) as three:
        assert one.family == "mixed"
        np.testing.assert_array_equal(one.vectors(one.names)[1], three.vectors(one.names)[1])


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
    assert vars(reach).items() <= shown["coverage"]["clustering"].items()
    assert sum(shown["coverage"]["clustering"]["counts"]) == 5
    assert [row["id"] for row in shown["rows"]] == [5, 6]
    assert shown["rows"][0]["clustering"] == record.properties["clustering"]
    assert shown["graphs"] == 10


def test_the_uniform_twin_has_as_many_graphs_of_as_many_nodes_and_edges(path):
    shown = json.loads(run("show", path, "--sparsity", "0.6", "--json", "-q"))
    with GraphDatabase.open(path) as opened:
        ids, vectors = opened.vectors(opened.names, 0.6)
        edges = opened.record(int(ids[0])).edges
        names = opened.names
    seeds = [derive_seed(0, "uniform twin", int(graph_id)) for graph_id in ids]
    stack = np.stack([generate("uniform", 8, edges, seed).adjacency for seed in seeds])
    twins = np.column_stack(list(properties(stack, names).values()))
    expected = compare_coverage(names, vectors, twins)
    uniform = shown["uniform"]
    assert uniform["graphs"] == 5
    assert uniform["ratios"] == expected.ratios
    assert uniform["dimensions"] == expected.second.dimensions
    assert uniform["coverage"]["clustering"]["maximum"] == twins[:, names.index("clustering")].max()
    assert (uniform["cells"], uniform["database"]["cells"]) == (
        expected.second_cells,
        expected.cells,
    )
    assert shown["dimensions"] == expected.first.dimensions
    alone = json.loads(run("show", path, "--sparsity", "0.6", "--json", "--no-uniform"))
    assert alone["uniform"] is None
    assert alone["coverage"] == shown["coverage"]


def test_show_says_in_words_what_follows_from_what(path):
    text = " ".join(run("show", path, "-s", "0.6", "-q").split())
    assert "Effective dimensions: " in text
    assert "Uniform: 5 graphs of family uniform with the same nodes and edges." in text
    assert "range ratio" in text
    assert "Collinear: " in text
    alone = run("show", path, "-s", "0.6", "--no-uniform")
    assert "niform" not in alone.replace("--no-uniform", "")


def test_no_more_than_so_many_uniform_graphs_are_drawn_and_it_says_so(path, monkeypatch):
    monkeypatch.setattr(coverage_module, "MOST_UNIFORM", 4)
    text = " ".join(run("show", path, "-q").split())
    assert "Uniform: 4 graphs" in text
    assert "no more than 4 are drawn; set against 4 of the database" in text
    shown = json.loads(run("show", path, "-q", "--json"))
    assert (shown["graphs"], shown["uniform"]["graphs"]) == (10, 4)
    assert shown["uniform"]["database"]["graphs"] == 4


def test_show_draws_the_figure(path, tmp_path):
    file = tmp_path / "new" / "c.svg"
    text = run("show", path, "-s", "0.6", "-q", "--figure", file)
    assert f"figure written to {file}" in text
    assert file.read_text().startswith("<?xml")
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_figure_of_another_kind_is_refused_before_any_work(path, tmp_path):
    said = run("show", path, "--figure", tmp_path / "c.pdf", expect=OutputError)
    assert "end in .png or .svg" in said
    assert not list(tmp_path.iterdir())


def test_a_build_that_has_no_graphs_yet_is_shown_but_not_drawn(path, tmp_path):
    with GraphDatabase.open(path) as opened:
        (tmp_path / "empty.db").write_bytes(planned_database(opened.plan, opened.plan.origins))
    text = run("show", tmp_path / "empty.db", "-q")
    assert "0 of 10" in text
    assert "Not complete" in text
    assert json.loads(run("show", tmp_path / "empty.db", "-q", "--json"))["coverage"] == {}
    figure = tmp_path / "c.png"
    said = run("show", tmp_path / "empty.db", "--figure", figure, expect=DatabaseError)
    assert "no graphs to draw yet" in said
    assert not figure.exists()


def test_text_histogram():
    assert histogram([0, 1, 50, 100]) == " ▁▄█"
    assert histogram([0, 0, 7]) == "  █"
    assert histogram([1, 1000]) == "▁█"  # a bar that holds anything shows


def test_export_and_import_round_trip(path, tmp_path):
    table, copy = tmp_path / "t.csv", tmp_path / "copy.db"
    assert "10 graphs written to" in run("export", path, table)
    text = run("import", copy, table, "--shape", "8x12")
    assert "10 graphs of" in text
    with GraphDatabase.open(path) as old, GraphDatabase.open(copy) as new:
        np.testing.assert_array_equal(old.vectors(old.names)[1], new.vectors(old.names)[1])
        assert old.record(7).graph == new.record(7).graph
        assert (new.shape, new.sparsities) == ((8, 12), (0.3, 0.6))
    assert "10 of" not in run("show", copy, "-q").split("nodes")[0]  # nothing is still to be built


def test_export_passes_every_option_on(path, tmp_path):
    table = tmp_path / "t.csv"
    options = ["-p", "clustering", "-s", "0.6", "--no-graphs", "--json"]
    said = json.loads(run("export", path, table, *options))
    assert said["rows"] == 5
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert {"clustering", "sparsity"} <= set(rows[0])
    assert not {"adjacency", "transitivity"} & set(rows[0])


def theirs(tmp_path, rows=12):
    """Write somebody's table: two properties, one under another name, and two measured values."""
    rng = np.random.default_rng(0)
    file = tmp_path / "theirs.csv"
    lines = [f"{k},{k / rows},{rng.random()},{0.9 + 0.01 * k**0.5},fine\n" for k in range(rows)]
    file.write_text("".join(["model,average_clustering,weirdness,top1,comment\n", *lines]))
    return file


def test_somebodys_table_is_imported_and_its_measured_values_are_correlated(tmp_path):
    table, made = theirs(tmp_path), tmp_path / "made.db"
    options = ["--rename", "average_clustering=clustering", "--rename", "model=id"]
    options += ["-p", "clustering", "-p", "weirdness", "-m", "top1", "--leave-out", "comment"]
    said = json.loads(run("import", made, table, *options, "-s", "0.9", "--nodes", "16", "--json"))
    assert said["properties"] == ["clustering", "weirdness"]
    assert said["measured"] == ["top1"]
    shown = json.loads(run("show", made, "--json", "-q"))
    rho = shown["measured"]["top1"]["clustering"]
    assert rho["rho"] == pytest.approx(1.0)
    with GraphDatabase.open(made) as opened:
        _, vectors = opened.vectors(opened.names)
        _, values = opened.measured("top1")
    other = shown["measured"]["top1"]["weirdness"]
    assert other["rho"] == pytest.approx(stats.spearmanr(vectors[:, 1], values).statistic)
    assert other["interval"]["low"] < other["rho"] < other["interval"]["high"]
    assert shown["uniform"] is None  # the edges of these graphs are not known
    text = " ".join(run("show", made, "-q").split())
    assert "Rank correlation with top1" in text
    assert "nodes or edges of these are not known" in text


def test_a_number_that_few_graphs_have_is_not_correlated(tmp_path):
    made = tmp_path / "made.db"
    options = ["--leave-out", "model", "--leave-out", "comment", "-p", "weirdness", "-m", "top1"]
    options += ["--leave-out", "average_clustering", "-s", "0.5", "--nodes", "4"]
    run("import", made, theirs(tmp_path, rows=2), *options)
    assert json.loads(run("show", made, "--json", "-q"))["measured"] == {}


def test_bad_exchange_is_one_sentence_and_leaves_nothing(path, tmp_path):
    table, made = theirs(tmp_path), tmp_path / "made.db"
    before = sorted(tmp_path.iterdir())
    assert "'model'" in run(
        "import", made, table, "-s", "0.9", "-p", "weirdness", expect=DatabaseError
    )
    assert "THEIRS=OURS" in run("import", made, table, "--rename", "a", expect=SettingError)
    both = ["--rename", "model=id", "--leave-out", "model"]
    assert "renamed and left out" in run("import", made, table, *both, expect=SettingError)
    assert "no graph database" in run("export", made, tmp_path / "t.csv", expect=DatabaseError)
    assert ".csv or .parquet" in run("export", path, tmp_path / "t.txt", expect=DatabaseError)
    assert sorted(tmp_path.iterdir()) == before


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
    for command in ("build", "show", "nearest", "export", "import"):
        assert command in text
        assert "Example: bogp database" in run(command, "--help")
    options = " ".join(run("build", "--help").replace("│", " ").split())
    for sparsity in PAPER_SPARSITIES:
        assert str(sparsity) in options
    assert "random_mask" in options
    assert "mixed" in options


@pytest.mark.parametrize("text", ["128", "ax3", "3x", "1x2x3", "-1x2", "1.5x2"])
def test_a_shape_is_two_whole_numbers(text):
    with pytest.raises(SettingError, match="is not two whole numbers: write OUTxIN"):
        parse_shape(text)
    assert parse_shape("3 X 4") == parse_shape("3×4") == (3, 4)


def test_pairs():
    assert parse_pairs(["a=1e-3", "b = 2"], "-p") == {"a": 0.001, "b": 2.0}
    with pytest.raises(SettingError, match="NAME=VALUE"):
        parse_pairs(["a=x"], "-p")


def test_parameters_of_a_generator():
    assert generator_parameters(["kind=hubs", "p=0.5", "blocks=3"]) == {
        "kind": "hubs",
        "p": 0.5,
        "blocks": 3,
    }
    with pytest.raises(SettingError, match="'kind' is given twice"):
        generator_parameters(["kind=hubs", "kind=cliques"])
    with pytest.raises(SettingError, match="NAME=VALUE"):
        generator_parameters(["p=much"])
