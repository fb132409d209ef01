"""The plan of a mask: at which steps of a training it changes, and to what."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bogp.errors import SettingError
from bogp.masks import Mask, densities
from bogp.sparsify.methods import Method
from bogp.sparsify.moves import Moves, When
from bogp.sparsify.scoring import kept_counts


@dataclass(frozen=True)
class Update:
    """What a mask becomes at a step.

    Attributes:
        number: its number in the plan, from 1, of which the seeds of its scores are derived.
        kept: how many weights the mask then keeps.
        regrow: the share of each layer's kept weights that is dropped, and regrown elsewhere.
        rewind: whether the weights go back to those that the training began from.
    """

    number: int
    kept: int
    regrow: float = 0.0
    rewind: bool = False


Plan = dict[int, Update]
"""Step → what happens before it; step 0 is before the first step of the optimiser."""


def make_plan(method: Method, support: Mask, sparsity: float, steps: int | None = None) -> Plan:
    """Return when and how the mask of a method changes in a training of ``steps`` steps.

    A mask that moves never keeps more weights than its support has. A method of several pruning
    rounds has them at equal distances, so that all of its trainings together are one.

    Args:
        method: says how.
        support: the weights that may be kept; its total counts for densities.
        sparsity: share of the support's total to remove in the end.
        steps: steps of the optimiser in the whole training; None for a mask that does not move.

    Raises:
        SettingError: a method that moves without ``steps``, or within none of them, or a density
            that is not in (0, 1].
        SparsityError: ``sparsity`` is not in [0, 1).

    >>> import torch
    >>> from bogp.sparsify.methods import METHODS
    >>> support = Mask({"w": torch.ones(10, 100, dtype=torch.bool)})
    >>> plan = make_plan(METHODS["gradual"], support, 0.9, steps=100)
    >>> {step: update.kept for step, update in plan.items()}
    {20: 367, 40: 133, 60: 100}
    """
    counts = kept_counts(method, support, sparsity)
    if method.moves is None and method.trainings == 1:
        return {0: Update(1, counts[0])}
    if steps is None or steps < 1:
        raise SettingError(
            f"steps = {steps!r} for a mask that moves while it trains: give the steps of the "
            "optimiser in the whole training, len(loader) * epochs say"
        )
    if steps < method.trainings:
        raise SettingError(
            f"steps = {steps} for {method.trainings} trainings one after the other: give as many "
            "or more"
        )
    if method.moves is None:
        first = 1 if method.pretrain else 0
        places = [math.ceil(k * steps / method.trainings) for k in range(first, method.trainings)]
        updates = [
            Update(number, kept, rewind=method.rewind and place > 0)
            for number, (place, kept) in enumerate(zip(places, counts, strict=False), 1)
        ]
        return dict(zip(places, updates, strict=False))
    return _moving(method.moves, support, counts[-1], steps)


def _moving(moves: Moves, support: Mask, last: int, steps: int) -> Plan:
    """Return the plan of a mask that moves, ``last`` weights in the end."""
    begin, end = (_step(when, steps) for when in (moves.begin, moves.end))
    end = min(end, steps - 1)
    if begin > end:
        raise SettingError(
            f"moves begin at step {begin} and end at {end} of {steps} steps: begin earlier, end "
            "later or train for more steps"
        )
    # Training too short for a move has one all the same, for the final mask.
    places = [*range(begin + moves.every, end + 1, moves.every)] or [end]
    final = last / support.total
    plan: Plan = {}
    if moves.schedule == "one_shot":
        plan[0] = Update(1, last)
    if isinstance(moves.schedule, str):
        falling = densities(moves.schedule, 1.0, final, len(places)) if last else [final]
    else:
        falling = [_density(moves.schedule, place) for place in places]
    for place, density in zip(places, falling, strict=False):
        kept = last if place == places[-1] else min(support.kept, round(density * support.total))
        # Before the first step there is nothing to regrow by.
        share = _share(moves, place, end) if place > 0 else 0.0
        plan[place] = Update(len(plan) + 1, kept, share)
    return plan


def _step(when: When, steps: int) -> int:
    return when if isinstance(when, int) else round(when * steps)


def _density(schedule: object, step: int) -> float:
    assert callable(schedule)
    value = float(schedule(step))
    if not 0.0 < value <= 1.0:
        raise SettingError(
            f"the schedule gives the density {value} at step {step}: give one in (0, 1]"
        )
    return value


def _share(moves: Moves, step: int, end: int) -> float:
    """Return the share that is regrown at a step (Evci et al. 2020, section 3, f_decay)."""
    if callable(moves.regrow):
        share = float(moves.regrow(step))
        if not 0.0 <= share <= 1.0:
            raise SettingError(f"regrow gives the share {share} at step {step}: give one in [0, 1]")
        return share
    if moves.decay == "constant":
        return moves.regrow
    return moves.regrow / 2.0 * (1.0 + math.cos(math.pi * step / end))
