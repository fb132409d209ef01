"""``bogp export``: a pruned model in formats that others load, each with its size and latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bogp.cli import options
from bogp.cli.common import console, interruptible, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from bogp.export import Export

EXAMPLES = 64
"""Inputs of the dataset that outputs are compared on, and that batches are made of."""


def export(
    pruned: Annotated[
        Path, typer.Argument(metavar="PRUNED", help="A pruned model that bogp saved.")
    ],
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="What the file is of: package.module:function, which returns the model, or one "
            "that `bogp list models` names.",
        ),
    ],
    out: options.Out,
    data: options.Data = "mnist",
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="A format that `bogp list formats` names; repeat for several. Default: onnx, "
            "compact and csr.",
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Write each ONNX format a second time, its matrix products in eight bits, with "
            "the accuracy that this costs on the test set.",
        ),
    ] = False,
    batch: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Batch sizes to time, 1 and 256; repeat for several."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Rounds of timing, 6 or more.")] = 30,
    threads: Annotated[int, typer.Option(min=1, help="Threads of every runtime.")] = 1,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a pruned model in several formats and time each against the dense one.

    `bogp list formats` says what each format is. Its outputs are compared with the dense model's on
    the data's first inputs and on random ones, and a format that differs is not written. Timings
    are taken in turn, in one run, so that their ratios hold on a busy machine. For each format a
    sentence says what was gained, or that nothing was. export.json has every number.

    ONNX files are timed against dense in torch or, where format onnx is asked for too, against the
    dense ONNX file in onnxruntime. The formats graph and graph-onnx need a mask of whole blocks:
    prune with --block 32.

    Example: bogp export pruned.safetensors lenet-5 --data digits --out exported
    """
    with interruptible(f"the files that were finished are in {out}"):
        from bogp.data import load_dataset
        from bogp.export import DEFAULT_FORMATS, export_model
        from bogp.masks import load_model
        from bogp.training import model_factory

        dataset = load_dataset(data)
        shape = tuple(dataset.train_inputs.shape[1:])
        loaded, mask = load_model(model_factory(model, shape, dataset.classes)(), pruned)
        with progress_bar("timing rounds", quiet) as progress:
            result = export_model(
                loaded,
                mask,
                dataset.train_inputs[:EXAMPLES],
                out,
                formats=tuple(formats or DEFAULT_FORMATS),
                int8=int8,
                labelled=(dataset.test_inputs, dataset.test_targets) if int8 else None,
                batches=tuple(dict.fromkeys(batch or (1, 256))),
                repeats=repeats,
                threads=threads,
                seed=seed,
                progress=progress,
            )
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)


def _print(result: Export) -> None:
    from bogp.report import Table

    batches = list(dict.fromkeys(each.batch for each in result.latencies))
    columns = ["format", "kB", "times smaller", "difference"]
    for batch in batches:
        columns += [f"ms at batch {batch}", f"speed at batch {batch}"]
    rows: list[list[str | float | None]] = [
        ["dense", result.dense_size / 1000, None, None, *_times(result, "dense", batches)]
    ]
    for each in result.formats:
        smaller = None if each.size is None else result.dense_size / each.size
        size = None if each.size is None else each.size / 1000
        difference = None if each.difference is None else f"{each.difference:.1e}"
        rows.append([each.name, size, smaller, difference, *_times(result, each.name, batches)])
    title = f"Sparsity {result.sparsity:.3g}, {result.threads} thread(s)"
    note = "Speeds are dense time over own time, medians of paired rounds with 95 % intervals."
    print_table(Table(title, columns, rows, [note]))
    console.print()
    say(*result.sentences, f"files and export.json are in {result.folder}")


def _times(result: Export, name: str, batches: list[int]) -> list[str | float | None]:
    """Return milliseconds and speed at each batch size; None where a format was not timed."""
    found = {each.batch: each for each in result.latencies if each.name == name}
    cells: list[str | float | None] = []
    for latency in (found.get(batch) for batch in batches):
        speed = None if latency is None else latency.speed
        cells += [
            None if latency is None else latency.seconds.estimate * 1000,
            None if speed is None else f"{speed.estimate:.2f} [{speed.low:.2f}, {speed.high:.2f}]",
        ]
    return cells
