"""Residual networks for small images (He, Zhang, Ren & Sun 2016, section 4.2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from bogp.errors import SettingError
from bogp.training.zoo.shapes import at_least_one, image_sizes, with_channels


def resnet(depth: int, shape: Sequence[int], classes: int, width: int = 16) -> nn.Sequential:
    """Return the residual network of ``depth`` = 6n + 2 weighted layers: 8, 20, 32, ...

    "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: a convolution of 3 x 3,
    three stages of n blocks of two such convolutions each, with ``width``, 2 and 4 times as many
    channels and the second and third stage at half the resolution of the one before, the mean over
    places, and a linear layer. Shortcuts have no parameters (their option A).

    Args:
        depth: weighted layers.
        shape: the shape of one image, (H, W) or (C, H, W), 4 x 4 or more.
        classes: logits.
        width: channels of the first stage, 16 in the paper.

    Raises:
        SettingError: another depth, a shape of other dimensions or too small, no width, no classes.

    >>> sum(p.numel() for p in resnet(20, (3, 32, 32), 10).parameters())
    269722
    >>> sum(p.numel() for p in resnet(8, (8, 8), 10).parameters())
    75002
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise SettingError(f"a resnet of depth {depth} cannot be: give 6n + 2, that is 8, 20")
    what = f"resnet-{depth}"
    channels, *_ = image_sizes(what, shape, smallest=4)
    at_least_one(what, classes=classes, width=width)
    layers = {
        "images": with_channels(shape),
        "conv1": _conv(channels, width),
        "bn1": nn.BatchNorm2d(width),
        "relu": nn.ReLU(),
        "layer1": _stage(width, width, blocks),
        "layer2": _stage(width, 2 * width, blocks),
        "layer3": _stage(2 * width, 4 * width, blocks),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(4 * width, classes),
    }
    return nn.Sequential(OrderedDict(layers))


@final
class Residual(nn.Module):
    """Two convolutions around which the input is added, halved in resolution where it widens."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.stride = 1 if fan_in == fan_out else 2
        self.extra = fan_out - fan_in
        self.conv1 = _conv(fan_in, fan_out, self.stride)
        self.bn1 = nn.BatchNorm2d(fan_out)
        self.conv2 = _conv(fan_out, fan_out)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.relu = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N, fan_out, H / stride, W / stride)."""
        hidden = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(inputs)))))
        around = inputs
        if self.extra:
            around = around[:, :, :: self.stride, :: self.stride]
            # Option A: further channels of zeros.
            around = nn.functional.pad(around, (0, 0, 0, 0, 0, self.extra))
        found: Tensor = self.relu(hidden + around)
        return found


def _stage(fan_in: int, fan_out: int, blocks: int) -> nn.Sequential:
    first = Residual(fan_in, fan_out)
    return nn.Sequential(first, *(Residual(fan_out, fan_out) for _ in range(blocks - 1)))


def _conv(fan_in: int, fan_out: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution of 3 x 3 with the initial weights of He et al. 2015 (their [13])."""
    layer = nn.Conv2d(fan_in, fan_out, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
