"""The product of a graph layer: vectors of channels with the blocks that a layer keeps.

Shapes: B rows (batch, tokens and pixels multiplied), n in nodes of ``into`` channels, m out nodes
of ``out`` channels, E kept blocks. Inputs are (B, n, into), weights (E, into, out), outputs
(B, m, out). In a bucket R out nodes read d in nodes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.autograd import Function

from bogp.nn.plan import Plan, Window, rows_at_a_time

NOT = -1
"""Stands for a table of indices that is not needed."""


class Step(NamedTuple):
    """One bucket, for the machine: sizes, and which of the tables it uses.

    Attributes:
        nodes: R, the number of out nodes.
        width: d, the number of in nodes that each reads.
        window: what they read, if that is a window.
        reads: the table of the R * d in nodes that are read.
        blocks: the table of their blocks, E where there is none; ``NOT`` where these are the blocks
            from ``first`` on.
        first: see ``blocks``.
        zeros: whether there is a block of zeros among them.
        rows: the table of the out nodes; ``NOT`` if these are all, in order.
    """

    nodes: int
    width: int
    window: Window | None
    reads: int
    blocks: int
    first: int
    zeros: bool
    rows: int


class Program(NamedTuple):
    """A plan for the machine.

    Attributes:
        steps: the buckets.
        inputs: n.
        outputs: m.
        added: whether the first step has all rows, and the others' are added to it.
        order: the table of where each out node stands in the buckets' results (of those that are
            added, if ``added``), one after another, and then a row of zeros; ``NOT`` if they are in
            order.
        held: the table of where each of the E blocks stands in the buckets'; ``NOT`` if in order.
        most: how many rows a CPU is given at a time.
    """

    steps: tuple[Step, ...]
    inputs: int
    outputs: int
    added: bool
    order: int
    held: int
    most: int


Tables = Sequence[Tensor]
"""The tables of indices that programs refer to by number, int64 (any,)."""


def compiled(plan: Plan, blocks: int, into: int, out: int, tables: list[Tensor]) -> Program:
    """Return the program of a plan; append its tables.

    Args:
        plan: the plan.
        blocks: E, how many blocks the layer has.
        into: input channels of a node, in the direction of the plan.
        out: its output channels.
        tables: the layer's tables.
    """

    def table(values: Sequence[int], known: Sequence[int] | None = None) -> int:
        if known is not None and list(values) == list(known):
            return NOT
        tables.append(torch.tensor(values, dtype=torch.int64))
        return len(tables) - 1

    steps: list[Step] = []
    at = 0
    held: dict[int, int] = {}
    for bucket in plan.buckets:
        # What is added to rows always needs to know which.
        known = None if plan.added and steps else range(plan.shape[0])
        flat = [blocks if k < 0 else k for each in bucket.blocks for k in each]
        steps.append(
            Step(
                nodes=len(bucket.rows),
                width=bucket.width,
                window=bucket.window,
                reads=table([u for each in bucket.reads for u in each]),
                blocks=table(flat, range(flat[0], flat[0] + len(flat))),
                first=flat[0],
                zeros=blocks in flat,
                rows=table(bucket.rows, known),
            )
        )
        held |= {block: at + k for k, block in enumerate(flat) if block < blocks}
        at += len(flat)
    rows = [row for bucket in plan.buckets for row in bucket.rows]
    if plan.added:
        order = table(_places(rows[plan.shape[0] :], plan.shape[0]))
    else:
        # A last node that reads nothing would stand in its place, but for the row of zeros.
        order = table(_places(rows, plan.shape[0]), range(len(rows)))
    return Program(
        steps=tuple(steps),
        inputs=plan.shape[1],
        outputs=plan.shape[0],
        added=plan.added,
        order=order,
        held=table([held[block] for block in range(blocks)], range(at)),
        most=rows_at_a_time(plan.buckets, plan.shape, into, out),
    )


def _places(rows: Sequence[int], nodes: int) -> list[int]:
    """Return where each node stands among ``rows``, or one past their end."""
    at = {row: k for k, row in enumerate(rows)}
    return [at.get(node, len(rows)) for node in range(nodes)]


def arranged(program: Program, weight: Tensor, tables: Tables) -> tuple[Tensor, ...]:
    """Return the weights of each bucket, (R, d * into, out): views where that is possible."""
    into, out = weight.shape[1:]
    found = []
    padded: Tensor | None = None
    for step in program.steps:
        size = step.nodes * step.width
        if step.blocks == NOT:
            mine = weight if size == weight.shape[0] else weight[step.first : step.first + size]
        else:
            if step.zeros and padded is None:
                padded = torch.cat([weight, weight.new_zeros(1, into, out)])
            source = padded if step.zeros and padded is not None else weight
            mine = source.index_select(0, tables[step.blocks])
        found.append(mine.reshape(step.nodes, step.width * into, out))
    return tuple(found)


def product(
    program: Program,
    x: Tensor,
    weights: Sequence[Tensor],
    bias: Tensor | None,
    tables: Tables,
    out: int,
) -> Tensor:
    """Return the outputs (B, m, out), ``bias`` (m, out) added.

    A CPU is given as many rows at a time as leave what it gathers in its cache.
    """
    if torch.compiler.is_compiling():
        found = _product(program, x, weights, tables, out)
        return found if bias is None else found + bias
    result = x.new_empty(x.shape[0], program.outputs, out)
    each = _most(program, x)
    if each >= x.shape[0]:
        _write(_product(program, x, weights, tables, out), bias, result)
        return result
    for part, target in zip(_split(x, each), _split(result, each), strict=True):
        _write(_product(program, part, weights, tables, out), bias, target)
    return result


def _write(found: Tensor, bias: Tensor | None, target: Tensor) -> None:
    if bias is None:
        target.copy_(found)
    elif torch.is_grad_enabled():  # in a backward pass that will be differentiated itself
        target.copy_(found + bias)
    else:
        torch.add(found, bias, out=target)


def weight_gradient(
    program: Program, x: Tensor, gradient: Tensor, tables: Tables, blocks: int
) -> Tensor:
    """Return the gradient of the weights (E, into, out) from that of the outputs (B, m, out)."""
    sums: list[Tensor] = []
    into, out = x.shape[2], gradient.shape[2]
    if not program.steps or x.shape[0] == 0:
        return x.new_zeros(blocks, into, out)
    each = _most(program, x)
    for given, of_given in zip(_split(x, each), _split(gradient, each), strict=True):
        of_rows = of_given.transpose(0, 1)
        parts = []
        for step in program.steps:
            mine = of_rows if step.rows == NOT else of_rows.index_select(0, tables[step.rows])
            read = _read(program, step, given, tables)
            parts.append(torch.bmm(read.transpose(1, 2), mine))
        sums = parts if not sums else [a + b for a, b in zip(sums, parts, strict=True)]
    found = torch.cat([each.reshape(-1, into, out) for each in sums])
    return found if program.held == NOT else found.index_select(0, tables[program.held])


def _split(rows: Tensor, each: int) -> tuple[Tensor, ...]:
    found: tuple[Tensor, ...] = torch.split(rows, each)
    return found


def _most(program: Program, x: Tensor) -> int:
    """Return how many rows are computed at a time."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return max(1, x.shape[0])
    return program.most


def _product(
    program: Program, x: Tensor, weights: Sequence[Tensor], tables: Tables, out: int
) -> Tensor:
    """Return the outputs (B, m, out) without bias, transposed in memory."""
    parts = [
        torch.bmm(_read(program, step, x, tables), mine)  # (R, B, out)
        for step, mine in zip(program.steps, weights, strict=True)
    ]
    if program.added and not is_exporting():
        rows = [tables[step.rows] for step in program.steps[1:]]
        found = parts[0].index_add(0, torch.cat(rows), torch.cat(parts[1:]))
    elif program.order == NOT:
        found = parts[0] if len(parts) == 1 else torch.cat(parts)
    else:
        zeros = x.new_zeros(1, x.shape[0], out)
        base, others = (parts[0], parts[1:]) if program.added else (None, parts)
        found = torch.cat([*others, zeros]).index_select(0, tables[program.order])
        found = found if base is None else base + found
    return found.transpose(0, 1)


def _read(program: Program, step: Step, x: Tensor, tables: Tables) -> Tensor:
    """Return what the nodes of a bucket read, (R, B, d * into)."""
    _, nodes, into = x.shape
    if step.window is None or is_exporting():
        read = x.index_select(1, tables[step.reads])
        return read.reshape(-1, step.nodes, step.width * into).transpose(0, 1)
    start, by = step.window
    left, right = max(0, -start), start + (step.nodes - 1) * by + step.width - nodes
    if left or right > 0:
        ends = [x.narrow(1, nodes - left, left)] if left else []
        ends.append(x)
        if right > 0:
            ends.append(x.narrow(1, 0, right))
        x = torch.cat(ends, 1)
    flat = x.flatten(1)
    if start > 0:
        flat = flat.narrow(1, start * into, flat.shape[1] - start * into)
    # As many windows as there are rows: further ones may fit where they move on by several nodes.
    read = flat.unfold(1, step.width * into, by * into).transpose(0, 1)
    return read if read.shape[0] == step.nodes else read[: step.nodes]


def is_exporting() -> bool:
    """Return whether torch.export is at work: a file is made of gathers, which runtimes know."""
    # torch 2.6 has no is_exporting.
    asked = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    return bool(asked())


@final
class GraphProduct(Function):
    """The product with its backward pass, which gathers too.

    The gradient of the inputs is a product with the transposed wiring. What autograd would make of
    a gather is a scatter, which is slower where there are many rows.
    """

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        forth: Program,
        back: Program,
        *tables: Tensor,
    ) -> Tensor:
        """Return the outputs (B, m, out)."""
        weights = arranged(forth, weight, tables)
        return product(forth, x, weights, bias, tables, weight.shape[2])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep what the backward pass needs."""
        x, weight, _, ctx.forth, ctx.back, *tables = inputs
        ctx.save_for_backward(x, weight, *tables)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return the gradients of inputs, weights and bias."""
        (gradient,) = gradients
        x, weight, *tables = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            turned = arranged(ctx.back, weight.transpose(1, 2), tables)
            of_x = product(ctx.back, gradient, turned, None, tables, weight.shape[1])
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(ctx.forth, x, gradient, tables, weight.shape[0])
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0)
        return (of_x, of_weight, of_bias, None, None, *(None for _ in tables))
