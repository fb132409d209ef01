"""Many masked perceptrons, trained side by side on shared mini-batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from bogp.errors import MaskError, RecipeError
from bogp.training.kernels.layout import Layout
from bogp.training.kernels.optimisers import Optimiser, State, Vector
from bogp.training.kernels.steps import Buffers, infer, train
from bogp.training.kernels.vectors import LANES
from bogp.types import Floats, Integers

Layers = Sequence[tuple[Vector, Vector]]
"""The weight (out, in) and the bias (out,) of each layer of one network."""

_ADAM = Optimiser()


def pack(
    layout: Layout,
    networks: Sequence[Layers],
    dtype: npt.DTypeLike = np.float32,
) -> Vector:
    """Return the kept weights and the biases of K candidates as one flat vector.

    :func:`unpack` gives them back.

    Args:
        layout: their masks.
        networks: the weight (out, in) and the bias (out,) of each layer of each candidate.
        dtype: float32 or float64.

    Raises:
        MaskError: shapes that are not the masks'.
    """
    flat = aligned(layout.parameters, dtype)
    for k, places in enumerate(layout.places):
        for layer, place in enumerate(places):
            matrix, bias = networks[k][layer]
            inputs, out = layout.arrays.sizes[layer : layer + 2].tolist()
            if matrix.shape != (out, inputs) or bias.shape != (out,):
                raise MaskError(
                    f"layer {layer} of candidate {k} has a weight {matrix.shape} and a bias "
                    f"{bias.shape}: its mask needs ({out}, {inputs}) and ({out},)"
                )
            full = np.concatenate([matrix, bias[:, None]], axis=1).reshape(-1)
            begin = layout.arrays.begins[k, layer]
            flat[begin : begin + len(place)] = np.where(place >= 0, full[place], 0)
    return flat


def unpack(layout: Layout, flat: Vector, candidate: int) -> Layers:
    """Return each layer's weight (out, in), zero where the mask prunes, and its bias (out,)."""
    result = []
    for layer, place in enumerate(layout.places[candidate]):
        inputs, out = layout.arrays.sizes[layer : layer + 2].tolist()
        begin = layout.arrays.begins[candidate, layer]
        full = np.zeros(out * (inputs + 1), dtype=flat.dtype)
        full[place[place >= 0]] = flat[begin : begin + len(place)][place >= 0]
        full = full.reshape(out, inputs + 1)
        result.append((full[:, :-1].copy(), full[:, -1].copy()))
    return result


def start(layout: Layout, parameters: Vector) -> State:
    """Return the state before the first step; ``parameters`` is used, not copied."""
    size, dtype = layout.parameters, parameters.dtype
    gradients, first, second = (aligned(size, dtype) for _ in range(3))
    return State(parameters, gradients, first, second, aligned(layout.transposed_size, dtype))


def train_batches(
    layout: Layout,
    state: State,
    inputs: Vector,  # (N, features), of the state's type
    targets: Integers,  # (N,)
    order: Integers,  # (examples,) in the order of the mini-batches
    batch: int,
    rates: Sequence[float] | Floats,
    optimiser: Optimiser = _ADAM,
    *,
    smoothing: float = 0.0,
    taken: int = 0,
    sums: Floats | None = None,
    active: npt.ArrayLike | None = None,
    threads: int = 1,
) -> Floats:
    """Train candidates on the same mini-batches; return each one's losses, summed, (active,).

    The losses are of each example before its step, in nats. A candidate whose weights are no longer
    finite has a loss of NaN or infinity, and goes on without touching the others. ``state`` is
    changed.

    Args:
        layout: the candidates' masks.
        state: their weights and the optimiser's memory.
        inputs: the training set; inputs outside ``layout.arrays.live`` must be zero.
        targets: classes.
        order: numbers of examples, each mini-batch the next ``batch`` of them.
        batch: examples of a mini-batch; the last may be shorter.
        rates: learning rate of each mini-batch.
        optimiser: Adam by default.
        smoothing: label smoothing, in [0, 1).
        taken: steps that these candidates have taken before.
        sums: (active,), what the losses are added to, one after the other, so that no bit depends
            on where an epoch is cut.
        active: numbers of the candidates to train, increasing; all by default. The others keep
            what they have and cost nothing.
        threads: CPU threads; the result does not depend on it.

    Raises:
        RecipeError: the number of rates is not that of mini-batches, or a mini-batch is empty.
        MaskError: the data do not fit the networks, or ``order`` the data.
    """
    if batch < 1:
        raise RecipeError(f"a mini-batch of {batch} examples is empty: give 1 or more")
    steps = -(-len(order) // batch)
    if len(rates) != steps:
        raise RecipeError(
            f"{len(rates)} learning rates do not fit {steps} mini-batches: give one for each"
        )
    inputs = np.ascontiguousarray(inputs)
    targets, order = (np.ascontiguousarray(a, dtype=np.int64) for a in (targets, order))
    _check(layout, inputs, state.parameters)
    _check_examples(targets, order, len(inputs), int(layout.arrays.sizes[-1]))
    numbers = _numbers(layout, active)
    losses = np.zeros(layout.candidates)
    losses[numbers] = 0.0 if sums is None else sums
    schedule = np.asarray(rates, dtype=np.float64)

    def work(part: Integers) -> None:
        train(
            layout.arrays, part, inputs, targets, order, batch, optimiser, float(smoothing),
            schedule, taken, state, buffers(layout, inputs.dtype), losses,
        )  # fmt: skip

    _side_by_side(work, layout, numbers, threads)
    return losses[numbers]


def logits(
    layout: Layout,
    parameters: Vector,
    inputs: Vector,  # (N, features)
    *,
    active: npt.ArrayLike | None = None,
    threads: int = 1,
) -> Vector:
    """Return the logits of the active candidates, all by default: (active, N, classes).

    Raises:
        MaskError: the inputs do not fit the networks, or one is on that the layout has as never on.
    """
    inputs = np.ascontiguousarray(inputs)
    _check(layout, inputs, parameters)
    dead = np.setdiff1d(np.arange(inputs.shape[1]), layout.arrays.live)
    on = dead[inputs[:, dead].any(axis=0)]
    if len(on):
        raise MaskError(
            f"input {on[0]} is not always zero but the layout says so: make it with a `live` that "
            "covers every set of data"
        )
    numbers = _numbers(layout, active)
    shape = (len(numbers), len(inputs), int(layout.arrays.sizes[-1]))
    result = np.empty(shape, dtype=parameters.dtype)
    places = np.zeros(layout.candidates, dtype=np.int64)
    places[numbers] = np.arange(len(numbers))

    def work(part: Integers) -> None:
        memory = buffers(layout, inputs.dtype)
        infer(layout.arrays, part, places, inputs, parameters, memory, result)

    _side_by_side(work, layout, numbers, threads)
    return result


def parts(costs: Floats, count: int) -> list[tuple[int, int]]:
    """Return at most ``count`` runs of candidates of about equal cost, none of them empty.

    >>> parts(np.array([1.0, 1.0, 2.0]), 2)
    [(0, 2), (2, 3)]
    """
    share = np.cumsum(costs) - costs / 2
    owner = np.minimum(count - 1, (share / costs.sum() * count).astype(np.int64))
    cuts = np.searchsorted(owner, np.arange(count + 1))
    return [(int(a), int(b)) for a, b in itertools.pairwise(cuts) if b > a]


def buffers(layout: Layout, dtype: npt.DTypeLike) -> Buffers:
    """Return the working memory of one thread."""
    sizes = layout.arrays.sizes
    tile = aligned((len(layout.arrays.live) + 1) * LANES, dtype)
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


def _check(layout: Layout, inputs: Vector, parameters: Vector) -> None:
    features = int(layout.arrays.sizes[0])
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


def _numbers(layout: Layout, active: npt.ArrayLike | None) -> Integers:
    numbers = np.arange(layout.candidates) if active is None else np.asarray(active, dtype=np.int64)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < layout.candidates:
        raise MaskError(
            f"candidates {numbers.tolist()} are not all in [0, {layout.candidates}): give numbers "
            "of those in the layout"
        )
    if (np.diff(numbers) <= 0).any():
        raise MaskError(f"candidates {numbers.tolist()} do not increase: give each one once")
    return numbers


def _side_by_side(
    work: Callable[[Integers], None], layout: Layout, numbers: Integers, threads: int
) -> None:
    """Share the candidates among threads, about equal work to each."""
    if not len(numbers):
        return
    runs = [numbers[low:high] for low, high in parts(layout.costs[numbers], threads)]
    if len(runs) == 1:
        work(runs[0])
        return
    with ThreadPoolExecutor(len(runs)) as pool:
        for future in [pool.submit(work, run) for run in runs]:
            future.result()
