"""The same mechanism for many candidates at once: prune in rounds, train as a population."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from bogp.data import Split
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.masks import Mask, choose_layers
from bogp.pipeline.pruning import (
    GRAPH,
    Method,
    Outcome,
    Support,
    batch_seed,
    initial_seed,
    kept_counts,
    method_named,
    next_mask,
    support_mask,
)
from bogp.training import (
    Candidate,
    Halving,
    ModelFactory,
    Recipe,
    initialise,
    structure,
    train_population,
)
from bogp.training.stack import State
from bogp.types import Progress


@dataclass(frozen=True)
class PrunedPopulation:
    """Candidates in the order of their supports, as their last pruning round left them.

    A candidate that diverged in a training took no part in those after it. ``spent`` are the epochs
    of each over all its trainings, ``seconds`` those of all the work.
    """

    candidates: tuple[Candidate, ...]
    spent: tuple[int, ...]
    seconds: float

    @property
    def epochs(self) -> int:
        """Epochs of training, all candidates and rounds together."""
        return sum(self.spent)

    def outcomes(self, factory: ModelFactory, split: Split) -> list[Outcome]:
        """Return each candidate as :func:`bogp.pipeline.prune_and_train` returns it.

        Its seconds are an equal share of the population's.

        Raises:
            SettingError: the weights were not kept.
        """
        found = []
        for candidate, spent in zip(self.candidates, self.spent, strict=True):
            if candidate.weights is None:
                raise SettingError("the weights of the population were not kept: keep_weights=True")
            model = factory()
            model.load_state_dict(candidate.weights)
            mask, inputs = candidate.mask, split.select_inputs[:1]
            shape = None if mask is None else structure(model, mask, inputs)
            seconds = self.seconds / len(self.candidates)
            outcome = Outcome(
                model.eval(), mask, candidate.metrics, shape, spent, seconds, candidate.diverged
            )
            found.append(outcome)
        return found


def prune_and_train_population(
    factory: ModelFactory,
    split: Split,
    recipe: Recipe,
    supports: Sequence[Support],
    *,
    seeds: Sequence[int],
    mask_seeds: Sequence[int],
    sparsity: float | Sequence[float],
    layers: str | Sequence[str] = "hidden",
    method: Method | Sequence[Method] = GRAPH,
    order_seed: int = 0,
    halving: Halving | None = None,
    together: int | None = None,
    keep_weights: bool = False,
    threads: int | None = None,
    exact: bool = False,
    progress: Progress | None = None,
) -> PrunedPopulation:
    """Prune and train one candidate for each support, all together.

    Candidate k gets what ``prune_and_train(support=supports[k], method=method[k],
    sparsity=sparsity[k], seed=seeds[k], mask_seed=mask_seeds[k], order_seed=order_seed)`` gives it
    alone. All share the order of the mini-batches, so that the spread over seeds is that of initial
    weights and masks. Candidates of equal numbers of pruning rounds that are alike in training
    before the first, or not, are trained together. A layer of which a mask keeps no weight is in
    the outcome's record, without a warning.

    Args:
        factory: makes the network.
        split: the data that trains and the data that selects; the report data is not touched.
        recipe: the training of each round, and of that before the first.
        supports: what bounds each mask, one a candidate; None is the complete support.
        seeds: of the initial weights.
        mask_seeds: of what is random about each mask.
        sparsity: share of the prunable weights to remove, of all candidates or of each.
        layers: ``"hidden"``, ``"all"`` or names of weights.
        method: criterion, scope, schedule, rounds, rewinding, pretraining, of all candidates or of
            each.
        order_seed: of the order of the mini-batches.
        halving: stops the poorer candidates early, in their last pruning round, where they are
            compared with the others of as many pruning rounds, and pretrained or not as they are.
        together: candidates to train at once; by default as many as memory holds.
        keep_weights: whether to return the weights.
        threads: CPU threads for the whole population, all cores by default.
        exact: whether neither threads nor memory nor the other candidates may change a bit, where
            halving does not; see :func:`bogp.training.train_population`.
        progress: called with (epochs done, epochs in all) of all candidates and rounds.

    Raises:
        SettingError: the numbers of supports, seeds, mask seeds, sparsities and methods differ, or
            there are none.
        SparsityError, MaskError, GraphError, UnknownNameError: see
            :func:`bogp.pipeline.prune_and_train`.
    """
    methods = [method] * len(supports) if isinstance(method, Method) else list(method)
    sparsities = list(sparsity) if isinstance(sparsity, Iterable) else [sparsity] * len(supports)
    _check_numbers(supports, seeds, mask_seeds, sparsities, methods)
    started = time.perf_counter()
    courses = []
    for k, support in enumerate(supports):
        model = initialise(factory, initial_seed(seeds[k]))
        mask = support_mask(support, model, choose_layers(model, layers))
        counts = kept_counts(methods[k], mask, sparsities[k])
        courses.append(_Course(model, mask, methods[k], counts, seeds[k], mask_seeds[k]))
    plan = _Plan(factory, split, recipe, order_seed, halving, together, threads, exact, progress)
    every = recipe.epochs * sum(len(course.numbers) for course in courses)
    for numbers in sorted({course.numbers for course in courses}, key=_rounds_first):
        going = [course for course in courses if course.numbers == numbers]
        for number in numbers:
            spent = sum(course.spent for course in courses)
            keep = keep_weights or number < numbers[-1]
            _prune_and_train(plan, going, number, keep, spent, every)
            # Whoever diverged has no weights to prune by: it stays as it is, the others go on.
            going = [course for course in going if not course.ended.diverged]
            if not going:
                break
    candidates = [course.ended for course in courses]
    if not keep_weights:
        candidates = [replace(candidate, weights=None) for candidate in candidates]
    spent_each = tuple(course.spent for course in courses)
    return PrunedPopulation(tuple(candidates), spent_each, time.perf_counter() - started)


@dataclass(frozen=True)
class _Plan:
    """What all candidates share."""

    factory: ModelFactory
    split: Split
    recipe: Recipe
    order_seed: int
    halving: Halving | None
    together: int | None
    threads: int | None
    exact: bool
    progress: Progress | None


@dataclass
class _Course:
    """One candidate on its way through its pruning rounds."""

    model: nn.Module  # with the weights at hand; before its first training, the initial ones
    mask: Mask
    method: Method
    counts: list[int]  # weights to keep in each pruning round
    seed: int
    mask_seed: int
    candidate: Candidate | None = None
    spent: int = 0  # epochs
    initial: State | None = None  # what each training begins from, if the method rewinds

    def __post_init__(self) -> None:
        if self.method.rewind:
            self.initial = copy.deepcopy(self.model.state_dict())

    @property
    def numbers(self) -> range:
        """Numbers of its trainings: of the pruning rounds, from 1, and 0 of one before them."""
        return range(0 if self.method.pretrain else 1, len(self.counts) + 1)

    @property
    def ended(self) -> Candidate:
        """The candidate as its last training left it."""
        assert self.candidate is not None
        return self.candidate

    def add(self, candidate: Candidate) -> None:
        """Note what a training made of it."""
        self.candidate = candidate
        self.spent += candidate.epochs
        weights = candidate.weights or {}
        for tensor in weights.values():
            if tensor.is_floating_point():
                # Trained in the type of the inputs, which the factory's may round.
                self.model = self.model.to(tensor.dtype)
                break
        if weights:
            self.model.load_state_dict(weights)


def _prune_and_train(
    plan: _Plan, going: Sequence[_Course], number: int, keep_weights: bool, spent: int, every: int
) -> None:
    """Take the candidates ``going`` through training ``number`` and the pruning before it."""
    for course in going if number > 0 else ():
        kept = course.counts[number - 1]
        course.mask = next_mask(
            course.model, course.mask, course.method, kept, course.mask_seed, number, plan.split
        )
    last = number == len(going[0].counts)
    found = train_population(
        plan.factory,
        [course.mask for course in going],
        plan.split,
        plan.recipe,
        [course.seed for course in going],
        order_seed=batch_seed(plan.order_seed, number),
        initial=[course.initial or course.model.state_dict() for course in going],
        halving=plan.halving if last else None,
        together=plan.together,
        keep_weights=keep_weights,
        threads=plan.threads,
        exact=plan.exact,
        progress=None if plan.progress is None else _shifted(plan.progress, spent, every),
    )
    for course, candidate in zip(going, found.candidates, strict=True):
        course.add(candidate)


def _check_numbers(
    supports: Sequence[Support],
    seeds: Sequence[int],
    mask_seeds: Sequence[int],
    sparsities: Sequence[float],
    methods: Sequence[Method],
) -> None:
    """Raise SettingError unless there are as many of each, at least one."""
    given = {
        "supports": supports,
        "seeds": seeds,
        "mask seeds": mask_seeds,
        "sparsities": sparsities,
        "methods": methods,
    }
    if not supports or len(set(map(len, given.values()))) > 1:
        numbers = [f"{len(values)} {name}" for name, values in given.items()]
        raise SettingError(
            f"{', '.join(numbers[:-1])} and {numbers[-1]}: give as many of each, at least one"
        )


def baseline_population(
    name: str,
    factory: ModelFactory,
    split: Split,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    layers: str | Sequence[str] = "hidden",
    sparsity: float | None = None,
    order_seed: int = 0,
    progress: Progress | None = None,
) -> PrunedPopulation:
    """Run one of the methods of :data:`bogp.pipeline.METHODS` on several seeds at once.

    Each seed gets what :func:`bogp.pipeline.baseline` gives it, but that all share the order of the
    mini-batches.

    Raises:
        UnknownNameError: no such method.
        SettingError: a method that prunes, without a sparsity.
    """
    method = method_named(name, sparsity)
    if method is None or sparsity is None:
        found = train_population(
            factory,
            [None] * len(seeds),
            (split.train_inputs, split.train_targets),
            recipe,
            [initial_seed(seed) for seed in seeds],
            validation=(split.select_inputs, split.select_targets),
            order_seed=batch_seed(order_seed, 0),
            keep_weights=True,
            progress=progress,
        )
        spent = tuple(candidate.epochs for candidate in found.candidates)
        return PrunedPopulation(found.candidates, spent, found.seconds)
    return prune_and_train_population(
        factory,
        split,
        recipe,
        [None] * len(seeds),
        seeds=seeds,
        mask_seeds=[derive_seed(seed, "mask") for seed in seeds],
        sparsity=sparsity,
        layers=layers,
        method=method,
        order_seed=order_seed,
        keep_weights=True,
        progress=progress,
    )


def _rounds_first(numbers: range) -> tuple[int, int]:
    return numbers.stop, -numbers.start


def _shifted(progress: Progress, before: int, every: int) -> Progress:
    return lambda done, _: progress(before + done, every)
