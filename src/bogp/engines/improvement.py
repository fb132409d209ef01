"""Expected improvement over a baseline whose values are uncertain, and its logarithm."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bogp.engines.posterior import over_blocks
from bogp.engines.samples import Fantasies

_ROOT_HALF = math.sqrt(0.5)
_ROOT_HALF_PI = math.sqrt(0.5 * math.pi)
_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


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
