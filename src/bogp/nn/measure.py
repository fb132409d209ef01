"""Measures the costs that plans are chosen by, on the machine at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bogp.cores import torch_threads
from bogp.nn.blocks import Blocks
from bogp.nn.costs import Costs
from bogp.nn.linear import GraphLinear


def measured(threads: int = 1, repeats: int = 9) -> Costs:
    """Measure the costs on this machine; it takes some seconds.

    Args:
        threads: CPU threads of torch.
        repeats: how often each part is timed; the median counts.
    """
    rows, widths = (1, 16, 128, 1024), (8, 16, 32, 64, 128)
    with torch_threads(threads), torch.no_grad():
        call = _seconds(_bucket(1, 2, 2, 4), repeats)
        small = GraphLinear(Blocks(np.eye(2) == 1, (4, 4), (4, 4)))
        given, dense = _drawn(1, 8), nn.Linear(8, 8)
        layer = _seconds(lambda: small(given), repeats) - _seconds(lambda: dense(given), repeats)
        return Costs(
            rows=rows,
            widths=widths,
            dense=tuple(_dense(count, repeats) for count in rows),
            blocks=tuple(
                tuple(_blocks(count, width, repeats) for width in widths) for count in rows
            ),
            dense_convolution=_convolution(128, 1, repeats),
            convolutions=tuple(_convolution(width, 8, repeats) for width in widths),
            layer=max(0.0, layer),
            call=call,
            gather=_gather(repeats),
            copy=_copy(repeats),
        )


def _seconds(function: Callable[[], Any], repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times)


def _drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _bucket(rows: int, nodes: int, width: int, channels: int) -> Callable[[], Any]:
    """Return a whole bucket: gather, product, copy."""
    given, weights = _drawn(rows, nodes, channels), _drawn(nodes, width * channels, channels)
    reads = torch.arange(nodes * width) % nodes

    def run() -> torch.Tensor:
        gathered = given.index_select(1, reads).reshape(rows, nodes, width * channels)
        return torch.bmm(gathered.transpose(0, 1), weights).transpose(0, 1).reshape(rows, -1)

    return run


def _dense(rows: int, repeats: int) -> float:
    """Return the seconds for a product in a layer of 768 inputs and 3,072 outputs."""
    given, weights = _drawn(rows, 768), _drawn(3072, 768)
    return _seconds(lambda: functional.linear(given, weights), repeats) / (rows * weights.numel())


def _blocks(rows: int, width: int, repeats: int) -> float:
    """Return the seconds for a product in nodes that read four of their width."""
    nodes = min(128, 2**17 // width**2)
    given, weights = _drawn(nodes, rows, 4 * width), _drawn(nodes, 4 * width, width)
    return _seconds(lambda: torch.bmm(given, weights), repeats) / (rows * weights.numel())


def _convolution(width: int, groups: int, repeats: int) -> float:
    """Return the seconds for a product in a 3 x 3 convolution; a group reads 4 of its width."""
    ratio = 4 if groups > 1 else 1
    given = _drawn(2, groups * ratio * width, 16, 16)
    weights = _drawn(groups * width, ratio * width, 3, 3)
    seconds = _seconds(lambda: functional.conv2d(given, weights, padding=1, groups=groups), repeats)
    return seconds / (2 * 16 * 16 * weights.numel())


def _gather(repeats: int) -> float:
    """Return the seconds for a number of the input, copied to where it is read, within a cache."""
    given, reads = _drawn(64, 32, 32), torch.arange(32 * 4).remainder(31)
    return _seconds(lambda: given.index_select(1, reads), repeats) / (64 * 32 * len(reads))


def _copy(repeats: int) -> float:
    """Return the seconds for a number of the output that is brought into order."""
    found = _drawn(64, 64, 32)
    return _seconds(lambda: found.transpose(0, 1).reshape(64, -1), repeats) / found.numel()
