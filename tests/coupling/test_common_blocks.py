"""Blocks of common networks: what their masks prune is what compaction removes, all of it."""

from __future__ import annotations

import copy

import pytest
import torch
from coupled_models import magnitudes, names
from torch import Tensor, nn
from torch.nn import functional

from bogp.coupling import channel_units, compact
from bogp.masks import complete_mask


class Squeezes(nn.Module):
    """Channels times a gate that is computed from their means (squeeze and excitation)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.down, self.up = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.end = nn.Conv2d(12, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.norm(self.a(x)))
        gate = self.up(functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1))))
        out: Tensor = self.end(x * torch.sigmoid(gate)).amax((2, 3))
        return out


class Concatenates(nn.Module):
    """Each convolution reads what all before it gave (DenseNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.norm, self.c = nn.BatchNorm2d(11), nn.Conv2d(11, 4, 3, padding=1)
        self.end = nn.Linear(15, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        x = torch.cat([x, self.b(x).relu()], 1)
        x = torch.cat([x, self.c(self.norm(x).relu()).relu()], 1)
        out: Tensor = self.end(x.mean([2, 3]))
        return out


class ChannelsLast(nn.Module):
    """A depthwise convolution, then a layer norm and linear layers on the last axis (ConvNeXt)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)
        self.gain = nn.Parameter(torch.ones(8))
        self.last, self.end = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        inner = self.down(functional.gelu(self.up(inner))) * self.gain
        out: Tensor = self.end(self.last((x + inner.permute(0, 3, 1, 2)).mean((-2, -1))))
        return out


class Gated(nn.Module):
    """A residual block whose hidden units are products of two layers' (SwiGLU)."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.norm, self.end = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.gate, self.up = nn.Linear(8, 20, bias=False), nn.Linear(8, 20, bias=False)
        self.down = nn.Linear(20, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        inner = self.norm(x)
        out: Tensor = self.end(x + self.down(functional.silu(self.gate(inner)) * self.up(inner)))
        return out


class WrittenOut(nn.Module):
    """Attention by its formula, on embedded tokens, with its sizes from the outside or written."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(11, 16), nn.LayerNorm(16)
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.last, self.end, self.fused = nn.LayerNorm(16), nn.Linear(16, 11), fused

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        rows, length = tokens.shape
        inner, each = self.norm(x), 4 if self.fused else -1
        q, k, v = (
            part(inner).view(rows, length, 4, each).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = ((q * 0.5) @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        mixed = mixed.transpose(1, 2).reshape(rows, length, 16 if self.fused else -1)
        out: Tensor = self.end(self.last(x + self.o(mixed)))
        return out


class SequenceFirst(nn.Module):
    """torch's attention with places first, a class token, norms after the sums."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.token = nn.Linear(5, 12), nn.Parameter(torch.rand(1, 1, 12))
        self.attention, self.norm1 = nn.MultiheadAttention(12, 3), nn.LayerNorm(12)
        self.up, self.down, self.norm2 = nn.Linear(12, 24), nn.Linear(24, 12), nn.LayerNorm(12)
        self.end = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x).transpose(0, 1)
        x = torch.cat([self.token.expand(-1, x.shape[1], -1), x], 0)
        x = self.norm1(x + self.attention(x, x, x, need_weights=False)[0])
        x = self.norm2(x + self.down(self.up(x).relu()))
        out: Tensor = self.end(x[0])
        return out


class Crosses(nn.Module):
    """Queries of one stream, keys and values of another, by one packed weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.end = nn.Linear(6, 16), nn.Linear(5, 16), nn.Linear(16, 3)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = self.a(x), self.b(y)
        out: Tensor = self.end(x + self.attention(x, y, y, need_weights=False)[0])
        return out


IMAGES, TOKENS = (torch.ones(2, 3, 6, 6),), (torch.arange(14).view(2, 7) % 11,)


@pytest.mark.parametrize(
    ("model", "example", "widths"),
    [
        (Squeezes, IMAGES, [12, 4]),
        (Concatenates, IMAGES, [6, 5, 4]),
        (ChannelsLast, IMAGES, [8, 32]),
        (Gated, (torch.ones(2, 6),), [8, 20]),
        (lambda: WrittenOut(True), TOKENS, [16, 16, 16]),
        (lambda: WrittenOut(False), TOKENS, [16, 16, 16]),
        (SequenceFirst, (torch.ones(2, 4, 5),), [12, 12, 12, 24]),
        # A column of the packed weight reads a channel of both streams, which therefore stay.
        (Crosses, (torch.ones(2, 4, 6), torch.ones(2, 5, 5)), [16, 16]),
    ],
)
@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_all_that_is_pruned_is_removed(model, example, widths, scope) -> None:
    model = model().eval()
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if value.ndim == 1:
            value.data = torch.rand_like(value) + 0.3 * ("var" in name)
    units = channel_units(model, names(model), example)
    assert sorted(group.size for group in units.groups) == sorted(widths)
    support = complete_mask(model, names(model))
    kept = support.total // 3
    mask = units.choose(magnitudes(model), kept, scope=scope, support=support, seed=0)
    found = compact(units.prepare(copy.deepcopy(model)), example, units.with_carriers(mask))
    assert found.difference < 1e-5
    assert found.mask is not None
    assert found.mask.density == 1.0
