"""One scoring: from a network and its mask to the next, sparser mask."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bogp.cores import torch_threads
from bogp.criteria import Context, criterion
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.masks import Mask, Units, WeightUnits, densities
from bogp.sparsify.methods import Method, check_method
from bogp.sparsity import kept_count

Examples = tuple[Tensor | None, Tensor | None]
"""Inputs (N, *shape) and targets, (N,) or (N, T), to score on; None where there are none."""


def scored_mask(
    model: nn.Module,
    mask: Mask,
    method: Method,
    kept: int,
    seed: int,
    number: int,
    examples: Examples = (None, None),
    units: Units | None = None,
) -> Mask:
    """Return the mask of pruning round ``number``: ``kept`` weights inside ``mask``.

    A criterion of several ``steps`` scores anew after each of them, while the mask shrinks by the
    same factor at a step and the weights stay what they are. It scores on one CPU thread, so that
    the scores are the same on machines with other numbers of cores.

    Args:
        model: the network whose weights are scored; it is not changed.
        mask: the weights that may be kept.
        method: says the criterion and the scope.
        kept: how many weights to keep.
        seed: decides all that is random about the mask, in all rounds.
        number: the number of the round, from 1.
        examples: what a criterion that runs the network scores on.
        units: what is kept or pruned together; by default every weight by itself.

    Raises:
        SparsityError: ``mask`` keeps fewer than ``kept``.
        MaskError: the mask does not fit the model, or a score is NaN.
        SettingError: a criterion that runs the network has no examples, or all scores of a whole
            network are zero.
    """
    chosen = criterion(method.criterion)
    with torch_threads(1):
        counts = _step_counts(mask, kept, chosen.steps)
        for step, count in enumerate(counts, 1):
            # Seeds of criteria with one step do not name the step: committed records rest on them.
            place = (number,) if len(counts) == 1 else (number, step)
            context = Context(model, mask, *examples, derive_seed(seed, "scores", *place))
            scores = chosen.score(context)
            if number == step == 1:
                check_scores(scores, mask, chosen.name)
            mask = (units or WeightUnits()).choose(
                {layer: values.cpu() for layer, values in scores.items()},
                count,
                scope=method.scope,
                support=mask,
                seed=derive_seed(seed, "select", *place),
            )
    return mask


def check_scores(scores: Any, mask: Mask, criterion: str) -> None:
    """Raise SettingError if scores are none of the mask's weights, or all of a network are zero."""
    for name, layer in mask.items():
        found = scores.get(name) if isinstance(scores, dict) else scores
        if not isinstance(found, Tensor) or found.shape != layer.shape:
            given = tuple(found.shape) if isinstance(found, Tensor) else repr(found)
            raise SettingError(
                f"criterion {criterion!r} gives {given} as the scores of {name!r}, whose shape is "
                f"{tuple(layer.shape)}: return a dict that has a tensor of this shape for each "
                "layer of the mask"
            )
    if mask.kept == mask.total and not any(bool(score.any()) for score in scores.values()):
        raise SettingError(
            f"criterion {criterion!r} scores each of the {mask.total} weights 0, of "
            f"{', '.join(map(repr, mask))}: a layer of zeros (a last one, say) or one that is not "
            "used lets nothing through, so initialise it otherwise or take the criterion 'random'"
        )


def kept_counts(method: Method, support: Mask, sparsity: float) -> list[int]:
    """Return the number of weights to keep in each pruning round.

    Raises:
        UnknownNameError, SettingError: the method has a field that bogp does not know.
        SparsityError: ``sparsity`` is not in [0, 1).
    """
    check_method(method)
    last = kept_count(support.total, sparsity)
    if not 0 < last <= support.kept:
        # Nothing to keep, or more than there is: one step, which select does or refuses.
        return [last]
    steps = densities(method.schedule, support.density, last / support.total, method.rounds)
    return [*(round(density * support.total) for density in steps[:-1]), last]


def _step_counts(mask: Mask, kept: int, steps: int) -> list[int]:
    """Return the number of weights to keep after each of ``steps`` scorings of one round."""
    if steps == 1 or not 0 < kept <= mask.kept:
        return [kept]
    falling = densities("exponential", mask.density, kept / mask.total, steps)
    return [*(round(density * mask.total) for density in falling[:-1]), kept]
