"""What the README and the docs say is run and compared: code, commands, numbers, links."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from bogp.cli import app

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    if path.exists()
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language):
    return [
        pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, (word, code) in enumerate(BLOCK.findall(page.read_text()))
        if word == language
    ]


def commands():
    text = "\n".join(page.read_text() for page in PAGES)
    fenced = [line for _, code in BLOCK.findall(text) for line in code.splitlines()]
    inline = re.findall(r"`(bogp [^`]+)`", text)
    found = {line.split(" #")[0].strip() for line in [*fenced, *inline]}
    return sorted(line for line in found if line.startswith("bogp ") and "--help" not in line)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "block", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line):
    """Every command in the docs parses: subcommands and options exist, values convert."""
    command = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    context = command.make_context("bogp", words, resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = command.make_context(name, rest, parent=context)


def test_there_are_blocks_and_commands_to_test():
    assert blocks("python")
    assert len(commands()) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_the_readmes_table_is_the_replications():
    readme = (ROOT / "README.md").read_text()
    record = (ROOT / "docs" / "replication" / "calibrated" / "results.md").read_text()
    rows = [line for line in readme.splitlines() if re.match(r"\| .*\d\.\d{3} ± ", line)]
    assert len(rows) >= 7
    for row in rows:
        assert row in record
