"""What all graph layers are: the kept blocks of a weight, in one parameter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from bogp.nn.blocks import Blocks
from bogp.nn.channels import joined, spread
from bogp.nn.plan import Plan

Dense = TypeVar("Dense", nn.Linear, nn.Conv1d, nn.Conv2d)


class HeldBlocks(nn.Module, ABC):
    """A layer that holds the kept blocks of its weight, and is made from a dense layer and back."""

    blocks: Blocks
    plan: Plan
    weight: nn.Parameter
    bias: nn.Parameter | None
    wiring: Tensor

    def __init__(
        self,
        blocks: Blocks,
        shape: Sequence[int],
        bias: bool,
        *,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.weight = nn.Parameter(torch.empty(*shape, device=device, dtype=dtype))
        self.bias = (
            nn.Parameter(torch.empty(blocks.out_channels, device=device, dtype=dtype))
            if bias
            else None
        )
        self.register_buffer("wiring", torch.from_numpy(blocks.wiring.copy()).to(device))

    @abstractmethod
    def blocks_held(self) -> Tensor:
        """Return the weights as (blocks, out channels, in channels, *kernel)."""

    @abstractmethod
    def to_dense(self) -> nn.Module:
        """Return torch's layer with the same weights, zeros for all other blocks."""

    @abstractmethod
    def hold(self, values: Tensor) -> None:
        """Take weights (blocks, out channels, in channels, *kernel)."""

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and biases as torch's layers do, of as many inputs as each node reads."""
        blocks = self.blocks
        with torch.no_grad():
            drawn = torch.empty_like(self.blocks_held(), memory_format=torch.contiguous_format)
            inputs = torch.from_numpy(blocks.wiring @ np.array(blocks.in_sizes))
            bounds = (inputs * drawn.shape[3:].numel()).clamp(min=1).rsqrt() * (inputs > 0)
            rows, columns = self._pairs()
            owned = _owned(blocks.out_sizes)[rows, :, None]
            owned = owned & _owned(blocks.in_sizes)[columns, None, :]
            scale = (owned * bounds[rows, None, None]).to(drawn)
            scale = scale.reshape(*scale.shape, *(1,) * (drawn.ndim - 3))
            self.hold(drawn.uniform_(-1.0, 1.0, generator=generator).mul_(scale))
            if self.bias is not None:
                each = bounds.repeat_interleave(torch.tensor(blocks.out_sizes))
                self.bias.uniform_(-1.0, 1.0, generator=generator).mul_(each.to(self.bias))

    def take(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the values of a dense layer's weight (out, in, *kernel), and of its bias."""
        rows, columns = self._pairs()
        nodes = spread(spread(weight.detach(), self.blocks.out_sizes, 0), self.blocks.in_sizes, 2)
        with torch.no_grad():
            self.hold(nodes[rows, :, columns])
            if self.bias is not None and bias is not None:
                self.bias.copy_(bias)

    def dense_weight(self) -> Tensor:
        """Return the weight (out, in, *kernel), zeros for the blocks that are not kept."""
        held, (rows, columns) = self.blocks_held(), self._pairs()
        shape = len(self.blocks.out_sizes), held.shape[1], len(self.blocks.in_sizes)
        nodes = held.new_zeros(*shape, *held.shape[2:])
        nodes[rows, :, columns] = held
        return joined(joined(nodes, self.blocks.in_sizes, 2), self.blocks.out_sizes, 0)

    def _filled(self, dense: Dense) -> Dense:
        """Return ``dense`` with this layer's values."""
        with torch.no_grad():
            dense.weight.copy_(self.dense_weight())
            if self.bias is not None and dense.bias is not None:
                dense.bias.copy_(self.bias)
        dense.train(self.training)
        return dense

    def _pairs(self) -> tuple[Tensor, Tensor]:
        """Return out node and in node of each block."""
        rows, columns = torch.tensor(self.blocks.order, dtype=torch.int64).reshape(-1, 2).unbind(1)
        return rows, columns

    def _hold_tables(self, tables: Sequence[Tensor], device: torch.device | str | None) -> None:
        """Hold the tables of indices as buffers, which follow the layer to its device."""
        for k, table in enumerate(tables):
            self.register_buffer(f"_table{k}", table.to(device), persistent=False)
        self._names = tuple(f"_table{k}" for k in range(len(tables)))

    def _tables(self) -> list[Tensor]:
        buffers = self._buffers  # asking the module for each takes longer than a small product
        return [cast("Tensor", buffers[name]) for name in self._names]

    def _cast(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return inputs, weights and bias in the type that autocast asks for, where it is on."""
        device = x.device.type
        if not torch.is_autocast_enabled(device) or x.dtype == torch.float64:
            return x, self.weight, self.bias
        dtype = torch.get_autocast_dtype(device)
        bias = None if self.bias is None else self.bias.to(dtype)
        return x.to(dtype), self.weight.to(dtype), bias

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        given = state_dict.get(f"{prefix}wiring")
        if isinstance(given, Tensor) and not (
            given.shape == self.wiring.shape and torch.equal(given.cpu(), self.wiring.cpu())
        ):
            error_msgs.append(
                f"the state of {prefix.rstrip('.') or 'the layer'} is of another wiring: make the "
                "layer with the mask that the state was trained with"
            )
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def extra_repr(self) -> str:
        """Return what the layer shows of itself."""
        outputs, inputs = self.wiring.shape
        return (
            f"{self.blocks.in_channels}, {self.blocks.out_channels}, nodes {inputs} x {outputs}, "
            f"density {self.blocks.density:.3g}, {self.plan.kind}, bias={self.bias is not None}"
        )


def _owned(sizes: Sequence[int]) -> Tensor:
    """Return which of the widest node's channels each node has, bool (nodes, widest)."""
    return torch.arange(max(sizes))[None, :] < torch.tensor(sizes)[:, None]
