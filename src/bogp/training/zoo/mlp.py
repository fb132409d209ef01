"""Multilayer perceptrons."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import nn

from bogp.errors import SettingError


def mlp(sizes: Sequence[int]) -> nn.Module:
    """Return a multilayer perceptron with ReLU between its linear layers and logits at its end.

    Args:
        sizes: features of the input, of each hidden layer, and the number of classes; images
            are flattened first.

    Raises:
        SettingError: fewer than two sizes, or one below 1.

    >>> [tuple(p.shape) for p in mlp([784, 128, 10]).parameters() if p.dim() == 2]
    [(128, 784), (10, 128)]
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise SettingError(f"an mlp of sizes {list(sizes)} cannot be: give two or more, all >= 1")
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
