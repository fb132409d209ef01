from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bogp.errors import OutputError
from bogp.report import (
    Picture,
    Section,
    Table,
    Verdict,
    render_report,
    search_trace,
    verdict_table,
    write_report,
)

EVIL = '<img src="http://x" onerror=alert(1)> & more'


class _Page(HTMLParser):
    """Reads a page and holds it to be well nested."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def _sections() -> list[Section]:
    shown = Picture(
        search_trace({"paper": [[0.9, 0.95]]}), "Search at s = 0.9", alt="A line that rises"
    )
    return [
        Section(
            "Verdicts", "", [verdict_table([Verdict("varies", "holds", "F = 4", "[1, 2]", "")])]
        ),
        Section("Table 1", "Made by `bogp`.", [Table("Accuracy", ["a"], [[0.5]])], [shown, shown]),
        Section("Table 1", EVIL, figures=[Picture(search_trace({"r": [[1]]}), EVIL)]),
    ]


def _page() -> _Page:
    return _Page(render_report(EVIL, _sections(), {"command": EVIL, "versions": {"torch": "2"}}))


def test_the_contents_lead_to_every_section() -> None:
    page = _page()
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert ids == ["verdicts", "table-1", "table-1-2", "provenance"]
    links = {attributes["href"] for attributes in page.all("a")}
    assert links == {f"#{name}" for name in ids}


def test_the_page_asks_nothing_of_any_server() -> None:
    page = _page()
    assert {tag for tag, _ in page.found}.isdisjoint({"script", "link", "iframe", "object"})
    for image in page.all("img"):
        assert (image["src"] or "").startswith("data:image/svg+xml;base64,")
    policy = next(m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy["content"] or "")
    text = render_report("t", _sections(), {})
    assert not re.search(r"url\(|@import|https?://", re.sub(r"&lt;.*?&gt;", "", text))


def test_each_figure_is_whole_and_described() -> None:
    images = _page().all("img")
    assert [image["alt"] for image in images] == ["A line that rises", "A line that rises", EVIL]
    for image in images:
        svg = base64.b64decode((image["src"] or "").partition(",")[2])
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_text_from_outside_is_escaped() -> None:
    text = render_report(EVIL, _sections(), {EVIL: EVIL})
    assert '<img src="http' not in text
    assert "onerror=alert(1)&gt;" in text
    assert "Made by <code>bogp</code>." in text
    assert "{&#34;torch&#34;: &#34;2&#34;}" in render_report("t", [], {"v": {"torch": "2"}})


def test_the_same_input_gives_the_same_page(tmp_path: Path) -> None:
    path = write_report(tmp_path / "report.html", "t", _sections(), {"seed": 0})
    assert path.read_text(encoding="utf-8") == render_report("t", _sections(), {"seed": 0})
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to folder"):
        write_report(tmp_path / "file" / "report.html", "t", [], {})
