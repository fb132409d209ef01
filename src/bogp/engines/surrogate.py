"""The surrogate of one search: when its hyperparameters are fitted, and what they then say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

from bogp.engines.evaluations import LEAST_VARIANCE, Evaluation, Scaling, Sums, scaling, sums
from bogp.engines.fitting import Hyperparameters, Summary, default, fit, summarise
from bogp.engines.posterior import Factors, Posterior
from bogp.types import Floats

_GROWTH = 20


@dataclass(frozen=True)
class Fit:
    """Fitted hyperparameters.

    Attributes:
        scaling: the scaling of values that they are meant for.
        tells: how many evaluations they were fitted to.
    """

    hyperparameters: Hyperparameters
    scaling: Scaling
    tells: int

    def state(self) -> dict[str, Any]:
        """Return the fit in JSON's types; floats come back from JSON bit for bit."""
        given, scale = self.hyperparameters, self.scaling
        return {
            "lengths": list(given.lengths),
            "noise": given.noise,
            "own": given.own,
            "mean": given.mean,
            "centre": scale.centre,
            "scale": scale.scale,
            "allowance": scale.allowance,
            "tells": self.tells,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Fit:
        """Return the fit that :meth:`state` described."""
        return cls(
            Hyperparameters(tuple(state["lengths"]), state["noise"], state["mean"], state["own"]),
            Scaling(state["centre"], state["scale"], state["allowance"]),
            int(state["tells"]),
        )


@final
class Surrogate:
    """A Gaussian process that is fitted when enough was told, and conditioned on every tell.

    Refits begin at the last optimum, so the path matters. Only :meth:`commit`, which asking calls,
    moves along it: looking at a posterior in between gives what asking would see and leaves no
    trace, and two searches that asked at the same moments agree whatever was looked at.

    Args:
        features: (N, D) standardised.
        noise: known SD of one evaluation in units of the values, None to estimate it.
        second: (N,) known second objective of a search for a front, else None.
        threads: how many to compute on.

    Attributes:
        committed: the fit that the next refit starts from.
    """

    def __init__(
        self,
        features: Floats,
        noise: float | None,
        second: Floats | None = None,
        threads: int = 1,
    ) -> None:
        self.committed: Fit | None = None
        self._features = torch.from_numpy(features)
        self._noise, self._second, self._threads = noise, second, threads
        # The last of each that was computed, with what it depends on.
        self._latest: tuple[int, Fit] | None = None
        self._posterior: tuple[int, Fit, Posterior] | None = None
        self._factors: tuple[Fit, int, Factors] | None = None

    def commit(self, evaluations: Sequence[Evaluation]) -> None:
        """Make the fit of now the one that the next refit starts from."""
        self.committed = self.fit(evaluations)

    def restore(self, fit: Fit | None) -> None:
        """Go on from the fit that another search had committed."""
        self.committed = fit
        self._latest = self._posterior = self._factors = None

    def fit(self, evaluations: Sequence[Evaluation]) -> Fit:
        """Return the fit for these evaluations: the committed one, until a twentieth more came."""
        last = self.committed
        if last is not None and len(evaluations) - last.tells < max(1, last.tells // _GROWTH):
            return last
        if self._latest is None or self._latest[0] != len(evaluations):
            self._latest = (len(evaluations), self._fitted(evaluations))
        return self._latest[1]

    def posterior(self, evaluations: Sequence[Evaluation]) -> Posterior:
        """Return the posterior of the standardised values at every candidate."""
        found, known = self.fit(evaluations), self._posterior
        if known is None or known[0] != len(evaluations) or known[1] is not found:
            told = sums(evaluations, found.scaling, self._second)
            summary = summarise(told, found.hyperparameters.noise)
            factors = self._factors_for(evaluations, found, told, summary)
            rows = torch.from_numpy(told.rows)
            result = factors.posterior(rows, summary, found.hyperparameters)
            self._posterior = known = (len(evaluations), found, result)
        return known[2]

    def _factors_for(
        self, evaluations: Sequence[Evaluation], found: Fit, told: Sums, summary: Summary
    ) -> Factors:
        """Return the factors for all evaluations: those at hand, grown, or new ones.

        They are computed at once up to the last fit, or to the last replicate after it, and grown
        from there, always: a resumed search repeats just that.
        """
        seen, base = {one.index for one in evaluations[: found.tells]}, found.tells
        for place in range(found.tells, len(evaluations)):
            base = place + 1 if evaluations[place].index in seen else base
            seen.add(evaluations[place].index)
        known = self._factors
        if known is None or known[0] is not found or known[1] != base:
            size = len({one.index for one in evaluations[:base]})
            rows = torch.from_numpy(told.rows[:size])
            given = found.hyperparameters
            made = Factors(self._features, rows, summary.variance[:size], given, self._threads)
            self._factors = known = (found, base, made)
        factors = known[2]
        for place in range(factors.count, len(told.rows)):
            factors.grow(int(told.rows[place]), float(summary.variance[place]))
        return factors

    def _fitted(self, evaluations: Sequence[Evaluation]) -> Fit:
        scale = scaling(evaluations, self._second)
        noise = None
        if self._noise is not None:
            noise = max((self._noise / scale.scale) ** 2, LEAST_VARIANCE)
        given = default(self._features.shape[1], noise)
        if len(evaluations) >= 2:
            told = sums(evaluations, scale, self._second)
            start = None if self.committed is None else self.committed.hyperparameters
            given = fit(self._features[torch.from_numpy(told.rows)], told, noise, start)
        return Fit(given, scale, len(evaluations))
