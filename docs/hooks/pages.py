"""What the site does beside mkdocs: pages from outside ``docs/``, links, the list of decisions.

Pages are written to be read in the repository, where ``../CONTRIBUTING.md`` and ``decisions/`` lead
somewhere. On the site the first is a page of its own and the second a list.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import bogp
from bogp.settings import declared

ROOT = Path(__file__).parents[2]

OUTSIDE = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "README.md": "index.md",
}
"""Page of the repository → page of the site."""

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that stand outside the folder, and the list of decisions."""
    for name, page in OUTSIDE.items():
        if page != "index.md":
            text = (ROOT / name).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    found = sorted(path for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    titles = {path.name: _title(path) for path in found}
    lines = [f"- [{title}]({name})" for name, title in titles.items()]
    text = "# Decisions\n\nEach choice that could have gone another way, and why it did not.\n\n"
    files.append(File.generated(config, "decisions/index.md", content=text + "\n".join(lines)))
    _nav(config.nav, [f"decisions/{name}" for name in titles])
    return files


def _nav(nav: list[Any], pages: list[str]) -> None:
    """Put the decisions where the navigation says ``decisions/``."""
    for section in nav:
        for entry in section.values():
            for item in entry if isinstance(entry, list) else ():
                if isinstance(item, dict) and item.get("Decisions") == "decisions/":
                    item["Decisions"] = ["decisions/index.md", *pages]


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").strip()


_SETTINGS = re.compile(r"<!-- settings: bogp\.(\w+) -->")


def settings_table(match: re.Match[str]) -> str:
    """Return the settings that a class declares as a table, in place of the mark that names it."""
    rows = ["| setting | default | what it is for |", "| --- | --- | --- |"]
    for one in declared(getattr(bogp, match[1])):
        default = "must be given" if one.default is dataclasses.MISSING else f"`{one.default!r}`"
        rows.append(f"| `{one.name}` | {default} | {one.help} |")
    return "\n".join(rows)


def on_page_markdown(markdown: str, *, page: Any, files: Files, **_: Any) -> str:
    """Return the page with tables of settings, and links that lead somewhere on the site."""
    markdown = _SETTINGS.sub(settings_table, markdown)
    uri = page.file.src_uri
    if uri in ("index.md", "tutorial.md"):  # alone in their section
        page.meta.setdefault("hide", ["navigation"])
    theirs = {site: repository for repository, site in OUTSIDE.items() if site != "index.md"}
    source = theirs.get(uri, f"docs/{uri}")

    def rewritten(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        wanted = _on_the_site(there, files)
        if wanted is None:  # a file that the site does not hold; mkdocs warns of one that is not
            return text if (ROOT / there).exists() else match[0]
        return f"[{text}]({os.path.relpath(wanted, posixpath.dirname(uri) or '.')}{anchor})"

    parts, last = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(rewritten, markdown[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*parts, _LINK.sub(rewritten, markdown[last:])])


def _on_the_site(there: str, files: Files) -> str | None:
    """Return the page of the site for a file or folder of the repository, None without one."""
    if there in OUTSIDE:
        return OUTSIDE[there]
    inside = there.removeprefix("docs/")
    if inside == there:
        return None
    for name in (inside, f"{inside}/index.md", f"{inside}/README.md"):
        found = files.get_file_from_path(name)
        if found is not None and found.inclusion.is_included():
            return name
    return None
