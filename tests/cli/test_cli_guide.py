"""The guide to graphs is run from top to bottom: its commands print what it says they print."""

import re
import shlex
from pathlib import Path

import pytest

from bogp.cli import main

GUIDE = Path(__file__).parents[2] / "docs" / "graphs.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_guides_commands_print_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    blocks, compared = BLOCK.findall(GUIDE.read_text()), 0
    printed = ""
    (tmp_path / "results.csv").write_text(dict(blocks)["csv"])
    for language, content in blocks:
        if language == "sh":
            for line in content.splitlines():
                with pytest.raises(SystemExit) as end:
                    main(shlex.split(line)[1:])
                printed, errors = capsys.readouterr()
                assert end.value.code == 0, (line, errors)
        elif language == "text":
            said = [line.rstrip() for line in content.splitlines()]
            shown = iter([line.rstrip() for line in printed.splitlines()])
            # In the order of the output: a line is sought after the one before it.
            assert [line for line in said if line not in shown] == []
            compared += len(said)
    assert compared > 20
    made = {path.name for path in tmp_path.iterdir()}
    pictures = {"coverage.png", "nearest.png", "ring.svg", "made.png"}
    assert pictures | {"graphs.db", "made.safetensors", "theirs.db", "graphs.csv"} <= made


def test_the_nearest_graph_that_the_guide_draws_is_the_nearest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [line for kind, code in BLOCK.findall(GUIDE.read_text()) for line in code.splitlines()]
    build, nearest, show = (
        next(line for line in lines if line.startswith(f"bogp {start}"))
        for start in ("database build", "database nearest", "graph show --database")
    )
    for line in (build, nearest + " --json"):
        with pytest.raises(SystemExit):
            main(shlex.split(line)[1:])
    found = re.search(r'"id": (\d+)', capsys.readouterr().out)
    assert f"--id {found[1]} " in show
