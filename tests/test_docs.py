"""What the README and the docs say is run and compared: code, commands, numbers, links, the site.

The ``python`` and ``sh`` blocks of a page run in their order, in one folder and one namespace. A
``text`` block is what the block before it has printed. Comments in a page, which no reader sees,
say what is otherwise; ``NOT_RUN`` does so for whole pages:

- ``<!-- run: no, REASON -->``: the block is not run. Its commands are still parsed.
- ``<!-- output: numbers differ -->``: numbers come of training, so that another processor may round
  them otherwise: the words are compared.
- ``<!-- output: not compared, REASON -->``.

A block with ``title="file"`` is that file.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

import bogp
from bogp.cli import app, common, main

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    if "work" not in path.relative_to(ROOT).parts
)
FENCE = re.compile(
    r"^(?:<!-- (?P<comment>(?:run|output): [^\n]+?) -->\n\n?)?"
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"\n]+)")?\n(?P<content>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[-+−]?\d[\d,.]*(?:e[-+]?\d+)?")

NOT_RUN = {
    ("README.md", "sh"): "minutes, and MNIST",
    ("README.md", "text"): "the output of make demo",
    ("docs/architecture.md", ""): "pictures",
    ("docs/graphs.md", "sh text csv"): "by tests/cli/test_cli_guide.py",
    ("docs/search.md", "sh text toml"): "by tests/cli/test_cli_search_guide.py",
    ("docs/search.md", "shell"): "a pilot on MNIST: minutes",
    ("docs/studies/README.md", "sh text"): "committed studies on MNIST: minutes",
}
"""(page, languages) → why its blocks are not run here."""

COPIED = {"docs/replicate.md": "docs/replication/calibrated"}
"""Page → what of the repository its blocks read: they find a copy of it."""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    title: str | None
    comment: str
    content: str

    @property
    def reason(self):
        """Why it is not run or compared here, empty if it is."""
        for (page, languages), reason in NOT_RUN.items():
            if page == self.page and self.language in (languages.split() or [""]):
                return reason
        _, _, reason = self.comment.partition("no, ")
        _, _, other = self.comment.partition("not compared, ")
        return reason or other

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks(path):
    text = path.read_text()
    return [
        Block(
            str(path.relative_to(ROOT)),
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["title"],
            match["comment"] or "",
            match["content"],
        )
        for match in FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN = sorted({b.page for b in BLOCKS if b.language in ("python", "sh") and not b.reason})


def lines_of(block):
    """Return the commands of a block of shell, comments left out and long lines joined."""
    joined = block.content.replace("\\\n", " ")
    lines = (re.split(r"\s+#", line)[0].strip() for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def commands():
    """Return every bogp command of the docs, in a block or within a sentence."""
    found = {line for b in BLOCKS if b.language in ("sh", "shell") for line in lines_of(b)}
    for page in PAGES:
        text = FENCE.sub("", page.read_text())
        found |= {" ".join(line.split()) for line in re.findall(r"`(bogp [^`]+)`", text)}
    return sorted(line for line in found if line.startswith("bogp ") and "--help" not in line)


@pytest.mark.parametrize("page", RUN)
def test_a_page_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    # A console has the width of the moment when it was made, in a test before this one perhaps.
    monkeypatch.setattr(common.console, "_width", 120)
    if page in COPIED:
        shutil.copytree(ROOT / COPIED[page], COPIED[page], ignore=shutil.ignore_patterns("work"))
    known = set(sys.modules)
    namespace, printed = {"__name__": "__main__"}, ""
    for block in blocks(ROOT / page):
        if block.reason:
            continue
        if block.title:
            Path(block.title).write_text(block.content)
        elif block.language == "python":
            printed = run_python(block, namespace)
        elif block.language == "sh":
            printed = "".join(run_command(block, line) for line in lines_of(block))
        else:
            assert block.language == "text", f"{block}: what is a {block.language!r} block?"
            compare(block, printed)
    for name in set(sys.modules) - known:  # the page's own modules
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run_python(block, namespace):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        # Lines keep their numbers of the page in a traceback.
        exec(compile("\n" * block.line + block.content, block.page, "exec"), namespace)
    return out.getvalue()


def run_command(block, line):
    assert line.startswith("bogp "), f"{block}: how is {line!r} run?"
    out, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as end,
    ):
        main(shlex.split(line)[1:])
    assert end.value.code == 0, f"{block}: {line}\n{errors.getvalue()}"
    return out.getvalue()


def compare(block, printed):
    """Find every line of the block in what was printed, each below the one before it."""
    loose = block.comment == "output: numbers differ"
    assert loose or not block.comment, f"{block}: what does {block.comment!r} mean?"
    shown = iter([plain(line, loose) for line in printed.splitlines()])
    for line in block.content.splitlines():
        if line.strip() not in ("", "…"):
            assert plain(line, loose) in shown, (
                f"{block}: {line!r} is not printed there:\n{printed}"
            )


def plain(line, loose):
    """Return a line as it is compared: without its numbers and the widths that they make."""
    if not loose:
        return line.rstrip()
    return re.sub(r"\s+", " ", re.sub(r"─+", "─", NUMBER.sub("#", line))).strip()


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
        # A name without words after it is that of the command, not the command that one types.
        bare = not rest and not hasattr(command, "resolve_command")
        context = command.make_context(name, rest, parent=context, resilient_parsing=bare)


def test_every_block_is_run_or_says_why_not():
    known = ("python", "sh", "text")
    for block in BLOCKS:
        assert block.language in known or block.title or block.reason, str(block)
    for page, languages in NOT_RUN:
        there = {b.language for b in BLOCKS if b.page == page}
        assert set(languages.split() or [""]) <= there, (page, languages)
    assert len(RUN) >= 8
    assert len(commands()) >= 20


def test_a_page_that_says_something_else_is_found_out():
    block = Block("page.md", 1, "text", None, "", "kept 3 of 12\n…\nlast 0.5\n")
    compare(block, "first\nkept 3 of 12\nmore\nlast 0.5\n")
    loose = Block("page.md", 1, "text", None, "output: numbers differ", "mean  0.9 [0.8, 1.0]\n")
    compare(loose, "mean 0.912 [0.85, 0.97]\n")
    for said, printed in [(block, "kept 4 of 12\nlast 0.5\n"), (block, "last 0.5\nkept 3 of 12\n")]:
        with pytest.raises(AssertionError, match="is not printed there"):
            compare(said, printed)
    with pytest.raises(AssertionError, match="is not printed there"):
        compare(loose, "median 0.9 [0.8, 1.0]\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", page.read_text())):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_every_interval_of_the_readmes_tables_is_the_replications():
    readme = (ROOT / "README.md").read_text()
    worth = readme[readme.index("## What it is worth") : readme.index("**How fast.**")]
    records = [
        (ROOT / "docs" / "replication" / name / "results.md").read_text()
        for name in ("methods", "models", "calibrated", "dynamics")
    ]
    intervals = re.findall(r"-?\d[\d.e-]* \[[^\]]+\] \(n=\d+\)", worth)
    assert len(intervals) >= 30
    for interval in intervals:
        assert any(interval in record for record in records), interval


def test_no_table_of_the_readme_is_longer_than_ten_rows():
    lines = (ROOT / "README.md").read_text().splitlines()
    lengths, length = [], 0
    for line in [*lines, ""]:
        length = length + 1 if line.startswith("|") else 0
        lengths.append(length)
    assert 4 < max(lengths) <= 12  # its head and the line below it are two


def test_every_public_name_is_in_the_reference():
    pages = "\n".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    shown = {*re.findall(r"^(?::::|##) (\S+)", pages, re.M)}
    shown |= {*re.findall(r"heading: (\S+),", pages)}
    assert {f"bogp.{name}" for name in bogp._HOMES} <= shown


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_the_network(tmp_path):
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = {str(path.relative_to(site)): path.read_text() for path in site.rglob("*.html")}
    loaded = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//""")
    assert [name for name, html in pages.items() if loaded.search(html)] == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import\s)[\"']?(?:https?:)?//", sheet.read_text()), sheet
    # A name that is a function and a module is shown as the function, and no role is left.
    reference = {name: html for name, html in pages.items() if name.startswith("reference")}
    assert len(reference) >= 9
    for name, html in reference.items():
        assert "doc-symbol-module" not in html, name
        assert not re.search(r":(?:func|class|meth|data|mod):", html), name
        assert "&gt;&gt;&gt;" not in re.sub(r"<code>.*?</code>", "", html, flags=re.S), name
    assert 'id="bogp.pipeline.search.search"' in reference["reference/search.html"]
