"""Bayesian optimisation over a finite pool of candidates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import numpy.typing as npt

from bogp.engines.acquisition import Picks
from bogp.engines.features import checked_pool
from bogp.engines.finite import FiniteSearch


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
        seed: decides all draws.
        acquisition: "qlognei", log noisy expected improvement; "ucb", mean + kappa SDs;
            "thompson", maxima of joint posterior samples; "random", uniform among the unasked, to
            compare with; or a function of your own, from the posterior and a
            :class:`~bogp.engines.Request` to the candidates to ask.
        noise: known SD of one evaluation; None estimates it, from replicates where there are any.
        initial: candidates to be asked before all others.
        kappa: how many SDs above the mean the bound of "ucb" lies.
        threads: how many to compute on.

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
        acquisition: str | Picks = "qlognei",
        noise: float | None = None,
        initial: Iterable[int] = (),
        kappa: float = 2.0,
        threads: int = 1,
    ) -> None:
        super().__init__(
            checked_pool(pool),
            seed=seed,
            acquisition=acquisition,
            noise=noise,
            initial=initial,
            kappa=kappa,
            threads=threads,
        )
