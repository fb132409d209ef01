"""The formats of an export: each writes a file and gives what is to be timed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bogp.coupling.compaction import Compacted, compact
from bogp.coupling.copies import (
    checked_difference,
    first_line,
    parameter_count,
    plain_copy,
    probes,
    rows,
)
from bogp.errors import ExportError, MaskError
from bogp.export.onnx import session, to_onnx
from bogp.export.sparse import load_sparse, save_sparse, to_bsr, to_csr
from bogp.files import write_atomic
from bogp.masks import Mask
from bogp.nn import Converted, to_graph

SPARSE_TOLERANCE = 1e-4
"""The largest difference of outputs of a sparse product, which adds in another order."""

PROGRAM_TOLERANCE = 1e-5
"""The largest difference of outputs of a program that torch.export has saved."""


@dataclass(frozen=True, eq=False)
class Job:
    """What a format is to write.

    Attributes:
        name: the format.
        path: the file to write.
        model: the dense model, zeros where the mask prunes.
        mask: what is pruned.
        inputs: a batch of each input of the model, (N, ...).
        threads: CPU threads of the runtime that is timed.
        seed: of the random inputs that outputs are compared on.
    """

    name: str
    path: Path
    model: nn.Module
    mask: Mask
    inputs: tuple[Tensor, ...]
    threads: int
    seed: int


@dataclass(frozen=True, eq=False)
class Exported:
    """What became of one format.

    Attributes:
        name: the format.
        file: where it is; None where there is none.
        size: of the file in bytes.
        parameters: how many numbers it holds as parameters; None where that says nothing.
        difference: the largest difference of its outputs from the dense model's.
        runtime: what runs it, with the version.
        note: a sentence to know about it.
        failure: a sentence on why there is none, or why it cannot be run; it is then not timed.
    """

    name: str
    file: Path | None = None
    size: int | None = None
    parameters: int | None = None
    difference: float | None = None
    runtime: str = ""
    note: str = ""
    failure: str = ""


Written = tuple[Exported, Callable[..., Any] | None]
"""What a format wrote, and the function of the model's inputs to time; None where none runs."""


@dataclass(frozen=True)
class Format:
    """A way to write a pruned model.

    Attributes:
        name: what options call it.
        write: writes the file of a job whole or not at all, and compares what it computes with the
            model; raises ExportError where it cannot.
        file: the name of the file.
        help: one line that says what is written and what runs it.
        needs: the extra of bogp that must be installed for it.
        default: whether it is written where no format is asked for.
    """

    name: str
    write: Callable[[Job], Written]
    file: str
    help: str
    needs: str = ""
    default: bool = False


def onnx(job: Job) -> Written:
    """Write the dense model as ONNX: zeros are numbers too, so that the file is as large."""
    return _onnx(job, job.model, "")


def compact_onnx(job: Job) -> Written:
    """Write the compacted model as ONNX."""
    small = _compact(job)
    return _onnx(job, small.model, small.note)


def compacted(job: Job) -> Written:
    """Write the compacted model for ``torch.export.load(path).module()``."""
    small = _compact(job)
    data = _program(small.model, job.inputs)
    write_atomic(job.path, data)
    counts = small.parameters_after, small.difference
    return Exported(job.name, job.path, len(data), *counts, _torch(), small.note), small.model


def graph(job: Job) -> Written:
    """Write the network of graph layers for ``torch.export.load(path).module()``."""
    found = _graph(job)
    data = _program(found.model, job.inputs)
    # What is timed is the file: its layers gather, also where they could read windows.
    run = torch.export.load(io.BytesIO(data)).module()
    difference = _from_dense(job, run)
    write_atomic(job.path, data)
    count = parameter_count(found.model)
    return Exported(
        job.name, job.path, len(data), count, difference, _torch(), _graph_note(found)
    ), run


def graph_onnx(job: Job) -> Written:
    """Write the network of graph layers as ONNX, in operations that every runtime has."""
    found = _graph(job)
    written, run = _onnx(job, found.model, _graph_note(found))
    assert run is not None
    return replace(written, difference=_from_dense(job, run)), run


def csr(job: Job) -> Written:
    """Write the kept weights and their places; torch's sparse rows (CSR) run them."""
    return _sparse(job, to_csr)


def bsr(job: Job) -> Written:
    """Write the same; torch's sparse blocks (BSR) run them."""
    return _sparse(job, to_bsr)


FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        Format(
            "onnx",
            onnx,
            "model.onnx",
            "the model as it is, with a free batch size; checked with onnxruntime and run by it",
            needs="export",
            default=True,
        ),
        Format(
            "compact",
            compacted,
            "compact.pt2",
            "a smaller dense model without dead inputs, units and channels; run by torch",
            default=True,
        ),
        Format(
            "csr",
            csr,
            "sparse.safetensors",
            "the kept weights alone; run in torch's sparse rows",
            default=True,
        ),
        Format(
            "bsr",
            bsr,
            "sparse.safetensors",
            "the same file; run in torch's sparse blocks",
        ),
        Format(
            "compact-onnx",
            compact_onnx,
            "compact.onnx",
            "the compacted model; checked with onnxruntime and run by it",
            needs="export",
        ),
        Format(
            "graph",
            graph,
            "graph.pt2",
            "without dead channels, and layers of whole blocks compute these alone; run by torch",
        ),
        Format(
            "graph-onnx",
            graph_onnx,
            "graph.onnx",
            "the same in stock operations of ONNX; checked with onnxruntime and run by it",
            needs="export",
        ),
    )
}
"""The formats by name."""

DEFAULT_FORMATS = tuple(name for name, found in FORMATS.items() if found.default)


def _onnx(job: Job, model: nn.Module, note: str) -> Written:
    written = to_onnx(model, job.inputs, job.path, seed=job.seed)
    facts = parameter_count(model), written.difference
    runtime = f"onnxruntime {metadata.version('onnxruntime')}"
    note = f"opset {written.opset}" + (f"; {note}" if note else "")
    found = Exported(job.name, job.path, written.size, *facts, runtime, note)
    return found, session(job.path, job.threads)


def _compact(job: Job) -> Compacted:
    return compact(job.model, job.inputs, job.mask, seed=job.seed)


def _graph(job: Job) -> Converted:
    try:
        return to_graph(job.model, job.mask, example=job.inputs)
    except MaskError as error:
        raise ExportError(
            "the mask does not keep whole blocks, which graph layers are made of: prune with "
            "--block 32 (block=32 in Python)"
        ) from error


def _graph_note(found: Converted) -> str:
    done = sum(each.done == "graph" for each in found.layers)
    note = f"{done} of {len(found.layers)} layers are graph layers, for the others dense is quicker"
    return f"{note}; {found.note}" if found.note else note


def _from_dense(job: Job, run: Callable[..., Any]) -> float:
    """Return the largest difference from the masked network, on inputs and random ones."""
    batches = probes(job.inputs, job.seed)
    return checked_difference("the graph network", run, job.model, batches, PROGRAM_TOLERANCE)


def _program(model: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    """Return a model as torch.export saves it, its batch size free, checked by loading it.

    Raises:
        ExportError: torch.export cannot follow the model.
    """
    batch, buffer = torch.export.Dim("batch"), io.BytesIO()
    dims = tuple({0: batch} for _ in inputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(model, rows(inputs, 2), dynamic_shapes=dims)
            torch.export.save(program, buffer)
            loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()
            batches = (rows(inputs, size) for size in (1, 3))
            checked_difference("the saved program", loaded, model, batches, PROGRAM_TOLERANCE)
    except Exception as error:
        raise ExportError(
            f"torch.export cannot save the smaller model with a free batch size "
            f"({first_line(error)}): keep the model that bogp.compact or bogp.to_graph gives"
        ) from error
    return buffer.getvalue()


def _sparse(job: Job, convert: Callable[[nn.Module, Mask], nn.Module]) -> Written:
    path = save_sparse(job.model, job.mask, job.path)
    dense = plain_copy(job.model, job.mask)
    loaded, mask = load_sparse(dense, path)
    state = loaded.state_dict()
    for key, value in dense.state_dict().items():
        if not torch.equal(value, state[key]) or mask != job.mask:
            raise ExportError(f"{key!r} is not what it was when read from {str(path)!r} again")
    found = Exported(job.name, path, path.stat().st_size, None, 0.0, _torch())
    try:
        model = convert(dense, job.mask)
        batches = probes(job.inputs, job.seed, draws=1)
        difference = checked_difference("the sparse model", model, dense, batches, SPARSE_TOLERANCE)
    except ExportError as error:
        return replace(found, failure=f"{job.name} is not timed: {error}"), None
    return replace(found, difference=difference), model


def _torch() -> str:
    return f"torch {torch.__version__.partition('+')[0]}"
