"""Docstrings as the reference shows them: doctests as code, roles as links."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:\w+:)?(?:class|func|meth|data|mod|exc|attr|obj):`~?([^`]+)`")
_SHARED = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +\S.*)*)", re.MULTILINE)
_DOCTEST = re.compile(r"(?:^[ ]*>>> .*\n(?:^[ ]*\S.*\n?)*\n?)+", re.MULTILINE)


class ReadableDocstrings(griffe.Extension):
    """Turn what Sphinx would read into what Markdown reads."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            text = _DOCTEST.sub(_fenced, obj.docstring.value + "\n")
            if obj.is_function:
                text = _SHARED.sub(_one_each, text)
            obj.docstring.value = _ROLE.sub(lambda match: _link(obj, match[1]), text).rstrip()


def _fenced(match: re.Match[str]) -> str:
    """Return a doctest as a fenced block, which ends the section before it."""
    return f"```pycon\n{match[0].rstrip()}\n```\n"


def _one_each(match: re.Match[str]) -> str:
    """Return a line that describes several arguments as a line for each."""
    if match[2].split(",")[0][0].isupper():  # errors, not arguments
        return match[0]
    return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))


def _link(obj: griffe.Object, name: str) -> str:
    """Return a name as a link to where the reference has it, or as code."""
    short = name.removeprefix("bogp.")
    try:
        target = obj.resolve(name)
    except griffe.NameResolutionError:
        target = name
    return f'<autoref optional identifier="{target}"><code>{short}</code></autoref>'
