"""Networks that the tests of exports prune: small, plain, with random numbers in their norms."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def perceptron(sizes: list[int], act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), act()]
    return nn.Sequential(*layers[:-1])


class LeNet(nn.Module):
    """A small LeNet-5: padded first convolution, pooling, a reshape with its size written out."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 4, 3, padding=1)
        self.c2 = nn.Conv2d(4, 8, 3)
        self.f1 = nn.Linear(8 * 3 * 3, 20)
        self.f2 = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(torch.relu(self.c1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.c2(x)), 2)
        x = x.view(-1, 72)
        return self.f2(torch.relu(self.f1(x)))


class Block(nn.Module):
    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or fan_in != width:
            self.short = nn.Sequential(
                nn.Conv2d(fan_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))
        out += self.short(x)
        return self.act(out)


class ResNet(nn.Module):
    """A residual network with batch norm: a stem, two stages, the mean, a linear layer."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 2 * width, 1)
        )
        self.head = nn.Linear(2 * width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(functional.relu(self.norm(self.stem(x))))
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    """A transformer block: attention, then a perceptron of two layers, each with a residual."""

    def __init__(self, width: int = 8, hidden: int = 16) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Return ``model`` with random weights, biases, norms and running statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator)
                scale = value[0].numel() ** -0.5 if value.ndim > 1 else 0.5
                value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else scale * noise)
    return model.eval()


def prune_at_random(model: nn.Module, sparsity: float, seed: int) -> nn.Module:
    """Set a random ``sparsity`` of the weights of each layer to 0, and some whole rows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value[torch.rand(value.shape, generator=generator) < sparsity] = 0.0
                value[torch.rand(len(value), generator=generator) < sparsity / 2] = 0.0
    return model


def weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
