"""Bayesian optimisation of two objectives over a finite pool, the second of which is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import numpy as np
import numpy.typing as npt

from bogp.engines import tradeoff
from bogp.engines.acquisition import Picks
from bogp.engines.features import checked_pool
from bogp.engines.finite import FiniteSearch
from bogp.errors import SettingError
from bogp.types import Floats


@final
class ParetoSearch(FiniteSearch):
    """Find the front of value against a known second objective in a pool, both maximised.

    As :class:`bogp.engines.pool.PoolSearch`, but what is sought is expected improvement of the
    hypervolume. Only the value is noisy and modelled; the second objective (sparsity) is known of
    every candidate (:func:`bogp.engines.acquisition.hypervolume_improvement`).

    Args:
        pool: (N, D) features. The second objective is added as a feature unless it is one.
        second: (N,) the second objective of each candidate.
        reference: the value and second objective from which hypervolume is measured; a candidate
            that is not above both is of no use.
        acquisition: "ehvi", expected improvement of the hypervolume; "random", uniform among the
            unasked; or a function of your own, as for PoolSearch.
        seed, noise, initial, threads: what they are for PoolSearch.

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
        acquisition: str | Picks = "ehvi",
        noise: float | None = None,
        initial: Iterable[int] = (),
        threads: int = 1,
    ) -> None:
        table = checked_pool(pool)
        self._known = known = np.array(second, dtype=np.float64)
        if known.shape != (len(table),) or not np.isfinite(known).all():
            raise SettingError(
                f"the second objective has shape {known.shape}: give one finite number for "
                f"each of {len(table)} candidates"
            )
        if len(reference) != 2 or not np.isfinite(reference).all():
            raise SettingError(f"reference {reference} is no pair of finite numbers: give (0, 0)")
        super().__init__(
            _with_second(table, known),
            seed=seed,
            acquisition=acquisition,
            noise=noise,
            initial=initial,
            threads=threads,
            second=known,
            reference=(float(reference[0]), float(reference[1])),
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
        return np.column_stack((self.posterior(told)[0], self._known[told]))


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
