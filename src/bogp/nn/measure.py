"""Measures the costs that plans are chosen by, on the machine at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bogp.cores import torch_threads
from bogp.nn.blocks import Blocks
from bogp.nn.costs import DEFAULT, Costs
from bogp.nn.linear import GraphLinear
from bogp.nn.plan import Kind
from bogp.types import BoolArray


def measured(threads: int = 1, repeats: int = 9) -> Costs:
    """Measure the costs on this machine; it takes some seconds.

    Args:
        threads: CPU threads of torch.
        repeats: how often each part is timed; the least counts.
    """
    rows, widths, sizes = (1, 16, 128, 1024), (8, 16, 32, 64, 128), (2**14, 2**18, 2**21)
    with torch_threads(threads), torch.no_grad():
        layer, call = _calls(repeats)
        piece, gather = _gather(repeats)
        return Costs(
            rows=rows,
            sizes=sizes,
            widths=widths,
            dense=tuple(tuple(_dense(count, size, repeats) for size in sizes) for count in rows),
            blocks=tuple(
                tuple(_blocks(count, width, repeats) for width in widths) for count in rows
            ),
            dense_convolution=_convolution(128, 1, repeats),
            convolutions=tuple(_convolution(width, 8, repeats) for width in widths),
            layer=layer,
            call=call,
            piece=piece,
            gather=gather,
            copy=_copy(repeats),
        )


def _seconds(function: Callable[[], Any], repeats: int) -> float:
    """Return the least seconds of some calls: whatever else the machine does adds to them."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def _drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _calls(repeats: int) -> tuple[float, float]:
    """Return the seconds that a layer and a bucket take beside their numbers."""
    nodes, many = 8, 10 * repeats
    given, dense = _drawn(1, 4 * nodes), nn.Linear(4 * nodes, 4 * nodes)
    free = replace(DEFAULT, call=0.0)  # no bucket is merged with another

    def of(wiring: BoolArray, kind: Kind) -> float:
        layer = GraphLinear(Blocks(wiring, (4,) * nodes, (4,) * nodes), costs=free, kind=kind)
        return _seconds(lambda: layer(given), many)

    one, several = of(np.eye(nodes) == 1, "gather"), of(np.tri(nodes) == 1, "buckets")
    call = max(1e-7, (several - one) / (nodes - 1))
    return max(0.0, one - call - _seconds(lambda: dense(given), many)), call


def _dense(rows: int, size: int, repeats: int) -> float:
    """Return the seconds for a product in a dense layer of ``size`` weights."""
    outputs = 2 ** round(np.log2(size) / 2)
    given, weights = _drawn(rows, size // outputs), _drawn(outputs, size // outputs)
    return _seconds(lambda: functional.linear(given, weights), repeats) / (rows * size)


def _blocks(rows: int, width: int, repeats: int) -> float:
    """Return the seconds for a product in nodes that read four of their width.

    A layer computes no more rows at a time than its cache holds, whatever it is given.
    """
    rows = min(rows, 128)
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


def _gather(repeats: int) -> tuple[float, float]:
    """Return the seconds for a piece that is gathered within a cache, and for each number of it."""
    reads = torch.arange(128).remainder(31)

    def seconds(width: int) -> float:
        given = _drawn(16, 32, width)
        return _seconds(lambda: given.index_select(1, reads), repeats) / (16 * len(reads))

    narrow, wide = seconds(8), seconds(128)
    number = max(1e-12, (wide - narrow) / 120)
    return max(1e-11, narrow - 8 * number), number


def _copy(repeats: int) -> float:
    """Return the seconds for a number of the output that is brought into order."""
    found = _drawn(64, 64, 32)
    return _seconds(lambda: found.transpose(0, 1).reshape(64, -1), repeats) / found.numel()
