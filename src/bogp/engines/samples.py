"""Joint samples of a posterior, and what the samples at a few candidates say of all the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bogp.engines.posterior import Posterior, over_blocks, robust_cholesky
from bogp.keys import derive_seed

Rows = npt.NDArray[np.int64]

MOST_BASELINE = 64
"""How many told candidates a baseline holds at most."""

_PRUNING_SAMPLES = 1024
_MOST_SAMPLED = 256
_EXACT_SAMPLE = 1000
_FREQUENCIES = 1024


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
    column, sd = share_of(posterior, known.loading, known.variance, row, 0.0)
    value = known.at(torch.tensor([row])).squeeze(0) + sd * drawn
    return Fantasies(
        known.mean,
        torch.cat((known.loading, column.unsqueeze(1)), 1),
        (known.variance - column * column).clamp_(min=0.0),
        torch.cat((known.normals, drawn.unsqueeze(1)), 1),
        torch.maximum(known.best, value),
    )


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
    rows = posterior.told.numpy()[
        np.sort(np.argsort(-hopes.numpy(), kind="stable")[:_MOST_SAMPLED])
    ]
    samples = few_samples(posterior, rows, _PRUNING_SAMPLES, derive_seed(seed, "contenders"))
    wins = np.bincount(samples.argmax(0).numpy(), minlength=len(rows))
    order = np.argsort(-wins, kind="stable")[:MOST_BASELINE]
    return rows[np.sort(order[wins[order] > 0])]


def share_of(
    posterior: Posterior, loading: Tensor, variance: Tensor, row: int, noise: float
) -> tuple[Tensor, float]:
    """Return what an evaluation of one candidate tells of each other, (N,), and its own SD.

    The first is their covariance over the SD, given what ``loading`` already accounts for.
    """
    sd = max(math.sqrt(float(variance[row]) + noise), 1e-9)
    column = posterior.with_pool(torch.tensor([row])).squeeze(1) - loading @ loading[row]
    return column / sd, sd
