"""What `bogp.Sparsifier` costs: trainings with it over the same trainings without it.

Each repeat trains a network twice on the same mini-batches, with a sparsifier and without, in turns
of 20 steps, so that whatever else the machine does falls on both. It gives one ratio of the seconds
of one processor. Prints the median of the ratios with a 95 % interval of that median (order
statistics, so that no distribution is assumed), and the time of a step without a sparsifier.

The goal: gradual magnitude pruning to a sparsity of 0.9 costs less than 3 % of the training of
784-512-512-10 with Adam at a batch of 128. The last line says whether the median is below.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import scipy.stats
import torch
from torch import Tensor, nn

import bogp
from bogp.training import model_factory

Case = tuple[nn.Module, Tensor, Tensor]
"""A network, inputs and targets."""

TURN = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--methods", nargs="+", default=["magnitude", "gradual", "set", "rigl"])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    verdict = "not measured"
    for network in given.networks:
        for method in given.methods:
            pairs = [
                seconds_of_both(NETWORKS[network], method, given.sparsity, given.steps)
                for _ in range(given.repeats)
            ]
            ratios = sorted(held / free for held, free in pairs)
            low, high = interval(ratios)
            middle = statistics.median(ratios)
            step = statistics.median(free for _, free in pairs) / given.steps
            print(
                f"{network:11} {method:10} {middle - 1:+6.1%} ({low - 1:+.1%} to {high - 1:+.1%}) "
                f"of {1e3 * step:.2f} ms a step; {given.repeats} pairs of {given.steps} steps",
                flush=True,
            )
            if (network, method) == ("perceptron", "gradual"):
                verdict = "reached" if middle < 1.03 else "NOT reached"
    print(f"goal: gradual pruning of the perceptron costs less than 3 %: {verdict}")


def perceptron() -> Case:
    """Return 784-512-512-10 and mini-batches of 128 of drawn numbers."""
    inputs = torch.rand(512, 784, generator=torch.Generator().manual_seed(0))
    return bogp.mlp([784, 512, 512, 10]), inputs, torch.arange(512) % 10


def resnet() -> Case:
    """Return the ResNet-8 of bogp's zoo, and digits to train it on."""
    data = bogp.load_dataset("digits")
    inputs, targets = data.train_inputs[:512], data.train_targets[:512]
    return model_factory("resnet-8", inputs.shape[1:], data.classes)(), inputs, targets


NETWORKS: dict[str, Callable[[], Case]] = {"perceptron": perceptron, "resnet-8": resnet}


def seconds_of_both(
    make: Callable[[], Case], method: str, sparsity: float, steps: int
) -> tuple[float, float]:
    """Return the processor's seconds of a training with a sparsifier and of one without."""
    held, free = training(make(), steps, (method, sparsity)), training(make(), steps, None)
    seconds = [0.0, 0.0]
    for _ in range(0, steps, TURN):
        for side, turns in enumerate((held, free)):
            seconds[side] += next(turns)
    return seconds[0], seconds[1]


def training(case: Case, steps: int, pruned: tuple[str, float] | None) -> Iterator[float]:
    """Train, and yield the processor's seconds of each turn."""
    model, inputs, targets = case
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    if pruned is not None:
        method, sparsity = pruned
        bogp.Sparsifier(model, optimizer, sparsity=sparsity, method=method, steps=steps)
    batches = list(zip(inputs.split(128), targets.split(128), strict=True))
    for start in range(0, steps, TURN):
        started = time.process_time()
        for step in range(start, start + TURN):
            some, classes = batches[step % len(batches)]
            loss = nn.functional.cross_entropy(model(some), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield time.process_time() - started


def interval(ordered: list[float]) -> tuple[float, float]:
    """Return bounds that hold the median at 95 %, or the extremes where values are few."""
    rank = max(int(scipy.stats.binom.ppf(0.025, len(ordered), 0.5)) - 1, 0)
    return ordered[rank], ordered[-1 - rank]


if __name__ == "__main__":
    main()
