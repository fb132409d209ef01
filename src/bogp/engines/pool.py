"""Bayesian optimisation over a finite pool of candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import final

import numpy as np
import numpy.typing as npt

from bogp.engines.acquisition import (
    noisy_improvement_picks,
    thompson_picks,
    top_two_picks,
    upper_bound_picks,
)
from bogp.engines.finite import Allowed, FiniteSearch, checked_acquisition, checked_pool
from bogp.engines.surrogate import Posterior
from bogp.errors import SettingError

ACQUISITIONS = ("qlognei", "ucb", "thompson", "random")


@final
class PoolSearch(FiniteSearch):
    """Find the candidate of highest expected value in a pool, by noisy evaluations (ask and tell).

    A Gaussian process (BoTorch's: Matérn-5/2, dimension-scaled priors) is fitted to what was told;
    the acquisition is computed for every candidate that was not asked before, so that its maximum
    is exact. No candidate is asked twice but by :meth:`replicate`.

    The same pool, seed, tells and asks give the same indices, bit for bit, on any number of
    threads. A search in another process goes on exactly where this one is after the same tells
    and :meth:`restore`.

    Args:
        pool: (N, D) features of the candidates; constant columns are dropped, the others
            standardised. Candidates may share a row of features: they are told apart by index.
        seed: of all draws.
        acquisition: "qlognei", log noisy expected improvement; "ucb", mean + kappa SDs;
            "thompson", maxima of joint posterior samples; "random", uniform among the unasked, to
            compare with.
        noise: known SD of one evaluation; None estimates it, from replicates where there are any.
        initial: candidates to be asked before all others.
        kappa: of "ucb".
        threads: to compute on.

    Raises:
        SettingError: an empty pool or one that holds NaN, or a setting out of range.
        UnknownNameError: no such acquisition.

    >>> search = PoolSearch([[x / 10] for x in range(11)], seed=1)
    >>> for _ in range(7):
    ...     index = search.ask()[0]
    ...     search.tell(index, -((index - 6) ** 2))
    >>> search.recommend()
    6
    """

    def __init__(
        self,
        pool: npt.ArrayLike,
        *,
        seed: int = 0,
        acquisition: str = "qlognei",
        noise: float | None = None,
        initial: Iterable[int] = (),
        kappa: float = 2.0,
        threads: int = 1,
    ) -> None:
        checked_acquisition(acquisition, ACQUISITIONS)
        if not (math.isfinite(kappa) and kappa >= 0):
            raise SettingError(f"kappa {kappa} is not a finite number of at least 0: give 2 say")
        self._kappa = float(kappa)
        super().__init__(
            checked_pool(pool),
            seed=seed,
            acquisition=acquisition,
            noise=noise,
            initial=initial,
            threads=threads,
        )

    def _wanted(
        self, waiting: npt.NDArray[np.int64], free: Allowed, count: int, seed: int
    ) -> list[int]:
        posterior = self._model.posterior(self._ledger.tells)
        if self._acquisition == "ucb":
            return upper_bound_picks(posterior, waiting, free, count, seed, self._kappa)
        if self._acquisition == "thompson":
            return thompson_picks(posterior, free, count, seed, self._threads)
        return noisy_improvement_picks(posterior, waiting, free, count, seed, self._threads)

    def _repeated(self, posterior: Posterior, allowed: Allowed, count: int, seed: int) -> list[int]:
        return top_two_picks(posterior, allowed, count, seed)
