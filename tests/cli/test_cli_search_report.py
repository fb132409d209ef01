import json

import pytest

from bogp.cli import main
from bogp.database import GraphDatabase

EVIDENCE = [
    "selected", "posterior", "shrunken", "conditional", "fresh", "sealed", "components",
    "runner_up", "comparisons", "left_out", "runs",
]  # fmt: skip
KEYS = [
    "key", "settings", "best", "finals", "trials", "random_trials", "evidence", "front",
    "random_front", "hypervolumes", "epochs",
]  # fmt: skip
INTERVAL = {"estimate", "low", "high", "count", "level"}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("search") / "graphs.db"
    shape = {"nodes": 12, "shape": (16, 64), "sparsities": (0.5, 0.9), "graphs": 6}
    with GraphDatabase.build(path, **shape):
        return path


@pytest.fixture(scope="module")
def study(database):
    """Where the study of these tests is: the first to run the search trains it."""
    return database.parent / "study.db"


def run(capsys, *words, status=0):
    with pytest.raises(SystemExit) as end:
        main([*map(str, words)])
    shown = capsys.readouterr()
    assert end.value.code == status, shown.err
    return shown


def words(database, study):
    given = ["search", database, "-s", "0.9", "-d", "digits", "--model", "mlp:16", "-n", "6"]
    return [*given, "--batch", "4", "--final-seeds", "2", "--study", study]


def test_the_json_is_complete_and_stable(database, study, capsys):
    shown = run(capsys, *words(database, study), "--json", "--quiet")
    assert shown.err == ""
    found = json.loads(shown.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert list(found) == KEYS
    assert list(found["evidence"]) == EVIDENCE
    assert set(found["evidence"]["sealed"]) == INTERVAL
    assert {"trial", "number", "value", "stopped", "point", "accuracy"} <= set(found["best"])
    assert len(found["trials"]) == 6
    assert set(found["trials"][0]["point"]) >= {
        "graph", "support", "criterion", "scope", "rounds", "sparsity",
    }  # fmt: skip
    assert {"name", "number", "seed", "selected", "accuracy", "loss"} <= set(found["finals"][0])
    for entry in found["evidence"]["comparisons"]:
        assert {"name", "accuracy", "lead"} <= set(entry)
        assert set(entry["lead"]) == INTERVAL
    names = {entry["name"] for entry in found["evidence"]["comparisons"]}
    assert "random search's winner" in names
    assert set(found["epochs"]) == {"search", "random search", "fresh seeds and controls"}
    assert found["front"] == []
    again = json.loads(run(capsys, *words(database, study), "--json", "--quiet").out)
    assert again == found


def test_report_and_resume_show_the_same_tables(database, study, capsys, tmp_path):
    page = tmp_path / "new" / "report.html"
    shown = run(capsys, *words(database, study), "--report", page, "--quiet")
    assert shown.err == ""
    tables, _, last = shown.out.rstrip("\n").rpartition("\n")
    assert last == f"report: {page}"
    assert "Random search at equal cost, and controls" in tables
    text = page.read_text()
    assert "--sparsity 0.9" in text
    assert "Random search and controls" in text
    resumed = run(capsys, "study", "resume", study, "--quiet")
    assert resumed.out.startswith(tables)
    assert json.loads(run(capsys, "study", "resume", study, "-q", "--json").out)["key"] in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-s", "0.9", "--report", "report.pdf"], "let its name end in .html"),
        (["--pareto", "--save", "masks", "--final-seeds", "0"], "give --final-seeds 1 or more"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_search(
    more, said, database, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shown = run(capsys, "search", database, "-d", "digits", *more, status=2)
    assert said in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["method"], "did you mean methods"),
        (["table1", "--trials", "9"], "--trials 9 goes with methods"),
        (["methods", "--trials", "0"], "trials = 0"),
        (["methods", "-s", "0.5"], "choose from 0.15"),
    ],
)
def test_bad_input_to_the_comparison_is_one_sentence(more, said, capsys, tmp_path):
    shown = run(capsys, "reproduce", *more, "-d", "digits", "-o", tmp_path / "o", status=2)
    assert said in shown.err
    assert shown.err.count("\n") == 1
