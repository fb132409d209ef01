"""What every search over a finite pool shares: what was asked and told, and how it goes on."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from bogp.cores import torch_threads
from bogp.engines.acquisition import Picks, Request, best_arm, doubtful_front, picks_of
from bogp.engines.design import spread
from bogp.engines.evaluations import Evaluation, raw_means
from bogp.engines.features import standardise
from bogp.engines.surrogate import Fit, Surrogate
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.types import BoolArray, Floats

FEWEST, MOST = 4, 8
"""Between so many candidates, one more than there are features, begin a search."""

STATE_VERSION = 1


class FiniteSearch:
    """Ask and tell over a finite pool; see :class:`bogp.engines.pool.PoolSearch` for the use.

    It is abstract: PoolSearch and ParetoSearch are the two searches there are.
    """

    def __init__(
        self,
        features: Floats,  # (N, D) finite
        *,
        seed: int,
        acquisition: str | Picks,
        noise: float | None,
        initial: Iterable[int],
        threads: int,
        kappa: float = 2.0,
        second: Floats | None = None,  # (N,)
        reference: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        if noise is not None and not (math.isfinite(noise) and noise >= 0):
            raise SettingError(
                f"noise {noise} is not a finite number of at least 0: give the standard deviation "
                "of one evaluation, or None to estimate it"
            )
        if threads < 1:
            raise SettingError(f"threads = {threads}: give at least 1")
        if not (math.isfinite(kappa) and kappa >= 0):
            raise SettingError(f"kappa {kappa} is not a finite number of at least 0: give 2 say")
        self._picks = picks_of(acquisition, 1 if second is None else 2)
        self._replicates = best_arm if second is None else doubtful_front
        self._seed, self._threads, self._kappa = int(seed), threads, float(kappa)
        self._second, self._reference = second, reference
        self._features = standardise(features)
        self._surrogate = Surrogate(self._features, noise, second, threads)
        self._evaluations: list[Evaluation] = []
        self._asks = 0
        self._told: dict[int, None] = {}  # sets that keep their order
        self._pending: dict[int, None] = {}
        self._forgotten: dict[int, None] = {}
        self._initial = tuple(self._checked(index) for index in initial)
        if len(set(self._initial)) < len(self._initial):
            raise SettingError(f"initial {list(self._initial)} names a candidate twice")

    @property
    def pending(self) -> tuple[int, ...]:
        """Candidates that were asked and neither told nor forgotten, in the order of asking."""
        return tuple(self._pending)

    @property
    def told(self) -> tuple[int, ...]:
        """Candidates with at least one tell, in the order of their first."""
        return tuple(self._told)

    def ask(self, q: int = 1) -> list[int]:
        """Return ``q`` candidates to evaluate next, never told nor pending, and hold them pending.

        The ``initial`` ones come first; then, until there is something to model, candidates spread
        over the pool; then what the acquisition wants, each pick knowing of the ones before it.

        Raises:
            SettingError: fewer than q are left, or an acquisition of yours gave others than q
                different free candidates.
        """
        free = self._free()
        _check_count(q, int(free.sum()), f"of {self._size} candidates are left to be asked")
        picks = [index for index in self._initial if free[index]][:q]
        if self._picks is None:
            picks += self._unordered(picks, q - len(picks))
        else:
            picks += self._opening(picks, q - len(picks))
            if len(picks) < q:
                picks += self._wanted("ask", self._picks, self._free(picks), q - len(picks), picks)
        return self._asked(picks)

    def replicate(self, q: int = 1) -> list[int]:
        """Return ``q`` told candidates most worth another evaluation, and hold them pending.

        Raises:
            SettingError: fewer than q are told and not pending.
        """
        allowed = np.zeros(self._size, dtype=bool)
        allowed[list(self._told)] = True
        allowed[list(self._pending)] = False
        _check_count(q, int(allowed.sum()), "candidates are told and not pending")
        return self._asked(self._wanted("replicate", self._replicates, allowed, q))

    def tell(self, index: SupportsIndex, value: float, variance: float | None = None) -> None:
        """Tell the value of a candidate, asked or not; one told again is a replicate.

        Args:
            index: row of the pool.
            value: what was measured; more is better.
            variance: how uncertain this value is, where that is known; None means the noise of
                one evaluation.

        Raises:
            SettingError: no such candidate, a value that is not finite, a variance below 0.
        """
        row = self._checked(index)
        if not math.isfinite(value):
            raise SettingError(
                f"value {value} of candidate {row} is not finite: call forget({row}) where an "
                "evaluation has failed"
            )
        if variance is not None and not (math.isfinite(variance) and variance >= 0):
            raise SettingError(
                f"variance {variance} of candidate {row} is not a finite number of at least 0: "
                "leave it out where it is not known"
            )
        known = None if variance is None else float(variance)
        self._evaluations.append(Evaluation(row, float(value), known))
        self._told[row] = None
        self._pending.pop(row, None)
        self._forgotten.pop(row, None)

    def forget(self, index: SupportsIndex) -> None:
        """Say that a pending candidate will not be told, its evaluation having failed.

        Unless it was told before it is not asked again: it would be wanted at once. It may still
        be told.
        """
        row = self._checked(index)
        self._pending.pop(row, None)
        if row not in self._told:
            self._forgotten[row] = None

    def recommend(self) -> int:
        """Return the told candidate of highest posterior mean, not that of the luckiest value.

        Of candidates that the model cannot tell apart (equal features), the one of the higher mean
        value, then the one told first.

        Raises:
            SettingError: nothing is told yet.
        """
        if not self._told:
            raise SettingError("nothing is told yet: tell a value before asking for the best")
        with torch_threads(1):
            means = self._surrogate.posterior(self._evaluations).mean.numpy()
        values = raw_means(self._evaluations)
        # Means of equal features may differ in their last bits.
        return max(self._told, key=lambda index: (round(float(means[index]), 9), values[index]))

    def posterior(self, indices: Sequence[int] | None = None) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the noiseless value, all (N,) or of ``indices``.

        In units of the values. Looking changes nothing of what is asked later. Before two values
        are told the deviation is 1: their scale is not known.
        """
        with torch_threads(1):
            found = self._surrogate.posterior(self._evaluations)
        scale = self._surrogate.fit(self._evaluations).scaling
        means = found.mean.numpy() * scale.scale + scale.centre
        deviations = found.variance.sqrt().numpy() * scale.scale
        if indices is None:
            return means, deviations
        rows = np.array([self._checked(index) for index in indices], dtype=np.int64)
        return means[rows], deviations[rows]

    def state(self) -> dict[str, Any]:
        """Return all that later asks depend on besides the tells, in JSON's types."""
        fit = self._surrogate.committed
        return {
            "version": STATE_VERSION,
            "size": self._size,
            "tells": len(self._evaluations),
            "asks": self._asks,
            "pending": list(self._pending),
            "forgotten": list(self._forgotten),
            "fit": None if fit is None else fit.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as the search whose :meth:`state` this is would have, after the same tells.

        Tell everything again in the same order first, also what was told after the state was
        written; that is no longer pending.

        Raises:
            SettingError: a state of another pool or version, or too few tells.
        """
        told = len(self._evaluations)
        if state.get("version") != STATE_VERSION:
            raise SettingError(
                f"the state is of version {state.get('version')!r}, not {STATE_VERSION}: "
                "begin a new search, or use the version of bogp that wrote it"
            )
        if state["size"] != self._size:
            raise SettingError(
                f"the state is of a pool of {state['size']} candidates, not {self._size}: "
                "give the pool that the search began with"
            )
        if state["tells"] > told:
            raise SettingError(
                f"the state was written after {state['tells']} tells and {told} are "
                "told: tell all of them again first, in the same order"
            )
        later = {evaluation.index for evaluation in self._evaluations[state["tells"] :]}
        self._asks = int(state["asks"])
        self._pending = {int(i): None for i in state["pending"] if i not in later}
        self._forgotten = {int(i): None for i in state["forgotten"] if i not in later}
        self._surrogate.restore(None if state["fit"] is None else Fit.of(state["fit"]))

    @property
    def _size(self) -> int:
        return len(self._features)

    def _free(self, picks: Sequence[int] = ()) -> BoolArray:
        """Return which candidates may be asked: never asked nor told, and not picked; (N,)."""
        free = np.ones(self._size, dtype=bool)
        free[[*self._told, *self._pending, *self._forgotten, *picks]] = False
        return free

    def _asked(self, picks: list[int]) -> list[int]:
        """Note that candidates are asked together, and return them."""
        self._asks += 1
        self._pending.update(dict.fromkeys(picks))
        return picks

    def _wanted(
        self, purpose: str, choose: Picks, free: BoolArray, count: int, picks: Sequence[int] = ()
    ) -> list[int]:
        """Return what an acquisition chooses, given what is pending or picked already."""
        with torch_threads(1):
            self._surrogate.commit(self._evaluations)
            scale = self._surrogate.fit(self._evaluations).scaling
            request = Request(
                count=count,
                free=free.copy(),
                pending=np.array([*self._pending, *picks], dtype=np.int64),
                seed=derive_seed(self._seed, purpose, self._asks, len(self._evaluations)),
                threads=self._threads,
                kappa=self._kappa,
                second=self._second,
                reference=(
                    (self._reference[0] - scale.centre) / scale.scale,
                    self._reference[1],
                ),
            )
            chosen = choose(self._surrogate.posterior(self._evaluations), request)
        rows = [self._checked(index) for index in chosen]
        if len(set(rows)) != count or len(rows) != count or not free[rows].all():
            raise SettingError(
                f"acquisition {choose} chose {rows}: give {count} different candidates that are "
                "free"
            )
        return rows

    def _opening(self, picks: Sequence[int], count: int) -> list[int]:
        """Return what is still wanted of the candidates that a search begins with."""
        taken = [*self._told, *self._pending, *picks]
        if len(self._told) >= 2:
            enough = max(FEWEST, min(self._features.shape[1] + 1, MOST))
            count = min(count, enough - len(taken))
        if count <= 0:
            return []
        return spread(self._features, taken, self._free(picks), count, self._seed)

    def _unordered(self, picks: Sequence[int], count: int) -> list[int]:
        """Return the next candidates of one seeded order of the pool."""
        order = np.random.default_rng(derive_seed(self._seed, "random")).permutation(self._size)
        rows: list[int] = order[self._free(picks)[order]][:count].tolist()
        return rows

    def _checked(self, index: SupportsIndex) -> int:
        """Return an index as an int, or raise where the pool has no such row."""
        try:
            row = operator.index(index)
        except TypeError:
            raise SettingError(f"index {index!r} is not an integer: give a row number") from None
        if not 0 <= row < self._size:
            raise SettingError(
                f"index {row} is not in the pool: give a row number from 0 to {self._size - 1}"
            )
        return row


def _check_count(count: int, available: int, what: str) -> None:
    if count < 1:
        raise SettingError(f"q = {count}: ask for at least 1 candidate")
    if count > available:
        raise SettingError(f"q = {count}, but {available} {what}: ask for at most so many")
