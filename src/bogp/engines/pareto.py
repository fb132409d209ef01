"""Bayesian optimisation of two objectives over a finite pool, the second of which is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import numpy as np
import numpy.typing as npt

from bogp.engines import tradeoff
from bogp.engines.acquisition import extended, fantasise, few_samples, highest
from bogp.engines.botorch_base import normals
from bogp.engines.finite import Allowed, FiniteSearch, checked_acquisition, checked_pool
from bogp.engines.surrogate import Posterior
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.types import Floats

ACQUISITIONS = ("ehvi", "random")

SAMPLES = 32
"""Joint samples of the baseline over which an improvement is averaged."""

_FRONT_SAMPLES = 512
_MOST_BASELINE = 64


@final
class ParetoSearch(FiniteSearch):
    """Find the front of value against a known second objective in a pool, both maximised.

    As :class:`bogp.engines.pool.PoolSearch`, but what is sought is expected improvement of the
    hypervolume. Only the value is noisy and modelled; the second objective (sparsity) is known of
    every candidate, so the improvement is exact given the front
    (:func:`bogp.engines.tradeoff.expected_improvement`).
    The front of noisy values is uncertain itself: the improvement is averaged
    over joint samples of it, with what is pending in each (the idea of NEHVI, Daulton, Balandat
    and Bakshy 2021, arXiv 2105.08195).

    Args:
        pool: (N, D) features. The second objective is added as a feature unless it is one.
        second: (N,) the second objective of each candidate.
        reference: the value and second objective from which hypervolume is measured; a candidate
            that is not above both is of no use.
        acquisition: "ehvi", or "random", uniform among the unasked.
        seed, noise, initial, threads: as of PoolSearch.

    Raises:
        SettingError: a bad pool, a second objective or reference that does not fit it, or a
            setting out of range.
        UnknownNameError: no such acquisition.
    """

    def __init__(
        self,
        pool: npt.ArrayLike,
        second: npt.ArrayLike,
        *,
        reference: Sequence[float],
        seed: int = 0,
        acquisition: str = "ehvi",
        noise: float | None = None,
        initial: Iterable[int] = (),
        threads: int = 1,
    ) -> None:
        checked_acquisition(acquisition, ACQUISITIONS)
        table = checked_pool(pool)
        self._second = np.array(second, dtype=np.float64)
        if self._second.shape != (len(table),) or not np.isfinite(self._second).all():
            raise SettingError(
                f"the second objective has shape {self._second.shape}: give one finite number for "
                f"each of {len(table)} candidates"
            )
        if len(reference) != 2 or not np.isfinite(reference).all():
            raise SettingError(f"reference {reference} is no pair of finite numbers: give (0, 0)")
        self._reference = (float(reference[0]), float(reference[1]))
        super().__init__(
            _with_second(table, self._second),
            seed=seed,
            acquisition=acquisition,
            noise=noise,
            initial=initial,
            threads=threads,
            second=self._second,
        )

    def front(self) -> list[int]:
        """Return the told candidates that no other dominates, ascending in the second objective.

        By posterior mean and second objective, not by the luckiest values.
        """
        points = self._points()
        return [self.told[place] for place in tradeoff.front(points).tolist()]

    def hypervolume(self) -> float:
        """Return the area that the front dominates above the reference."""
        return tradeoff.hypervolume(self._points(), self._reference)

    def _points(self) -> Floats:
        told = list(self.told)
        if not told:
            return np.empty((0, 2))
        return np.column_stack((self.posterior(told)[0], self._second[told]))

    def _wanted(
        self, waiting: npt.NDArray[np.int64], free: Allowed, count: int, seed: int
    ) -> list[int]:
        posterior = self._model.posterior(self._ledger.tells)
        scale = self._model.fit(self._ledger.tells).scaling
        reference = ((self._reference[0] - scale.centre) / scale.scale, self._reference[1])
        chance = self._front_chance(posterior, derive_seed(seed, "contenders"))
        order = np.argsort(-chance, kind="stable")[:_MOST_BASELINE]
        rows = posterior.told.numpy()
        rows = rows[np.sort(order[chance[order] > 0])]
        rows = np.concatenate((rows, np.setdiff1d(waiting, posterior.told.numpy())))
        drawn = normals(SAMPLES, len(rows) + count, derive_seed(seed, "baseline"))
        known, picks = fantasise(posterior, rows, drawn), list[int]()
        for turn in range(count):
            if turn:
                known = extended(posterior, known, picks[-1], drawn[:, len(rows) + turn - 1])
            means = known.at(slice(None)).numpy()  # (N, S)
            deviations = known.variance.sqrt().numpy()
            baseline = np.concatenate((rows, np.array(picks, dtype=np.int64)))
            gain = np.zeros(len(means))
            for sample in range(SAMPLES):
                points = np.column_stack((means[baseline, sample], self._second[baseline]))
                gain += tradeoff.expected_improvement(
                    means[:, sample], deviations, self._second, points, reference
                )
            picks.append(highest(gain, free, seed, turn))
            free[picks[-1]] = False
        return picks

    def _front_chance(self, posterior: Posterior, seed: int) -> Floats:
        """Return the share of joint samples in which each told candidate is on the front, (n,)."""
        samples = few_samples(posterior, posterior.told.numpy(), _FRONT_SAMPLES, seed).numpy()
        return front_shares(samples, self._second[posterior.told.numpy()])

    def _repeated(self, posterior: Posterior, allowed: Allowed, count: int, seed: int) -> list[int]:
        """Return the told candidates of most uncertain place: in doubt, and with much to learn.

        By p (1 - p) SD, with p the probability of being on the front.
        """
        told = posterior.told.numpy()
        chance = self._front_chance(posterior, seed)
        deviation = posterior.variance[posterior.told].sqrt().numpy()
        # The small addition orders those whose place is certain by what is left to learn.
        doubt = (chance * (1.0 - chance) + 1e-9) * deviation
        order = told[np.argsort(-doubt, kind="stable")]
        picks: list[int] = order[allowed[order]][:count].tolist()
        return picks


def front_shares(samples: Floats, second: Floats) -> Floats:
    """Return the share of samples (n, S) in which each point is on the front, (n,).

    A point is on it where its value is above those of all that are at least as high in the second.

    >>> front_shares(np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([0.5, 0.9])).tolist()
    [0.5, 1.0]
    """
    on_front = np.empty(samples.shape, dtype=bool)
    before = np.full(samples.shape[1], -np.inf)  # the best of those strictly higher in the second
    for level in np.unique(second)[::-1]:
        rows = np.flatnonzero(second == level)
        best = samples[rows].max(axis=0)
        on_front[rows] = (samples[rows] == best) & (best > before)
        before = np.maximum(before, best)
    shares: Floats = on_front.mean(axis=1)
    return shares


def _with_second(table: Floats, second: Floats) -> Floats:
    """Return the features with the second objective among them."""
    offset = second - second.mean()
    size = float(np.sqrt((offset * offset).sum()))
    for column in table.T:
        centred = column - column.mean()
        product = size * float(np.sqrt((centred * centred).sum()))
        if product > 0 and abs(float((centred * offset).sum())) >= (1 - 1e-9) * product:
            return table
    return np.column_stack((table, second))
