"""Checks of what is given to train: each fault is one sentence before any work is done."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bogp.errors import DataError, RecipeError, SettingError, first_line
from bogp.training.memory import out_of_memory
from bogp.training.outputs import inspecting
from bogp.training.randomness import seeded, unchanged_state
from bogp.training.recipe import Recipe
from bogp.training.recipe import recipe as find_recipe
from bogp.training.task import Pair, Task

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def make_task(
    train: Pair, recipe: Recipe | str, order_seed: int, validation: Pair | None = None
) -> Task:
    """Return the task of training on ``train`` by a recipe or its name, targets in int64.

    Raises:
        DataError: see :func:`check_pair`; or the data to validate on are of another kind than those
            to train on.
        RecipeError: the recipe stops early and there is nothing to validate on.
        UnknownNameError: no such recipe.
    """
    recipe = find_recipe(recipe)
    if recipe.patience is not None and validation is None:
        raise RecipeError(
            f"recipe: patience = {recipe.patience} needs data to validate on: "
            "give validation=(inputs, targets), or leave patience out"
        )
    train = check_pair("training", *train)
    if validation is not None:
        validation = check_pair("validation", *validation)
        inputs, others = train[0], validation[0]
        for what, given, wanted in (
            ("shape", tuple(others.shape[1:]), tuple(inputs.shape[1:])),
            ("type", others.dtype, inputs.dtype),
            ("device", others.device, inputs.device),
        ):
            if given != wanted:
                raise DataError(
                    f"the validation inputs have {what} {given} and the training inputs {wanted}: "
                    "give both the same"
                )
    return Task(*train, recipe, order_seed, validation)


def check_model(model: nn.Module, task: Task) -> None:
    """Raise the error of a model that cannot be trained on the data of ``task``.

    Raises:
        SettingError: the model cannot take the inputs, or all its parameters are frozen.
        DataError: a label that the model has not.
        RecipeError: the last mini-batch is of one example and the model cannot train on one.
    """
    validation = {} if task.validation is None else {"validation": task.validation[1]}
    check_fit(model, task.inputs, training=task.targets, **validation)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SettingError(
            f"{type(model).__name__} has no parameter that requires a gradient: "
            "leave at least one of them unfrozen"
        )
    _check_last_batch(model, task)


def check_pair(what: str, inputs: Tensor, targets: Tensor) -> Pair:
    """Return the ``what`` data, inputs and targets, with targets in int64.

    Raises:
        DataError: no examples, another number of targets than of inputs, or targets that are no
            integers (N,) or (N, T).
    """
    if inputs.dim() < 1 or len(inputs) == 0:
        raise DataError(f"the {what} data hold no examples: give at least one")
    if targets.dim() not in (1, 2) or targets.dtype not in _INTEGERS:
        raise _wrong_targets(what, targets)
    if len(inputs) != len(targets):
        raise DataError(
            f"{len(inputs)} {what} inputs and {len(targets)} targets: give one target for each"
        )
    if inputs.device != targets.device:
        raise DataError(
            f"the {what} inputs are on {inputs.device} and the targets on {targets.device}: "
            "move both to one device"
        )
    if targets.numel() == 0:
        raise DataError(f"the {what} targets have no position: give sequences of one or more")
    return inputs.detach(), targets.long()


def _wrong_targets(what: str, targets: Tensor) -> DataError:
    return DataError(
        f"the {what} targets have shape {tuple(targets.shape)} and type {targets.dtype}: give "
        "one class number for each input, an integer tensor of one dimension (or of two, one "
        "for each position, to a model of sequences)"
    )


def check_fit(model: nn.Module, inputs: Tensor, **targets: Tensor) -> int:
    """Return the number of classes of a model that goes with inputs and ``targets``.

    One example passes through the model, in evaluation mode; the model and torch's random state are
    left as they were. The names of ``targets`` say in errors whose they are.

    Raises:
        SettingError: the model cannot take the inputs, or gives no row of logits for each target.
        DataError: targets (N, T) and one row of logits for an example; a label that it has not.
    """
    logits = _logits_of_one(model, inputs)
    classes = logits.shape[-1]
    for what, values in targets.items():
        if logits.dim() == 2 and values.dim() == 2:
            raise _wrong_targets(what, values)
        if logits.shape[1:-1] != values.shape[1:]:
            raise SettingError(
                f"{type(model).__name__} gives {tuple(logits.shape)} for one example and the "
                f"{what} targets have shape {tuple(values.shape)}: it must give one row of logits "
                "for each target"
            )
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= classes:
            raise DataError(
                f"label {low if low < 0 else high} of the {what} targets is not in "
                f"[0, {classes}): the model tells {classes} classes apart, so number them from 0"
            )
    return classes


def check_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Raise SettingError unless a copy of ``model`` can take a training step on a few examples.

    What runs in evaluation may fail in training, or give outputs that no gradient flows through.
    """
    trial = copy.deepcopy(model).train()
    try:
        with seeded(0), torch.enable_grad():
            logits = trial(inputs)
            rows = logits.reshape(-1, logits.shape[-1])
            loss = nn.functional.cross_entropy(rows, targets.reshape(-1))
            loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        if out_of_memory(error):
            raise
        raise SettingError(
            f"{type(model).__name__} cannot be trained ({first_line(error)}): its output must "
            "carry gradients in training mode; give the plain module, of DataParallel its .module"
        ) from error


def _logits_of_one(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the logits of one example, (1, C) or (1, T, C)."""
    lazy = [name for name, parameter in model.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise SettingError(
            f"parameter {lazy[0]!r} of {type(model).__name__} has no size yet: call the model once "
            "on an example before"
        )
    try:
        with inspecting(model):
            logits: Any = model(inputs[:1])
    except Exception as error:
        if out_of_memory(error):
            raise
        raise SettingError(
            f"{type(model).__name__} cannot take inputs of shape (1, "
            f"{', '.join(str(size) for size in inputs.shape[1:])}) and type {inputs.dtype} "
            f"({first_line(error)}): give the model and the data that belong together"
        ) from error
    if not isinstance(logits, Tensor) or logits.dim() not in (2, 3) or len(logits) != 1:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise SettingError(
            f"{type(model).__name__} gives {shape} for one example: it must give one row of logits "
            "(or one for each position of a sequence)"
        )
    return logits


def _check_last_batch(model: nn.Module, task: Task) -> None:
    """Raise RecipeError if a mini-batch is of one example and ``model`` cannot train on one.

    Batch normalisation cannot: one number has no variance.
    """
    examples, size = len(task.inputs), task.batch_size
    if (examples % size or size) > 1:
        return
    trial = copy.deepcopy(model).train()
    try:
        with torch.no_grad(), unchanged_state():
            trial(task.inputs[:1])
    except Exception as error:
        if out_of_memory(error):
            raise
        better = [other for other in range(size + 1, examples + 1) if examples % other != 1]
        fix = f"batch_size = {better[0]}, say" if better else "more of them"
        raise RecipeError(
            f"batch_size = {task.recipe.batch_size} leaves a mini-batch of one of the {examples} "
            f"examples, on which {type(model).__name__} cannot train ({first_line(error)}): "
            f"give {fix}"
        ) from error


def check_counts(
    masks: Sequence[object],
    seeds: Sequence[int],
    initial: Sequence[object] | None,
    **numbers: int | None,
) -> None:
    """Raise SettingError unless there are as many masks as seeds and the numbers are above 0."""
    if not masks or len(masks) != len(seeds):
        raise SettingError(
            f"{len(masks)} masks and {len(seeds)} seeds: give as many of each, at least one"
        )
    if initial is not None and len(initial) != len(masks):
        raise SettingError(
            f"{len(initial)} initial weights for {len(masks)} masks: give as many of each"
        )
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise SettingError(f"{name} = {number} is below 1: give 1 or more, or leave it out")
