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
        widths: the output channels of a node that were measured.
        dense: for each of ``rows``, seconds for a product in a dense layer.
        blocks: for each of ``rows``, and each of ``widths``, seconds for a product in blocks.
        dense_convolution: seconds for a product in a dense 3 x 3 convolution.
        convolutions: for each of ``widths``, seconds for a product in a grouped one.
        layer: seconds that a layer takes beside its buckets, more than a dense one does.
        call: seconds that a bucket, or a dense layer, takes beside its numbers.
        gather: seconds for a number of the input that is copied to where it is read.
        copy: seconds for a number of the output that is brought into order.
    """

    rows: tuple[float, ...]
    widths: tuple[float, ...]
    dense: tuple[float, ...]
    blocks: tuple[tuple[float, ...], ...]
    dense_convolution: float
    convolutions: tuple[float, ...]
    layer: float
    call: float
    gather: float
    copy: float

    def dense_seconds(self, rows: int, outputs: int, inputs: int, places: int = 1) -> float:
        """Return the seconds of a dense layer; ``places`` are the numbers in a kernel."""
        products = rows * outputs * inputs * places
        if places > 1:
            return self.call + products * self.dense_convolution
        return self.call + products * _between(rows, self.rows, self.dense)

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
    widths=(8, 16, 32, 64, 128),
    dense=(1.12e-10, 3.9e-11, 2.75e-11, 2.62e-11),
    blocks=(
        (1.0e-9, 1.15e-10, 8.8e-11, 8.5e-11, 1.09e-10),
        (1.4e-10, 3.3e-11, 2.8e-11, 2.65e-11, 2.53e-11),
        (1.32e-10, 2.77e-11, 2.7e-11, 2.28e-11, 2.05e-11),
        (1.91e-10, 4.92e-11, 3.89e-11, 2.87e-11, 2.36e-11),
    ),
    dense_convolution=1.77e-11,
    convolutions=(2.73e-11, 1.88e-11, 1.8e-11, 1.91e-11, 1.9e-11),
    layer=3.0e-5,
    call=7.2e-6,
    gather=7.6e-11,
    copy=1.8e-10,
)
"""Measured on one core of an AVX-512 machine with torch 2.13:
``python -c "import bogp.nn; print(bogp.nn.measured())"``."""
