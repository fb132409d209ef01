import json
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from bogp.cli import main
from bogp.database import GraphDatabase

TINY = ["--data", "digits", "--model", "mlp:8", "-n", "1", "--final-seeds", "0", "-e", "paper"]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    path = tmp_path_factory.mktemp("errors") / "graphs.db"
    with GraphDatabase.build(path, nodes=8, shape=(8, 64), sparsities=(0.3, 0.6), graphs=12):
        return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, which must be as empty after the test unless it says otherwise."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fails(capsys, *words):
    """Run a command that must fail with status 2; return its one sentence."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert end.value.code == 2, err
    assert out == ""
    assert "Traceback" not in err
    *before, sentence = err.splitlines()
    assert all(line.startswith(("Loading", "warning:", "trainings:", "glob")) for line in before)
    assert sentence.startswith("error: ")
    return sentence.removeprefix("error: ")


@pytest.mark.parametrize("value", ["1.3", "-0.1", "nan", "1"])
@pytest.mark.parametrize("command", ["build", "search", "baseline", "reproduce"])
def test_sparsity_out_of_range(command, value, graphs, here, capsys):
    words = {
        "build": ["database", "build", "new.db"],
        "search": ["search", graphs, *TINY, "--study", "study.db", "-q"],
        "baseline": ["baseline", "glob1", "--data", "digits", "--seeds", "1", "-q"],
        "reproduce": ["reproduce", "table1", "--data", "digits", "--out", "out", "-q"],
    }[command]
    sentence = fails(capsys, *words, f"--sparsity={value}")
    assert f"sparsity {value}" in sentence
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "{g}", "-s", "0.6", "-p", "clusterin"], "did you mean clustering"),
        (["search", "{g}", "-s", "0.6", "--data", "digit"], "did you mean digits"),
        (["search", "{g}", "-s", "0.6", "--engine", "papr"], "did you mean paper"),
        (["search", "{g}", "-s", "0.6", "--recipe", "calibrate"], "did you mean calibrated"),
        (["search", "{g}", "-s", "0.6", "--metric", "cosin"], "did you mean cosine"),
        (["search", "{g}", "-s", "0.6", "--scale", "row"], "did you mean raw"),
        (["search", "{g}", "-s", "0.6", "--protocol", "papers"], "did you mean paper"),
        (["search", "{g}", "-s", "0.6", "--layers", "hiden"], "choose 'hidden' or 'all'"),
        (
            ["search", "{g}", "-s", "0.6", "--model", "cnn"],
            "model 'cnn' is unknown: give 'mlp:128'",
        ),
        (["search", "{g}", "-s", "0.6", "--trials", "0"], "trials = 0"),
        (["search", "{g}", "-s", "0.5"], "choose from 0.3, 0.6"),
        (["search", "{g}"], "give one of a sparsity"),
        (["search", "{g}", "-s", "0.6", "--alpha", "0.2"], "2 are given"),
        (["search", "{g}", "--alpha", "nan"], "alpha = nan"),
        (["baseline", "glob2", "--data", "digits", "-s", "0.6"], "did you mean glob"),
        (["baseline", "glob1", "--data", "digits"], "needs a sparsity"),
        (["baseline", "glob1", "--data", "digits", "--seeds", "0"], "give 1 or more"),
        (["reproduce", "tabel1", "--data", "digits"], "did you mean table1"),
        (["reproduce", "table1", "--layers", "hiden"], "did you mean hidden"),
        (["reproduce", "table1", "--seeds", "0"], "seeds = 0"),
        (["reproduce", "table1", "--quick", "-s", "0.15"], "choose from 0.3, 0.9, 0.95"),
        (["database", "build", "n.db", "--family", "unifrom"], "did you mean uniform"),
        (["database", "build", "n.db", "--nodes", "64", "--shape", "32x784"], "32"),
        (["list", "engine"], "did you mean engines"),
        (["data", "show", "mnits"], "did you mean mnist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_value_is_one_sentence_that_offers_the_right_one(words, said, graphs, here, capsys):
    words = [word.format(g=graphs) for word in words]
    if words[0] == "search":
        words[2:2] = [*TINY, "--study", "study.db"]
    assert said in fails(capsys, *words)
    made = [path.name for path in here.iterdir()]
    assert not made or words[0] == "reproduce"


def test_graphs_with_more_nodes_than_the_layer_has_units(graphs, here, capsys):
    words = ["search", graphs, "-s", 0.6, *TINY, "--model", "mlp:4", "--study", "study.db"]
    sentence = fails(capsys, *words)
    assert "8 nodes" in sentence
    assert "4" in sentence
    assert not list(here.iterdir())


def database_of_another_version(path):
    GraphDatabase.build(path, nodes=4, sparsities=(0.5,), graphs=2).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def truncated_database(path):
    GraphDatabase.build(path, nodes=8, sparsities=(0.5,), graphs=60).close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_sqlite(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (id)")
    connection.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("no database"), "is not a bogp database"),
        (other_sqlite, "is an SQLite file but not a bogp database"),
        (database_of_another_version, "schema version 99"),
        (truncated_database, "corrupt or truncated"),
        (lambda path: None, "there is no graph database at"),
        (lambda path: path.mkdir(), "cannot read graph database"),
    ],
)
@pytest.mark.parametrize("command", ["show", "search"])
def test_a_file_that_is_no_usable_database(make, said, command, here, capsys):
    make(here / "wrong.db")
    before = sorted(here.iterdir())
    words = (
        ["database", "show", "wrong.db"]
        if command == "show"
        else ["search", "wrong.db", "-s", 0.5, "--data", "digits"]
    )
    assert said in fails(capsys, *words)
    assert sorted(here.iterdir()) == before


def test_a_study_of_other_settings_is_refused_and_kept(graphs, here, capsys):
    words = ["search", graphs, "-s", 0.6, *TINY, "--study", "study.db", "--name", "mine", "-q"]
    main_ok(words)
    capsys.readouterr()
    before = (here / "study.db").read_bytes()
    assert "was made with kappa = 5.0, not 2.0" in fails(capsys, *words, "--kappa", 2)
    assert (here / "study.db").read_bytes() == before


def main_ok(words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0


def test_a_second_process_on_the_same_study(graphs, here, capsys):
    code = (
        "import filelock\n"
        "with filelock.FileLock('study.db.lock', timeout=0):\n"
        "    print('held', flush=True)\n"
        "    input()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, cwd=here, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        words = ["search", graphs, "-s", 0.6, *TINY, "--study", "study.db"]
        assert "in use by another process" in fails(capsys, *words)
        assert not (here / "study.db").exists()
        holder.communicate("\n")


@pytest.mark.parametrize(
    "words",
    [
        ["search", "{g}", "-s", "0.6", "--data", "digits", "--study", "file/study.db"],
        ["search", "{g}", "-s", "0.6", "--data", "digits", "--save", "file/mask.safetensors"],
        ["database", "build", "file/g.db", "--nodes", "8"],
        ["demo", "--data", "digits", "--out", "file/demo"],
        ["reproduce", "table1", "--quick", "--data", "digits", "--out", "file/out"],
    ],
    ids=lambda words: words[-1],
)
def test_a_folder_that_cannot_be_written(words, graphs, here, capsys):
    (here / "file").write_text("in the way")
    assert "cannot write to folder 'file" in fails(
        capsys, *[word.format(g=graphs) for word in words]
    )
    assert (here / "file").read_text() == "in the way"
    assert [path.name for path in here.iterdir()] == ["file"]


def corrupt_npz(folder):
    arrays = {f"x_{part}": np.zeros((9, 4), np.uint8) for part in ("train", "test")}
    arrays |= {f"y_{part}": np.arange(9) % 3 for part in ("train", "test")}
    np.savez(folder / "data.npz", **arrays)
    content = (folder / "data.npz").read_bytes()
    (folder / "data.npz").write_bytes(content[: len(content) // 2])
    return "data.npz"


def truncated_idx(folder):
    for name, dimensions in (("train", 9), ("t10k", 9)):
        images = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4) for n in (dimensions, 2, 2))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(images + bytes(4 * dimensions - 3))
        labels = bytes([0, 0, 8, 1]) + dimensions.to_bytes(4)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(labels + bytes(dimensions))
    return str(folder)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (corrupt_npz, "corrupt or truncated"),
        (truncated_idx, "train-images-idx3-ubyte"),
        (lambda folder: "nowhere_at_all:function", "cannot import module 'nowhere_at_all'"),
        (lambda folder: "json:no_such", "has no function 'no_such'"),
        (lambda folder: "gone.npz", "no data at"),
    ],
)
def test_data_that_cannot_be_read(make, said, here, capsys):
    source = make(here)
    assert said in fails(capsys, "data", "show", source)
    assert said in fails(capsys, "baseline", "dense", "--data", source)


def test_json_is_all_there_is_on_standard_output(graphs, here, capsys):
    main_ok(["search", graphs, "-s", 0.6, *TINY, "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["settings"]["sparsity"] == 0.6
    assert "trainings: 1 of 1" in err
    main_ok(["search", graphs, "-s", 0.6, *TINY, "--json", "--quiet"])
    out, err = capsys.readouterr()
    assert len(json.loads(out)["trials"]) == 1
    assert err == ""


def test_each_constant_property_is_named_once(graphs, here, capsys):
    main_ok(["search", graphs, "-s", 0.6, *TINY])
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    with GraphDatabase.open(graphs) as opened:
        constant = opened.constant(sparsity=0.6)
    assert constant
    assert [line.split()[1] for line in lines] == list(constant)
