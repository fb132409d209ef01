"""What a candidate's mask is before training moves it."""

from __future__ import annotations

from torch import nn

from bogp.criteria import criterion
from bogp.data import Dataset, split
from bogp.masks import Mask
from bogp.pipeline.candidate import Candidate
from bogp.pipeline.rounds import initial_seed
from bogp.settings.search import SearchSettings
from bogp.sparsify import Mover, make_mover
from bogp.training import ModelFactory, initialise


def candidate_mover(
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
    assert candidate.sparsity is not None
    examples = len(split(dataset, settings.protocol, seed=0).train_targets)
    model = initialise(factory, initial_seed(seed))
    mover = make_mover(
        model,
        candidate.method,
        candidate.sparsity,
        steps=settings.recipe.epochs * settings.recipe.steps(examples) * candidate.trainings,
        layers=settings.layers,
        support=candidate.support,
        seed=candidate.mask_seed,
        examples=(dataset.train_inputs[:1], None),
    )
    return model, mover


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
    model, mover = candidate_mover(factory, dataset, settings, candidate, seed)
    method = candidate.method
    begins = method.moves is not None and method.moves.schedule == "one_shot"
    if begins and not criterion(method.criterion).needs_data:
        return mover.moved(0, model, mover.support)
    return None if candidate.support is None else mover.support
