"""The optimisers' steps on flat vectors, in the arithmetic of torch's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.graphs.kernels.compiled import compiled

SGD, ADAM, ADAMW = 0, 1, 2

_BLOCK = 1024  # Entries at a time, so that the passes of one step find them in the first cache.

Vector = npt.NDArray[Any]


@compiled
def update(
    kind: int,
    parameters: Vector,
    gradients: Vector,  # set to zero after use
    first: Vector,  # mean of gradients, or momentum
    second: Vector,  # mean of squared gradients
    keep: npt.NDArray[np.uint8],
    begin: int,
    end: int,
    step: int,  # from 1
    rate: float,
    settings: npt.NDArray[np.float64],
) -> None:
    """Take one step on the entries ``begin`` to ``end``; padding keeps what it has.

    ``settings`` is (first coefficient, second coefficient, epsilon, weight decay, Nesterov): the
    coefficients are the betas of Adam (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1) and AdamW
    (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2); the first is the momentum of SGD.
    """
    for start in range(begin, end, _BLOCK):
        stop = min(end, start + _BLOCK)
        _mask(gradients[start:stop], keep[start:stop])
        if settings[3] != 0.0:
            _decay(kind, parameters[start:stop], gradients[start:stop], rate, settings[3])
        if kind == SGD:
            _momentum(
                parameters[start:stop], gradients[start:stop], first[start:stop], step, rate,
                settings,
            )  # fmt: skip
        else:
            _adam(
                parameters[start:stop], gradients[start:stop], first[start:stop],
                second[start:stop], step, rate, settings,
            )  # fmt: skip
        gradients[start:stop] = 0


@compiled
def _mask(gradients: Vector, keep: npt.NDArray[np.uint8]) -> None:
    zero = gradients.dtype.type(0)
    for k in range(len(gradients)):
        gradients[k] = gradients[k] if keep[k] != 0 else zero


@compiled
def _decay(kind: int, parameters: Vector, gradients: Vector, rate: float, decay: float) -> None:
    if kind == ADAMW:
        factor = parameters.dtype.type(1.0 - rate * decay)
        for k in range(len(parameters)):
            parameters[k] *= factor
    else:
        factor = parameters.dtype.type(decay)
        for k in range(len(parameters)):
            gradients[k] += factor * parameters[k]


@compiled
def _momentum(
    parameters: Vector,
    gradients: Vector,
    first: Vector,
    step: int,
    rate: float,
    settings: npt.NDArray[np.float64],
) -> None:
    number = parameters.dtype.type
    size, momentum = number(rate), number(settings[0])
    if settings[0] == 0.0:
        for k in range(len(parameters)):
            parameters[k] -= size * gradients[k]
        return
    if step == 1:
        momentum = number(0)
    for k in range(len(parameters)):
        first[k] = momentum * first[k] + gradients[k]
    momentum = number(settings[0])
    if settings[4] != 0.0:
        for k in range(len(parameters)):
            parameters[k] -= size * (gradients[k] + momentum * first[k])
    else:
        for k in range(len(parameters)):
            parameters[k] -= size * first[k]


@compiled
def _adam(
    parameters: Vector,
    gradients: Vector,
    first: Vector,
    second: Vector,
    step: int,
    rate: float,
    settings: npt.NDArray[np.float64],
) -> None:
    number = parameters.dtype.type
    one, two = number(1.0 - settings[0]), number(1.0 - settings[1])
    keep_two, epsilon = number(settings[1]), number(settings[2])
    size = number(rate / (1.0 - settings[0] ** step))
    scale = number(1.0 / math.sqrt(1.0 - settings[1] ** step))
    for k in range(len(parameters)):
        first[k] += one * (gradients[k] - first[k])
    for k in range(len(parameters)):
        second[k] = keep_two * second[k] + two * gradients[k] * gradients[k]
    for k in range(len(parameters)):
        parameters[k] -= size * first[k] / (np.sqrt(second[k]) * scale + epsilon)
