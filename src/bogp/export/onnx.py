"""A model as an ONNX file, checked with onnxruntime against the torch model."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bogp.coupling.copies import (
    Example,
    as_inputs,
    checked_difference,
    first_line,
    plain_copy,
    probes,
    rows,
    run_example,
)
from bogp.errors import ExportError
from bogp.files import write_atomic
from bogp.masks import Mask

TOLERANCE = 1e-4
"""The largest difference of outputs that an ONNX file may have."""

BATCHES = (1, 3, 256)
"""The batch sizes that a file is checked on: the batch is free in it."""


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file.

    Attributes:
        path: where it is.
        size: in bytes.
        difference: the largest difference from the torch model's outputs.
        opset: the version of ONNX's operators that it needs.
    """

    path: Path
    size: int
    difference: float
    opset: int


def to_onnx(
    model: nn.Module,
    example: Example,
    path: str | os.PathLike[str],
    mask: Mask | None = None,
    *,
    tolerance: float = TOLERANCE,
    batches: Sequence[int] = BATCHES,
    seed: int = 0,
) -> OnnxFile:
    """Write ``model`` in evaluation mode to ``path``, weights inside, with a free batch size.

    The file is written only if onnxruntime gives the torch model's outputs, on the example and on
    random inputs, at each of the ``batches``.

    Args:
        model: any module that torch.export can follow; not changed.
        example: inputs (N, ...), or a tuple of them.
        path: the file.
        mask: what is pruned besides the weights that are 0.
        tolerance: the largest difference allowed.
        batches: the batch sizes to compare at.
        seed: draws the random inputs.

    Raises:
        ExportError: a package is missing, the model cannot be exported, or the outputs differ.
        OutputError: the file cannot be written.
    """
    onnx = _package("onnx")
    _package("onnxscript"), _package("onnxruntime")
    inputs, dense = as_inputs(example), plain_copy(model, mask)
    run_example(dense, inputs)
    try:
        with _silence():
            proto = _proto(dense, inputs)
            onnx.checker.check_model(proto, full_check=True)
            content: bytes = proto.SerializeToString()
            run = session(content)
    except Exception as error:
        raise ExportError(
            f"the model cannot be written as ONNX with a free batch size ({first_line(error)}): "
            "change what the exporter names, or choose another format"
        ) from error
    compared = (probe for size in batches for probe in probes(rows(inputs, size), seed, draws=1))
    difference = checked_difference("the ONNX file", run, dense, compared, tolerance)
    opset = next(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx"))
    target = write_atomic(path, content)
    return OnnxFile(target, len(content), difference, opset)


def session(model: bytes | str | os.PathLike[str], threads: int = 1) -> Callable[..., list[Tensor]]:
    """Return a function that runs an ONNX model, a file or its bytes, on torch tensors.

    Raises:
        ExportError: onnxruntime is missing or cannot load the model.
    """
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else os.fspath(model)
    try:
        found = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"onnxruntime cannot load the model ({first_line(error)})") from error
    names = [each.name for each in found.get_inputs()]

    def run(*inputs: Tensor) -> list[Tensor]:
        given = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
        return [torch.from_numpy(each) for each in found.run(None, given)]

    return run


def _proto(model: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Return the model as an onnx.ModelProto."""
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        model,
        rows(inputs, 2),  # One row would be taken for a size that never changes.
        dynamo=True,
        dynamic_shapes=tuple({0: batch} for _ in inputs),
        external_data=False,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _package(name: str) -> Any:
    """Return one of the packages of the extra ``export``."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExportError(
            f'ONNX files need {name}, which is not installed: pip install "bogp[export]"'
        ) from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter from printing its progress and warnings within the block."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
