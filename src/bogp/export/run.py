"""A pruned model in several formats, each compared with the dense one in one run."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from bogp.analysis import Interval
from bogp.errors import BogpError, SettingError, UnknownNameError
from bogp.export.copies import Example, as_inputs, plain_copy, run_example
from bogp.export.errors import ExportError
from bogp.export.formats import FORMATS, Exported, Job
from bogp.export.measure import BASELINE, Latency, check_timing, measure
from bogp.export.sentences import sentence
from bogp.files import output_folder, write_atomic
from bogp.masks import Mask
from bogp.masks.tensors import stored_once
from bogp.types import Progress

DEFAULT_FORMATS = ("onnx", "compact", "csr")


@dataclass(frozen=True, eq=False)
class Export:
    """What an export wrote and measured.

    Attributes:
        folder: where its files and export.json are.
        sparsity: the share of the prunable weights that the mask removes.
        dense_size: bytes of the dense model's state as a safetensors file.
        dense_parameters: numbers in its parameters.
        formats: what became of each format, in the order asked for.
        latencies: of the dense model and each format that can be run, at each batch size.
        threads: that each had.
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
    batches: Sequence[int] = (1, 256),
    repeats: int = 30,
    threads: int = 1,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
) -> Export:
    """Write ``model``, pruned by ``mask``, in each of ``formats``, and time them side by side.

    Written: a file a format and export.json with every number. A format that fails is a sentence
    of the result, unless all fail.

    Args:
        model: not changed; dense is this model with zeros where the mask prunes.
        mask: what is pruned.
        example: inputs (N, ...), or a tuple of them.
        folder: where to; made if need be.
        formats: names in `FORMATS`.
        batches: batch sizes to time.
        repeats: rounds of timing, 6 or more.
        threads: of every runtime.
        seed: of the random inputs that outputs are compared on.
        clock: returns seconds.
        progress: called with (rounds done, rounds in all).

    Raises:
        ExportError: no format could be exported; the error is the first one's.
        MaskError: the mask does not fit the model.
        OutputError: the folder cannot be written to.
        UnknownNameError: a format that is not there.
    """
    names = _checked(formats)
    dense = plain_copy(model, mask)
    inputs = as_inputs(example)
    run_example(dense, inputs)
    check_timing({BASELINE: dense}, batches, repeats, threads, BASELINE)
    job = Job(dense, mask, inputs, output_folder(folder), threads, seed)
    found: list[Exported] = []
    run: dict[str, Callable[..., Any]] = {BASELINE: dense}
    errors: list[BogpError] = []
    for name in names:
        try:
            exported, call = FORMATS[name](job)
        except ExportError as error:
            errors.append(error)
            exported, call = Exported(name, failure=f"{name} is not exported: {error}"), None
        found.append(exported)
        if call is not None:
            run[name] = call
    if len(errors) == len(names):
        raise errors[0]
    latencies = measure(
        run,
        inputs,
        batches=batches,
        repeats=repeats,
        threads=threads,
        clock=clock,
        progress=progress,
    )
    result = Export(
        job.folder,
        mask.sparsity,
        _size(dense),
        _parameters(dense),
        tuple(found),
        latencies,
        threads,
    )
    write_atomic(job.folder / "export.json", json.dumps(result.to_json(), indent=2) + "\n")
    return result


def _checked(formats: Sequence[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(formats))
    if not names:
        raise SettingError(f"no format is given: choose from {', '.join(FORMATS)}")
    for name in names:
        if name not in FORMATS:
            raise UnknownNameError("format", name, FORMATS)
    return names


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _size(model: nn.Module) -> int:
    """Return the bytes of a model's state as a safetensors file, each tied tensor once."""
    state, _ = stored_once(model.state_dict())
    return len(safetensors.torch.save(state))
