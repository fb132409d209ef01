"""A population at work: who is trained with whom, and what happens where memory runs out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from bogp.errors import RecipeError
from bogp.sparsify import Mover
from bogp.training.candidate import Halving, TrainedCandidate
from bogp.training.loop import out_of_patience
from bogp.training.memory import free_memory, out_of_memory
from bogp.training.randomness import ModelFactory, initialise
from bogp.training.stack import Stack
from bogp.training.task import State, Task
from bogp.types import Progress


@dataclass
class _Group:
    """Candidates that are trained together; the stack is made when it is needed."""

    rows: list[int]
    stack: Stack | None = None


@dataclass
class Run:
    """One call of :func:`bogp.training.train_population` at work.

    Attributes:
        task: the data, recipe and order of mini-batches that all candidates share.
        factory: makes the network.
        candidates: the candidates, each replaced as its training goes on.
        movers: what gives each its mask and moves it; None of the dense network.
        initial: the weights that each begins from, instead of those that its seed draws.
        kind: the kind of stack that trains them.
        together: how many candidates are trained at once; fewer once memory has run out.
        keep_weights: whether the candidates hold their weights when they end.
        progress: called with (epochs done, epochs in all) of all candidates together.
    """

    task: Task
    factory: ModelFactory
    candidates: list[TrainedCandidate]
    movers: Sequence[Mover | None]
    initial: Sequence[State] | None
    kind: type[Stack]
    together: int
    keep_weights: bool
    progress: Progress | None
    short: bool = field(default=False, init=False)
    """Whether memory has run out once: from then on no stack is kept but the one at work."""

    def go(self, halving: Halving | None) -> None:
        """Train all candidates to their ends."""
        groups = self._grouped(range(len(self.candidates)))
        self._report()
        if halving is not None:
            for rung in halving.rungs:
                groups = self._each(groups, partial(self._advance, epochs=rung))
                groups = self._halve(groups, halving)
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

        If ``others`` hold stacks, those are let go first; only where none does is the group halved.
        A failed step leaves a stack half-way through an epoch, so that this group's goes too. A
        group without its stack begins anew and runs again what it had run, which gives what it
        gave.
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
        recipe = self.task.recipe
        while group.rows and (run := self.candidates[group.rows[0]].epochs) < epochs:
            stack = group.stack = group.stack or self._stack(group.rows, run)
            losses = stack.advance().tolist()
            measured = zip(losses, stack.evaluate(), stack.finite(), stack.masks, strict=True)
            after, ended = {}, {}
            for row, (loss, metrics, finite, mask) in zip(group.rows, measured, strict=True):
                before = self.candidates[row]
                after[row] = replace(
                    before,
                    losses=(*before.losses, loss),
                    accuracies=(*before.accuracies, metrics.accuracy),
                    metrics=metrics,
                    finite=finite,
                    mask=mask,
                )
                if run + 1 == recipe.epochs:
                    ended[row] = "whole"
                elif self._out_of_patience(after[row].accuracies, self.movers[row]):
                    ended[row] = "patience"
            weights = self._weights(group, ended)
            for row, candidate in after.items():
                self.candidates[row] = candidate
            self._report()
            self._let_go(group, ended, weights)

    def _out_of_patience(self, accuracies: Sequence[float], mover: Mover | None) -> bool:
        """Return whether patience ends a training: it counts once the mask moves no more."""
        settled = 0 if mover is None else self.task.epochs_before(mover.last)
        return out_of_patience(accuracies[settled:], self.task.recipe.patience)

    def _stack(self, rows: Sequence[int], epochs: int) -> Stack:
        """Return the stack of candidates after ``epochs``."""
        models = []
        for row in rows:
            candidate = self.candidates[row]
            initial = None if self.initial is None else self.initial[row]
            models.append(starting_model(self.factory, candidate.seed, initial, self.task.inputs))
        stack = self.kind(models, [self.movers[row] for row in rows], self.task)
        for _ in range(epochs):
            stack.advance()
        return stack

    def _halve(self, groups: Sequence[_Group], halving: Halving) -> list[_Group]:
        """Return the groups of the best candidates; the others' training ends."""
        rows = [row for group in groups for row in group.rows]
        # Of equals the one given first goes on.
        rank = {row: (-self.candidates[row].score, row) for row in rows}
        worst = sorted(rows, key=rank.__getitem__)[halving.survivors(len(rows)) :]

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
            group.stack = self._stack(group.rows, self.candidates[group.rows[0]].epochs)
        rows = zip(group.rows, group.stack.states(), strict=True)
        return {row: state for row, state in rows if row in wanted}

    def _let_go(self, group: _Group, ended: dict[int, str], weights: dict[int, State]) -> None:
        """End the training of the candidates ``ended``; the group is of the others from now on."""
        if not ended:
            return
        for row, how in ended.items():
            self.candidates[row] = replace(
                self.candidates[row], ended=how, weights=weights.get(row)
            )
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
            done = sum(candidate.epochs for candidate in self.candidates)
            self.progress(done, len(self.candidates) * self.task.recipe.epochs)


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
    if first is None or second is None:
        return None
    return _unless_short(lambda: first.joined(second))


def starting_model(
    factory: ModelFactory, seed: int, initial: State | None, inputs: Tensor
) -> nn.Module:
    """Return a network before its training, in the type of ``inputs`` if they are real numbers.

    Its weights are ``initial``, or those that ``seed`` draws.
    """
    model = initialise(factory, seed)
    # Before the initial weights come in, which a narrower type would round.
    for tensor in (inputs, *(() if initial is None else initial.values())):
        if tensor.is_floating_point():
            model = model.to(tensor.dtype)
            break
    if initial is not None:
        model.load_state_dict(initial)
    return model


def affordable(
    model: nn.Module, task: Task, movers: Sequence[Mover | None], kind: type[Stack]
) -> int:
    """Return how many candidates to train at once: as many as half of the free memory holds."""
    shared, each = kind.memory(model, movers, task)
    free = free_memory(task.inputs.device) / 2 - shared
    return max(1, min(len(movers), int(free // each)))
