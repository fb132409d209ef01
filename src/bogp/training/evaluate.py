"""How well a trained model does: its metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bogp.training.checks import check_fit, check_pair
from bogp.training.outputs import as_rows, evaluating, evaluation_batch

_BINS = 15
"""Bins of the calibration error, as Guo et al. (2017) have them."""


@dataclass(frozen=True)
class Metrics:
    """How well a model does on ``count`` examples, or positions where it is one of sequences.

    Attributes:
        accuracy: share of the examples whose largest logit is the target's.
        loss: mean cross-entropy, in nats.
        count: number of examples, or of positions in all sequences together.
        per_class: accuracy over the examples of each class, (classes,); NaN without any.
        calibration_error: expected calibration error (Guo et al. 2017, "On Calibration of Modern
            Neural Networks", equation 3): the mean distance between confidence, the largest
            probability, and accuracy, over 15 equal bins of confidence.
    """

    accuracy: float
    loss: float
    count: int
    per_class: tuple[float, ...] = ()
    calibration_error: float = float("nan")


def widest(device: torch.device) -> torch.dtype:
    """Return the type for sums on a device: float64, or float32 where there is nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


class _Tally:
    """Counts over mini-batches of K models' logits, from which :class:`Metrics` are made."""

    def __init__(self, models: int, classes: int, device: torch.device) -> None:
        self.type = widest(device)
        self.loss = torch.zeros(models, dtype=self.type, device=device)
        self.hits = torch.zeros(models, classes, dtype=self.type, device=device)
        self.seen = torch.zeros(classes, dtype=self.type, device=device)
        self.bins = torch.zeros(models, _BINS, 3, dtype=self.type, device=device)

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Count a mini-batch: ``logits`` (K, B, classes), ``targets`` (B,), or (B, T) of each."""
        logits, targets = as_rows(logits, targets)
        # Half precision would round the probabilities themselves.
        logs = (logits.float() if logits.element_size() < 4 else logits).log_softmax(2)
        wanted = targets.expand(len(logits), -1)
        self.loss -= logs.gather(2, wanted[:, :, None]).sum((1, 2), dtype=self.type)
        confidence, guess = logs.max(2)
        right = (guess == wanted).to(self.type)
        self.hits.scatter_add_(1, wanted, right)
        self.seen += torch.bincount(targets, minlength=len(self.seen))
        confidence = confidence.exp().to(self.type).nan_to_num(0.0)
        place = (confidence * _BINS).long().clamp(max=_BINS - 1)
        for column, values in enumerate((torch.ones_like(right), confidence, right)):
            self.bins[:, :, column].scatter_add_(1, place, values)

    def metrics(self) -> list[Metrics]:
        """Return what was counted, one a model."""
        count = int(self.seen.sum())
        per_class = (self.hits / self.seen).tolist()
        distance = (self.bins[:, :, 1] - self.bins[:, :, 2]).abs().sum(1) / count
        columns = zip(
            (self.hits.sum(1) / count).tolist(),
            (self.loss / count).tolist(),
            per_class,
            distance.tolist(),
            strict=True,
        )
        return [Metrics(hit, loss, count, tuple(each), error) for hit, loss, each, error in columns]


_LARGEST = 4096
"""Examples that a model evaluates at once, where memory may take so many."""


def evaluate(
    model: nn.Module, inputs: Tensor, targets: Tensor, batch_size: int | None = None
) -> Metrics:
    """Return the metrics of ``model`` on ``inputs`` (N, *shape) and ``targets`` (N,) or (N, T).

    Args:
        model: gives logits (N, classes), or (N, T, classes) for targets (N, T).
        inputs: numbers, or integers such as token numbers.
        targets: class numbers; of a model of sequences every position counts.
        batch_size: examples at once; by default 4,096, fewer where a layer puts out much for each.

    Raises:
        DataError: inputs and targets that do not fit together, or a label the model has not.
        SettingError: the model cannot take the inputs.
    """
    inputs, targets = check_pair("evaluation", inputs, targets)
    check_fit(model, inputs, evaluation=targets)
    return measure(model, inputs, targets, batch_size)


def measure(
    model: nn.Module, inputs: Tensor, targets: Tensor, batch_size: int | None = None
) -> Metrics:
    """Return what :func:`evaluate` does, of data that have been checked."""
    batch_size = batch_size or evaluation_batch(model, inputs, _LARGEST)
    with evaluating(model):
        return measure_models(lambda batch: model(batch)[None], inputs, targets, batch_size)[0]


def measure_models(
    logits: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor, batch_size: int
) -> list[Metrics]:
    """Return the metrics of K models, which are in evaluation mode.

    Args:
        logits: from a mini-batch of inputs to the logits of each model, (K, B, classes) or
            (K, B, T, classes).
        inputs: (N, *shape).
        targets: (N,) or (N, T).
        batch_size: inputs at once.
    """
    tally = None
    # No inference mode: what a module keeps of it could not be trained with.
    with torch.no_grad():
        for batch, labels in zip(
            torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
        ):
            found = logits(batch)
            tally = tally or _Tally(len(found), found.shape[-1], found.device)
            tally.add(found, labels)
    assert tally is not None
    return tally.metrics()
