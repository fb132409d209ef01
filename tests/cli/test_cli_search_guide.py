"""The guide to searching is run from top to bottom: its commands print the lines that it shows.

Lines are known by their first column. The numbers beside it are those of one machine.
"""

import re
import shlex
from pathlib import Path

import pytest

from bogp.cli import main

GUIDE = Path(__file__).parents[2] / "docs" / "search.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(line, capsys, status=0):
    with pytest.raises(SystemExit) as end:
        main(shlex.split(line)[1:])
    printed, errors = capsys.readouterr()
    assert end.value.code == status, (line, errors)
    return printed, errors


def labels(text):
    """Return the first column of each line, but for those that begin with a number."""
    first = (re.split(r"\s{2,}", line.strip())[0] for line in text.splitlines())
    return [label for label in first if re.match(r"[^\W\d]", label)]


def test_the_guides_commands_print_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    blocks, compared, printed = BLOCK.findall(GUIDE.read_text()), 0, ""
    (tmp_path / "digits.toml").write_text(dict(blocks)["toml"])
    for language, content in blocks:
        if language == "sh":
            for line in content.splitlines():
                printed, _ = run(line, capsys)
        elif language == "text":
            # In any order: controls that do not apply to the winner come last.
            assert set(labels(content)) <= set(labels(printed))
            compared += len(labels(content))
    assert compared > 20
    made = {path.name for path in tmp_path.iterdir()}
    assert {"graphs.db", "study.db", "study.csv", "winner.safetensors", "report.html"} <= made
    assert list((tmp_path / "front").glob("*.safetensors"))
    check_the_refusal(blocks, capsys)


def check_the_refusal(blocks, capsys):
    """A study refuses another seed with the sentence that the guide quotes."""
    said = re.search(r"`(study 'study.db', 's0.9' was made with [^`]+)`", GUIDE.read_text())
    lines = [line for language, code in blocks if language == "sh" for line in code.splitlines()]
    search = next(line for line in lines if line.startswith("bogp search "))
    _, errors = run(f"{search} --seed 1", capsys, status=2)
    assert f"error: {' '.join(said[1].split())}" in errors.splitlines()
