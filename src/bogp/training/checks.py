"""Checks of what is given to train: each fault is one sentence before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bogp.errors import DataError, RecipeError, SettingError
from bogp.training.memory import out_of_memory
from bogp.training.recipe import Recipe

Pair = tuple[Tensor, Tensor]
"""Inputs (N, *shape) and targets (N,)."""

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_data(train: Pair, validation: Pair | None = None) -> tuple[Pair, Pair | None]:
    """Return the data with targets in int64.

    Raises:
        DataError: no examples, another number of targets than of inputs, targets that are no
            vector of integers, or data to validate on of another kind than those to train on.
    """
    train = _checked("training", *train)
    if validation is None:
        return train, None
    validation = _checked("validation", *validation)
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
    return train, validation


def _checked(what: str, inputs: Tensor, targets: Tensor) -> Pair:
    if inputs.dim() < 1 or len(inputs) == 0:
        raise DataError(f"the {what} data hold no examples: give at least one")
    if targets.dim() != 1 or targets.dtype not in _INTEGERS:
        raise DataError(
            f"the {what} targets have shape {tuple(targets.shape)} and type {targets.dtype}: give "
            "one class number for each input, an integer tensor of one dimension"
        )
    if len(inputs) != len(targets):
        raise DataError(
            f"{len(inputs)} {what} inputs and {len(targets)} targets: give one target for each"
        )
    if inputs.device != targets.device:
        raise DataError(
            f"the {what} inputs are on {inputs.device} and the targets on {targets.device}: "
            "move both to one device"
        )
    return inputs.detach(), targets.long()


def check_labels(classes: int, **targets: Tensor) -> None:
    """Raise DataError unless each target is in [0, classes); the names say whose they are."""
    for what, values in targets.items():
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= classes:
            raise DataError(
                f"label {low if low < 0 else high} of the {what} targets is not in "
                f"[0, {classes}): the model tells {classes} classes apart, so number them from 0"
            )


def class_count(model: nn.Module, inputs: Tensor) -> int:
    """Return the number of classes of a model, by a forward pass of one example.

    Raises:
        SettingError: the model cannot take the example, or gives no row of logits for it.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits: Any = model(inputs[:1])
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        if out_of_memory(error):
            raise
        reason = str(error).strip().split("\n")[0]
        raise SettingError(
            f"{type(model).__name__} cannot take inputs of shape (1, "
            f"{', '.join(str(size) for size in inputs.shape[1:])}) and type {inputs.dtype} "
            f"({reason}): give the model and the data that belong together"
        ) from error
    finally:
        model.train(was_training)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != 1:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise SettingError(
            f"{type(model).__name__} gives {shape} for one example: it must give one row of logits"
        )
    return logits.shape[1]


def check_trainable(model: nn.Module) -> None:
    """Raise SettingError if all parameters are frozen."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SettingError(
            f"{type(model).__name__} has no parameter that requires a gradient: "
            "leave at least one of them unfrozen"
        )


def check_counts(
    masks: Sequence[object],
    seeds: Sequence[int],
    initial: Sequence[object] | None,
    together: int | None,
    threads: int | None,
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
    if together is not None and together < 1:
        raise SettingError(f"together = {together} is below 1: train at least one at once")
    if threads is not None and threads < 1:
        raise SettingError(f"threads = {threads} is below 1: give 1 or more, or None for all cores")


def check_rungs(rungs: Sequence[int], recipe: Recipe) -> None:
    """Raise SettingError if a rung is not before the end of the recipe."""
    late = [rung for rung in rungs if rung >= recipe.epochs]
    if late:
        raise SettingError(
            f"rung {late[0]} is not before the end of a recipe of {recipe.epochs} epochs and would "
            f"stop nobody: give rungs below {recipe.epochs}, or more epochs"
        )


def check_patience(recipe: Recipe, validation: object) -> None:
    """Raise RecipeError if the recipe stops early and there is nothing to go by."""
    if recipe.patience is not None and validation is None:
        raise RecipeError(
            f"recipe: patience = {recipe.patience} needs data to validate on: "
            "give validation=(inputs, targets), or leave patience out"
        )
