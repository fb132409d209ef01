"""The gather of nodes' channels whose backward pass is a gather too.

Autograd makes a scatter of it, which adds in no fixed order on a GPU and is slow on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function


class Readers(NamedTuple):
    """Where in a gather each in node stands, for the machine: numbers of tables.

    Attributes:
        times: the numbers of times that in nodes are read, each once.
        tables: for each of ``times``, the table of where the in nodes stand that are read so often.
        order: the table of where each in node stands among these, or past their end: never read.
    """

    times: tuple[int, ...]
    tables: tuple[int, ...]
    order: int


def readers(reads: Sequence[int], nodes: int, tables: list[Tensor]) -> Readers:
    """Return the readers of ``nodes`` in nodes in a gather; append the tables."""
    places = [np.flatnonzero(np.array(reads) == node) for node in range(nodes)]
    times = sorted({len(each) for each in places} - {0})
    numbers, order = [], []
    for count in times:
        mine = [node for node in range(nodes) if len(places[node]) == count]
        tables.append(torch.from_numpy(np.concatenate([places[node] for node in mine])))
        numbers.append(len(tables) - 1)
        order += mine
    at = {node: k for k, node in enumerate(order)}
    tables.append(torch.tensor([at.get(node, len(order)) for node in range(nodes)]))
    return Readers(tuple(times), tuple(numbers), len(tables) - 1)


@final
class Gather(Function):
    """``x.index_select(1, tables[reads])`` of nodes (N, nodes, channels, ...)."""

    @staticmethod
    def forward(x: Tensor, reads: int, by: Readers, *tables: Tensor) -> Tensor:
        """Return what is read, (N, reads, channels, ...)."""
        return x.index_select(1, tables[reads])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep what the backward pass needs."""
        _, _, ctx.by, *tables = inputs
        ctx.save_for_backward(*tables)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return the gradient of the nodes: the sum over those that read each."""
        (gradient,) = gradients
        tables, by = ctx.saved_tensors, ctx.by
        rest = gradient.shape[2:]
        parts = [
            gradient.index_select(1, tables[table])
            .reshape(gradient.shape[0], tables[table].shape[0] // count, count, *rest)
            .sum(2)
            for count, table in zip(by.times, by.tables, strict=True)
        ]
        zeros = gradient.new_zeros(gradient.shape[0], 1, *rest)
        found = torch.cat([*parts, zeros], 1).index_select(1, tables[by.order])
        return (found, None, None, *(None for _ in tables))
