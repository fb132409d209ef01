"""What a search returns, whichever engine ran it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bogp.keys import content_key
from bogp.masks import Mask
from bogp.search import FinishedTrial


@dataclass(frozen=True)
class FinalRun:
    """The winner trained once more on a fresh seed and measured on the report set."""

    seed: int
    accuracy: float
    loss: float | None


@dataclass(frozen=True)
class SearchResult:
    """What a search found: all its trials, the winner, its mask and its fresh-seed results."""

    settings: Mapping[str, Any]
    trials: tuple[FinishedTrial, ...]
    best: FinishedTrial
    mask: Mask
    finals: tuple[FinalRun, ...]

    @property
    def key(self) -> str:
        """Key of the search: the hash of every setting that can change a trial's result."""
        return content_key(self.settings)

    @property
    def seconds(self) -> float:
        """Training time of the trials, in seconds."""
        return math.fsum(trial.record["seconds"] for trial in self.trials)
