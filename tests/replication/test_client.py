"""The replication is a client: it takes public names of the library, and nothing else."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import bogp
from bogp import replication

FOLDER = Path(replication.__file__).parent
OWN = "bogp.replication"
PAGES = ("bogp.report.search_page",)
"""Modules that bogp.report names as public: they import all that trains, and it does not."""


def imported(path):
    """Return (module, name or None) of what a file imports of bogp."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module, alias.name) for alias in node.names)


def is_public(module, name):
    if module.partition(".")[0] != "bogp" or module == OWN or module.startswith(f"{OWN}."):
        return True
    if name is None or name.startswith("_") or (module.count(".") > 1 and module not in PAGES):
        return False
    return not isinstance(getattr(importlib.import_module(module), name), ModuleType)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_it_imports_public_names_only(path):
    assert [pair for pair in imported(path) if not is_public(*pair)] == []


@pytest.mark.parametrize(
    ("module", "name", "public"),
    [
        ("bogp", "SearchSettings", True),
        ("bogp.analysis", "mean_interval", True),
        ("bogp.processes", "WorkerProcesses", True),
        ("bogp.processes", "_serve", False),
        ("bogp.analysis.intervals", "mean_interval", False),
        ("bogp.analysis", "intervals", False),
        ("bogp.analysis", None, False),
        ("numpy.linalg", None, True),
    ],
)
def test_what_is_public(module, name, public):
    assert is_public(module, name) == public


def test_nothing_but_the_command_line_knows_of_it():
    root = Path(bogp.__file__).parent
    users = {
        path.relative_to(root).parts[0]
        for path in root.rglob("*.py")
        for module, _ in imported(path)
        if module is not None and module.startswith(OWN)
    }
    assert users == {"replication", "cli"}
