"""Whether ``torch.func.vmap`` can compute copies of a network together, found by trying it."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from bogp.training.memory import out_of_memory
from bogp.training.outputs import evaluating
from bogp.training.randomness import unchanged_state
from bogp.training.task import State


def vmap_agrees(model: nn.Module, inputs: Tensor) -> bool:
    """Return whether vmap over copies of ``model`` gives what each copy gives alone.

    Two equal copies go forward and back on two examples, and forward in evaluation mode. vmap
    refuses some modules: those whose control flow depends on numbers, or that change in place what
    all copies share. For some operations it has no rule, and does those one copy at a time. And it
    would lose a buffer that a module replaces instead of changing it. ``model`` is left as it is.
    """
    trial, example = copy.deepcopy(model).train(), inputs[:2]
    with warnings.catch_warnings(record=True) as caught, unchanged_state():
        warnings.simplefilter("always")
        try:
            same = _try_two(trial, example)
        except Exception as error:
            if out_of_memory(error):
                raise
            return False
    return same and not any("performance drop" in str(each.message) for each in caught)


def _try_two(trial: nn.Module, example: Tensor) -> bool:
    """Return whether two copies together give what one gives, and replace no buffer."""
    parameters, buffers = stack_module_state([trial, trial])
    alone = copy.deepcopy(trial)
    before = dict(alone.named_buffers())
    with torch.no_grad():
        expected = alone(example)
    if any(buffer is not before.get(name) for name, buffer in alone.named_buffers()):
        return False

    def one(parameters: State, buffers: State) -> Tensor:
        logits: Tensor = functional_call(trial, (parameters, buffers), (example,))
        return logits

    found = vmap(one)(parameters, buffers)
    found.sum().backward()  # type: ignore[no-untyped-call]
    with torch.no_grad(), evaluating(trial):
        vmap(one)(parameters, buffers)
    near = 0.01 * float(expected.abs().max())
    return torch.allclose(found[0], expected, rtol=0.0, atol=near, equal_nan=True)
