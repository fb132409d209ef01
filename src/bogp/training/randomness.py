"""What modules such as dropout draw while they train: from a seed, and from nothing else."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from bogp.keys import derive_seed

ModelFactory = Callable[[], nn.Module]
"""Makes a network with fresh initial weights, drawn from torch's global random state."""


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block on torch's global random state drawn from ``seed``, and restore it after.

    ``torch.manual_seed`` seeds every CUDA device too, so that those are kept and restored as well.
    """
    with unchanged_state():
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def unchanged_state() -> Iterator[None]:
    """Run a block and restore torch's global random state after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        yield


def initialise(factory: ModelFactory, seed: int) -> nn.Module:
    """Return ``factory()`` with its weights drawn from ``seed``, global random state untouched."""
    with seeded(seed):
        return factory()


def module_seed(seed: int) -> int:
    """Return the seed of what modules such as dropout draw while training.

    It is not ``seed`` itself, whose stream gives the order of the mini-batches.
    """
    return derive_seed(seed, "modules")


def draws_numbers(model: nn.Module, inputs: Tensor) -> bool:
    """Return whether ``model`` draws random numbers in training, as dropout does.

    Shown by a trial: a forward pass of two examples, after which the random state is another.
    """
    trial = copy.deepcopy(model).train()
    with seeded(0), torch.no_grad():
        before = random_state(inputs.device)
        trial(inputs[:2])
        after = random_state(inputs.device)
    return not all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def random_state(device: torch.device) -> list[Tensor]:
    """Return torch's random state, of the CPU and of ``device``."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def set_random_state(device: torch.device, states: Sequence[Tensor]) -> None:
    """Set what :func:`random_state` returned."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
