"""The LeNets of LeCun, Bottou, Bengio & Haffner 1998, with ReLU and logits at their ends.

"Gradient-based learning applied to document recognition", Proceedings of the IEEE 86(11):
section III.C.3 (LeNet-300-100) and figure 2 (LeNet-5). As everywhere since, the units are ReLUs and
not squashed, the pooling is the maximum and not a trained mean, the second convolution sees all
maps, and the output is linear and not of radial basis functions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from bogp.training.zoo.mlp import mlp
from bogp.training.zoo.shapes import at_least_one, image_sizes, with_channels


def lenet_300_100(features: int, classes: int) -> nn.Module:
    """Return the perceptron of 300 and 100 hidden units (LeCun et al. 1998, section III.C.3).

    Args:
        features: numbers in one input; images are flattened first.
        classes: logits.

    Raises:
        SettingError: no features or no classes.

    >>> sum(p.numel() for p in lenet_300_100(784, 10).parameters())
    266610
    """
    return mlp([features, 300, 100, classes])


def lenet_5(
    shape: Sequence[int],
    classes: int,
    *,
    conv1: int = 6,
    conv2: int = 16,
    fc1: int = 120,
    fc2: int = 84,
) -> nn.Sequential:
    """Return LeNet-5 (LeCun et al. 1998, figure 2): two convolutions of 5 x 5, three linear layers.

    Inputs of up to 28 x 28 are padded by 2 on each side, as its authors made 32 x 32 of the digits.
    Images under 12 x 12, whose maps would be used up, are padded before the second convolution too.

    Args:
        shape: the shape of one image, (H, W) or (C, H, W), 8 x 8 or more.
        classes: logits.
        conv1: maps of the first convolution.
        conv2: maps of the second.
        fc1: units of the first linear layer.
        fc2: units of the second.

    Raises:
        SettingError: a shape of other dimensions or too small, no classes, or a width below 1.

    >>> sum(p.numel() for p in lenet_5((28, 28), 10).parameters())
    61706
    >>> sum(p.numel() for p in lenet_5((8, 8), 10).parameters())
    21386
    """
    channels, *sides = image_sizes("lenet-5", shape, smallest=8)
    at_least_one("lenet-5", classes=classes, conv1=conv1, conv2=conv2, fc1=fc1, fc2=fc2)
    first = 2 if min(sides) <= 28 else 0
    second = 2 if min(sides) < 12 else 0
    rows, columns = (((side + 2 * first - 4) // 2 + 2 * second - 4) // 2 for side in sides)
    layers = {
        "images": with_channels(shape),
        "conv1": nn.Conv2d(channels, conv1, 5, padding=first),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(conv1, conv2, 5, padding=second),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(conv2 * rows * columns, fc1),
        "relu3": nn.ReLU(),
        "fc2": nn.Linear(fc1, fc2),
        "relu4": nn.ReLU(),
        "fc3": nn.Linear(fc2, classes),
    }
    return nn.Sequential(OrderedDict(layers))
