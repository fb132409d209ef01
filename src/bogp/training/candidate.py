"""One candidate of a population, and the rule that stops the poorer ones early."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bogp.errors import SettingError
from bogp.masks import Mask
from bogp.training.evaluate import Metrics
from bogp.training.recipe import Recipe
from bogp.training.task import State

NOT_MEASURED = Metrics(math.nan, math.nan, 0)


@dataclass(frozen=True)
class TrainedCandidate:
    """What has become of one candidate in training.

    Attributes:
        seed: draws its initial weights.
        mask: the mask that prunes it, when its training ended; None is the dense network.
        metrics: its metrics on the data that selects, when its training ended.
        losses: the mean training loss of each epoch that it ran, (epochs,).
        accuracies: its accuracy on the data that selects after each of them, (epochs,).
        ended: ``"whole"`` after all the recipe's epochs, ``"rung"`` where halving stopped it before
            them, or ``"patience"`` where the recipe's patience did.
        weights: its state dict, on the CPU, if they were asked for.
        finite: whether all its parameters were finite when its training ended.
    """

    seed: int
    mask: Mask | None
    metrics: Metrics = NOT_MEASURED
    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()
    ended: str = ""
    weights: State | None = None
    finite: bool = True

    @property
    def epochs(self) -> int:
        """Epochs that it ran."""
        return len(self.losses)

    @property
    def stopped(self) -> bool:
        """Whether halving or patience ended its training before the recipe's epochs."""
        return self.ended != "whole"

    @property
    def diverged(self) -> bool:
        """Whether some epoch's loss, or what came out in the end, was not finite.

        Each epoch's loss is that before its steps: the last of them shows in the metrics alone.
        """
        losses = (*self.losses, self.metrics.loss)
        return not (self.finite and all(math.isfinite(loss) for loss in losses))

    @property
    def score(self) -> float:
        """What halving ranks by: the last accuracy, or -1 for a candidate that has diverged."""
        return -1.0 if self.diverged else self.accuracies[-1]


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
        # 0.07 * 100 is a little above 7.
        return max(1, math.ceil(self.keep * count - 1e-9))

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise SettingError if a rung is not before the end of ``recipe``."""
        late = [rung for rung in self.rungs if rung >= recipe.epochs]
        if late:
            raise SettingError(
                f"rung {late[0]} is not before the end of a recipe of {recipe.epochs} epochs and "
                f"would stop nobody: give rungs below {recipe.epochs}, or more epochs"
            )
