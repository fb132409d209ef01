"""An export as a whole: files that load, numbers that agree, failures that are sentences."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
from pathlib import Path

import pytest
import torch
from small_networks import LeNet, perceptron, randomise
from torch import nn

from bogp.analysis import Interval
from bogp.errors import MaskError, SettingError, UnknownNameError
from bogp.export import Export, ExportError, compact, export_model, load_sparse
from bogp.export.exporting import sentence
from bogp.export.formats import FORMATS, Exported, Format, Job, Written
from bogp.export.measure import Latency
from bogp.export.onnx import session
from bogp.masks import Mask
from bogp.nn import even_blocks

onnx = pytest.importorskip("onnx")


def pruned(seed: int = 1) -> tuple[nn.Module, Mask]:
    model = randomise(perceptron([20, 60, 30, 5]), seed)
    generator = torch.Generator().manual_seed(seed)
    layers = {
        name: torch.rand(value.shape, generator=generator) < 0.1
        for name, value in model.named_parameters()
        if value.ndim > 1
    }
    return model, Mask(layers)


def ticks():
    counter = itertools.count()
    return lambda: next(counter) * 0.01


def run(folder: Path, formats: tuple[str, ...], **settings: object) -> Export:
    model, mask = pruned()
    quick = {"batches": (1, 4), "repeats": 6, "clock": ticks()}
    x = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    return export_model(model, mask, x, folder, formats=formats, **{**quick, **settings})


def test_every_format_is_written_timed_and_in_the_record(tmp_path: Path) -> None:
    found = run(tmp_path, ("compact", "csr", "bsr"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "compact.pt2",
        "export.json",
        "sparse.safetensors",
    ]
    record = json.loads((tmp_path / "export.json").read_text())
    assert record["sentences"] == list(found.sentences)
    assert record["sparsity"] == pruned()[1].sparsity
    assert [each["name"] for each in record["formats"]] == ["compact", "csr", "bsr"]
    timed = [(each["name"], each["batch"]) for each in record["latencies"]]
    assert timed == [(n, b) for b in (1, 4) for n in ("dense", "compact", "csr")]
    csr = record["formats"][1]
    assert csr["size"] == (tmp_path / "sparse.safetensors").stat().st_size
    assert csr["times_smaller"] == found.dense_size / csr["size"]
    assert found.speed("csr", 4) is not None
    assert found.speed("bsr", 4) is None


def test_files_load_and_give_the_same(tmp_path: Path) -> None:
    found = run(tmp_path, ("compact", "csr"))
    model, mask = pruned()
    dense, _ = load_sparse(model, tmp_path / "sparse.safetensors")
    small = torch.export.load(tmp_path / "compact.pt2").module()
    x = torch.randn(9, 20)
    torch.testing.assert_close(small(x), dense(x), atol=1e-5, rtol=1e-5)
    counts = compact(model, x, mask)
    assert found.formats[0].parameters == counts.parameters_after < found.dense_parameters


def test_the_compacted_model_as_onnx(tmp_path: Path) -> None:
    found = run(tmp_path, ("onnx", "compact-onnx"))
    whole, small = found.formats
    assert whole.file.name == "model.onnx"
    assert small.size < whole.size
    assert max(whole.difference, small.difference) < 1e-5
    assert "with onnxruntime" in found.sentences[0]


def test_one_format_that_fails_is_a_sentence_the_only_one_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(job: object) -> None:
        raise ExportError("the moon is full")

    monkeypatch.setitem(FORMATS, "onnx", dataclasses.replace(FORMATS["onnx"], write=fails))
    found = run(tmp_path, ("onnx", "csr"))
    assert found.sentences[0] == "onnx is not exported: the moon is full"
    assert found.sentences[1].startswith("csr, sparsity 0.9")
    with pytest.raises(ExportError, match="the moon is full"):
        run(tmp_path, ("onnx",))


def test_a_format_is_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(job: Job) -> Written:
        job.path.write_text(str(job.mask.kept))
        return Exported(job.name, job.path, job.path.stat().st_size, runtime="a pen"), job.model

    mine = Format("count", write, "kept.txt", "the number of kept weights")
    monkeypatch.setitem(FORMATS, mine.name, mine)
    found = run(tmp_path, ("count",))
    assert (tmp_path / "kept.txt").read_text() == str(pruned()[1].kept)
    assert [each.name for each in found.latencies if each.batch == 4] == ["dense", "count"]
    assert "with a pen" in found.sentences[0]


def test_blocks_that_are_not_there_are_a_sentence(tmp_path: Path) -> None:
    (text,) = run(tmp_path, ("bsr",)).sentences
    assert "smaller; bsr is not timed: no linear layer has enough blocks" in text


def test_what_cannot_be_looked_into_is_said(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * int(x.shape[1])

    model = nn.Sequential(nn.Linear(4, 4), Odd(), nn.Linear(4, 2))
    mask = Mask({"0.weight": torch.eye(4, dtype=torch.bool)})
    found = export_model(
        model, mask, torch.randn(2, 4), tmp_path, formats=("compact",), repeats=6, clock=ticks()
    )
    assert "torch.fx cannot follow 1" in found.sentences[0]


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown format 'onx': did you mean onnx"):
        run(tmp_path, ("onx",))
    with pytest.raises(SettingError, match="no format is given"):
        run(tmp_path, ())
    with pytest.raises(MaskError, match="which the model does not have"):
        export_model(LeNet(), pruned()[1], torch.randn(1, 1, 16, 16), tmp_path)
    with pytest.raises(ExportError, match="cannot be run on the example"):
        export_model(*pruned(), torch.randn(2, 21), tmp_path)


def test_sentences_say_plainly_where_there_is_no_gain() -> None:
    def latency(batch: int, low: float, middle: float, high: float) -> Latency:
        seconds = Interval(1.0, 1.0, 1.0, 30)
        return Latency("csr", batch, seconds, Interval(middle, low, high, 30), 1)

    found = Exported("csr", size=1000, runtime="torch 2.13.0")
    times = [latency(1, 0.98, 1.01, 1.04), latency(256, 0.2, 0.25, 0.3)]
    assert sentence(found, 0.9, 7940, times) == (
        "csr, sparsity 0.9: file 7.9x smaller, no faster at batch 1, 4.00x slower at batch 256 "
        "with torch 2.13.0"
    )
    same = Exported("csr", size=7900, runtime="torch 2.13.0", note="a note")
    assert sentence(same, 0.9, 7940, [latency(1, 1.1, 1.2, 1.3)]) == (
        "csr, sparsity 0.9: file no smaller, 1.20x faster at batch 1 with torch 2.13.0 (a note)"
    )


def blocked() -> tuple[nn.Module, Mask]:
    """Two layers of a ring of blocks, wide enough that graph layers are quicker than dense ones."""
    model = randomise(perceptron([512, 1024, 512, 5]), 1)
    ring = torch.eye(16) + torch.eye(16).roll(1, 0) + torch.eye(16).roll(-1, 0)
    kept = ring.bool().numpy()
    layers = {
        "1.weight": even_blocks(kept, 1024, 512).mask(),
        "3.weight": even_blocks(kept, 512, 1024).mask(),
    }
    return model, Mask(layers)


def test_the_graph_network_in_both_runtimes(tmp_path: Path) -> None:
    model, mask = blocked()
    x = torch.randn(64, 512)
    found = export_model(
        model,
        mask,
        x,
        tmp_path,
        formats=("onnx", "graph", "graph-onnx"),
        batches=(1, 64),
        repeats=6,
        clock=ticks(),
    )
    assert all(not each.failure for each in found.formats)
    _, graph, small = found.formats
    assert graph.note.startswith("2 of 2 layers are graph layers")
    assert max(graph.size, small.size) < found.dense_size / 4
    dense = copy.deepcopy(model).eval()
    mask.apply(dense)
    loaded = torch.export.load(tmp_path / "graph.pt2").module()
    run = session(tmp_path / "graph.onnx")
    for given in (x, torch.randn(3, 512)):
        with torch.no_grad():
            torch.testing.assert_close(loaded(given), dense(given), rtol=0, atol=1e-5)
            torch.testing.assert_close(run(given)[0], dense(given), rtol=0, atol=1e-5)
    nodes = onnx.load(tmp_path / "graph.onnx").graph.node
    assert {node.domain for node in nodes} <= {""}
    assert {"Gather", "MatMul"} <= {node.op_type for node in nodes}
    beside = {each.name: each.beside for each in found.latencies}
    assert beside == {"dense": "dense", "onnx": "dense", "graph": "dense", "graph-onnx": "onnx"}
    assert "beside dense in the same runtime" in found.sentences[2]


def test_a_mask_without_blocks_says_how_to_prune(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="prune with --block 32"):
        run(tmp_path, ("graph",))
