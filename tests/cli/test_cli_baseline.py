import json

import pytest

from bogp.cli import main
from bogp.criteria import CRITERIA
from bogp.masks import SCOPES


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main([*map(str, words)])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow", "erk"])
def test_a_method_that_prunes_before_training_is_a_baseline(name, capsys):
    words = ("-s", 0.9, "--data", "digits", "--model", "mlp:16", "--layers", "all", "--seeds", 2)
    shown = json.loads(run(capsys, "baseline", name, *words, "--json", "--quiet"))
    assert shown["method"] == name
    kept = round(0.1 * (64 * 16 + 16 * 10))
    for record in shown["runs"]:
        assert record["sparsity"] == 1 - kept / (64 * 16 + 16 * 10)
        assert record["epochs"] == 3
        assert 0.0 < record["test"] < 1.0
    assert shown["runs"][0]["mask"] != shown["runs"][1]["mask"]


def test_criteria_scopes_and_methods_are_listed(capsys):
    listed = json.loads(run(capsys, "list", "--json"))
    assert list(listed["criteria"]) == list(CRITERIA)
    assert list(listed["scopes"]) == list(SCOPES)
    assert listed["methods"]["erk"] == "criterion random, scope erk, pruning rounds 1"
    for kind in ("criteria", "scopes"):
        assert all(listed[kind].values())


def test_the_effective_sparsity_is_the_mean_over_seeds_and_a_dash_where_it_cannot_be_told(capsys):
    words = ("-s", 0.97, "--data", "digits", "--seeds", 2, "--quiet", "--model")
    runs = json.loads(run(capsys, "baseline", "random", *words, "mlp:16", "--json"))["runs"]
    each = [one["structure"]["effective_sparsity"] for one in runs]
    assert each[0] != each[1]
    shown = run(capsys, "baseline", "random", *words, "mlp:16")
    (row,) = (line.split() for line in shown.splitlines() if line.strip().startswith("0.9"))
    assert row[:2] == [f"{runs[0]['sparsity']:.4f}", f"{sum(each) / 2:.4f}"]
    shown = run(capsys, "baseline", "random", *words, "vit:width=16,depth=1")
    (row,) = (line.split() for line in shown.splitlines() if line.strip().startswith("0.9"))
    assert row[1] == "–"


def test_the_narrower_network_is_a_dense_one_of_another_width(capsys):
    words = ("--data", "digits", "--layers", "all", "--seeds", 2, "--quiet")
    wide = ("narrower", "-s", 0.9, "--model", "mlp:16")
    shown = json.loads(run(capsys, "baseline", *wide, *words, "--json"))
    assert shown["narrower"] == {"spec": "mlp:2", "weights": 148, "multiply_adds": 148}
    dense = json.loads(run(capsys, "baseline", "dense", "--model", "mlp:2", *words, "--json"))
    timeless = [
        [{name: value for name, value in one.items() if name != "seconds"} for one in each["runs"]]
        for each in (shown, dense)
    ]
    assert timeless[0] == timeless[1]
    assert "narrower" not in dense
    text = run(capsys, "baseline", *wide, *words)
    assert text.startswith("narrower, mlp:2 for mlp:16, layers all")
    assert "The narrower network: mlp:2, 148 weights, 148 multiply-adds." in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "method 'narrower' needs a sparsity: give 0.9 say"),
        (("-s", 0.9, "--model", "torch.nn:Identity"), "'torch.nn:Identity' is none of them"),
    ],
)
def test_what_has_no_narrower_network_is_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        main([*map(str, ("baseline", "narrower", "--data", "digits", *words))])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err
