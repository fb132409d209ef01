"""ONNX files with weights of eight bits, by onnxruntime's own quantiser."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bogp.coupling.copies import first_line, largest_difference, outputs_of, probes
from bogp.errors import ExportError
from bogp.export.formats import Exported, Job, Written
from bogp.export.onnx import session
from bogp.files import write_atomic

SUFFIX = "-int8"
"""What the name of a format ends in whose weights have eight bits."""

_ROWS = 256
"""How many examples are predicted at a time."""


def in_eight_bits(
    job: Job, exported: Exported, labelled: tuple[Tensor, Tensor] | None = None
) -> Written:
    """Write an ONNX format again, its matrix products in eight bits, and say what that costs.

    Weights are rounded to 255 steps around 0, so that zeros stay zeros; inputs of each product are
    rounded as they come (onnxruntime's dynamic quantisation). Convolutions stay as they are: it has
    none for weights of both signs.

    Args:
        job: what was exported.
        exported: the ONNX format, its file written.
        labelled: inputs (N, ...) and classes (N,) or (N, T), to compare the accuracy on.

    Raises:
        ExportError: the quantiser is missing or fails, or finds nothing to make smaller.
        OutputError: the file cannot be written.
    """
    assert exported.file is not None
    content = quantised(exported.file)
    path = exported.file.with_suffix(".int8.onnx")
    run, before = session(content, job.threads), session(exported.file, job.threads)
    difference = max(
        largest_difference(outputs_of(run, each), outputs_of(job.model, each))
        for each in probes(job.inputs, job.seed)
    )
    note = "eight bits"
    if labelled is not None:
        was, now = (_accuracy(each, *labelled) for each in (before, run))
        note += f": accuracy {now:.4f}, {was:.4f} in float32, on {len(labelled[0])} examples"
    write_atomic(path, content)
    found = replace(exported, name=exported.name + SUFFIX, file=path, size=len(content))
    notes = "; ".join(each for each in (note, exported.note) if each)
    return replace(found, difference=difference, note=notes), run


def quantised(source: Path) -> bytes:
    """Return an ONNX file with the weights of its matrix products in eight bits.

    Raises:
        ExportError: the quantiser is missing or fails, or finds no such weights.
    """
    try:
        quantization: Any = importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise ExportError(
            "eight bits need onnxruntime with its quantiser, which is not installed: "
            'pip install "bogp[export]"'
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "quantised.onnx"
        try:
            quantization.quantize_dynamic(
                source,
                target,
                op_types_to_quantize=["MatMul"],
                weight_type=quantization.QuantType.QInt8,
            )
            content = target.read_bytes()
        except Exception as error:  # whatever another library raises
            raise ExportError(
                f"onnxruntime cannot write {source.name!r} in eight bits ({first_line(error)}): "
                "leave out --int8"
            ) from error
    if b"MatMulInteger" not in content:
        raise ExportError(
            f"{source.name!r} has no matrix product that onnxruntime can write in eight bits: "
            "leave out --int8"
        )
    return content


def _accuracy(run: Callable[..., list[Tensor]], inputs: Tensor, classes: Tensor) -> float:
    """Return the share of examples (or positions) whose largest output is the right one."""
    pairs = zip(torch.split(inputs, _ROWS), torch.split(classes, _ROWS), strict=True)
    right = [(run(x)[0].argmax(-1) == y).float().flatten() for x, y in pairs]
    return float(torch.cat(right).mean())
