"""The same mechanism for many candidates at once: prune in rounds, train as a population."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bogp.data import Split
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.masks import prunable
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

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrunedPopulation:
    """Candidates in the order of their supports, as their last round of training left them.

    A candidate that diverged in a round took no part in those after it. ``spent`` are the epochs of
    each over all its rounds, ``seconds`` those of all the work.
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
    sparsity: float,
    layers: str = "hidden",
    method: Method = GRAPH,
    order_seed: int = 0,
    halving: Halving | None = None,
    together: int | None = None,
    keep_weights: bool = False,
    progress: Progress | None = None,
) -> PrunedPopulation:
    """Prune and train one candidate for each support, all together.

    Candidate k gets what ``prune_and_train(support=supports[k], seed=seeds[k],
    mask_seed=mask_seeds[k], order_seed=order_seed)`` gives it alone. All share the order of the
    mini-batches, so that the spread over seeds is that of initial weights and masks.

    Args:
        factory: makes the network.
        split: the data that trains and the data that selects; the report data is not touched.
        recipe: the training of each round.
        supports: what bounds each mask, one a candidate; None is the complete support.
        seeds: of the initial weights.
        mask_seeds: of what is random about each mask.
        sparsity: share of the prunable weights to remove.
        layers: ``"hidden"`` or ``"all"``.
        method: criterion, scope, schedule, rounds.
        order_seed: of the order of the mini-batches.
        halving: stops the poorer candidates early, in the last round.
        together: candidates to train at once; by default as many as memory holds.
        keep_weights: whether to return the weights.
        progress: called with (epochs done, epochs in all) of all candidates and rounds.

    Raises:
        SettingError: the numbers of supports, seeds and mask seeds differ.
        SparsityError, MaskError, GraphError: see :func:`bogp.pipeline.prune_and_train`.
    """
    if not len(supports) == len(seeds) == len(mask_seeds):
        raise SettingError(
            f"{len(supports)} supports, {len(seeds)} seeds and {len(mask_seeds)} mask seeds: "
            "give as many of each"
        )
    started = time.perf_counter()
    models = [initialise(factory, initial_seed(seed)) for seed in seeds]
    names = prunable(models[0], layers) if models else ()
    masks = [support_mask(s, model, names) for s, model in zip(supports, models, strict=True)]
    counts = [kept_counts(method, mask, sparsity) for mask in masks]
    states = [model.state_dict() for model in models]
    rounds = max(map(len, counts), default=1)
    every = recipe.epochs * len(masks) * rounds
    done: dict[int, Candidate] = {}
    spent = [0] * len(masks)
    going = list(range(len(masks)))
    for number in range(1, rounds + 1):
        for k in going:
            kept = counts[k][number - 1]
            masks[k] = next_mask(states[k], masks[k], method, kept, mask_seeds[k], number)
        last = number == rounds
        found = train_population(
            factory,
            [masks[k] for k in going],
            (split.train_inputs, split.train_targets),
            recipe,
            [seeds[k] for k in going],
            validation=(split.select_inputs, split.select_targets),
            order_seed=batch_seed(order_seed, number),
            initial=[states[k] for k in going],
            halving=halving if last else None,
            together=together,
            keep_weights=keep_weights or not last,
            progress=None if progress is None else _shifted(progress, sum(spent), every),
        )
        for k, candidate in zip(going, found.candidates, strict=True):
            done[k], states[k] = candidate, candidate.weights or {}
            spent[k] += candidate.epochs
        # Whoever diverged has no weights to prune by: it stays as it is, and the others go on.
        going = [k for k in going if not done[k].diverged]
        if not going:
            break
    candidates = tuple(done[k] for k in range(len(masks)))
    return PrunedPopulation(candidates, tuple(spent), time.perf_counter() - started)


def baseline_population(
    name: str,
    factory: ModelFactory,
    split: Split,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    layers: str = "hidden",
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


def _shifted(progress: Progress, before: int, every: int) -> Progress:
    return lambda done, _: progress(before + done, every)
