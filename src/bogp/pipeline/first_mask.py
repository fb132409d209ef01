"""A candidate's mask before training: what makes it, and what it is."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bogp.criteria import criterion
from bogp.data import Dataset, Split, split
from bogp.keys import derive_seed
from bogp.masks import Mask
from bogp.pipeline.candidate import Candidate
from bogp.settings.search import SearchSettings
from bogp.sparsify import GRAPH, Mover, Support, make_mover
from bogp.training import ModelFactory, Recipe, initialise


def candidate_mover(
    model: nn.Module,
    candidate: Candidate,
    parts: Split,
    recipe: Recipe,
    layers: str | Sequence[str],
) -> Mover:
    """Return what chooses the mask of a candidate on ``model``, whose weights do not matter.

    Its plan is that of all trainings of the candidate, one after the other.

    Raises:
        SparsityError, MaskError, GraphError, SettingError: a mask that cannot be made.
    """
    assert candidate.sparsity is not None
    steps = recipe.epochs * recipe.steps(len(parts.train_targets))
    return make_mover(
        model,
        candidate.method,
        candidate.sparsity,
        steps=steps * candidate.trainings,
        layers=layers,
        support=candidate.support,
        seed=candidate.mask_seed,
        examples=(parts.train_inputs[:1], None),
    )


def untrained(
    factory: ModelFactory,
    dataset: Dataset,
    settings: SearchSettings,
    candidate: Candidate,
    seed: int = 0,
) -> tuple[nn.Module, Mover]:
    """Return the untrained network of a seed and the mover of a candidate's mask on it.

    Raises:
        SparsityError, MaskError, GraphError, SettingError: a mask that cannot be made.
    """
    model = initialise(factory, initial_seed(seed))
    parts = split(dataset, settings.protocol, seed=0)
    return model, candidate_mover(model, candidate, parts, settings.recipe, settings.layers)


def mask_before(
    factory: ModelFactory,
    dataset: Dataset,
    settings: SearchSettings,
    candidate: Candidate,
    seed: int,
) -> Mask | None:
    """Return the mask before training: the first one of a mask that is sparse from the beginning.

    Of others it is the support, and None where all weights may be kept.
    """
    model, mover = untrained(factory, dataset, settings, candidate, seed)
    method = candidate.method
    begins = method.moves is not None and method.moves.schedule == "one_shot"
    if begins and not criterion(method.criterion).needs_data:
        return mover.moved(0, model, mover.support)
    return None if candidate.support is None else mover.support


def draw_mask(
    factory: ModelFactory,
    *,
    layers: str | Sequence[str],
    sparsity: float,
    support: Support,
    mask_seed: int,
) -> Mask:
    """Return the mask that :func:`prune_and_train` gives the method ``GRAPH``, untrained."""
    model = initialise(factory, 0)
    mover = make_mover(model, GRAPH, sparsity, layers=layers, support=support, seed=mask_seed)
    return mover.moved(0, model, mover.support)


def initial_seed(seed: int) -> int:
    """Return the seed of a run's initial weights."""
    return derive_seed(seed, "initial weights")
