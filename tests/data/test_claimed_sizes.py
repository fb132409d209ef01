"""What a file claims is compared with what it is before there is room for it."""

import gzip
import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from bogp import outside
from bogp.data import load_dataset
from bogp.data.idx import IDX_FILES
from bogp.errors import DataError

NAMES = ("x_train", "y_train", "x_test", "y_test")


def npy(shape, dtype, data):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"shape": shape, "fortran_order": False, "descr": np.dtype(dtype).str}
    )
    return file.getvalue() + data


def refused(path, match):
    """Check that a file is refused, and without making room for 32 MB."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=match):
            load_dataset(str(path))
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()


@pytest.fixture
def bound(monkeypatch):
    """Make the bound small, so that the files are quickly made."""
    monkeypatch.setattr(outside, "UNFOLDED_BYTES", 1 << 22)


def test_an_npz_that_unfolds_is_refused(tmp_path, bound):
    path, part = tmp_path / "bomb.npz", bytes(1 << 22)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            with archive.open(f"{name}.npy", "w") as file:
                file.write(npy((1 << 24,), "u1", b""))
                for _ in range(4):
                    file.write(part)
    assert path.stat().st_size < 1 << 20
    refused(path, "bytes would unfold to 67109376")


@pytest.mark.parametrize("shape", [(10**12,), (1 << 40, 1 << 40), (3,)])
def test_the_shape_of_an_array_is_that_of_its_bytes(tmp_path, shape):
    path = tmp_path / "claims.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES:
            archive.writestr(f"{name}.npy", npy(shape, "f8", bytes(16)))
    refused(path, r"x_train.npy says that it has \d+ bytes, and has 144")


@pytest.mark.parametrize("header", [b"(" * 9000, b"[1, 2", b"{'shape': 'x'}", b"5"])
def test_a_header_that_is_none_is_refused(tmp_path, header):
    path = tmp_path / "header.npz"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES:
            archive.writestr(f"{name}.npy", member)
    refused(path, "cannot read")


def test_a_zipped_idx_file_that_would_unfold_is_refused(tmp_path, bound):
    for name in IDX_FILES:
        with gzip.open(tmp_path / f"{name}.gz", "wb") as file:
            file.write(bytes([0, 0, 8, IDX_FILES[name]]))
    first = next(iter(IDX_FILES))
    with gzip.open(tmp_path / f"{first}.gz", "wb", compresslevel=1) as file:
        file.write(bytes(1 << 24))
    with pytest.raises(DataError, match="would unfold to"):
        load_dataset(str(tmp_path))


def test_an_idx_file_that_claims_more_than_it_has_is_refused(tmp_path):
    for name, dimensions in IDX_FILES.items():
        header = bytes([0, 0, 8, dimensions]) + b"\xff" * 4 * dimensions
        (tmp_path / name).write_bytes(header + b"12")
    refused(tmp_path, "is truncated: expected")
