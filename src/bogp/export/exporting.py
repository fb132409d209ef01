"""A pruned model in several formats, each compared with the dense one in one run."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from bogp.analysis import Interval
from bogp.coupling.copies import Example, as_inputs, parameter_count, plain_copy, run_example
from bogp.errors import BogpError, ExportError, SettingError, UnknownNameError
from bogp.export.eight_bits import SUFFIX, in_eight_bits
from bogp.export.formats import DEFAULT_FORMATS, FORMATS, Exported, Format, Job, Written
from bogp.export.measure import BASELINE, Latency, check_timing, measure
from bogp.files import output_folder, write_atomic
from bogp.masks import Mask
from bogp.masks.tensors import stored_once
from bogp.types import Progress

ALIKE = 1.05
"""Sizes within this ratio are called the same."""


@dataclass(frozen=True, eq=False)
class Export:
    """What an export wrote and measured.

    Attributes:
        folder: where its files and export.json are.
        sparsity: the share of the prunable weights that the mask removes.
        dense_size: bytes of the dense model's state as a safetensors file.
        dense_parameters: how many numbers its parameters hold.
        formats: what became of each format, in the order asked for.
        latencies: of the dense model and each format that can be run, at each batch size.
        threads: CPU threads that each had.
    """

    folder: Path
    sparsity: float
    dense_size: int
    dense_parameters: int
    formats: tuple[Exported, ...]
    latencies: tuple[Latency, ...]
    threads: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came of each format, in plain words, gains or none."""
        return tuple(
            sentence(each, self.sparsity, self.dense_size, self.latencies) for each in self.formats
        )

    def speed(self, name: str, batch: int) -> Interval | None:
        """Return how many times faster than dense a format is; None where it was not timed."""
        for each in self.latencies:
            if (each.name, each.batch) == (name, batch):
                return each.speed
        return None

    def to_json(self) -> dict[str, Any]:
        """Return every number as plain values."""
        formats = []
        for each in self.formats:
            values = dataclasses.asdict(each)
            values["file"] = None if each.file is None else each.file.name
            values["times_smaller"] = None if each.size is None else self.dense_size / each.size
            formats.append(values)
        return {
            "sparsity": self.sparsity,
            "torch": torch.__version__,
            "threads": self.threads,
            "dense": {"size": self.dense_size, "parameters": self.dense_parameters},
            "formats": formats,
            "latencies": [dataclasses.asdict(each) for each in self.latencies],
            "sentences": list(self.sentences),
        }


def export_model(
    model: nn.Module,
    mask: Mask,
    example: Example,
    folder: str | os.PathLike[str],
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    int8: bool = False,
    labelled: tuple[Tensor, Tensor] | None = None,
    batches: Sequence[int] = (1, 256),
    repeats: int = 30,
    threads: int = 1,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
) -> Export:
    """Write ``model``, pruned by ``mask``, in each of ``formats``, and time them side by side.

    It writes a file for each format, and export.json with every number. A format that fails becomes
    a sentence of the result, unless all fail.

    Args:
        model: not changed; dense is this model with zeros where the mask prunes.
        mask: what is pruned.
        example: inputs (N, ...), or a tuple of them.
        folder: where the files go; it is made if need be.
        formats: names of :data:`bogp.export.FORMATS`.
        int8: whether each ONNX file is written a second time, its matrix products in eight bits.
        labelled: inputs (N, ...) and classes (N,) or (N, T), to say what that costs in accuracy.
        batches: batch sizes to time.
        repeats: rounds of timing, 6 or more.
        threads: CPU threads of every runtime.
        seed: draws the random inputs that outputs are compared on.
        clock: returns seconds.
        progress: called with (rounds done, rounds in all).

    Raises:
        ExportError: no format could be exported; the error is the first one's.
        MaskError: the mask does not fit the model.
        OutputError: the folder cannot be written to.
        SettingError: eight bits without an ONNX format.
        UnknownNameError: a format that is not there.
    """
    chosen = _checked(formats)
    if int8 and not any(each.file.endswith(".onnx") for each in chosen):
        raise SettingError("eight bits need an ONNX format: add onnx, compact-onnx or graph-onnx")
    dense = plain_copy(model, mask)
    inputs = as_inputs(example)
    run_example(dense, inputs)
    check_timing({BASELINE: dense}, batches, repeats, threads, BASELINE)
    folder = output_folder(folder)
    found: list[Exported] = []
    run: dict[str, Callable[..., Any]] = {BASELINE: dense}
    errors: list[BogpError] = []
    for each in chosen:
        job = Job(each.name, folder / each.file, dense, mask, inputs, threads, seed)
        try:
            exported, call = each.write(job)
        except ExportError as error:
            errors.append(error)
            failure = f"{each.name} is not exported: {error}"
            exported, call = Exported(each.name, failure=failure), None
        found.append(exported)
        if call is not None:
            run[each.name] = call
        if int8 and exported.file is not None and exported.file.suffix == ".onnx":
            small, call = _in_eight_bits(job, exported, labelled)
            found.append(small)
            if call is not None:
                run[small.name] = call
    if len(errors) == len(chosen):
        raise errors[0]
    latencies = measure(
        run,
        inputs,
        batches=batches,
        repeats=repeats,
        threads=threads,
        beside=_beside(found, run),
        clock=clock,
        progress=progress,
    )
    size, count = _size(dense), parameter_count(dense)
    result = Export(folder, mask.sparsity, size, count, tuple(found), latencies, threads)
    write_atomic(folder / "export.json", json.dumps(result.to_json(), indent=2) + "\n")
    return result


def _in_eight_bits(job: Job, exported: Exported, labelled: tuple[Tensor, Tensor] | None) -> Written:
    """Return what became of an ONNX format in eight bits, a sentence where it cannot be."""
    try:
        return in_eight_bits(job, exported, labelled)
    except ExportError as error:
        name = exported.name + SUFFIX
        return Exported(name, failure=f"{name} is not exported: {error}"), None


def sentence(
    exported: Exported, sparsity: float, dense_size: int, latencies: Iterable[Latency]
) -> str:
    """Return one sentence on a format: its file, its speed at each batch size, what runs it.

    >>> found = Exported("csr", size=100, runtime="torch 2.13")
    >>> speed = Interval(1.1, 0.9, 1.3, 30)
    >>> sentence(found, 0.9, 790, [Latency("csr", 1, Interval(1.0, 1.0, 1.0, 30), speed, 1)])
    'csr, sparsity 0.9: file 7.9x smaller, no faster at batch 1 with torch 2.13'
    """
    parts = []
    if exported.size is not None:
        parts.append(size_words(dense_size / exported.size))
    own = [each for each in latencies if each.name == exported.name and each.speed is not None]
    parts += [f"{speed_words(each.speed)} at batch {each.batch}" for each in own if each.speed]
    text = f"{exported.name}, sparsity {sparsity:.3g}: {', '.join(parts)}"
    if own:
        text += f" with {exported.runtime}"
        if not exported.runtime.startswith("torch"):
            same = own[0].beside != BASELINE
            text += f", beside dense in {'the same runtime' if same else 'torch'}"
            # Pruned weights are zeros there like any others: whatever it gains, dense gains too.
            text += ": the runtime's doing, not the pruning's" if exported.name == "onnx" else ""
    if exported.failure:
        text = f"{text}; {exported.failure}" if parts else exported.failure
    return f"{text} ({exported.note})" if exported.note else text


def size_words(ratio: float) -> str:
    """Return what to say of a file ``ratio`` times smaller than the dense one.

    >>> [size_words(ratio) for ratio in (7.94, 1.0, 0.5)]
    ['file 7.9x smaller', 'file no smaller', 'file 2.0x larger']
    """
    if ratio > ALIKE:
        return f"file {ratio:.1f}x smaller"
    return "file no smaller" if ratio >= 1 / ALIKE else f"file {1 / ratio:.1f}x larger"


def speed_words(speed: Interval) -> str:
    """Return what to say of a speed relative to dense: a gain only where its interval shows it.

    >>> speed_words(Interval(2.04, 1.9, 2.2, 30)), speed_words(Interval(0.5, 0.4, 0.6, 30))
    ('2.04x faster', '2.00x slower')
    """
    if not speed.excludes(1.0):
        return "no faster"
    if speed.estimate >= 1.0:
        return f"{speed.estimate:.2f}x faster"
    return f"{1 / speed.estimate:.2f}x slower"


def _checked(formats: Sequence[str]) -> tuple[Format, ...]:
    """Return the formats of these names, each once."""
    if not formats:
        raise SettingError(f"no format is given: choose from {', '.join(FORMATS)}")
    for name in formats:
        if name not in FORMATS:
            raise UnknownNameError("format", name, FORMATS)
    return tuple(FORMATS[name] for name in dict.fromkeys(formats))


def _beside(found: Sequence[Exported], run: Mapping[str, Any]) -> dict[str, str]:
    """Return the formats whose speed is relative to the dense model in their own runtime."""
    dense = {each.runtime: each.name for each in found if each.name == "onnx" and each.name in run}
    return {
        each.name: dense[each.runtime]
        for each in found
        if each.runtime in dense and each.name in run and each.name != dense[each.runtime]
    }


def _size(model: nn.Module) -> int:
    """Return the bytes of a model's state as a safetensors file, each tied tensor once."""
    state, _ = stored_once(model.state_dict())
    return len(safetensors.torch.save(state))
