"""The metrics of a trained model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Metrics:
    """Accuracy and mean cross-entropy (nats) over ``count`` examples."""

    accuracy: float
    loss: float
    count: int


def evaluate(model: nn.Module, inputs: Tensor, targets: Tensor, batch_size: int = 4096) -> Metrics:
    """Return the metrics of ``model`` on ``inputs`` (N, *shape) and ``targets`` (N,)."""
    was_training = model.training
    model.eval()
    hits, loss = 0, 0.0
    with torch.inference_mode():
        for batch, labels in zip(
            torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
        ):
            logits = model(batch)
            hits += int((logits.argmax(1) == labels).sum())
            loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
    model.train(was_training)
    return Metrics(hits / len(targets), loss / len(targets), len(targets))
