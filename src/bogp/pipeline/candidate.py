"""The unit of work: a candidate says how a mask is made, a training result what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from bogp.errors import SettingError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks import Mask
from bogp.pipeline.given import ModelSource
from bogp.sparsify import GRAPH, METHODS, NARROWER, Method, Support
from bogp.training import Metrics, Structure


@dataclass(frozen=True)
class Candidate:
    """How a mask is made: what bounds it, and what picks the kept weights inside.

    Attributes:
        support: outside it no weight is kept; None is the complete support
            (:func:`bogp.sparsify.find_support`).
        method: criterion, scope, schedule, rounds, rewinding, pretraining.
        sparsity: share of the prunable weights to remove; None is the dense network, for which
            nothing else counts.
        mask_seed: seed of what is random about the mask.
        model: the network that is trained in place of the trainer's own, a narrower one say
            (:func:`bogp.training.narrower`).
    """

    support: Support = None
    method: Method = GRAPH
    sparsity: float | None = None
    mask_seed: int = 0
    model: ModelSource | None = None

    @property
    def trainings(self) -> int:
        """Trainings of a whole recipe that it takes."""
        return 1 if self.sparsity is None else self.method.trainings


def known_candidate(
    name: str, sparsity: float | None, seed: int, narrower: ModelSource | None = None
) -> Candidate:
    """Return the candidate of a method of :data:`bogp.sparsify.METHODS` on the complete support.

    Args:
        name: of the method; ``"dense"`` and ``"narrower"`` prune nothing.
        sparsity: share of the prunable weights to remove.
        seed: of the network; the mask's own seed is derived from it.
        narrower: the network that ``"narrower"`` trains (:func:`bogp.training.narrower`).

    Raises:
        UnknownNameError: no such method.
        SettingError: a method that prunes, without a sparsity, or ``"narrower"`` without a network.

    >>> known_candidate("glob5", 0.9, seed=0).trainings
    5
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    method = METHODS[name]
    if name == NARROWER and narrower is None:
        raise SettingError(
            f"method {name!r} needs the narrower network: give what bogp.training.narrower returns "
            "as `spec`"
        )
    if method is None:
        return Candidate(model=narrower if name == NARROWER else None)
    if sparsity is None:
        raise SettingError(f"method {name!r} needs a sparsity: give 0.9 say")
    return Candidate(None, method, sparsity, derive_seed(seed, "mask"))


@dataclass(frozen=True)
class TrainingResult:
    """What one training of a candidate came to, over all its pruning rounds.

    Attributes:
        selected: metrics on the data that selects, when the last training ended.
        sparsity: share of the prunable weights that the mask removes.
        fingerprint: of the mask; None of the dense network.
        collapsed: the layers of which the mask keeps no weight.
        structure: what the mask makes of the network; None without a mask.
        accuracies: on the data that selects, one an epoch of the last training, (epochs,).
        losses: mean training loss of each of these epochs, (epochs,).
        ended: why the last training did: ``"whole"`` after all the recipe's epochs, ``"rung"``
            stopped by halving, or ``"patience"``.
        diverged: whether a loss or a weight was not finite.
        epochs: of all trainings together.
        seconds: of all the work; of a population an equal share.
        reported: metrics on the report data, if they were asked for, which opens them.
        mask: what it was pruned by, if it was asked for; None of the dense network.
        weights: the network's state dict, on the CPU, if it was asked for.
        model: the network itself, where it was trained in this process.
        extra: whatever else a trainer measured, as a JSON object.
    """

    selected: Metrics
    sparsity: float = 0.0
    fingerprint: str | None = None
    collapsed: tuple[str, ...] = ()
    structure: Structure | None = None
    accuracies: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    ended: str = "whole"
    diverged: bool = False
    epochs: int = 0
    seconds: float = 0.0
    reported: Metrics | None = None
    mask: Mask | None = field(default=None, repr=False)
    weights: Mapping[str, Tensor] | None = field(default=None, repr=False)
    model: nn.Module | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the numbers as a JSON object; ``collapsed`` is in it where a layer is empty.

        Of these only ``seconds`` is not a function of the candidate and its seeds.
        """
        empty = {"collapsed": list(self.collapsed)} if self.collapsed else {}
        return {
            "accuracy": self.selected.accuracy,
            "loss": finite_or_none(self.selected.loss),
            "examples": self.selected.count,
            "sparsity": self.sparsity,
            "mask": self.fingerprint,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "diverged": self.diverged,
            "calibration_error": finite_or_none(self.selected.calibration_error),
            "per_class": [finite_or_none(share) for share in self.selected.per_class],
            "structure": structure_record(self.structure),
            "accuracies": list(self.accuracies),
            "ended": self.ended,
            **empty,
            **self.extra,
        }


def structure_record(shape: Structure | None) -> dict[str, float | None] | None:
    """Return a structure as a JSON object."""
    if shape is None:
        return None
    return {name: None if v is None else finite_or_none(v) for name, v in asdict(shape).items()}


def finite_or_none(value: float) -> float | None:
    """Return a number, or None, which JSON has for what is no number."""
    return value if math.isfinite(value) else None
