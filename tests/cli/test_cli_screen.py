"""``bogp screen`` as a user runs it."""

import json

import pytest

from bogp.cli import main
from bogp.database import GraphDatabase


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("screen") / "graphs.db"
    GraphDatabase.build(
        path, nodes=12, shape=(16, 64), sparsities=(0.8,), graphs=12, names=("clustering",)
    ).close()
    return path


def run(capsys, *words, status=0):
    with pytest.raises(SystemExit) as end:
        main(["screen", *map(str, words)])
    assert end.value.code == status
    return capsys.readouterr()


COMMON = ("-s", 0.8, "--data", "digits", "--model", "mlp:16", "--graphs", 6, "--population", 6)


def test_ranking_cost_and_correlation_are_printed(database, tmp_path, capsys):
    study = tmp_path / "screen.db"
    shown = run(capsys, database, *COMMON, "--study", study)
    assert "Best graphs at sparsity 0.8" in shown.out
    assert "6 graphs, 18 of 18 epochs trained" in " ".join(shown.out.split())
    assert "Rank correlation of the accuracy after epoch 2" in " ".join(shown.out.split())
    again = run(capsys, database, *COMMON, "--study", study, "--json", "--quiet")
    found = json.loads(again.out)
    accuracies = [graph["accuracy"] for graph in found["graphs"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert again.err == ""
    best = found["graphs"][0]
    (row,) = (
        line.split() for line in shown.out.splitlines() if line.split()[:1] == [str(best["graph"])]
    )
    assert row[1:3] == [f"{best['accuracy']:.4f}", f"{best['structure']['effective_sparsity']:.4f}"]


def test_rungs_stop_the_poorer_half(database, capsys):
    shown = run(capsys, database, *COMMON, "--rung", 1, "--json", "--quiet")
    found = json.loads(shown.out)
    assert (found["epochs"], found["full_epochs"]) == (12, 18)
    assert [graph["ended"] for graph in found["graphs"]] == ["whole"] * 3 + ["rung"] * 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--graphs", 13), "13 graphs are more than the 12"),
        (("--rung", 1, "--survivors", 1.5), "survivors = 1.5"),
        (("--device", "abacus"), "device 'abacus' cannot be used"),
        (("--recipe", "mine.toml"), "cannot read recipe 'mine.toml'"),
    ],
)
def test_bad_input_is_one_sentence(database, capsys, words, said):
    shown = run(capsys, database, *COMMON, *words, status=2)
    assert said in shown.err
    assert shown.err.count("\n") == 1


def baseline(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["baseline", "glob5", *map(str, words), "--json", "--quiet"])
    assert end.value.code == 0
    return json.loads(capsys.readouterr().out)["runs"]


def test_a_baseline_may_train_its_seeds_together(capsys):
    words = ("-s", 0.8, "--data", "digits", "--model", "mlp:16", "--seeds", 2, "--seed", 3)
    alone, together = baseline(capsys, *words), baseline(capsys, *words, "--together")
    assert [run["seed"] for run in together] == [3, 4]
    assert [set(run) for run in together] == [set(run) for run in alone]
    # The first seed has the order of the mini-batches that it has alone; the second shares it.
    assert together[0]["mask"] == alone[0]["mask"]
    assert together[0]["test"] == pytest.approx(alone[0]["test"], abs=0.03)
    assert [run["epochs"] for run in together] == [15, 15]
    assert together[0]["structure"]["effective_sparsity"] >= together[0]["sparsity"]
