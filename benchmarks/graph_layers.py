"""What graph layers gain: layers, networks and training steps against dense, in one run.

Each row times the dense network with the pruned weights at 0 and the same network in graph layers
in turn within a round, on one thread. A speed is the dense network's time over the other's, the
median of the rounds and its 95 % interval; torch is compared with torch, onnxruntime with
onnxruntime. No trained weights are needed: a product takes as long with any.

- *ring*: one linear layer whose wiring is a ring, so that inputs are windows.
- *mlp*: 768-3072-768-3072-768, five random neighbours of 48 nodes a layer (density 0.104).
- *training*: a step of that perceptron: forward, backward, fused AdamW.
- *encoder*: blocks of a transformer, 768 channels, 12 heads, 128 tokens, every linear layer of 24
  nodes with three or six random neighbours (density 0.125 or 0.25).
- *resnet*: a residual network of 64, 128 and 256 channels, 8 or 16 nodes, density 0.125.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from bogp.export import to_onnx
from bogp.export.measure import measure
from bogp.export.onnx import session
from bogp.masks import Mask, prunable_layers
from bogp.nn import Costs, even_blocks, measured, to_graph
from bogp.training import model_factory
from bogp.training.zoo.transformer import Block

Row = tuple[str, str, int, str]
"""Work, side, batch, speed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--depth", type=int, default=12, help="blocks of the encoder")
    parser.add_argument("--quick", action="store_true", help="few batches, 6 rounds, one block")
    parser.add_argument("--no-onnx", action="store_true", help="torch alone")
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.depth = 6, 1
    torch.set_num_threads(1)
    costs = measured()
    console = Console(width=120)
    table = Table(title=f"graph layers against dense, torch {torch.__version__}, one thread")
    for name in ("work", "side", "batch", "times faster"):
        table.add_column(name, justify="right" if name in ("batch", "times faster") else "left")
    for part in given.parts:
        for work, side, batch, speed in PARTS[part](given, costs):
            table.add_row(work, side, str(batch), speed)
            console.print(f"{work}, {side}, batch {batch}: {speed}")
    console.print(table)


def ring(nodes: int, neighbours: int) -> np.ndarray:
    first = -(neighbours // 2)
    return sum(np.roll(np.eye(nodes), first + k, 1) for k in range(neighbours)) > 0


def regular(nodes: int, neighbours: int, seed: int) -> np.ndarray:
    """Each node reads itself and others at random, as many as every node."""
    rng = np.random.default_rng(seed)
    wiring = np.eye(nodes, dtype=bool)
    for node in range(nodes):
        others = (node + 1 + rng.permutation(nodes - 1)[: neighbours - 1]) % nodes
        wiring[node, others] = True
    return wiring


def mask_of(model: nn.Module, wiring: Callable[[int, int, int], np.ndarray | None]) -> Mask:
    """Return the mask of all layers for which ``wiring`` of (outputs, inputs, number) is one."""
    found = {}
    for number, layer in enumerate(prunable_layers(model)):
        kept = wiring(layer.outputs, layer.inputs, number)
        if kept is not None:
            mask = even_blocks(kept, layer.outputs, layer.inputs).mask()
            places = (1,) * (len(layer.shape) - 2)
            found[layer.name] = mask.view(*mask.shape, *places).expand(layer.shape)
    return Mask(found)


def pairs(
    work: str,
    model: nn.Module,
    mask: Mask,
    example: torch.Tensor,
    batches: list[int],
    given: argparse.Namespace,
    costs: Costs,
) -> Iterator[Row]:
    """Both sides, in torch for each batch's own plan, and in onnxruntime."""
    mask.apply(model)
    model.eval()
    files: dict[str, bytes] = {}
    for batch in batches:
        rows = example[:1].expand(batch, *example.shape[1:]).clone()
        graph = to_graph(model, mask, example=rows, costs=costs).model.eval()
        yield work, "torch", batch, speed(model, graph, rows, batch, given.repeats)
        if given.no_onnx:
            continue
        if not files:
            files = {"dense": written(model, example), "graph": written(graph, example)}
        sides = {name: session(content) for name, content in files.items()}
        found = speed(sides["dense"], sides["graph"], rows, batch, given.repeats)
        yield work, "onnxruntime", batch, found
    if files:
        smaller = len(files["dense"]) / len(files["graph"])
        yield work, "file", 0, f"{smaller:.2f} times smaller (1 / density {1 / mask.density:.2f})"


def written(model: nn.Module, example: torch.Tensor) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(model, example, path, batches=(2,))
        return path.read_bytes()


def speed(
    dense: Callable[..., Any],
    graph: Callable[..., Any],
    example: torch.Tensor,
    batch: int,
    repeats: int,
) -> str:
    sides: Mapping[str, Callable[..., Any]] = {"dense": dense, "graph": graph}
    found = measure(sides, example, batches=(batch,), repeats=repeats)
    interval = next(each.speed for each in found if each.name == "graph")
    assert interval is not None
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def rings(given: argparse.Namespace, costs: Costs) -> Iterator[Row]:
    batches = [16, 1024] if given.quick else [1, 16, 64, 256, 1024]
    for nodes, neighbours in ((48, 5), (32, 7)):
        wiring = ring(nodes, neighbours)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(768, 3072))
        mask = mask_of(model, lambda *_, wiring=wiring: wiring)
        work = f"ring 768-3072, density {mask.density:.2f} (limit {1 / mask.density:.1f})"
        yield from pairs(work, model, mask, torch.randn(2, 768), batches, given, costs)


def perceptron() -> tuple[nn.Module, Mask]:
    torch.manual_seed(0)
    widths = [768, 3072, 768, 3072, 768]
    model = nn.Sequential()
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        model.append(nn.Linear(inputs, outputs))
        if number < 3:
            model.append(nn.GELU())
    return model, mask_of(model, lambda *_: regular(48, 5, seed=0))


def perceptrons(given: argparse.Namespace, costs: Costs) -> Iterator[Row]:
    model, mask = perceptron()
    batches = [1, 64] if given.quick else [1, 16, 64, 256, 1024]
    work = f"mlp, density {mask.density:.3f}"
    yield from pairs(work, model, mask, torch.randn(2, 768), batches, given, costs)


def step(network: nn.Module) -> Callable[[torch.Tensor], None]:
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)

    def run(x: torch.Tensor) -> None:
        with torch.enable_grad():
            optimiser.zero_grad()
            network(x).square().mean().backward()
            optimiser.step()

    return run


def trainings(given: argparse.Namespace, costs: Costs) -> Iterator[Row]:
    model, mask = perceptron()
    for batch in [64, 256] if given.quick else [64, 256, 1024]:
        x = torch.randn(batch, 768)
        graph = to_graph(model, mask, example=x, costs=costs).model

        found = speed(step(model.train()), step(graph.train()), x, batch, given.repeats)
        yield f"training step, density {mask.density:.3f}", "torch", batch, found


def encoders(given: argparse.Namespace, costs: Costs) -> Iterator[Row]:
    for neighbours in (3,) if given.quick else (3, 6):
        torch.manual_seed(0)
        blocks = (Block(768, 12, 4, "separate") for _ in range(given.depth))
        model = nn.Sequential(*blocks)
        mask = mask_of(model, lambda *at, d=neighbours: regular(24, d, seed=at[2]))
        work = f"encoder {given.depth} x 768, density {mask.density:.3f}"
        example = torch.randn(2, 128, 768)
        yield from pairs(work, model, mask, example, [1, 8], given, costs)


def resnets(given: argparse.Namespace, costs: Costs) -> Iterator[Row]:
    torch.manual_seed(0)
    model = model_factory("resnet-8:width=64", (3, 32, 32), 10)()

    def wiring(outputs: int, inputs: int, number: int) -> np.ndarray | None:
        if min(outputs, inputs) < 64:
            return None
        nodes = 8 if min(outputs, inputs) < 256 else 16
        return regular(nodes, nodes // 8, seed=number)

    mask = mask_of(model, wiring)
    work = f"resnet-8 of 64 ... 256 channels, density {mask.density:.3f}"
    batches = [1] if given.quick else [1, 8]
    yield from pairs(work, model, mask, torch.randn(2, 3, 32, 32), batches, given, costs)


PARTS: dict[str, Callable[[argparse.Namespace, Costs], Iterator[Row]]] = {
    "ring": rings,
    "mlp": perceptrons,
    "training": trainings,
    "encoder": encoders,
    "resnet": resnets,
}


if __name__ == "__main__":
    main()
