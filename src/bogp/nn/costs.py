"""What the parts of a layer take on a machine, by which the quickest plan of it is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True)
class Costs:
    """Seconds for the parts of a layer in float32, on one machine with some number of threads.

    A *product* is one multiplication and addition. Between the measured sizes, seconds are
    interpolated, straight lines between logarithms; beyond them the last one holds.

    Attributes:
        rows: the numbers of rows (batch, tokens and pixels multiplied) that were measured.
        sizes: the numbers of weights of a dense layer that were measured.
        widths: the output channels of a node that were measured.
        dense: for each of ``rows``, and each of ``sizes``, seconds for a product in a dense layer.
        blocks: for each of ``rows``, and each of ``widths``, seconds for a product in blocks.
        dense_convolution: seconds for a product in a dense 3 x 3 convolution.
        convolutions: for each of ``widths``, seconds for a product in a grouped one.
        layer: seconds that a layer takes beside its buckets, more than a dense one does.
        call: seconds that a bucket takes beside its numbers.
        piece: seconds for the channels of a node, where they are gathered, beside their number.
        gather: seconds for a number of the input that is copied to where it is read.
        copy: seconds for a number of the output that is brought into order.
    """

    rows: tuple[float, ...]
    sizes: tuple[float, ...]
    widths: tuple[float, ...]
    dense: tuple[tuple[float, ...], ...]
    blocks: tuple[tuple[float, ...], ...]
    dense_convolution: float
    convolutions: tuple[float, ...]
    layer: float
    call: float
    piece: float
    gather: float
    copy: float

    def dense_seconds(self, rows: int, outputs: int, inputs: int, places: int = 1) -> float:
        """Return the seconds of a dense layer; ``places`` are the numbers in a kernel."""
        weights = outputs * inputs * places
        if places > 1:
            return rows * weights * self.dense_convolution
        by_rows = tuple(_between(weights, self.sizes, each) for each in self.dense)
        return rows * weights * _between(rows, self.rows, by_rows)

    def product_seconds(self, rows: int, width: int, places: int = 1) -> float:
        """Return the seconds of a product in blocks of ``width`` output channels."""
        if places > 1:
            return _between(width, self.widths, self.convolutions)
        by_rows = tuple(_between(width, self.widths, each) for each in self.blocks)
        return _between(rows, self.rows, by_rows)


def _between(at: float, points: tuple[float, ...], values: tuple[float, ...]) -> float:
    return float(np.exp(np.interp(np.log(at), np.log(points), np.log(values))))


DEFAULT = Costs(
    rows=(1, 16, 128, 1024),
    sizes=(2**14, 2**18, 2**21),
    widths=(8, 16, 32, 64, 128),
    dense=(
        (1.9e-10, 8.4e-11, 6.4e-11),
        (3.2e-11, 2.7e-11, 3.1e-11),
        (2.1e-11, 2.0e-11, 2.3e-11),
        (2.0e-11, 2.1e-11, 2.4e-11),
    ),
    blocks=(
        (9.8e-10, 1.12e-10, 8.8e-11, 8.3e-11, 1.09e-10),
        (1.39e-10, 3.3e-11, 2.8e-11, 2.65e-11, 2.5e-11),
        (1.31e-10, 2.7e-11, 2.7e-11, 2.28e-11, 2.05e-11),
        (1.31e-10, 2.7e-11, 2.7e-11, 2.28e-11, 2.05e-11),
    ),
    dense_convolution=1.74e-11,
    convolutions=(2.73e-11, 1.88e-11, 1.8e-11, 1.9e-11, 1.9e-11),
    layer=2.2e-5,
    call=8.2e-6,
    piece=2.2e-9,
    gather=5.5e-11,
    copy=1.7e-10,
)
"""Measured on one core of an AVX-512 machine with torch 2.13, the least of some runs of
``python -c "import bogp.nn; print(bogp.nn.measured(repeats=30))"``."""
