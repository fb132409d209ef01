"""What every search over a finite pool shares: its beginning, its ledger, its surrogate."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from bogp.cores import torch_threads
from bogp.engines.design import spread
from bogp.engines.ledger import Ledger
from bogp.engines.model import Model, restored
from bogp.engines.surrogate import Posterior, standardise
from bogp.engines.tells import raw_means
from bogp.errors import SettingError, UnknownNameError
from bogp.keys import derive_seed
from bogp.types import Floats

Allowed = npt.NDArray[np.bool_]

FEWEST, MOST = 4, 8
"""Between so many candidates, one more than there are features, begin a search."""


class FiniteSearch(abc.ABC):
    """Ask and tell over a finite pool; see :class:`bogp.engines.pool.PoolSearch` for the use.

    A subclass says which candidates the surrogate wants (:meth:`_wanted`) and which told ones are
    worth another evaluation (:meth:`_repeated`).
    """

    def __init__(
        self,
        features: Floats,  # (N, D) finite
        *,
        seed: int,
        acquisition: str,
        noise: float | None,
        initial: Iterable[int],
        threads: int,
        second: Floats | None = None,
    ) -> None:
        if noise is not None and not (math.isfinite(noise) and noise >= 0):
            raise SettingError(
                f"noise {noise} is not a finite number of at least 0: give the standard deviation "
                "of one evaluation, or None to estimate it"
            )
        if threads < 1:
            raise SettingError(f"threads = {threads}: give at least 1")
        self._seed, self._acquisition, self._threads = int(seed), acquisition, threads
        self._features = standardise(features)
        self._ledger = Ledger(len(features), initial)
        self._model = Model(self._features, noise, second, threads)

    @property
    def pending(self) -> tuple[int, ...]:
        """Candidates that were asked and neither told nor forgotten, in the order of asking."""
        return self._ledger.pending

    @property
    def told(self) -> tuple[int, ...]:
        """Candidates with at least one tell, in the order of their first."""
        return self._ledger.told

    def ask(self, q: int = 1) -> list[int]:
        """Return ``q`` candidates to evaluate next, never told nor pending, and hold them pending.

        The ``initial`` ones come first; then, until there is something to model, candidates spread
        over the pool; then what the acquisition wants, each pick knowing of the ones before it.

        Raises:
            SettingError: fewer than q are left.
        """
        ledger = self._ledger
        ledger.room(q, int(ledger.free.sum()), f"of {ledger.size} candidates are left to be asked")
        picks = ledger.next_initial(q)
        seed = derive_seed(self._seed, "ask", ledger.asks, len(ledger.tells))
        if self._acquisition == "random":
            picks += self._unordered(picks, q - len(picks))
        else:
            picks += self._opening(picks, q - len(picks))
            if len(picks) < q:
                with torch_threads(1):
                    self._model.commit(ledger.tells)
                    waiting = np.array([*ledger.pending, *picks], dtype=np.int64)
                    picks += self._wanted(waiting, self._free(picks), q - len(picks), seed)
        ledger.open(picks)
        return picks

    def replicate(self, q: int = 1) -> list[int]:
        """Return ``q`` told candidates most worth another evaluation, and hold them pending.

        Raises:
            SettingError: fewer than q are told and not pending.
        """
        ledger = self._ledger
        allowed = ledger.repeatable
        ledger.room(q, int(allowed.sum()), "candidates are told and not pending")
        seed = derive_seed(self._seed, "replicate", ledger.asks, len(ledger.tells))
        with torch_threads(1):
            self._model.commit(ledger.tells)
            picks = self._repeated(self._model.posterior(ledger.tells), allowed, q, seed)
        ledger.open(picks)
        return picks

    def tell(self, index: SupportsIndex, value: float, variance: float | None = None) -> None:
        """Tell the value of a candidate, asked or not; one told again is a replicate.

        Args:
            index: row of the pool.
            value: what was measured; more is better.
            variance: of this value, where it is known; None means the noise of one evaluation.

        Raises:
            SettingError: no such candidate, a value that is not finite, a variance below 0.
        """
        self._ledger.tell(index, value, variance)

    def forget(self, index: SupportsIndex) -> None:
        """Say that a pending candidate will not be told, its evaluation having failed.

        Unless it was told before it is not asked again: it would be wanted at once. It may still
        be told.
        """
        self._ledger.forget(index)

    def recommend(self) -> int:
        """Return the told candidate of highest posterior mean, not that of the luckiest value.

        Of candidates that the model cannot tell apart (equal features), the one of the higher mean
        value, then the one told first.

        Raises:
            SettingError: nothing is told yet.
        """
        told = list(self.told)
        if not told:
            raise SettingError("nothing is told yet: tell a value before asking for the best")
        means, values = self._standardised_means(), raw_means(self._ledger.tells)
        # Means of equal features may differ in their last bits.
        return max(told, key=lambda index: (round(float(means[index]), 9), values[index]))

    def posterior(self, indices: Sequence[int] | None = None) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the noiseless value, all (N,) or of ``indices``.

        In units of the values. Looking changes nothing of what is asked later. Before two values
        are told the deviation is 1: their scale is not known.
        """
        with torch_threads(1):
            found = self._model.posterior(self._ledger.tells)
        scale = self._model.fit(self._ledger.tells).scaling
        means = found.mean.numpy() * scale.scale + scale.centre
        deviations = found.variance.sqrt().numpy() * scale.scale
        if indices is None:
            return means, deviations
        rows = np.array([self._ledger.checked(index) for index in indices], dtype=np.int64)
        return means[rows], deviations[rows]

    def state(self) -> dict[str, Any]:
        """Return all that later asks depend on besides the tells, in JSON's types."""
        fit = self._model.committed
        return {**self._ledger.state(), "fit": None if fit is None else fit.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as the search whose :meth:`state` this is would have, after the same tells.

        Tell everything again in the same order first, also what was told after the state was
        written.

        Raises:
            SettingError: a state of another pool or version, or too few tells.
        """
        self._ledger.restore(state)
        fit = state["fit"]
        self._model.restore(None if fit is None else restored(fit))

    @abc.abstractmethod
    def _wanted(
        self, waiting: npt.NDArray[np.int64], free: Allowed, count: int, seed: int
    ) -> list[int]:
        """Return ``count`` free candidates, given those waiting for their values."""

    @abc.abstractmethod
    def _repeated(self, posterior: Posterior, allowed: Allowed, count: int, seed: int) -> list[int]:
        """Return ``count`` told candidates to evaluate again."""

    def _standardised_means(self) -> Floats:
        with torch_threads(1):
            means: Floats = self._model.posterior(self._ledger.tells).mean.numpy()
        return means

    def _free(self, picks: Sequence[int]) -> Allowed:
        free = self._ledger.free
        free[list(picks)] = False
        return free

    def _opening(self, picks: Sequence[int], count: int) -> list[int]:
        """Return what is still wanted of the candidates that a search begins with."""
        taken = [*self.told, *self.pending, *picks]
        if len(self.told) >= 2:
            enough = max(FEWEST, min(self._features.shape[1] + 1, MOST))
            count = min(count, enough - len(taken))
        if count <= 0:
            return []
        return spread(self._features, taken, self._free(picks), count, self._seed)

    def _unordered(self, picks: Sequence[int], count: int) -> list[int]:
        """Return the next candidates of one seeded order of the pool."""
        order = np.random.default_rng(derive_seed(self._seed, "random")).permutation(
            self._ledger.size
        )
        rows: list[int] = order[self._free(picks)[order]][:count].tolist()
        return rows


def checked_pool(pool: npt.ArrayLike) -> Floats:
    """Return a pool as a float64 table (N, D), or raise.

    Raises:
        SettingError: no candidate, another shape, or a feature that is not finite.
    """
    try:
        table = np.array(pool, dtype=np.float64)
    except (TypeError, ValueError):
        raise SettingError("the pool is not a table of numbers: give one row a candidate") from None
    if table.ndim != 2 or len(table) == 0:
        raise SettingError(
            f"the pool has shape {table.shape}: give (N, D), one row for each of at least one "
            "candidate"
        )
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise SettingError(
            f"candidate {row} of the pool has {table[row, column]} as feature {column}: "
            "leave out such a candidate or such a feature"
        )
    return table


def checked_acquisition(name: str, known: Sequence[str]) -> str:
    """Return the name of an acquisition, or raise :class:`bogp.errors.UnknownNameError`."""
    if name not in known:
        raise UnknownNameError("acquisition", name, known)
    return name
