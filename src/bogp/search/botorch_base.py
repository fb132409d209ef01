"""What is taken from BoTorch: the priors, quasi-random normals, and the model as BoTorch has it.

BoTorch and GPyTorch are imported here alone and when first needed, so that neither
``import bogp.search`` nor a command that does not search pays for them.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Priors:
    """Log-normal priors of a length scale and of the noise variance, and their least values.

    The length scale's grows with the square root of the number of features, so that what the model
    expects of a function does not get rougher with every feature added (Hvarfner et al. 2024,
    arXiv 2402.02229); both are BoTorch's defaults since 0.12.
    """

    length_location: float
    length_scale: float
    length_least: float
    noise_location: float
    noise_scale: float
    noise_least: float


@functools.cache
def priors(features: int) -> Priors:
    """Return BoTorch's priors for so many features, read from its own modules."""
    modules = _imported("botorch.models.utils.gpytorch_modules")
    kernel = modules.get_covar_module_with_dim_scaled_prior(max(features, 1), use_rbf_kernel=False)
    noise = modules.get_gaussian_likelihood_with_lognormal_prior().noise_covar
    length, noise_prior = kernel.lengthscale_prior, noise.noise_prior
    return Priors(
        _single(length.loc),
        _single(length.scale),
        _single(kernel.raw_lengthscale_constraint.lower_bound),
        _single(noise_prior.loc),
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

    Matérn-5/2 of unit amplitude with the dimension-scaled prior. Values are taken as they
    are: standardise them first.
    """
    modules = _imported("botorch.models.utils.gpytorch_modules")
    models = _imported("botorch.models.gp_regression")
    kernel = modules.get_covar_module_with_dim_scaled_prior(inputs.shape[-1], use_rbf_kernel=False)
    return models.SingleTaskGP(
        inputs,
        values.unsqueeze(-1),
        None if variances is None else variances.unsqueeze(-1),
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
