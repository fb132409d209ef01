"""What a search returns, whichever engine ran it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bogp.analysis import Interval
from bogp.engines import scalarised
from bogp.keys import content_key
from bogp.masks import Mask
from bogp.pipeline.evidence import Evidence
from bogp.pipeline.finals import Final
from bogp.pipeline.space import Point
from bogp.study import FinishedTrial

LOST = "lost and run again, at most"
"""What the training is called that a kill or a lost worker took."""


@dataclass(frozen=True)
class FrontPoint:
    """One point of the trade-off that a search found.

    Attributes:
        point: how its mask is chosen.
        posterior: mean and standard deviation of its true accuracy under the surrogate.
        fresh: accuracy on the data that selects, over fresh seeds.
        sealed: accuracy on the report data, over fresh seeds.
        mask: its mask on the first of them.
    """

    point: Point
    posterior: tuple[float, float]
    fresh: Interval | None
    sealed: Interval | None
    mask: Mask | None


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        settings: every setting that can change a trial's result.
        trials: the trials of the search itself.
        best: the winner: of its trials the best single one.
        mask: the winner's mask, on the first fresh seed where the criterion looks at the weights;
            None of a whole trade-off, whose points have a mask each, and of a trainer that returns
            none.
        finals: the winner's results on fresh seeds.
        random_trials: the trials of random search at equal cost, where the engine has one.
        evidence: what there is to say for the winner; engine pool alone.
        front: the trade-off, ascending in sparsity; with pareto alone.
        random_front: that of random search.
        hypervolumes: arm → hypervolume of the front after each batch, with pareto alone.
        epochs: training spent, by what it was spent on; engine pool alone.
        weights: state dict of the winner on the first fresh seed, where this process trained it.
    """

    settings: Mapping[str, Any]
    trials: tuple[FinishedTrial, ...]
    best: FinishedTrial
    mask: Mask | None
    finals: tuple[Final, ...]
    random_trials: tuple[FinishedTrial, ...] = ()
    evidence: Evidence | None = None
    front: tuple[FrontPoint, ...] = ()
    random_front: tuple[FrontPoint, ...] = ()
    hypervolumes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, Tensor] | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """Key of the search: the hash of every setting that can change a trial's result."""
        return content_key(self.settings)

    @property
    def seconds(self) -> float:
        """Training time of the trials, in seconds."""
        return math.fsum(trial.record["seconds"] for trial in self.trials)

    def at(self, alpha: float) -> FrontPoint:
        """Return the point of the front that maximises accuracy + alpha · sparsity (f2).

        The accuracy is the posterior mean, which selected the front.
        """
        points = [(entry.posterior[0], entry.point.sparsity) for entry in self.front]
        return self.front[scalarised(points, alpha)]
