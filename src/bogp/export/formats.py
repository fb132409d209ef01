"""The formats of an export: a file each and, where it can be run, a function to time."""

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

from bogp.export.compact import Compacted, compact
from bogp.export.copies import (
    Example,
    as_inputs,
    first_line,
    largest_difference,
    outputs_of,
    plain_copy,
    probes,
    rows,
)
from bogp.export.errors import ExportError
from bogp.export.onnx import session, to_onnx
from bogp.export.sparse import to_bsr, to_csr
from bogp.export.sparse_files import load_sparse, save_sparse
from bogp.files import write_atomic
from bogp.masks import Mask

SPARSE_TOLERANCE = 1e-4
"""The largest difference of outputs of a sparse product, which adds in another order."""


@dataclass(frozen=True, eq=False)
class Job:
    """What a format is made of: the dense model, its mask, an example, where to, threads, seed."""

    model: nn.Module
    mask: Mask
    example: Example
    folder: Path
    threads: int
    seed: int


@dataclass(frozen=True, eq=False)
class Exported:
    """One format of an export.

    Attributes:
        name: the format.
        file: where it is; None where there is none.
        size: of the file in bytes.
        parameters: numbers that it holds as parameters; None where that says nothing.
        difference: the largest difference of outputs from the dense model's (`largest_difference`).
        runtime: what runs it, with the version.
        note: a sentence to know about it.
        failure: a sentence on why there is none, or why it cannot be run; then not timed.
    """

    name: str
    file: Path | None = None
    size: int | None = None
    parameters: int | None = None
    difference: float | None = None
    runtime: str = ""
    note: str = ""
    failure: str = ""


Made = tuple[Exported, Callable[..., Any] | None]


def onnx(job: Job) -> Made:
    """Write model.onnx, as large as the dense model: zeros are numbers too."""
    return _onnx(job, "onnx", job.model, job.folder / "model.onnx", "")


def compact_onnx(job: Job) -> Made:
    """Write compact.onnx, the compacted model."""
    small = _compact(job)
    return _onnx(job, "compact-onnx", small.model, job.folder / "compact.onnx", small.note)


def compacted(job: Job) -> Made:
    """Write compact.pt2, the compacted model for ``torch.export.load(path).module()``."""
    small = _compact(job)
    path = job.folder / "compact.pt2"
    data, note = _program(small.model, as_inputs(job.example)), small.note
    write_atomic(path, data)
    counts = small.parameters_after, small.difference
    found = Exported("compact", path, len(data), *counts, _torch(), note)
    return found, small.model


def csr(job: Job) -> Made:
    """Write sparse.safetensors, the kept weights and their places; run in torch's CSR."""
    return _sparse(job, "csr", to_csr)


def bsr(job: Job) -> Made:
    """Write sparse.safetensors too; run in blocks, torch's BSR."""
    return _sparse(job, "bsr", to_bsr)


FORMATS: dict[str, Callable[[Job], Made]] = {
    "onnx": onnx,
    "compact": compacted,
    "csr": csr,
    "bsr": bsr,
    "compact-onnx": compact_onnx,
}
"""Name → function that writes its file."""


def _onnx(job: Job, name: str, model: nn.Module, path: Path, note: str) -> Made:
    written = to_onnx(model, job.example, path, seed=job.seed)
    runtime = f"onnxruntime {metadata.version('onnxruntime')}"
    count = sum(parameter.numel() for parameter in model.parameters())
    found = Exported(name, path, written.size, count, written.difference, runtime, note)
    return found, session(path, job.threads)


def _compact(job: Job) -> Compacted:
    return compact(job.model, job.example, job.mask, seed=job.seed)


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
            for size in (1, 3):
                given = rows(inputs, size)
                if largest_difference(outputs_of(loaded, given), outputs_of(model, given)) > 1e-5:
                    raise ExportError("the saved program gives other outputs than the model")
    except Exception as error:
        raise ExportError(
            f"torch.export cannot save the compacted model with a free batch size "
            f"({first_line(error)}): call bogp.export.compact and keep its model"
        ) from error
    return buffer.getvalue()


def _sparse(job: Job, name: str, convert: Callable[[nn.Module, Mask], nn.Module]) -> Made:
    path = save_sparse(job.model, job.mask, job.folder / "sparse.safetensors")
    dense = plain_copy(job.model, job.mask)
    loaded, mask = load_sparse(dense, path)
    state = loaded.state_dict()
    for key, value in dense.state_dict().items():
        if not torch.equal(value, state[key]) or mask != job.mask:
            raise ExportError(f"{key!r} is not what it was when read from {str(path)!r} again")
    base = Exported(name, path, path.stat().st_size, None, 0.0, _torch())
    try:
        model = convert(dense, job.mask)
        inputs = as_inputs(job.example)
        difference = max(
            largest_difference(outputs_of(model, probe), outputs_of(dense, probe))
            for probe in probes(inputs, job.seed, draws=1)
        )
        if not difference <= SPARSE_TOLERANCE:
            raise ExportError(
                f"its outputs differ by {difference:.2g}, more than {SPARSE_TOLERANCE:g}"
            )
    except (ExportError, RuntimeError) as error:
        return replace(base, failure=f"{name} is not timed: {error}"), None
    return replace(base, difference=difference), model


def _torch() -> str:
    return f"torch {torch.__version__.partition('+')[0]}"
