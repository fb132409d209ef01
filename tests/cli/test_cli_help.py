import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bogp.analysis import Interval
from bogp.cli import common, main
from bogp.cli.names import KINDS
from bogp.export import DEFAULT_FORMATS, FORMATS
from bogp.report import Table

COMMANDS = (
    *(["demo"], ["search"], ["baseline"], ["reproduce"], ["list"], ["data", "show"]),
    *(["database", "build"], ["database", "show"], ["database", "nearest"], ["screen"]),
    *(["database", "export"], ["database", "import"], ["database", "check"], ["study", "check"]),
    *(["graph", "show"], ["graph", "synthesize"]),
)
HEAVY = ("torch", "numpy", "scipy", "sklearn", "optuna", "bayes_opt", "matplotlib")

LOADED = """
import sys
from bogp.cli import main
for words in {lines!r}:
    try:
        main(words)
    except SystemExit as end:
        print("status", end.code)
print("loaded", [name for name in {heavy!r} if name in sys.modules])
"""


def run(capsys, *words):
    """Run a command that must succeed; return its standard output."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_help_and_bad_usage_import_nothing_heavy():
    lines = [["--help"], *([*words, "--help"] for words in COMMANDS)]
    lines += [["serach"], ["search"], ["search", "g.db", "--trials", "many"]]
    code = LOADED.format(lines=lines, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("status 0") == len(COMMANDS) + 1
    assert done.stdout.splitlines().count("status 2") == 3
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_the_first_help_names_every_command_and_the_exit_statuses(capsys):
    text = " ".join(run(capsys, "--help").split())
    for words in COMMANDS:
        assert words[0] in text
    for status in ("0 done", "2 bad input", "130 interrupted"):
        assert status in text


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = run(capsys, *words, "--help")
    assert f"Example: bogp {' '.join(words)}" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("engines", ["search"]),
        ("metrics", ["search"]),
        ("scales", ["search"]),
        ("recipes", ["search"]),
        ("protocols", ["search"]),
        ("parts", ["reproduce"]),
    ],
)
def test_help_explains_every_name_that_the_library_knows(kind, words, capsys):
    text = run(capsys, *words, "--help")
    for name in KINDS[kind]():
        assert name in text


def test_the_help_of_an_export_says_which_formats_it_writes(capsys):
    text = " ".join(run(capsys, "export", "--help").replace("│", "").split())
    assert f"Default: {', '.join(DEFAULT_FORMATS[:-1])} and {DEFAULT_FORMATS[-1]}." in text
    assert list(KINDS["formats"]()) == list(FORMATS)


@pytest.mark.parametrize("kind", ["datasets", "models", "methods"])
def test_help_says_where_names_are_listed(kind, capsys):
    command = "baseline" if kind == "methods" else "search"
    assert f"bogp list {kind}" in re.sub(r"[│\s]+", " ", run(capsys, command, "--help"))
    listed = json.loads(run(capsys, "list", kind, "--json"))[kind]
    assert all(listed.values())
    assert {"datasets": "digits", "models": "lenet-5", "methods": "rigl"}[kind] in listed


def test_list_prints_the_names_and_meanings(capsys):
    listed = json.loads(run(capsys, "list", "--json"))
    assert list(listed) == list(KINDS)
    assert listed["properties"]["cycle_rank"].startswith("the circuit rank")
    assert listed["recipes"]["calibrated"].endswith("3 epochs")
    text = run(capsys, "list", "families")
    assert "random_mask" in text
    assert "cosine" not in text


@pytest.mark.parametrize(("command", "flag"), [("prune", "controls"), ("search", "random-search")])
def test_what_is_on_by_default_can_be_turned_off(command, flag, capsys):
    assert f"--no-{flag}" in run(capsys, command, "--help")


def test_version(capsys):
    assert run(capsys, "--version").startswith("bogp ")


def test_a_wide_table_is_printed_in_parts_and_no_cell_is_broken(capsys, monkeypatch):
    cell = Interval(0.95, 0.94, 0.96, 5)
    heads = [f"s = 0.{number}" for number in range(6)]
    table = Table("Accuracy", ["method", *heads], [["Glob₅", *[cell] * 6]], ["A note."])
    for width, parts in ((80, 2), (200, 1)):
        monkeypatch.setattr(common, "console", Console(width=width))
        common.print_table(table)
        text = capsys.readouterr().out
        assert text.count("Glob₅") == parts
        assert text.count("0.950 [0.940, 0.960]") == 6
        assert text.count("(n=5)") == 6
        assert max(map(len, text.splitlines())) <= width
        assert "A note." in text


def test_plain_progress_says_nothing_twice(capsys):
    with common.progress_bar("work") as progress:
        for done in (0, 0, 1, 2, 2):
            progress(done, 2)
    assert capsys.readouterr().err == "work: 0 of 2\nwork: 2 of 2\n"


def test_public_names_are_there_whatever_was_imported_first():
    code = (
        "import bogp.study.study, bogp\n"
        "assert callable(bogp.search) and bogp.search.__module__ == 'bogp.pipeline.search'\n"
        "from bogp import search, Mask, mlp\n"
        "assert search is bogp.search and 'GraphDatabase' in dir(bogp)\n"
        "assert all(hasattr(bogp, name) for name in dir(bogp))\n"
        "assert not hasattr(bogp, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", code], check=True)


def test_no_public_name_is_that_of_a_module():
    """Importing the module would put it in the place of the function."""
    names = vars(importlib.import_module("bogp"))["_HOMES"]
    assert "search" in names
    assert [name for name in names if importlib.util.find_spec(f"bogp.{name}") is not None] == []


def test_type_checkers_and_the_interpreter_see_the_same_names():
    tree = ast.parse(Path(importlib.util.find_spec("bogp").origin).read_text())
    told = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    }
    assert told == vars(importlib.import_module("bogp"))["_HOMES"]
