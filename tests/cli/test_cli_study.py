"""``bogp study`` as a user runs it."""

import contextlib
import csv
import json
import sqlite3
import subprocess
import sys

import pytest
from rich.console import Console

from bogp.cli import common, main
from bogp.study import PlannedTrial, Study

SETTINGS = {"engine": "pool", "sparsity": 0.9, "recipe": {"epochs": 3}}
SPACE = {"support_density": (0.1, 1.0), "criterion": ("random", "snip")}


def run(capsys, *words, status=0):
    with pytest.raises(SystemExit) as end:
        main(["study", *map(str, words)])
    shown = capsys.readouterr()
    assert end.value.code == status, shown.err
    return shown


def ask(count):
    parameters = {"support_density": 0.25, "criterion": "snip"}
    return [PlannedTrial({"graph": place}, parameters) for place in range(count)]


def fill(path, name="bogp", two=False, **notes):
    objectives = ("accuracy", "sparsity") if two else ("accuracy",)
    second = 0.9 if two else None
    settings = {**SETTINGS, "sparsity": None if two else 0.9}
    with Study(path, settings, name=name, objectives=objectives, space=SPACE) as study:
        for key, value in notes.items():
            study.note(key, value)
        for arm in ("search", "random"):
            batch = study.open_batch(arm, ask(3))
            study.begin(batch, (0, 1, 2))
            study.finish(batch, 0, 0.5, {"epochs": 3, "loss": float("nan")}, second=second)
            study.finish(batch, 1, 0.25, {"epochs": 1}, stopped=True, steps=(0.25,), second=second)
            study.fail(batch, 2, "the worker was lost")
            study.begin(batch, (2,))
            study.finish(batch, 2, 0.75, {"epochs": 3}, second=second)
    return path


@pytest.fixture
def path(tmp_path):
    return fill(tmp_path / "study.db")


def test_list_says_what_each_study_is_and_how_far(path, capsys, monkeypatch):
    fill(path, "front", two=True)
    found = json.loads(run(capsys, "list", path, "--json").out)
    one, front = found["studies"]
    assert (one["study"], one["engine"], one["goal"]) == ("bogp", "pool", "s = 0.9")
    counts = {"ended": 2, "stopped": 1, "failed": 1, "running": 0}
    assert one["random"] == counts
    assert counts.items() <= one.items()
    assert (one["best"], one["epochs"]) == (0.75, 14)
    assert front["goal"] == "accuracy and sparsity"
    assert front["key"] != one["key"]
    monkeypatch.setattr(common, "console", Console(width=200))
    text = run(capsys, "list", f"sqlite:///{path}").out
    for word in ("bogp", "front", one["key"], "2 + 2", "0.7500", one["changed"][:10]):
        assert word in text


def test_studies_of_others_are_named_and_left(path, capsys):
    import optuna

    optuna.create_study(storage=f"sqlite:///{path}", study_name="theirs")
    assert json.loads(run(capsys, "list", path, "--json").out)["others"] == ["theirs"]
    assert "left alone: theirs" in " ".join(run(capsys, "list", path).out.split())


def test_show_prints_settings_trials_batches_and_failures(path, capsys):
    text = " ".join(run(capsys, "show", path).out.split())
    for words in (
        *("Study bogp, key", "Best trials of arm search", "Best trials of arm random"),
        *("1 batches, 3 trials asked; 2 ended, 1 stopped early, 1 attempts failed, 0 running"),
        *("the worker was lost", "support_density 0.25, criterion snip"),
    ):
        assert words in text
    found = json.loads(run(capsys, "show", path, "--json").out)
    assert found["settings"] == SETTINGS
    assert [trial["value"] for trial in found["arms"]["search"]["trials"]] == [
        *(0.5, 0.25, None, 0.75)
    ]
    assert found["arms"]["search"]["trials"][0]["record"]["loss"] is None


def test_show_prints_the_effective_sparsity_where_a_record_has_it(tmp_path, capsys):
    path = tmp_path / "study.db"
    with Study(path, SETTINGS, space=SPACE) as study:
        batch = study.open_batch("search", ask(2))
        study.begin(batch, (0, 1))
        study.finish(batch, 0, 0.5, {"structure": {"effective_sparsity": 0.9125}})
        study.finish(batch, 1, 0.25, {"structure": None})
    rows = run(capsys, "show", path).out
    first, second = (line.split() for line in rows.splitlines() if "support_density 0.25" in line)
    assert first[:4] == ["1", "0.5000", "0.9125", "1.1"]
    assert second[:4] == ["2", "0.2500", "–", "1.2"]
    assert "kept weights on no path" in " ".join(rows.split())


def test_show_says_who_runs_what_until_when(tmp_path, capsys):
    path = tmp_path / "study.db"
    with Study(path, SETTINGS, space=SPACE) as study:
        study.begin(study.open_batch("search", ask(1)), (0,))
        found = json.loads(run(capsys, "show", path, "--json").out)
        text = " ".join(run(capsys, "show", path).out.split())
    (trial,) = found["arms"]["search"]["trials"]
    assert trial["state"] == "running"
    assert f"process {trial['lease']['owner']['pid']} on" in text


def test_export_holds_every_attempt_in_three_formats(path, tmp_path, capsys):
    for suffix in ("json", "jsonl", "csv"):
        run(capsys, "export", path, "--out", tmp_path / f"out.{suffix}")
    whole = json.loads((tmp_path / "out.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(lines) == len(rows) == 8
    inside = [trial for arm in whole["arms"].values() for trial in arm["trials"]]
    assert sorted(map(json.dumps, inside)) == sorted(map(json.dumps, lines))
    for line, row in zip(lines, rows, strict=True):
        for name in ("number", "batch", "position", "attempt"):
            assert int(row[name]) == line[name]
        assert row["value"] == ("" if line["value"] is None else repr(line["value"]))
        assert json.loads(row["point"]) == line["point"]
        assert row["record"] == ("" if line["record"] is None else json.dumps(line["record"]))
        assert float(row["parameter support_density"]) == 0.25
        assert (row["state"], row["reason"] or None) == (line["state"], line["reason"])
    said = json.loads(run(capsys, "export", path, "-o", tmp_path / "out.csv", "--json").out)
    assert said["attempts"] == 8


HEAVY = ("torch", "botorch", "gpytorch", "scipy", "sklearn", "matplotlib", "networkx", "numba")

LOOKED_AT = """
import sys
import bogp
imported = [name for name in {heavy!r} + ("optuna", "numpy") if name in sys.modules]
from bogp.cli import main
for words in {lines!r}:
    try:
        main(["study", *words])
    except SystemExit as end:
        assert end.code == 0, words
print(*imported, *[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


def test_looking_at_a_study_imports_nothing_heavy(path, tmp_path):
    """Whoever looks waits for no library that trains, models or draws."""
    lines = [["list", str(path)], ["show", str(path)], ["list", str(path), "--json"]]
    lines.append(["export", str(path), "--out", str(tmp_path / "out.csv")])
    code = LOOKED_AT.format(heavy=HEAVY, lines=lines)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Best trials of arm search" in done.stdout
    assert done.stderr.split() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "gone.db"), "there is no study at 'gone.db'"),
        (("show", "text.db"), "'text.db' is not a study"),
        (("show", "{p}", "--name", "bopg"), "did you mean bogp"),
        (("show", "nowhere://host"), "nowhere"),
        (("export", "{p}", "--out", "x.xlsx"), "'.xlsx' is of no known format: use .json"),
        (("export", "{p}", "--out", "text.db/x.csv"), "cannot write to folder"),
        (("resume", "{p}"), "keeps no command: run the command that made it again"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_one_sentence(words, said, path, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.db").write_text("no study")
    before = sorted(tmp_path.iterdir())
    shown = run(capsys, *[word.format(p=path) for word in words], status=2)
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_several_studies_need_a_name(path, capsys):
    fill(path, "second")
    assert "name one with --name, bogp or second" in run(capsys, "show", path, status=2).err
    assert "Study second" in run(capsys, "show", path, "--name", "second").out


RECIPE = {"epochs": 1, "learning_rate": 0.5}
COMMAND = {
    "database": "graphs.db",
    "data": "digits",
    "settings": {
        "sparsity": 0.9,
        "criteria": ["snip", "random"],
        "recipe": RECIPE,
        "rungs": [],
        "trials": 7,
        "final_seeds": 2,
    },
}


def test_resume_calls_the_search_that_was_noted(tmp_path, capsys, monkeypatch):
    calls = []
    monkeypatch.setattr("bogp.pipeline.search", lambda **named: calls.append(named))
    monkeypatch.setattr("bogp.cli.study.print_found", lambda result: None)
    path = fill(tmp_path / "study.db", "mine", command=COMMAND)
    run(capsys, "resume", path, "-q", "--workers", 3, "--retries", 9)
    (named,) = calls
    settings = named.pop("settings")
    assert settings.recipe.learning_rate == 0.5
    assert (settings.sparsity, settings.criteria) == (0.9, ("snip", "random"))
    assert (settings.trials, settings.final_seeds) == (7, 2)
    assert named.pop("progress") is not None
    assert named == {
        "database": "graphs.db",
        "data": "digits",
        "study": str(path),
        "name": "mine",
        "workers": 3,
        "retries": 9,
    }
    fill(tmp_path / "object.db", command=COMMAND | {"data": None})
    shown = run(capsys, "resume", tmp_path / "object.db", status=2)
    assert "was given its data as an object, not by name" in shown.err


def test_an_interrupted_resume_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    path = fill(tmp_path / "study.db", command=COMMAND)

    def stop(**named):
        raise KeyboardInterrupt

    monkeypatch.setattr("bogp.pipeline.search", stop)
    shown = run(capsys, "resume", path, "-q", status=130)
    assert f"the finished trials are in {path}" in shown.err


DASHBOARD = """
import json, sys
from wsgiref.util import setup_testing_defaults
from optuna_dashboard import wsgi

application = wsgi(f"sqlite:///{sys.argv[1]}")

def get(path, query=""):
    environment = {"PATH_INFO": path, "QUERY_STRING": query}
    setup_testing_defaults(environment)
    status = []
    body = b"".join(application(environment, lambda code, *rest: status.append(code)))
    assert status[0].startswith("200"), (status, body)
    return body

assert b"<html" in get("/dashboard/")
found = {}
for study in json.loads(get("/api/studies"))["study_summaries"]:
    whole = json.loads(get(f"/api/studies/{study['study_id']}", "after=0"))
    found[study["study_name"]] = {
        "directions": study["directions"],
        "names": whole["objective_names"],
        "states": [trial["state"] for trial in whole["trials"]],
        "values": [trial.get("values") for trial in whole["trials"]],
        "steps": [len(trial["intermediate_values"]) for trial in whole["trials"]],
        "parameters": [param["name"] for param in whole["trials"][0]["params"]],
    }
print(json.dumps(found))
"""


def test_optuna_dashboard_shows_both_arms_with_one_and_two_objectives(path):
    """By its own application; what a browser makes of it was looked at by eye."""
    pytest.importorskip("optuna_dashboard")
    fill(path, "front", two=True)
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DASHBOARD, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert sorted(found) == ["bogp", "bogp/random", "front", "front/random"]
    for name, study in found.items():
        two = name.startswith("front")
        assert study["directions"] == ["maximize"] * (1 + two)
        assert study["names"] == ["accuracy", "sparsity"][: 1 + two]
        assert study["states"] == ["Complete", "Pruned", "Fail", "Complete"]
        values = [[value, 0.9][: 1 + two] for value in (0.5, 0.25, 0.75)]
        assert [value for value in study["values"] if value] == values
        assert study["steps"] == [0, 1, 0, 0]
        assert sorted(study["parameters"]) == ["criterion", "support_density"]


def test_check_says_what_is_sound_and_others_are_still_shown(path, capsys):
    fill(path, "front", two=True)
    assert "2 studies with 4 batches and 16 attempts are sound" in run(capsys, "check", path).out
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE trial_user_attributes SET value_json = replace(value_json, '0.75', '0.95') "
            "WHERE key = 'result' AND value_json LIKE '%0.75%' AND trial_id < 5"
        )
    for words in (("list",), ("show", "--name", "bogp"), ("check",)):
        shown = run(capsys, words[0], path, *words[1:], status=2)
        said = " ".join(shown.err.split())
        assert "study.db' is damaged" in said
        assert said.count("error:") == 1
        if words != ("check",):
            assert "the result of trial 3 of arm search" in said
        assert "bogp" in shown.out
    found = json.loads(run(capsys, "check", path, "--json", status=2).out)
    assert (found["studies"], found["attempts"], len(found["damage"])) == (2, 15, 1)
    run(capsys, "show", path, "--name", "front")
    for words in (
        ("resume", path, "--name", "bogp"),
        ("export", path, "-o", path.parent / "o.csv"),
    ):
        run(capsys, *words, *(() if "--name" in words else ("--name", "bogp")), status=2)
    assert not (path.parent / "o.csv").exists()
