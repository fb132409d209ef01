"""Many masked perceptrons, trained side by side on shared mini-batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bogp.errors import MaskError, RecipeError
from bogp.training.kernels import optimisers
from bogp.training.kernels.steps import Buffers, infer, train
from bogp.training.kernels.vectors import LANES
from bogp.training.kernels.wiring import Wiring

Vector = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]
_KINDS = {"sgd": optimisers.SGD, "adam": optimisers.ADAM, "adamw": optimisers.ADAMW}


@dataclass(frozen=True)
class Optimiser:
    """An optimiser and its constants; the defaults are torch's, but for AdamW's weight decay."""

    kind: Literal["sgd", "adam", "adamw"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False

    def settings(self) -> npt.NDArray[np.float64]:
        """Return the constants as the kernels read them."""
        first, second = (self.momentum, 0.0) if self.kind == "sgd" else self.betas
        constants = (first, second, self.epsilon, self.weight_decay, float(self.nesterov))
        return np.array(constants, dtype=np.float64)


@dataclass(eq=False)
class State:
    """Weights of K candidates and the optimiser's memory; training changes it in place."""

    parameters: Vector  # (flat,) float32 or float64, as Wiring lays them out
    gradients: Vector  # (flat,) zero between steps
    first: Vector  # (flat,)
    second: Vector  # (flat,)
    turned: Vector  # transposed weights of the later layers
    steps: int = 0


def pack(
    wiring: Wiring,
    weights: Sequence[Sequence[npt.ArrayLike]],
    biases: Sequence[Sequence[npt.ArrayLike]],
    dtype: npt.DTypeLike = np.float32,
) -> Vector:
    """Return the kept weights and the biases of K candidates as one flat vector.

    Args:
        wiring: their masks.
        weights: for each candidate and layer, (out, in).
        biases: for each candidate and layer, (out,).
        dtype: float32 or float64.

    Raises:
        MaskError: shapes that are not the masks'.
    """
    flat = aligned(wiring.parameters, dtype)
    for k, places in enumerate(wiring.places):
        for layer, place in enumerate(places):
            matrix, bias = np.asarray(weights[k][layer]), np.asarray(biases[k][layer])
            inputs, out = wiring.arrays.sizes[layer : layer + 2].tolist()
            if matrix.shape != (out, inputs) or bias.shape != (out,):
                raise MaskError(
                    f"layer {layer} of candidate {k} has a weight {matrix.shape} and a bias "
                    f"{bias.shape}: its mask needs ({out}, {inputs}) and ({out},)"
                )
            full = np.concatenate([matrix, bias[:, None]], axis=1).reshape(-1)
            begin = wiring.arrays.begins[k, layer]
            flat[begin : begin + len(place)] = np.where(place >= 0, full[place], 0)
    return flat


def unpack(wiring: Wiring, flat: Vector, candidate: int) -> list[tuple[Vector, Vector]]:
    """Return each layer's weight (out, in), zero where the mask prunes, and bias (out,)."""
    result = []
    for layer, place in enumerate(wiring.places[candidate]):
        inputs, out = wiring.arrays.sizes[layer : layer + 2].tolist()
        begin = wiring.arrays.begins[candidate, layer]
        full = np.zeros(out * (inputs + 1), dtype=flat.dtype)
        full[place[place >= 0]] = flat[begin : begin + len(place)][place >= 0]
        full = full.reshape(out, inputs + 1)
        result.append((full[:, :-1].copy(), full[:, -1].copy()))
    return result


def start(wiring: Wiring, parameters: Vector) -> State:
    """Return the state before the first step; ``parameters`` is used, not copied."""
    size, dtype = wiring.parameters, parameters.dtype
    gradients, first, second = (aligned(size, dtype) for _ in range(3))
    return State(parameters, gradients, first, second, aligned(wiring.transposed, dtype))


def train_batches(
    wiring: Wiring,
    state: State,
    inputs: Vector,  # (N, features), of the state's type
    targets: Integers,  # (N,)
    order: Integers,  # (examples,) in the order of the mini-batches
    batch: int,
    rates: Sequence[float] | npt.NDArray[np.float64],
    optimiser: Optimiser | None = None,
    *,
    smoothing: float = 0.0,
    active: npt.ArrayLike | None = None,
    threads: int = 1,
) -> npt.NDArray[np.float64]:
    """Train candidates on the same mini-batches; return each one's mean loss, (active,).

    The losses are those before each step, in nats. A candidate whose weights are no longer finite
    has a loss of NaN or infinity, and goes on without touching the others. ``state`` is changed.

    Args:
        wiring: the candidates' masks.
        state: their weights and the optimiser's memory.
        inputs: the training set; inputs outside ``wiring.arrays.live`` must be zero.
        targets: classes.
        order: numbers of examples, each mini-batch the next ``batch`` of them.
        batch: examples of a mini-batch; the last may be shorter.
        rates: learning rate of each mini-batch.
        optimiser: Adam by default.
        smoothing: label smoothing, in [0, 1).
        active: numbers of the candidates to train, increasing; all by default. The others keep
            what they have and cost nothing.
        threads: CPU threads; the result does not depend on it.

    Raises:
        RecipeError: the number of rates is not that of mini-batches, or a mini-batch is empty.
        MaskError: the data do not fit the networks, or ``order`` the data.
    """
    optimiser = Optimiser() if optimiser is None else optimiser
    if batch < 1:
        raise RecipeError(f"a mini-batch of {batch} examples is empty: give 1 or more")
    steps = -(-len(order) // batch)
    if len(rates) != steps:
        raise RecipeError(
            f"{len(rates)} learning rates do not fit {steps} mini-batches: give one for each"
        )
    inputs = np.ascontiguousarray(inputs)
    targets, order = (np.ascontiguousarray(a, dtype=np.int64) for a in (targets, order))
    _check(wiring, inputs, state.parameters)
    _check_examples(targets, order, len(inputs), int(wiring.arrays.sizes[-1]))
    losses = np.zeros(wiring.candidates)
    chosen = (_KINDS[optimiser.kind], optimiser.settings(), float(smoothing))
    schedule = np.asarray(rates, dtype=np.float64)

    def work(part: Integers) -> None:
        train(
            wiring.arrays, part, inputs, targets, order, batch, *chosen, schedule, state.steps,
            state.parameters, state.gradients, state.first, state.second, state.turned,
            buffers(wiring, inputs.dtype), losses,
        )  # fmt: skip

    chosen_ones = _numbers(wiring, active)
    _side_by_side(work, wiring, chosen_ones, threads)
    state.steps += steps
    return losses[chosen_ones] / max(1, len(order))


def logits(
    wiring: Wiring,
    parameters: Vector,
    inputs: Vector,  # (N, features)
    *,
    active: npt.ArrayLike | None = None,
    threads: int = 1,
) -> Vector:
    """Return the logits of the active candidates, all by default: (active, N, classes).

    Raises:
        MaskError: the inputs do not fit the networks, or some input that was wired as never on is.
    """
    inputs = np.ascontiguousarray(inputs)
    _check(wiring, inputs, parameters)
    dead = np.setdiff1d(np.arange(inputs.shape[1]), wiring.arrays.live)
    on = dead[inputs[:, dead].any(axis=0)]
    if len(on):
        raise MaskError(
            f"input {on[0]} is not always zero but was wired as never on: wire with a `live` that "
            "covers every set of data"
        )
    numbers = _numbers(wiring, active)
    shape = (len(numbers), len(inputs), int(wiring.arrays.sizes[-1]))
    result = np.empty(shape, dtype=parameters.dtype)
    places = np.zeros(wiring.candidates, dtype=np.int64)
    places[numbers] = np.arange(len(numbers))

    def work(part: Integers) -> None:
        memory = buffers(wiring, inputs.dtype)
        infer(wiring.arrays, part, places, inputs, parameters, memory, result)

    _side_by_side(work, wiring, numbers, threads)
    return result


def parts(costs: npt.NDArray[np.float64], count: int) -> list[tuple[int, int]]:
    """Return at most ``count`` runs of candidates of about equal cost, none of them empty.

    >>> parts(np.array([1.0, 1.0, 2.0]), 2)
    [(0, 2), (2, 3)]
    """
    share = np.cumsum(costs) - costs / 2
    owner = np.minimum(count - 1, (share / costs.sum() * count).astype(np.int64))
    cuts = np.searchsorted(owner, np.arange(count + 1))
    return [(int(a), int(b)) for a, b in itertools.pairwise(cuts) if b > a]


def buffers(wiring: Wiring, dtype: npt.DTypeLike) -> Buffers:
    """Return the working memory of one thread."""
    sizes = wiring.arrays.sizes
    tile = aligned((len(wiring.arrays.live) + 1) * LANES, dtype)
    tile[-LANES:] = 1
    hidden = aligned(int((sizes[1:] + 1).sum()) * LANES, dtype)
    for end in np.cumsum(sizes[1:] + 1).tolist():
        hidden[(end - 1) * LANES : end * LANES] = 1
    errors = aligned(2 * int(sizes[1:].max()) * LANES, dtype)
    return Buffers(tile, hidden, errors, np.zeros((2, LANES)))


def aligned(size: int, dtype: npt.DTypeLike) -> Vector:
    """Return zeros that begin on a cache line: a vector across two lines costs two loads."""
    kind = np.dtype(dtype)
    memory = np.zeros(size * kind.itemsize + 64, dtype=np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size * kind.itemsize].view(kind)


def _check(wiring: Wiring, inputs: Vector, parameters: Vector) -> None:
    features = int(wiring.arrays.sizes[0])
    if inputs.ndim != 2 or inputs.shape[1] != features or inputs.dtype != parameters.dtype:
        raise MaskError(
            f"inputs of shape {inputs.shape} and type {inputs.dtype} do not fit masks of "
            f"{features} inputs and weights of type {parameters.dtype}"
        )


def _check_examples(targets: Integers, order: Integers, examples: int, classes: int) -> None:
    # The kernels read where these point, so that a wrong number would read beyond the data.
    if len(targets) != examples:
        raise MaskError(f"{len(targets)} targets do not fit {examples} inputs: give one for each")
    for what, values, limit in (("class", targets, classes), ("example", order, examples)):
        if len(values) and not 0 <= values.min() <= values.max() < limit:
            wrong = values[(values < 0) | (values >= limit)].max()
            raise MaskError(f"{what} {wrong} is not in [0, {limit}): give numbers below {limit}")


def _numbers(wiring: Wiring, active: npt.ArrayLike | None) -> Integers:
    numbers = np.arange(wiring.candidates) if active is None else np.asarray(active, dtype=np.int64)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < wiring.candidates:
        raise MaskError(
            f"candidates {numbers.tolist()} are not all in [0, {wiring.candidates}): give numbers "
            "of the wired ones"
        )
    if (np.diff(numbers) <= 0).any():
        raise MaskError(f"candidates {numbers.tolist()} do not increase: give each one once")
    return numbers


def _side_by_side(
    work: Callable[[Integers], None], wiring: Wiring, numbers: Integers, threads: int
) -> None:
    """Share the candidates among threads, about equal work to each."""
    if not len(numbers):
        return
    runs = [numbers[low:high] for low, high in parts(wiring.costs[numbers], threads)]
    if len(runs) == 1:
        work(runs[0])
        return
    with ThreadPoolExecutor(len(runs)) as pool:
        for future in [pool.submit(work, run) for run in runs]:
            future.result()
