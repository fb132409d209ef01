"""Prune and train: the one mechanism behind every method.

A method is a support (which weights may be kept), a criterion (which of them are), a scope, a
schedule and a number of pruning rounds. The paper's BoGP is a relational graph at the target
density with the random criterion in one round; Glob₅ is the complete support with magnitude,
global scope, in five. A method may train the network before it is first pruned, and rewind to the
weights that it began from after each training (:class:`Method`).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from bogp.data import Split
from bogp.errors import LayerCollapseWarning, RecipeError
from bogp.keys import derive_seed
from bogp.masks import Mask, choose_layers, collapsed
from bogp.pipeline.methods import BASELINES as BASELINES
from bogp.pipeline.methods import GRAPH as GRAPH
from bogp.pipeline.methods import METHODS as METHODS
from bogp.pipeline.methods import Method as Method
from bogp.pipeline.methods import method_named as method_named
from bogp.pipeline.scoring import kept_counts as kept_counts
from bogp.pipeline.scoring import next_mask as next_mask
from bogp.pipeline.supports import Support as Support
from bogp.pipeline.supports import support_mask as support_mask
from bogp.training import (
    Metrics,
    ModelFactory,
    Recipe,
    Structure,
    Trained,
    evaluate,
    initialise,
    structure,
    train,
)


@dataclass(frozen=True)
class Outcome:
    """A pruned and trained network, how well it does, and what it cost."""

    model: nn.Module
    mask: Mask | None
    selected: Metrics  # on the data that selects
    structure: Structure | None  # what the mask makes of the network; None without a mask
    epochs: int
    seconds: float
    diverged: bool

    @property
    def collapsed(self) -> tuple[str, ...]:
        """The layers of which the mask keeps no weight."""
        return () if self.mask is None else collapsed(self.mask)

    def record(self) -> dict[str, Any]:
        """Return the numbers as a JSON object; ``collapsed`` is in it where a layer is empty."""
        empty = {"collapsed": list(self.collapsed)} if self.collapsed else {}
        return {
            "accuracy": self.selected.accuracy,
            "loss": self.selected.loss if math.isfinite(self.selected.loss) else None,
            "examples": self.selected.count,
            "sparsity": 0.0 if self.mask is None else self.mask.sparsity,
            "mask": None if self.mask is None else self.mask.fingerprint,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "diverged": self.diverged,
            "calibration_error": _number(self.selected.calibration_error),
            "per_class": [_number(share) for share in self.selected.per_class],
            "structure": structure_record(self.structure),
            **empty,
        }


def structure_record(shape: Structure | None) -> dict[str, float | None] | None:
    """Return a structure as a JSON object."""
    if shape is None:
        return None
    return {name: None if v is None else _number(v) for name, v in asdict(shape).items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def prune_and_train(
    factory: ModelFactory,
    split: Split,
    recipe: Recipe,
    *,
    layers: str | Sequence[str] = "hidden",
    sparsity: float | None = None,
    method: Method = GRAPH,
    support: Support = None,
    mask_seed: int = 0,
    seed: int = 0,
    order_seed: int | None = None,
) -> Outcome:
    """Initialise a network, prune it in rounds, train after each, and evaluate it.

    A mask that leaves a layer without a weight is used all the same: the outcome names the layer.

    Args:
        factory: makes the network; it is initialised from ``seed``.
        split: the data that trains and the data that selects; the report data is not touched.
        recipe: the training of each round, and of that before the first.
        layers: ``"hidden"``, ``"all"`` or names of weights (see :func:`bogp.choose_layers`).
        sparsity: share of the prunable weights to remove; None trains the dense network.
        method: criterion, scope, schedule, rounds, rewinding, pretraining.
        support: outside it no weight is kept (see :func:`support_mask`).
        mask_seed: what is random about the mask.
        seed: initial weights and order of the mini-batches.
        order_seed: of the order of the mini-batches, if not ``seed``.

    Raises:
        SparsityError: out of range, or the support has too few weights.
        MaskError, GraphError: the support does not fit the network.
        UnknownNameError, SettingError: the method has a field that bogp does not know.
        RecipeError: training diverged before the last pruning round.

    Warns:
        LayerCollapseWarning: the mask keeps no weight of some layer.
    """
    started = time.perf_counter()
    model = initialise(factory, initial_seed(seed))
    order = seed if order_seed is None else order_seed
    if sparsity is None:
        trained = _train(model, split, recipe, None, order, 0)
        return _outcome(trained, None, split, len(trained.losses), started)
    mask = support_mask(support, model, choose_layers(model, layers))
    counts = kept_counts(method, mask, sparsity)
    initial, epochs = model, 0
    for number in range(0 if method.pretrain else 1, len(counts) + 1):
        if number > 0:
            mask = next_mask(model, mask, method, counts[number - 1], mask_seed, number, split)
        begin = initial if method.rewind else model
        trained = _train(begin, split, recipe, mask, order, number)
        if trained.diverged and number < len(counts):
            raise RecipeError(
                f"training diverged {_place(number, len(counts))}: "
                f"lower the learning rate from {recipe.learning_rate}"
            )
        model, epochs = trained.model, epochs + len(trained.losses)
    warn_of_collapse(mask, 2)
    return _outcome(trained, mask, split, epochs, started)


def draw_mask(
    factory: ModelFactory,
    *,
    layers: str | Sequence[str],
    sparsity: float,
    support: Support,
    mask_seed: int,
) -> Mask:
    """Return the mask that :func:`prune_and_train` gives the method ``GRAPH``, untrained."""
    model = initialise(factory, 0)
    mask = support_mask(support, model, choose_layers(model, layers))
    (kept,) = kept_counts(GRAPH, mask, sparsity)
    return next_mask(model, mask, GRAPH, kept, mask_seed, 1)


def initial_seed(seed: int) -> int:
    """Return the seed of a run's initial weights."""
    return derive_seed(seed, "initial weights")


def batch_seed(seed: int, number: int) -> int:
    """Return the seed of the order of the mini-batches in pruning round ``number``.

    0 is the training before the first, and that of the dense network.
    """
    return derive_seed(seed, "mini-batches", number)


def _place(number: int, rounds: int) -> str:
    return f"in pruning round {number} of {rounds}" if number else "before the first pruning round"


def warn_of_collapse(mask: Mask, level: int = 1) -> None:
    """Warn, ``level`` calls up from the caller, if ``mask`` keeps no weight of some layer."""
    empty = collapsed(mask)
    if not empty:
        return
    names = ", ".join(map(repr, empty[:4])) + (f" and {len(empty) - 4} more" if empty[4:] else "")
    warnings.warn(
        f"no weight is kept of {names} at sparsity {mask.sparsity:.6g}: nothing passes there any "
        "more, so take the scope 'erk' or 'uniform', the criterion 'synflow' or a lower sparsity",
        LayerCollapseWarning,
        stacklevel=level + 1,
    )


def _train(
    model: nn.Module, split: Split, recipe: Recipe, mask: Mask | None, seed: int, number: int
) -> Trained:
    data = split.train_inputs, split.train_targets
    validation = None if recipe.patience is None else (split.select_inputs, split.select_targets)
    order = batch_seed(seed, number)
    return train(model, *data, recipe, mask=mask, seed=order, validation=validation)


def _outcome(
    trained: Trained, mask: Mask | None, split: Split, epochs: int, started: float
) -> Outcome:
    metrics = evaluate(trained.model, split.select_inputs, split.select_targets)
    seconds = time.perf_counter() - started
    shape = None if mask is None else structure(trained.model, mask, split.select_inputs[:1])
    return Outcome(trained.model, mask, metrics, shape, epochs, seconds, trained.diverged)


def baseline(
    name: str,
    factory: ModelFactory,
    split: Split,
    recipe: Recipe,
    *,
    layers: str | Sequence[str] = "hidden",
    sparsity: float | None = None,
    seed: int = 0,
) -> Outcome:
    """Run one of the methods of :data:`METHODS` on the complete support.

    Raises:
        UnknownNameError: no such method.
        SettingError: a method that prunes, without a sparsity.
    """
    method = method_named(name, sparsity)
    if method is None:
        return prune_and_train(factory, split, recipe, seed=seed)
    return prune_and_train(
        factory,
        split,
        recipe,
        layers=layers,
        sparsity=sparsity,
        method=method,
        mask_seed=derive_seed(seed, "mask"),
        seed=seed,
    )
