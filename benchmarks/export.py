"""What an export gains: latency and size of each format against the dense model, in one run.

An mlp:300,100 and a LeNet-5 for 28 x 28 images are pruned at sparsities s of 0.5, 0.9 and 0.98, in
two ways: by weights, a random share s of every layer, and by units, a random share 1 - sqrt(1 - s)
of every hidden layer's, which leaves 1 - s of the weights between two of them. Each is written as
compacted model, CSR, ONNX and compacted ONNX and timed at batch 1 and 256 with one thread, in turn
within a round. A speed is the dense model's time in torch over the format's, the median of 30
rounds and its 95 % interval; a size is the dense safetensors file over the format's. No trained
weights are needed: a product takes as long with any.
"""

from __future__ import annotations

import argparse
import tempfile

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from bogp.analysis import Interval
from bogp.export import Export, export_model
from bogp.masks import Mask
from bogp.training import model_factory

MODELS = ("mlp:300,100", "lenet-5")
FORMATS = ("compact", "csr", "onnx", "compact-onnx")
SHAPE, CLASSES = (28, 28), 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.5, 0.9, 0.98])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 256])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one sparsity, 6 rounds, no ONNX")
    given = parser.parse_args()
    formats = FORMATS
    if given.quick:
        given.sparsities, given.repeats, formats = [0.9], 6, ("compact", "csr")
    torch.set_num_threads(given.threads)
    console = Console(width=160)
    table = Table(title=f"against dense in torch {torch.__version__}, {given.threads} thread(s)")
    for name in ("model", "pruned", "sparsity", "format", "times smaller"):
        table.add_column(name)
    for batch in given.batches:
        table.add_column(f"times faster, batch {batch}", justify="right")
    for spec in MODELS:
        for kind, draw in (("weights", weights), ("units", units)):
            for sparsity in given.sparsities:
                found = export(spec, draw, sparsity, formats, given)
                for row in rows(found, formats, given.batches):
                    table.add_row(spec, kind, f"{sparsity:g}", *row)
    console.print(table)


def export(spec: str, draw, sparsity: float, formats, given: argparse.Namespace) -> Export:
    torch.manual_seed(0)
    model = model_factory(spec, SHAPE, CLASSES)()
    mask = draw(model, sparsity, torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        return export_model(
            model,
            mask,
            torch.rand(64, *SHAPE, generator=torch.Generator().manual_seed(1)),
            folder,
            formats=formats,
            batches=given.batches,
            repeats=given.repeats,
            threads=given.threads,
        )


def weights(model: nn.Module, sparsity: float, generator: torch.Generator) -> Mask:
    """Keep a random share of every layer."""
    return Mask(
        {
            name: torch.rand(value.shape, generator=generator) >= sparsity
            for name, value in model.named_parameters()
            if value.ndim > 1
        }
    )


def units(model: nn.Module, sparsity: float, generator: torch.Generator) -> Mask:
    """Keep the rows and columns of some units: sqrt(1 - sparsity) of each hidden width."""
    share = (1.0 - sparsity) ** 0.5
    shapes = {name: value for name, value in model.named_parameters() if value.ndim > 1}
    layers: dict[str, torch.Tensor] = {}
    kept = None
    for name, value in shapes.items():
        layer = torch.zeros(value.shape, dtype=torch.bool)
        last = name == list(shapes)[-1]
        own = chosen(len(value), 1.0 if last else share, generator)
        if kept is None:
            before = torch.ones(value.shape[1], dtype=torch.bool)
        else:  # a flattened channel is as many columns as it has places
            before = kept.repeat_interleave(value.shape[1] // len(kept))
        layer[own[:, None] & before[None, :]] = True
        layers[name], kept = layer, own
    return Mask(layers)


def chosen(count: int, share: float, generator: torch.Generator) -> torch.Tensor:
    kept = torch.zeros(count, dtype=torch.bool)
    kept[torch.randperm(count, generator=generator)[: max(1, round(share * count))]] = True
    return kept


def rows(found: Export, formats, batches: list[int]):
    for each in found.formats:
        if each.failure:
            yield (each.name, each.failure)
            continue
        smaller = f"{found.dense_size / each.size:.2f}"
        yield (each.name, smaller, *(speed(found.speed(each.name, size)) for size in batches))


def speed(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


if __name__ == "__main__":
    main()
