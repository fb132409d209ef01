"""Hyperparameters of the surrogate: their posterior density in closed form, and its maximum.

The density is that of BoTorch's ``SingleTaskGP`` (Matérn-5/2 of unit amplitude with one length
scale a feature, a constant mean, the priors of ``botorch_base``) times the likelihood of every
single tell. One thing is added: each candidate has an effect of its own that its features do not
tell, independent between candidates, which is what replicates of one candidate can show and
neighbours cannot. Without it a posterior mean could not say which of two graphs with equal
properties is the better. Two things make it fast: replicates enter through their sums, so that the
matrix has one row a candidate, not one a tell (Binois, Gramacy and Ludkovski 2018, arXiv
1611.05902); and the gradient in all length scales costs one product of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from bogp.engines.botorch_base import LOG_TWO_PI, Priors, priors
from bogp.engines.evaluations import Sums
from bogp.types import Floats

_CEILING = math.log(1e6)  # no length scale needs to be longer
_STEPS = 100
_SHORT = 100


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of the surrogate, all of standardised values.

    Attributes:
        lengths: a length scale for each feature as the surrogate sees it (D,).
        noise: the variance of one evaluation.
        mean: the constant mean.
        own: the variance of a candidate's own effect.
    """

    lengths: tuple[float, ...]
    noise: float
    mean: float = 0.0
    own: float = 0.0


@dataclass(frozen=True)
class Summary:
    """One value and one variance for each told candidate at a given noise."""

    value: Tensor  # (n,)
    variance: Tensor  # (n,)
    rest: float  # log density of the tells beyond that of the values
    value_slope: Tensor  # (n,) derivatives by the noise
    variance_slope: Tensor
    rest_slope: float


def default(features: int, known_noise: float | None = None) -> Hyperparameters:
    """Return what is assumed where nothing can be fitted: the modes of the priors."""
    prior = priors(features)
    noise = prior.noise.mode if known_noise is None else known_noise
    return Hyperparameters((prior.length.mode,) * features, noise, own=prior.own.mode)


def fit(
    inputs: Tensor,  # (n, D) of the told candidates
    told: Sums,
    known_noise: float | None = None,
    start: Hyperparameters | None = None,
) -> Hyperparameters:
    """Return the hyperparameters of highest posterior density.

    L-BFGS-B over logarithms, from ``start`` (the last optimum) and from two points of the priors:
    the optimum of a short or noisy record is not always the neighbour of the last one. From more
    than a hundred candidates it is, and ``start`` alone is used. Where no start leads to a finite
    density, ``start`` or the modes of the priors are returned: a search goes on with what it had.
    """
    prior, features = priors(inputs.shape[1]), inputs.shape[1]
    modes = default(features, known_noise)
    medians = Hyperparameters(
        (prior.length.median,) * features,
        prior.noise.median if known_noise is None else known_noise,
        own=prior.own.median,
    )
    estimated = known_noise is None and bool((told.count > 0).any())
    each = [prior.length] * features + [prior.own] + [prior.noise] * estimated
    bounds = [(math.log(one.least), _CEILING) for one in each]

    def given(point: Floats) -> Hyperparameters:
        values = np.exp(point).tolist()
        noise = values[-1] if estimated else modes.noise
        return Hyperparameters(tuple(values[:features]), noise, own=values[features])

    def lost(point: Floats) -> tuple[float, Floats]:
        found = log_density(inputs, told, given(point), prior, estimated)
        if found is None:
            return 1e10, np.zeros_like(point)
        return -found[0] / len(told.rows), -found[1] / len(told.rows)

    best, least = start or modes, np.inf
    starts = [modes, medians] if start is None else [start]
    if start is not None and len(told.rows) <= _SHORT:
        starts += [modes, medians]
    for beginning in starts:
        own = max(beginning.own, prior.own.least)
        theta = np.log([*beginning.lengths, own, *([beginning.noise] * estimated)])
        point, loss = _descend(lost, theta, bounds)
        if np.isfinite(point).all() and loss < min(least, 1e9):
            best, least = given(point), loss
    return _with_mean(inputs, told, best)


def log_density(
    inputs: Tensor,  # (n, D)
    told: Sums,
    given: Hyperparameters,
    prior: Priors,
    estimated: bool,
) -> tuple[float, Floats] | None:
    """Return the log posterior density and its gradient by the logarithms of the hyperparameters.

    The gradient's order is lengths, own (if there is any), noise. The mean is at its optimum, so
    that it needs no derivative. ``estimated`` False leaves the noise out of prior and gradient.
    None where the matrix has no factor.
    """
    lengths, noise = np.array(given.lengths), given.noise
    summary = summarise(told, noise)
    scaled = inputs / torch.from_numpy(lengths)
    distance = math.sqrt(5.0) * distances(scaled, scaled)
    decay = torch.exp(-distance)
    kernel = (1.0 + distance + distance * distance / 3.0) * decay
    kernel.diagonal().copy_(1.0 + given.own + summary.variance)
    factor, failed = torch.linalg.cholesky_ex(kernel)
    if int(failed) != 0:
        return None
    inverse = torch.cholesky_inverse(factor)
    residual = summary.value - _best_mean(inverse, summary.value)
    pull = inverse @ residual
    quadratic = float(pull @ residual)
    logdet = 2.0 * float(torch.log(factor.diagonal()).sum())
    value = -0.5 * (quadratic + logdet + len(told.rows) * LOG_TWO_PI) + summary.rest
    slope = 0.5 * (torch.outer(pull, pull) - inverse)  # by the matrix
    by_noise = float(slope.diagonal() @ summary.variance_slope - pull @ summary.value_slope)
    by_noise = noise * (by_noise + summary.rest_slope)
    by_own = given.own * float(slope.diagonal().sum())
    # dk / dlog(length_d) is (5/3) (1 + r) exp(-r) times the squared distance along d.
    slope.mul_((1.0 + distance).mul_(decay)).mul_(5.0 / 3.0)
    along = (scaled * scaled * slope.sum(1, keepdim=True)) - scaled * (slope @ scaled)
    parts = [(prior.length, np.log(lengths), (2.0 * along.sum(0)).numpy())]
    if given.own > 0.0:
        parts.append((prior.own, np.log([given.own]), np.array([by_own])))
    if estimated:
        parts.append((prior.noise, np.log([noise]), np.array([by_noise])))
    slopes = []
    for one, logarithms, by_likelihood in parts:
        density, by_prior = one.log_density(logarithms)
        value += float(density.sum())
        slopes.append(by_likelihood + by_prior)
    gradient = np.concatenate(slopes)
    return (value, gradient) if np.isfinite(value) and np.isfinite(gradient).all() else None


def summarise(told: Sums, noise: float) -> Summary:
    """Return one value and variance a candidate, and the density that its replicates have left."""
    count, weight = told.count, told.weight
    variance = 1.0 / (count / noise + weight)
    value = (told.total / noise + told.weighted) * variance
    scatter = told.square - 2.0 * value * told.total + count * value**2
    known = told.weighted_square - 2.0 * value * told.weighted + weight * value**2
    rest = count * (LOG_TWO_PI + math.log(noise)) + scatter / noise + known + told.log_variance
    rest = rest - LOG_TWO_PI - np.log(variance)
    slope = variance / noise**2
    rest_slope = -count / noise + scatter / noise**2 + count * slope
    return Summary(
        torch.from_numpy(value),
        torch.from_numpy(variance),
        -0.5 * float(rest.sum()),
        torch.from_numpy(slope * (count * value - told.total)),
        torch.from_numpy(slope * count * variance),
        0.5 * float(rest_slope.sum()),
    )


def matern(distance: Tensor) -> Tensor:
    """Return the Matérn-5/2 correlation at distances in length scales; the argument is used up."""
    distance.mul_(math.sqrt(5.0))
    decay = torch.exp(-distance)
    # 1 + r + r^2 / 3 in one pass each: the passes over memory are what this costs.
    return distance.mul(1.0 / 3.0).add_(1.0).mul_(distance).add_(1.0).mul_(decay)


def distances(left: Tensor, right: Tensor) -> Tensor:
    """Return the Euclidean distances of all rows, (len(left), len(right)).

    By one product of matrices; where both are the same tensor the diagonal is exactly zero.
    """
    squared = left @ right.T
    squared.mul_(-2.0).add_((left * left).sum(1, keepdim=True)).add_((right * right).sum(1))
    squared.clamp_(min=0.0)
    if left is right:
        squared.diagonal().zero_()
    return squared.sqrt_()


def _best_mean(inverse: Tensor, value: Tensor) -> float:
    """Return the constant mean of highest likelihood (generalised least squares)."""
    weights = inverse.sum(0)
    return float(weights @ value) / float(weights.sum())


def _with_mean(inputs: Tensor, told: Sums, found: Hyperparameters) -> Hyperparameters:
    summary = summarise(told, found.noise)
    scaled = inputs / torch.tensor(found.lengths, dtype=torch.float64)
    matrix = matern(distances(scaled, scaled))
    matrix.diagonal().add_(found.own + summary.variance)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed) != 0:
        return replace(found, mean=float(summary.value.mean()))
    mean = _best_mean(torch.cholesky_inverse(factor), summary.value)
    return replace(found, mean=mean)


def _descend(
    lost: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    bounds: list[tuple[float, float]],
) -> tuple[Floats, float]:
    options = {"maxiter": _STEPS, "ftol": 1e-8, "gtol": 1e-5}
    low, high = np.array(bounds).T
    found: Any = minimize(
        lost,
        np.clip(start, low, high),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
        options=options,  # type: ignore[call-overload]
    )
    return np.asarray(found.x, dtype=np.float64), float(found.fun)
