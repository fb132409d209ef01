import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_digits

from bogp.data import load_dataset
from bogp.data.sources import ARRAYS
from bogp.errors import BogpError, DataError, UnknownNameError

Arrays = dict[str, npt.NDArray[Any]]
Write = Callable[[Path], Path]


def test_digits_are_scikit_learns_digits_each_once() -> None:
    data = load_dataset("digits")
    assert (len(data.train_inputs), len(data.test_inputs)) == (1437, 360)
    assert (data.train_inputs.min(), data.train_inputs.max()) == (0, 1)
    mine = torch.cat([data.train_inputs, data.test_inputs]).numpy() * 16
    labels = torch.cat([data.train_targets, data.test_targets]).numpy()
    rows = np.column_stack([mine.reshape(-1, 64), labels])
    original = load_digits()
    theirs = np.column_stack([original.images.reshape(-1, 64), original.target])
    assert (rows[np.lexsort(rows.T)] == theirs[np.lexsort(theirs.T)]).all()


def test_the_digits_split_is_stratified_and_never_changes() -> None:
    data = load_dataset("digits")
    shares = np.bincount(load_digits().target) * 360 / 1797
    assert (np.abs(np.bincount(data.test_targets.numpy()) - shares) < 1).all()
    assert data.fingerprint == "7f53764eb2eb73c6d1a8a6e428b00c436d31715fb2b447b33e28ca748322e9b5"


def test_a_folder_of_idx_files(tmp_path: Path, write_idx: Write, arrays: Arrays) -> None:
    data = load_dataset(str(write_idx(tmp_path / "fashion")))
    assert (data.name, data.classes, data.features) == ("fashion", 3, 20)
    assert torch.equal(data.train_inputs, torch.from_numpy(arrays["x_train"]).float() / 255)
    assert data.test_targets.tolist() == arrays["y_test"].tolist()


def test_idx_npz_and_function_give_one_fingerprint(
    tmp_path: Path, write_idx: Write, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "same.npz", **arrays)
    (tmp_path / "same_module.py").write_text(
        "import numpy as np, torch\n"
        "from torch.utils.data import TensorDataset\n"
        "def load():\n"
        "    with np.load('same.npz') as file:\n"
        "        data = {name: torch.from_numpy(file[name]) for name in file}\n"
        "    train = TensorDataset(data['x_train'], data['y_train'])\n"
        "    return train, TensorDataset(data['x_test'], data['y_test'])\n"
    )
    monkeypatch.chdir(tmp_path)
    sources = [str(write_idx(tmp_path / "idx")), "same.npz", "same_module:load"]
    sets = [load_dataset(source) for source in sources]
    assert [data.name for data in sets] == ["idx", "same", "same_module:load"]
    assert len({data.fingerprint for data in sets}) == 1


def test_images_and_labels_of_a_folder_must_match(tmp_path: Path, write_idx: Write) -> None:
    labels = write_idx(tmp_path) / "t10k-labels-idx1-ubyte"
    labels.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 2, 0]))
    with pytest.raises(DataError, match=r"test set .* 6 inputs but 4 targets"):
        load_dataset(str(tmp_path))


def test_a_truncated_file_of_a_folder_is_not_mended(tmp_path: Path, write_idx: Write) -> None:
    images = write_idx(tmp_path) / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{images} is truncated: expected 256 bytes .* found 255"):
        load_dataset(str(tmp_path))
    assert images.stat().st_size == 255


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mnits", "unknown dataset 'mnits': did you mean mnist"),
        ("digit", "did you mean digits"),
        ("imagenet", "choose from digits, mnist"),
        ("", "unknown dataset ''"),
    ],
)
def test_an_unknown_name_gets_the_nearest(source: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        load_dataset(source)


@pytest.mark.parametrize(
    "source",
    [
        *("no/such/folder", "gone.npz", "/no/such/file", "~/no-such-folder-of-bogp", "./mnits"),
        *("data.mat", "my-module:load", "~no-such-user-of-bogp/data", "a" * 5000, "a\0b.npz"),
    ],
)
def test_a_path_that_does_not_exist_is_a_data_error(source: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(source)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1,2\n")
    with pytest.raises(DataError, match=r"not an .npz file"):
        load_dataset(str(path))


def save(path: Path, arrays: Arrays, **changes: Any) -> str:
    np.savez(path, **(arrays | changes))
    return str(path)


def test_npz_floats_are_left_alone(tmp_path: Path, arrays: Arrays) -> None:
    inputs = arrays["x_train"].astype(np.float64) * -3
    data = load_dataset(
        save(
            tmp_path / "f.npz", arrays, x_train=inputs, x_test=inputs[:6], y_train=arrays["y_train"]
        )
    )
    assert torch.equal(data.train_inputs, torch.from_numpy(inputs).float())


def test_npz_labels_may_be_a_column_or_whole_floats(tmp_path: Path, arrays: Arrays) -> None:
    column = arrays["y_train"].astype(np.float32)[:, None]
    data = load_dataset(save(tmp_path / "c.npz", arrays, y_train=column))
    assert data.train_targets.tolist() == arrays["y_train"].tolist()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_train": np.full(12, 0.5)}, "label 0.5: .* whole numbers"),
        ({"y_train": np.full(12, np.nan)}, "label nan: .* whole numbers"),
        ({"y_train": np.arange(12) - 1}, "label -1: .* whole numbers from 0"),
        ({"y_train": np.full(12, 2**63, dtype=np.uint64)}, f"label {2**63}"),
        ({"y_train": np.full(12, "cat")}, "labels must be whole numbers"),
        ({"y_train": np.eye(12)}, r"y_train of 'bad' has shape \(12, 12\)"),
        ({"y_train": np.arange(11)}, "12 inputs but 11 targets"),
        ({"y_test": np.arange(6) + 10**6}, "label 1000005 with 12 training examples"),
        ({"x_train": np.full((12, 4, 5), np.nan)}, "NaN or infinite"),
        ({"x_train": np.full((12, 4, 5), 1e300)}, "NaN or infinite"),
        ({"x_train": np.zeros((12, 4, 5), dtype=np.int64)}, "holds int64 values"),
        ({"x_train": np.zeros(12)}, r"x_train of 'bad' has shape \(12,\)"),
        ({"x_train": np.zeros((12, 20))}, "same shape"),
        ({"x_test": np.zeros((0, 4, 5)), "y_test": np.zeros(0)}, "empty"),
        ({"x_train": np.array([{"a": 1}], dtype=object)}, "Object arrays cannot be loaded"),
    ],
)
def test_npz_arrays_of_the_wrong_kind_are_refused(
    tmp_path: Path, arrays: Arrays, changes: Arrays, words: str
) -> None:
    source = save(tmp_path / "bad.npz", arrays, **changes)
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(source)
    assert "\n" not in str(caught.value)


def test_npz_arrays_that_are_missing_are_named(tmp_path: Path, arrays: Arrays) -> None:
    np.savez(tmp_path / "part.npz", x_train=arrays["x_train"], images=arrays["x_test"])
    with pytest.raises(DataError, match=r"no array y_train, x_test, y_test \(it has images, x_tr"):
        load_dataset(str(tmp_path / "part.npz"))


def test_npz_cut_anywhere_is_refused(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "cut.npz"
    content = Path(save(path, arrays)).read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            load_dataset(str(path))


def test_npz_with_any_changed_byte_loads_or_is_refused(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "flip.npz"
    np.savez_compressed(path, **arrays)
    content = path.read_bytes()
    good = load_dataset(str(path)).fingerprint
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        try:
            assert load_dataset(str(path)).fingerprint == good
        except BogpError:
            continue


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"\x93NUMPY\x01\x00"])
def test_npz_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is no .npz file"):
        load_dataset(str(path))


def test_npz_with_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as file:
        for name in ARRAYS:
            file.writestr(f"{name}.npy", b"hello")
    with pytest.raises(DataError, match=r"cannot read .*magic string"):
        load_dataset(str(tmp_path / "odd.npz"))


@pytest.mark.mnist
def test_mnist_is_mnist() -> None:
    data = load_dataset("mnist")
    assert (data.name, data.classes, data.features) == ("mnist", 10, 784)
    assert data.train_inputs.shape == (60_000, 28, 28)
    assert data.test_inputs.shape == (10_000, 28, 28)
    assert (data.train_inputs.min(), data.train_inputs.max()) == (0, 1)
    # The first labels and the class counts that every description of MNIST gives.
    assert data.train_targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_targets[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.train_targets.bincount()[:3].tolist() == [5923, 6742, 5958]


@pytest.mark.mnist
def test_a_folder_that_holds_mnist_is_mnist(tmp_path: Path) -> None:
    from bogp.data.mnist import mnist_files

    for name, content in mnist_files().items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, compresslevel=1))
    data = load_dataset(tmp_path)
    assert data.name == "mnist"
    assert data.fingerprint == load_dataset("mnist").fingerprint
