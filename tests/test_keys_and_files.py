import hashlib
import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bogp.errors import OutputError
from bogp.files import output_folder, write_atomic
from bogp.keys import canonical_json, content_key, derive_seed

scalars = st.one_of(
    st.integers(-(10**6), 10**6), st.text(max_size=5), st.floats(-1e6, 1e6), st.booleans()
)
fields = st.dictionaries(st.text(max_size=4), scalars | st.none() | st.lists(scalars), max_size=4)


@given(fields)
def test_a_key_forgets_the_order_of_fields_and_nothing_else(values):
    backwards = dict(reversed(list(values.items())))
    assert content_key(values) == content_key(backwards)
    for name in values:
        assert content_key({**values, name: "another value"}) != content_key(values)
        rest = {other: value for other, value in values.items() if other != name}
        assert content_key(rest) != content_key(values)


def test_a_key_is_what_it_says():
    text = b'{"fields":{"a":0.1,"b":[1,"x"]},"schema":1}'
    assert content_key({"b": (1, "x"), "a": 0.1}) == hashlib.sha256(text).hexdigest()[:16]


def test_a_number_that_json_lacks_has_no_key():
    with pytest.raises(ValueError, match="JSON"):
        content_key({"loss": math.nan})


@given(st.integers(-(2**70), 2**70), st.lists(st.text(max_size=4) | st.integers(), max_size=3))
def test_a_seed_is_63_bits_of_all_its_parts(seed, parts):
    drawn = derive_seed(seed, *parts)
    assert 0 <= drawn < 2**63
    text = json.dumps([seed, *parts], separators=(",", ":"))
    assert drawn == int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) >> 1
    assert drawn != derive_seed(seed + 1, *parts)
    assert drawn != derive_seed(seed, *parts, 0)


def test_joined_names_do_not_share_a_stream():
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")
    assert derive_seed(0, "1") != derive_seed(0, 1)


def test_seeds_and_keys_do_not_depend_on_the_process():
    code = "from bogp.keys import *; print(derive_seed(3, 'x', 0.1), content_key({'a': 'é'}))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [str(derive_seed(3, "x", 0.1)), content_key({"a": "é"})]


@given(st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_canonical_json_reads_back(value):
    assert json.loads(canonical_json(value)) == value


def test_write_atomic_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.txt"
    assert write_atomic(path, "é") == path
    write_atomic(path, b"\x00two")
    assert path.read_bytes() == b"\x00two"
    assert [file.name for file in path.parent.iterdir()] == ["b.txt"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "a.txt", "old")

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OutputError, match=r"a\.txt.*No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_is_interrupted_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "a.txt", "old")

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_a_folder_must_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(OutputError, match=r"cannot write to folder .*choose another folder"):
            output_folder(path)
    with pytest.raises(OutputError):
        write_atomic(tmp_path / "file" / "x.txt", "text")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_where_a_file_must_be_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_atomic(tmp_path / "folder", "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
