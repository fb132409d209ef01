"""Machine code kept on disk: when it is used, and what happens where it cannot be kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from bogp.graphs.kernels import compiled

KERNELS = Path(compiled.__file__).parent
HELPER = """
from bogp.graphs.kernels.compiled import {decorator}
@{decorator}
def number(x):
    return x + {constant}
"""
CALLER = """
from bogp.graphs.kernels.compiled import compiled
from bogp.graphs.kernels.helper import number
@compiled
def twice(x):
    return 2 * number(x)
"""
RUN = """
from bogp.graphs.kernels.caller import twice
print(twice(0), sum(twice.stats.cache_hits.values()))
"""


@pytest.fixture
def kernels(tmp_path):
    """A copy of the compiler's part of the package, alone, so that it starts in a second."""
    folder = tmp_path / "bogp" / "graphs" / "kernels"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent, folder.parents[1]):
        (path / "__init__.py").touch()
    shutil.copy(KERNELS / "compiled.py", folder)
    (folder / "caller.py").write_text(CALLER)
    return folder


def started(folder, code=RUN, **environment):
    """What a new Python prints that sees only the copied package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    root = str(folder.parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("decorator", "called_from"), [("compiled", "kernels"), ("inlined", "elsewhere")]
)
def test_a_change_of_another_file_is_seen(kernels, decorator, called_from):
    code, kept = RUN, kernels
    if called_from == "elsewhere":
        code, kept = RUN.replace("bogp.graphs.kernels.", ""), kernels.parents[2]
        (kernels / "caller.py").rename(kept / "caller.py")

    def write(constant):
        (kernels / "helper.py").write_text(HELPER.format(decorator=decorator, constant=constant))

    def files():
        return {path.name for path in kept.rglob("*.nb?")}

    write(1)
    assert started(kernels, code)[0] == ["2", "0"]
    assert started(kernels, code)[0] == ["2", "1"]
    before = files()
    write(5)
    assert started(kernels, code)[0] == ["10", "0"]
    assert started(kernels, code)[0] == ["10", "1"]
    # As many as before, none of them the same: what is out of date does not pile up.
    assert len(files()) == len(before) > 0
    assert not files() & before


def test_without_a_folder_kernels_are_compiled_at_each_start(kernels):
    (kernels / "helper.py").write_text(HELPER.format(decorator="inlined", constant=1))
    (kernels / "__pycache__").write_text("no folder")
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), os.devnull + "/x")
    printed, said = started(kernels, **nowhere)
    assert printed == ["2", "0"]
    assert said.count("no folder for compiled kernels can be written") == 1
    assert "set NUMBA_CACHE_DIR" in said


def test_a_folder_that_is_lost_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))

    @compiled.compiled
    def triple(x):
        return 3 * x

    shutil.rmtree(tmp_path / "kept")
    (tmp_path / "kept").write_text("no folder")
    assert triple(2) == 6


def test_the_stamp_follows_every_source_of_the_kernels_and_of_the_folder(tmp_path, monkeypatch):
    kernels, folder = tmp_path / "kernels", tmp_path / "folder"
    monkeypatch.setattr(compiled, "_KERNELS", kernels)
    seen = set()
    for place in (kernels, folder):
        place.mkdir()
        for name, text in (("a.py", ""), ("a.py", "1"), ("b.py", "1"), ("b.py", "2")):
            (place / name).write_text(text)
            seen.add(compiled.stamp.__wrapped__(folder))
    assert len(seen) == 8
