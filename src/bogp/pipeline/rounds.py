"""Prune and train: the one mechanism behind every method.

A method is a support (which weights may be kept), a criterion (which of them are), a scope, a
schedule and a number of pruning rounds. The paper's BoGP is a relational graph at the target
density with the random criterion in one round; Glob₅ is the complete support with magnitude,
global scope, in five. A method may train the network before it is first pruned, and rewind to the
weights that it began from after each training (:class:`bogp.Method`).

:func:`prune_and_train` takes one candidate through its rounds with torch's plain training loop,
:func:`prune_and_train_population` takes many through theirs at once.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from bogp.data import Split
from bogp.errors import LayerCollapseWarning, RecipeError, SettingError
from bogp.keys import derive_seed
from bogp.masks import Mask, collapsed
from bogp.pipeline.candidate import Candidate, TrainingResult
from bogp.pipeline.first_mask import candidate_mover, initial_seed
from bogp.pipeline.scoring import method_examples
from bogp.sparsify import GRAPH, Method, Mover, Support, fixed, kept_counts
from bogp.training import (
    Halving,
    Metrics,
    ModelFactory,
    Recipe,
    evaluate,
    initialise,
    structure,
    train,
    train_population,
)
from bogp.training.task import State
from bogp.types import Progress


def prune_and_train(
    factory: ModelFactory,
    split: Split,
    recipe: Recipe,
    *,
    layers: str | Sequence[str] = "all",
    sparsity: float | None = None,
    method: Method = GRAPH,
    support: Support = None,
    mask_seed: int = 0,
    seed: int = 0,
    order_seed: int | None = None,
    report: bool = False,
) -> TrainingResult:
    """Initialise a network, prune it in rounds, train after each, and evaluate it.

    A mask that leaves a layer without a weight is used all the same: the result names the layer.

    Args:
        factory: makes the network; it is initialised from ``seed``.
        split: the data that trains and the data that selects; the report data is opened for
            ``report`` alone.
        recipe: the training of each round, and of that before the first.
        layers: ``"all"``, ``"hidden"`` or names of weights (see :func:`bogp.choose_layers`).
        sparsity: share of the prunable weights to remove; None trains the dense network.
        method: criterion, scope, schedule, rounds, rewinding, pretraining.
        support: outside it no weight is kept (see :func:`support_mask`).
        mask_seed: seed of what is random about the mask.
        seed: seed of the initial weights and of the order of the mini-batches.
        order_seed: seed of the order of the mini-batches, if not ``seed``.
        report: whether to measure on the report data too, which opens them.

    Returns:
        What came of it, with mask, weights and the network as ``model``.

    Raises:
        SparsityError: out of range, or the support has too few weights.
        MaskError, GraphError: the support does not fit the network.
        UnknownNameError, SettingError: the method has a field that bogp does not know.
        RecipeError: training diverged before the last pruning round.

    Warns:
        LayerCollapseWarning: the mask keeps no weight of some layer.
    """
    started = time.perf_counter()
    candidate = Candidate(support, method, sparsity, mask_seed)
    course = _course(factory, candidate, seed, layers, split, recipe)
    order = seed if order_seed is None else order_seed

    def train_one(going: Sequence[_Course], number: int) -> None:
        _train_alone(going[0], split, recipe, order, number)

    _through_rounds([course], split, train_one)
    if course.mask is not None:
        warn_of_collapse(course.mask, 2)
    found = _result(course, split, time.perf_counter() - started, report=report)
    return replace(found, model=course.model)


def prune_and_train_population(
    factory: ModelFactory,
    split: Split,
    recipe: Recipe,
    candidates: Sequence[Candidate],
    *,
    seeds: Sequence[int],
    layers: str | Sequence[str] = "all",
    order_seed: int = 0,
    halving: Halving | None = None,
    together: int | None = None,
    keep: bool = False,
    report: bool = False,
    threads: int | None = None,
    exact: bool = False,
    progress: Progress | None = None,
) -> tuple[TrainingResult, ...]:
    """Prune and train many candidates together.

    Candidate k gets what :func:`prune_and_train` with ``seed=seeds[k], order_seed=order_seed``
    gives it alone. All share the order of the mini-batches, so that the spread over seeds is that
    of initial weights and masks. Candidates of equal numbers of pruning rounds that are alike in
    training before the first, or not, are trained together. A layer of which a mask keeps no weight
    is in the result's record, without a warning. A candidate that diverged in a training takes no
    part in those after it.

    Args:
        factory: makes the network.
        split: the data that trains and the data that selects; the report data is opened for
            ``report`` alone.
        recipe: the training of each round, and of that before the first.
        candidates: how each mask is made.
        seeds: seeds of the initial weights, one a candidate.
        layers: ``"all"``, ``"hidden"`` or names of weights.
        order_seed: seed of the order of the mini-batches.
        halving: stops the poorer candidates early, in their last pruning round, where they are
            compared with the others of as many pruning rounds, and pretrained or not as they are.
        together: candidates to train at once; by default as many as memory holds.
        keep: whether to return masks and weights.
        report: whether to measure on the report data too.
        threads: CPU threads for the whole population, all cores by default.
        exact: whether neither threads nor memory nor the other candidates may change a bit, where
            halving does not; see :func:`bogp.training.train_population`.
        progress: called with (epochs done, epochs in all) of all candidates and rounds.

    Returns:
        One result for each candidate, in their order.

    Raises:
        SettingError: there are no candidates, or not as many seeds.
        SparsityError, MaskError, GraphError, UnknownNameError: see :func:`prune_and_train`.
    """
    if not candidates or len(candidates) != len(seeds):
        raise SettingError(
            f"{len(candidates)} candidates and {len(seeds)} seeds: give as many of each, at least "
            "one"
        )
    for candidate in candidates:
        if candidate.model is not None:
            raise SettingError(
                f"a candidate is of the network {candidate.model!r} and this population of what "
                "its function makes: give the function that makes that network, and a candidate "
                "without a model"
            )
    started = time.perf_counter()
    courses = [
        _course(factory, candidate, seed, layers, split, recipe)
        for candidate, seed in zip(candidates, seeds, strict=True)
    ]
    every = recipe.epochs * sum(len(course.numbers) for course in courses)

    def train_together(going: Sequence[_Course], number: int) -> None:
        spent = sum(course.epochs for course in courses)
        last = number == going[0].numbers[-1]
        found = train_population(
            factory,
            [course.wears for course in going],
            split,
            recipe,
            [course.seed for course in going],
            order_seed=batch_seed(order_seed, number),
            initial=[course.begin.state_dict() for course in going],
            halving=halving if last else None,
            together=together,
            keep_weights=True,
            threads=threads,
            exact=exact,
            progress=None if progress is None else lambda done, _: progress(spent + done, every),
        )
        for course, trained in zip(going, found.candidates, strict=True):
            assert trained.weights is not None
            course.load(trained.weights)
            course.mask, course.metrics, course.ended = trained.mask, trained.metrics, trained.ended
            course.add(trained.losses, trained.accuracies, trained.diverged)

    _through_rounds(courses, split, train_together)
    seconds = (time.perf_counter() - started) / len(courses)
    return tuple(_result(course, split, seconds, keep=keep, report=report) for course in courses)


@dataclass
class _Course:
    """One candidate on its way through its pruning rounds.

    Attributes:
        model: the network with the weights at hand; before its first training, the initial ones.
        mask: what it is pruned by; None of the dense network.
        mover: chooses the mask; None of the dense network.
        counts: weights to keep in each pruning round; none of a mask that moves in one training.
        initial: the weights that each training begins from, if the method rewinds.
    """

    model: nn.Module
    mask: Mask | None
    candidate: Candidate
    counts: list[int]
    seed: int
    mover: Mover | None = None
    initial: nn.Module | None = None
    metrics: Metrics | None = None
    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()
    ended: str = "whole"
    diverged: bool = False
    epochs: int = 0

    @property
    def numbers(self) -> range:
        """Numbers of its trainings: of the pruning rounds, from 1, and 0 of one before them."""
        first = 0 if not self.counts or self.candidate.method.pretrain else 1
        return range(first, len(self.counts) + 1)

    @property
    def begin(self) -> nn.Module:
        """The network whose weights the next training begins from."""
        return self.model if self.initial is None else self.initial

    @property
    def wears(self) -> Mover | None:
        """What a training prunes it by: a mask that stays, or one that moves."""
        if self.mask is None or self.mover is None or not self.counts:
            return self.mover
        return fixed(self.mask, self.mover.units)

    def prune(self, number: int, split: Split) -> None:
        """Take the mask of pruning round ``number``, by the weights at hand."""
        assert self.mask is not None
        assert self.mover is not None
        # Drawn for this round alone: those of many candidates at once would fill the memory.
        mover = _with_examples(self.mover, self.model, split)
        self.mask = mover.pruned(number, self.counts[number - 1], self.model, self.mask)

    def load(self, weights: State) -> None:
        """Take weights as those at hand."""
        for tensor in weights.values():
            if tensor.is_floating_point():
                # Trained in the type of the inputs, which the factory's may round.
                self.model = self.model.to(tensor.dtype)
                break
        self.model.load_state_dict(weights)

    def add(self, losses: tuple[float, ...], accuracies: tuple[float, ...], diverged: bool) -> None:
        """Note what the latest training was like."""
        self.losses, self.accuracies, self.diverged = losses, accuracies, diverged
        self.epochs += len(losses)


def _course(
    factory: ModelFactory,
    candidate: Candidate,
    seed: int,
    layers: str | Sequence[str],
    split: Split,
    recipe: Recipe,
) -> _Course:
    model = initialise(factory, initial_seed(seed))
    if candidate.sparsity is None:
        return _Course(model, None, candidate, [], seed)
    method = candidate.method
    mover = candidate_mover(model, candidate, split, recipe, layers)
    mover.units.prepare(model)
    counts: list[int] = []
    if method.moves is None:
        counts = kept_counts(method, mover.support, candidate.sparsity)
    else:
        mover = _with_examples(mover, model, split)
    initial = copy.deepcopy(model) if method.rewind else None
    return _Course(model, mover.support, candidate, counts, seed, mover, initial)


def _with_examples(mover: Mover, model: nn.Module, split: Split) -> Mover:
    """Return the mover with the examples that its criteria score on."""
    return replace(mover, examples=method_examples(model, split, mover.method, mover.seed))


def _through_rounds(
    courses: Sequence[_Course],
    split: Split,
    train_round: Callable[[Sequence[_Course], int], None],
) -> None:
    """Take candidates through pruning and training, those of equal rounds side by side."""
    for numbers in sorted({course.numbers for course in courses}, key=_rounds_first):
        going = [course for course in courses if course.numbers == numbers]
        for number in numbers:
            for course in going if number > 0 else ():
                course.prune(number, split)
            train_round(going, number)
            # Whoever diverged has no weights to prune by: it stays as it is, the others go on.
            going = [course for course in going if not course.diverged]
            if not going:
                break


def _rounds_first(numbers: range) -> tuple[int, int]:
    return numbers.stop, -numbers.start


def _train_alone(
    course: _Course, split: Split, recipe: Recipe, order_seed: int, number: int
) -> None:
    """Train one network with torch's plain loop."""
    selecting = split.select_inputs, split.select_targets
    found = train(
        course.begin,
        split.train_inputs,
        split.train_targets,
        recipe,
        mask=course.wears,
        seed=batch_seed(order_seed, number),
        validation=None if recipe.patience is None else selecting,
    )
    if found.diverged and number < course.numbers[-1]:
        place = f"in pruning round {number} of {len(course.counts)}"
        raise RecipeError(
            f"training diverged {place if number else 'before the first pruning round'}: "
            f"lower the learning rate from {recipe.learning_rate}"
        )
    course.model, course.metrics = found.model, None
    if course.mover is not None:
        course.mask = found.mask
    course.ended = "whole" if len(found.losses) == recipe.epochs else "patience"
    course.add(found.losses, found.accuracies, found.diverged)


def _result(
    course: _Course, split: Split, seconds: float, *, keep: bool = True, report: bool = False
) -> TrainingResult:
    model, mask = course.model.eval(), course.mask
    selected = course.metrics or evaluate(model, split.select_inputs, split.select_targets)
    return TrainingResult(
        selected=selected,
        sparsity=0.0 if mask is None else mask.sparsity,
        fingerprint=None if mask is None else mask.fingerprint,
        collapsed=() if mask is None else collapsed(mask),
        structure=None if mask is None else structure(model, mask, split.select_inputs[:1]),
        accuracies=course.accuracies,
        losses=course.losses,
        ended=course.ended,
        diverged=course.diverged,
        epochs=course.epochs,
        seconds=seconds,
        reported=evaluate(model, split.report_inputs, split.report_targets) if report else None,
        mask=mask if keep else None,
        weights=model.state_dict() if keep else None,
    )


def batch_seed(seed: int, number: int) -> int:
    """Return the seed of the order of the mini-batches in pruning round ``number``.

    0 is the training before the first, and that of the dense network.
    """
    return derive_seed(seed, "mini-batches", number)


def warn_of_collapse(mask: Mask, level: int = 1) -> None:
    """Warn, ``level`` calls up from the caller, if ``mask`` keeps no weight of some layer."""
    empty = collapsed(mask)
    if not empty:
        return
    names = ", ".join(map(repr, empty[:4])) + (f" and {len(empty) - 4} more" if empty[4:] else "")
    warnings.warn(
        f"no weight is kept of {names} at sparsity {mask.sparsity:.6g}: nothing passes there any "
        "more, so take the scope 'erk' or 'uniform', the criterion 'synflow' or a lower sparsity",
        LayerCollapseWarning,
        stacklevel=level + 1,
    )
