"""One HTML file that holds a whole report: it opens offline and asks nothing of any server."""

from __future__ import annotations

import json
import os
import platform
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from bogp.files import write_atomic
from bogp.report.pictures import Picture, save_figure
from bogp.tables import Table


@dataclass(frozen=True)
class Section:
    """A part of a report, shown in this order: text, tables, figures.

    Attributes:
        heading: one line; also the entry in the table of contents.
        text: plain text: a blank line parts paragraphs, lines that begin with "- " are a list,
            and \\`words\\` between backticks are set as code. It is escaped: no HTML.
        tables: the tables.
        figures: the figures and their captions.
    """

    heading: str
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()


def write_report(
    path: str | os.PathLike[str],
    title: str,
    sections: Sequence[Section],
    provenance: Mapping[str, Any],
) -> Path:
    """Write the report to ``path``, whole or not at all, and return the path.

    Styles and figures are inside the file, figures as images of their own, so that ids of one
    SVG cannot clash with another's. A content security policy keeps every request away.

    Args:
        path: the file, ``report.html`` say.
        title: the heading of the page.
        sections: its parts in order.
        provenance: name → value of what made it (command, :func:`versions`, seeds); anything but
            text is shown as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    return write_atomic(path, render_report(title, sections, provenance))


def render_report(title: str, sections: Sequence[Section], provenance: Mapping[str, Any]) -> str:
    """Return the report of :func:`write_report` as text; the same input gives the same text."""
    anchors = _anchors([section.heading for section in sections])
    return _template().render(
        title=title,
        sections=[
            {
                "anchor": anchor,
                "heading": section.heading,
                "text": text_to_html(section.text),
                "tables": [_table_for_page(table) for table in section.tables],
                "figures": section.figures,
            }
            for anchor, section in zip(anchors, sections, strict=True)
        ],
        provenance=[(name, _plain(value)) for name, value in provenance.items()],
    )


def _table_for_page(table: Table) -> dict[str, Any]:
    """Return the texts of a table with the CSS classes of each cell, and of the text in it."""
    columns = [column for column, _ in table.layout()]
    classes = [
        " ".join(["number"] * right + ["wrap"] * column.wrap) for column, right in table.layout()
    ]
    rows = [
        [
            (text, kind, "" if column.css is None else column.css(cell))
            for text, kind, column, cell in zip(texts, classes, columns, cells, strict=True)
        ]
        for texts, cells in zip(table.texts(), table.rows, strict=True)
    ]
    heads = list(zip(table.headings, classes, strict=True))
    return {"title": table.title, "heads": heads, "rows": rows, "notes": table.notes}


def render_markdown(title: str, intro: str, sections: Sequence[Section], suffix: str) -> str:
    """Return the same report as Markdown, for those who read it in a repository.

    Figures are links to the files that :func:`save_pictures` writes; give their suffix, "png" or
    "svg". A figure without a name is left out.

    >>> table = Table("t", ["a"], [[1]])
    >>> print(render_markdown("Results", "Of a day.", [Section("One", "", [table])], "svg"))
    # Results
    <BLANKLINE>
    Of a day.
    <BLANKLINE>
    ## One
    <BLANKLINE>
    **t**
    <BLANKLINE>
    | a |
    | ---: |
    | 1 |
    <BLANKLINE>
    """
    lines = [f"# {title}", "", intro, ""]
    for section in sections:
        parts = [f"## {section.heading}", section.text]
        parts += [table.to_markdown() for table in section.tables]
        parts += [f"![{each.caption}]({each.name}.{suffix})" for each in named_figures([section])]
        lines += [line for part in parts if part for line in (part, "")]
    return "\n".join(lines)


def named_figures(sections: Sequence[Section]) -> list[Picture]:
    """Return the figures of some sections that have a name."""
    return [each for section in sections for each in section.figures if each.name]


def save_pictures(sections: Sequence[Section], folder: str | os.PathLike[str]) -> None:
    """Write each figure that has a name as a PNG and as an SVG of that name.

    Raises:
        OutputError: a name that is no plain file name, or a folder that cannot be written.
    """
    for each in named_figures(sections):
        save_figure(each.figure, folder, each.name)


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, bogp, torch, NumPy and these packages, for a provenance."""
    names = dict.fromkeys(("bogp", "torch", "numpy", *packages))
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names},
    }


def text_to_html(text: str) -> Markup:
    """Return plain text as escaped paragraphs, lists and code.

    >>> print(text_to_html("Made by `bogp demo`, s < 1.\\n\\n- one\\n- two"))
    <p>Made by <code>bogp demo</code>, s &lt; 1.</p>
    <ul><li>one</li><li>two</li></ul>
    """
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    return Markup("\n").join(_block(block) for block in blocks)


def _block(block: str) -> Markup:
    """Return one paragraph or list."""
    lines = block.splitlines()
    if all(line.startswith("- ") for line in lines):
        items = Markup("").join(Markup("<li>{}</li>").format(_inline(line[2:])) for line in lines)
        return Markup("<ul>{}</ul>").format(items)
    return Markup("<p>{}</p>").format(_inline(" ".join(lines)))


def _inline(line: str) -> Markup:
    """Return a line with its code spans; an odd backtick stays as it is."""
    parts = re.split(r"`([^`]+)`", line)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def _anchors(headings: Sequence[str]) -> list[str]:
    """Return one id for each heading, in letters that a link can hold, none twice.

    >>> _anchors(["Table 1: accuracy", "Table 1: accuracy", "α", "Provenance"])
    ['table-1-accuracy', 'table-1-accuracy-2', 'section', 'provenance-2']
    """
    taken, anchors = {"provenance"}, []
    for heading in headings:
        plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode().lower()
        base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "section"
        anchor, number = base, 2
        while anchor in taken:
            anchor, number = f"{base}-{number}", number + 1
        taken.add(anchor)
        anchors.append(anchor)
    return anchors


def _plain(value: Any) -> str:
    """Return a provenance value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@cache
def _template() -> Template:
    """Return the template that ships with the package."""
    source = resources.files("bogp.report").joinpath("report.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
