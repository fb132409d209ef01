"""A population at work: who is trained with whom, and what happens where memory runs out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from bogp.errors import RecipeError
from bogp.masks import Mask
from bogp.training.checks import Pair
from bogp.training.evaluate import Metrics
from bogp.training.kernel_stack import KernelStack, kept_weights
from bogp.training.loop import initialise, out_of_patience
from bogp.training.memory import free_memory, out_of_memory
from bogp.training.outputs import evaluation_batch, leaf_outputs
from bogp.training.stack import MEASURED, State, Task, TorchStack
from bogp.types import Progress

Stack = TorchStack | KernelStack


@dataclass
class Course:
    """One candidate on its way."""

    row: int
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    metrics: Metrics = field(default_factory=lambda: Metrics(math.nan, math.nan, 0))
    weights: State | None = None
    finite: bool = True
    ended: str = ""

    @property
    def score(self) -> float:
        """The last accuracy; of a candidate that has diverged, below any other."""
        whole = all(map(math.isfinite, (*self.losses, self.metrics.loss)))
        return self.accuracies[-1] if whole and self.finite else -1.0

    def add(self, loss: float, measured: Metrics, finite: bool) -> None:
        """Note one more epoch."""
        self.losses.append(loss)
        self.accuracies.append(measured.accuracy)
        self.metrics, self.finite = measured, finite


@dataclass
class _Group:
    """Candidates that are trained together; the stack is made when it is needed."""

    rows: list[int]
    stack: Stack | None = None


class Run:
    """One call of :func:`bogp.training.train_population` at work."""

    def __init__(
        self,
        factory: Callable[[], nn.Module],
        masks: Sequence[Mask | None],
        seeds: Sequence[int],
        initial: Sequence[State] | None,
        task: Task,
        validation: Pair,
        keep_weights: bool,
    ) -> None:
        self.factory, self.masks, self.seeds, self.initial = factory, masks, seeds, initial
        self.task, self.validation, self.keep_weights = task, validation, keep_weights
        self.courses = [Course(row) for row in range(len(masks))]
        self.together = 1
        self.short = False  # of memory: then no stack is kept but the one at work
        self.kind: type[Stack] = TorchStack
        self.progress: Progress | None = None

    def model(self, row: int) -> nn.Module:
        """Return candidate ``row`` before its training, in the type of inputs of real numbers."""
        model = initialise(self.factory, self.seeds[row])
        given = None if self.initial is None else self.initial[row]
        numbers = [self.task.inputs, *(() if given is None else given.values())]
        # Before the initial weights come in, which a narrower type would round.
        for tensor in numbers:
            if tensor.is_floating_point():
                model = model.to(tensor.dtype)
                break
        if given is not None:
            model.load_state_dict(given)
        return model

    def go(
        self, rungs: Sequence[int] = (), survivors: Callable[[int], int] = lambda count: count
    ) -> None:
        """Train all candidates to their ends; ``survivors`` of a number go on after each rung."""
        groups = self._grouped(range(len(self.masks)))
        self._report()
        for rung in rungs:
            groups = self._each(groups, partial(self._advance, epochs=rung))
            groups = self._halve(groups, survivors)
        self._each(groups, partial(self._advance, epochs=self.task.recipe.epochs))

    def _grouped(self, rows: Sequence[int]) -> list[_Group]:
        starts = range(0, len(rows), self.together)
        return [_Group(list(rows[start : start + self.together])) for start in starts]

    def _each(self, groups: Iterable[_Group], work: Callable[[_Group], None]) -> list[_Group]:
        """Do ``work`` with each group, in smaller ones where memory is short; return who is left.

        ``work`` notes what it has done only after all that can fail, so that it can be done again.
        """
        waiting: deque[_Group] = deque(groups)
        done: list[_Group] = []
        while waiting:
            group = waiting.popleft()
            fits = True
            try:
                work(group)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                others = any(other.stack is not None for other in (*waiting, *done))
                if len(group.rows) == 1 and not others:
                    raise RecipeError(
                        "one candidate alone does not fit in memory: lower batch_size from "
                        f"{self.task.recipe.batch_size or len(self.task.targets)}"
                    ) from error
                fits = False
            # Outside of the handler, whose error holds on to what did not fit.
            if fits:
                if self.short and (waiting or done):
                    group.stack = None
                done += [group] if group.rows else []
            else:
                waiting = deque(self._relieved(group, waiting, done, others))
        return done

    def _relieved(
        self, group: _Group, waiting: Iterable[_Group], done: Iterable[_Group], others: bool
    ) -> list[_Group]:
        """Return the groups still to be done, after ``group`` found too little memory.

        The stacks of the others are let go first, if there are any; only then is the group halved.
        A failed step leaves a stack half-way through an epoch. Whoever's stack is gone begins anew
        and runs again what it had run, which gives what it gave.
        """
        self.short = True
        for each in (group, *waiting, *done):
            each.stack = None
        if self.task.inputs.device.type == "cuda":
            torch.cuda.empty_cache()
        if not others:
            self.together = min(self.together, (len(group.rows) + 1) // 2)
        return [part for each in (group, *waiting) for part in self._grouped(each.rows)]

    def _advance(self, group: _Group, epochs: int) -> None:
        """Train a group until it has run ``epochs``; let go whoever is done or out of patience."""
        patience = self.task.recipe.patience
        while group.rows and (run := len(self.courses[group.rows[0]].losses)) < epochs:
            stack = group.stack = group.stack or self._stack(group.rows, run)
            losses = stack.advance().tolist()
            metrics = stack.evaluate(*self.validation)
            finite = stack.finite()
            ended = {}
            for row, measured in zip(group.rows, metrics, strict=True):
                curve = [*self.courses[row].accuracies, measured.accuracy]
                if run + 1 == self.task.recipe.epochs:
                    ended[row] = "whole"
                elif out_of_patience(curve, patience):
                    ended[row] = "patience"
            weights = self._weights(group, ended)
            for row, *epoch in zip(group.rows, losses, metrics, finite, strict=True):
                self.courses[row].add(*epoch)
            self._report()
            self._let_go(group, ended, weights)

    def _stack(self, rows: Sequence[int], epochs: int) -> Stack:
        """Return the stack of candidates after ``epochs``."""
        masks = [self.masks[row] for row in rows]
        stack = self.kind([self.model(row) for row in rows], masks, self.task)
        for _ in range(epochs):
            stack.advance()
        return stack

    def _halve(self, groups: Sequence[_Group], survivors: Callable[[int], int]) -> list[_Group]:
        """Return the groups of the best candidates; the others' training ends."""
        rows = [row for group in groups for row in group.rows]
        # Of equals the one given first goes on.
        rank = {row: (-self.courses[row].score, row) for row in rows}
        worst = sorted(rows, key=rank.__getitem__)[survivors(len(rows)) :]

        def end(group: _Group) -> None:
            ended = {row: "rung" for row in group.rows if row in worst}
            self._let_go(group, ended, self._weights(group, ended))

        return self._merged(self._each(groups, end))

    def _weights(self, group: _Group, leaving: Iterable[int]) -> dict[int, State]:
        """Return the weights of ``leaving``, if they are wanted."""
        wanted = set(leaving)
        if not wanted or not self.keep_weights:
            return {}
        if group.stack is None:
            group.stack = self._stack(group.rows, len(self.courses[group.rows[0]].losses))
        rows = zip(group.rows, group.stack.states(), strict=True)
        return {row: state for row, state in rows if row in wanted}

    def _let_go(self, group: _Group, ended: dict[int, str], weights: dict[int, State]) -> None:
        """End the training of the candidates ``ended``; the group is of the others from now on."""
        if not ended:
            return
        for row, how in ended.items():
            self.courses[row].ended = how
            self.courses[row].weights = weights.get(row)
        places = [k for k, row in enumerate(group.rows) if row not in ended]
        stack, group.stack = group.stack, None
        group.rows = [group.rows[k] for k in places]
        if places and stack is not None:
            group.stack = _unless_short(lambda: stack.select(places))

    def _merged(self, groups: Sequence[_Group]) -> list[_Group]:
        """Return fewer groups of the same candidates, none larger than may be trained at once."""
        merged: list[_Group] = []
        for group in groups:
            last = merged[-1] if merged else None
            if last is None or len(last.rows) + len(group.rows) > self.together:
                merged.append(group)
            elif last.stack is None and group.stack is None:
                last.rows = last.rows + group.rows
            elif (whole := _joined(last.stack, group.stack)) is not None:
                last.rows, last.stack = last.rows + group.rows, whole
            else:
                merged.append(group)
        return merged

    def _report(self) -> None:
        if self.progress is not None:
            done = sum(len(course.losses) for course in self.courses)
            self.progress(done, len(self.courses) * self.task.recipe.epochs)


def _unless_short(make: Callable[[], Stack]) -> Stack | None:
    """Return what ``make`` makes, or None where memory does not hold it."""
    try:
        return make()
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    return None


def _joined(first: Stack | None, second: Stack | None) -> Stack | None:
    """Return both as one, or None where that cannot be, for want of a stack or of memory."""
    if isinstance(first, KernelStack) and isinstance(second, KernelStack):
        return _unless_short(lambda: first.joined(second))
    if isinstance(first, TorchStack) and isinstance(second, TorchStack):
        return _unless_short(lambda: first.joined(second))
    return None


def affordable(
    model: nn.Module,
    task: Task,
    count: int,
    kind: type[Stack] = TorchStack,
    masks: Sequence[Mask | None] = (None,),
) -> int:
    """Return how many of ``count`` candidates to train at once: as many as half the memory holds.

    With torch a candidate takes five times its parameters (weights, gradients, mask and two
    moments) and, roughly, the outputs of all its layers: three times over for a mini-batch, or once
    for the examples of an evaluation. With the kernels it takes five numbers and the places
    (16 bytes) of each parameter that its mask keeps, and the dense network and mask that it is
    packed from; and the data once.
    """
    width = max(p.element_size() for p in model.parameters())
    parameters = sum(p.numel() for p in model.parameters())
    free = free_memory(task.inputs.device) / 2
    if kind is KernelStack:
        sizes = {name: p.numel() for name, p in model.named_parameters()}
        kept = max(kept_weights(mask, sizes) for mask in masks)
        free -= task.inputs.numel() * task.inputs.element_size()
        each = float(kept * (5 * width + 16) + parameters * (width + 1))
    else:
        batch = min(task.recipe.batch_size or len(task.inputs), len(task.inputs))
        model = model.to(task.inputs.device)
        outputs = sum(leaf_outputs(model, task.inputs[:1]))
        measured = 0
        if task.other is not None:
            measured = min(len(task.other), evaluation_batch(model, task.inputs, MEASURED))
        each = width * (5 * parameters + max(3 * batch, measured) * outputs)
    return max(1, min(count, int(free // each)))
