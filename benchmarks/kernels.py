"""The compiled trainer against the machine's GEMM and against plain torch: `make bench`.

Both sides run in turns in one process, on data of MNIST's size, and the best of each is printed:
times on a shared machine vary, the ratios are what to read. *Dense-equivalent* counts the
multiplications of the dense network, whether or not a mask leaves them to be done.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.utils import prune

from bogp.graphs import edges_for_sparsity, generate, graph_to_mask
from bogp.graphs.kernels.compiled import compiled
from bogp.masks import Mask
from bogp.sparsify import METHODS, Mover, make_mover
from bogp.training import Recipe, mlp, train, train_population
from bogp.training.kernel_stack import is_faster
from bogp.training.kernels import make_layout, pack, start, train_batches
from bogp.training.kernels.cost import SPARSE, pays
from bogp.training.kernels.networks import buffers
from bogp.training.kernels.optimisers import Optimiser, update
from bogp.training.kernels.steps import _backward, _forward, _gather, _gradient, _loss, _product
from bogp.training.kernels.vectors import LANES
from bogp.training.task import Task

INPUTS, HIDDEN, CLASSES, BATCH, DEAD = 784, 128, 10, 512, 67
REPEATS = 20
STEP = 4 * INPUTS * HIDDEN + 6 * HIDDEN * CLASSES  # operations of one example, dense


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--examples", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--threads", type=int, default=2)
    tables: dict[str, Callable[[], Table]] = {
        "products": lambda: products(given.rounds),
        "epochs": lambda: epochs(given.candidates, given.examples, given.rounds, given.threads),
        "profile": lambda: profile(given.candidates // given.threads, given.examples, given.rounds),
        "rule": lambda: rule(given.rounds),
        "moving": lambda: moving(given.candidates, given.rounds, given.threads),
    }
    parser.add_argument("--only", choices=tables, help="one table")
    given = parser.parse_args()
    console = Console(width=140)
    torch.set_num_threads(1)
    for name in [given.only] if given.only else tables:
        console.print(tables[name]())


def mask(kind: str, sparsity: float, seed: int) -> np.ndarray:
    """Return a hidden layer's mask: "dense", "random", or a graph of "n=64" nodes say."""
    if kind == "dense":
        return np.ones((HIDDEN, INPUTS), dtype=bool)
    if kind == "random":
        return np.random.default_rng(seed).random((HIDDEN, INPUTS)) >= sparsity
    nodes = int(kind.removeprefix("n="))
    graph = generate("uniform", nodes, edges_for_sparsity(nodes, sparsity), seed)
    return graph_to_mask(graph, HIDDEN, INPUTS).numpy()


def clock(work: Callable[[], object], repeats: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - began) / repeats


def turns(sides: dict[str, Callable[[], object]], rounds: int, repeats: int) -> dict[str, float]:
    """Return the best seconds of each side, all run in turns after one warm run."""
    best = dict.fromkeys(sides, np.inf)
    for number in range(rounds + 1):
        for name, work in sides.items():
            seconds = clock(work, repeats if number else 1)
            best[name] = min(best[name], seconds) if number else np.inf
    return best


def products(rounds: int) -> Table:
    """Time the first layer's two products on one tile, one thread, beside torch's GEMM."""
    title = "784 x 128, one core, dense-equivalent GF/s (and as a share of the GEMM peak)"
    table = Table(title=title)
    for column in ("mask", "sparsity", "product", "gradient", "torch, dense", "GEMM peak"):
        table.add_column(column, justify="right")
    square, batch = torch.randn(1024, 1024), torch.randn(BATCH, INPUTS)
    weight = torch.randn(INPUTS, HIDDEN)
    cases = [("dense", 0.0)]
    cases += [(kind, s) for kind in ("n=64", "n=128", "random") for s in (0.75, 0.9, 0.95)]
    found = [tile(kind, s, batch, weight, square, 5 * rounds) for kind, s in cases]
    # One peak for all rows, the best seen: another's work on the machine must not lower it.
    peak = max(2 * 1024**3 / best["peak"] for best in found)
    dense = max(2 * INPUTS * HIDDEN * BATCH / best["torch"] for best in found)
    work = REPEATS * 2 * INPUTS * HIDDEN * LANES
    for (kind, sparsity), best in zip(cases, found, strict=True):
        rates = [work / best["product"], work / best["gradient"]]
        ours = [f"{rate / 1e9:.0f} ({rate / peak:.1f} x)" for rate in rates]
        table.add_row(kind, f"{sparsity:g}", *ours, f"{dense / 1e9:.0f}", f"{peak / 1e9:.0f}")
    return table


def tile(
    kind: str,
    sparsity: float,
    batch: torch.Tensor,
    weight: torch.Tensor,
    square: torch.Tensor,
    rounds: int,
) -> dict[str, float]:
    layout = make_layout([[mask(kind, sparsity, 0)]])
    normal = np.random.default_rng(0).normal(0, 1, (HIDDEN, INPUTS))
    state = start(layout, pack(layout, [[(normal, np.zeros(HIDDEN))]]))
    memory = buffers(layout, np.float32)
    memory.tile[:] = np.random.default_rng(0).random(len(memory.tile))
    given = (layout.arrays, state.parameters, state.gradients, memory)
    sides: dict[str, Callable[[], object]] = {
        "product": lambda: repeat(*given, True),
        "gradient": lambda: repeat(*given, False),
        "torch": lambda: torch.mm(batch, weight),
        "peak": lambda: torch.mm(square, square),
    }
    return turns(sides, rounds, 2)


@compiled
def repeat(arrays: Any, weights: Any, gradients: Any, memory: Any, forward: bool) -> None:
    """Do one product several times: a call from Python costs as much as a sparse one."""
    low, high = arrays.forward[0, 0]
    for _ in range(REPEATS):
        if forward:
            _product(arrays, low, high, memory.tile, 0, weights, 0, memory.hidden, 0, True)
        else:
            _gradient(arrays, low, high, memory.tile, 0, memory.errors, 0, gradients, 0, LANES)


def epochs(candidates: int, examples: int, rounds: int, threads: int) -> Table:
    """Time one epoch of K candidates, and of torch's loop of one at a time."""
    inputs, targets = data(examples)
    kinds = ("dense", "n=64", "n=128", "random")
    sides: dict[str, Callable[[], object]] = {
        f"kernels, {kind}": population(kind, candidates, inputs, targets, threads) for kind in kinds
    }
    sides["train_population, n=64"] = whole_call("n=64", candidates, inputs, targets, threads)
    processes = Processes(threads, examples)
    squares = {f"GEMM {size}": torch.randn(size, size) for size in (1024, 2048, 3072)}
    for name, square in squares.items():
        sides[name] = lambda square=square: wide(threads, lambda: torch.mm(square, square))
    plain = f"torch, {threads} threads", f"torch, {threads} processes"
    loader = f"DataLoader, {threads} threads", f"DataLoader, {threads} processes"
    sides |= {
        plain[0]: lambda: wide(threads, lambda: sequential(inputs, targets, False)),
        plain[1]: lambda: processes.run(False),
        loader[0]: lambda: wide(threads, lambda: sequential(inputs, targets, True)),
        loader[1]: lambda: processes.run(True),
    }
    try:
        best = turns(sides, rounds, 1)
    finally:
        processes.close()
    peak = max(2 * len(square) ** 3 / best.pop(name) for name, square in squares.items())
    trained = dict.fromkeys(best, candidates) | dict.fromkeys((plain[0], loader[0]), 1)
    trained |= dict.fromkeys((plain[1], loader[1]), threads)
    seconds = {name: value / trained[name] for name, value in best.items()}
    table = Table(
        title=f"one epoch of {examples:,} images, batch {BATCH}, Adam, s = 0.9 or dense, "
        f"K = {candidates}, {threads} cores; GEMM peak {peak / 1e9:.0f} GF/s"
    )
    headings = ("side", "s a candidate", "GF/s, dense-eq.", "of peak", "GF/s done", "of peak")
    for column in (*headings, "x torch", "x DataLoader"):
        table.add_column(column, justify="right")
    for name, value in seconds.items():
        rate = examples * STEP / value
        done = rate * arithmetic(name)
        table.add_row(
            name, f"{value:.4f}", f"{rate / 1e9:.0f}", f"{rate / peak:.0%}", f"{done / 1e9:.0f}",
            f"{done / peak:.0%}", f"{min(seconds[n] for n in plain) / value:.1f}",
            f"{min(seconds[n] for n in loader) / value:.1f}",
        )  # fmt: skip
    return table


def arithmetic(name: str) -> float:
    """Return the share of the dense network's arithmetic that a side does."""
    first = 4 * INPUTS * HIDDEN / STEP
    if name.startswith(("torch", "DataLoader")):
        return 1.0
    live = 1 - DEAD / INPUTS  # inputs that are never on take part in no product
    return 1 - first + first * live * (1.0 if name.endswith("dense") else 0.1)


def whole_call(
    kind: str, candidates: int, inputs: np.ndarray, targets: np.ndarray, threads: int
) -> Callable[[], object]:
    """Return one epoch by the public function, initial weights and a validation included."""
    images, classes = torch.from_numpy(inputs), torch.from_numpy(targets)
    masks = [
        Mask({"1.weight": torch.from_numpy(mask(kind, 0.9, seed))}) for seed in range(candidates)
    ]
    recipe = Recipe(learning_rate=3e-3, batch_size=BATCH, epochs=1)
    return lambda: train_population(
        lambda: mlp([INPUTS, HIDDEN, CLASSES]),
        masks,
        (images, classes),
        recipe,
        range(candidates),
        validation=(images[:1000], classes[:1000]),
        threads=threads,
    )


def rule(rounds: int, examples: int = 3072) -> Table:
    """Time torch's dense products against the kernels, and say which of them "auto" takes."""
    table = Table(title=f"{examples} examples, one thread: dense time / kernel time")
    for column in ("network", "K", "batch", "density", "dense / kernels", "auto takes"):
        table.add_column(column, justify="right")
    narrow, wide_ones = (INPUTS, HIDDEN, CLASSES), (INPUTS, 1024, 1024, CLASSES)
    cases = [(narrow, 4, batch, 1.0) for batch in (512, 128, 32, 16)]
    cases += [(wide_ones, 2, batch, density) for density in (1.0, SPARSE) for batch in (512, 32)]
    images, classes = (torch.from_numpy(part) for part in data(examples))
    for sizes, candidates, batch, density in cases:
        best = turns(ways(sizes, candidates, batch, density, images, classes), rounds, 1)
        takes = "kernels" if pays(sizes, batch, 4, density) else "dense"
        ratio = f"{best['dense'] / best['sparse']:.2f}"
        name = "-".join(map(str, sizes))
        table.add_row(name, str(candidates), str(batch), f"{density:g}", ratio, takes)
    return table


def ways(
    sizes: tuple[int, ...],
    candidates: int,
    batch: int,
    density: float,
    images: torch.Tensor,
    classes: torch.Tensor,
) -> dict[str, Callable[[], object]]:
    """Return one epoch of unstructured masks in dense and in sparse arithmetic."""
    generator = torch.Generator().manual_seed(0)
    shapes = {f"{2 * k + 1}.weight": sizes[k : k + 2][::-1] for k in range(len(sizes) - 1)}
    masks = [
        Mask({n: torch.rand(s, generator=generator) < density for n, s in shapes.items()})
        for _ in range(candidates)
    ]
    recipe = Recipe(learning_rate=1e-3, batch_size=batch, epochs=1)
    return {
        way: lambda way=way: train_population(
            lambda: mlp(sizes),
            masks,
            (images, classes),
            recipe,
            range(candidates),
            validation=(images[:128], classes[:128]),
            arithmetic=way,
            threads=1,
        )
        for way in ("dense", "sparse")
    }


def moving(candidates: int, rounds: int, threads: int, examples: int = 12_800) -> Table:
    """Time masks that move, alone in torch's loop and together, and say what "auto" takes."""
    table = Table(
        title=f"one epoch of {examples:,} images, batch 128, s = 0.9, a move each 20 steps, "
        f"{threads} cores"
    )
    headings = (
        "network",
        "method",
        "K",
        "s alone",
        "s a candidate, torch",
        "kernels",
        "auto takes",
    )
    for column in headings:
        table.add_column(column, justify="right")
    images, classes = (torch.from_numpy(part) for part in data(examples))
    narrow, wide_ones = (INPUTS, HIDDEN, CLASSES), (INPUTS, 512, 512, CLASSES)
    recipe = Recipe(learning_rate=1e-3, batch_size=128, epochs=1)
    task = Task(images, classes, recipe, 0)
    for sizes, count in ((narrow, candidates), (wide_ones, max(1, candidates // 4))):
        for name in ("gradual", "rigl"):
            movers = [mover(sizes, name, recipe.steps(examples), seed) for seed in range(count)]
            best = turns(moving_ways(sizes, movers, task, threads), rounds, 1)
            seconds = [best["alone"], best["dense"] / count, best["sparse"] / count]
            takes = "kernels" if is_faster(mlp(sizes), movers, task) else "dense"
            cells = [f"{value:.3f}" for value in seconds]
            table.add_row("-".join(map(str, sizes)), name, str(count), *cells, takes)
    return table


def mover(sizes: tuple[int, ...], name: str, steps: int, seed: int) -> Mover:
    method = METHODS[name]
    assert method is not None
    assert method.moves is not None
    often = replace(method, moves=replace(method.moves, every=20))
    return make_mover(mlp(sizes), often, 0.9, steps=steps, seed=seed)


def moving_ways(
    sizes: tuple[int, ...], movers: list[Mover], task: Task, threads: int
) -> dict[str, Callable[[], object]]:
    """Return one epoch of the first mask alone, and of all in dense and in sparse arithmetic."""
    given = (task.inputs, task.targets)
    sides: dict[str, Callable[[], object]] = {
        way: lambda way=way: train_population(
            lambda: mlp(sizes),
            movers,
            given,
            task.recipe,
            range(len(movers)),
            validation=(task.inputs[:128], task.targets[:128]),
            arithmetic=way,
            threads=threads,
        )
        for way in ("dense", "sparse")
    }
    sides["alone"] = lambda: train(mlp(sizes), *given, task.recipe, mask=movers[0], seed=0)
    return sides


def profile(candidates: int, examples: int, rounds: int) -> Table:
    """Time the parts of one thread's epoch, each alone."""
    inputs, targets = data(examples)
    table = Table(title=f"where one thread's epoch of {candidates} candidates goes, s = 0.9, ms")
    table.add_column("mask")
    kinds, rows = ("n=64", "n=128", "random"), []
    for kind in kinds:
        work = population(kind, candidates, inputs, targets, 1)
        rows.append(turns({"whole": work} | pieces(kind, candidates, inputs, targets), rounds, 1))
    for name in rows[0]:
        table.add_column(name, justify="right")
    for kind, row in zip(kinds, rows, strict=True):
        cells = [f"{value * 1e3:.0f} ({value / row['whole']:.0%})" for value in row.values()]
        table.add_row(kind, *cells)
    return table


def pieces(
    kind: str, candidates: int, inputs: np.ndarray, targets: np.ndarray
) -> dict[str, Callable[[], object]]:
    """Return the parts of an epoch, on weights that stay what they are."""
    masks = [
        [mask(kind, 0.9, seed), np.ones((CLASSES, HIDDEN), dtype=bool)]
        for seed in range(candidates)
    ]
    layout = make_layout(masks, np.flatnonzero(inputs.any(axis=0)))
    rng = np.random.default_rng(1)
    state = start(layout, pack(layout, networks(masks, rng)))
    memory, order = buffers(layout, np.float32), rng.permutation(len(targets))
    given = (layout.arrays, candidates, inputs, targets, order, Optimiser(), state, memory)
    return {
        name: lambda part=part: piece(part, *given)
        for part, name in enumerate(("gather", "forward", "loss", "backward", "optimiser"))
    }


@compiled
def piece(
    part: int,
    arrays: Any,
    candidates: int,
    inputs: Any,
    targets: Any,
    order: Any,
    optimiser: Any,
    state: Any,
    memory: Any,
) -> None:
    """Do one part of every tile, or the optimiser's step of every mini-batch, of an epoch."""
    if part == 4:
        for step in range(1, (len(order) + BATCH - 1) // BATCH + 1):
            for k in range(candidates):
                update(
                    optimiser, state, arrays.keep, arrays.begins[k, 0], arrays.begins[k, 2], step,
                    0.0,
                )  # fmt: skip
        return
    for begin in range(0, len(order), LANES):
        count = min(LANES, len(order) - begin)
        if part == 0:
            _gather(inputs, order, begin, count, arrays.live, memory.tile)
            continue
        for k in range(candidates):
            if part == 1:
                _forward(arrays, k, state.parameters, memory)
            elif part == 2:
                _loss(arrays.sizes, memory, targets, order, begin, count, 0.0, BATCH)
            else:
                _backward(arrays, k, state, memory, count)


def networks(
    masks: list[list[np.ndarray]], rng: np.random.Generator
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Return a random weight and a bias of zeros for each layer of each candidate."""
    return [
        [(rng.normal(0, 0.05, layer.shape), np.zeros(len(layer))) for layer in layers]
        for layers in masks
    ]


def data(examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images of MNIST's shape, as many pixels never on, and random classes."""
    rng = np.random.default_rng(0)
    inputs = rng.random((examples, INPUTS), dtype=np.float32)
    inputs[:, rng.permutation(INPUTS)[:DEAD]] = 0
    return inputs, rng.integers(0, CLASSES, examples)


def population(
    kind: str, candidates: int, inputs: np.ndarray, targets: np.ndarray, threads: int
) -> Callable[[], object]:
    """Return one epoch of K candidates, layout and packing included."""
    masks = [
        [mask(kind, 0.9, seed), np.ones((CLASSES, HIDDEN), dtype=bool)]
        for seed in range(candidates)
    ]
    live = np.flatnonzero(inputs.any(axis=0))
    rng = np.random.default_rng(1)
    dense = networks(masks, rng)

    def epoch() -> None:
        layout = make_layout(masks, live)
        state = start(layout, pack(layout, dense))
        order = rng.permutation(len(targets))
        rates = np.full(-(-len(targets) // BATCH), 3e-3)
        train_batches(layout, state, inputs, targets, order, BATCH, rates, threads=threads)

    return epoch


def sequential(inputs: np.ndarray, targets: np.ndarray, loader: bool) -> None:
    """Train one candidate for one epoch as plain torch does."""
    model = mlp([INPUTS, HIDDEN, CLASSES])
    prune.random_unstructured(model[1], "weight", 0.9)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True)
    images, classes = torch.from_numpy(inputs), torch.from_numpy(targets)
    batches: Any
    if loader:
        dataset = torch.utils.data.TensorDataset(images, classes)
        batches = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
    else:
        order = torch.randperm(len(classes))
        batches = ((images[rows], classes[rows]) for rows in torch.split(order, BATCH))
    for batch, labels in batches:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(batch), labels).backward()
        optimiser.step()


def wide(threads: int, work: Callable[[], object]) -> None:
    torch.set_num_threads(threads)
    try:
        work()
    finally:
        torch.set_num_threads(1)


class Processes:
    """Processes of one thread each, alive between the turns."""

    def __init__(self, count: int, examples: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.ends, self.processes = [], []
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, examples), daemon=True)
            process.start()
            self.ends.append(here)
            self.processes.append(process)

    def run(self, loader: bool) -> None:
        """Train one candidate in each process."""
        for end in self.ends:
            end.send(loader)
        for end in self.ends:
            end.recv()

    def close(self) -> None:
        for end, process in zip(self.ends, self.processes, strict=True):
            end.send(None)
            process.join()


def serve(end: Any, examples: int) -> None:
    torch.set_num_threads(1)
    inputs, targets = data(examples)
    while (loader := end.recv()) is not None:
        sequential(inputs, targets, loader)
        end.send(True)


if __name__ == "__main__":
    main()
