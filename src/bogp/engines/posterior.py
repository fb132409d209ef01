"""The surrogate: the posterior of a Gaussian process at every candidate of a finite pool."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bogp.engines.fitting import Hyperparameters, Summary, distances, matern

BLOCK = 1024
"""Candidates worked on at once. Part of the result: another block may round differently."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of the noiseless standardised value at every candidate: a normal distribution.

    With K the prior covariance of the told candidates and their noise and L its Cholesky factor,
    ``white`` is k(pool, told) L^-T: the posterior covariance of any two candidates is their prior
    covariance less the product of their rows.
    """

    inputs: Tensor  # (N, D) features over their length scales
    told: Tensor  # (n,) rows that were told
    white: Tensor  # (N, n)
    mean: Tensor  # (N,)
    variance: Tensor  # (N,) at least 0
    pull: Tensor  # (n,) L^-1 (values - mean)
    factor: Tensor  # (n, n) L
    noise: Tensor  # (n,) variance of what was told of each
    one_noise: float  # variance of one further evaluation
    constant: float  # the prior mean
    own: float = 0.0  # prior variance of a candidate's own effect

    def covariance(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the posterior covariance of two sets of candidates, (len(left), len(right))."""
        prior = matern(distances(self.inputs[left], self.inputs[right]))
        prior.add_((left.unsqueeze(1) == right).to(prior.dtype), alpha=self.own)
        return prior.addmm_(self.white[left], self.white[right].T, alpha=-1.0)

    def with_pool(self, right: Tensor) -> Tensor:
        """Return the posterior covariance of the whole pool and some candidates, (N, k)."""
        prior = matern(distances(self.inputs, self.inputs[right]))
        prior[right, torch.arange(len(right))] += self.own
        return prior.addmm_(self.white, self.white[right].T, alpha=-1.0)


@final
class Factors:
    """Cholesky factor and whitened covariances of the told candidates, which grow by one at a time.

    They depend on the features, the hyperparameters and the variances of what was told, not on the
    values. A further candidate adds a row and a column for the price of a product with a vector; a
    replicate, which changes a variance, needs new factors.

    Growing rounds differently from computing all at once. What is computed at once and what is
    grown must therefore be the same whichever way a search came to its tells: the caller begins
    with the same ``variances`` and then grows one by one. Nor do the bits depend on the number of
    threads, as the pool is worked on in blocks of fixed size.
    """

    def __init__(
        self,
        inputs: Tensor,  # (N, D) standardised
        rows: Tensor,  # (n,) told candidates
        variances: Tensor,  # (n,) of what was told of each
        given: Hyperparameters,
        threads: int = 1,
    ) -> None:
        self.inputs = inputs / torch.tensor(given.lengths, dtype=torch.float64)
        self.own = given.own
        seen, size = self.inputs[rows], len(rows)
        self.count = size
        self.variance = torch.empty(len(inputs), dtype=torch.float64)
        self._factor = torch.zeros(_capacity(size), _capacity(size), dtype=torch.float64)
        self._white = torch.zeros(len(inputs), _capacity(size), dtype=torch.float64)
        factor = robust_cholesky(matern(distances(seen, seen)) + torch.diag(variances + self.own))
        self._factor[:size, :size] = factor

        def block(part: slice) -> None:
            prior = matern(distances(self.inputs[part], seen))
            here = ((rows >= part.start) & (rows < part.stop)).nonzero().squeeze(1)
            prior[rows[here] - part.start, here] += self.own
            white = torch.linalg.solve_triangular(factor.T, prior, upper=True, left=False)
            self._white[part, :size] = white
            self.variance[part] = 1.0 + self.own - (white * white).sum(1)

        over_blocks(block, len(inputs), threads)

    @property
    def factor(self) -> Tensor:
        """L, (n, n)."""
        return self._factor[: self.count, : self.count]

    @property
    def white(self) -> Tensor:
        """k(pool, told) L^-T, (N, n)."""
        return self._white[:, : self.count]

    def grow(self, row: int, variance: float) -> None:
        """Add one told candidate."""
        size, share = self.count, self.white[row].clone()
        # What the others leave of its variance; never less than its noise, but for rounding.
        left = max(1.0 + self.own + variance - float(share @ share), 0.5 * variance)
        prior = matern(distances(self.inputs, self.inputs[row : row + 1])).squeeze(1)
        prior[row] += self.own
        column = (prior - self.white @ share) / math.sqrt(left)
        if _capacity(size + 1) > len(self._factor):
            more = _capacity(size + 1) - len(self._factor)
            self._factor = torch.nn.functional.pad(self._factor, (0, more, 0, more))
            self._white = torch.nn.functional.pad(self._white, (0, more))
        self._factor[size, :size], self._factor[size, size] = share, math.sqrt(left)
        self._white[:, size] = column
        self.variance = self.variance - column * column
        self.count = size + 1

    def posterior(self, rows: Tensor, summary: Summary, given: Hyperparameters) -> Posterior:
        """Return the posterior given one value for each told candidate."""
        residual = (summary.value - given.mean).unsqueeze(1)
        pull = torch.linalg.solve_triangular(self.factor, residual, upper=False).squeeze(1)
        mean = self.white @ pull + given.mean
        return Posterior(
            self.inputs,
            rows,
            self.white,
            mean,
            self.variance.clamp(min=0.0),
            pull,
            self.factor,
            summary.variance,
            given.noise,
            given.mean,
            given.own,
        )


def _capacity(size: int) -> int:
    """Return how many told candidates to hold room for: part of the result, as it aligns rows."""
    return 64 * (size // 64 + 1)


def robust_cholesky(matrix: Tensor) -> Tensor:
    """Return the factor of a covariance, with the least addition to its diagonal that gives one."""
    largest = float(matrix.diagonal().max()) if len(matrix) else 1.0
    for share in (0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2):
        shifted = matrix + torch.diag(
            torch.full_like(matrix.diagonal(), share * (largest + 1e-300))
        )
        factor, failed = torch.linalg.cholesky_ex(shifted)
        if int(failed) == 0:
            return torch.as_tensor(factor)
    return torch.diag(matrix.diagonal().clamp(min=1e-12).sqrt())


def over_blocks(work: Callable[[slice], None], size: int, threads: int) -> None:
    """Call ``work`` with each block of ``size`` rows, on so many threads."""
    parts = [slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)]
    if threads == 1 or len(parts) == 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(min(threads, len(parts))) as executor:
        list(executor.map(work, parts))
