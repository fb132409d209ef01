"""The training examples that criteria score on."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from bogp.cores import torch_threads
from bogp.data import Split
from bogp.data.split import held_out
from bogp.errors import SettingError
from bogp.keys import derive_seed
from bogp.sparsify import Examples, Method
from bogp.training.checks import check_fit, check_pair
from bogp.training.outputs import leaf_outputs

EXAMPLES = 1024
"""How many training examples a criterion scores on at most."""

OUTPUTS = 2**27
"""How many numbers a network's layers may put out for all of them: half a GiB in float32."""

FEWEST = 64
"""How many examples a criterion scores on however large the network is, if there are as many."""


def method_examples(model: nn.Module, split: Split | None, method: Method, seed: int) -> Examples:
    """Return the examples that a method's criteria score on, or none where they need none.

    Raises:
        SettingError, DataError: see :func:`scoring_examples`.
    """
    for found in method.criteria:
        if found.needs_data:
            with torch_threads(1):
                return scoring_examples(model, split, found.name, seed)
    return None, None


def scoring_examples(
    model: nn.Module, split: Split | None, criterion: str, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of the training examples to score on.

    There are ``EXAMPLES`` of them, but fewer where the layers of a large network would put out more
    than ``OUTPUTS`` numbers, down to ``FEWEST``. They are drawn from ``seed`` alone, so that they
    are the same for all candidates with one mask seed, in all pruning rounds. Each class has its
    share of them; sequences with targets (N, T) are drawn evenly. The data that select and the data
    that report are never looked at.

    Raises:
        SettingError: there is no split, or the model cannot take the data.
        DataError: the training data are no examples of the model's classes.
    """
    if split is None:
        raise SettingError(
            f"criterion {criterion!r} runs the network: give it data to run it on, or a "
            "bogp.criteria.Criterion with needs_data=False if it is a function that needs none"
        )
    inputs, targets = check_pair("training", split.train_inputs, split.train_targets)
    dtype = inputs.dtype if inputs.is_floating_point() else None
    scored = copy.deepcopy(model).to(inputs.device, dtype)
    check_fit(scored, inputs, training=targets)
    each = sum(leaf_outputs(scored, inputs[:1]))
    count = max(FEWEST, min(EXAMPLES, OUTPUTS // max(1, each)))
    if len(targets) <= count:
        return inputs, targets
    _, rows = held_out(targets, count, derive_seed(seed, "scoring examples"))
    rows = rows.to(inputs.device)
    return inputs[rows], targets[rows]
