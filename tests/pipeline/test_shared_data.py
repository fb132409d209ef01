import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bogp.data import Dataset, load_dataset, split
from bogp.errors import DataError, OutputError
from bogp.pipeline import shared_data as module
from bogp.pipeline.shared_data import DataSource, shared_data


def made(value=0.0):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 2, 3, generator=generator) + value
    targets = torch.arange(60) % 3
    return Dataset("ours", inputs, targets, inputs[:20], targets[:20], classes=5)


@pytest.fixture
def elsewhere(monkeypatch):
    """Whoever calls it is in a process that holds no data yet."""

    def forget():
        monkeypatch.setattr(module, "_held", {})
        module._loaded.cache_clear()
        module._split.cache_clear()

    yield forget
    forget()


def test_the_process_that_holds_the_data_uses_them():
    dataset = made()
    with shared_data(dataset) as (same, source):
        assert same is dataset
        assert source == DataSource("ours", dataset.fingerprint)
        assert pickle.loads(pickle.dumps(source)).dataset() is dataset
        with shared_data(made()) as (_, other):
            assert other.dataset().fingerprint == dataset.fingerprint
        assert source.dataset() is dataset


def test_data_of_no_name_travel_by_a_file(elsewhere):
    dataset = made()
    with shared_data(dataset, stored=True) as (_, source):
        sent = pickle.dumps(source)
        assert len(sent) < 500
        elsewhere()
        found = pickle.loads(sent).dataset()
        assert found is not dataset
        assert found.fingerprint == dataset.fingerprint
        assert (found.name, found.classes) == ("ours", 5)
        assert source.dataset() is found
        folder = Path(source.source).parent
        assert folder.is_dir()
    assert not folder.exists()
    elsewhere()
    with pytest.raises(DataError, match=r"'ours' is not to be read from .*other machines need"):
        source.dataset()


@pytest.mark.parametrize("stored", [True, False])
def test_what_has_a_name_or_path_is_not_written(stored, tmp_path, monkeypatch, elsewhere):
    arrays = {name: getattr(made(), name).numpy() for name in ("train_inputs", "test_inputs")}
    labels = {name: getattr(made(), name).numpy() for name in ("train_targets", "test_targets")}
    names = ("x_train", "x_test", "y_train", "y_test")
    values = (*arrays.values(), *labels.values())
    np.savez(tmp_path / "ours.npz", **dict(zip(names, values, strict=True)))
    monkeypatch.chdir(tmp_path)
    for given, kept in (("digits", "digits"), ("./ours.npz", str(tmp_path / "ours.npz"))):
        with shared_data(given, stored=stored) as (dataset, source):
            assert (source.source, source.stored) == (kept, False)
            elsewhere()
            monkeypatch.chdir("/")
            assert source.dataset().fingerprint == dataset.fingerprint
            monkeypatch.chdir(tmp_path)


def test_a_function_is_called_again_only_where_that_is_wanted(tmp_path, monkeypatch, elsewhere):
    """It may draw at random: workers of this machine get what it drew."""
    source = "import torch\n\ndef data():\n"
    source += "    one = [(torch.rand(4), k % 2) for k in range(30)]\n    return one, one\n"
    (tmp_path / "drawing.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    with shared_data("drawing:data", stored=True, named=False) as (dataset, found):
        elsewhere()
        assert found.dataset().fingerprint == dataset.fingerprint
    with shared_data("drawing:data", stored=True) as (_, found):
        assert (found.source, found.stored) == ("drawing:data", False)
        elsewhere()
        with pytest.raises(DataError, match="'drawing:data' differ between the processes"):
            found.dataset()


def test_data_of_another_fingerprint_are_refused(elsewhere):
    with shared_data(made(), stored=True) as (_, source):
        elsewhere()
        other = replace(source, fingerprint=made(1.0).fingerprint)
        with pytest.raises(DataError, match="give all of them the same files") as caught:
            other.dataset()
        assert source.fingerprint[:12] in str(caught.value)
        alone = DataSource("ours", source.fingerprint)
        with pytest.raises(DataError, match="'ours' is held by another process alone"):
            alone.dataset()


def test_the_parts_are_those_of_the_split_in_memory_of_torch(elsewhere):
    array = np.zeros(60 * 6 + 1, dtype=np.float32)[1:]  # no data of torch's own begin there
    inputs = torch.from_numpy(array).view(60, 6).copy_(made().train_inputs.flatten(1))
    odd = Dataset("odd", inputs, made().train_targets, inputs, made().train_targets, classes=3)
    assert odd.train_inputs.data_ptr() % 64 != 0
    with shared_data(odd) as (_, source):
        for protocol in ("holdout", "paper"):
            parts, plain = source.split(protocol), split(odd, protocol, seed=0)
            assert source.split(protocol) is parts
            for name, value in vars(plain).items():
                if name != "protocol":
                    assert torch.equal(getattr(parts, name), value)
                    assert getattr(parts, name).data_ptr() % 64 == 0
            assert parts.protocol == protocol


def test_a_file_that_cannot_be_written_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="set TMPDIR"), shared_data(made(), stored=True):
        pass


def test_nothing_is_kept_after_the_block():
    dataset = load_dataset("digits")
    with shared_data(dataset) as (_, source):
        source.split("holdout")
    assert dataset.fingerprint not in module._held
    assert module._split.cache_info().currsize == 0
