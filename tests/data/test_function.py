import re
import sys
from pathlib import Path

import pytest
import torch

from bogp.data import load_dataset
from bogp.errors import DataError

HEADER = """
import torch
from torch.utils.data import Dataset, IterableDataset

class Pairs(Dataset):
    def __init__(self, pairs): self.pairs = pairs
    def __len__(self): return len(self.pairs)
    def __getitem__(self, index): return self.pairs[index]

class Stream(IterableDataset):
    def __iter__(self): yield torch.zeros(2), 0

x = torch.arange(6.0).reshape(2, 3)
good = Pairs([(x, 0), (x + 1, 1)])
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # Each test writes another module of the same name.
    monkeypatch.delitem(sys.modules, "made_up", raising=False)


def load(code: str, name: str = "load") -> str:
    """Write the module, load the dataset, and return the message of the error."""
    Path("made_up.py").write_text(HEADER + code)
    with pytest.raises(DataError) as caught:
        load_dataset(f"made_up:{name}")
    message = str(caught.value)
    assert "\n" not in message
    assert "made_up" in message
    return message


def test_pairs_are_loaded_in_order() -> None:
    Path("made_up.py").write_text(HEADER + "def load(): return good, Pairs([(x - 9, 2)])\n")
    path = list(sys.path)
    data = load_dataset("made_up:load")
    assert (data.name, data.classes) == ("made_up:load", 3)
    assert data.train_inputs.tolist() == [[[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]]]
    assert data.train_targets.tolist() == [0, 1]
    assert data.test_inputs[0, 0].tolist() == [-9, -8, -7]
    assert sys.path == path


def test_a_module_in_a_package_is_found() -> None:
    Path("made_up_package").mkdir()
    code = HEADER + "def load(): return good, good\n"
    Path("made_up_package/inner.py").write_text(code)
    assert len(load_dataset("made_up_package.inner:load").train_inputs) == 2


def test_bytes_are_scaled_and_labels_may_be_tensors() -> None:
    code = (
        "b = Pairs([(torch.tensor([0, 255], dtype=torch.uint8), torch.tensor(i)) for i in (0, 1)])"
    )
    Path("made_up.py").write_text(HEADER + code + "\ndef load(): return b, b\n")
    data = load_dataset("made_up:load")
    assert data.train_inputs.tolist() == [[0, 1], [0, 1]]
    assert data.train_targets.tolist() == [0, 1]
    assert data.train_inputs.dtype == torch.float32


def test_a_missing_module_is_named() -> None:
    with pytest.raises(DataError, match="cannot import module 'no_such_module'"):
        load_dataset("no_such_module:load")


@pytest.mark.parametrize("code", ["1 / 0", "raise SystemExit(3)", "def load(:", "import no_such"])
def test_a_module_that_fails_is_one_sentence(code: str) -> None:
    assert "cannot import module" in load(code)


def test_a_missing_function_is_named() -> None:
    assert "has no function 'other'" in load("def load(): return good, good\n", "other")
    assert "holds no function" in load("", "x")


def test_a_function_that_fails_is_one_sentence() -> None:
    words = load("def load(): raise RuntimeError('first line\\nsecond line')\n")
    assert "failed when called: RuntimeError: first line" in words


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("None", "returned a NoneType"),
        ("(good,)", "returned a tuple of length 1"),
        ("(good, Stream())", "the test set .* a Stream without a length"),
        ("(good, 3)", "the test set .* a int without a length"),
        ("(Pairs([]), good)", "training set .* is empty"),
        ("(Pairs([(x, 0), x]), good)", "example 1 .* is a Tensor"),
        ("(Pairs([(x, 0, 0)]), good)", "example 0 .* is a tuple of length 3"),
        ("(Pairs(['ab']), good)", "example 0 .* is a str"),
        ("(Pairs([('picture', 0)]), good)", "has a str as its input"),
        ("(Pairs([(torch.tensor(1.0), 0)]), good)", "at least one dimension"),
        ("(Pairs([(x, 0), (x[:1], 1)]), good)", r"example 1 .* shape \(1, 3\) but the first"),
        ("(Pairs([(x, 0), (x.double(), 1)]), good)", "example 1 .* float64"),
        ("(Pairs([(x, 0), (x, 1.5)]), good)", r"example 1 .* not a pair \(tensor, int\)"),
        ("(Pairs([(x, 10 ** 30)]), good)", r"example 0 .* not a pair \(tensor, int\)"),
        ("(Pairs([(x, 0), (x, -1)]), good)", "label -1"),
        ("(Pairs([(x * float('nan'), 0), (x, 1)]), good)", "NaN or infinite"),
        ("(Pairs([(x.bfloat16(), 0)]), good)", "BFloat16"),
        ("(Pairs({0: (x, 0), 2: (x, 1)}), good)", "example 1 .* cannot be read: KeyError"),
        ("(Pairs([(x[0], 0), (x[0], 1)]), good)", "same shape"),
    ],
)
def test_what_is_no_dataset_is_refused(returned: str, words: str) -> None:
    message = load(f"def load(): return {returned}\n")
    assert re.search(words, message), message
