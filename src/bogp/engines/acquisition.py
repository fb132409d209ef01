"""Which candidates to evaluate next: functions from a posterior to rows of the pool.

Each looks at every candidate that may be asked, so that its maximum is exact, and each accounts
for what is pending (asked and not told yet) and for its own earlier picks. :data:`ACQUISITIONS`
lists those that a search knows by name; any function of the same form can stand for a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from bogp.engines import tradeoff
from bogp.engines.botorch_base import normals
from bogp.engines.improvement import log_noisy_improvement
from bogp.engines.posterior import Posterior
from bogp.engines.samples import (
    MOST_BASELINE,
    Fantasies,
    Rows,
    contenders,
    extended,
    fantasise,
    few_samples,
    joint_samples,
    share_of,
)
from bogp.errors import SettingError, UnknownNameError
from bogp.keys import derive_seed
from bogp.types import BoolArray, Floats

SAMPLES = 128
"""Joint samples of the baseline over which an improvement is averaged."""

FRONT_SAMPLES = 32
"""Joint samples of the baseline over which an improvement of the hypervolume is averaged."""

_PLACE_SAMPLES = 512


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked of an acquisition, besides the posterior.

    Attributes:
        count: how many candidates.
        free: (N,) the candidates that may be chosen.
        pending: candidates whose values are awaited.
        seed: decides all draws.
        threads: how many to compute on.
        kappa: how many standard deviations an upper bound lies above the mean.
        second: (N,) the known second objective, in a search for a front.
        reference: the standardised value and the second objective from which hypervolume is
            measured, in such a search.
    """

    count: int
    free: BoolArray
    pending: Rows
    seed: int
    threads: int = 1
    kappa: float = 2.0
    second: Floats | None = None
    reference: tuple[float, float] = (0.0, 0.0)

    def front(self) -> Floats:
        """Return the second objective.

        Raises:
            SettingError: the search has one objective.
        """
        if self.second is None:
            raise SettingError("the search has one objective and no front: use ParetoSearch")
        return self.second


Picks = Callable[[Posterior, Request], list[int]]
"""Gives ``count`` different free candidates, the best first."""


@dataclass(frozen=True)
class Acquisition:
    """An acquisition that a search knows by name.

    Attributes:
        picks: the function; None for uniform draws, which need no posterior.
        objectives: whether it is for searches of one objective, of two, or of both.
        help: what it chooses, in one line.
    """

    name: str
    picks: Picks | None
    objectives: tuple[int, ...]
    help: str


def expected_improvement(posterior: Posterior, request: Request) -> list[int]:
    """Return candidates one by one of highest log noisy expected improvement.

    The baseline is what was told, less what is never the best in 1,024 joint samples, and what is
    pending. Each pick joins it before the next is sought, with a sampled value of its own: the
    greedy batch of qLogNEI.
    """

    def score(known: Fantasies, baseline: Rows) -> Floats:
        scores: Floats = log_noisy_improvement(known, request.threads).numpy()
        return scores

    return _greedy(posterior, request, contenders(posterior, request.seed), SAMPLES, score)


def upper_bound(posterior: Posterior, request: Request) -> list[int]:
    """Return candidates one by one of highest mean + kappa SDs (GP-UCB).

    What is pending is taken to come out at its mean: the means stay and the deviations shrink
    (GP-BUCB, Desautels, Krause and Burdick 2014), the noise of its evaluation included. Srinivas
    et al. (2010) write kappa as the root of beta.
    """
    loading, variance = posterior.mean.new_zeros(len(posterior.mean), 0), posterior.variance
    free, picks, waiting = request.free.copy(), list[int](), request.pending.tolist()
    while True:
        for row in waiting:
            column, _ = share_of(posterior, loading, variance, row, posterior.one_noise)
            loading = torch.cat((loading, column.unsqueeze(1)), 1)
            variance = (variance - column * column).clamp_(min=0.0)
        if len(picks) == request.count:
            return picks
        bound = posterior.mean + request.kappa * variance.sqrt()
        waiting = [highest(bound.numpy(), free, request.seed, len(picks))]
        picks += waiting
        free[waiting] = False


def thompson(posterior: Posterior, request: Request) -> list[int]:
    """Return the maxima of as many joint posterior samples over the free candidates, distinct.

    Samples are independent of each other, which is what spreads a batch and keeps it from what is
    pending (Kandasamy et al. 2018). A maximum that was picked before gives way to the next best.
    """
    rows, seed = np.flatnonzero(request.free), request.seed
    samples = joint_samples(
        posterior, rows, request.count, derive_seed(seed, "thompson"), request.threads
    )
    free, picks = np.ones(len(rows), dtype=bool), list[int]()
    for turn in range(request.count):
        chosen = highest(samples[:, turn].numpy(), free, seed, turn)
        free[chosen] = False
        picks.append(int(rows[chosen]))
    return picks


def hypervolume_improvement(posterior: Posterior, request: Request) -> list[int]:
    """Return candidates one by one of highest expected improvement of the hypervolume.

    Given the front it is exact (:func:`bogp.engines.tradeoff.expected_improvement`). The front of
    noisy values is uncertain itself: the improvement is averaged over joint samples of it, with
    what is pending in each (the idea of NEHVI, Daulton, Balandat and Bakshy 2021, arXiv
    2105.08195).
    """
    second = request.front()
    chance = _front_chance(posterior, request, derive_seed(request.seed, "contenders"))
    order = np.argsort(-chance, kind="stable")[:MOST_BASELINE]
    rows = posterior.told.numpy()[np.sort(order[chance[order] > 0])]

    def score(known: Fantasies, baseline: Rows) -> Floats:
        means = known.at(slice(None)).numpy()  # (N, S)
        deviations = known.variance.sqrt().numpy()
        gain = np.zeros(len(means))
        for sample in range(FRONT_SAMPLES):
            points = np.column_stack((means[baseline, sample], second[baseline]))
            gain += tradeoff.expected_improvement(
                means[:, sample], deviations, second, points, request.reference
            )
        return gain

    return _greedy(posterior, request, rows, FRONT_SAMPLES, score)


ACQUISITIONS = {
    found.name: found
    for found in (
        Acquisition(
            "qlognei", expected_improvement, (1,), "log noisy expected improvement of the best"
        ),
        Acquisition("ucb", upper_bound, (1,), "mean + kappa standard deviations"),
        Acquisition("thompson", thompson, (1,), "maxima of joint posterior samples"),
        Acquisition(
            "ehvi", hypervolume_improvement, (2,), "expected improvement of the hypervolume"
        ),
        Acquisition("random", None, (1, 2), "uniform draws, to compare with"),
    )
}


def acquisitions_for(objectives: int) -> dict[str, Acquisition]:
    """Return the acquisitions of searches of one objective, or of two.

    >>> list(acquisitions_for(2))
    ['ehvi', 'random']
    """
    return {name: found for name, found in ACQUISITIONS.items() if objectives in found.objectives}


POOL_ACQUISITIONS = acquisitions_for(1)
"""What :class:`bogp.engines.pool.PoolSearch` knows by name."""


def picks_of(acquisition: str | Picks, objectives: int) -> Picks | None:
    """Return the function of an acquisition, by its name or given as one; None for uniform draws.

    Raises:
        UnknownNameError: no acquisition of that name for so many objectives.
    """
    if callable(acquisition):
        return acquisition
    known = acquisitions_for(objectives)
    if acquisition not in known:
        raise UnknownNameError("acquisition", acquisition, known)
    return known[acquisition].picks


def best_arm(posterior: Posterior, request: Request) -> list[int]:
    """Return told candidates whose further evaluation helps most to name the best.

    Top-two Thompson sampling (Russo 2020, "Simple Bayesian Algorithms for Best-Arm
    Identification", Operations Research 68): the best of a joint posterior sample with
    probability a half, else the best of another sample in which a different candidate wins. Here
    the probabilities are computed from 4,096 samples and the picks drawn from them, without
    putting any back.
    """
    told, seed = posterior.told.numpy(), request.seed
    samples = few_samples(posterior, told, 4096, derive_seed(seed, "top-two"))
    wins = np.bincount(samples.argmax(0).numpy(), minlength=len(told)).astype(np.float64)
    # One more sample, shared out by how near each is to the best, for those that never won.
    best = int(torch.argmax(posterior.mean[posterior.told]))
    gap = (posterior.mean[told[best]] - posterior.mean[posterior.told]).numpy()
    spread = (posterior.variance[posterior.told] + posterior.variance[told[best]]).sqrt().numpy()
    near = np.exp(-0.5 * np.minimum(gap / np.maximum(spread, 1e-12), 30.0) ** 2)
    chance = (wins + near / near.sum()) / (wins.sum() + 1.0)
    odds = chance / np.maximum(1.0 - chance, 1e-300)
    others = odds.sum() - odds
    weight = np.where(request.free[told], chance * 0.5 * (1.0 + others), 0.0)
    generator, picks = np.random.default_rng(derive_seed(seed, "top-two", "picks")), list[int]()
    for _ in range(request.count):
        total = np.cumsum(weight)
        chosen = int(np.searchsorted(total, generator.random() * total[-1], side="right"))
        picks.append(int(told[chosen]))
        weight[chosen] = 0.0
    return picks


def doubtful_front(posterior: Posterior, request: Request) -> list[int]:
    """Return told candidates of which it is in doubt whether they are on the front.

    They are those of highest p (1 - p) SD, with p the probability of being on the front: in doubt,
    and with much to learn.
    """
    told = posterior.told.numpy()
    chance = _front_chance(posterior, request, request.seed)
    deviation = posterior.variance[posterior.told].sqrt().numpy()
    # The small addition orders those whose place is certain by what is left to learn.
    doubt = (chance * (1.0 - chance) + 1e-9) * deviation
    order = told[np.argsort(-doubt, kind="stable")]
    picks: list[int] = order[request.free[order]][: request.count].tolist()
    return picks


def highest(scores: Floats, free: BoolArray, seed: int, turn: int) -> int:
    """Return the free row of highest score; of equal ones a seeded draw."""
    masked = np.where(free, scores, -np.inf)
    equal = np.flatnonzero((masked == masked.max()) & free)
    if len(equal) == 1:
        return int(equal[0])
    return int(np.random.default_rng(derive_seed(seed, "equal", turn)).choice(equal))


def _greedy(
    posterior: Posterior,
    request: Request,
    baseline: Rows,
    samples: int,
    score: Callable[[Fantasies, Rows], Floats],
) -> list[int]:
    """Return candidates one by one of highest score.

    The score is of joint samples at a baseline, which each pick and what is pending join.
    """
    waiting = np.setdiff1d(request.pending, posterior.told.numpy())
    baseline, seed = np.concatenate((baseline, waiting)), request.seed
    drawn = normals(samples, len(baseline) + request.count, derive_seed(seed, "baseline"))
    known = fantasise(posterior, baseline, drawn)
    free, picks = request.free.copy(), list[int]()
    for turn in range(request.count):
        if turn:
            known = extended(posterior, known, picks[-1], drawn[:, len(baseline) + turn - 1])
        rows = np.concatenate((baseline, np.array(picks, dtype=np.int64)))
        picks.append(highest(score(known, rows), free, seed, turn))
        free[picks[-1]] = False
    return picks


def _front_chance(posterior: Posterior, request: Request, seed: int) -> Floats:
    """Return the share of joint samples in which each told candidate is on the front, (n,)."""
    told = posterior.told.numpy()
    samples = few_samples(posterior, told, _PLACE_SAMPLES, seed).numpy()
    return tradeoff.front_shares(samples, request.front()[told])
