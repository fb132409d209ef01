"""Which untold candidates to evaluate next: functions from a posterior to rows of the pool.

Each looks at every candidate that may be asked, so that its maximum is exact, and each accounts
for what is pending (asked and not told yet) and for its own earlier picks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bogp.engines.botorch_base import normals
from bogp.engines.surrogate import Posterior, over_blocks, robust_cholesky
from bogp.keys import derive_seed

Rows = npt.NDArray[np.int64]
Allowed = npt.NDArray[np.bool_]

SAMPLES = 128
"""Joint samples of the baseline over which an acquisition is averaged."""

_PRUNING_SAMPLES = 1024
_MOST_BASELINE = 64
_MOST_SAMPLED = 256
_EXACT_SAMPLE = 1000
_FREQUENCIES = 1024
_ROOT_HALF = math.sqrt(0.5)
_ROOT_HALF_PI = math.sqrt(0.5 * math.pi)
_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Fantasies:
    """Joint samples of the noiseless values at a baseline, and what each says of every candidate.

    Given sample s the value at candidate x is normal, of mean ``mean[x] + loading[x] @
    normals[s]`` and variance ``variance[x]``: nothing but the baseline is sampled.
    """

    mean: Tensor  # (N,)
    loading: Tensor  # (N, r)
    variance: Tensor  # (N,) what the baseline leaves, at least 0
    normals: Tensor  # (S, r)
    best: Tensor  # (S,) the highest value of the baseline in each sample

    def at(self, rows: Tensor | slice) -> Tensor:
        """Return the conditional means at some candidates in every sample, (len(rows), S)."""
        return self.mean[rows].unsqueeze(1) + self.loading[rows] @ self.normals.T


def fantasise(posterior: Posterior, baseline: Rows, drawn: Tensor) -> Fantasies:
    """Return joint samples at a baseline made from standard normals (S, r).

    ``drawn`` may have more columns than the baseline has rows: the first r are used.
    """
    rows = torch.from_numpy(baseline)
    covariance = posterior.with_pool(rows)  # (N, r)
    factor = robust_cholesky(covariance[rows])
    loading = torch.linalg.solve_triangular(factor.T, covariance, upper=True, left=False)
    variance = (posterior.variance - (loading * loading).sum(1)).clamp_(min=0.0)
    used = drawn[:, : len(rows)]
    values = posterior.mean[rows].unsqueeze(1) + factor @ used.T
    best = values.max(0).values if len(rows) else torch.full((len(drawn),), -math.inf).double()
    return Fantasies(posterior.mean, loading, variance, used, best)


def extended(posterior: Posterior, known: Fantasies, row: int, drawn: Tensor) -> Fantasies:
    """Return the fantasies with one more candidate in the baseline, sampled by normals (S,)."""
    column, sd = _share(posterior, known.loading, known.variance, row, 0.0)
    value = known.at(torch.tensor([row])).squeeze(0) + sd * drawn
    return Fantasies(
        known.mean,
        torch.cat((known.loading, column.unsqueeze(1)), 1),
        (known.variance - column * column).clamp_(min=0.0),
        torch.cat((known.normals, drawn.unsqueeze(1)), 1),
        torch.maximum(known.best, value),
    )


def log_noisy_improvement(known: Fantasies, threads: int = 1) -> Tensor:
    """Return the logarithm of the expected improvement over the baseline of each candidate, (N,).

    The baseline's values are noisy, so the best of them is uncertain: the improvement is averaged
    over their joint samples, and in each sample its expectation over the candidate's own value is
    in closed form (Letham et al. 2019, arXiv 1706.07094). It is what BoTorch's
    ``qLogNoisyExpectedImprovement`` estimates (Ament et al. 2023, arXiv 2310.20708), without the
    part of the sampling error that comes from the candidate.
    """
    result = torch.empty_like(known.mean)

    def block(part: slice) -> None:
        sd = known.variance[part].sqrt().clamp_(min=1e-12).unsqueeze(1)
        z = (known.at(part) - known.best) / sd
        plain = improvement(z).mean(1)
        gain = plain.log()
        # Where every sample underflows, or nearly, the logarithms themselves are summed.
        lost = (plain < 1e-280).nonzero().squeeze(1)
        if len(lost):
            gain[lost] = torch.logsumexp(log_improvement(z[lost]), 1) - math.log(z.shape[1])
        result[part] = gain + sd.squeeze(1).log()

    over_blocks(block, len(result), threads)
    return result


def improvement(z: Tensor) -> Tensor:
    """Return φ(z) + z Φ(z), the expectation of max(0, z + a standard normal).

    For z below 0 it is φ(z) times one less Mills' ratio times |z|, which keeps its digits where
    the sum of the two terms would lose them; above 0 it is z more than at -z.
    """
    far = z.abs()
    share = torch.special.erfcx(far * _ROOT_HALF).mul_(far).mul_(-_ROOT_HALF_PI).add_(1.0)
    density = (far * far).mul_(-0.5).sub_(_LOG_ROOT_TWO_PI).exp_()
    return density.mul_(share).clamp_(min=0.0).add_(z.clamp(min=0.0))


def log_improvement(z: Tensor) -> Tensor:
    """Return the logarithm of :func:`improvement`, also where that underflows."""
    far = (-z).clamp(min=1.0)
    share = 1.0 - _ROOT_HALF_PI * far * torch.special.erfcx(far * _ROOT_HALF)
    # Far out the difference keeps no digit, and 1 / z^2 (1 - 3 / z^2) is as good as exact.
    series = torch.log1p(-3.0 / (far * far).clamp(min=1e4)) - 2.0 * far.log()
    tail = torch.where(far < 300.0, share.clamp(min=1e-300).log(), series)
    low = -0.5 * far * far - _LOG_ROOT_TWO_PI + tail
    return torch.where(z < -1.0, low, improvement(z.clamp(min=-1.0)).log())


def noisy_improvement_picks(
    posterior: Posterior,
    pending: Rows,
    allowed: Allowed,
    count: int,
    seed: int,
    threads: int = 1,
) -> list[int]:
    """Return ``count`` candidates, one by one of highest log noisy expected improvement.

    The baseline is what was told, less what is never the best in 1,024 joint samples, and what is
    pending. Each pick joins it before the next is sought, with a sampled value of its own: the
    greedy batch of qLogNEI.
    """
    baseline = np.concatenate(
        (contenders(posterior, seed), np.setdiff1d(pending, _told(posterior)))
    )
    drawn = normals(SAMPLES, len(baseline) + count, derive_seed(seed, "baseline"))
    known = fantasise(posterior, baseline, drawn)
    free, picks = allowed.copy(), list[int]()
    for turn in range(count):
        if turn:
            known = extended(posterior, known, picks[-1], drawn[:, len(baseline) + turn - 1])
        picks.append(highest(log_noisy_improvement(known, threads).numpy(), free, seed, turn))
        free[picks[-1]] = False
    return picks


def upper_bound_picks(
    posterior: Posterior,
    pending: Rows,
    allowed: Allowed,
    count: int,
    seed: int,
    kappa: float = 2.0,
) -> list[int]:
    """Return ``count`` candidates, one by one of highest mean + kappa SDs (GP-UCB).

    What is pending is taken to come out at its mean: the means stay and the deviations shrink
    (GP-BUCB, Desautels, Krause and Burdick 2014), the noise of its evaluation included. Srinivas
    et al. (2010) write kappa as the root of beta.
    """
    loading, variance = posterior.mean.new_zeros(len(posterior.mean), 0), posterior.variance
    free, picks, waiting = allowed.copy(), list[int](), [int(row) for row in pending]
    while True:
        for row in waiting:
            column, _ = _share(posterior, loading, variance, row, posterior.one_noise)
            loading = torch.cat((loading, column.unsqueeze(1)), 1)
            variance = (variance - column * column).clamp_(min=0.0)
        if len(picks) == count:
            return picks
        bound = posterior.mean + kappa * variance.sqrt()
        waiting = [highest(bound.numpy(), free, seed, len(picks))]
        picks += waiting
        free[waiting] = False


def thompson_picks(
    posterior: Posterior, allowed: Allowed, count: int, seed: int, threads: int = 1
) -> list[int]:
    """Return the maxima of ``count`` joint posterior samples over the allowed candidates, distinct.

    Samples are independent of each other, which is what spreads a batch and keeps it from what is
    pending (Kandasamy et al. 2018). A maximum that was picked before gives way to the next best.
    """
    rows = np.flatnonzero(allowed)
    samples = joint_samples(posterior, rows, count, derive_seed(seed, "thompson"), threads)
    free, picks = np.ones(len(rows), dtype=bool), list[int]()
    for turn in range(count):
        chosen = highest(samples[:, turn].numpy(), free, seed, turn)
        free[chosen] = False
        picks.append(int(rows[chosen]))
    return picks


def joint_samples(
    posterior: Posterior, rows: Rows, count: int, seed: int, threads: int = 1
) -> Tensor:
    """Return joint samples of the noiseless values at some candidates, (len(rows), count).

    Exact, by the factor of their covariance, up to 1,000 candidates. Beyond, a sample of the prior
    made of 1,024 random frequencies is corrected by what was told (Matheron's rule; Wilson et al.
    2020, arXiv 2002.09309): the correction is exact, the prior's covariance nearly so.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.from_numpy(rows)
    if len(rows) <= _EXACT_SAMPLE:
        return few_samples(posterior, rows, count, seed)
    features = posterior.inputs.shape[1]
    normal = torch.randn(features, _FREQUENCIES, generator=generator, dtype=torch.float64)
    # The spectrum of a Matérn-5/2 kernel is a multivariate Student t of five degrees of freedom.
    chi = torch.randn(5, _FREQUENCIES, generator=generator, dtype=torch.float64).square().sum(0)
    frequency = normal * (5.0 / chi).sqrt()
    weights = torch.randn(2 * _FREQUENCIES, count, generator=generator, dtype=torch.float64)
    weights = weights / math.sqrt(_FREQUENCIES)

    def prior(inputs: Tensor) -> Tensor:
        angle = inputs @ frequency
        return torch.cos(angle) @ weights[:_FREQUENCIES] + torch.sin(angle) @ weights[_FREQUENCIES:]

    drawn = torch.randn(len(posterior.told), count, generator=generator, dtype=torch.float64)
    effects = torch.randn(len(posterior.mean), count, generator=generator, dtype=torch.float64)
    effects.mul_(math.sqrt(posterior.own))
    seen = prior(posterior.inputs[posterior.told]) + effects[posterior.told]
    seen = seen + posterior.noise.sqrt().unsqueeze(1) * drawn
    correction = posterior.pull.unsqueeze(1) - torch.linalg.solve_triangular(
        posterior.factor, seen, upper=False
    )
    samples = torch.empty(len(rows), count, dtype=torch.float64)

    def block(part: slice) -> None:
        here = chosen[part]
        samples[part] = prior(posterior.inputs[here]) + posterior.white[here] @ correction
        samples[part] += effects[here]

    over_blocks(block, len(rows), threads)
    return samples.add_(posterior.constant)


def few_samples(posterior: Posterior, rows: Rows, count: int, seed: int) -> Tensor:
    """Return exact joint samples of the values at a few candidates, (len(rows), count)."""
    chosen = torch.from_numpy(rows)
    factor = robust_cholesky(posterior.covariance(chosen, chosen))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(rows), count, generator=generator, dtype=torch.float64)
    return posterior.mean[chosen].unsqueeze(1) + factor @ drawn


def contenders(posterior: Posterior, seed: int) -> Rows:
    """Return the told candidates that are the best in some joint sample, at most 64.

    Of more than 256 those of highest mean + 3 SDs are sampled.
    """
    told = posterior.told
    hopes = posterior.mean[told] + 3.0 * posterior.variance[told].sqrt()
    rows = _told(posterior)[np.sort(np.argsort(-hopes.numpy(), kind="stable")[:_MOST_SAMPLED])]
    samples = few_samples(posterior, rows, _PRUNING_SAMPLES, derive_seed(seed, "contenders"))
    wins = np.bincount(samples.argmax(0).numpy(), minlength=len(rows))
    order = np.argsort(-wins, kind="stable")[:_MOST_BASELINE]
    return rows[np.sort(order[wins[order] > 0])]


def top_two_picks(posterior: Posterior, allowed: Allowed, count: int, seed: int) -> list[int]:
    """Return ``count`` told candidates whose further evaluation helps most to name the best.

    Top-two Thompson sampling (Russo 2020, "Simple Bayesian Algorithms for Best-Arm
    Identification", Operations Research 68): the best of a joint posterior sample with
    probability a half, else the best of another sample in which a different candidate wins. Here
    the probabilities are computed from 4,096 samples and the picks drawn from them, without
    putting any back.
    """
    told = _told(posterior)
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
    weight = np.where(allowed[told], chance * 0.5 * (1.0 + others), 0.0)
    generator, picks = np.random.default_rng(derive_seed(seed, "top-two", "picks")), list[int]()
    for _ in range(count):
        total = np.cumsum(weight)
        chosen = int(np.searchsorted(total, generator.random() * total[-1], side="right"))
        picks.append(int(told[chosen]))
        weight[chosen] = 0.0
    return picks


def highest(scores: npt.NDArray[np.float64], free: Allowed, seed: int, turn: int) -> int:
    """Return the free row of highest score; of equal ones a seeded draw."""
    masked = np.where(free, scores, -np.inf)
    equal = np.flatnonzero((masked == masked.max()) & free)
    if len(equal) == 1:
        return int(equal[0])
    return int(np.random.default_rng(derive_seed(seed, "equal", turn)).choice(equal))


def _share(
    posterior: Posterior, loading: Tensor, variance: Tensor, row: int, noise: float
) -> tuple[Tensor, float]:
    """Return what an evaluation of one candidate tells of each other, (N,), and its own SD.

    The first is their covariance over the SD, given what ``loading`` already accounts for.
    """
    sd = max(math.sqrt(float(variance[row]) + noise), 1e-9)
    column = posterior.with_pool(torch.tensor([row])).squeeze(1) - loading @ loading[row]
    return column / sd, sd


def _told(posterior: Posterior) -> Rows:
    rows: Rows = posterior.told.numpy()
    return rows
