"""What is taken from BoTorch: the priors, quasi-random normals, and the model as BoTorch has it.

BoTorch and GPyTorch are imported here alone and when first needed, so that neither
``import bogp.search`` nor a command that does not search pays for them.
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

_LOG_TENTH = math.log(0.1)


@dataclass(frozen=True)
class Priors:
    """Log-normal priors of a length scale, the noise and a candidate's own variance, and the least.

    The length scale's grows with the square root of the number of features, so that what the model
    expects of a function does not get rougher with every feature added (Hvarfner et al. 2024,
    arXiv 2402.02229).
    """

    length_location: float
    length_scale: float
    length_least: float
    noise_location: float
    noise_scale: float
    noise_least: float
    own_location: float
    own_scale: float
    own_least: float


@functools.cache
def priors(features: int) -> Priors:
    """Return the priors for so many features.

    Those of the length scales are BoTorch's, read from its own modules. Its prior of the noise has
    a median of 2 % of the variance of the values, which trainings of one mask on several seeds
    exceed by far, and with few replicates the model then explains noise by short length scales.
    Ours, and that of a candidate's own effect, have a median of 10 % and the same spread: what the
    pilot of docs/search.md found, to within a factor of two.
    """
    modules = _imported("botorch.models.utils.gpytorch_modules")
    kernel = modules.get_covar_module_with_dim_scaled_prior(max(features, 1), use_rbf_kernel=False)
    noise = modules.get_gaussian_likelihood_with_lognormal_prior().noise_covar
    length, noise_prior = kernel.lengthscale_prior, noise.noise_prior
    return Priors(
        _single(length.loc),
        _single(length.scale),
        _single(kernel.raw_lengthscale_constraint.lower_bound),
        _LOG_TENTH,
        _single(noise_prior.scale),
        _single(noise.raw_noise_constraint.lower_bound),
        _LOG_TENTH,
        _single(noise_prior.scale),
        _single(noise.raw_noise_constraint.lower_bound),
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

    Matérn-5/2 of unit amplitude with the dimension-scaled prior, our prior of the noise, and no
    effect of a candidate's own. Values are taken as they are: standardise them first.
    """
    modules = _imported("botorch.models.utils.gpytorch_modules")
    models = _imported("botorch.models.gp_regression")
    kernel = modules.get_covar_module_with_dim_scaled_prior(inputs.shape[-1], use_rbf_kernel=False)
    likelihood = None
    if variances is None:
        gpytorch_priors = _imported("gpytorch.priors")
        likelihood, ours = modules.get_gaussian_likelihood_with_lognormal_prior(), priors(1)
        likelihood.noise_covar.register_prior(
            "noise_prior",
            gpytorch_priors.LogNormalPrior(ours.noise_location, ours.noise_scale),
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
