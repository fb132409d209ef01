"""The optimisers' steps on flat vectors, in the arithmetic of torch's own."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bogp.graphs.kernels.compiled import compiled

SGD, ADAM, ADAMW = 0, 1, 2

_BLOCK = 1024  # Entries at a time, so that the passes of one step find them in the first cache.

Vector = npt.NDArray[Any]


class Optimiser(NamedTuple):
    """An optimiser and its constants; the defaults are those of torch's Adam.

    Attributes:
        kind: ``SGD``, ``ADAM`` (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1) or ``ADAMW``
            (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2).
        first: beta 1 of Adam and AdamW, or the momentum of SGD.
        second: beta 2 of Adam and AdamW.
        epsilon: what Adam and AdamW add to the root of the mean square.
        weight_decay: times the weight, added to the gradient (AdamW: to the step).
    """

    kind: int = ADAM
    first: float = 0.9
    second: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0


class State(NamedTuple):
    """Weights of K candidates and the optimiser's memory; training changes them in place."""

    parameters: Vector  # (flat,) float32 or float64, as Layout says
    gradients: Vector  # (flat,) zero between steps
    first: Vector  # (flat,) mean of the gradients, or momentum
    second: Vector  # (flat,) mean of their squares
    transposed: Vector  # the weights of the later layers, in the order of their transposes


@compiled
def update(
    optimiser: Optimiser,
    state: State,
    keep: npt.NDArray[np.uint8],
    begin: int,
    end: int,
    step: int,  # from 1
    rate: float,
) -> None:
    """Take one step on the entries ``begin`` to ``end``, and set their gradients to zero.

    Entries that ``keep`` does not mark are padding, and keep what they have.
    """
    for start in range(begin, end, _BLOCK):
        stop = min(end, start + _BLOCK)
        parameters, gradients = state.parameters[start:stop], state.gradients[start:stop]
        first, second = state.first[start:stop], state.second[start:stop]
        _mask(gradients, keep[start:stop])
        if optimiser.weight_decay != 0.0:
            _decay(optimiser, parameters, gradients, rate)
        if optimiser.kind == SGD:
            _momentum(optimiser, parameters, gradients, first, step, rate)
        else:
            _adam(optimiser, parameters, gradients, first, second, step, rate)
        gradients[:] = 0


@compiled
def _mask(gradients: Vector, keep: npt.NDArray[np.uint8]) -> None:
    zero = gradients.dtype.type(0)
    for k in range(len(gradients)):
        gradients[k] = gradients[k] if keep[k] != 0 else zero


@compiled
def _decay(optimiser: Optimiser, parameters: Vector, gradients: Vector, rate: float) -> None:
    if optimiser.kind == ADAMW:
        factor = parameters.dtype.type(1.0 - rate * optimiser.weight_decay)
        for k in range(len(parameters)):
            parameters[k] *= factor
    else:
        factor = parameters.dtype.type(optimiser.weight_decay)
        for k in range(len(parameters)):
            gradients[k] += factor * parameters[k]


@compiled
def _momentum(
    optimiser: Optimiser,
    parameters: Vector,
    gradients: Vector,
    first: Vector,
    step: int,
    rate: float,
) -> None:
    number = parameters.dtype.type
    size, momentum = number(rate), number(optimiser.first)
    if optimiser.first == 0.0:
        for k in range(len(parameters)):
            parameters[k] -= size * gradients[k]
        return
    if step == 1:
        momentum = number(0)
    for k in range(len(parameters)):
        first[k] = momentum * first[k] + gradients[k]
    for k in range(len(parameters)):
        parameters[k] -= size * first[k]


@compiled
def _adam(
    optimiser: Optimiser,
    parameters: Vector,
    gradients: Vector,
    first: Vector,
    second: Vector,
    step: int,
    rate: float,
) -> None:
    number = parameters.dtype.type
    one, two = number(1.0 - optimiser.first), number(1.0 - optimiser.second)
    keep_two, epsilon = number(optimiser.second), number(optimiser.epsilon)
    size = number(rate / (1.0 - optimiser.first**step))
    scale = number(1.0 / math.sqrt(1.0 - optimiser.second**step))
    for k in range(len(parameters)):
        first[k] += one * (gradients[k] - first[k])
    for k in range(len(parameters)):
        second[k] = keep_two * second[k] + two * gradients[k] * gradients[k]
    for k in range(len(parameters)):
        parameters[k] -= size * first[k] / (np.sqrt(second[k]) * scale + epsilon)
