"""What is taken from BoTorch: the priors, quasi-random normals, and the model as BoTorch has it.

BoTorch and GPyTorch are imported here alone and when first needed, so that neither
``import bogp.engines`` nor a command that does not search pays for them.
"""

from __future__ import annotations

import functools
import importlib
import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bogp.types import Floats

LOG_TWO_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class LogNormal:
    """A log-normal prior of a positive number, and the least that the number may be.

    Attributes:
        location: the mean of the number's logarithm.
        scale: the standard deviation of its logarithm.
    """

    location: float
    scale: float
    least: float

    @property
    def median(self) -> float:
        """The number that half of the draws exceed."""
        return math.exp(self.location)

    @property
    def mode(self) -> float:
        """The number of highest density."""
        return math.exp(self.location - self.scale**2)

    def log_density(self, logarithm: Floats) -> tuple[Floats, Floats]:
        """Return the log density at numbers given by their logarithms, and its slope by these."""
        z = (logarithm - self.location) / self.scale
        density = -logarithm - 0.5 * z * z - math.log(self.scale) - 0.5 * LOG_TWO_PI
        return density, -1.0 - z / self.scale


@dataclass(frozen=True)
class Priors:
    """The priors of every length scale, of the noise, and of a candidate's own variance."""

    length: LogNormal
    noise: LogNormal
    own: LogNormal


@functools.cache
def priors(features: int) -> Priors:
    """Return the priors for so many features.

    The length scale's median is BoTorch's, read from its own modules. It grows with the square
    root of the number of features, so that what the model expects of a function does not get
    rougher with every feature added (Hvarfner et al. 2024, arXiv 2402.02229). Its spread is a
    factor of e and not of e^1.7, because with 25 noisy values and as many length scales as
    properties the wider one lets the model explain noise by short length scales. The noise has a
    median of a quarter of the variance of the values and a spread of e^0.5, where BoTorch has 2 %:
    chosen by hand, as docs/decisions/0014 says. A candidate's own effect has a median of a tenth
    and a spread of e.
    """
    modules = _imported("botorch.models.utils.gpytorch_modules")
    kernel = modules.get_covar_module_with_dim_scaled_prior(max(features, 1), use_rbf_kernel=False)
    noise = modules.get_gaussian_likelihood_with_lognormal_prior().noise_covar
    least = _single(noise.raw_noise_constraint.lower_bound)
    least_length = _single(kernel.raw_lengthscale_constraint.lower_bound)
    return Priors(
        length=LogNormal(_single(kernel.lengthscale_prior.loc), 1.0, least_length),
        noise=LogNormal(math.log(0.25), 0.5, least),
        own=LogNormal(math.log(0.1), 1.0, least),
    )


def normals(count: int, dimension: int, seed: int) -> Tensor:
    """Return quasi-random standard normal vectors (scrambled Sobol), (count, dimension)."""
    if dimension == 0:
        return torch.zeros(count, 0, dtype=torch.float64)
    sampling = _imported("botorch.utils.sampling")
    drawn: Tensor = sampling.draw_sobol_normal_samples(
        dimension, count, dtype=torch.float64, seed=seed % 2**31
    )
    return drawn


def gaussian_process(
    inputs: Tensor,  # (n, D)
    values: Tensor,  # (n,) or one value a tell
    variances: Tensor | None,  # known, or None: to be estimated
) -> Any:
    """Return BoTorch's ``SingleTaskGP`` as the surrogate has it.

    Matérn-5/2 of unit amplitude with the priors of :func:`priors` and no effect of a candidate's
    own. Values are taken as they are: standardise them first.
    """
    modules = _imported("botorch.models.utils.gpytorch_modules")
    models = _imported("botorch.models.gp_regression")
    kernel = modules.get_covar_module_with_dim_scaled_prior(inputs.shape[-1], use_rbf_kernel=False)
    ours, distributions = priors(inputs.shape[-1]), _imported("gpytorch.priors")
    kernel.register_prior(
        "lengthscale_prior",
        distributions.LogNormalPrior(ours.length.location, ours.length.scale),
        lambda module: module.lengthscale,
        lambda module, value: module._set_lengthscale(value),
    )
    likelihood = None
    if variances is None:
        likelihood = modules.get_gaussian_likelihood_with_lognormal_prior()
        likelihood.noise_covar.register_prior(
            "noise_prior",
            distributions.LogNormalPrior(ours.noise.location, ours.noise.scale),
            lambda module: module.noise,
            lambda module, value: module._set_noise(value),
        )
    return models.SingleTaskGP(
        inputs,
        values.unsqueeze(-1),
        None if variances is None else variances.unsqueeze(-1),
        likelihood=likelihood,
        covar_module=kernel,
        outcome_transform=None,
    )


def _single(number: Tensor) -> float:
    """Return a number as BoTorch keeps it by default, in single precision.

    In double only where the caller has changed torch's default: the answer shall not depend on it.
    """
    return float(number.to(torch.float32))


def _imported(name: str) -> Any:
    with warnings.catch_warnings():
        # GPyTorch compiles functions with torch.jit.script, which torch calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(name)
