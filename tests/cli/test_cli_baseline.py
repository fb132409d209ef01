import json

import pytest

from bogp.cli import main
from bogp.criteria import CRITERIA
from bogp.masks import SCOPES
from bogp.sparsify import METHODS


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
    assert list(listed["methods"]) == list(METHODS)
    assert "a mask that moves, 1 training" in listed["methods"]["rigl"]
    for kind in ("criteria", "methods", "scopes"):
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


SMALL = ("--data", "digits", "--model", "mlp:16", "--seeds", 2, "-s", 0.8, "--quiet")


@pytest.mark.parametrize(
    ("method", "words", "largest"),  # unit, of which the number of weights is off by half at most
    [
        ("gradual", (), 1),
        ("gradual", ("--granularity", "block", "--block", 4), 20),
        ("gradual", ("--granularity", "channel"), 64 + 10),
        ("set", ("--every", 10), 1),
        ("rigl", ("--block", 4, "--end", 0.5), 20),
        ("snip", ("--block", 4), 20),
    ],
)
@pytest.mark.parametrize("support", [(), ("--support", "first=ring_lattice:nodes=8,density=0.4")])
def test_a_mask_moves_in_one_training_inside_its_support(method, words, largest, support, capsys):
    shown = json.loads(run(capsys, "baseline", method, *SMALL, *words, *support, "--json"))
    total = 64 * 16 + 16 * 10
    for record in shown["runs"]:
        assert record["epochs"] == 3
        assert abs((1 - record["sparsity"]) * total - round(0.2 * total)) <= largest / 2
    assert shown["runs"][0]["mask"] != shown["runs"][1]["mask"]
    text = run(capsys, "baseline", method, *SMALL, *words, *support)
    assert ("inside first=ring_lattice:nodes=8,density=0.4" in " ".join(text.split())) == bool(
        support
    )
    assert "epochs a seed" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("rigl", "--granularity", "channel"), "channels that left a network do not come back"),
        (("dense", "--every", 3), "every = 3 is of a method that prunes, and dense is none"),
        (("gradual", "--block", 99), "no layer has two nodes of 99 channels"),
        (
            ("gradual", "--support", "ring_lattice:nodes=8,density=0.1", "--layers", "hidden"),
            "and sparsity 0.8 keeps 205: take a denser support",
        ),
        (("gradual", "--support", "9=none"), "a support for '9', which is not a layer to prune"),
    ],
)
def test_a_mask_that_cannot_be_is_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        main([*map(str, ("baseline", *words, *SMALL))])
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""
