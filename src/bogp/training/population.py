"""Populations: many masked copies of one network trained together on the same mini-batches.

Candidates share model, data, recipe and the order of the mini-batches, and differ in mask and seed.
Each gets what it would get alone: nothing that is computed for one enters another, so a candidate
that diverges disturbs nobody.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bogp.errors import RecipeError, SettingError, UnknownNameError
from bogp.masks import Mask
from bogp.training.evaluate import Metrics
from bogp.training.kernel_stack import KernelStack, takes
from bogp.training.loop import check_patience, initialise, out_of_patience, torch_threads
from bogp.training.recipe import Recipe
from bogp.training.stack import State, Task, TorchStack

Progress = Callable[[int, int], None]
Stack = TorchStack | KernelStack
ARITHMETICS = ("auto", "dense", "sparse")
Pair = tuple[Tensor, Tensor]
"""Inputs (N, *shape) and targets (N,)."""


@dataclass(frozen=True)
class Halving:
    """Successive halving (Jamieson & Talwalkar 2016): less training for what looks poor.

    After each number of epochs in ``rungs`` only the best ``keep`` of the candidates, by their
    accuracy on the data that selects, go on; at least one does.

    >>> Halving(rungs=(1, 2), keep=0.5).survivors(9)
    5
    """

    rungs: tuple[int, ...]
    keep: float = 0.5

    def __post_init__(self) -> None:
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)) or self.rungs[0] < 1:
            raise SettingError(f"rungs {self.rungs} are not ascending epochs: give (1, 2) say")
        if not 0.0 < self.keep < 1.0:
            raise SettingError(f"keep {self.keep} is not in (0, 1): 0.5 halves")

    def survivors(self, count: int) -> int:
        """Return how many of ``count`` candidates go on."""
        return max(1, math.ceil(self.keep * count))


@dataclass(frozen=True)
class Candidate:
    """What became of one candidate.

    Attributes:
        seed: of its initial weights.
        mask: what it was pruned by; None is the dense network.
        metrics: on the data that selects, when its training ended.
        losses: mean training loss of each epoch that it ran, (epochs,).
        accuracies: on the data that selects, after each of them, (epochs,).
        stopped: whether halving or patience ended its training before the recipe's epochs.
        weights: its state dict, on the CPU, if they were asked for.
    """

    seed: int
    mask: Mask | None
    metrics: Metrics
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    stopped: bool
    weights: State | None

    @property
    def epochs(self) -> int:
        """Epochs that it ran."""
        return len(self.losses)

    @property
    def diverged(self) -> bool:
        """Whether some epoch's loss was not finite."""
        return not all(math.isfinite(loss) for loss in self.losses)


@dataclass(frozen=True)
class Population:
    """A trained population, in the order it was given, and what it cost."""

    candidates: tuple[Candidate, ...]
    together: int  # candidates trained at once
    seconds: float

    @property
    def epochs(self) -> int:
        """Epochs of training spent, all candidates together."""
        return sum(candidate.epochs for candidate in self.candidates)


@dataclass
class _Course:
    """One candidate on its way."""

    row: int
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    metrics: Metrics = field(default_factory=lambda: Metrics(math.nan, math.nan, 0))
    weights: State | None = None

    @property
    def score(self) -> float:
        """The last accuracy; of a candidate that has diverged, below any other."""
        return self.accuracies[-1] if math.isfinite(self.losses[-1]) else -1.0

    def add(self, loss: float, measured: Metrics) -> None:
        """Note one more epoch."""
        self.losses.append(loss)
        self.accuracies.append(measured.accuracy)
        self.metrics = measured


def train_population(
    factory: Callable[[], nn.Module],
    masks: Sequence[Mask | None],
    train: Pair,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    validation: Pair,
    order_seed: int = 0,
    initial: Sequence[State] | None = None,
    halving: Halving | None = None,
    together: int | None = None,
    keep_weights: bool = False,
    arithmetic: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Population:
    """Train one candidate for each mask and seed, many at once, and measure each.

    Candidate k is ``initialise(factory, seeds[k])`` masked by ``masks[k]``, and gets what
    ``train(..., mask=masks[k], seed=order_seed)`` gives it alone, up to the rounding of sums,
    whoever else is in the population.

    Args:
        factory: makes the network.
        masks: K masks; None trains the dense network.
        train: inputs (N, *shape) and targets (N,) to train on; their device is used.
        recipe: the training.
        seeds: K seeds of the initial weights.
        validation: inputs and targets to measure on after each epoch.
        order_seed: of the order of the mini-batches, which all share.
        initial: K state dicts to start from instead of the seeds' own (pruning in rounds).
        halving: stops the poorer candidates early.
        together: candidates to train at once; by default as many as memory holds. Where memory
            runs out all the same it is halved.
        keep_weights: whether to return the weights.
        arithmetic: ``"sparse"`` computes only what the masks keep, by compiled kernels, for
            multilayer perceptrons on the CPU; ``"dense"`` is torch, for any module and device;
            ``"auto"`` takes the kernels where they can be taken.
        threads: CPU threads for the whole population, all cores by default; the recipe's number is
            for one network alone.
        progress: called with (epochs done, epochs in all) of all candidates together.

    Raises:
        SettingError: the numbers of masks, seeds and initial weights differ, or there are none.
        MaskError: a mask does not fit the model.
        RecipeError: not even one candidate fits in memory, or patience has nothing to go by.
    """
    check_patience(recipe, validation)
    _check_counts(masks, seeds, initial, together)
    started = time.perf_counter()
    run = _Run(
        factory,
        masks,
        seeds,
        initial,
        Task(*train, recipe, order_seed, validation[0]),
        validation,
        keep_weights,
    )
    run.together = together or affordable(run.model(0), run.task, len(masks))
    run.kind = _stack_kind(arithmetic, run.model(0), masks, run.task)
    run.progress = progress
    with torch_threads(threads or available_cores()):
        run.go(halving)
    candidates = tuple(run.candidate(course) for course in run.courses)
    return Population(candidates, run.together, time.perf_counter() - started)


def affordable(model: nn.Module, task: Task, count: int) -> int:
    """Return how many of ``count`` candidates to train at once: as many as half the memory holds.

    A candidate takes five times its parameters (weights, gradients, mask and two moments) and,
    roughly, the outputs of all its layers three times over for one mini-batch.
    """
    width = task.inputs.element_size()
    parameters = sum(p.numel() for p in model.parameters())
    batch = task.inputs[: task.recipe.batch_size or len(task.inputs)]
    outputs = _output_numbers(model, batch[:2]) / len(batch[:2]) * len(batch)
    return max(
        1,
        min(
            count,
            int(_free_memory(task.inputs.device) / 2 / width // (5 * parameters + 3 * outputs)),
        ),
    )


@dataclass
class _Group:
    """Candidates that are trained together; the stack is made when their turn comes."""

    rows: list[int]
    stack: Stack | None = None


class _Run:
    """One call of :func:`train_population` at work."""

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
        self.courses = [_Course(row) for row in range(len(masks))]
        self.together = 1
        self.kind: type[Stack] = TorchStack
        self.progress: Progress | None = None

    def model(self, row: int) -> nn.Module:
        """Return candidate ``row`` before its training."""
        model = initialise(self.factory, self.seeds[row])
        if self.initial is not None:
            model.load_state_dict(self.initial[row])
        return model.to(self.task.inputs.dtype)

    def go(self, halving: Halving | None) -> None:
        """Train all candidates to their ends."""
        last = self.task.recipe.epochs
        groups = self._grouped(range(len(self.masks)))
        self._report()
        for rung in () if halving is None else halving.rungs:
            if rung < last:
                groups = self._train_groups(groups, rung)
                groups = self._halve(groups, halving) if halving is not None else groups
        self._train_groups(groups, last)

    def candidate(self, course: _Course) -> Candidate:
        """Return what is reported of a candidate."""
        return Candidate(
            seed=self.seeds[course.row],
            mask=self.masks[course.row],
            metrics=course.metrics,
            losses=tuple(course.losses),
            accuracies=tuple(course.accuracies),
            stopped=len(course.losses) < self.task.recipe.epochs,
            weights=course.weights,
        )

    def _grouped(self, rows: Sequence[int]) -> list[_Group]:
        starts = range(0, len(rows), self.together)
        return [_Group(list(rows[start : start + self.together])) for start in starts]

    def _train_groups(self, groups: Iterable[_Group], epochs: int) -> list[_Group]:
        """Train each group until it has run ``epochs``, in halves where memory is short."""
        waiting, done = deque(groups), []
        while waiting:
            group = waiting.popleft()
            try:
                self._advance(group, epochs)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._check_divisible(group, error)
                # The failed step left the stack half-way through an epoch: the halves begin anew
                # and run again what they had run, which gives what it gave.
                self.together = (len(group.rows) + 1) // 2
                waiting.extendleft(reversed(self._grouped(group.rows)))
                continue
            if group.rows:
                done.append(group)
        return done

    def _check_divisible(self, group: _Group, error: BaseException) -> None:
        if len(group.rows) == 1:
            raise RecipeError(
                "one candidate alone does not fit in memory: lower batch_size from "
                f"{self.task.recipe.batch_size or len(self.task.targets)}"
            ) from error

    def _advance(self, group: _Group, epochs: int) -> None:
        """Train a group until it has run ``epochs``; let go whoever is done or out of patience."""
        recipe = self.task.recipe
        while group.rows and (run := len(self.courses[group.rows[0]].losses)) < epochs:
            if group.stack is None:
                group.stack = self._stack(group.rows, run)
            losses = group.stack.advance().tolist()
            metrics = group.stack.evaluate(*self.validation)
            for row, loss, measured in zip(group.rows, losses, metrics, strict=True):
                self.courses[row].add(loss, measured)
            self._report()
            if run + 1 == recipe.epochs:
                leaving = list(group.rows)
            else:
                leaving = [
                    row
                    for row in group.rows
                    if out_of_patience(self.courses[row].accuracies, recipe.patience)
                ]
            self._let_go(group, leaving)

    def _stack(self, rows: Sequence[int], epochs: int) -> Stack:
        """Return the stack of candidates after ``epochs``."""
        masks = [self.masks[row] for row in rows]
        stack = self.kind([self.model(row) for row in rows], masks, self.task)
        for _ in range(epochs):
            stack.advance()
        return stack

    def _halve(self, groups: Sequence[_Group], halving: Halving) -> list[_Group]:
        """Return the groups of the best candidates; the others' training ends."""
        rows = [row for group in groups for row in group.rows]
        # NaN is nobody's better; of equals the one given first goes on.
        rank = {row: (-self.courses[row].score, row) for row in rows}
        best = set(sorted(rows, key=rank.__getitem__)[: halving.survivors(len(rows))])
        for group in groups:
            self._let_go(group, [row for row in group.rows if row not in best])
        return self._merged([group for group in groups if group.rows])

    def _let_go(self, group: _Group, leaving: Sequence[int]) -> None:
        """End the training of ``leaving`` and keep what is wanted of them."""
        if not leaving or group.stack is None:
            return
        if self.keep_weights:
            states = group.stack.states()
            for row, state in zip(group.rows, states, strict=True):
                if row in leaving:
                    self.courses[row].weights = state
        places = [k for k, row in enumerate(group.rows) if row not in leaving]
        group.rows = [group.rows[k] for k in places]
        group.stack = group.stack.select(places) if places else None

    def _merged(self, groups: Sequence[_Group]) -> list[_Group]:
        """Return fewer groups of the same candidates, none larger than may be trained at once."""
        merged: list[_Group] = []
        for group in groups:
            last = merged[-1] if merged else None
            fits = last is not None and len(last.rows) + len(group.rows) <= self.together
            if last is not None and fits and last.stack is not None and group.stack is not None:
                last.rows = last.rows + group.rows
                last.stack = _joined(last.stack, group.stack)
            else:
                merged.append(group)
        return merged

    def _report(self) -> None:
        if self.progress is not None:
            done = sum(len(course.losses) for course in self.courses)
            self.progress(done, len(self.courses) * self.task.recipe.epochs)


def _joined(first: Stack, second: Stack) -> Stack:
    if isinstance(first, KernelStack) and isinstance(second, KernelStack):
        return first.joined(second)
    assert isinstance(first, TorchStack)
    assert isinstance(second, TorchStack)
    return first.joined(second)


def _stack_kind(
    arithmetic: str, model: nn.Module, masks: Sequence[Mask | None], task: Task
) -> type[Stack]:
    """Return what trains the population.

    Raises:
        UnknownNameError: no such arithmetic.
        SettingError: sparse arithmetic is asked for and cannot be had.
    """
    if arithmetic not in ARITHMETICS:
        raise UnknownNameError("arithmetic", arithmetic, ARITHMETICS)
    able = takes(model, masks, task)
    if arithmetic == "sparse" and not able:
        raise SettingError(
            f"sparse arithmetic is for multilayer perceptrons in float32 or float64 on the CPU, "
            f"and this is {type(model).__name__} on {task.inputs.device} in {task.inputs.dtype}: "
            "use 'auto' or 'dense'"
        )
    return KernelStack if able and arithmetic != "dense" else TorchStack


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory ran out, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


def _check_counts(
    masks: Sequence[Mask | None],
    seeds: Sequence[int],
    initial: Sequence[State] | None,
    together: int | None,
) -> None:
    if not masks or len(masks) != len(seeds):
        raise SettingError(
            f"{len(masks)} masks and {len(seeds)} seeds: give as many of each, at least one"
        )
    if initial is not None and len(initial) != len(masks):
        raise SettingError(
            f"{len(initial)} initial weights for {len(masks)} masks: give as many of each"
        )
    if together is not None and together < 1:
        raise SettingError(f"together = {together} is below 1: train at least one at once")


def _output_numbers(model: nn.Module, inputs: Tensor) -> int:
    """Return how many numbers the leaf modules of ``model`` put out for ``inputs``."""
    numbers = 0

    def count(module: nn.Module, arguments: object, output: object) -> None:
        nonlocal numbers
        if isinstance(output, Tensor) and not any(module.children()):
            numbers += output.numel()

    handles = [module.register_forward_hook(count) for module in model.modules()]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval().to(inputs.device)(inputs)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return numbers


def _free_memory(device: torch.device) -> float:
    """Return the free bytes of a device; 4 GB where it does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return 4e9
