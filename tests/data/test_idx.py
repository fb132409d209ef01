import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bogp.data.idx import IDX_FILES, format_idx, parse_idx, read_idx_folder
from bogp.errors import DataError

Write = Callable[[Path], Path]
IMAGES = "train-images-idx3-ubyte"


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0)))
def test_an_array_survives_the_format(array: np.ndarray) -> None:
    again = parse_idx(format_idx(array), array.ndim, "file")
    assert again.shape == array.shape
    assert (again == array).all()


@given(st.integers(0, 4 + 12 + 24 - 1))
def test_every_shorter_file_is_refused_with_its_length(length: int) -> None:
    content = format_idx(np.ones((2, 3, 4), dtype=np.uint8))
    expected = "expected at least 16 bytes" if length < 16 else "expected 40 bytes"
    with pytest.raises(DataError, match=rf"images is truncated: {expected}.*found {length};"):
        parse_idx(content[:length], 3, "images")


def test_a_longer_file_is_refused() -> None:
    content = format_idx(np.ones(3, dtype=np.uint8))
    with pytest.raises(DataError, match=r"too long: expected 11 bytes .* found 12"):
        parse_idx(content + b"x", 1, "labels")


@pytest.mark.parametrize("magic", ["00000801", "00000d03", "50000803", "<htm"])
def test_another_magic_number_is_refused(magic: str) -> None:
    start = magic.encode() if magic.startswith("<") else bytes.fromhex(magic)
    with pytest.raises(DataError, match=f"begins with {start.hex()} instead of 00000803"):
        parse_idx(start + bytes(12), 3, "images")


def test_dimensions_that_claim_too_much_take_no_memory() -> None:
    with pytest.raises(DataError, match="truncated"):
        parse_idx(bytes([0, 0, 8, 3]) + b"\xff" * 12, 3, "images")


def test_plain_zipped_and_dotted_names_read_the_same(tmp_path: Path, write_idx: Write) -> None:
    plain = read_idx_folder(write_idx(tmp_path))
    for number, name in enumerate(IDX_FILES):
        target = tmp_path / (name.replace("-idx", ".idx") if number % 2 else name)
        (tmp_path / name).rename(target)
        if number < 3:
            target.with_name(target.name + ".gz").write_bytes(gzip.compress(target.read_bytes()))
            target.unlink()
    assert read_idx_folder(tmp_path) == plain


def test_a_gzip_file_of_several_members_is_whole(tmp_path: Path, write_idx: Write) -> None:
    plain = read_idx_folder(write_idx(tmp_path))
    content = plain[IMAGES]
    (tmp_path / IMAGES).unlink()
    zipped = gzip.compress(content[:20]) + gzip.compress(content[20:]) + bytes(7)
    (tmp_path / f"{IMAGES}.gz").write_bytes(zipped)
    assert read_idx_folder(tmp_path) == plain


def test_missing_files_are_all_named(tmp_path: Path, write_idx: Write) -> None:
    write_idx(tmp_path)
    (tmp_path / IMAGES).unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=f"has no {IMAGES}, t10k-labels-idx1-ubyte"):
        read_idx_folder(tmp_path)


@pytest.mark.parametrize("cut", [1, 4, 9, 60])
def test_a_cut_gzip_file_is_refused(tmp_path: Path, write_idx: Write, cut: int) -> None:
    content = (write_idx(tmp_path) / IMAGES).read_bytes()
    (tmp_path / IMAGES).unlink()
    zipped = gzip.compress(content)
    (tmp_path / f"{IMAGES}.gz").write_bytes(zipped[:-cut])
    words = rf"{IMAGES}.gz is truncated: expected {len(content)} unzipped bytes, found \d+"
    with pytest.raises(DataError, match=words):
        read_idx_folder(tmp_path)


@pytest.mark.parametrize("zipped", [b"", b"\x1f\x8b"])
def test_a_gzip_file_of_next_to_nothing_is_refused(
    tmp_path: Path, write_idx: Write, zipped: bytes
) -> None:
    (write_idx(tmp_path) / IMAGES).unlink()
    (tmp_path / f"{IMAGES}.gz").write_bytes(zipped)
    with pytest.raises(DataError, match="truncated: expected more"):
        read_idx_folder(tmp_path)


def test_a_changed_byte_in_a_gzip_file_is_noticed(tmp_path: Path, write_idx: Write) -> None:
    content = (write_idx(tmp_path) / IMAGES).read_bytes()
    (tmp_path / IMAGES).unlink()
    zipped = bytearray(gzip.compress(content, compresslevel=0))
    zipped[-20] ^= 1
    (tmp_path / f"{IMAGES}.gz").write_bytes(zipped)
    with pytest.raises(DataError, match="is corrupt"):
        read_idx_folder(tmp_path)
