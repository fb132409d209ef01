"""The same mechanism for many candidates at once: prune in rounds, train as a population."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bogp.data import Split
from bogp.errors import SettingError
from bogp.masks import prunable
from bogp.pipeline.pruning import (
    GRAPH,
    Method,
    Support,
    batch_seed,
    initial_seed,
    kept_counts,
    next_mask,
    support_mask,
)
from bogp.training import (
    Candidate,
    Halving,
    ModelFactory,
    Recipe,
    initialise,
    train_population,
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrunedPopulation:
    """Candidates in the order of their supports, as their last round of training left them.

    ``epochs`` are those of all candidates and rounds together, ``seconds`` of all the work.
    """

    candidates: tuple[Candidate, ...]
    epochs: int
    seconds: float


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
    epochs, rounds = 0, max(map(len, counts), default=1)
    every = recipe.epochs * len(masks) * rounds
    for number in range(1, rounds + 1):
        masks = [
            next_mask(state, mask, method, kept[number - 1], mask_seed, number)
            for state, mask, kept, mask_seed in zip(states, masks, counts, mask_seeds, strict=True)
        ]
        last = number == rounds
        found = train_population(
            factory,
            masks,
            (split.train_inputs, split.train_targets),
            recipe,
            seeds,
            validation=(split.select_inputs, split.select_targets),
            order_seed=batch_seed(order_seed, number),
            initial=states,
            halving=halving if last else None,
            together=together,
            keep_weights=keep_weights or not last,
            progress=None if progress is None else _shifted(progress, epochs, every),
        )
        epochs += found.epochs
        states = [candidate.weights or {} for candidate in found.candidates]
    return PrunedPopulation(found.candidates, epochs, time.perf_counter() - started)


def _shifted(progress: Progress, before: int, every: int) -> Progress:
    return lambda done, _: progress(before + done, every)
